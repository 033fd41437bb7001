//! The machine under `hyp` in host tests: what `arch` is on the target, with the fake SPMC and the real
//! partition below. Never decides anything.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod gic;
pub(crate) mod phys;
pub(crate) mod pool;
pub(crate) mod smc;
pub(crate) mod spmc_buffers;
pub(crate) mod sysreg;
pub(crate) mod timer;
pub(crate) mod uart;
pub(crate) mod vcpu;

use causeway_fake_spmc::{Floor, Machine, Personality, layout as below, range};
use causeway_memshare::Policy;
use causeway_monitor::layout::VmIndex;
use std::sync::{Arc, Mutex, PoisonError};

/// Backed pages of each VM's RAM: enough for what tests write.
const BACKED_PAGES: u32 = 512;
/// The policy of the project's own manifest.
const MANIFEST: &[u8] = include_bytes!("../../memshare/tests/data/qemu-el3.dtb");

/// What lies below the monitor.
pub(crate) struct World {
    /// SPMC and partition.
    pub(crate) floor: Floor,
    /// Memory and clock.
    pub(crate) machine: Arc<Machine>,
    /// What the monitor and the VMs printed.
    pub(crate) lines: Vec<String>,
    /// Cores that were kicked.
    pub(crate) kicks: Vec<usize>,
    /// TLB invalidations of guests.
    pub(crate) invalidations: usize,
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);

/// Makes a new world.
pub(crate) fn build(personality: Personality) {
    let rams = VmIndex::ALL.map(|vm| range(vm.ram().base, BACKED_PAGES));
    let banks: Vec<_> =
        [below::partition_ram(), below::hypervisor_ram()].into_iter().chain(rams).collect();
    let machine = Arc::new(Machine::new(&banks));
    let policy = Policy::from_manifest(MANIFEST).expect("the manifest of the project");
    let floor = Floor::boot(personality, machine.clone(), policy).expect("the partition starts");
    let world = World { floor, machine, lines: vec![], kicks: vec![], invalidations: 0 };
    *WORLD.lock().unwrap_or_else(PoisonError::into_inner) = Some(world);
}

/// Looks into the world.
pub(crate) fn world<R>(look: impl FnOnce(&mut World) -> R) -> R {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    look(world.as_mut().expect("a test builds its world first"))
}
