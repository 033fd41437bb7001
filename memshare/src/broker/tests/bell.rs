//! Holds the doorbells: from empty to non-empty only, limited per sender, none lost.

use super::*;
use crate::event::{Event, Notice};
use crate::lab::vm;

/// Two doorbells in each 100 ticks; the hypervisor has registered.
fn lab() -> Small {
    let mut lab = Lab::new(&policy().with_ring_limit(2));
    lab.granted(0, Call::HypRegister { sgi: 5, core: 0 });
    lab.rings = 0;
    lab
}

/// VM 1 offers a page to VM 2 and takes it back.
fn pester(lab: &mut Small) {
    lab.send(7, 1, terms(Some(2)), &[pages(0x110, 1)]);
    lab.granted(1, offer(7, terms(Some(2))));
    lab.granted(1, revoke(7));
    lab.reclaim(7).unwrap();
}

fn poll(lab: &mut Small) -> (u64, u64) {
    let [bells, _, _, deadline] = lab.granted(0, Call::HypPoll);
    (bells, deadline)
}

#[test]
fn a_bell_that_was_not_fetched_is_not_rung_again() {
    let mut lab = lab();
    for _ in 0..9 {
        pester(&mut lab);
    }
    assert_eq!(lab.rings, 1);
    assert_eq!(poll(&mut lab), (1 << 2, 0), "and took one of the ration");
}

#[test]
fn a_sender_beyond_its_ration_rings_nobody_until_it_is_full_again() {
    let mut lab = lab();
    lab.now = 1000;
    pester(&mut lab);
    assert_eq!(poll(&mut lab), (1 << 2, 0));
    pester(&mut lab);
    // The hypervisor learns with the last doorbell when there may be more.
    assert_eq!(poll(&mut lab), (1 << 2, 1100));
    for _ in 0..50 {
        pester(&mut lab);
        assert_eq!(poll(&mut lab), (0, 1100));
    }
    assert_eq!(lab.rings, 2);
    assert_eq!(lab.events(2) & 2, 2, "whoever looks by itself sees it at once");
    lab.now = 1099;
    assert_eq!(poll(&mut lab), (0, 1100));
    lab.now = 1100;
    assert_eq!(poll(&mut lab), (1 << 2, 0), "what was held back is not lost");
    pester(&mut lab);
    assert_eq!(poll(&mut lab), (1 << 2, 0));
}

#[test]
fn what_a_call_rings_by_itself_is_of_its_callers_ration() {
    let mut lab = lab();
    lab.now = 1000;
    let mut rung = Vec::new();
    for round in 0..4 {
        lab.send(7, 1, terms(Some(2)), &[pages(0x110, 1)]);
        lab.granted(1, offer(7, terms(Some(2))));
        lab.events(1);
        // What VM 1 caused is over before VM 2 calls.
        poll(&mut lab);
        let seen = lab.summary(2, 7);
        lab.granted(2, Call::Accept { handle: handle(7), seen });
        rung.push((round, poll(&mut lab).0 & 1 << 1 != 0));
        lab.granted(1, revoke(7));
        lab.reclaim(7).unwrap();
    }
    assert_eq!(rung, [(0, true), (1, true), (2, false), (3, false)]);
}

#[test]
fn what_was_held_back_rings_with_the_next_entry_of_anybody() {
    let mut lab = lab();
    for _ in 0..3 {
        pester(&mut lab);
        poll(&mut lab);
    }
    assert_eq!(lab.rings, 2);
    lab.now = 100;
    lab.granted(3, Call::Events);
    assert_eq!(lab.rings, 3);
}

#[test]
fn one_senders_ration_is_nothing_to_another() {
    let mut lab = lab();
    for _ in 0..3 {
        pester(&mut lab);
        poll(&mut lab);
    }
    let to_one = GrantTerms { permission: Permission::ReadOnly, ..terms(Some(1)) };
    lab.send(8, 2, to_one, &[pages(0x120, 1)]);
    lab.granted(2, offer(8, to_one));
    assert_eq!(poll(&mut lab).0, 1 << 1);
}

#[test]
fn time_and_the_hypervisor_ring_without_a_ration() {
    let mut lab = lab();
    for round in 0..5 {
        lab.drive(Event::BusWaiting { vm: vm(2), by: None });
        assert_eq!(poll(&mut lab).0, 1 << 2, "{round}");
    }
    for round in 0..5 {
        lab.drive(Event::BusWaiting { vm: vm(2), by: Some(vm(1)) });
        assert_eq!(poll(&mut lab).0 != 0, round < 2, "{round}");
    }
}

#[test]
fn a_vm_that_died_is_not_rung_late() {
    let mut lab = lab();
    for _ in 0..3 {
        pester(&mut lab);
        poll(&mut lab);
    }
    lab.destroyed(2);
    lab.now = 100;
    assert_eq!(poll(&mut lab).0 & (1 << 2), 0);
}

#[test]
fn a_ration_that_was_never_used_up_asks_for_no_poll() {
    let mut lab = Small::new(&policy());
    pester(&mut lab);
    let step = lab.broker.step(0, Event::call(vm(0), &Call::HypPoll));
    assert_eq!(step.notices().filter(|n| matches!(n, Notice::RingHypervisor(_))).count(), 0);
    assert_eq!(lab.broker.next_deadline(), None);
}
