//! `irq_figures`: on one core that counts instructions: ten thousand ticks below the limit, a storm above
//! it, and a VM that computes.

use super::{Counts, TIMER, counts, tick, troubles, unmask};
use crate::rt::{Boot, interrupt, signal, time};
use crate::{check, say};

const MILLIS: u64 = 20_000;
const TICKS: u32 = 10_000;
const INTERVAL_US: u32 = 50;
/// Ten times what the limit lets through.
const STORM_US: u32 = 4;
/// The events after which a storm must have been masked: the burst of 32 interrupts, what is refilled
/// meanwhile, and what a late look counts together.
const STORM_EVENTS: u64 = 100;
/// How long VM 3 counts.
const WINDOW_US: u64 = 50_000;
const ROUNDS: usize = 3;

/// VM 1.
pub(in crate::programs) fn first(_boot: &Boot) {
    interrupt::serve(true);
    let interval = u64::from(INTERVAL_US) * time::frequency() / 1_000_000;
    let seen = interrupt::seen(TIMER);
    let opened = unmask(TIMER);
    let begin = time::ticks();
    let armed = tick(INTERVAL_US, TICKS);
    let ticks = u64::from(TICKS);
    let came = interrupt::wait(MILLIS, || seen.events() >= ticks);
    let elapsed = (time::ticks() - begin) / interval.max(1);
    let below = counts(TIMER);
    let told = below.delivered + below.coalesced;
    check!(
        "irq_figures/each_of_10000_ticks_is_told",
        opened.is_ok() && armed.is_ok() && came && told == ticks && below.dropped == 0,
        "{opened:?} {armed:?} {came} {below:?}"
    );
    let by_clock = (ticks..=ticks + 2).contains(&elapsed) && seen.events() == ticks;
    check!("irq_figures/as_many_as_the_counter_says", by_clock, "{elapsed} {}", seen.events());
    check!("irq_figures/9900_are_delivered_each_for_itself", below.delivered >= 9_900, "{below:?}");
    // On this machine an instruction takes a nanosecond.
    let instructions = |ticks: u64| ticks * 1_000_000 / (time::frequency() / 1000).max(1);
    let (worst, mean) = (instructions(seen.worst()), instructions(seen.mean()));
    let undisturbed = round(0, 0);
    let disturbed = round(STORM_US, u32::MAX);
    let after = counts(TIMER);
    let [_, storms] = troubles(TIMER);
    let stormed = after.taken - below.taken;
    check!(
        "irq_figures/storm_is_masked_within_100_events",
        storms == 1 && stormed <= STORM_EVENTS,
        "{storms} {stormed}"
    );
    let pace = disturbed * 100 / undisturbed.max(1);
    check!("irq_figures/others_keep_90_percent_of_their_pace", pace >= 90, "{pace}");
    // Its cooling time may not be quite over.
    let opened = time::wait_until(MILLIS, || unmask(TIMER).is_ok());
    let before = counts(TIMER);
    let computing = round(1_000, 20);
    let Counts { delivered, coalesced, .. } = counts(TIMER);
    let during = delivered - before.delivered;
    let told_then = during + coalesced - before.coalesced;
    check!(
        "irq_figures/computing_vm_is_preempted",
        opened && computing > 0 && during >= 18 && told_then == 20,
        "{opened} {computing} {during} {told_then}"
    );
    say!(
        "RESULT job=irq_figures ticks_by_counter={elapsed} ticks_told={told} delivered={} \
         coalesced={} dropped={} latency_worst_instructions={worst} latency_mean_instructions={mean} \
         storm_masked_after_events={stormed} storms={storms} pace_percent={pace}",
        below.delivered,
        below.coalesced,
        below.dropped,
    );
}

/// VM 3 counts, while the timer ticks as asked; returns how far it came.
fn round(interval_us: u32, count: u32) -> u64 {
    signal::send(3, 1);
    if count > 0 {
        let armed = tick(interval_us, count);
        assert!(armed.is_ok(), "not armed: {armed:?}");
    }
    interrupt::open();
    let counted = signal::receive_within(3, MILLIS);
    interrupt::close();
    let stopped = tick(1, 0);
    assert!(stopped.is_ok(), "not stopped: {stopped:?}");
    counted
}

/// VM 3: computes and calls nothing.
pub(in crate::programs) fn third(_boot: &Boot) {
    for _ in 0..ROUNDS {
        let _go = signal::receive_within(1, MILLIS);
        let end = time::ticks() + WINDOW_US * time::frequency() / 1_000_000;
        let mut counted = 0_u64;
        while time::ticks() < end {
            counted += 1;
        }
        signal::send(1, counted);
    }
}
