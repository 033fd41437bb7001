//! Owns the monitor's own translation at EL2: W^X, guard pages, nothing mapped that is not needed.
//! Never touches a VM's stage 2.

use super::boot::{STACKS, Sections};
use super::pool::Pool;
use super::sysreg::{isb, write_sysreg};
use aarch64_paging::descriptor::{El23Attributes, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El2, MemoryRegion, RootTable};
use causeway_monitor::layout::{CONFIG, PACK, PhysRange, TABLES, VmIndex};
use spin::Once;

const DEVICE: El23Attributes = El23Attributes::VALID
    .union(El23Attributes::ATTRIBUTE_INDEX_0)
    .union(El23Attributes::ACCESSED)
    .union(El23Attributes::XN);
const CODE: El23Attributes = El23Attributes::VALID
    .union(El23Attributes::ATTRIBUTE_INDEX_1)
    .union(El23Attributes::INNER_SHAREABLE)
    .union(El23Attributes::ACCESSED)
    .union(El23Attributes::READ_ONLY);
const CONSTANT: El23Attributes = CODE.union(El23Attributes::XN);
const DATA: El23Attributes = El23Attributes::VALID
    .union(El23Attributes::ATTRIBUTE_INDEX_1)
    .union(El23Attributes::INNER_SHAREABLE)
    .union(El23Attributes::ACCESSED)
    .union(El23Attributes::XN);

/// Distributor and redistributors of the GIC.
const GIC: PhysRange = PhysRange { base: 0x0800_0000, len_bytes: 0x0100_0000 };
/// UART0.
const UART: PhysRange = PhysRange { base: 0x0900_0000, len_bytes: 0x1000 };

/// The clock, which tests make lie.
const CLOCK: PhysRange = PhysRange { base: super::clock::BASE, len_bytes: 0x1000 };

struct Table(RootTable<El2, Pool>);
// SAFETY: after `build` the table is only read, and only its root address.
unsafe impl Send for Table {}
// SAFETY: as above: `root` copies an address.
unsafe impl Sync for Table {}

static TABLE: Once<Table> = Once::new();

/// Builds the table, on the first core.
pub(crate) fn build() {
    TABLE.call_once(|| {
        let mut table = RootTable::new(Pool, 1, El2);
        let mut map = |range: PhysRange, flags| {
            let region = MemoryRegion::new(range.base as usize, range.end() as usize);
            table
                .map_range(
                    &region,
                    PhysicalAddress(range.base as usize),
                    flags,
                    Constraints::empty(),
                )
                .expect("the monitor's own ranges are well formed");
        };
        let sections = Sections::of_image();
        map(GIC, DEVICE);
        map(UART, DEVICE);
        map(CLOCK, DEVICE);
        map(CONFIG, CONSTANT);
        map(sections.text, CODE);
        map(sections.rodata, CONSTANT);
        map(sections.data, DATA);
        map(PACK, CONSTANT);
        map(TABLES, DATA);
        for vm in VmIndex::ALL {
            map(vm.ram(), DATA);
        }
        for stack in &STACKS {
            map(stack.guard(), El23Attributes::empty());
        }
        Table(table)
    });
}

/// Makes this core use the table.
pub(crate) fn activate() {
    let root = TABLE.get().map_or(0, |table| table.0.to_physical().0);
    assert!(root != 0, "the table is built before any core activates it");
    // The table maps the code that runs, its stack and its data at the same addresses with the
    // same memory types as the table of the start-up code; it lives for ever.
    write_sysreg!("ttbr0_el2", root as u64);
    isb();
    // SAFETY: dropping cached translations of EL2 only makes them be walked again.
    unsafe { core::arch::asm!("tlbi alle2", "dsb ish", "isb", options(nostack)) };
}
