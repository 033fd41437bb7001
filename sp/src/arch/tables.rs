//! Owns the memory of page tables: a fixed pool, no heap. Never decides what a table maps.

use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{PageTable, Translation};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// Tables in the pool. The image itself needs fewer than ten; the rest serves shared memory, and is
/// enough for every area that `Areas` can hold, however scattered: no VM can take another's share.
pub(crate) const POOL_TABLES: usize = 128;

/// The memory of a pool.
pub(crate) struct TableStore {
    tables: [UnsafeCell<PageTable<El1Attributes>>; POOL_TABLES],
    taken: AtomicBool,
}

// SAFETY: the tables are reached only through the one `TablePool` that `TableStore::take` gives
// out, and through the table walker, which reads whole descriptors.
unsafe impl Sync for TableStore {}

impl TableStore {
    /// An unused store.
    pub(crate) const fn new() -> Self {
        Self {
            tables: [const { UnsafeCell::new(PageTable::EMPTY) }; POOL_TABLES],
            taken: AtomicBool::new(false),
        }
    }

    /// Gives out the store's one pool; `None` if it was given out before.
    pub(crate) fn take(&'static self) -> Option<TablePool> {
        if self.taken.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(TablePool { store: self, used: 0 })
    }
}

/// Hands out page tables, whose physical address is their virtual one.
pub(crate) struct TablePool {
    store: &'static TableStore,
    /// Bit n: table n is in use.
    used: u128,
}

impl TablePool {
    /// Returns the number of tables left.
    pub(crate) const fn free_tables(&self) -> u32 {
        self.used.count_zeros()
    }

    fn index_of(&self, table: NonNull<PageTable<El1Attributes>>) -> Option<usize> {
        self.store.tables.iter().position(|cell| cell.get() == table.as_ptr())
    }
}

impl Translation<El1Attributes> for TablePool {
    /// # Panics
    /// If the pool is empty. `Stage1` asks `TablePool::free_tables` before it maps anything, so
    /// that no caller of the partition reaches this.
    fn allocate_table(&mut self) -> (NonNull<PageTable<El1Attributes>>, PhysicalAddress) {
        let index = self.used.trailing_ones();
        let cell = usize::try_from(index).ok().and_then(|i| self.store.tables.get(i));
        let table = cell.and_then(|cell| NonNull::new(cell.get()));
        let Some(table) = table else { panic!("no page table left") };
        self.used |= 1 << index;
        // SAFETY: `table` points to a cell of the static store whose bit was clear, so nobody else
        // uses it: not this pool's owner, and not the walker, since a table is detached and its TLB
        // entries are gone before `deallocate_table` clears its bit.
        unsafe { table.write(PageTable::EMPTY) };
        (table, PhysicalAddress(table.as_ptr() as usize))
    }

    unsafe fn deallocate_table(&mut self, table: NonNull<PageTable<El1Attributes>>) {
        if let Some(index) = self.index_of(table) {
            self.used &= !(1 << index);
        }
    }

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<El1Attributes>> {
        let found = self.store.tables.iter().find(|cell| cell.get() as usize == pa.0);
        let Some(table) = found.and_then(|cell| NonNull::new(cell.get())) else {
            panic!("a table descriptor points outside the pool")
        };
        table
    }
}

const _: () = assert!(POOL_TABLES == u128::BITS as usize, "the bitmap has one bit a table");
