//! Holds watchdogs to their times, their policy, and the lives of their VMs.

use super::*;

pub(super) fn start(guest: &Guest, timeout_ms: u32, warning_ms: u32) -> Result<[u64; 4], Refusal> {
    ask(guest, VaultCall::WatchdogStart { timeout_ms, warning_ms })
}

fn logged(platform: &Platform, text: &str) -> usize {
    platform.log().iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_watchdog_warns_then_asks_the_hypervisor_for_a_restart_once() {
    let (platform, [one, two]) = boot();
    start(&one, 1000, 300).unwrap();
    platform.pass(600);
    assert_eq!(ask(&one, VaultCall::WatchdogLeft), Ok([400, 0, 0, 0]));
    ask(&one, VaultCall::WatchdogPing).unwrap();
    platform.pass(750);
    assert_eq!(ask(&one, VaultCall::WatchdogLeft), Ok([250, 1, 0, 0]), "warned");
    assert_eq!(ask(&two, VaultCall::WatchdogPing), refused(Status::WatchdogNotArmed));
    assert_eq!(ask(&two, VaultCall::WatchdogStop), refused(Status::WatchdogNotArmed));
    platform.pass(251);
    assert_eq!(logged(&platform, "fired: RestartVm"), 1);
    assert_eq!(platform.restarts_asked(), [1]);
    assert_eq!(ask(&one, VaultCall::WatchdogLeft), refused(Status::WatchdogNotArmed));
    platform.pass(5000);
    assert_eq!(platform.restarts_asked(), [1], "once");
}

#[test]
fn a_watchdog_that_policy_says_so_resets_the_platform() {
    let rule = WatchdogRule { action: WatchdogAction::ResetSystem, ..WATCHDOG };
    let (platform, [one, _]) = boot_with(Services { watchdog: Some(rule), ..ALL }, ALL);
    start(&one, 100, 0).unwrap();
    platform.pass(99);
    assert_eq!(logged(&platform, "reset"), 0);
    platform.pass(2);
    assert_eq!(logged(&platform, "reset"), 1);
}

#[test]
fn times_outside_policy_and_a_stop_that_policy_forbids_are_refused() {
    let (platform, [one, two]) = boot_with(
        ALL,
        Services { watchdog: Some(WatchdogRule { may_stop: true, ..WATCHDOG }), ..ALL },
    );
    for (timeout, warning) in [(49, 0), (5001, 0), (0, 0), (u32::MAX, 0), (100, 100), (100, 200)] {
        assert_eq!(start(&one, timeout, warning), refused(Status::WatchdogTime));
    }
    start(&one, 100, 0).unwrap();
    assert_eq!(ask(&one, VaultCall::WatchdogStop), refused(Status::WatchdogMayNotStop));
    start(&two, 100, 0).unwrap();
    assert_eq!(ask(&two, VaultCall::WatchdogStop), Ok([0; 4]));
    platform.pass(200);
    assert_eq!(platform.restarts_asked(), [1], "the stopped one never fires");
    let (_, [none, _]) = boot_with(Services::NONE, ALL);
    assert_eq!(start(&none, 100, 0), refused(Status::PolicyService));
    let met = ask(&none, VaultCall::WatchdogPing);
    assert_eq!(met, refused(Status::PolicyService));
}

#[test]
fn the_watchdog_of_a_vm_that_was_destroyed_in_order_never_fires() {
    let (platform, [one, _]) = boot();
    start(&one, 100, 0).unwrap();
    assert!(platform.kill(1));
    platform.pass(200);
    assert!(platform.restarts_asked().is_empty());
}

#[test]
fn a_restart_that_an_old_life_is_due_is_not_asked_for_the_new_one() {
    let (platform, [one, _]) = boot();
    start(&one, 100, 0).unwrap();
    platform.machine().pass(200);
    // The hypervisor destroys the VM before it looks.
    platform.interrupts_unseen();
    assert_eq!(logged(&platform, "fired: RestartVm"), 1);
    assert!(platform.kill(1) && platform.restart(1));
    platform.pass(200);
    assert_eq!(platform.restarts_asked(), [0_u16; 0]);
}

#[test]
fn the_watchdog_of_a_vm_that_is_dying_fires_no_more() {
    let (platform, [one, two]) = boot();
    for page in 8..32 {
        one.grant(LOCAL, &[one.pages(page, 1)]).unwrap();
    }
    start(&one, 100, 0).unwrap();
    assert!(!platform.say_destroyed(1), "its grants take more than one message");
    platform.pass(200);
    assert!(ask(&two, VaultCall::State).is_ok());
    assert_eq!(logged(&platform, "fired"), 0);
    assert!(platform.say_destroyed(1) && platform.restarts_asked().is_empty());
}

#[test]
fn of_vms_that_are_to_be_restarted_together_none_waits_for_another_doorbell() {
    let mut policy = causeway_fake_spmc::platform::standard_policy(3, PAGES);
    for vm in 1..=3 {
        policy.set_services(EndpointId::from_raw(vm), ALL).unwrap();
    }
    let setup = Setup { vm_pages: PAGES, policy: Some(policy), ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    for vm in 1..=3 {
        start(&Guest::new(&platform, vm, PAGES), 100, 0).unwrap();
    }
    platform.machine().pass(200);
    platform.interrupts_unseen();
    for (vm, more) in [(1, true), (2, true), (3, false)] {
        let [_, _, word, deadline] = platform.hypervisor(Call::HypPoll).unwrap().results;
        assert_eq!(word & 0xffff_ffff_0001_0000, vm << 32 | 1 << 16);
        let now = platform.machine().now();
        assert_eq!(deadline != 0 && deadline <= now, more, "VM {vm}: {deadline} at {now}");
    }
}

#[test]
fn a_vm_that_arms_its_watchdog_again_and_again_rings_nobody() {
    let (platform, [one, _]) = boot();
    for _ in 0..20 {
        start(&one, 5000, 0).unwrap();
        start(&one, 50, 0).unwrap();
        assert!(!platform.take_bell(1), "the secure timer looks at the deadline");
    }
}
