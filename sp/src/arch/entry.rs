//! Owns the first instructions of every core, the stacks, and the switch to our own tables.
//! Never decides what happens afterwards.

use crate::arch::gic::{FRAME, REDISTRIBUTORS};
use crate::arch::{image, regs};
use crate::core_id::{CORES, CoreId};
use aarch64_paging::descriptor::El1Attributes as A;
use aarch64_rt::{DEFAULT_MAIR, DEFAULT_SCTLR, DEFAULT_TCR_EL1, InitialPagetable};
use core::arch::{asm, naked_asm};
use core::cell::UnsafeCell;
use core::mem::{offset_of, size_of};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a page, and of each guard.
const PAGE: usize = 4096;
/// Bytes that a core may use.
const STACK: usize = 15 * PAGE;
/// Bytes for the handling of a crash.
const CRASH_STACK: usize = 3 * PAGE;

/// Write implies execute-never, whatever a descriptor says. Source: DDI0487, SCTLR_EL1.WXN.
const SCTLR_WXN: u64 = 1 << 19;
/// A 30-bit space, so that the walk starts at level 2 and one table holds 2 MiB blocks.
const TCR_T0SZ_1_GIB: u64 = 64 - 30;
/// The field T0SZ.
const TCR_T0SZ_MASK: u64 = 0x3f;
/// The field IPS, and where it starts.
const TCR_IPS: (u64, u32) = (0x7 << 32, 32);
/// The largest physical range that a 4 KiB granule without LPA2 can use: 48 bits.
const IPS_48_BITS: u64 = 5;

const NORMAL: A =
    A::VALID.union(A::ATTRIBUTE_INDEX_1).union(A::INNER_SHAREABLE).union(A::ACCESSED).union(A::UXN);
const DEVICE: A =
    A::VALID.union(A::ATTRIBUTE_INDEX_0).union(A::ACCESSED).union(A::UXN).union(A::PXN);

// Until the real tables exist: the 16 MiB of secure memory (TF-A's, from which the boot
// information is read, and ours) and the 2 MiB with the UARTs. Nothing else can be touched.
aarch64_rt::initial_pagetable!(
    {
        let mut table = [0; 512];
        let mut block = 0x0e00_0000 >> 21;
        while block < 0x0f00_0000 >> 21 {
            table[block] = (block << 21) | NORMAL.bits();
            block += 1;
        }
        table[0x0900_0000 >> 21] = 0x0900_0000 | DEVICE.bits();
        let mut block = REDISTRIBUTORS.start >> 21;
        while block << 21 < REDISTRIBUTORS.end {
            table[block] = (block << 21) | DEVICE.bits();
            block += 1;
        }
        InitialPagetable(table)
    },
    DEFAULT_MAIR,
    DEFAULT_SCTLR,
    (DEFAULT_TCR_EL1 & !TCR_T0SZ_MASK) | TCR_T0SZ_1_GIB
);

// One page that is used for a few instructions and not mapped afterwards.
aarch64_rt::entry!(boot_entry, 1);

/// A stack with the page below it that is never mapped.
#[repr(C, align(4096))]
struct GuardedStack<const BYTES: usize> {
    guard: [u8; PAGE],
    stack: [u8; BYTES],
}

/// One stack for each core.
#[repr(transparent)]
struct Stacks<const BYTES: usize>(UnsafeCell<[GuardedStack<BYTES>; CORES]>);

// SAFETY: each core uses its own element, which only that core's stack pointer leads to.
unsafe impl<const BYTES: usize> Sync for Stacks<BYTES> {}

impl<const BYTES: usize> Stacks<BYTES> {
    const fn new() -> Self {
        Self(UnsafeCell::new(
            [const { GuardedStack { guard: [0; PAGE], stack: [0; BYTES] } }; CORES],
        ))
    }

    /// Returns the addresses that core's stack occupies, without its guard.
    fn range(&self, core: CoreId) -> Range<usize> {
        let base = self.0.get() as usize + core.get() * size_of::<GuardedStack<BYTES>>();
        let start = base + offset_of!(GuardedStack<BYTES>, stack);
        start..start + BYTES
    }
}

// The section is not loaded and not zeroed: nothing reads a stack before it wrote it.
#[unsafe(link_section = ".stack.cores")]
static STACKS: Stacks<STACK> = Stacks::new();
#[unsafe(link_section = ".stack.crash")]
static CRASH_STACKS: Stacks<CRASH_STACK> = Stacks::new();

/// Returns the stacks of one core: the ordinary one and the one for crashes.
pub(crate) fn stacks(core: CoreId) -> [Range<usize>; 2] {
    [STACKS.range(core), CRASH_STACKS.range(core)]
}

/// Returns the first byte after the crash stack of a core.
pub(crate) fn crash_stack_top(core: CoreId) -> usize {
    CRASH_STACKS.range(core).end
}

/// The root of the real tables, for the cores that start later.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Runs on the boot stack, which the real tables do not map: leaves it at once.
fn boot_entry(boot_info: u64, _x1: u64, _x2: u64, _x3: u64) -> ! {
    let core = regs::this_core();
    let top = STACKS.range(core).end;
    // SAFETY: `top` is the 16-byte aligned end of this core's own stack, which is mapped and which
    // nothing uses yet. The code never returns to the old stack.
    unsafe {
        asm!("mov sp, {top}", "mov x29, xzr", "mov x30, xzr", "b {main}",
            top = in(reg) top, main = sym crate::main_core,
            in("x0") boot_info, in("x1") core.get(), options(noreturn, nostack));
    }
}

/// Runs `build` on the RAM that nobody uses, where values of a megabyte have room before they are moved to
/// their places. For the first core, while the initial table maps all of that RAM.
pub(crate) fn on_free_ram(build: extern "C" fn()) {
    let top = image::room_end();
    // SAFETY: `top` is the 16-byte aligned end of RAM that the initial table maps and nothing else uses;
    // 4 MiB below it are free (sp.ld). x20 is kept by the function called, so that SP is what it was
    // when this returns; all that a call may change is named. No other core runs.
    unsafe {
        asm!("mov x20, sp", "mov sp, {top}", "blr {build}", "mov sp, x20",
            top = in(reg) top, build = in(reg) build, out("x20") _, clobber_abi("C"));
    }
}

/// Where the SPMC enters a core that PSCI CPU_ON started: MMU off, x4 = linear core number.
///
/// # Safety
/// Only the SPMC may branch here: it uses no stack of its caller.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn secondary_entry() -> ! {
    naked_asm!(
        "cmp x4, {cores}",
        "b.hs 1f",
        "mov x19, x4",
        "bl {enable_mmu}",
        "adrp x1, {stacks}",
        "add x1, x1, :lo12:{stacks}",
        "mov x2, {stride}",
        "add x3, x19, #1",
        "madd x1, x3, x2, x1",
        "mov sp, x1",
        "mov x0, x19",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {main}",
        // No stack for such a core. TF-A has no context for it either, so this is never reached.
        "1: wfe",
        "b 1b",
        cores = const CORES,
        stacks = sym STACKS,
        stride = const size_of::<GuardedStack<STACK>>(),
        enable_mmu = sym aarch64_rt::enable_mmu,
        main = sym crate::secondary_core,
    )
}

/// Returns the entry point for FFA_SECONDARY_EP_REGISTER.
pub(crate) fn secondary_entry_address() -> u64 {
    secondary_entry as *const () as u64
}

/// Makes the tables under `root` the ones of this core, and of each core that starts later.
pub(crate) fn publish_and_enter_tables(root: u64) {
    ROOT.store(root, Ordering::Release);
    enter_published_tables();
}

/// Makes the published tables the ones of this core, with write-implies-execute-never.
pub(crate) fn enter_published_tables() {
    let size = (regs::mmfr0() & 0xf).min(IPS_48_BITS);
    let tcr = (DEFAULT_TCR_EL1 & !TCR_IPS.0) | (size << TCR_IPS.1);
    // SAFETY: the published tables map, at the same addresses, the code that runs, this core's
    // stack and every variable: `memory_map::build` made them from the linker's symbols before
    // they were published. They are never freed.
    unsafe { switch_tables(ROOT.load(Ordering::Acquire), tcr, DEFAULT_SCTLR | SCTLR_WXN) };
}

/// Changes the translation regime. The table's level of entry changes, so that the MMU must be off
/// in between; no data is touched in that time.
///
/// # Safety
/// The new tables must map what runs at the same addresses, and live for ever.
#[unsafe(naked)]
unsafe extern "C" fn switch_tables(root: u64, tcr: u64, sctlr: u64) {
    naked_asm!(
        "dsb ish",
        "mrs x3, sctlr_el1",
        "bic x3, x3, #1",
        "msr sctlr_el1, x3",
        "isb",
        "msr ttbr0_el1, x0",
        "msr tcr_el1, x1",
        "isb",
        "tlbi vmalle1",
        "dsb nsh",
        "isb",
        "msr sctlr_el1, x2",
        "isb",
        "ret",
    )
}

/// Where TF-A keeps what it passes on: its own part of secure RAM, below the image.
#[cfg(not(feature = "hafnium"))]
const FIRMWARE_RAM: Range<usize> = 0x0e00_0000..0x0e10_0000;
/// Where Hafnium does: the partition's package as it was loaded, up to the image in it (`hafnium.ld`).
#[cfg(feature = "hafnium")]
const FIRMWARE_RAM: Range<usize> = 0x0e30_0000..0x0e30_4000;

/// Copies bytes that the firmware left for us. False, and nothing is touched, if they do not lie where
/// it does that, or if our own tables, which do not map it, are in force.
pub(crate) fn read_firmware_ram(address: usize, out: &mut [u8]) -> bool {
    let end = address.checked_add(out.len());
    let inside = FIRMWARE_RAM.contains(&address) && end.is_some_and(|e| e <= FIRMWARE_RAM.end);
    if !inside || ROOT.load(Ordering::Acquire) != 0 {
        return false;
    }
    for (offset, byte) in out.iter_mut().enumerate() {
        let source = (address + offset) as *const u8;
        // SAFETY: the range is RAM of the firmware, which the initial table maps; that table is in force
        // until the real root is published. One core runs, and the firmware writes nothing there then.
        *byte = unsafe { source.read_volatile() };
    }
    true
}

/// Counts the cores of the machine by their redistributors, while the initial table maps them.
/// Source: IHI0069, GICR_TYPER.Last (bit 4), at offset 8 of a frame.
pub(crate) fn count_redistributors() -> usize {
    if ROOT.load(Ordering::Acquire) != 0 {
        return 0;
    }
    let mut count = 0;
    for frame in REDISTRIBUTORS.step_by(FRAME) {
        count += 1;
        let typer = (frame + 8) as *const u32;
        // SAFETY: a readable register of a frame that exists, since the one before was not the last;
        // the initial table maps it as device memory, and is in force until the real root is
        // published.
        if unsafe { typer.read_volatile() } & 1 << 4 != 0 {
            break;
        }
    }
    count
}
