//! Owns the interrupt controller at S-EL1, by its driver: which interrupts are the partition's, which
//! core they go to, how they are taken. Never decides what an interrupt leads to.
//!
//! TF-A has left the distributor on, secure Group 1 open, and each core's interface ready.

use crate::arch::regs;
use crate::core_id::{CORES, CoreId};
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, Group, SecureIntGroup, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, Trigger, UniqueMmioPointer};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use spin::mutex::SpinMutex;

/// Distributor of QEMU's virt machine.
pub(crate) const DISTRIBUTOR: Range<usize> = 0x0800_0000..0x0801_0000;
/// Redistributors of all cores that the platform can have, a frame each.
pub(crate) const REDISTRIBUTORS: Range<usize> = 0x080a_0000..0x080a_0000 + CORES * FRAME;
/// 128 KiB.
pub(crate) const FRAME: usize = 0x2_0000;

/// The secure physical timer (CNTPS): INTID 29.
pub(crate) const TIMER: u32 = 29;
/// Makes another core come into the partition. TF-A sets SGIs 8 to 15 up as secure Group 1.
const COME: u32 = 8;
/// Before anything of the normal world, whose priorities begin at 0x80.
const PRIORITY: u8 = 0x10;
/// INTIDs from here on are shared between cores.
const FIRST_SHARED: u32 = 32;
/// Shared interrupts that the partition can have: all that the manifest can name.
const MAX_CLAIMED: usize = 16;

static DRIVER: SpinMutex<Option<GicV3<'static>>> = SpinMutex::new(None);
/// The shared interrupts that are the partition's; 0: none.
static CLAIMED: [AtomicU32; MAX_CLAIMED] = [const { AtomicU32::new(0) }; MAX_CLAIMED];
/// Whether each core's timer is.
static TIMER_CLAIMED: AtomicBool = AtomicBool::new(false);
/// The cores that run.
static ONLINE: AtomicU32 = AtomicU32::new(0);

/// Makes the driver, on the first core, when the registers are mapped.
pub(crate) fn init() {
    let distributor = NonNull::new(DISTRIBUTOR.start as *mut Gicd);
    let redistributors = NonNull::new(REDISTRIBUTORS.start as *mut GicrSgi);
    let (Some(distributor), Some(redistributors)) = (distributor, redistributors) else { return };
    let mut driver = DRIVER.lock();
    if driver.is_some() {
        return;
    }
    // SAFETY: the distributor's 64 KiB are mapped as device memory for the partition's whole life, and
    // reached through this one driver, which stays inside the lock.
    let distributor = unsafe { UniqueMmioPointer::new(distributor) };
    // SAFETY: the redistributors of all CORES are mapped as device memory for the partition's whole
    // life and reached through this one driver; only those of cores that run are touched.
    let made = unsafe { GicV3::new(distributor, redistributors, CORES) };
    *driver = made.ok();
}

/// This core runs and takes interrupts from now on.
pub(crate) fn core_comes(core: CoreId) {
    ONLINE.fetch_or(1 << core.get(), Ordering::AcqRel);
    prepare(core, COME);
    open(core, COME);
    if TIMER_CLAIMED.load(Ordering::Acquire) {
        prepare(core, TIMER);
        open(core, TIMER);
    }
}

/// This core is about to be switched off: what is routed to it goes to another. With `call`, that one
/// comes into the partition.
pub(crate) fn core_leaves(core: CoreId, call: bool) {
    let left = ONLINE.fetch_and(!(1 << core.get()), Ordering::AcqRel) & !(1 << core.get());
    let other = usize::try_from(left.trailing_zeros()).ok().and_then(CoreId::new);
    let Some(other) = other.filter(|_| left != 0) else { return };
    for intid in CLAIMED.iter().map(|intid| intid.load(Ordering::Acquire)).filter(|i| *i != 0) {
        with(|driver| driver.distributor().set_routing(name(intid), Some(other.mpidr())));
    }
    if call {
        let (aff1, list) = other.sgi_target();
        let target =
            SgiTarget::List { affinity3: 0, affinity2: 0, affinity1: aff1, target_list: list };
        let sent =
            GicCpuInterface::send_sgi(IntId::sgi(COME), target, SgiTargetGroup::CurrentGroup1);
        debug_assert!(sent.is_ok());
    }
}

/// Makes an interrupt the partition's. Shared ones go to this core.
pub(crate) fn claim(core: CoreId, intid: u32, level: bool) -> bool {
    if intid == TIMER {
        TIMER_CLAIMED.store(true, Ordering::Release);
        return prepare(core, TIMER);
    }
    let known = |slot: &&AtomicU32| [0, intid].contains(&slot.load(Ordering::Acquire));
    let Some(slot) = CLAIMED.iter().find(known) else { return false };
    if intid < FIRST_SHARED {
        return false;
    }
    slot.store(intid, Ordering::Release);
    let trigger = if level { Trigger::Level } else { Trigger::Edge };
    with(|driver| {
        let intid = name(intid);
        let distributor = driver.distributor();
        distributor.enable_interrupt(intid, false)?;
        distributor.wait_for_pending_write();
        distributor.set_group(intid, Group::Secure(SecureIntGroup::Group1S))?;
        distributor.set_interrupt_priority(intid, PRIORITY)?;
        distributor.set_trigger(intid, trigger)?;
        distributor.set_routing(intid, Some(core.mpidr()))
    })
}

/// Sets a core's own interrupt up: secure Group 1, level, closed.
fn prepare(core: CoreId, intid: u32) -> bool {
    with(|driver| {
        let mut own = driver.redistributor(core.get())?;
        let intid = name(intid);
        own.enable_interrupt(intid, false)?;
        own.wait_for_pending_write();
        own.set_group(intid, Group::Secure(SecureIntGroup::Group1S))?;
        own.set_interrupt_priority(intid, PRIORITY)
    })
}

/// Lets an interrupt through.
pub(crate) fn open(core: CoreId, intid: u32) {
    enable(core, intid, true);
}

/// Lets it through no more; when this returns, the controller has heard.
pub(crate) fn close(core: CoreId, intid: u32) {
    enable(core, intid, false);
}

fn enable(core: CoreId, intid: u32, on: bool) {
    let done = with(|driver| {
        driver.enable_interrupt(name(intid), Some(core.get()), on)?;
        if on {
            Ok(())
        } else if intid < FIRST_SHARED {
            driver.redistributor(core.get()).map(|own| own.wait_for_pending_write())
        } else {
            driver.gicd_barrier();
            Ok(())
        }
    });
    debug_assert!(done);
}

/// Takes the next interrupt that is pending for this core. What another core called us with is ended
/// here: to come was all that it wanted.
pub(crate) fn acknowledge() -> Option<u32> {
    loop {
        let intid = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)?;
        regs::data_barrier();
        match u32::from(intid) {
            // Special numbers (IHI0069): nothing for this world.
            1020..=1023 => return None,
            COME => GicCpuInterface::end_interrupt(intid, InterruptGroup::Group1),
            raw => return Some(raw),
        }
    }
}

/// Ends an interrupt that was taken.
pub(crate) fn end(intid: u32) {
    regs::data_barrier();
    GicCpuInterface::end_interrupt(name(intid), InterruptGroup::Group1);
}

/// Lets no secure interrupt come to this core any more. Takes no lock: whoever crashed may hold it.
pub(crate) fn silence_core() {
    GicCpuInterface::enable_group1(false);
}

fn with(work: impl FnOnce(&mut GicV3<'static>) -> Result<(), arm_gic::gicv3::GicError>) -> bool {
    DRIVER.lock().as_mut().is_some_and(|driver| work(driver).is_ok())
}

const fn name(intid: u32) -> IntId {
    match intid {
        0..16 => IntId::sgi(intid),
        16..FIRST_SHARED => IntId::ppi(intid - 16),
        _ => IntId::spi(intid - FIRST_SHARED),
    }
}
