//! `irq_situations`: interrupts while a VM computes, while the partition runs, while their VM is off,
//! from a device that lies, and around the switching and
//! the suspending of a core.

use super::{CLOCK, TIMER, UART, call, counts, provoke, tick, troubles, unmask};
use crate::calls::{self, Met};
use crate::check;
use crate::rt::second::{call_once, suspend_and_call_once, suspend_this_one};
use crate::rt::{Boot, hvc, interrupt, signal, time};
use causeway_abi::{Call, InfoPage, InterruptCall, SourceId, Status};

const MILLIS: u64 = 15_000;
/// The core of VM 1's second processor, which carries no VM.
const SPARE_CORE: u64 = 3;

/// VM 1, the controller.
pub(in crate::programs) fn first(_boot: &Boot) {
    interrupt::serve(true);
    computing();
    inside_the_partition();
    busy_partition();
    target_off();
    lying_clock();
    core_off_and_on();
    suspended();
    let wrong = interrupt::wrong();
    check!("irq_situations/handler_met_no_surprise", wrong == 0, "{wrong}");
}

/// No call, no rest: only an interrupt makes this VM leave its loop.
fn computing() {
    let seen = interrupt::seen(TIMER);
    let opened = unmask(TIMER);
    let armed = tick(2_000, 1);
    let end = time::now_micros() + MILLIS * 1000;
    interrupt::open();
    while seen.events() == 0 && time::now_micros() < end {
        core::hint::spin_loop();
    }
    interrupt::close();
    let came = opened.is_ok() && armed.is_ok() && seen.events() == 1;
    check!("irq_situations/vm_that_computes_is_interrupted", came, "{opened:?} {armed:?}");
}

/// The UART raises its line within the call; the interrupt is pending until the partition leaves.
fn inside_the_partition() {
    let opened = unmask(UART);
    let asked = provoke(UART);
    let info = call(InterruptCall::Info { source: UART, page: InfoPage::State });
    let waits = info.map(|[_, _, waiting, _]| waiting);
    let came = interrupt::wait(MILLIS, || interrupt::seen(UART).events() == 1);
    let fine = opened.is_ok() && asked.is_ok() && waits == Ok(1) && came;
    check!(
        "irq_situations/raised_in_the_partition_comes_after_it",
        fine,
        "{opened:?} {asked:?} {waits:?} {came}"
    );
}

/// VM 3 calls the partition without a pause, on another core.
fn busy_partition() {
    let seen = interrupt::seen(TIMER);
    seen.forget();
    signal::send(3, FIRST_LIFE);
    let armed = tick(500, 50);
    let came = interrupt::wait(MILLIS, || seen.events() >= 50);
    signal::send(3, 1);
    let theirs = signal::receive(3);
    check!(
        "irq_situations/busy_partition_loses_none",
        armed.is_ok() && came && seen.events() == 50 && theirs > 0,
        "{armed:?} {came} {} {theirs}",
        seen.events()
    );
}

fn bind(source: SourceId, vm: u64) -> u64 {
    let [answer, ..] = hvc::call([hvc::vendor::BIND, source.into(), vm, 0, 0, 0, 0, 0]);
    answer
}

fn until_done(id: u64, x1: u64, x2: u64) -> bool {
    time::wait_until(MILLIS, || hvc::call([id, x1, x2, 0, 0, 0, 0, 0])[0] == 0)
}

/// The timer is VM 3's and ticks; VM 3 dies, is gone, comes back.
fn target_off() {
    let bound = bind(TIMER, 3);
    let foreign = unmask(TIMER) == Err(Met::Status(Status::NoSource));
    signal::send(3, 1);
    let ticking = signal::receive(3);
    check!(
        "irq_situations/source_is_bound_to_another",
        bound == 0 && foreign && ticking > 0,
        "{bound} {foreign} {ticking}"
    );
    let killed = until_done(hvc::vendor::KILL, 3, 0);
    let taken = interrupt::taken();
    let nobody = interrupt::wait(30, || interrupt::taken() > taken);
    let restarted = until_done(hvc::vendor::RESTART, 3, 0);
    // The new VM 3 is not the one whose bits were bound.
    signal::open();
    signal::send(3, SECOND_LIFE);
    check!(
        "irq_situations/ticks_of_a_vm_that_is_off_go_nowhere",
        killed && !nobody && restarted,
        "{killed} {nobody} {restarted}"
    );
    let refused = bind(UART, 3);
    let denied = refused == u64::from(Status::PolicySource.code());
    check!("irq_situations/policy_says_to_whom_a_source_is_bound", denied, "{refused}");
    let bound = bind(TIMER, 1);
    let seen = interrupt::seen(TIMER);
    seen.forget();
    let opened = unmask(TIMER);
    let armed = tick(1_000, 3);
    let came = interrupt::wait(MILLIS, || seen.events() == 3);
    check!(
        "irq_situations/rebound_source_is_heard",
        bound == 0 && opened.is_ok() && armed.is_ok() && came,
        "{bound} {opened:?} {armed:?} {came}"
    );
}

/// The hypervisor makes the clock interrupt without cause, again and again.
fn lying_clock() {
    let opened = unmask(CLOCK);
    let seen = interrupt::seen(CLOCK);
    let lie = |count| hvc::call([hvc::vendor::LIE, count, 0, 0, 0, 0, 0, 0])[0] == 0;
    let mut lies = 0;
    while lies < 20 && troubles(CLOCK)[1] == 0 {
        let before = seen.events();
        if !lie(1) || !interrupt::wait(MILLIS, || seen.events() > before) {
            break;
        }
        lies += 1;
    }
    let heard = seen.events();
    let again = lie(64);
    let more = interrupt::wait(20, || seen.events() > heard);
    let closed = unmask(CLOCK);
    let counted = counts(CLOCK);
    // Four at once and the one beyond; on a slow machine one more for each refill that passed.
    let masked = (5..20).contains(&lies);
    let fine = opened.is_ok() && masked && again && !more && counted.taken == heard;
    check!(
        "irq_situations/lying_source_is_counted_and_masked",
        fine && closed == Err(Met::Status(Status::Cooling)),
        "{opened:?} {lies} {again} {more} {closed:?} {counted:?}"
    );
}

/// VM 1's second processor arms the timer on a core that is then switched off, and on again.
fn core_off_and_on() {
    let seen = interrupt::seen(TIMER);
    seen.forget();
    let arm = |interval_us, count| {
        let arm = InterruptCall::Arm { source: TIMER, interval_us, count };
        call_once(calls::registers(&Call::Interrupt(arm)), MILLIS).is_some()
    };
    let armed = arm(3_000, 20);
    let off = until_done(hvc::vendor::CORE, SPARE_CORE, 0);
    let came = interrupt::wait(MILLIS, || seen.events() == 20);
    check!(
        "irq_situations/alarm_outlives_its_core",
        armed && off && came,
        "{armed} {off} {came} {}",
        seen.events()
    );
    let on = until_done(hvc::vendor::CORE, SPARE_CORE, 1);
    let armed = arm(1_000, 5);
    let came = interrupt::wait(MILLIS, || seen.events() == 25);
    check!(
        "irq_situations/core_that_came_back_has_interrupts",
        on && armed && came,
        "{on} {armed} {came} {}",
        seen.events()
    );
}

/// Both of VM 1's processors suspend themselves: one goes on behind its call, the other begins anew.
fn suspended() {
    let seen = interrupt::seen(TIMER);
    seen.forget();
    let armed = tick(2_000, 10);
    let end = time::now_micros() + MILLIS * 1000;
    let mut slept = true;
    while seen.events() < 10 && time::now_micros() < end {
        slept &= suspend_this_one();
        interrupt::open();
        interrupt::close();
    }
    check!(
        "irq_situations/suspended_processor_is_woken_by_each_interrupt",
        armed.is_ok() && slept && seen.events() == 10,
        "{armed:?} {slept} {}",
        seen.events()
    );
    // Masked as it is, the interrupt stays pending for the processor that sleeps.
    let armed = tick(20_000, 1);
    let arm = InterruptCall::Arm { source: TIMER, interval_us: 1_000, count: 5 };
    let anew = suspend_and_call_once(calls::registers(&Call::Interrupt(arm)), MILLIS);
    let came = interrupt::wait(MILLIS, || seen.events() == 16);
    check!(
        "irq_situations/powered_down_processor_begins_anew_at_an_interrupt",
        armed.is_ok() && anew && came,
        "{armed:?} {anew} {came} {}",
        seen.events()
    );
}

/// What VM 1 tells VM 3 first in each of its lives.
const FIRST_LIFE: u64 = 1;
const SECOND_LIFE: u64 = 2;

/// VM 3, in both of its lives.
pub(in crate::programs) fn third(_boot: &Boot) {
    if signal::receive_within(1, 2 * MILLIS) == FIRST_LIFE {
        first_life();
    }
    let nothing = call(InterruptCall::Fetch) == Err(Met::Status(Status::NothingWaits));
    let events = calls::partition(&Call::Events).map(|[word, ..]| word & 8);
    let closed = unmask(TIMER) == Err(Met::Status(Status::NoSource));
    check!(
        "irq_situations/new_life_hears_nothing_of_the_old",
        nothing && events == Ok(0) && closed,
        "{nothing} {events:?} {closed}"
    );
}

/// Keeps the partition busy; then owns the timer until it is killed.
fn first_life() -> ! {
    let mut calls = 0;
    while !signal::has_word(1) {
        for _ in 0..100 {
            calls += u64::from(calls::partition(&Call::Version { minor: 3 }).is_ok());
        }
        signal::fetch();
    }
    let _stop = signal::receive(1);
    signal::send(1, calls);
    let _go = signal::receive(1);
    let ticking = unmask(TIMER).and_then(|()| tick(1_000, u32::MAX)).is_ok();
    signal::send(1, if ticking { 1 } else { 0 });
    loop {
        time::rest();
    }
}
