//! Holds VERSION, FEATURES, EVENTS, STATS, and frames that are no call.

use super::*;
use crate::event::Event;
use crate::lab::Outcome;
use crate::policy::{Services, WatchdogAction, WatchdogRule};
use causeway_abi::VERSION_MINOR as MINOR;
use causeway_abi::features;

#[test]
fn version_tells_each_caller_its_own_limits() {
    let mut lab = lab();
    let version = |lab: &mut Small, caller| lab.granted(caller, Call::Version { minor: 9 });
    let all = features::GRANTS_TO_VMS | features::LOCAL_AREAS | features::HYPERVISOR;
    assert_eq!(version(&mut lab, 1), [u64::from(MINOR), all, 8, 8]);
    assert_eq!(
        version(&mut lab, 3),
        [u64::from(MINOR), features::LOCAL_AREAS | features::HYPERVISOR, 8, 8]
    );
    assert_eq!(version(&mut lab, 4), [u64::from(MINOR), features::HYPERVISOR, 0, 0]);
}

#[test]
fn version_has_a_bit_for_each_service_that_policy_gives_the_caller() {
    let watchdog = WatchdogRule {
        action: WatchdogAction::RestartVm,
        shortest_ms: 1,
        longest_ms: 2,
        may_stop: true,
    };
    let none = Services::NONE;
    let one_each = [
        (Services { entropy_bytes_per_second: 1, ..none }, features::ENTROPY),
        (Services { counters: 1, ..none }, features::COUNTERS),
        (Services { rpmb: true, ..none }, features::RPMB),
        (Services { key_slots: 1, ..none }, features::KEYS),
        (Services { watchdog: Some(watchdog), ..none }, features::WATCHDOG),
        (none, 0),
    ];
    for (given, bit) in one_each {
        assert_eq!(given.features(), bit);
    }
    let (all, mut policy) = (Services { counters: 1, rpmb: true, ..none }, policy());
    policy.set_services(EndpointId::from_raw(1), all).unwrap();
    let mut lab = Small::new(&policy);
    let services = |lab: &mut Small, caller| {
        lab.granted(caller, Call::Version { minor: 3 })[1] & !(features::ENTROPY - 1)
    };
    assert_eq!(services(&mut lab, 1), features::COUNTERS | features::RPMB);
    assert_eq!(services(&mut lab, 2), 0, "another's are not told");
    let bits: Vec<u64> = features::ALL.iter().map(|(_, bit)| *bit).collect();
    assert!(bits.is_sorted_by(|a, b| a < b) && bits.iter().all(|bit| bit.is_power_of_two()));
}

#[test]
fn version_is_answered_at_once_to_a_live_vm_and_as_the_step_answers_it() {
    let mut lab = lab();
    lab.broker.spmc_donates();
    let frame = Call::Version { minor: 9 }.encode();
    let quick = |lab: &Small, vm, frame| {
        lab.broker.version_at_once(lab.now, EndpointId::from_raw(vm), &frame)
    };
    for vm in 0..=9_u16 {
        let before = lab.broker.clone();
        let event = Event::Frame { caller: EndpointId::from_raw(vm), frame };
        let step = lab.broker.step(lab.now, event);
        let at_once = quick(&lab, vm, frame);
        assert_eq!(at_once.is_some(), (1..=4).contains(&vm), "VM {vm}");
        if let Some(answer) = at_once {
            assert_eq!((step.reply(), step.has_notices()), (Some(&answer), false));
            assert!(lab.broker == before, "VERSION changed something");
        }
    }
    // A bit that is not of the call, an argument too many, a minor version of more than 16 bits.
    for bit in 0..320 {
        let mut other = frame;
        other[bit / 64] ^= 1 << (bit % 64);
        let may = (64..80).contains(&bit);
        assert_eq!(quick(&lab, 1, other).is_some(), may, "bit {bit}");
    }
    lab.destroyed(3);
    assert_eq!(quick(&lab, 3, frame), None, "the caller is gone");
}

#[test]
fn version_waits_for_what_is_due_and_for_a_sequence_under_way() {
    let mut lab = Small::active(7);
    let frame = Call::Version { minor: 9 }.encode();
    let one = EndpointId::from_raw(1);
    lab.granted(1, Call::Revoke { handle: handle(7) });
    assert!(lab.broker.version_at_once(lab.now, one, &frame).is_some());
    assert_eq!(lab.broker.version_at_once(lab.now + 1_000_000, one, &frame), None, "a deadline");
    let call = offer(8, terms(None)).encode();
    lab.send(8, 1, terms(None), &[pages(0x130, 3)]);
    let _retrieve = lab.broker.step(lab.now, Event::Frame { caller: one, frame: call });
    assert_eq!(lab.broker.version_at_once(lab.now, one, &frame), None, "an offer is under way");
}

#[test]
fn features_names_every_call_and_no_other() {
    let mut lab = lab();
    for call_number in 0..=255 {
        let [exists, ..] = lab.granted(3, Call::Features { call_number });
        assert_eq!(exists == 1, CallId::from_number(call_number).is_some());
    }
}

#[test]
fn events_show_offers_and_changes_of_the_caller_only() {
    let mut lab = Small::offered(7);
    assert_eq!([1, 2, 3].map(|vm| lab.events(vm)), [0, 1, 0]);
    let seen = lab.summary(2, 7);
    lab.granted(2, Call::Accept { handle: handle(7), seen });
    assert_eq!([1, 2, 3].map(|vm| lab.events(vm)), [2, 0, 0]);
    assert_eq!(lab.events(1), 0, "read and cleared");
}

#[test]
fn statistics_add_up() {
    let mut lab = Small::active(7);
    lab.send(8, 1, terms(None), &[pages(0x130, 3)]);
    lab.granted(1, offer(8, terms(None)));
    let page = |lab: &mut Small, page| lab.granted(0, Call::Stats { page });
    assert_eq!(page(&mut lab, 0), [2, 5, 3, 1]);
    assert_eq!(page(&mut lab, 1), [0, 0, 2, 0]);
    assert_eq!(page(&mut lab, 16), [1, 2, 5, 3]);
    assert_eq!(page(&mut lab, 17), [2, 0, 0, 0]);
    lab.destroyed(2);
    lab.created(2);
    assert_eq!(page(&mut lab, 17)[0], 2 | 1 << 16 | 1 << 32);
    for page in [2, 15, 20, 255] {
        lab.refused(0, Call::Stats { page }, Status::BadArgument);
    }
}

#[test]
fn a_frame_is_refused_for_its_caller_first_and_for_its_form_next() {
    let mut lab = lab();
    let good = Call::Events.encode();
    let frames = [
        ([0xff, 0, 0, 0, 0], Status::UnknownCall),
        ([good[0] ^ 1 << 16, 1, 0, 0, 0], Status::BadVersion),
        ([good[0] | 1 << 40, 0, 0, 0, 0], Status::ReservedNotZero),
        ([good[0], 1, 0, 0, 0], Status::ReservedNotZero),
        ([u64::from(CallId::Revoke.number()), u64::MAX, 0, 0, 0], Status::NoSuchGrant),
    ];
    for (frame, status) in frames {
        let [number, ..] = frame[0].to_le_bytes();
        for (caller, status) in [(9, Status::UnknownCaller), (1, status)] {
            let caller = EndpointId::from_raw(caller);
            let before = lab.broker.clone();
            let outcome = lab.drive(Event::Frame { caller, frame });
            assert_eq!(outcome, Outcome::Reply(Reply::refused(number, status)));
            assert!(lab.broker == before);
        }
    }
    let caller = EndpointId::from_raw(1);
    let outcome = lab.drive(Event::Frame { caller, frame: good });
    assert_eq!(outcome, Outcome::Reply(Reply::ok(CallId::Events.number(), [0; 4])));
}

#[test]
fn a_result_that_nobody_asked_for_is_ignored() {
    let mut lab = Small::active(7);
    let before = lab.broker.clone();
    for event in [
        Event::Relinquished(Ok(())),
        Event::Retrieved(Err(causeway_ffa::FfaError::Denied)),
        Event::Mapped(Ok(())),
        Event::Unmapped(Ok(())),
        Event::Continue,
    ] {
        assert_eq!(lab.drive(event), Outcome::Idle);
    }
    assert!(lab.broker == before);
}

#[test]
fn a_broker_without_policy_serves_nobody() {
    let mut broker = crate::Broker::<4, 4, 1>::new();
    for caller in 0..=64 {
        let call = Call::Version { minor: 0 };
        let caller = EndpointId::from_raw(caller);
        let step = broker.step(0, Event::call(caller, &call));
        let refused = Reply::refused(CallId::Version.number(), Status::UnknownCaller);
        assert_eq!(step.next(), crate::Next::Reply(refused.encode()));
    }
}
