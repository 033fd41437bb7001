//! Owns the interrupt controller at EL2: which interrupts exist and how they are acknowledged.
//! Never decides what an interrupt leads to.

use super::sysreg::write_sysreg;
use super::timer::TIMER_PPI;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use causeway_monitor::layout::MAX_CORES;
use core::ptr::NonNull;
use spin::{Mutex, Once};

/// Distributor of QEMU's virt machine.
const GICD: usize = 0x0800_0000;
/// First redistributor.
const GICR: usize = 0x080a_0000;

/// Makes a core leave its guest or its sleep and look at its work.
pub(crate) const KICK_SGI: u32 = 1;
/// Raised by the partition on the core named in HYP_REGISTER.
pub(crate) const DOORBELL_SGI: u32 = 7;

static DRIVER: Once<Mutex<GicV3<'static>>> = Once::new();

/// What an interrupt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Another core wants attention.
    Kick,
    /// The partition has work for the hypervisor.
    Doorbell,
    /// This core's timer.
    Timer,
    /// Something that the monitor never enabled.
    Spurious(u32),
}

/// Sets the distributor up, on the first core, before any other runs.
pub(crate) fn init() {
    let gicd = NonNull::new(GICD as *mut Gicd).expect("the distributor is not at zero");
    let gicr = NonNull::new(GICR as *mut GicrSgi).expect("the redistributors are not at zero");
    // SAFETY: the distributor is mapped as device memory and used only through this driver.
    let gicd = unsafe { UniqueMmioPointer::new(gicd) };
    // SAFETY: the redistributors are mapped as device memory and used only through this driver;
    // only those of cores that run are touched.
    let driver = unsafe { GicV3::new(gicd, gicr, MAX_CORES) };
    let mut driver = driver.expect("GICR_TYPER of QEMU's virt machine is known to the driver");
    driver.distributor().configure_default_settings();
    DRIVER.call_once(|| Mutex::new(driver));
}

/// Counts the machine's cores: each has a redistributor, and the last one says so.
pub(crate) fn core_count() -> usize {
    let mut driver = DRIVER.get().expect("the first core set the GIC up").lock();
    let mut is_last = |core| driver.gicr_typer(core).is_ok_and(|typer| typer.last_redistributor());
    (0..MAX_CORES).position(&mut is_last).map_or(MAX_CORES, |last| last + 1)
}

/// Sets up this core's redistributor and CPU interface.
pub(crate) fn init_core(core: usize) {
    // EL1 must not use the system registers of the interrupt controller: no VM has one.
    GicCpuInterface::enable_system_register_el2(false);
    // ICH_HCR_EL2: En = 0 (no virtual interrupts), TC, TALL0, TALL1 = 1 (EL1's accesses trap).
    write_sysreg!("s3_4_c12_c11_0", 0b111 << 10);
    let mut driver = DRIVER.get().expect("the first core set the GIC up").lock();
    driver.init_cpu(core);
    let mut own = driver.redistributor(core).expect("a core that runs has a redistributor");
    own.configure_default_settings();
    for intid in [IntId::sgi(KICK_SGI), IntId::sgi(DOORBELL_SGI), IntId::ppi(TIMER_PPI)] {
        own.enable_interrupt(intid, true).expect("SGIs and PPIs are private to a core");
    }
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
}

/// Takes one pending interrupt, if there is one.
pub(crate) fn take() -> Option<Cause> {
    let intid = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)?;
    let cause = match u32::from(intid) {
        KICK_SGI => Cause::Kick,
        DOORBELL_SGI => Cause::Doorbell,
        raw if raw == u32::from(IntId::ppi(TIMER_PPI)) => {
            // The line is level-triggered: it must fall before the interrupt is ended.
            super::timer::disarm();
            Cause::Timer
        }
        raw => Cause::Spurious(raw),
    };
    GicCpuInterface::end_interrupt(intid, InterruptGroup::Group1);
    Some(cause)
}

/// Kicks a core.
pub(crate) fn kick(core: usize) {
    let target = SgiTarget::List {
        affinity3: 0,
        affinity2: 0,
        affinity1: (core / 16) as u8,
        target_list: 1 << (core % 16),
    };
    super::sysreg::dsb();
    GicCpuInterface::send_sgi(IntId::sgi(KICK_SGI), target, SgiTargetGroup::CurrentGroup1)
        .expect("the kick is an SGI");
    super::sysreg::isb();
}
