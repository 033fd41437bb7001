//! Holds calls of several processors of one VM, or of several VMs, to some order: a call that comes
//! in the middle of another's sequence is told to come again and changes nothing, and what comes out
//! is what one after the other gives.

use super::*;
use crate::lab::vm;

/// An active grant 7 of VM 1 to VM 2, and 8 to 10 sent but not offered.
fn scene() -> Small {
    let mut lab = Small::active(7);
    lab.send(8, 1, terms(Some(2)), &[pages(0x120, 1)]);
    lab.send(9, 1, terms(None), &[pages(0x121, 1)]);
    lab.send(10, 1, terms(None), &[pages(0x120, 2)]);
    lab.granted(1, offer(9, terms(None)));
    lab
}

fn calls(lab: &mut Small) -> Vec<(u16, Call)> {
    let seen = lab.summary(2, 7);
    let of_owner = [
        offer(8, terms(Some(2))),
        offer(10, terms(None)),
        offer(77, terms(None)),
        revoke(7),
        revoke(9),
        Call::State { handle: handle(7) },
        Call::Events,
    ];
    let of_peer = [
        release(7),
        Call::Accept { handle: handle(7), seen },
        Call::List { cursor: 0 },
        Call::Inspect { handle: handle(8), range_index: 0 },
    ];
    let of_hypervisor = [unmapped(7, 2), mapping(8, 2), Call::HypPoll];
    let all = [(1, of_owner.to_vec()), (2, of_peer.to_vec()), (0, of_hypervisor.to_vec())];
    all.into_iter().flat_map(|(id, calls)| calls.into_iter().map(move |c| (id, c))).collect()
}

#[test]
fn calls_of_several_processors_take_effect_one_after_the_other() {
    let calls = calls(&mut scene());
    let mut met = 0;
    for (first_vm, first) in calls.iter().copied() {
        for (second_vm, second) in calls.iter().copied() {
            let mut alone = scene();
            let expected = [alone.call(first_vm, first), alone.call(second_vm, second)];
            let mut lab = scene();
            lab.faults.meanwhile = Some((vm(second_vm), second));
            let reply = lab.call(first_vm, first);
            lab.faults.meanwhile = None;
            assert_eq!(lab.intruder, None, "{second:?} got into {first:?}");
            met += lab.intrusions;
            assert_eq!([reply, lab.call(second_vm, second)], expected, "{first:?}, {second:?}");
            assert!(lab.broker == alone.broker, "{first:?}, {second:?}");
            assert_eq!(lab.shares, alone.shares);
        }
    }
    assert!(met > calls.len(), "{met} calls came in the middle of another");
}

#[test]
fn a_call_that_is_told_to_come_again_rings_nobody_and_is_in_the_ledger() {
    let mut lab = scene();
    lab.faults.meanwhile = Some((vm(1), revoke(9)));
    let (rings, records) = (lab.rings, lab.records.len());
    lab.granted(1, offer(8, terms(Some(2))));
    assert_eq!((lab.intrusions, lab.intruder), (1, None));
    let busy = |r: &&crate::Record| {
        matches!(r.action, crate::Action::Refused { status: Status::Busy, .. })
    };
    assert_eq!(lab.records.iter().skip(records).filter(busy).count(), 1);
    assert!(lab.rings <= rings + 1, "only the offer's");
    lab.state_is(1, 9, LifeState::Active);
}
