//! Holds answers to their registers.

use super::*;
use crate::MemHandle;

fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn decode(regs: &Regs) -> Result<Answer, DecodeError> {
    Answer::decode(regs, Version::V1_2)
}

fn one_of_each() -> Vec<Answer> {
    let handle = MemHandle::new(0xffff_ffc0).unwrap();
    let (sender, receiver) = (id(0x8001), id(1));
    let target = Vcpu { endpoint: id(0x8001), vcpu: 1 };
    let words = [u64::MAX; 5];
    vec![
        Answer::success(),
        Answer::handle(handle),
        Answer::endpoint(id(0x8001)),
        Answer::two_words(3, 24),
        Answer::Success(Success::double_words([u64::MAX; 16])),
        Answer::Error(FfaError::NotSupported),
        Answer::Error(FfaError::Unknown(-77)),
        Answer::MemRetrieveResp(Lengths::new(8192, 4096).unwrap()),
        Answer::MemFragRx { handle, offset: 4096, endpoint: id(1) },
        Answer::MemFragTx { handle, length: 4096, endpoint: id(0) },
        Answer::DirectResp(DirectMessage { sender, receiver, width: Width::Bits64, words }),
        Answer::DirectResp2(DirectMessage2 {
            sender,
            receiver,
            uuid: crate::Uuid::NIL,
            words: [1; 14],
        }),
        Answer::FrameworkResp(Framework {
            sender,
            receiver,
            message: crate::call::FrameworkMessage::VmCreatedResp { status: Ok(()) },
        }),
        Answer::Interrupt { target, interrupt: 29 },
        Answer::Yield { target },
        Answer::MsgWait,
    ]
}

#[test]
fn every_answer_survives_its_registers() {
    for answer in one_of_each() {
        assert_eq!(decode(&answer.encode()), Ok(answer));
    }
}

#[test]
fn results_are_found_where_the_specification_puts_them() {
    let handle = MemHandle::new(0x1234_5678_ffff_ffc0).unwrap();
    let Answer::Success(success) = Answer::handle(handle) else { panic!("no success") };
    assert_eq!((success.w(2), success.w(3)), (0xffff_ffc0, 0x1234_5678));
    assert_eq!(success.handle(), Some(handle));
    assert_eq!((success.x(1), success.x(18), success.w(0)), (0, 0, 0));
    let invalid = Success::words([u32::MAX, u32::MAX, 0, 0, 0, 0]);
    assert_eq!(invalid.handle(), None, "the invalid handle is no handle");
    let Answer::Success(own) = Answer::endpoint(id(7)) else { panic!("no success") };
    assert_eq!(own.endpoint(), id(7));
    let rung = Notifications {
        from_sps: 1 << 40 | 1,
        from_vms: u64::MAX,
        from_spm: 5,
        from_hypervisor: 6,
    };
    let Answer::Success(got) = Answer::notifications(&rung) else { panic!("no success") };
    assert_eq!(got.notifications(), rung);
}

/// TF-A returns error codes as sign-extended ints and leaves x1.. stale after simple successes.
#[test]
fn stale_and_sign_extended_upper_halves_are_ignored() {
    let error = Regs([u64::MAX; 18]).with(0, 0x8400_0060).with(2, u64::MAX - 5);
    assert_eq!(decode(&error), Ok(Answer::Error(FfaError::Denied)));
    let success = Regs([u64::MAX; 18]).with(0, 0x8400_0061);
    let Ok(Answer::Success(stale)) = decode(&success) else { panic!("no success") };
    assert_eq!(stale, Success::words([u32::MAX; 6]), "w registers only");
    let resp = Regs::ZERO.with_run(0, &[0x8400_0075, 0xdead_0000_0060, 0xbeef_0000_0060]);
    assert_eq!(decode(&resp), Ok(Answer::MemRetrieveResp(Lengths::new(96, 96).unwrap())));
    let frag =
        Answer::MemFragTx { handle: MemHandle::new(1).unwrap(), length: 16, endpoint: id(0) };
    let regs = frag.encode();
    assert_eq!(decode(&regs.with(3, regs.x(3) | 1 << 32)), Ok(frag));
}

#[test]
fn kb_12_unused_registers_are_zero() {
    for answer in one_of_each() {
        let regs = answer.encode();
        let used = match answer {
            Answer::Success(s) if s.width() == Width::Bits64 => 18,
            Answer::Success(_) | Answer::DirectResp(_) => 8,
            Answer::DirectResp2(_) => 18,
            Answer::Error(_) | Answer::MemRetrieveResp(_) | Answer::Interrupt { .. } => 3,
            Answer::MemFragRx { .. } | Answer::MemFragTx { .. } => 5,
            Answer::FrameworkResp(_) => 4,
            Answer::Yield { .. } => 2,
            Answer::MsgWait => 1,
        };
        assert!(regs.0[used..].iter().all(|x| *x == 0), "{answer:?}");
    }
}

#[test]
fn requests_are_no_answers() {
    for call in [Call::IdGet, Call::MemRelinquish, Call::Run { target: Vcpu::default() }] {
        let func = call.encode().func().unwrap();
        assert_eq!(decode(&call.encode()), Err(DecodeError::WrongDirection(func)));
    }
    let total_too_short = Regs::ZERO.with_run(0, &[0x8400_0075, 16, 32]);
    assert_eq!(decode(&total_too_short), Err(DecodeError::BadField { register: 2 }));
    assert!(matches!(decode(&Regs::ZERO), Err(DecodeError::UnknownFunction { raw: 0 })));
}

#[test]
fn pending_lists_survive_their_packing_in_both_widths() {
    for (width, room) in [(Width::Bits32, 10), (Width::Bits64, 20)] {
        for count in 0..=room {
            let ids: Vec<EndpointId> = (1..=count).map(id).collect();
            let mut info = NotificationInfo::new(width);
            ids.iter().for_each(|one| info.push(*one));
            match decode(&info.answer().encode()) {
                Ok(Answer::Success(success)) => {
                    assert_eq!(success.pending().collect::<Vec<_>>(), ids);
                    assert_eq!(success.w(2) & 1, 0);
                }
                other => assert!(count == 0 && other == Ok(Answer::Error(FfaError::NoData))),
            }
            if count == room {
                info.push(id(99));
                let Answer::Success(full) = info.answer() else { panic!("no success") };
                assert_eq!((full.w(2) & 1, full.pending().count()), (1, ids.len()));
            }
        }
    }
}

#[test]
fn the_short_ways_find_what_decode_finds_or_nothing() {
    let mut files: Vec<Regs> = one_of_each().into_iter().map(|answer| answer.encode()).collect();
    // As TF-A leaves them: upper halves that are not the registers', lengths that make no sense.
    files.push(Regs([u64::MAX; 18]).with(0, 0xffff_ffff_8400_0061));
    files.push(Regs([u64::MAX; 18]).with(0, 0xc400_0061));
    for lengths in [[16, 32], [0, 0], [32, 0], [0xdead_0000_0060, 0xbeef_0000_0010]] {
        files.push(Regs::ZERO.with_run(0, &[0x1_8400_0075, lengths[0], lengths[1]]));
    }
    let (mut plain, mut retrieved) = (0, 0);
    for regs in files {
        if Answer::is_success32(&regs.smc8()) {
            let found = decode(&regs);
            assert!(matches!(found, Ok(Answer::Success(s)) if s.width() == Width::Bits32));
            plain += 1;
        }
        if let Some(lengths) = Answer::retrieved(&regs.smc8()) {
            assert_eq!(decode(&regs), Ok(Answer::MemRetrieveResp(lengths)));
            retrieved += 1;
        }
    }
    assert!(plain >= 2 && retrieved >= 2, "{plain} {retrieved}");
}
