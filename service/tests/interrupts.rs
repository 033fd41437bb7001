//! Holds the routing of secure interrupts to its promises, over both controllers: the partition's own GIC,
//! and the one that Hafnium keeps. Devices, controller and VMs are the fake machine's.

use causeway_abi::{Call, InfoPage, InterruptCall as Irq, SourceId, SourceState, Status, Trigger};
use causeway_fake_spmc::platform::standard_policy;
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use causeway_memshare::Action;
use causeway_memshare::policy::{InterruptRule, SourceLimit};

const VM_PAGES: u32 = 64;
const TIMER: SourceId = 0;
const UART: SourceId = 1;
const GPIO: SourceId = 2;
const NOBODYS: SourceId = 3;
const NO_DEVICE: SourceId = 4;
const LIMIT: SourceLimit = SourceLimit { burst: 4, refill_us: 1000, cooling_ms: 10 };

fn vm(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn boot(personality: Personality) -> Platform {
    let mut policy = standard_policy(3, VM_PAGES);
    let rule = |intid, trigger, owner, heir| InterruptRule {
        intid,
        trigger,
        vm: owner,
        heirs: [heir, None, None, None],
        vm_arms: intid != 32,
        limit: LIMIT,
    };
    for source in [
        rule(29, Trigger::Edge, Some(vm(1)), Some(vm(2))),
        rule(40, Trigger::Level, Some(vm(1)), Some(vm(3))),
        rule(32, Trigger::Level, Some(vm(2)), None),
        rule(34, Trigger::Level, None, Some(vm(2))),
        rule(77, Trigger::Level, Some(vm(1)), None),
    ] {
        policy.add_interrupt(source).unwrap();
    }
    Platform::boot(&Setup { vm_pages: VM_PAGES, policy: Some(policy), ..Setup::new(personality) })
}

fn ask(platform: &Platform, vm: u16, call: Irq) -> Result<[u64; 4], Status> {
    let reply = platform.service(vm, Call::Interrupt(call)).unwrap();
    if reply.status == Status::Ok { Ok(reply.results) } else { Err(reply.status) }
}

fn bind(platform: &Platform, source: SourceId, vm: Option<EndpointId>) -> Status {
    platform.hypervisor(Call::Interrupt(Irq::Bind { source, vm })).unwrap().status
}

fn provoke(source: SourceId) -> Irq {
    Irq::Arm { source, interval_us: 0, count: 1 }
}

fn counts(platform: &Platform, vm: u16, source: SourceId) -> [u64; 4] {
    ask(platform, vm, Irq::Info { source, page: InfoPage::Counts }).unwrap()
}

/// Every event that waits, completed: which source, how many.
fn drain(platform: &Platform, vm: u16) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    while let Ok([event, ..]) = ask(platform, vm, Irq::Fetch) {
        all.push((event & 0xffff, event >> 32));
        let source = SourceId::try_from(event & 0xffff).unwrap();
        ask(platform, vm, Irq::Complete { source }).unwrap();
    }
    all
}

fn actions(platform: &Platform, subject: u16) -> Vec<(Action, u32)> {
    let of_sources = |action| {
        matches!(
            action,
            Action::InterruptBound | Action::InterruptUnbound | Action::InterruptStormed
        )
    };
    platform.partition(|p| {
        let entries = p.ledger().entries(Some(vm(subject)));
        let entries = entries.filter(|e| of_sources(e.record.action));
        entries.map(|e| (e.record.action, e.record.generation)).collect()
    })
}

#[test]
fn both_controllers_route_alike() {
    for personality in [Personality::EL3, Personality::HAFNIUM] {
        let platform = boot(personality.clone());
        let open = || platform.machine().wires(|wires| wires.is_open(40));
        let held = || platform.machine().wires(|wires| wires.is_held(40));
        assert!(!open(), "closed until its VM opens it");
        assert_eq!(ask(&platform, 1, Irq::Unmask { source: UART }), Ok([0; 4]));
        assert!(open());
        ask(&platform, 1, provoke(UART)).unwrap();
        assert!(held());
        platform.interrupts();
        assert!(!held() && !open(), "quieted, and held at the controller");
        assert!(platform.take_bell(1) && !platform.take_bell(2));
        let events = platform.service(1, Call::Events).unwrap();
        assert_eq!(events.results[0] & 8, 8);
        assert_eq!(ask(&platform, 2, Irq::Fetch), Err(Status::NothingWaits));
        let now = platform.machine().now();
        assert_eq!(ask(&platform, 1, Irq::Fetch), Ok([1 << 32 | u64::from(UART), 0, now, 0]));
        assert!(!open());
        ask(&platform, 1, Irq::Complete { source: UART }).unwrap();
        assert!(open());
        let is_virtual = personality == Personality::HAFNIUM;
        assert_eq!(platform.machine().wires(|wires| wires.virtual_calls() > 0), is_virtual);
    }
}

#[test]
fn where_partitions_get_no_interrupts_no_source_is_there() {
    let platform = boot(Personality::OPTEE);
    for source in [TIMER, UART] {
        let refused = ask(&platform, 1, Irq::Unmask { source });
        assert_eq!(refused, Err(Status::DeviceCannot));
    }
}

#[test]
fn each_rule_about_sources_has_its_own_status() {
    let platform = boot(Personality::EL3);
    let state = || platform.machine().wires(|wires| (wires.is_open(40), wires.is_open(32)));
    let before = (state(), counts(&platform, 1, UART), counts(&platform, 2, GPIO));
    for source in [GPIO, NOBODYS, 5, 16, u16::MAX] {
        for call in [
            Irq::Complete { source },
            Irq::Mask { source },
            Irq::Unmask { source },
            Irq::Arm { source, interval_us: 1, count: 1 },
            Irq::Info { source, page: InfoPage::State },
        ] {
            assert_eq!(ask(&platform, 1, call), Err(Status::NoSource), "{call:?}");
        }
    }
    assert_eq!(ask(&platform, 1, Irq::Fetch), Err(Status::NothingWaits));
    assert_eq!(ask(&platform, 1, Irq::Complete { source: UART }), Err(Status::NothingWaits));
    assert_eq!(ask(&platform, 1, Irq::Mask { source: UART }), Err(Status::AlreadySo));
    assert_eq!(ask(&platform, 2, provoke(GPIO)), Err(Status::PolicySource));
    let twice = Irq::Arm { source: UART, interval_us: 7, count: 2 };
    assert_eq!(ask(&platform, 1, twice), Err(Status::DeviceCannot));
    let of_vm = ask(&platform, 1, Irq::Bind { source: UART, vm: None });
    assert_eq!(of_vm, Err(Status::NotHypervisor));
    let as_hypervisor = platform.hypervisor(Call::Interrupt(Irq::Fetch)).unwrap();
    assert_eq!(as_hypervisor.status, Status::UnknownCaller);
    assert_eq!(bind(&platform, 9, Some(vm(1))), Status::NoSource);
    assert_eq!(bind(&platform, UART, Some(vm(2))), Status::PolicySource);
    assert_eq!((state(), counts(&platform, 1, UART), counts(&platform, 2, GPIO)), before);
}

#[test]
fn a_source_without_a_device_stays_closed() {
    let platform = boot(Personality::EL3);
    let refused = ask(&platform, 1, Irq::Unmask { source: NO_DEVICE });
    assert_eq!(refused, Err(Status::DeviceCannot));
    assert_eq!(ask(&platform, 1, provoke(NO_DEVICE)), Err(Status::DeviceCannot));
    assert!(!platform.machine().wires(|wires| wires.is_claimed(77)));
    assert!(platform.log().iter().any(|line| line.contains("interrupt 77")));
}

#[test]
fn of_ten_thousand_ticks_each_is_told_however_late_anybody_looks() {
    for personality in [Personality::EL3, Personality::HAFNIUM] {
        let platform = boot(personality);
        ask(&platform, 1, Irq::Unmask { source: TIMER }).unwrap();
        let arm = Irq::Arm { source: TIMER, interval_us: 1000, count: 10_000 };
        ask(&platform, 1, arm).unwrap();
        let mut told = 0;
        // Pauses of 1 to 7 ms: mostly several ticks at once.
        for step in 0..4000_u64 {
            platform.pass(1 + step % 7);
            platform.interrupts();
            told += drain(&platform, 1).iter().map(|(_, count)| count).sum::<u64>();
        }
        assert_eq!(told, 10_000);
        let [taken, delivered, coalesced, dropped] = counts(&platform, 1, TIMER);
        assert_eq!((taken, delivered + coalesced, dropped), (10_000, 10_000, 0));
        assert_eq!(platform.machine().wires(|wires| wires.alarm()), None, "nothing is left to do");
    }
}

#[test]
fn a_storm_is_masked_reported_and_over() {
    let platform = boot(Personality::EL3);
    ask(&platform, 1, Irq::Unmask { source: UART }).unwrap();
    let storm = |limit: u32| {
        (1..=limit).find(|_| {
            platform.machine().wires(|wires| wires.raise(40));
            platform.interrupts();
            drain(&platform, 1);
            let [_, state, ..] =
                ask(&platform, 1, Irq::Info { source: UART, page: InfoPage::State }).unwrap();
            SourceState::from_bits(state).is(SourceState::STORMED)
        })
    };
    assert_eq!(storm(100), Some(5), "the burst and one");
    assert_eq!(actions(&platform, 1).last(), Some(&(Action::InterruptStormed, u32::from(UART))));
    // The device goes on: nothing comes through, and nobody is called.
    assert!(platform.take_bell(1));
    platform.machine().wires(|wires| wires.raise(40));
    platform.interrupts();
    assert!(platform.machine().wires(|wires| wires.is_held(40)) && !platform.take_bell(1));
    let early = ask(&platform, 1, Irq::Unmask { source: UART });
    assert_eq!(early, Err(Status::Cooling));
    platform.pass(10);
    ask(&platform, 1, Irq::Unmask { source: UART }).unwrap();
    platform.interrupts();
    assert_eq!(drain(&platform, 1), [(u64::from(UART), 1)]);
}

#[test]
fn events_of_a_dead_vm_go_nowhere_and_its_sources_are_bound_anew() {
    let platform = boot(Personality::EL3);
    for source in [TIMER, UART] {
        ask(&platform, 1, Irq::Unmask { source }).unwrap();
    }
    ask(&platform, 1, Irq::Arm { source: TIMER, interval_us: 1000, count: 100 }).unwrap();
    ask(&platform, 1, provoke(UART)).unwrap();
    platform.interrupts();
    assert!(platform.take_bell(1));
    assert!(platform.kill(1));
    let wires = |look: fn(&causeway_fake_spmc::wires::Wires) -> bool| {
        platform.machine().wires(|wires| look(wires))
    };
    assert!(wires(|w| !w.is_open(40)) && wires(|w| w.alarm().is_none()));
    platform.pass(5);
    platform.interrupts();
    assert!((1..=3).all(|vm| !platform.take_bell(vm)));
    // The hypervisor gives the timer to VM 2, which opens it itself.
    assert_eq!(bind(&platform, TIMER, Some(vm(2))), Status::Ok);
    ask(&platform, 2, Irq::Unmask { source: TIMER }).unwrap();
    ask(&platform, 2, Irq::Arm { source: TIMER, interval_us: 1000, count: 1 }).unwrap();
    platform.pass(1);
    platform.interrupts();
    assert_eq!(drain(&platform, 2), [(u64::from(TIMER), 1)]);
    // VM 1 comes back: the UART is its own again, closed; the timer is another's now.
    assert!(platform.restart(1));
    assert_eq!(ask(&platform, 1, Irq::Fetch), Err(Status::NothingWaits));
    assert_eq!(ask(&platform, 1, Irq::Unmask { source: TIMER }), Err(Status::NoSource));
    assert_eq!(counts(&platform, 1, UART), [1, 0, 0, 1], "dropped with the VM that died");
    ask(&platform, 1, Irq::Unmask { source: UART }).unwrap();
    ask(&platform, 1, provoke(UART)).unwrap();
    platform.interrupts();
    assert_eq!(drain(&platform, 1), [(u64::from(UART), 1)]);
    use Action::{InterruptBound as Bound, InterruptUnbound as Unbound};
    let of_one = [
        (Bound, 0),
        (Bound, 1),
        (Bound, 4),
        (Unbound, 0),
        (Unbound, 1),
        (Unbound, 4),
        (Bound, 1),
        (Bound, 4),
    ];
    assert_eq!(actions(&platform, 1), of_one);
    assert_eq!(actions(&platform, 2), [(Bound, u32::from(GPIO)), (Bound, u32::from(TIMER))]);
}

#[test]
fn what_a_device_raised_for_one_vm_is_not_heard_by_the_next() {
    for dies in [false, true] {
        for personality in [Personality::EL3, Personality::HAFNIUM] {
            let platform = boot(personality);
            // Closed, so that its line waits.
            ask(&platform, 1, provoke(UART)).unwrap();
            assert!(!dies || platform.kill(1));
            assert_eq!(bind(&platform, UART, Some(vm(3))), Status::Ok);
            ask(&platform, 3, Irq::Unmask { source: UART }).unwrap();
            platform.interrupts();
            assert_eq!((drain(&platform, 3), counts(&platform, 3, UART)), (vec![], [0; 4]));
            ask(&platform, 3, provoke(UART)).unwrap();
            platform.interrupts();
            assert_eq!(drain(&platform, 3), [(u64::from(UART), 1)], "its own is");
        }
    }
}

#[test]
fn characters_that_come_are_counted_and_those_that_come_meanwhile_wait_for_the_completion() {
    let platform = boot(Personality::EL3);
    let arrive = |count| {
        platform.machine().wires(|wires| wires.arrive(40, count));
        platform.interrupts();
    };
    ask(&platform, 1, Irq::Unmask { source: UART }).unwrap();
    arrive(3);
    let [event, ..] = ask(&platform, 1, Irq::Fetch).unwrap();
    assert_eq!(event, u64::from(UART) | 3 << 32);
    arrive(2);
    assert_eq!(ask(&platform, 1, Irq::Fetch), Err(Status::NothingWaits), "held until completion");
    ask(&platform, 1, Irq::Complete { source: UART }).unwrap();
    platform.interrupts();
    let [event, ..] = ask(&platform, 1, Irq::Fetch).unwrap();
    assert_eq!(event, u64::from(UART) | 2 << 32);
    assert_eq!(counts(&platform, 1, UART), [5, 2, 3, 0]);
}

#[test]
fn a_source_that_lies_is_counted_and_told_to_nobody() {
    let platform = boot(Personality::EL3);
    assert_eq!(bind(&platform, NOBODYS, Some(vm(2))), Status::Ok);
    // The controller lets it through although nobody opened it: as a device that is not what it seems.
    platform.machine().wires(|wires| wires.force_open(34));
    for _ in 0..3 {
        platform.machine().wires(|wires| {
            wires.force_open(34);
            wires.raise(34);
        });
        platform.interrupts();
        assert!(platform.machine().wires(|wires| !wires.is_open(34) && !wires.is_held(34)));
    }
    assert!(!platform.take_bell(2));
    assert_eq!(ask(&platform, 2, Irq::Fetch), Err(Status::NothingWaits));
    let device = Irq::Info { source: NOBODYS, page: InfoPage::Device };
    assert_eq!(ask(&platform, 2, device).unwrap()[0], 3);
}

#[test]
fn the_alarm_moves_to_another_core_when_its_own_is_switched_off() {
    let platform = boot(Personality::EL3);
    let alarm = || platform.machine().wires(|wires| wires.alarm());
    platform.machine().wires(|wires| wires.run_on(1));
    ask(&platform, 1, Irq::Unmask { source: TIMER }).unwrap();
    ask(&platform, 1, Irq::Arm { source: TIMER, interval_us: 5000, count: 3 }).unwrap();
    let deadline = alarm();
    assert!(deadline.is_some());
    platform.core_off();
    assert_eq!(alarm(), None);
    platform.machine().wires(|wires| wires.run_on(0));
    // The other core is called into the partition and takes the alarm over.
    platform.interrupts();
    assert_eq!(alarm(), deadline);
    for _ in 0..3 {
        platform.pass(5);
        platform.interrupts();
    }
    assert_eq!(drain(&platform, 1), [(u64::from(TIMER), 3)]);
}
