//! Holds the connection to its rules: buffers come back, answers are checked, errors name a rule.

use super::*;
use crate::conduit::InProcess;
use crate::error::Party;
use crate::testing::{FakeWorld, Fault, PARTITION};
use causeway_ffa::{FfaError, FuncId, Regs};

#[test]
fn an_open_connection_knows_both_ids_and_gives_its_buffers_back() {
    let world = FakeWorld::new();
    let conduit = world.vm(2);
    let connection = Connection::open(&conduit, world.mailbox(2)).unwrap();
    assert_eq!((connection.id().get(), connection.partition()), (2, PARTITION));
    assert_eq!((connection.service().max_pages, connection.service().max_ranges), (64, 640));
    connection.close().unwrap();
    world.assert_clean("closed");
    world.assert_unmapped(2, "closed");
}

#[test]
fn whichever_call_of_opening_fails_nothing_stays_behind() {
    let world = FakeWorld::new();
    drop(Connection::open(&world.vm(1), world.mailbox(1)).unwrap());
    let calls = world.calls();
    let mut failures = 0;
    for fault in [Fault::Refused, Fault::Garbage, Fault::LostAnswer] {
        for skip in 0..calls {
            let world = FakeWorld::new();
            world.fail_after(skip, fault);
            let context = format!("{fault:?} at {skip}");
            match Connection::open(&world.vm(1), world.mailbox(1)) {
                // The failing call was RX_RELEASE, UNMAP, or not for the partition.
                Ok(open) => {
                    world.stop_failing();
                    open.close().unwrap();
                }
                Err(failed) => {
                    failures += 1;
                    assert!(failed.mailbox.is_some(), "{context}");
                }
            }
            world.assert_clean(&context);
            world.assert_unmapped(1, &context);
        }
    }
    assert!(failures >= 10, "{failures}");
}

#[test]
fn the_refused_call_is_named() {
    let world = FakeWorld::new();
    world.fail_after(2, Fault::Refused);
    let failed = Connection::open(&world.vm(1), world.mailbox(1)).unwrap_err();
    let expected = Error::Ffa { call: FuncId::RxTxMap64, error: FfaError::Denied };
    assert_eq!(failed.error, expected);
}

/// Opens a connection whose answers to direct requests are changed by `change`.
fn with_changed_answers<T>(
    change: impl Fn(&mut Regs) + Send + Sync,
    test: impl FnOnce(&Connection<'_>, &FakeWorld) -> T,
) -> T {
    let world = FakeWorld::new();
    let inner = world.vm(1);
    let armed = std::sync::atomic::AtomicBool::new(false);
    let conduit = InProcess::new(|regs: &mut Regs| {
        let direct = regs.func() == Some(FuncId::DirectReq64);
        inner.call(regs);
        if direct && armed.load(std::sync::atomic::Ordering::Relaxed) {
            change(regs);
        }
    });
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    armed.store(true, std::sync::atomic::Ordering::Relaxed);
    test(&connection, &world)
}

#[test]
fn an_answer_from_somebody_else_is_the_hypervisors_fault() {
    for parties in [0x8002_0001, 0x8001_0002] {
        let answer = with_changed_answers(
            |regs| regs.0[1] = parties,
            |c, _| c.call(Call::Version { minor: 0 }),
        );
        let expected = Error::hypervisor(Rule::AnswerParties);
        assert_eq!(answer, Err(expected));
        assert_eq!(expected.blame(), Party::Hypervisor);
    }
}

#[test]
fn an_answer_to_another_call_is_the_partitions_fault() {
    let answer =
        with_changed_answers(|regs| regs.0[3] ^= 1, |c, _| c.call(Call::Version { minor: 0 }));
    assert_eq!(answer, Err(Error::partition(Rule::AnswerNumber)));
    let answer = with_changed_answers(
        |regs| regs.0[3] |= 0xffff_0000,
        |c, _| c.call(Call::Version { minor: 0 }),
    );
    assert_eq!(answer, Err(Error::partition(Rule::AnswerValues)));
}

/// The partition is busy so many times.
fn busy(world: &FakeWorld, times: u32) {
    let mut left = times;
    world.falsify(move |_, _, _| {
        left = left.saturating_sub(1);
        (left > 0).then_some(Status::Busy)
    });
}

#[test]
fn busy_is_tried_again_and_not_for_ever() {
    let call = Call::Version { minor: 0 };
    with_changed_answers(
        |_| (),
        |connection, world| {
            busy(world, 3);
            assert!(connection.call(call).is_ok());
            busy(world, 1000);
            let refused = connection.call(call).unwrap_err();
            assert_eq!(refused, Error::Refused { call: call.id(), status: Status::Busy });
            assert_eq!(refused.blame(), Party::Partition);
        },
    );
}

#[test]
fn an_interrupted_call_is_resumed() {
    let world = FakeWorld::new();
    let inner = world.vm(1);
    let kept = std::sync::Mutex::new((Regs::ZERO, 0));
    let conduit = InProcess::new(|regs: &mut Regs| {
        let mut kept = kept.lock().unwrap();
        match regs.func() {
            Some(FuncId::DirectReq64) => {
                inner.call(regs);
                *kept = (*regs, 2);
            }
            Some(FuncId::Run) => kept.1 -= 1,
            _ => return inner.call(regs),
        }
        // FFA_INTERRUPT for partition 0x8001, vCPU 3, until it has been run twice.
        *regs = kept.0;
        if kept.1 > 0 {
            *regs = Regs::ZERO;
            regs.0[0] = u64::from(FuncId::Interrupt.raw());
            regs.0[1] = 0x8001_0003;
        }
    });
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    assert_eq!(connection.service().max_ranges, 640);
}
