//! Owns what is measured, in which order. Never counts by itself.

mod bus;
mod full;
mod idle;

use crate::arch::{configuration, now, say, smc};
use crate::calls::message;
use crate::lives::{Steps, WAYS, Way, live};
use crate::measure::{Clock, Sample};
use crate::spmc::{Area, OWNER, connect};
use causeway_abi::Call;
use causeway_bench::line::Partition;
use causeway_bench::plan::Extent;

/// Calls of one kind, where nothing speaks for another number.
const CALLS: u32 = 64;
/// Lives of one kind.
const LIVES: u32 = 32;
/// Lives of areas with many ranges.
const LONG_LIVES: u32 = 4;
/// RAM of the owner: areas begin here.
const RAM: u64 = 0x8000_0000;
/// The last page below which an area of the sections lies.
const RAM_END: u64 = 0xa700_0000;

/// Measures everything.
pub(crate) fn run() {
    let extent = Extent::parse(&configuration());
    // The machine counts from power-on: what the firmware and both worlds' images took to get here.
    let booted = now();
    connect();
    let partition = who_answers();
    let mut clock = Clock::new(partition);
    say(format_args!("RUN partition={partition:?} extent={extent:?}"));
    let mut boot = Sample::default();
    boot.add(booted, 1);
    clock.print("boot", 0, "power_on_to_hypervisor", boot);
    idle::floor(&mut clock);
    if extent == Extent::Brief {
        return cycle(&mut clock);
    }
    if partition == Partition::Causeway {
        idle::calls(&mut clock, "idle");
        idle::ledger(&mut clock);
        bus::fifo(&mut clock);
        extent.mapped().iter().for_each(|pages| bus::mapped(&mut clock, *pages));
    } else {
        idle::refused_offer(&mut clock, "idle");
    }
    cycle(&mut clock);
    ranges(&mut clock, extent);
    pages(&mut clock, extent);
    for size in extent.live() {
        full::live_grants(&mut clock, *size);
    }
}

/// The empty partition echoes: our own says more than the question.
fn who_answers() -> Partition {
    let asked = message(OWNER, &Call::Version { minor: 0 });
    let answer = smc(&asked);
    if answer[3..] == asked[3..] { Partition::Empty } else { Partition::Causeway }
}

/// Each way of a life of one page, alone.
fn cycle(clock: &mut Clock) {
    let mut steps = Steps::default();
    for way in WAYS {
        for _ in 0..LIVES {
            live(clock, &Area::page(RAM), way, &mut steps);
        }
    }
    steps.print(clock, "cycle", 1);
}

/// Areas of more and more ranges of one page.
fn ranges(clock: &mut Clock, extent: Extent) {
    for ranges in extent.ranges() {
        let mut steps = Steps::default();
        for _ in 0..LONG_LIVES {
            live(clock, &Area { ranges: *ranges, ..Area::page(RAM) }, Way::Mapped, &mut steps);
            live(clock, &Area { ranges: *ranges, ..Area::page(RAM) }, Way::Released, &mut steps);
        }
        steps.print(clock, "ranges", *ranges);
    }
}

/// Areas of one range of more and more pages.
fn pages(clock: &mut Clock, extent: Extent) {
    for pages in extent.pages() {
        let mut steps = Steps::default();
        for _ in 0..LIVES {
            live(clock, &Area { pages: *pages, ..Area::page(RAM) }, Way::Mapped, &mut steps);
            live(clock, &Area { pages: *pages, ..Area::page(RAM) }, Way::Released, &mut steps);
        }
        steps.print(clock, "pages", *pages);
    }
}
