//! Owns what a VM's stage-2 table says: its RAM, its medium, what it borrowed. Never invalidates
//! a TLB: whoever removes or narrows a mapping does that before anyone relies on it.
//!
//! RAM and borrowed memory are mapped in 4 KiB pages, so that one page can be taken away without
//! splitting a live block (break-before-make); the medium is mapped in blocks.

use crate::layout::{BACKEND, MEDIUM_IPA, PhysRange, RAM_IPA, VmIndex, WINDOW_BYTES, WINDOW_IPA};
use crate::trap::Access;
use aarch64_paging::descriptor::{PhysicalAddress, Stage2Attributes};
use aarch64_paging::paging::{Constraints, MemoryRegion, RootTable, Stage2, Translation};
use causeway_ffa::{PAGE_SIZE, PageRange};

/// Level at which a walk of a 39-bit guest-physical address begins.
const ROOT_LEVEL: usize = 1;
/// Length of the guest-physical address space.
const IPA_BYTES: usize = 1 << 39;

const MEMORY: Stage2Attributes = Stage2Attributes::VALID
    .union(Stage2Attributes::MEMATTR_NORMAL_OUTER_WB)
    .union(Stage2Attributes::MEMATTR_NORMAL_INNER_WB)
    .union(Stage2Attributes::SH_INNER)
    .union(Stage2Attributes::ACCESS_FLAG);
const RAM: Stage2Attributes = MEMORY.union(Stage2Attributes::S2AP_ACCESS_RW);
const BORROWED_RO: Stage2Attributes =
    MEMORY.union(Stage2Attributes::S2AP_ACCESS_RO).union(Stage2Attributes::XN);
const BORROWED_RW: Stage2Attributes = RAM.union(Stage2Attributes::XN);

/// What a borrower may do with memory in its window. There is no executable one (KB-24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BorrowedAccess {
    /// Loads.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
}

/// A VM's stage-2 table.
pub struct Stage2Map<T: Translation<Stage2Attributes>> {
    table: RootTable<Stage2, T>,
}

fn region(ipa: u64, len_bytes: u64) -> MemoryRegion {
    MemoryRegion::new(ipa as usize, (ipa + len_bytes) as usize)
}

impl<T: Translation<Stage2Attributes>> Stage2Map<T> {
    /// A table that maps nothing.
    pub fn new(translation: T) -> Self {
        Self { table: RootTable::new(translation, ROOT_LEVEL, Stage2) }
    }

    /// Returns the physical address of the root, for `VTTBR_EL2`.
    pub fn root(&self) -> u64 {
        self.table.to_physical().0 as u64
    }

    fn put(&mut self, ipa: u64, pa: u64, len_bytes: u64, flags: Stage2Attributes) {
        let pages = Constraints::NO_BLOCK_MAPPINGS | Constraints::NO_CONTIGUOUS_HINT;
        self.table
            .map_range(&region(ipa, len_bytes), PhysicalAddress(pa as usize), flags, pages)
            .expect("the monitor maps only inside the guest-physical address space");
    }

    /// Maps all of the VM's RAM.
    pub fn map_ram(&mut self, vm: VmIndex) {
        let ram = vm.ram();
        self.put(RAM_IPA, ram.base, ram.len_bytes, RAM);
    }

    /// Maps the disk medium, if this VM is the one that has it.
    pub fn map_medium(&mut self, vm: VmIndex, medium: PhysRange) {
        if vm != BACKEND || medium.len_bytes == 0 {
            return;
        }
        let len = medium.len_bytes.next_multiple_of(PAGE_SIZE);
        let flags = BORROWED_RW;
        self.table
            .map_range(
                &region(MEDIUM_IPA, len),
                PhysicalAddress(medium.base as usize),
                flags,
                Constraints::NO_CONTIGUOUS_HINT,
            )
            .expect("the medium lies inside the guest-physical address space");
    }

    /// Takes a range of its own RAM from the VM (it was lent).
    pub fn remove_ram(&mut self, range: PageRange) {
        let ipa = range.start().get();
        self.put(ipa, ipa, range.len_bytes(), Stage2Attributes::empty());
    }

    /// Gives a range of its own RAM back to the VM.
    pub fn restore_ram(&mut self, vm: VmIndex, range: PageRange) {
        let ipa = range.start().get();
        self.put(ipa, vm.ram().base + (ipa - RAM_IPA), range.len_bytes(), RAM);
    }

    /// Maps borrowed memory at `ipa` in the window.
    pub fn map_borrowed(&mut self, ipa: u64, memory: PhysRange, access: BorrowedAccess) {
        assert!(ipa >= WINDOW_IPA && ipa + memory.len_bytes <= WINDOW_IPA + WINDOW_BYTES);
        let flags = match access {
            BorrowedAccess::ReadOnly => BORROWED_RO,
            BorrowedAccess::ReadWrite => BORROWED_RW,
        };
        self.put(ipa, memory.base, memory.len_bytes, flags);
    }

    /// Takes borrowed memory out of the window.
    pub fn remove_borrowed(&mut self, ipa: u64, len_bytes: u64) {
        assert!(ipa >= WINDOW_IPA && ipa + len_bytes <= WINDOW_IPA + WINDOW_BYTES);
        self.put(ipa, ipa, len_bytes, Stage2Attributes::empty());
    }

    /// Walks the table: would it let the VM do this?
    pub fn allows(&self, ipa: u64, access: Access) -> bool {
        if ipa >= IPA_BYTES as u64 {
            return false;
        }
        let mut allowed = false;
        let page = ipa & !(PAGE_SIZE - 1);
        let walked = self.table.walk_range(&region(page, PAGE_SIZE), &mut |_, entry, level| {
            let flags = entry.flags();
            let is_leaf = level == 3 || !entry.is_table_or_page();
            if entry.is_valid() && is_leaf {
                allowed = match access {
                    Access::Read => flags.contains(Stage2Attributes::S2AP_ACCESS_RO),
                    Access::Write => flags.contains(Stage2Attributes::S2AP_ACCESS_RW),
                    Access::Fetch => !flags.contains(Stage2Attributes::XN),
                };
            }
            Ok(())
        });
        walked.is_ok() && allowed
    }

    /// Walks the whole table and counts the valid entries whose memory touches `memory`.
    pub fn entries_that_map(&self, memory: PhysRange) -> usize {
        let mut count = 0;
        let whole = MemoryRegion::new(0, IPA_BYTES);
        let walked = self.table.walk_range(&whole, &mut |part, entry, level| {
            let is_leaf = level == 3 || !entry.is_table_or_page();
            if entry.is_valid() && is_leaf {
                let base = entry.output_address().0 as u64;
                if base < memory.end() && memory.base < base + part.len() as u64 {
                    count += 1;
                }
            }
            Ok(())
        });
        // A walk that fails has proved nothing: say that everything is mapped.
        if walked.is_ok() { count } else { usize::MAX }
    }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "the trait that hands out tables has an unsafe method")]

    use super::*;
    use crate::layout::{FRONTEND, MEDIUM};
    use aarch64_paging::paging::PageTable;
    use causeway_ffa::PageAddr;
    use core::ptr::NonNull;

    type Table = PageTable<Stage2Attributes>;

    /// Tables on the heap, leaked: a test is short.
    struct Heap;

    impl Translation<Stage2Attributes> for Heap {
        fn allocate_table(&mut self) -> (NonNull<Table>, PhysicalAddress) {
            let table = NonNull::from(Box::leak(Box::new(Table::default())));
            (table, PhysicalAddress(table.as_ptr() as usize))
        }
        unsafe fn deallocate_table(&mut self, _table: NonNull<Table>) {}
        fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<Table> {
            NonNull::new(pa.0 as *mut Table).unwrap()
        }
    }

    fn pages(ipa: u64, count: u32) -> PageRange {
        PageRange::new(PageAddr::new(ipa).unwrap(), count).unwrap()
    }

    fn backend() -> Stage2Map<Heap> {
        let mut map = Stage2Map::new(Heap);
        map.map_ram(BACKEND);
        map
    }

    #[test]
    fn ram_is_mapped_and_nothing_else() {
        let map = backend();
        let last = RAM_IPA + BACKEND.ram().len_bytes - 1;
        for ipa in [RAM_IPA, last] {
            for access in [Access::Read, Access::Write, Access::Fetch] {
                assert!(map.allows(ipa, access));
            }
        }
        for ipa in [
            RAM_IPA - 1,
            last + 1,
            0,
            WINDOW_IPA,
            0x0900_0000,
            0x0e10_0000,
            1 << 39,
            1 << 40,
            u64::MAX,
        ] {
            assert!(!map.allows(ipa, Access::Read), "{ipa:#x}");
        }
    }

    #[test]
    fn lent_pages_are_gone_until_they_are_restored() {
        let mut map = backend();
        for range in [pages(RAM_IPA + 0x5000, 3), pages(RAM_IPA + 0x20_0000, 512)] {
            let (first, last) = (range.start().get(), range.end() - 1);
            map.remove_ram(range);
            assert!(!map.allows(first, Access::Read) && !map.allows(last, Access::Read));
            assert!(map.allows(first - 1, Access::Write) && map.allows(last + 1, Access::Write));
            map.restore_ram(BACKEND, range);
            assert!(map.allows(first, Access::Write) && map.allows(last, Access::Write));
        }
        assert_eq!(map.entries_that_map(BACKEND.ram()), 0x400_0000 / 4096);
    }

    #[test]
    fn borrowed_memory_is_never_executable_nor_wider_than_granted() {
        let mut map = backend();
        let memory = PhysRange { base: FRONTEND.ram().base, len_bytes: 0x2000 };
        map.map_borrowed(WINDOW_IPA, memory, BorrowedAccess::ReadOnly);
        map.map_borrowed(WINDOW_IPA + 0x2000, memory, BorrowedAccess::ReadWrite);
        let may = |ipa| {
            [Access::Read, Access::Write, Access::Fetch].map(|access| map.allows(ipa, access))
        };
        assert_eq!(may(WINDOW_IPA), [true, false, false]);
        assert_eq!(may(WINDOW_IPA + 0x2000), [true, true, false]);
        assert_eq!(may(WINDOW_IPA + 0x4000), [false, false, false]);
    }

    #[test]
    fn borrowed_memory_is_gone_after_it_was_removed() {
        let mut map = backend();
        let memory = PhysRange { base: FRONTEND.ram().base, len_bytes: 0x40_0000 };
        map.map_borrowed(WINDOW_IPA, memory, BorrowedAccess::ReadWrite);
        assert_eq!(map.entries_that_map(memory), 1024);
        map.remove_borrowed(WINDOW_IPA, memory.len_bytes);
        assert_eq!(map.entries_that_map(memory), 0);
        assert!(!map.allows(WINDOW_IPA, Access::Read));
    }

    #[test]
    fn the_walk_finds_the_medium_where_it_is_mapped() {
        let medium = PhysRange { base: MEDIUM.base, len_bytes: (16 << 20) + 512 };
        let mut map = backend();
        assert_eq!(map.entries_that_map(MEDIUM), 0);
        map.map_medium(BACKEND, medium);
        assert_eq!(map.entries_that_map(MEDIUM), 8 + 1);
        assert!(map.allows(MEDIUM_IPA + medium.len_bytes - 1, Access::Write));
        assert!(!map.allows(MEDIUM_IPA, Access::Fetch));
        let mut other = Stage2Map::new(Heap);
        other.map_ram(FRONTEND);
        other.map_medium(FRONTEND, medium);
        assert_eq!(other.entries_that_map(MEDIUM), 0);
        other.map_borrowed(
            WINDOW_IPA + 0x7000,
            PhysRange { base: medium.base + 0x3000, len_bytes: 0x1000 },
            BorrowedAccess::ReadOnly,
        );
        assert_eq!(other.entries_that_map(MEDIUM), 1);
    }
}
