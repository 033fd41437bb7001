//! Memory of VMs in tests: the fake machine's. What a VM has but no test writes is not backed.

use causeway_monitor::layout::{PhysRange, VmIndex};

/// A range inside one VM's RAM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestBytes {
    base: u64,
    len_bytes: u64,
}

impl GuestBytes {
    pub(crate) fn of_vm(vm: VmIndex, range: PhysRange) -> Option<Self> {
        let ram = vm.ram();
        let end = range.base.checked_add(range.len_bytes)?;
        let inside = range.base >= ram.base && end <= ram.end();
        (inside && range.base.is_multiple_of(8))
            .then_some(Self { base: range.base, len_bytes: range.len_bytes })
    }

    pub(crate) fn read(self, out: &mut [u8]) {
        let len = out.len().min(self.len_bytes as usize);
        super::world(|world| world.machine.ram().read(self.base, &mut out[..len]));
    }

    pub(crate) fn write(self, bytes: &[u8]) {
        let len = bytes.len().min(self.len_bytes as usize);
        super::world(|world| world.machine.ram().write(self.base, &bytes[..len]));
    }

    pub(crate) fn zero(self) {
        for at in (self.base..self.base + self.len_bytes).step_by(4096) {
            super::world(|world| world.machine.ram().write(at, &[0; 4096]));
        }
    }

    pub(crate) fn clean_for_guest(self) {}
}

pub(crate) fn read_config(out: &mut [u8]) {
    out.fill(0);
}

/// No images: a VM of a test has no program.
pub(crate) fn guest_pack() -> &'static [u8] {
    &[]
}
