//! Sources, VMs and a clock that the test turns.

use super::{Effect, Fetched, Raised, Router, Taken};
use crate::rate::Limit;
use crate::source::{Counters, IrqError, SourceTerms};
use crate::ticker::Ticker;
use causeway_abi::{SourceId, Trigger};
use causeway_ffa::EndpointId;
use proptest::prelude::*;

const VM1: EndpointId = EndpointId::from_raw(1);
const VM2: EndpointId = EndpointId::from_raw(2);
const NO_LIMIT: Limit = Limit { burst: 0, refill: 0, cooling: 0 };

fn terms(intid: u32, trigger: Trigger, vm: Option<EndpointId>) -> SourceTerms {
    SourceTerms { intid, trigger, vm, limit: NO_LIMIT }
}

/// With all sources opened by their VMs.
fn opened(terms: &[SourceTerms]) -> Router {
    let mut router = Router::new(terms.iter().copied()).unwrap();
    for (id, terms) in (0..).zip(terms) {
        if let Some(vm) = terms.vm {
            router.unmask(0, vm, id).unwrap();
        }
    }
    router
}

fn router() -> Router {
    opened(&[
        terms(29, Trigger::Edge, Some(VM1)),
        terms(40, Trigger::Level, Some(VM1)),
        terms(32, Trigger::Level, Some(VM2)),
        terms(34, Trigger::Level, None),
    ])
}

fn fetched(source: SourceId, count: u32, first_at: u64) -> Fetched {
    Fetched { source, count, first_at, more: false }
}

fn taken(router: &mut Router, now: u64, intid: u32) -> Vec<Effect> {
    match router.taken(now, intid, Raised { events: 1, first_at: now }) {
        Taken::Known(effects) => effects.iter().collect(),
        Taken::Unknown => panic!("{intid} is in the table"),
    }
}

#[test]
fn a_level_source_is_quiet_until_the_vm_completes() {
    let mut router = router();
    assert_eq!(taken(&mut router, 0, 40), [Effect::Quiet(1), Effect::Mask(1), Effect::Ring(VM1)]);
    assert_eq!(router.complete(VM1, 1), Err(IrqError::Nothing), "not fetched yet");
    assert_eq!(router.fetch(VM1), Ok(fetched(1, 1, 0)));
    assert_eq!(router.fetch(VM1), Err(IrqError::Nothing));
    let effects: Vec<_> = router.complete(VM1, 1).unwrap().iter().collect();
    assert_eq!(effects, [Effect::Rearm(1)]);
    assert_eq!(router.complete(VM1, 1), Err(IrqError::Nothing));
}

#[test]
fn edges_that_come_before_the_fetch_are_one_event_with_a_count() {
    let mut router = router();
    assert_eq!(taken(&mut router, 0, 29), [Effect::Quiet(0), Effect::Ring(VM1)]);
    for _ in 0..4 {
        assert_eq!(taken(&mut router, 0, 29), [Effect::Quiet(0)], "the bell has rung");
    }
    assert_eq!(router.fetch(VM1), Ok(fetched(0, 5, 0)));
    let counters = router.counters(VM1, 0).unwrap();
    assert_eq!((counters.taken, counters.delivered, counters.coalesced), (5, 1, 4));
}

#[test]
fn an_edge_after_the_fetch_is_not_lost() {
    let mut router = router();
    taken(&mut router, 0, 29);
    router.fetch(VM1).unwrap();
    assert_eq!(taken(&mut router, 0, 29), [Effect::Quiet(0), Effect::Ring(VM1)]);
    taken(&mut router, 0, 29);
    assert_eq!(router.fetch(VM1), Err(IrqError::Nothing), "one at a time");
    let effects: Vec<_> = router.complete(VM1, 0).unwrap().iter().collect();
    assert_eq!(effects, [Effect::Ring(VM1)]);
    assert_eq!(router.fetch(VM1), Ok(fetched(0, 2, 0)));
}

#[test]
fn a_vm_neither_sees_nor_changes_the_sources_of_another() {
    let mut router = router();
    taken(&mut router, 0, 40);
    assert_eq!(router.fetch(VM2), Err(IrqError::Nothing));
    for source in [0, 1, 3, 4, 15, 16, u16::MAX] {
        assert_eq!(router.mask(VM2, source), Err(IrqError::NoSource));
        assert_eq!(router.unmask(0, VM2, source), Err(IrqError::NoSource));
        assert_eq!(router.complete(VM2, source), Err(IrqError::NoSource));
        assert_eq!(router.counters(VM2, source), Err(IrqError::NoSource));
    }
}

#[test]
fn a_storm_is_masked_at_the_stated_number_and_stays_so_until_it_cooled() {
    let limit = Limit { burst: 8, refill: 100, cooling: 1000 };
    let source = SourceTerms { limit, ..terms(29, Trigger::Edge, Some(VM1)) };
    let mut router = opened(&[source]);
    let masked_at = (1..100).find(|_| taken(&mut router, 50, 29).contains(&Effect::Storm(0)));
    assert_eq!(masked_at, Some(9), "the burst and one");
    assert_eq!(router.unmask(1049, VM1, 0), Err(IrqError::Cooling));
    // What comes all the same is out of turn, and masked again; nobody is rung.
    assert_eq!(taken(&mut router, 60, 29), [Effect::Quiet(0), Effect::Mask(0)]);
    assert_eq!(router.fetch(VM1), Ok(fetched(0, 9, 50)));
    let effects: Vec<_> = router.unmask(1050, VM1, 0).unwrap().iter().collect();
    assert_eq!(effects, [Effect::Rearm(0)]);
    assert_eq!(router.unmask(1050, VM1, 0), Err(IrqError::AlreadySo));
    let counters = router.counters(VM1, 0).unwrap();
    assert_eq!((counters.storms, counters.out_of_turn), (1, 1));
}

#[test]
fn below_the_limit_no_interrupt_is_lost_or_masked() {
    let limit = Limit { burst: 4, refill: 100, cooling: 1000 };
    let source = SourceTerms { limit, ..terms(29, Trigger::Edge, Some(VM1)) };
    let mut router = opened(&[source]);
    for tick in 1..=10_000_u64 {
        let effects = taken(&mut router, tick * 100, 29);
        assert!(!effects.contains(&Effect::Mask(0)), "tick {tick}");
        if tick % 3 == 0 {
            router.fetch(VM1).unwrap();
            router.complete(VM1, 0).unwrap();
        }
    }
    let counters = router.counters(VM1, 0).unwrap();
    let told = counters.delivered + counters.coalesced + router.waiting(0);
    assert_eq!((counters.taken, told, counters.dropped), (10_000, 10_000, 0));
}

#[test]
fn events_of_a_dead_vm_go_nowhere() {
    let mut router = router();
    taken(&mut router, 0, 29);
    taken(&mut router, 0, 29);
    taken(&mut router, 0, 40);
    let mut closed = Vec::new();
    router.vm_destroyed(VM1, |source| closed.push(source));
    assert_eq!(closed, [0, 1]);
    assert!(!router.has_event(VM1));
    assert_eq!(router.unmask(0, VM1, 0), Err(IrqError::NoSource));
    // Its next life starts without them, and asks for its sources itself.
    let mut again = Vec::new();
    router.vm_created(VM1, |source| again.push(source));
    assert_eq!(again, [0, 1]);
    assert_eq!(router.fetch(VM1), Err(IrqError::Nothing));
    assert_eq!(router.counters(VM1, 0).unwrap().dropped, 2);
    router.unmask(0, VM1, 0).unwrap();
    assert_eq!(taken(&mut router, 0, 29), [Effect::Quiet(0), Effect::Ring(VM1)]);
}

#[test]
fn a_source_is_closed_until_the_vm_that_it_is_bound_to_opens_it() {
    let mut router = router();
    assert_eq!(taken(&mut router, 0, 34), [Effect::Quiet(3), Effect::Mask(3)]);
    let effects: Vec<_> = router.bind(3, Some(VM2)).unwrap().iter().collect();
    assert_eq!(effects, [Effect::Mask(3)]);
    assert_eq!(taken(&mut router, 0, 34), [Effect::Quiet(3), Effect::Mask(3)]);
    let effects: Vec<_> = router.unmask(0, VM2, 3).unwrap().iter().collect();
    assert_eq!(effects, [Effect::Rearm(3)]);
    assert!(taken(&mut router, 0, 34).contains(&Effect::Ring(VM2)));
    // Bound to another: what waited for the first is dropped.
    router.bind(3, Some(VM1)).unwrap();
    assert!(!router.has_event(VM2) && !router.has_event(VM1));
}

#[test]
fn counters_are_of_one_vm_and_another_that_gets_the_source_begins_at_zero() {
    let mut router = router();
    let count = |router: &mut Router, vm| router.counters(vm, 0).map(|c| (c.taken, c.dropped));
    taken(&mut router, 0, 29);
    router.vm_destroyed(VM1, |_| ());
    taken(&mut router, 0, 29);
    // The same VM's next life, or the same VM bound again: they go on.
    router.vm_created(VM1, |_| ());
    router.bind(0, None).unwrap();
    router.bind(0, Some(VM1)).unwrap();
    assert_eq!(count(&mut router, VM1), Ok((2, 2)));
    // Another, at once or after nobody, learns nothing of them; nor does the first of the other's.
    router.bind(0, Some(VM2)).unwrap();
    assert_eq!(router.counters(VM2, 0), Ok(Counters::default()));
    taken(&mut router, 0, 29);
    assert_eq!(count(&mut router, VM2), Ok((1, 1)));
    router.bind(0, None).unwrap();
    taken(&mut router, 0, 29);
    router.bind(0, Some(VM1)).unwrap();
    assert_eq!(router.counters(VM1, 0), Ok(Counters::default()));
}

#[test]
fn an_unknown_interrupt_is_said_to_be_so_and_a_manifest_with_one_twice_is_refused() {
    let raised = Raised { events: 1, first_at: 0 };
    assert_eq!(router().taken(0, 33, raised), Taken::Unknown);
    let twice = [terms(29, Trigger::Edge, None), terms(29, Trigger::Level, Some(VM1))];
    assert_eq!(Router::new(twice).unwrap_err(), IrqError::Table);
    let many = (32..49).map(|intid| terms(intid, Trigger::Edge, None));
    assert_eq!(Router::new(many).unwrap_err(), IrqError::Table);
}

#[test]
fn a_timer_that_is_looked_at_late_has_its_events_counted_and_none_is_lost() {
    let mut router = router();
    router.arm(VM1, 0, Ticker::new(0, 10, 10_000)).unwrap();
    assert_eq!(router.arm(VM2, 0, Ticker::default()), Err(IrqError::NoSource));
    assert_eq!((router.next_due(), router.take_due(9, 29)), (Some(10), None));
    let raised = router.take_due(45, 29).unwrap();
    assert_eq!(raised, Raised { events: 4, first_at: 10 });
    router.taken(45, 29, raised);
    assert_eq!(router.fetch(VM1), Ok(fetched(0, 4, 10)));
    // Masked: the timer need not interrupt; what it would have raised is dropped, and said to be so.
    router.mask(VM1, 0).unwrap();
    assert_eq!((router.next_due(), router.take_due(95, 29)), (None, None));
    router.unmask(95, VM1, 0).unwrap();
    assert_eq!(router.next_due(), Some(100));
    let counters = router.counters(VM1, 0).unwrap();
    assert_eq!((counters.taken, counters.delivered, counters.dropped), (9, 1, 5));
    // Its VM is gone: it stops.
    router.vm_destroyed(VM1, |_| ());
    assert_eq!(router.next_due(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 400 }))]

    /// Every interrupt is accounted for, whatever VMs, hypervisor and devices do, and no VM is told
    /// of a source that is not its own.
    #[test]
    fn every_interrupt_is_accounted_for(
        steps in prop::collection::vec((0..13_u8, 0..5_u16, 1..3_u16, 0..500_u64), 1..200),
    ) {
        let limit = Limit { burst: 3, refill: 50, cooling: 300 };
        let mut all = [
            terms(29, Trigger::Edge, Some(VM1)),
            terms(40, Trigger::Level, Some(VM1)),
            terms(32, Trigger::Level, Some(VM2)),
            terms(34, Trigger::Edge, None),
        ];
        for source in &mut all { source.limit = limit; }
        let mut router = opened(&all);
        let mut bound = [Some(VM1), Some(VM1), Some(VM2), None];
        let mut now = 0;
        for (what, source, vm, pause) in steps {
            now = u64::saturating_add(now, pause);
            let vm = EndpointId::from_raw(vm);
            let own = bound.get(usize::from(source)).is_some_and(|b| *b == Some(vm));
            match what {
                0..=3 => {
                    if let Some(terms) = all.get(usize::from(source)) {
                        for effect in taken(&mut router, now, terms.intid) {
                            if let Effect::Ring(rung) = effect {
                                prop_assert_eq!(bound[usize::from(source)], Some(rung));
                            }
                        }
                    }
                }
                4 => if let Ok(fetched) = router.fetch(vm) {
                    prop_assert_eq!(bound[usize::from(fetched.source)], Some(vm));
                },
                5 => prop_assert!(router.complete(vm, source).is_err() || own),
                6 => prop_assert!(router.mask(vm, source).is_err() || own),
                7 => prop_assert!(router.unmask(now, vm, source).is_err() || own),
                8 => if router.bind(source, Some(vm)).is_ok() {
                    bound[usize::from(source)] = Some(vm);
                },
                9 => {
                    let armed = router.arm(vm, source, Ticker::new(now, pause, 5));
                    prop_assert!(armed.is_err() || own);
                }
                10 => if let Some(intid) = all.get(usize::from(source)).map(|terms| terms.intid)
                    && let Some(raised) = router.take_due(now, intid)
                {
                    router.taken(now, intid, raised);
                },
                11 => {
                    router.vm_destroyed(vm, |_| ());
                    for gone in bound.iter_mut().filter(|b| **b == Some(vm)) { *gone = None; }
                }
                _ => router.vm_created(vm, |id| bound[usize::from(id)] = Some(vm)),
            }
        }
        for id in 0..4_u16 {
            let Some(vm) = bound[usize::from(id)] else { continue };
            let Counters { taken, delivered, coalesced, dropped, .. } =
                router.counters(vm, id).unwrap();
            let told = [delivered, coalesced, dropped, router.waiting(id)];
            prop_assert_eq!(taken, told.iter().sum::<u64>());
        }
    }
}
