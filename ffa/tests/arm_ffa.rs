//! Compares our wire forms with those of the arm-ffa crate, where that one is sound.
//!
//! Left out on purpose (arm-ffa 0.5.0): 64-bit direct messages in 1.0 and 1.1 (assertion),
//! 32-byte receivers (refused), the reply of `FFA_VERSION` (not decoded), conversions between its
//! error types (endless recursion for three of them).
#![cfg(not(miri))]

use arm_ffa::Interface;
use arm_ffa::memory_management as mm;
use arm_ffa::partition_info as pi;
use causeway_ffa::call::{
    BitmapSet, ConsoleText, DirectMessage, DirectMessage2, Framework, FrameworkMessage, InfoForm,
    ReclaimFlags, Scope, Signal, Vcpu,
};
use causeway_ffa::descriptor::{
    Attributes, Builder, DataAccess, InstructionAccess, Receiver, Role, Security, Spec, Transaction,
};
use causeway_ffa::partition_info::{PartitionInfos, Properties};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageAddr, PageRange, Regs, Transfer,
    Uuid, Version, Width,
};

fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn page(raw: u64) -> PageAddr {
    PageAddr::new(raw).unwrap()
}

fn calls() -> Vec<Call> {
    let handle = MemHandle::new(0x7_ffff_ffc0).unwrap();
    let lengths = Lengths::new(8192, 4096).unwrap();
    let (sender, receiver, bitmap) = (id(1), id(2), 0x8000_0001_0000_0002);
    let direct = |width, words| DirectMessage { sender, receiver: id(0x8001), width, words };
    let framework = |message| Framework { sender: id(0), receiver: id(0x8001), message };
    let uuid = Uuid::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let off = FrameworkMessage::PowerPsci { params: [0x8400_0002, 0, 0, 0], width: Width::Bits32 };
    let mut calls = vec![
        Call::Version { requested: Some(Version::V1_1) },
        Call::RxAcquire { vm: id(3) },
        Call::RxRelease { vm: id(0) },
        Call::RxTxMap { tx: page(0x1000), rx: page(0x2000), page_count: 1, width: Width::Bits32 },
        Call::RxTxMap { tx: page(0x1000), rx: page(0x2000), page_count: 1, width: Width::Bits64 },
        Call::RxTxUnmap { endpoint: id(3) },
        Call::PartitionInfoGet { uuid, form: InfoForm::CountOnly },
        Call::IdGet,
        Call::SpmIdGet,
        Call::MsgWait,
        Call::Yield,
        Call::Run { target: Vcpu { endpoint: id(0x8001), vcpu: 2 } },
        Call::Interrupt { target: Vcpu { endpoint: id(0x8001), vcpu: 2 }, interrupt: 9 },
        Call::DirectReq(direct(Width::Bits32, [1, 2, 3, 4, 5])),
        Call::DirectReq(direct(Width::Bits64, [1, 2, 3, 4, u64::MAX])),
        Call::DirectResp(direct(Width::Bits64, [u64::MAX; 5])),
        Call::DirectReq2(DirectMessage2 { sender, receiver, uuid, words: [3; 14] }),
        Call::FrameworkReq(framework(off)),
        Call::MemRetrieveReq { lengths },
        Call::MemRelinquish,
        Call::MemReclaim { handle, flags: ReclaimFlags::from_word(3).unwrap() },
        Call::MemFragRx { handle, offset: 4096, endpoint: id(1) },
        Call::MemFragTx { handle, length: 4096, endpoint: id(1) },
        Call::MemPermGet { page: page(0x5000), width: Width::Bits64 },
        Call::ConsoleLog { text: ConsoleText::new(b"hello").unwrap(), width: Width::Bits32 },
        Call::ConsoleLog { text: ConsoleText::new(&[b'x'; 48]).unwrap(), width: Width::Bits64 },
        Call::NotificationBitmapCreate { vm: id(1), vcpu_count: 4 },
        Call::NotificationBitmapDestroy { vm: id(1) },
        Call::NotificationBind { sender, receiver, scope: Scope::PerVcpu, bitmap },
        Call::NotificationUnbind { sender, receiver, bitmap },
        Call::NotificationSet { sender, receiver, vcpu: Some(3), signal: Signal::Delayed, bitmap },
        Call::NotificationSet { sender, receiver, vcpu: None, signal: Signal::Now, bitmap },
        Call::NotificationGet { receiver, vcpu: 1, wanted: BitmapSet::ALL },
        Call::NotificationInfoGet { width: Width::Bits64 },
        Call::SecondaryEpRegister { entry: 0x0e10_0040, width: Width::Bits64 },
        Call::Error(FfaError::Denied),
    ];
    for message in [
        FrameworkMessage::VmCreated { info: None, vm: id(2) },
        FrameworkMessage::VmDestroyed { info: Some(handle), vm: id(2) },
    ] {
        calls.push(Call::FrameworkReq(framework(message)));
    }
    for message in [
        FrameworkMessage::PowerResp { status: -3 },
        FrameworkMessage::VmCreatedResp { status: Ok(()) },
        FrameworkMessage::VmDestroyedResp { status: Err(FfaError::Retry) },
    ] {
        calls.push(Call::FrameworkResp(framework(message)));
    }
    for kind in [Transfer::Share, Transfer::Lend, Transfer::Donate] {
        calls.push(Call::MemSend { kind, lengths });
    }
    calls
}

/// What arm-ffa reads from our registers it writes back as the same registers.
#[test]
fn our_calls_are_theirs() {
    let version = arm_ffa::Version(1, 2);
    for call in calls() {
        let ours = call.encode();
        let read = Interface::from_regs(version, &ours.0);
        let read = read.unwrap_or_else(|error| panic!("{call:?}: {error}"));
        let mut theirs = [0; 18];
        read.to_regs(version, &mut theirs);
        assert_eq!(Regs(theirs), ours, "{call:?} is {read:?}");
    }
}

#[test]
fn our_answers_are_theirs() {
    let version = arm_ffa::Version(1, 2);
    let handle = MemHandle::new(0x7_ffff_ffc0).unwrap();
    for answer in [
        Answer::success(),
        Answer::handle(handle),
        Answer::endpoint(id(0x8001)),
        Answer::two_words(2, 24),
        Answer::Error(FfaError::NoData),
        Answer::MemRetrieveResp(Lengths::new(8192, 4096).unwrap()),
        Answer::MemFragTx { handle, length: 16, endpoint: id(0) },
    ] {
        let ours = answer.encode();
        let read = Interface::from_regs(version, &ours.0).unwrap();
        let mut theirs = [0; 18];
        read.to_regs(version, &mut theirs);
        assert_eq!(Regs(theirs), ours, "{answer:?} is {read:?}");
    }
}

fn ranges() -> [PageRange; 2] {
    [PageRange::new(page(0x8000_0000), 4), PageRange::new(page(0x1_8001_1000), 1)]
        .map(Option::unwrap)
}

#[test]
fn arm_ffa_reads_our_send() {
    let receivers = [Receiver::read_write(id(0x8001)), Receiver::read_only(id(2))];
    let ranges = ranges();
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 77, &receivers, &ranges);
    let builder = Builder::new(spec).unwrap();
    let mut bytes = [0; 512];
    let len = builder.write(0, &mut bytes).unwrap();
    let (header, access, constituents) = mm::MemTransactionDesc::unpack(&bytes[..len]).unwrap();
    assert_eq!((header.sender_id, header.tag), (1, 77));
    let access: Vec<_> = access.map(Result::unwrap).collect();
    let found: Vec<_> = access.iter().map(|one| (one.endpoint_id, one.data_access)).collect();
    let (rw, ro) = (mm::DataAccessPerm::ReadWrite, mm::DataAccessPerm::ReadOnly);
    assert_eq!(found, [(0x8001, rw), (2, ro)]);
    let found: Vec<_> = constituents.unwrap().map(Result::unwrap).collect();
    let found: Vec<_> = found.iter().map(|one| (one.address, one.page_cnt)).collect();
    assert_eq!(found, [(0x8000_0000, 4), (0x1_8001_1000, 1)]);
}

#[test]
fn we_read_what_arm_ffa_writes() {
    let header = mm::MemTransactionDesc {
        sender_id: 1,
        mem_region_attr: mm::MemRegionAttributes {
            security: mm::MemRegionSecurity::NonSecure,
            mem_type: mm::MemType::Normal {
                cacheability: mm::Cacheability::WriteBack,
                shareability: mm::Shareability::Inner,
            },
        },
        flags: mm::MemTransactionFlags(mm::MemTransactionFlags::TYPE_LEND),
        handle: mm::Handle(0xffff_ffc0),
        tag: 77,
    };
    let access = [mm::MemAccessPerm {
        endpoint_id: 2,
        instr_access: mm::InstuctionAccessPerm::NotExecutable,
        data_access: mm::DataAccessPerm::ReadWrite,
        flags: 0,
    }];
    let constituents = ranges().map(|range| mm::ConstituentMemRegion {
        address: range.start().get(),
        page_cnt: range.page_count(),
    });
    let mut bytes = [0; 512];
    let len = header.pack(&constituents, &access, &mut bytes);
    let role = Role::RetrieveResponse;
    let whole = Transaction::parse(&bytes[..len], Version::V1_1, role).unwrap();
    assert_eq!(whole.header().flags.kind, Some(Transfer::Lend));
    assert_eq!(whole.header().handle.map(MemHandle::get), Some(0xffff_ffc0));
    let expected = Attributes { security: Security::NonSecure, ..Attributes::NORMAL };
    assert_eq!(whole.header().attributes, expected);
    let receiver = whole.receiver(id(2)).unwrap();
    assert_eq!(receiver.access.data, DataAccess::ReadWrite);
    assert_eq!(receiver.access.instruction, InstructionAccess::NotExecutable);
    assert!(whole.ranges().eq(ranges()));
}

#[test]
fn we_read_the_partition_information_that_arm_ffa_writes() {
    let info = pi::PartitionInfo {
        uuid: "b4b5671e-4a90-4fe1-b81f-fb13dae1dacb".parse().unwrap(),
        partition_id: 0x8001,
        partition_id_type: pi::PartitionIdType::PeEndpoint { execution_ctx_count: 32 },
        props: pi::PartitionProperties {
            support_direct_req_rec: true,
            is_aarch64: true,
            ..Default::default()
        },
    };
    let mut bytes = [0; 24];
    pi::PartitionInfo::pack(arm_ffa::Version(1, 1), &[info], &mut bytes, true);
    let list = PartitionInfos::parse(&bytes, 1, 24, Version::V1_1).unwrap();
    let found = list.iter().next().unwrap();
    assert_eq!(found.uuid.to_string(), "b4b5671e-4a90-4fe1-b81f-fb13dae1dacb");
    assert_eq!((found.id, found.contexts), (id(0x8001), 32));
    assert!(found.properties.has(Properties::DIRECT_REQ_RECEIVE.and(Properties::AARCH64)));
    assert!(found.properties.is_pe_endpoint());
}

#[test]
fn our_rare_calls_are_theirs() {
    use causeway_ffa::call::RareCall;
    let uuid = Uuid::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let version = arm_ffa::Version(1, 2);
    for call in [
        RareCall::MsgSend2 { sender: id(3), signal: Signal::Delayed },
        RareCall::PartitionInfoGetRegs { uuid, start: 5, tag: 7 },
    ] {
        let ours = call.encode();
        let read = Interface::from_regs(version, &ours.0).unwrap();
        let mut theirs = [0; 18];
        read.to_regs(version, &mut theirs);
        assert_eq!(Regs(theirs), ours, "{call:?} is {read:?}");
    }
}
