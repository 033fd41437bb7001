//! Owns the memory map and the names of the VMs; never decides who may use what.

use causeway_ffa::EndpointId;

/// Number of VMs that the monitor hosts.
pub const VM_COUNT: usize = 3;
/// Most virtual processors of a VM.
pub const MAX_VCPUS: usize = 2;
/// Largest number of physical cores that the monitor starts.
pub const MAX_CORES: usize = 8;

/// The hypervisor's own endpoint id.
pub const MONITOR_ID: EndpointId = EndpointId::from_raw(0);
/// The partition's endpoint id, as its manifest states it.
pub const PARTITION_ID: EndpointId = EndpointId::from_raw(0x8001);

/// A run of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysRange {
    /// First byte.
    pub base: u64,
    /// Length in bytes.
    pub len_bytes: u64,
}

impl PhysRange {
    /// Returns the first byte after the range.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.base + self.len_bytes
    }
}

/// Where the loader puts the boot configuration.
pub const CONFIG: PhysRange = PhysRange { base: 0x4800_0000, len_bytes: 0x1_0000 };
/// Where the loader may put the disk medium.
pub const MEDIUM: PhysRange = PhysRange { base: 0x5000_0000, len_bytes: 0x1000_0000 };
/// The monitor's image, bss and stacks.
pub const IMAGE: PhysRange = PhysRange { base: 0x6000_0000, len_bytes: 0x20_0000 };
/// The guest pack, appended to the image.
pub const PACK: PhysRange = PhysRange { base: 0x6020_0000, len_bytes: 0x60_0000 };
/// Page tables.
pub const TABLES: PhysRange = PhysRange { base: 0x6080_0000, len_bytes: 0x80_0000 };

/// Guest-physical address of every VM's RAM.
pub const RAM_IPA: u64 = 0x4000_0000;
/// Guest-physical address of the disk medium, in the VM that has it.
pub const MEDIUM_IPA: u64 = 0x8000_0000;
/// Guest-physical window in which retrieved memory appears.
pub const WINDOW_IPA: u64 = 0x1_0000_0000;
/// Length of that window in bytes.
pub const WINDOW_BYTES: u64 = 0x4000_0000;

/// One of the VMs: an index that is always in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmIndex(u8);

/// The VM that owns the driver side, and that may ask for kills.
pub const FRONTEND: VmIndex = VmIndex(0);
/// The VM that serves the disk medium.
pub const BACKEND: VmIndex = VmIndex(1);

const NAMES: [&str; VM_COUNT] = ["frontend", "backend", "hostile"];
const RAM: [PhysRange; VM_COUNT] = [
    PhysRange { base: 0x8000_0000, len_bytes: 0x2800_0000 },
    PhysRange { base: 0x7000_0000, len_bytes: 0x400_0000 },
    PhysRange { base: 0x7400_0000, len_bytes: 0x400_0000 },
];

impl VmIndex {
    /// Every VM, in order of its id.
    pub const ALL: [Self; VM_COUNT] = [Self(0), Self(1), Self(2)];

    /// Names the VM with this endpoint id.
    #[must_use]
    pub fn from_id(id: EndpointId) -> Option<Self> {
        Self::ALL.into_iter().find(|vm| vm.id() == id)
    }

    /// Returns the VM's endpoint id: 1, 2, 3.
    #[must_use]
    pub const fn id(self) -> EndpointId {
        EndpointId::from_raw(self.0 as u16 + 1)
    }

    /// Returns the index, below [`VM_COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the name of the VM's image in the guest pack.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    /// Returns the VM's physical RAM.
    #[must_use]
    pub const fn ram(self) -> PhysRange {
        RAM[self.index()]
    }

    /// Returns the core that runs the VM's first processor where `cores` are on.
    #[must_use]
    pub const fn home_core(self, cores: usize) -> usize {
        self.core_of(0, cores)
    }

    /// Returns the core that runs one of the VM's processors where `cores` are on: another one for
    /// each processor of a VM, and one that no VM's first processor has, where there are so many.
    #[must_use]
    pub const fn core_of(self, vcpu: usize, cores: usize) -> usize {
        let stride = if cores > VM_COUNT { VM_COUNT } else { 1 };
        if cores == 0 { 0 } else { (self.index() + vcpu * stride) % cores }
    }
}

/// One virtual processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Whose it is.
    pub vm: VmIndex,
    /// Its number in the VM, below [`MAX_VCPUS`].
    pub number: usize,
}

impl Processor {
    /// How many there can be.
    pub const COUNT: usize = VM_COUNT * MAX_VCPUS;

    /// Every processor: all first ones, then all second ones.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        let of = |number| VmIndex::ALL.into_iter().map(move |vm| Self { vm, number });
        (0..MAX_VCPUS).flat_map(of)
    }

    /// Returns its place in [`Processor::all`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.number * VM_COUNT + self.vm.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_regions_of_the_map_overlap() {
        let mut all = vec![CONFIG, MEDIUM, IMAGE, PACK, TABLES];
        all.extend(VmIndex::ALL.map(VmIndex::ram));
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert!(a.end() <= b.base || b.end() <= a.base, "{a:x?} {b:x?}");
            }
        }
    }

    #[test]
    fn two_processors_of_a_vm_have_different_cores_where_there_are_two() {
        for vm in VmIndex::ALL {
            for cores in 1..=MAX_CORES {
                let [first, second] = [vm.core_of(0, cores), vm.core_of(1, cores)];
                assert!(first < cores && second < cores);
                assert_eq!(first != second, cores > 1, "{cores} cores");
            }
            assert!(VmIndex::ALL.iter().all(|other| other.core_of(0, 8) != vm.core_of(1, 8)));
        }
    }

    #[test]
    fn every_processor_has_a_place_of_its_own() {
        assert!(Processor::all().map(Processor::index).eq(0..Processor::COUNT));
    }

    #[test]
    fn ids_name_their_vm_and_nothing_else() {
        for vm in VmIndex::ALL {
            assert_eq!(VmIndex::from_id(vm.id()), Some(vm));
        }
        for raw in [0, 4, 0x8001, 0xffff] {
            assert_eq!(VmIndex::from_id(EndpointId::from_raw(raw)), None);
        }
    }
}
