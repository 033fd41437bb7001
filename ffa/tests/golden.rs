//! Holds every call that we make or answer to its registers, written down by hand from DEN0077A, call by
//! call: chapters 13 (set-up), 14 (execution), 15 (messages), 16 (memory), 17 (notifications) of 1.1, and
//! of 1.2 for what came with it. The tests in the crate have the round trips.

use causeway_ffa::call::{
    BitmapSet, ConsoleText, DirectMessage, DirectMessage2, FeatureQuery, Framework,
    FrameworkMessage, InfoForm, ReclaimFlags, Scope, Signal, TimeSlice, Vcpu, WarmBoot, Zero,
};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, FuncId, Lengths, MemHandle, PageAddr, Regs, Transfer, Uuid,
    Version, Width,
};

fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn page(raw: u64) -> PageAddr {
    PageAddr::new(raw).unwrap()
}

fn regs(list: &[u64]) -> Regs {
    let mut all = [0; 18];
    all[..list.len()].copy_from_slice(list);
    Regs(all)
}

/// Both ways: what we send, and what we read.
#[track_caller]
fn golden(call: Call, list: &[u64]) {
    assert_eq!(call.encode(), regs(list), "{call:?}");
    assert_eq!(Call::decode(&regs(list), Version::V1_2), Ok(call));
}

/// DEN0077A 1.1, chapter 13: VERSION, FEATURES, RX_ACQUIRE, RX_RELEASE, RXTX_MAP, RXTX_UNMAP,
/// PARTITION_INFO_GET, ID_GET, SPM_ID_GET; 1.2: CONSOLE_LOG; chapter 18: SECONDARY_EP_REGISTER.
#[test]
fn set_up() {
    golden(Call::Version { requested: Some(Version::V1_1) }, &[0x8400_0063, 0x0001_0001]);
    let query = FeatureQuery::Function(FuncId::MemDonate32);
    golden(Call::Features { query, properties: 0 }, &[0x8400_0064, 0x8400_0071, 0]);
    let query = FeatureQuery::Function(FuncId::MemRetrieveReq32);
    golden(Call::Features { query, properties: 2 }, &[0x8400_0064, 0x8400_0074, 2]);
    golden(Call::RxAcquire { vm: id(2) }, &[0x8400_0084, 2]);
    golden(Call::RxRelease { vm: id(2) }, &[0x8400_0065, 2]);
    let (tx, rx) = (page(0x1_4000_0000), page(0x4000_1000));
    let map = Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 };
    golden(map, &[0xc400_0066, 0x1_4000_0000, 0x4000_1000, 1]);
    golden(Call::RxTxUnmap { endpoint: id(2) }, &[0x8400_0067, 2 << 16]);
    let uuid = Uuid::from_words([0x1122_3344, 2, 3, 4]);
    let all = Call::PartitionInfoGet { uuid, form: InfoForm::Descriptors };
    golden(all, &[0x8400_0068, 0x1122_3344, 2, 3, 4, 0]);
    let count = Call::PartitionInfoGet { uuid, form: InfoForm::CountOnly };
    golden(count, &[0x8400_0068, 0x1122_3344, 2, 3, 4, 1]);
    golden(Call::IdGet, &[0x8400_0069]);
    golden(Call::SpmIdGet, &[0x8400_0085]);
    let text = ConsoleText::new(b"abcdefgh!").unwrap();
    let log = Call::ConsoleLog { text, width: Width::Bits64 };
    golden(log, &[0xc400_008a, 9, 0x6867_6665_6463_6261, 0x21]);
    let log = Call::ConsoleLog { text, width: Width::Bits32 };
    golden(log, &[0x8400_008a, 9, 0x6463_6261, 0x6867_6665, 0x21]);
    let register = Call::SecondaryEpRegister { entry: 0x0e10_0040, width: Width::Bits64 };
    golden(register, &[0xc400_0087, 0x0e10_0040]);
}

/// DEN0077A 1.1, chapter 14: MSG_WAIT, YIELD, RUN, INTERRUPT; chapter 12: ERROR.
#[test]
fn execution() {
    let target = Vcpu { endpoint: id(0x8001), vcpu: 3 };
    golden(Call::MsgWait, &[0x8400_006b]);
    golden(Call::Yield, &[0x8400_006c]);
    golden(Call::Run { target }, &[0x8400_006d, 0x8001_0003]);
    golden(Call::Interrupt { target, interrupt: 29 }, &[0x8400_0062, 0x8001_0003, 29]);
    golden(Call::Error(FfaError::Denied), &[0x8400_0060, 0, 0xffff_fffa]);
}

/// DEN0077A 1.1, chapter 15: the direct messages; 1.2: those of the second kind, with a UUID in x2 and
/// x3; chapter 18: power and VM messages (w2 bit 31, message type in its low byte).
#[test]
fn messages() {
    let short = [1, 2, 3, 4, 5];
    let (sender, receiver) = (id(1), id(0x8001));
    let message = |width| DirectMessage { sender, receiver, width, words: short };
    let whole = |function: u64| [function, 0x1_8001, 0, 1, 2, 3, 4, 5];
    golden(Call::DirectReq(message(Width::Bits32)), &whole(0x8400_006f));
    golden(Call::DirectReq(message(Width::Bits64)), &whole(0xc400_006f));
    golden(Call::DirectResp(message(Width::Bits32)), &whole(0x8400_0070));
    golden(Call::DirectResp(message(Width::Bits64)), &whole(0xc400_0070));
    let uuid = Uuid::from_words([0x1122_3344, 0x5566_7788, 3, 4]);
    let words = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4];
    let long = [0xc400_008d, 0x1_8001, 0x5566_7788_1122_3344, 0x4_0000_0003];
    golden(
        Call::DirectReq2(DirectMessage2 { sender, receiver, uuid, words }),
        &[&long[..], &words].concat(),
    );
    let long = [0xc400_008e, 0x1_8001, 0, 0];
    golden(
        Call::DirectResp2(DirectMessage2 { sender, receiver, uuid: Uuid::NIL, words }),
        &[&long[..], &words].concat(),
    );
    let framework = |message| Framework { sender: id(0), receiver, message };
    let warm = FrameworkMessage::PowerWarmBoot { kind: WarmBoot::SuspendToRam };
    golden(Call::FrameworkReq(framework(warm)), &[0x8400_006f, 0x8001, 0x8000_0001, 0]);
    let created = FrameworkMessage::VmCreated { info: None, vm: id(2) };
    let none = 0xffff_ffff;
    golden(
        Call::FrameworkReq(framework(created)),
        &[0x8400_006f, 0x8001, 0x8000_0004, none, none, 2],
    );
    let done = FrameworkMessage::VmCreatedResp { status: Ok(()) };
    golden(Call::FrameworkResp(framework(done)), &[0x8400_0070, 0x8001, 0x8000_0005, 0]);
    let gone = FrameworkMessage::VmDestroyed { info: None, vm: id(2) };
    golden(Call::FrameworkReq(framework(gone)), &[0x8400_006f, 0x8001, 0x8000_0006, none, none, 2]);
    let retry = FrameworkMessage::VmDestroyedResp { status: Err(FfaError::Retry) };
    golden(Call::FrameworkResp(framework(retry)), &[0x8400_0070, 0x8001, 0x8000_0007, 0xffff_fff9]);
}

/// DEN0077A 1.1, chapter 16: SHARE, LEND, DONATE, RETRIEVE_REQ, RELINQUISH, RECLAIM, FRAG_RX, FRAG_TX.
#[test]
fn memory() {
    let handle = MemHandle::new(0x7_ffff_ffc0).unwrap();
    let lengths = Lengths::new(8192, 4096).unwrap();
    let kinds = [
        (Transfer::Donate, 0x8400_0071),
        (Transfer::Lend, 0x8400_0072),
        (Transfer::Share, 0x8400_0073),
    ];
    for (kind, function) in kinds {
        golden(Call::MemSend { kind, lengths }, &[function, 8192, 4096]);
    }
    golden(Call::MemRetrieveReq { lengths }, &[0x8400_0074, 8192, 4096]);
    golden(Call::MemRelinquish, &[0x8400_0076]);
    let flags = ReclaimFlags { zero: Zero::Zero, time_slice: TimeSlice::Whole };
    golden(Call::MemReclaim { handle, flags }, &[0x8400_0077, 0xffff_ffc0, 7, 1]);
    let asked = Call::MemFragRx { handle, offset: 4096, endpoint: id(3) };
    golden(asked, &[0x8400_007a, 0xffff_ffc0, 7, 4096, 3 << 16]);
    let sent = Call::MemFragTx { handle, length: 512, endpoint: id(3) };
    golden(sent, &[0x8400_007b, 0xffff_ffc0, 7, 512, 3 << 16]);
}

/// DEN0077A 1.1, chapter 17: the notification calls.
#[test]
fn notifications() {
    let (sender, receiver, bitmap) = (id(1), id(2), 0x8000_0000_0000_0001);
    golden(Call::NotificationBitmapCreate { vm: id(1), vcpu_count: 4 }, &[0x8400_007d, 1, 4]);
    golden(Call::NotificationBitmapDestroy { vm: id(1) }, &[0x8400_007e, 1]);
    let pair = 0x1_0002;
    let bind = |scope| Call::NotificationBind { sender, receiver, scope, bitmap };
    golden(bind(Scope::Global), &[0x8400_007f, pair, 0, 1, 0x8000_0000]);
    golden(bind(Scope::PerVcpu), &[0x8400_007f, pair, 1, 1, 0x8000_0000]);
    let unbind = Call::NotificationUnbind { sender, receiver, bitmap };
    golden(unbind, &[0x8400_0080, pair, 0, 1, 0x8000_0000]);
    let signal = Signal::Now;
    let set = Call::NotificationSet { sender, receiver, vcpu: None, signal, bitmap };
    golden(set, &[0x8400_0081, pair, 0, 1, 0x8000_0000]);
    let wanted = BitmapSet::SP.and(BitmapSet::VM);
    let get = Call::NotificationGet { receiver, vcpu: 1, wanted };
    golden(get, &[0x8400_0082, 0x1_0002, 3]);
    golden(Call::NotificationInfoGet { width: Width::Bits32 }, &[0x8400_0083]);
    golden(Call::NotificationInfoGet { width: Width::Bits64 }, &[0xc400_0083]);
}

/// DEN0077A 1.1, chapter 12: SUCCESS and ERROR; chapter 16: RETRIEVE_RESP, and the handle that a send
/// returns in w2 and w3.
#[test]
fn answers() {
    let handle = MemHandle::new(0x7_ffff_ffc0).unwrap();
    let golden = |answer: Answer, list: &[u64]| {
        assert_eq!(answer.encode(), regs(list), "{answer:?}");
        assert_eq!(Answer::decode(&regs(list), Version::V1_2), Ok(answer));
    };
    golden(Answer::success(), &[0x8400_0061]);
    golden(Answer::handle(handle), &[0x8400_0061, 0, 0xffff_ffc0, 7]);
    golden(Answer::endpoint(id(0x8001)), &[0x8400_0061, 0, 0x8001]);
    golden(Answer::Error(FfaError::NotSupported), &[0x8400_0060, 0, 0xffff_ffff]);
    golden(Answer::Error(FfaError::InvalidParameters), &[0x8400_0060, 0, 0xffff_fffe]);
    golden(Answer::MemRetrieveResp(Lengths::new(8192, 4096).unwrap()), &[0x8400_0075, 8192, 4096]);
    golden(
        Answer::MemFragTx { handle, length: 16, endpoint: id(0) },
        &[0x8400_007b, 0xffff_ffc0, 7, 16, 0],
    );
}
