//! Owns the proofs that every message has a defined outcome.

use super::*;

const SPMC: EndpointId = EndpointId::from_raw(0x8000);

fn request(id: u64, parties: u64, rest: [u64; 6]) -> Regs {
    let [x2, x3, x4, x5, x6, x7] = rest;
    Regs::from_smc8([id, parties, x2, x3, x4, x5, x6, x7])
}

#[test]
fn a_frame_goes_to_the_broker_with_the_id_that_the_spmc_vouches_for() {
    let regs = request(0xC400_006F, 0x0002_8001, [0, 0x10, 1, 2, 3, 4]);
    let Task::Frame(message) = task(&regs, SPMC) else { panic!("no frame") };
    assert_eq!(message.sender.get(), 2);
    assert_eq!(message.words, [0x10, 1, 2, 3, 4]);
}

#[test]
fn a_32_bit_frame_is_refused_and_answered_to_its_sender() {
    let Task::Answer(answer) =
        task(&request(0x8400_006F, 0x0001_8001, [0, 0x10, 0, 0, 0, 0]), SPMC)
    else {
        panic!("no answer")
    };
    assert_eq!(answer.x(0), 0x8400_0070);
    assert_eq!(answer.x(1), 0x8001_0001);
    assert_eq!(answer.x(3), 0x10 | u64::from(Status::BadArgument.code()) << 16);
}

#[test]
fn a_message_of_fourteen_words_keeps_all_of_them_and_is_answered_in_kind() {
    // x2 and x3 hold a UUID, whose bit 31 says nothing of a framework message.
    let mut regs = Regs([0; 18]);
    let head = [0xC400_008D, 0x0002_8001, 0xa14a_9824_b528_60c6, 0xf0ab_2261_da77_e79d];
    for (register, value) in regs.0.iter_mut().zip(head.into_iter().chain(1..)) {
        *register = value;
    }
    let Task::Long(message) = task(&regs, SPMC) else { panic!("no long message") };
    assert_eq!(message.sender.get(), 2);
    assert_eq!(message.words, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    let uuid = Uuid::from_bytes(causeway_virtio::msg::dialect::DEVICE_ROLE_UUID);
    assert_eq!(message.uuid, uuid);
    let answer = answer_long(&message, [9; 14]);
    assert_eq!((answer.x(0), answer.x(1), answer.x(2)), (0xC400_008E, 0x8001_0002, 0));
    assert_eq!((answer.x(4), answer.x(17)), (9, 9));
    let crashed = answer_of_crashed(&regs, SPMC).expect("somebody waits");
    assert_eq!(crashed.x(0), 0xC400_008E);
}

#[test]
fn power_messages_count_only_from_the_spmc() {
    for (sender, status) in [(0x8000_u64, 0), (0, u64::from(u32::MAX - 2)), (1, 0xffff_fffd)] {
        let parties = sender << 16 | 0x8001;
        let psci = request(0x8400_006F, parties, [1 << 31, 0x8400_0002, 0, 0, 0, 0]);
        let (Task::Answer(answer) | Task::CoreOff(answer)) = task(&psci, SPMC) else {
            panic!("no answer")
        };
        assert_eq!(answer.x(0), 0x8400_0070);
        assert_eq!(answer.x(1), 0x8001 << 16 | sender);
        assert_eq!(answer.x(2), 1 << 31 | 2);
        assert_eq!(answer.x(3), status);
    }
}

#[test]
fn a_power_message_with_stale_registers_is_agreed_to_all_the_same() {
    let stale = u64::MAX;
    for x3 in [0x8400_0002, stale] {
        let psci = request(0x8400_006F, 0x8000_8001, [1 << 31, x3, stale, stale, stale, stale]);
        let (Task::Answer(answer) | Task::CoreOff(answer)) = task(&psci, SPMC) else {
            panic!("no answer")
        };
        assert_eq!((answer.x(0), answer.x(2), answer.x(3)), (0x8400_0070, 1 << 31 | 2, 0));
    }
}

#[test]
fn only_the_spmcs_cpu_off_lets_go_of_the_core() {
    let leaves = |x1, x3, x4| {
        let psci = request(0x8400_006F, x1, [1 << 31, x3, x4, 0, 0, 0]);
        matches!(task(&psci, SPMC), Task::CoreOff(_))
    };
    assert!(leaves(0x8000_8001, 0x8400_0002, 0));
    assert!(leaves(0x8000_8001, 0x8400_0002, u64::MAX), "with a stale register as well");
    assert!(!leaves(0x8000_8001, 0x8400_0001, 0) && !leaves(0x8000_8001, 0xc400_0003, 0));
    assert!(!leaves(0x0001_8001, 0x8400_0002, 0), "a VM's word is none");
}

#[test]
fn messages_about_vms_are_not_judged_here() {
    let created = request(0x8400_006F, 0x8001, [1 << 31 | 4, 0, 0, 3, 0, 0]);
    let Task::Vm(framework, event) = task(&created, SPMC) else { panic!("no VM message") };
    assert_eq!(event, VmEvent::Created(EndpointId::from_raw(3)));
    let answer = answer_vm(&framework, event, Err(FfaError::Denied));
    assert_eq!((answer.x(1), answer.x(2)), (0x8001_0000, 1 << 31 | 5));
    assert_eq!(answer.x(3), 0xffff_fffa);
}

#[test]
fn whoever_waits_gets_an_answer_whatever_else_the_registers_hold() {
    // A small deterministic walk over odd values in every register.
    let odd = [0, 1, 3, 0x10, 0xffff, 1 << 31, 1 << 32, u64::MAX, 1 << 31 | 0xff];
    for id in [0x8400_006F_u64, 0xC400_006F] {
        for x1 in [0x0001_8001, 0xffff_0001_0003_8001, 0x8001] {
            for x2 in odd {
                for x3 in odd {
                    let regs = request(id, x1, [x2, x3, x3, x2, x3, x2]);
                    match task(&regs, SPMC) {
                        Task::Answer(answer) | Task::CoreOff(answer) => {
                            // Framework messages are answered in 32 bits (DEN0077A 1.2, 18.2).
                            let framework = answer.x(2) != 0;
                            let expected = if framework { 0x8400_0070 } else { id + 1 };
                            assert_eq!(answer.x(0), expected, "{regs:x?}");
                            assert_eq!(answer.x(1) & 0xffff, x1 >> 16 & 0xffff, "{regs:x?}");
                            assert!(answer.0[8..].iter().all(|x| *x == 0));
                        }
                        Task::Frame(_) => assert_eq!((id, x2), (0xC400_006F, 0)),
                        Task::Vm(..) => assert!(x2 >> 31 != 0),
                        Task::Long(_) => panic!("no message of fourteen words: {regs:x?}"),
                        Task::Wait | Task::Interrupt | Task::Refused(_) => {
                            panic!("unanswered: {regs:x?}")
                        }
                    }
                    assert!(answer_of_crashed(&regs, SPMC).is_some());
                }
            }
        }
    }
}

#[test]
fn what_is_no_request_is_not_answered() {
    for x0 in [0, 0x8400_006D, 0x8400_006B, 0xdead_beef, u64::MAX] {
        assert_eq!(task(&request(x0, 0, [0; 6]), SPMC), Task::Wait, "{x0:#x}");
    }
    assert_eq!(task(&request(0x8400_0062, 0, [0; 6]), SPMC), Task::Interrupt);
    let error = request(0x8400_0060, 0, [0xffff_fffa, 0, 0, 0, 0, 0]);
    assert_eq!(task(&error, SPMC), Task::Refused(FfaError::Denied));
}

#[test]
fn a_refused_bus_message_gets_a_bus_error_with_its_token() {
    let word = u64::from_le_bytes([2, 0x81, 7, 0, 0x34, 0x12, 34, 0]);
    let regs = request(0xC400_006F, 0x0001_8001, [0, word, 1, 2, 3, 4]);
    let answer = answer_of_crashed(&regs, SPMC).unwrap();
    assert_eq!(answer.x(3).to_le_bytes(), [3, 0x87, 7, 0, 0x34, 0x12, 10, 0]);
    assert_eq!(answer.x(4), 0x81);
}

/// What a core's start, stop and interrupts may reach: the answer is made here, from the message
/// alone; neither the grants nor the partition's lock are asked for (KB-27).
#[test]
fn kb_27_a_core_that_goes_off_or_comes_back_reaches_no_grant() {
    // PSCI CPU_SUSPEND, CPU_OFF, CPU_ON and SYSTEM_SUSPEND (DEN0022F, 5.1), in 32 and 64 bits.
    for operation in [0x8400_0001_u64, 0x8400_0002, 0x8400_0003, 0x8400_000e, 0xc400_0001] {
        for flags in [1_u64 << 31, 1 << 31 | 1] {
            let message = request(0x8400_006F, 0x8000_8001, [flags, operation, 0, 0, 0, 0]);
            let reached = task(&message, SPMC);
            let answered = matches!(reached, Task::Answer(_) | Task::CoreOff(_));
            assert!(answered, "{operation:#x}: {reached:?}");
        }
    }
    for vector in [0, 27, 1023] {
        let interrupt = request(0x8400_0062, 0, [vector, 0, 0, 0, 0, 0]);
        assert_eq!(task(&interrupt, SPMC), Task::Interrupt);
    }
}
