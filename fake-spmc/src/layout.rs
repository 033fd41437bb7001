//! Owns the fake machine's addresses: a small one after the project's QEMU platform. Never used by
//! whoever makes a machine of its own.

use crate::machine::Machine;
use crate::ram::{GivenMemory, Ram, range};
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, PageRange, Uuid};

/// The hypervisor's id.
pub const HYPERVISOR: EndpointId = EndpointId::from_raw(0);
/// The partition's id.
pub const PARTITION: EndpointId = EndpointId::from_raw(0x8001);
/// The partition's UUID.
pub const SERVICE: Uuid = Uuid::from_bytes(causeway_abi::SERVICE_UUID);

/// Secure RAM: the partition's buffers, TX first, then RX.
#[must_use]
pub fn partition_ram() -> PageRange {
    range(0x0e10_0000, 2)
}

/// The hypervisor's buffers, TX first, then RX. Nobody may be granted these.
#[must_use]
pub fn hypervisor_ram() -> PageRange {
    range(0x6000_0000, 2)
}

/// The RAM of VM `vm` (1 to 8), `page_count` pages.
#[must_use]
pub fn vm_ram(vm: u16, page_count: u32) -> PageRange {
    range(0x8000_0000 + (u64::from(vm) << 28), page_count)
}

/// A machine with the banks above and `vm_count` VMs of `vm_pages` pages each, that own and map
/// their RAM.
#[must_use]
pub fn machine(vm_count: u16, vm_pages: u32) -> Machine {
    machine_with(vm_count, vm_pages, None)
}

/// The same, with bytes that somebody else gives.
#[must_use]
pub fn machine_with(vm_count: u16, vm_pages: u32, given: Option<GivenMemory>) -> Machine {
    let rams = (1..=vm_count).map(|vm| vm_ram(vm, vm_pages));
    let banks: Vec<_> = [partition_ram(), hypervisor_ram()].into_iter().chain(rams).collect();
    let machine = Machine::of(Ram::of(&banks, given));
    machine.pages(|pages| {
        for vm in 1..=vm_count {
            let (id, ram) = (EndpointId::from_raw(vm), vm_ram(vm, vm_pages));
            pages.give(id, ram);
            pages.map(id, ram, Permission::ReadWrite);
        }
    });
    machine
}
