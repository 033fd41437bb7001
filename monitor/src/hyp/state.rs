//! Owns what all cores share, each part behind its own lock; never holds a lock over a wait.
//!
//! Order of locks: a vCPU, then memory (`hyp::memory`), then stage 2, then orders to restart, then
//! lives, then processors, then notifications, then the consoles and the UART. A vCPU's lock is held by
//! its own core while it runs and while a call of its is under way; others take it only while the vCPU
//! is off.

use super::FORBIDDEN;
use crate::arch::gic;
use crate::arch::pool::Pool;
use crate::arch::uart::print_line;
use crate::arch::vcpu::Vcpu;
use causeway_monitor::config::BootConfig;
use causeway_monitor::console::LineBuffer;
use causeway_monitor::counters::Counters;
use causeway_monitor::layout::{Processor, VM_COUNT, VmIndex};
use causeway_monitor::lifecycle::{Life, Order};
use causeway_monitor::notify::Notifications;
use causeway_monitor::processors::Processors;
use causeway_monitor::skips::Skips;
use causeway_monitor::stage2::Stage2Map;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use spin::{Mutex, MutexGuard, Once};

/// The boot configuration.
pub(crate) static CONFIG: Once<BootConfig<'static>> = Once::new();
/// How many cores run; 0 until that is known.
pub(crate) static CORES: AtomicUsize = AtomicUsize::new(0);
/// The doorbells.
pub(crate) static NOTIFY: Mutex<Notifications> = Mutex::new(Notifications::new());
/// The lives of the VMs.
pub(crate) static LIVES: [Mutex<Life>; VM_COUNT] =
    [const { Mutex::new(Life::at_boot()) }; VM_COUNT];
/// VMs that are to be restarted: they are killed in order and started anew.
pub(crate) static RESTARTS: [Mutex<Order>; VM_COUNT] =
    [const { Mutex::new(Order::Nothing) }; VM_COUNT];
/// The virtual processors, by [`Processor::index`].
static VCPUS: [Mutex<Vcpu>; Processor::COUNT] =
    [const { Mutex::new(Vcpu::new()) }; Processor::COUNT];
/// Which of each VM's processors are on.
pub(crate) static PROCESSORS: [Mutex<Processors>; VM_COUNT] =
    [const { Mutex::new(Processors::at_start(1)) }; VM_COUNT];
/// The figures of the run.
pub(crate) static COUNTERS: Counters = Counters::new();
/// Which layer refused a processor's last refused call, by [`Processor::index`].
pub(crate) static LAST_REFUSAL: [AtomicU8; Processor::COUNT] =
    [const { AtomicU8::new(0) }; Processor::COUNT];
/// How many stage-2 faults of a VM are skipped before one kills it.
pub(crate) static FAULT_SKIPS: [Mutex<Skips>; VM_COUNT] =
    [const { Mutex::new(Skips::new()) }; VM_COUNT];
/// How much of a VM's RAM the scrub before its next life has zeroed.
pub(crate) static SCRUBBED: [AtomicU64; VM_COUNT] = [const { AtomicU64::new(0) }; VM_COUNT];

/// Cores that are asked to switch themselves off, bit n for core n.
static LEAVING: AtomicU64 = AtomicU64::new(0);

static CONSOLES: [Mutex<LineBuffer>; VM_COUNT] =
    [const { Mutex::new(LineBuffer::new()) }; VM_COUNT];
static STAGE2: Once<[Mutex<Stage2Map<Pool>>; VM_COUNT]> = Once::new();

/// Asks a core to switch itself off.
pub(crate) fn ask_to_leave(core: usize) {
    LEAVING.fetch_or(1 << core, Ordering::AcqRel);
}

/// Asks it no more.
pub(crate) fn ask_to_stay(core: usize) {
    LEAVING.fetch_and(!(1 << core), Ordering::AcqRel);
}

/// Reports whether a core is asked to switch itself off.
pub(crate) fn must_leave(core: usize) -> bool {
    LEAVING.load(Ordering::Acquire) & 1 << core != 0
}

/// Builds every VM's stage-2 table.
pub(crate) fn build_stage2(config: &BootConfig<'_>) {
    STAGE2.call_once(|| {
        VmIndex::ALL.map(|vm| {
            let mut map = Stage2Map::new(Pool);
            map.map_ram(vm);
            map.map_medium(vm, config.disk);
            Mutex::new(map)
        })
    });
}

/// Locks a VM's stage-2 table.
pub(crate) fn stage2(vm: VmIndex) -> MutexGuard<'static, Stage2Map<Pool>> {
    STAGE2.get().expect("the tables are built before any VM exists")[vm.index()].lock()
}

/// Returns the boot configuration.
pub(crate) fn config() -> &'static BootConfig<'static> {
    CONFIG.get().expect("the configuration is read before any VM exists")
}

/// Returns the core that carries a VM through its life and runs its first processor.
pub(crate) fn home_core(vm: VmIndex) -> usize {
    vm.home_core(CORES.load(Ordering::Acquire))
}

/// Returns the core that runs a processor.
pub(crate) fn core_of(processor: Processor) -> usize {
    processor.vm.core_of(processor.number, CORES.load(Ordering::Acquire))
}

/// Returns the processors that a VM may have.
pub(crate) fn processors_of(vm: VmIndex) -> impl Iterator<Item = Processor> {
    (0..config().vcpus[vm.index()]).map(move |number| Processor { vm, number })
}

/// The registers of a processor.
pub(crate) fn vcpu(processor: Processor) -> &'static Mutex<Vcpu> {
    &VCPUS[processor.index()]
}

/// Reports whether a VM that must not run any more has left all its cores; makes those leave that
/// have not. A call of its in the partition has then returned, too.
pub(crate) fn has_left_its_cores(vm: VmIndex) -> bool {
    let running = processors_of(vm).filter(|processor| vcpu(*processor).try_lock().is_none());
    running.map(|processor| gic::kick(core_of(processor))).count() == 0
}

/// Makes the cores of a VM look at it.
pub(crate) fn wake(vm: VmIndex, spared: Option<usize>) {
    for processor in processors_of(vm) {
        let core = core_of(processor);
        let is_on = PROCESSORS[vm.index()].lock().is_on(processor.number);
        if is_on && Some(core) != spared {
            gic::kick(core);
        }
    }
}

/// Walks the frontend's table for entries that map the disk medium, and keeps the largest count.
pub(crate) fn note_medium_mappings() {
    let (vm, medium) = FORBIDDEN;
    COUNTERS.note_medium_mapped(stage2(vm).entries_that_map(medium));
}

/// Takes console bytes of a VM and prints the lines that they complete.
pub(crate) fn console(vm: VmIndex, bytes: &[u8]) {
    CONSOLES[vm.index()].lock().push(bytes, |line| print_vm_line(vm, line));
}

/// Prints what is left of a VM's last line.
pub(crate) fn finish_console(vm: VmIndex) {
    CONSOLES[vm.index()].lock().finish(|line| print_vm_line(vm, line));
}

fn print_vm_line(vm: VmIndex, line: &str) {
    print_line(format_args!("[vm{}] {line}", vm.id().get()));
}
