//! Holds calls to their registers.

use super::*;
use crate::FuncId;

fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn page(raw: u64) -> PageAddr {
    PageAddr::new(raw).unwrap()
}

fn handle() -> MemHandle {
    MemHandle::new(0x0000_0001_ffff_ffc0).unwrap()
}

fn message(width: Width) -> DirectMessage {
    let words = match width {
        Width::Bits32 => [1, 2, 3, 4, 0xffff_ffff],
        Width::Bits64 => [1, 2, 3, 4, u64::MAX],
    };
    DirectMessage { sender: id(1), receiver: id(0x8001), width, words }
}

fn framework(message: FrameworkMessage) -> Framework {
    Framework { sender: id(0), receiver: id(0x8001), message }
}

fn setup_calls() -> Vec<Call> {
    let target = Vcpu { endpoint: id(0x8001), vcpu: 3 };
    let uuid = Uuid::from_words([1, 2, 3, 0xffff_ffff]);
    vec![
        Call::Version { requested: Some(Version::V1_1) },
        Call::Version { requested: None },
        Call::Features { query: FeatureQuery::Function(FuncId::MemShare32), properties: 0 },
        Call::Features { query: FeatureQuery::Feature(2), properties: 1 },
        Call::Features { query: FeatureQuery::Unknown(0x8400_0000), properties: 0 },
        Call::RxAcquire { vm: id(2) },
        Call::RxRelease { vm: id(0) },
        Call::RxTxMap {
            tx: page(0x4000_0000),
            rx: page(0x4000_1000),
            page_count: 1,
            width: Width::Bits32,
        },
        Call::RxTxMap {
            tx: page(0x1_4000_0000),
            rx: page(0x4000_1000),
            page_count: 63,
            width: Width::Bits64,
        },
        Call::RxTxUnmap { endpoint: id(2) },
        Call::PartitionInfoGet { uuid, form: InfoForm::Descriptors },
        Call::PartitionInfoGet { uuid: Uuid::NIL, form: InfoForm::CountOnly },
        Call::IdGet,
        Call::SpmIdGet,
        Call::MsgWait,
        Call::Yield,
        Call::Run { target },
        Call::Interrupt { target, interrupt: 29 },
        Call::ConsoleLog { text: ConsoleText::new(b"hello, world").unwrap(), width: Width::Bits32 },
        Call::ConsoleLog { text: ConsoleText::new(&[7; 48]).unwrap(), width: Width::Bits64 },
        Call::SecondaryEpRegister { entry: 0x0e10_0040, width: Width::Bits32 },
        Call::SecondaryEpRegister { entry: 0x1_0e10_0040, width: Width::Bits64 },
        Call::Error(FfaError::Denied),
    ]
}

fn message_calls() -> Vec<Call> {
    let two = DirectMessage2 { sender: id(1), receiver: id(2), uuid: Uuid::NIL, words: [9; 14] };
    let with_uuid = DirectMessage2 { uuid: Uuid::from_words([1, 2, 3, 4]), ..two };
    let failed = Err(FfaError::Retry);
    let mut calls = vec![
        Call::DirectReq(message(Width::Bits32)),
        Call::DirectReq(message(Width::Bits64)),
        Call::DirectResp(message(Width::Bits32)),
        Call::DirectResp(message(Width::Bits64)),
        Call::DirectReq2(with_uuid),
        Call::DirectResp2(two),
    ];
    let requests = [
        FrameworkMessage::PowerPsci { params: [0x8400_0002, 0, 0, 0], width: Width::Bits32 },
        FrameworkMessage::PowerPsci { params: [0xc400_0001, u64::MAX, 3, 4], width: Width::Bits64 },
        FrameworkMessage::PowerWarmBoot { kind: WarmBoot::SuspendToRam },
        FrameworkMessage::PowerWarmBoot { kind: WarmBoot::LowPower },
        FrameworkMessage::VmCreated { info: None, vm: id(2) },
        FrameworkMessage::VmDestroyed { info: Some(handle()), vm: id(2) },
        FrameworkMessage::VersionReq { requested: 0x1_0001 },
    ];
    let responses = [
        FrameworkMessage::PowerResp { status: -3 },
        FrameworkMessage::VmCreatedResp { status: Ok(()) },
        FrameworkMessage::VmDestroyedResp { status: failed },
        FrameworkMessage::VersionResp { reply: u32::MAX },
    ];
    calls.extend(requests.map(|message| Call::FrameworkReq(framework(message))));
    calls.extend(responses.map(|message| Call::FrameworkResp(framework(message))));
    calls
}

fn memory_calls() -> Vec<Call> {
    let lengths = Lengths::new(0x1_0000, 4096).unwrap();
    let (handle, width) = (handle(), Width::Bits64);
    let flags = ReclaimFlags { zero: Zero::Zero, time_slice: TimeSlice::Sliced };
    let permission = PagePermission {
        data: DataPermission::ReadOnly,
        instruction: InstructionPermission::NotExecutable,
    };
    let sends = [Transfer::Share, Transfer::Lend, Transfer::Donate];
    let mut calls = vec![
        Call::MemRetrieveReq { lengths },
        Call::MemRelinquish,
        Call::MemReclaim { handle, flags },
        Call::MemReclaim { handle: MemHandle::new(0).unwrap(), flags: ReclaimFlags::default() },
        Call::MemFragRx { handle, offset: 4096, endpoint: id(1) },
        Call::MemFragTx { handle, length: 4096, endpoint: id(0) },
        Call::MemPermGet { page: page(0x1_0000_0000), width },
        Call::MemPermGet { page: page(0x1000), width: Width::Bits32 },
        Call::MemPermSet { page: page(0x1_0000_0000), page_count: 2, permission, width },
        Call::MemPermSet { page: page(0x1000), page_count: 2, permission, width: Width::Bits32 },
    ];
    calls.extend(sends.map(|kind| Call::MemSend { kind, lengths }));
    calls
}

fn notification_calls() -> Vec<Call> {
    let (sender, receiver, bitmap) = (id(1), id(2), 0x8000_0000_0000_0001);
    let signal = Signal::Delayed;
    vec![
        Call::NotificationBitmapCreate { vm: id(1), vcpu_count: 1 },
        Call::NotificationBitmapDestroy { vm: id(1) },
        Call::NotificationBind { sender, receiver, scope: Scope::Global, bitmap },
        Call::NotificationBind { sender, receiver, scope: Scope::PerVcpu, bitmap },
        Call::NotificationUnbind { sender, receiver, bitmap },
        Call::NotificationSet { sender, receiver, vcpu: None, signal: Signal::Now, bitmap },
        Call::NotificationSet { sender, receiver, vcpu: Some(5), signal, bitmap },
        Call::NotificationGet { receiver, vcpu: 0, wanted: BitmapSet::SP.and(BitmapSet::VM) },
        Call::NotificationInfoGet { width: Width::Bits32 },
        Call::NotificationInfoGet { width: Width::Bits64 },
    ]
}

fn one_of_each() -> Vec<Call> {
    [setup_calls(), message_calls(), memory_calls(), notification_calls()].concat()
}

fn decode(regs: &Regs) -> Result<Call, DecodeError> {
    Call::decode(regs, Version::V1_2)
}

/// The call with one register replaced.
fn with(call: &Call, register: usize, value: u64) -> Result<Call, DecodeError> {
    decode(&call.encode().with(register, value))
}

#[test]
fn every_call_survives_its_registers() {
    for call in one_of_each() {
        assert_eq!(call.encode8(), call.encode().smc8(), "{call:?}");
        assert_eq!(decode(&call.encode()), Ok(call));
    }
}

#[test]
fn every_function_is_decoded_or_named_as_not_served() {
    let calls = one_of_each();
    for func in FuncId::ALL {
        let has_example = calls.iter().any(|call| call.encode().func() == Some(*func));
        match Call::decode(&Regs::of(*func), Version::V1_3) {
            Err(DecodeError::NotServed(named) | DecodeError::WrongDirection(named)) => {
                assert_eq!(named, *func);
                assert!(!has_example, "{}", func.name());
            }
            // The wider form of calls whose width carries nothing is read but never written.
            Ok(_) | Err(_) => {
                assert!(has_example || func.is_64_bit(), "{} has no example", func.name());
            }
        }
    }
}

/// DEN0077A 1.1: FFA_MSG_SEND_DIRECT_REQ (table 15.3), FFA_MEM_RECLAIM (16.4), FFA_MEM_FRAG_RX
/// (16.5), FFA_NOTIFICATION_SET (17.5), FFA_RXTX_MAP (13.6).
#[test]
fn golden_registers() {
    let regs = |list: &[u64]| Regs::ZERO.with_run(0, list);
    let golden: [(Call, Regs); 6] = [
        (
            Call::DirectReq(message(Width::Bits64)),
            regs(&[0xc400_006f, 0x1_8001, 0, 1, 2, 3, 4, u64::MAX]),
        ),
        (
            Call::MemReclaim { handle: handle(), flags: ReclaimFlags::default() },
            regs(&[0x8400_0077, 0xffff_ffc0, 1]),
        ),
        (
            Call::MemFragRx { handle: handle(), offset: 4096, endpoint: id(1) },
            regs(&[0x8400_007a, 0xffff_ffc0, 1, 4096, 0x1_0000]),
        ),
        (
            Call::NotificationSet {
                sender: id(1),
                receiver: id(2),
                vcpu: Some(5),
                signal: Signal::Delayed,
                bitmap: 1 << 33,
            },
            regs(&[0x8400_0081, 0x1_0002, 0x5_0003, 0, 2]),
        ),
        (
            Call::RxTxMap {
                tx: page(0x1000),
                rx: page(0x2000),
                page_count: 1,
                width: Width::Bits64,
            },
            regs(&[0xc400_0066, 0x1000, 0x2000, 1]),
        ),
        (
            Call::NotificationGet { receiver: id(2), vcpu: 1, wanted: BitmapSet::ALL },
            regs(&[0x8400_0082, 0x1_0002, 15]),
        ),
    ];
    for (call, expected) in golden {
        assert_eq!(call.encode(), expected);
    }
}

/// What TF-A 2.12 sends (reference/spmc-behaviour.md): CPU_OFF arrives as x2 = 0x80000000,
/// x3 = 0x84000002, and is answered with x2 = 1 << 31 | 2.
#[test]
fn power_messages_are_those_of_tf_a() {
    let request = Regs::ZERO.with_run(0, &[0x8400_006f, 0xffff_8001, 0x8000_0000, 0x8400_0002]);
    let Ok(Call::FrameworkReq(off)) = decode(&request) else { panic!("no framework message") };
    let FrameworkMessage::PowerPsci { params, .. } = off.message else { panic!("not PSCI") };
    assert_eq!((off.sender, params[0]), (id(0xffff), 0x8400_0002));
    let answer = Call::FrameworkResp(off.reply(FrameworkMessage::PowerResp { status: 0 }));
    let expected = Regs::ZERO.with_run(0, &[0x8400_0070, 0x8001_ffff, 0x8000_0002]);
    assert_eq!(answer.encode(), expected);
}

/// The EL3 SPMC writes x0-x3 only: behind them lies what the partition's last call left there, for
/// example the results of a 64-bit direct response.
#[test]
fn a_power_message_is_read_whatever_lies_behind_it() {
    let clean = [0x8400_006f, 0x8000_8001, 0x8000_0000, 0x8400_0002];
    let stale = Regs([u64::MAX; 18]).with_run(0, &clean);
    let Ok(Call::FrameworkReq(off)) = decode(&stale) else { panic!("no framework message") };
    let params = [0x8400_0002, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff];
    assert_eq!(off.message, FrameworkMessage::PowerPsci { params, width: Width::Bits32 });
    let created = stale.with(2, 0x8000_0004);
    assert_eq!(decode(&created), Err(DecodeError::UpperHalf { register: 4 }));
}

/// DEN0077A 1.2, 18.3: type 4, handle in w3 and w4 (all ones for none), VM in w5.
#[test]
fn vm_messages_are_those_of_the_specification() {
    let created = FrameworkMessage::VmCreated { info: None, vm: id(2) };
    let expected =
        Regs::ZERO.with_run(0, &[0x8400_006f, 0x8001, 0x8000_0004, 0xffff_ffff, 0xffff_ffff, 2]);
    assert_eq!(Call::FrameworkReq(framework(created)).encode(), expected);
    let destroyed = expected.with(2, 0x8000_0006).with(3, 0).with(4, 0);
    let info = MemHandle::new(0);
    assert_eq!(
        decode(&destroyed),
        Ok(Call::FrameworkReq(framework(FrameworkMessage::VmDestroyed { info, vm: id(2) })))
    );
    let reply = framework(created).reply(FrameworkMessage::VmCreatedResp { status: Ok(()) });
    assert_eq!(
        Call::FrameworkResp(reply).encode(),
        Regs::ZERO.with_run(0, &[0x8400_0070, 0x8001_0000, 0x8000_0005])
    );
}

#[test]
fn kb_08_upper_halves_of_used_w_registers_are_refused() {
    for call in one_of_each() {
        let regs = call.encode();
        // What comes from the SPMC is read by its lower half; see `answer`.
        if matches!(call, Call::Interrupt { .. } | Call::Error(_)) {
            continue;
        }
        for register in 1..8 {
            let bad = regs.with(register, regs.x(register) | 1 << 63);
            let is_64_bit = regs.func().is_some_and(FuncId::is_64_bit);
            match decode(&bad) {
                Err(error) => assert_eq!(error.status(), FfaError::InvalidParameters),
                Ok(same) if same == call => {} // not used by this call
                Ok(other) => assert!(is_64_bit, "{call:?} became {other:?} by x{register}"),
            }
        }
    }
    let parties = with(&Call::DirectReq(message(Width::Bits64)), 1, 0x1_0001_8001);
    assert_eq!(parties, Err(DecodeError::UpperHalf { register: 1 }));
}

#[test]
fn kb_08_the_upper_half_of_the_function_id_means_nothing() {
    let regs = Call::IdGet.encode();
    assert_eq!(decode(&regs.with(0, regs.x(0) | 0xffff_ffff_0000_0000)), Ok(Call::IdGet));
}

#[test]
fn kb_08_reserved_bits_are_refused() {
    let reserved = |register| Err(DecodeError::Reserved { register });
    let handle = handle();
    let reclaim = Call::MemReclaim { handle, flags: ReclaimFlags::default() };
    let frag = Call::MemFragTx { handle, length: 16, endpoint: id(1) };
    let [bind, set] = [&notification_calls()[2], &notification_calls()[5]];
    let map = &setup_calls()[7];
    let info = &setup_calls()[10];
    let permission = &memory_calls()[8];
    let request = Call::DirectReq(message(Width::Bits64));
    let created = &message_calls()[10];
    assert_eq!(with(&reclaim, 3, 4), reserved(3));
    assert_eq!(with(&frag, 4, 0x1_0001), reserved(4));
    assert_eq!(with(bind, 2, 2), reserved(2));
    assert_eq!(with(&notification_calls()[4], 2, 1), reserved(2));
    assert_eq!(with(set, 2, 4), reserved(2));
    assert_eq!(with(set, 2, 0x1_0000), reserved(2), "a vCPU without the per-vCPU flag");
    assert_eq!(with(map, 3, 64), reserved(3));
    assert_eq!(with(info, 5, 2), reserved(5));
    assert_eq!(with(permission, 3, 8), reserved(3));
    assert_eq!(with(permission, 3, 2), reserved(3), "2 is no data permission");
    assert_eq!(with(&request, 2, 1), reserved(2));
    assert_eq!(with(created, 2, 0x8000_0104), reserved(2));
    assert_eq!(with(&Call::RxRelease { vm: id(0) }, 1, 0x1_0000), reserved(1));
    assert_eq!(with(&Call::RxTxUnmap { endpoint: id(0) }, 1, 1), reserved(1));
}

#[test]
fn kb_08_unknown_functions_and_versions_are_refused() {
    let unknown = Regs::ZERO.with(0, 0x8400_00ff);
    assert_eq!(decode(&unknown), Err(DecodeError::UnknownFunction { raw: 0x8400_00ff }));
    let rx = Call::RxAcquire { vm: id(1) }.encode();
    let old = Call::decode(&rx, Version::V1_0);
    assert_eq!(old, Err(DecodeError::NotInVersion(FuncId::RxAcquire)));
    let two = message_calls()[4].encode();
    let old = Call::decode(&two, Version::V1_1);
    assert_eq!(old, Err(DecodeError::NotInVersion(FuncId::DirectReq2)));
    // arm-ffa 0.5 hits an assertion here.
    let wide = Call::DirectReq(message(Width::Bits64)).encode();
    assert!(Call::decode(&wide, Version::V1_0).is_ok());
    // Framework messages came with 1.1.
    let created = message_calls()[10].encode();
    let old = Call::decode(&created, Version::V1_0);
    assert_eq!(old, Err(DecodeError::Reserved { register: 2 }));
}

#[test]
fn registers_that_a_call_does_not_use_are_ignored() {
    for call in [Call::IdGet, Call::SpmIdGet, Call::MsgWait, Call::MemRelinquish] {
        let noisy = Regs([u64::MAX; 18]).with(0, call.encode().x(0));
        assert_eq!(decode(&noisy), Ok(call));
    }
}

#[test]
fn fields_without_meaning_are_refused() {
    let bad = |register| Err(DecodeError::BadField { register });
    let map = &setup_calls()[7];
    assert_eq!(with(map, 1, 0x4000_0001), bad(1), "unaligned");
    assert_eq!(with(map, 2, 0x4000_0000), bad(2), "RX is TX");
    assert_eq!(with(map, 3, 2), bad(2), "RX and TX overlap");
    assert_eq!(with(map, 3, 0), bad(3));
    let wide = &setup_calls()[8];
    assert_eq!(with(wide, 1, 1 << 48), bad(1), "beyond 48 bits");
    assert_eq!(with(&memory_calls()[2], 1, u64::MAX), Err(DecodeError::UpperHalf { register: 1 }));
    let invalid = memory_calls()[2].encode().with_run(1, &[0xffff_ffff, 0xffff_ffff]);
    assert_eq!(decode(&invalid), bad(1), "the invalid handle");
    assert_eq!(with(&memory_calls()[5], 3, 0), bad(3), "an empty fragment");
    assert_eq!(with(&memory_calls()[8], 2, 0), bad(2), "no page");
    let (short, long) = (&setup_calls()[18], &setup_calls()[19]);
    assert_eq!(with(short, 1, 25), bad(1));
    assert_eq!(with(long, 1, 49), bad(1));
    assert_eq!(with(long, 1, 0), bad(1));
    let framework = &message_calls()[10];
    assert_eq!(with(framework, 2, 0x8000_0003), bad(2), "no message has type 3");
    assert_eq!(with(framework, 2, 0x8000_0005), bad(2), "a response in a request");
    assert_eq!(with(&message_calls()[8], 3, 2), bad(3), "no such warm boot");
    let wide = Call::DirectReq(message(Width::Bits64));
    assert_eq!(with(&wide, 2, 0x8000_0004), bad(2), "VM messages are 32 bits wide");
}

#[test]
fn kb_02_a_fragment_longer_than_its_total_is_refused() {
    let lengths = Lengths::new(4096, 4096).unwrap();
    for call in [Call::MemSend { kind: Transfer::Share, lengths }, Call::MemRetrieveReq { lengths }]
    {
        for (total, fragment) in [(4096, 4097), (0, 0), (16, 0), (0, 16), (16, 0xffff_fff0)] {
            let regs = call.encode().with(1, total).with(2, fragment);
            assert_eq!(decode(&regs), Err(DecodeError::BadField { register: 2 }));
        }
        assert_eq!(with(&call, 3, 0x1000), Err(DecodeError::OwnBuffer));
        assert_eq!(with(&call, 4, 1), Err(DecodeError::OwnBuffer));
    }
}

#[test]
fn the_short_way_reads_and_answers_direct_requests_as_the_long_one() {
    let odd = [0, 1, 0xffff, 1 << 31, 1 << 32, u64::MAX];
    let mut read = 0;
    for x0 in [0xC400_006F, 0x8400_006F, 0xC400_0070, 1 << 32 | 0xC400_006F] {
        for x1 in [0x0001_8001, 0x8001, 1 << 32 | 0x0001_8001] {
            for (x2, x3) in odd.into_iter().flat_map(|x2| odd.map(|x3| (x2, x3))) {
                let mut regs = Regs::from_smc8([x0, x1, x2, x3, !x3, 3, 4, 5]);
                regs.0[9] = 7;
                let short = DirectMessage::request64(&regs);
                let long = Call::decode(&regs, Version::V1_1);
                if let Some(message) = short {
                    assert_eq!(long, Ok(Call::DirectReq(message)));
                    read += 1;
                } else if x0 == 0xC400_006F {
                    assert!(!matches!(long, Ok(Call::DirectReq(_))), "{regs:x?}");
                }
            }
        }
    }
    assert_eq!(read, 2 * odd.len());
    for width in [Width::Bits32, Width::Bits64] {
        let words = [u64::MAX, 1, 2, 3, 1 << 40 | 4];
        let long = Call::DirectResp(message(width).reply(words)).encode();
        assert_eq!(message(width).reply8(words), long.smc8());
    }
}

#[test]
fn a_malformed_direct_message_still_says_who_sent_it() {
    let bad = Call::DirectReq(message(Width::Bits64)).encode().with(2, u64::MAX);
    assert!(decode(&bad).is_err());
    assert_eq!(Call::direct_parties(&bad), Some((id(1), id(0x8001), Width::Bits64)));
    assert_eq!(Call::direct_parties(&Call::IdGet.encode()), None);
}

#[test]
fn the_32_and_the_64_bit_send_say_the_same() {
    for call in memory_calls() {
        let regs = call.encode();
        let wide = regs.with(0, regs.x(0) | 1 << 30);
        if matches!(call, Call::MemSend { .. } | Call::MemRetrieveReq { .. }) {
            assert_eq!(decode(&wide), Ok(call));
        }
    }
}

#[test]
fn console_text_is_bounded_and_shown_escaped() {
    assert_eq!(ConsoleText::new(b""), None);
    assert_eq!(ConsoleText::new(&[b'x'; 49]), None);
    let text = ConsoleText::new(b"a\x1b\n").unwrap();
    assert_eq!(format!("{text:?}"), r#"ConsoleText("a\x1b\n")"#);
}

#[test]
fn the_version_of_a_version_request_is_the_one_in_it() {
    let asked = |requested| FrameworkMessage::VersionReq { requested }.requested_version();
    assert_eq!(asked(0x1_0001), Some(Version::V1_1));
    assert_eq!(asked(0x1_0002), Some(Version::V1_2));
    assert_eq!(asked(0x8001_0001), None);
    assert_eq!(FrameworkMessage::VersionResp { reply: 0x1_0001 }.requested_version(), None);
}

#[test]
fn a_fragment_is_the_whole_if_nothing_is_missing() {
    assert!(Lengths::new(96, 96).is_some_and(Lengths::is_whole));
    assert!(Lengths::new(97, 96).is_some_and(|lengths| !lengths.is_whole()));
}

/// DEN0077A 1.2, FFA_MEM_PERM_SET: bits 1:0 data, bit 2 instruction, all others reserved.
#[test]
fn only_the_words_of_the_table_are_page_permissions() {
    let taken: Vec<u32> =
        (0..64).filter(|word| PagePermission::from_word(*word).is_some()).collect();
    assert_eq!(taken, [0, 1, 3, 4, 5, 7]);
    assert_eq!((3..32).find(|bit| PagePermission::from_word(1 << bit).is_some()), None);
    for word in taken {
        assert_eq!(PagePermission::from_word(word).map(PagePermission::word), Some(word));
    }
}

#[test]
fn a_set_of_bitmaps_has_what_is_in_it_and_nothing_else() {
    let each = [BitmapSet::SP, BitmapSet::VM, BitmapSet::SPM, BitmapSet::HYP];
    for (index, one) in each.into_iter().enumerate() {
        assert_eq!(one.word(), 1 << index);
        for other in each {
            assert_eq!(one.has(other), one == other);
            assert!(one.and(other).has(other) && BitmapSet::ALL.has(other));
        }
        assert!(!one.has(BitmapSet::ALL));
    }
    assert_eq!(BitmapSet::from_word(u32::MAX), BitmapSet::ALL);
}
