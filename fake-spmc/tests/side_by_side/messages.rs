//! The rows on messages, notifications, discovery and interrupts.

use super::{A, B, SP, columns};
use causeway_fake_spmc::probe::Probe;
use causeway_fake_spmc::{Personality, Routed, SPMC_ID, layout};
use causeway_ffa::call::{
    BitmapSet, DirectMessage, DirectMessage2, FeatureQuery, Framework, FrameworkMessage, InfoForm,
    RareCall, Scope, Signal, Width,
};
use causeway_ffa::partition_info::{PartitionInfos, RegsPage};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, FuncId, Regs, Uuid, Version, regs::decode_version_reply,
};

const ABSENT: FfaError = FfaError::NotSupported;

/// Row "FF-A reported": 1.2 | 1.3 | 1.2.
#[test]
fn the_reported_version_is_the_rows() {
    columns([Version::V1_2, Version::V1_3, Version::V1_2], |probe| {
        let asked = Call::Version { requested: Some(Version::V1_1) };
        let Routed::Answer(regs) = probe.normal(&asked) else { panic!("not answered") };
        decode_version_reply(&regs).unwrap()
    });
}

fn request(sender: EndpointId, word: u64) -> Regs {
    let message =
        DirectMessage { sender, receiver: SP, width: Width::Bits64, words: [word, 2, 3, 4, 5] };
    Call::DirectReq(message).encode()
}

/// Row "direct messages": x3-x7 | x3-x7 | arguments truncated to 32 bits towards the SP.
#[test]
fn arguments_reach_the_partition_as_the_row_says() {
    let word = 0x0123_4567_89ab_cdef;
    columns([word, word, 0x89ab_cdef], |probe| {
        let (given, answer) = probe.echo(&request(A, word)).unwrap();
        assert_eq!((given.w(1), given.x(7)), (0x0001_8001, 5));
        assert_eq!((answer.w(1), answer.x(3)), (0x8001_0001, given.x(3)));
        given.x(3)
    });
}

/// "More of the EL3 SPMC": any normal-world sender id is accepted; no secure one is.
#[test]
fn the_sender_is_believed_if_it_is_of_the_normal_world() {
    for personality in Personality::HONEST {
        let probe = &mut Probe::new(personality);
        assert!(probe.echo(&request(EndpointId::from_raw(0x1234), 1)).is_ok());
        let forged = probe.echo(&request(EndpointId::from_raw(0x8002), 1));
        assert_eq!(forged, Err(FfaError::InvalidParameters));
    }
}

/// "A partition can never send a direct request to the normal world", and answers only whom it was
/// asked by; while it is at work others are told BUSY.
#[test]
fn a_partition_answers_whom_it_was_asked_by_and_nobody_else() {
    for personality in Personality::HONEST {
        let probe = &mut Probe::new(personality);
        assert!(matches!(probe.spmc.normal_world(&request(A, 1)), Routed::Deliver { .. }));
        assert_eq!(probe.echo(&request(B, 1)), Err(FfaError::Busy));
        let back = DirectMessage { sender: SP, receiver: A, width: Width::Bits64, words: [0; 5] };
        assert!(probe.partition(&Call::DirectReq(back)).is_err());
        let mut wrong = back;
        wrong.receiver = B;
        let wrong = probe.spmc.leave(SP, &Call::DirectResp(wrong).encode());
        assert!(matches!(wrong, causeway_fake_spmc::Left::Refused(_)));
        let right = probe.spmc.leave(SP, &Call::DirectResp(back).encode());
        assert!(matches!(right, causeway_fake_spmc::Left::Answered(_)));
    }
}

/// Row "DIRECT_REQ2 / MSG_SEND2": n / n | y / y | n / n.
#[test]
fn long_and_indirect_messages_go_as_the_row_says() {
    columns(
        [(Err(ABSENT), Err(ABSENT)), (Ok(17), Ok(Answer::success())), (Err(ABSENT), Err(ABSENT))],
        |probe| {
            let words = core::array::from_fn(|index| u64::try_from(index).unwrap() + 4);
            let message = DirectMessage2 { sender: A, receiver: SP, uuid: layout::SERVICE, words };
            let long =
                probe.echo(&Call::DirectReq2(message).encode()).map(|(given, _)| given.x(17));
            // Flags and reserved, offset 20, sender and receiver, 4 bytes: DEN0077A 1.2, table 7.3.
            let header = [0u32, 0, 20, 0x0001_8001, 4, 0x1234_5678];
            let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
            probe.machine().ram().write(layout::hypervisor_ram().start().get(), &bytes).unwrap();
            let call = RareCall::MsgSend2 { sender: A, signal: Signal::Now };
            let Routed::Answer(regs) = probe.spmc.normal_world(&call.encode()) else { panic!() };
            let answer = Answer::decode(&regs, Version::V1_2).unwrap();
            let indirect = if let Answer::Error(code) = answer { Err(code) } else { Ok(answer) };
            (long, indirect)
        },
    );
}

/// Row "notifications": n | global | global for VMs; none for S-EL0 SPs.
#[test]
fn notifications_are_there_for_whom_the_row_says() {
    columns([(Err(ABSENT), Err(ABSENT)), (Ok(1), Ok(1)), (Ok(1), Err(ABSENT))], |probe| {
        let make = |vm| Call::NotificationBitmapCreate { vm, vcpu_count: 1 };
        let created = [A, B].map(|vm| probe.answer(&make(vm)));
        assert_eq!(created[0], created[1]);
        let bind = |sender, bitmap| Call::NotificationBind {
            sender,
            receiver: B,
            scope: Scope::Global,
            bitmap,
        };
        let set = |sender, bitmap| Call::NotificationSet {
            sender,
            receiver: B,
            vcpu: None,
            signal: Signal::Now,
            bitmap,
        };
        let get = Call::NotificationGet { receiver: B, vcpu: 0, wanted: BitmapSet::ALL };
        let vm = probe.answer(&bind(A, 1)).and_then(|_| {
            assert_eq!(probe.answer(&set(A, 2)), Err(FfaError::Denied), "not bound");
            probe.answer(&set(A, 1))?;
            let Answer::Success(got) = probe.answer(&get)? else { return Err(ABSENT) };
            Ok(got.notifications().from_vms)
        });
        let partition = probe.answer(&bind(SP, 4)).and_then(|_| {
            probe.partition(&set(SP, 4))?;
            let Answer::Success(got) = probe.answer(&get)? else { return Err(ABSENT) };
            Ok(got.notifications().from_sps >> 2)
        });
        (vm, partition)
    });
}

/// Rows "partition info stride": 24 | 48 | 24 (use the size in w3).
#[test]
fn partitions_are_listed_in_the_rows_stride() {
    columns([24, 48, 24], |probe| {
        let ask = Call::PartitionInfoGet { uuid: Uuid::NIL, form: InfoForm::Descriptors };
        let Answer::Success(success) = probe.answer(&ask).unwrap() else { panic!() };
        assert_eq!(probe.answer(&ask), Err(FfaError::Busy), "RX is full");
        let bytes = probe.normal_rx(4096).unwrap();
        let list = PartitionInfos::parse(&bytes, success.w(2), success.w(3), Version::V1_1);
        let found = list.unwrap().find(layout::SERVICE).unwrap();
        assert_eq!(found.id, SP);
        success.w(3)
    });
}

/// KB-12: where a UUID was asked for, TF-A 2.12 leaves stale bytes in the UUID field.
#[test]
fn kb_12_the_el3_spmc_leaves_stale_bytes_in_the_uuid() {
    columns([[0x0e; 16], [0; 16], [0; 16]], |probe| {
        let ask = Call::PartitionInfoGet { uuid: layout::SERVICE, form: InfoForm::Descriptors };
        probe.answer(&ask).unwrap();
        let bytes = probe.normal_rx(24).unwrap();
        bytes[8..24].try_into().unwrap()
    });
}

/// Row "INFO_GET_REGS": n | y | n.
#[test]
fn partitions_are_listed_in_registers_where_the_row_says() {
    columns([Err(ABSENT), Ok(SP), Err(ABSENT)], |probe| {
        let call = RareCall::PartitionInfoGetRegs { uuid: Uuid::NIL, start: 0, tag: 0 };
        let Routed::Answer(regs) = probe.spmc.normal_world(&call.encode()) else { panic!() };
        match Answer::decode(&regs, Version::V1_2).unwrap() {
            Answer::Success(success) => {
                let page = RegsPage::decode(&success, 0).unwrap();
                Ok(page.iter().find(|info| info.uuid == layout::SERVICE).unwrap().id)
            }
            Answer::Error(code) => Err(code),
            Answer::MemRetrieveResp(_)
            | Answer::MemFragRx { .. }
            | Answer::MemFragTx { .. }
            | Answer::DirectResp(_)
            | Answer::DirectResp2(_)
            | Answer::FrameworkResp(_)
            | Answer::Interrupt { .. }
            | Answer::Yield { .. }
            | Answer::MsgWait => panic!("no answer to this call"),
        }
    });
}

/// Row "VM_CREATED / DESTROYED": passed through as framework messages | y | y.
#[test]
fn word_of_a_vm_reaches_the_partition() {
    for personality in Personality::HONEST {
        let probe = &mut Probe::new(personality);
        let message = FrameworkMessage::VmDestroyed { info: None, vm: B };
        let framework = Framework { sender: layout::HYPERVISOR, receiver: SP, message };
        let Routed::Deliver { regs, .. } = probe.normal(&Call::FrameworkReq(framework)) else {
            panic!("not delivered")
        };
        assert_eq!(Call::decode(&regs, Version::V1_1), Ok(Call::FrameworkReq(framework)));
    }
}

/// Row "secure interrupt": FFA_INTERRUPT without id | virtual interrupt, the id in w2 | none for SPs.
#[test]
fn an_interrupt_is_named_where_the_row_says() {
    for (personality, number) in [(Personality::EL3, 0), (Personality::HAFNIUM, 34)] {
        let probe = &mut Probe::new(personality);
        let Routed::Deliver { regs, .. } = probe.spmc.interrupt(SP, 34) else { panic!() };
        assert_eq!(regs.w(2), number);
    }
}

/// "Power messages: CPU_OFF arrives as x2 = 0x80000000, x3 = 0x84000002", from the SPMC's own id, with
/// x4-x7 stale.
#[test]
fn a_power_message_comes_from_the_spmcs_own_id() {
    let probe = &mut Probe::new(Personality::EL3);
    let Routed::Deliver { regs, .. } = probe.spmc.power_off(SP) else { panic!() };
    assert_eq!((regs.x(2), regs.x(3)), (0x8000_0000, 0x8400_0002));
    assert_eq!((regs.w(1) >> 16, regs.x(7)), (u32::from(SPMC_ID.get()), 0xdead_beef_dead_beef));
    let Ok(Call::FrameworkReq(power)) = Call::decode(&regs, Version::V1_1) else { panic!() };
    let answer = power.reply(FrameworkMessage::PowerResp { status: 0 });
    let done = probe.spmc.leave(SP, &Call::FrameworkResp(answer).encode());
    assert!(matches!(done, causeway_fake_spmc::Left::Answered(_)));
}

/// "FEATURES claims RETRIEVE_REQ and FRAG_RX for the normal world (they are SP-only) and hides FRAG_RX
/// from the SP; feature ids 1-3 are NOT_SUPPORTED."
#[test]
fn the_el3_spmc_is_wrong_about_its_own_features() {
    let probe = &mut Probe::new(Personality::EL3);
    let ask = |func| Call::Features { query: FeatureQuery::Function(func), properties: 0 };
    for func in [FuncId::MemRetrieveReq32, FuncId::MemFragRx] {
        assert!(probe.answer(&ask(func)).is_ok(), "{func:?}");
    }
    assert_eq!(probe.partition(&ask(FuncId::MemFragRx)), Err(ABSENT));
    assert!(probe.partition(&ask(FuncId::MemRetrieveReq32)).is_ok());
    for feature in 1..=3 {
        let ask = Call::Features { query: FeatureQuery::Feature(feature), properties: 0 };
        assert_eq!(probe.answer(&ask), Err(ABSENT));
    }
    // Hafnium wants to hear that the caller can read the NS bit.
    let probe = &mut Probe::new(Personality::HAFNIUM);
    let ask = |properties| Call::Features {
        query: FeatureQuery::Function(FuncId::MemRetrieveReq32),
        properties,
    };
    assert!(probe.partition(&ask(0)).is_err());
    assert!(probe.partition(&ask(2)).is_ok());
}

/// "donate exists only on Hafnium" and what else FEATURES says truly.
#[test]
fn features_say_which_kinds_and_messages_there_are() {
    columns([[true, false, false], [true, true, true], [false, false, false]], |probe| {
        [FuncId::MemLend32, FuncId::MemDonate32, FuncId::DirectReq2].map(|func| {
            let query = FeatureQuery::Function(func);
            probe.answer(&Call::Features { query, properties: 0 }).is_ok()
        })
    });
}
