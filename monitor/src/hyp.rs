//! Owns the order of things: boot, the life of each core, the end of the run.

pub(crate) mod core_loop;
pub(crate) mod dispatch;
pub(crate) mod lives;
pub(crate) mod memory;
pub(crate) mod partition;
pub(crate) mod state;
pub(crate) mod trace;

#[cfg(test)]
mod tests;

use crate::arch::uart::say;
use crate::arch::{boot as entry, gic, phys, smc, vcpu};
use causeway_monitor::config::{BootConfig, Trace};
use causeway_monitor::layout::{FRONTEND, MAX_CORES, MEDIUM, VmIndex};
use core::sync::atomic::{AtomicBool, Ordering};
use spin::{Mutex, MutexGuard};

/// Boots the machine, on the first core.
pub(crate) fn boot() -> ! {
    let build = if cfg!(feature = "raw") { "raw" } else { "checked" };
    say!("BOOT build={build} version={}", env!("CARGO_PKG_VERSION"));
    let config = read_config();
    state::CONFIG.call_once(|| config);
    let (disk, commands) = (config.disk, config.commands);
    say!("CONFIG cores={} disk_bytes={} commands={}", config.cores, disk.len_bytes, commands.len());
    if disk.len_bytes == 0 {
        say!("no disk medium is configured: the transfer job will report it");
    }
    if config.trace == Trace::Calls {
        trace::begin();
    }
    state::build_stage2(&config);
    memory::MEMORY.lock().configure(&config);
    say_what_tests_switched(&config);
    gic::init();
    partition::connect();
    let present = gic::core_count();
    // EL3 accepts CPU_ON for cores that the machine does not have: count them before.
    let wanted = config.cores.min(present);
    let started = 1 + (1..wanted).take_while(|core| entry::start(*core)).count();
    say!("CORES present={present} on={started}");
    state::CORES.store(started, Ordering::Release);
    run_core(0)
}

/// A run that a test has bent says so.
fn say_what_tests_switched(config: &BootConfig<'_>) {
    let usual = BootConfig::default();
    let (confirm, check) = (config.confirm, config.store_check);
    if (confirm, check) != (usual.confirm, usual.store_check) {
        say!("CONFIG for tests only: confirm_unmaps={confirm:?} store_check={check:?}");
    }
    if (config.store_quota, config.vcpus) != (usual.store_quota, usual.vcpus) {
        say!("CONFIG store_quota={:?} vcpus={:?}", config.store_quota, config.vcpus);
    }
}

/// Runs a core for ever.
pub(crate) fn run_core(core: usize) -> ! {
    vcpu::init_core();
    gic::init_core(core);
    while state::CORES.load(Ordering::Acquire) == 0 {
        core::hint::spin_loop();
    }
    core_loop::Core::new(core).run()
}

fn read_config() -> BootConfig<'static> {
    static TEXT: Mutex<[u8; 0x1_0000]> = Mutex::new([0; 0x1_0000]);
    let text = MutexGuard::leak(TEXT.lock());
    phys::read_config(text);
    match BootConfig::parse(text) {
        Ok(Some(config)) => config,
        Ok(None) => {
            say!("no boot configuration: defaults hold");
            BootConfig::default()
        }
        Err(error) => {
            say!("CONFIG refused {error}");
            say!("END status=fail why=config");
            smc::system_off()
        }
    }
}

/// Whether every VM went through its whole end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Yes.
    Clean,
    /// Not in time.
    Stuck,
}

/// Whether a VM could not be started: then the run proves nothing.
pub(crate) static INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// Prints what each VM still owns, as the monitor knows it and as the partition charges it.
fn audit() {
    for vm in VmIndex::ALL {
        let own = memory::MEMORY.lock().holdings(vm);
        let charged = partition::charged_to(vm);
        say!("AUDIT vm={} {own}{}", vm.id().get(), Charged(charged));
    }
}

/// What the partition charges, if it says so: nothing is printed for it that was not heard.
struct Charged(Option<[u64; 3]>);

impl core::fmt::Display for Charged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Some([grants, pages, ranges]) = self.0 else { return Ok(()) };
        write!(f, " grants={grants} charged_pages={pages} charged_ranges={ranges}")
    }
}

/// Ends the run: the figures, the verdict, power off.
pub(crate) fn finish(ending: Ending) -> ! {
    for vm in VmIndex::ALL {
        state::finish_console(vm);
    }
    state::note_medium_mappings();
    audit();
    say!("RESULT {}", state::COUNTERS);
    let verdict = match ending {
        _ if INCOMPLETE.load(Ordering::SeqCst) => "status=fail why=vm_not_started",
        Ending::Clean => "status=ok",
        Ending::Stuck => "status=fail why=teardown",
    };
    say!("END {verdict}");
    smc::system_off()
}

/// The medium's region and the VM that must never map it.
const FORBIDDEN: (VmIndex, causeway_monitor::layout::PhysRange) = (FRONTEND, MEDIUM);
const _: () = assert!(MAX_CORES <= 16, "kicks address one cluster");
