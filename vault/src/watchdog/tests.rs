//! Watchdogs, with a clock that the test turns.

use super::{Action, Due, Terms, WATCHDOGS, WatchdogError, Watchdogs};

const TERMS: Terms =
    Terms { action: Action::RestartVm, shortest: 10, longest: 1000, may_stop: true };

#[test]
fn it_warns_then_fires_and_is_silent_afterwards() {
    let mut dogs = Watchdogs::new();
    dogs.start(100, 1, &TERMS, 50, Some(20)).unwrap();
    assert_eq!(dogs.deadline(), Some(130));
    assert_eq!(dogs.due(129), None);
    assert_eq!(dogs.due(130), Some(Due::Warn { vm: 1 }));
    assert_eq!(dogs.due(149), None, "one warning");
    assert_eq!(dogs.deadline(), Some(150));
    assert_eq!(dogs.due(150), Some(Due::Fire { vm: 1, action: Action::RestartVm }));
    assert_eq!(dogs.due(10_000), None);
    assert_eq!(dogs.deadline(), None);
}

#[test]
fn a_ping_starts_the_time_and_the_warning_again() {
    let mut dogs = Watchdogs::new();
    dogs.start(0, 1, &TERMS, 50, Some(20)).unwrap();
    assert_eq!(dogs.due(31), Some(Due::Warn { vm: 1 }));
    dogs.ping(40, 1).unwrap();
    assert_eq!(dogs.due(69), None);
    assert_eq!(dogs.left(69, 1), Ok(21));
    assert_eq!(dogs.due(70), Some(Due::Warn { vm: 1 }));
}

#[test]
fn a_vm_reaches_nothing_of_another() {
    let mut dogs = Watchdogs::new();
    dogs.start(0, 1, &TERMS, 50, None).unwrap();
    assert_eq!(dogs.ping(1, 2), Err(WatchdogError::NotArmed));
    assert_eq!(dogs.stop(2), Err(WatchdogError::NotArmed));
    dogs.start(0, 2, &TERMS, 500, None).unwrap();
    dogs.forget(2);
    assert_eq!(dogs.due(50), Some(Due::Fire { vm: 1, action: Action::RestartVm }));
}

#[test]
fn who_may_not_stop_may_not_lengthen_its_time_beyond_policy_either() {
    let mut dogs = Watchdogs::new();
    let terms = Terms { may_stop: false, ..TERMS };
    dogs.start(0, 1, &terms, 50, None).unwrap();
    assert_eq!(dogs.stop(1), Err(WatchdogError::MayNotStop));
    assert_eq!(dogs.start(0, 1, &terms, 1001, None), Err(WatchdogError::Time));
    assert_eq!(dogs.deadline(), Some(50));
}

#[test]
fn times_outside_policy_are_refused_and_change_nothing() {
    let mut dogs = Watchdogs::new();
    for (timeout, warning) in
        [(9, None), (1001, None), (u64::MAX, None), (0, None), (50, Some(50)), (50, Some(0))]
    {
        assert_eq!(dogs.start(5, 1, &TERMS, timeout, warning), Err(WatchdogError::Time));
    }
    assert_eq!(dogs.deadline(), None);
}

#[test]
fn a_clock_near_its_end_does_not_wrap() {
    let mut dogs = Watchdogs::new();
    dogs.start(u64::MAX - 5, 1, &TERMS, 50, Some(20)).unwrap();
    assert_eq!(dogs.due(u64::MAX - 30), None);
    assert_eq!(dogs.due(u64::MAX - 1), Some(Due::Warn { vm: 1 }));
    assert_eq!(dogs.due(u64::MAX - 1), None);
}

#[test]
fn when_all_are_in_use_the_next_is_refused() {
    let mut dogs = Watchdogs::new();
    for vm in 1..=u16::try_from(WATCHDOGS).unwrap() {
        dogs.start(0, vm, &TERMS, 50, None).unwrap();
    }
    assert_eq!(dogs.start(0, 99, &TERMS, 50, None), Err(WatchdogError::NoRoom));
    dogs.start(1, 3, &TERMS, 60, None).unwrap();
    let fired = core::iter::from_fn(|| dogs.due(1000)).count();
    assert_eq!(fired, WATCHDOGS);
}
