//! `demo_irq`: VM 1 hears of the secure timer, UART and clock, VM 3 of the secure GPIO, by their own
//! interrupt handlers.

use super::{CLOCK, GPIO, TIMER, UART, call, counts, provoke, tick, unmask};
use crate::calls::{self, Met};
use crate::jobs::{TYPE, TYPED};
use crate::rt::{Boot, interrupt, signal, time};
use crate::{check, say};
use causeway_abi::{Call, CallId, InterruptCall, SourceId, Status};

const MILLIS: u64 = 10_000;
const TICKS: u32 = 20;
const INTERVAL_US: u32 = 2_000;

/// VM 1.
pub(in crate::programs) fn first(_boot: &Boot) {
    let number = CallId::IrqFetch.number();
    let known = calls::partition(&Call::Features { call_number: number });
    let version = calls::partition(&Call::Version { minor: 3 });
    let told = known == Ok([1, 0, 0, 0]) && version.is_ok_and(|words| words[1] & 1 << 5 != 0);
    check!("irq/partition_has_interrupts", told, "{known:?} {version:?}");
    refusals();
    interrupt::serve(true);
    timer();
    let uart = once(UART);
    check!("irq/secure_uart_interrupts", uart.is_ok(), "{uart:?}");
    let clock = once(CLOCK);
    check!("irq/clock_interrupts", clock.is_ok(), "{clock:?}");
    two_at_once();
    masked();
    typed();
    let wrong = interrupt::wrong();
    check!("irq/handler_met_no_surprise", wrong == 0, "{wrong}");
    signal::send(3, 1);
    let theirs = signal::receive(3);
    let per_second = time::frequency();
    let ns = |ticks: u64| ticks.saturating_mul(1_000_000) / (per_second / 1000).max(1);
    let timer = interrupt::seen(TIMER);
    let counted = counts(TIMER);
    say!(
        "RESULT job=irq timer_ticks={} timer_delivered={} timer_coalesced={} timer_dropped={} \
         handler_runs={} latency_worst_ns={} latency_mean_ns={} uart_events={} clock_events={} \
         gpio_events_of_vm3={theirs}",
        counted.taken,
        counted.delivered,
        counted.coalesced,
        counted.dropped,
        interrupt::taken(),
        ns(timer.worst()),
        ns(timer.mean()),
        interrupt::seen(UART).events(),
        interrupt::seen(CLOCK).events(),
    );
}

/// VM 3.
pub(in crate::programs) fn third(_boot: &Boot) {
    interrupt::serve(true);
    let gpio = once(GPIO);
    check!("irq/secure_gpio_interrupts_its_own_vm", gpio.is_ok(), "{gpio:?}");
    let _go = signal::receive(1);
    signal::send(1, interrupt::seen(GPIO).events());
}

fn timer() {
    let opened = unmask(TIMER);
    let armed = tick(INTERVAL_US, TICKS);
    let seen = interrupt::seen(TIMER);
    let came = interrupt::wait(MILLIS, || seen.events() >= u64::from(TICKS));
    let counted = counts(TIMER);
    let all = counted.delivered + counted.coalesced == u64::from(TICKS) && counted.dropped == 0;
    check!(
        "irq/every_timer_tick_is_told",
        opened.is_ok() && armed.is_ok() && came && all,
        "{opened:?} {armed:?} {came} {counted:?}"
    );
    let ran = interrupt::taken() > 0;
    check!("irq/handler_runs_on_the_doorbell", ran);
}

/// Opens a source, has its device interrupt, and waits for the handler to have seen it.
fn once(source: SourceId) -> Result<(), (Option<Met>, u64)> {
    let before = interrupt::seen(source).events();
    let met = unmask(source).and_then(|()| provoke(source)).err();
    let came = interrupt::wait(MILLIS, || interrupt::seen(source).events() > before);
    let events = interrupt::seen(source).events() - before;
    if met.is_none() && came && events == 1 { Ok(()) } else { Err((met, events)) }
}

/// The UART interrupts at once, while this very call is in the partition; the timer a moment later.
fn two_at_once() {
    let before = [TIMER, UART].map(|source| interrupt::seen(source).events());
    let armed = [tick(1, 1), provoke(UART)];
    let came = interrupt::wait(MILLIS, || {
        interrupt::seen(TIMER).events() > before[0] && interrupt::seen(UART).events() > before[1]
    });
    let fine = came && armed.iter().all(Result::is_ok);
    check!("irq/two_sources_at_once", fine, "{came} {armed:?}");
}

/// A masked source is silent; what its device raised meanwhile comes when it is open again.
fn masked() {
    let before = interrupt::seen(UART).events();
    let masked = call(InterruptCall::Mask { source: UART });
    let again = call(InterruptCall::Mask { source: UART });
    let asked = provoke(UART);
    let came = interrupt::wait(50, || interrupt::seen(UART).events() > before);
    let silent = masked.is_ok() && asked.is_ok() && !came;
    check!("irq/masked_source_is_silent", silent, "{masked:?} {asked:?} {came}");
    let twice = again == Err(Met::Status(Status::AlreadySo));
    check!("irq/masking_twice_is_refused", twice, "{again:?}");
    let opened = unmask(UART);
    let again = unmask(UART);
    let came = interrupt::wait(MILLIS, || interrupt::seen(UART).events() > before);
    check!("irq/unmasked_source_is_heard", opened.is_ok() && came, "{opened:?} {came}");
    let twice = again == Err(Met::Status(Status::AlreadySo));
    check!("irq/opening_twice_is_refused", twice, "{again:?}");
}

/// The host types into the secure UART. Each event says how many characters came; while one is not
/// completed, no other is told.
fn typed() {
    let seen = interrupt::seen(UART);
    let all = u64::try_from(TYPED.len()).unwrap_or(u64::MAX);
    let before = seen.events();
    say!("{TYPE}");
    let came = interrupt::wait(MILLIS, || seen.events() >= before + all);
    let told = seen.events() - before;
    check!("irq/characters_that_arrive_interrupt", came && told == all, "{came} {told} of {all}");
    interrupt::serve(false);
    let before = seen.events();
    say!("{TYPE}");
    let first = interrupt::wait(MILLIS, || seen.events() > before);
    let held = seen.events() - before;
    let more = interrupt::wait(100, || seen.events() - before > held);
    interrupt::serve(true);
    let completed = call(InterruptCall::Complete { source: UART });
    let rest = interrupt::wait(MILLIS, || seen.events() >= before + all);
    let told = seen.events() - before;
    check!(
        "irq/level_is_held_until_completion",
        first && held < all && !more && completed.is_ok() && rest && told == all,
        "{first} {held} {more} {completed:?} {rest} {told}"
    );
}

/// What is not the caller's, or makes no sense, is refused by its own status.
fn refusals() {
    let refused = |met: Result<[u64; 4], Met>, status| met == Err(Met::Status(status));
    let mut foreign = true;
    for source in [GPIO, 4, 15, 16, SourceId::MAX] {
        for asked in [
            InterruptCall::Complete { source },
            InterruptCall::Mask { source },
            InterruptCall::Unmask { source },
            InterruptCall::Arm { source, interval_us: 0, count: 1 },
            InterruptCall::Info { source, page: causeway_abi::InfoPage::State },
        ] {
            foreign &= refused(call(asked), Status::NoSource);
        }
    }
    check!("irq/foreign_sources_are_as_invented_ones", foreign);
    let nothing = refused(call(InterruptCall::Fetch), Status::NothingWaits)
        && refused(call(InterruptCall::Complete { source: TIMER }), Status::NothingWaits);
    check!("irq/nothing_waits_before_a_source_is_open", nothing);
    let bind = call(InterruptCall::Bind { source: TIMER, vm: None });
    check!("irq/binding_is_the_hypervisors", refused(bind, Status::NotHypervisor), "{bind:?}");
    let often = call(InterruptCall::Arm { source: UART, interval_us: 5, count: 2 });
    check!("irq/uart_cannot_tick", refused(often, Status::DeviceCannot), "{often:?}");
}
