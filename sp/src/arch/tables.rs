//! Owns the memory of page tables: a fixed pool, no heap. Never decides what a table maps.

use aarch64_paging::descriptor::{El1Attributes, PhysicalAddress};
use aarch64_paging::paging::{PageTable, Translation};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// Tables in the pool. The image itself needs fewer than ten; the rest serves shared memory, and is
/// enough for every area that `Areas` can hold, however scattered: no VM can take another's share.
pub(crate) const POOL_TABLES: usize = if cfg!(feature = "minimal") { 128 } else { 256 };

/// Bits of one word of the bitmap.
const BITS: usize = u128::BITS as usize;
/// Words of the bitmap.
const WORDS: usize = POOL_TABLES / BITS;

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
        Some(TablePool { store: self, used: [0; WORDS] })
    }
}

/// Hands out page tables, whose physical address is their virtual one.
pub(crate) struct TablePool {
    store: &'static TableStore,
    /// Bit n of them all: table n is in use.
    used: [u128; WORDS],
}

impl TablePool {
    /// Returns the number of tables left.
    pub(crate) fn free_tables(&self) -> u32 {
        self.used.iter().map(|word| word.count_zeros()).sum()
    }

    /// The first table that is not in use.
    fn first_free(&self) -> Option<usize> {
        let word = self.used.iter().position(|word| *word != u128::MAX)?;
        let bit = usize::try_from(self.used.get(word)?.trailing_ones()).ok()?;
        Some(word * BITS + bit)
    }

    /// The table at an address; `None` if there is none of ours.
    fn index_of(&self, address: usize) -> Option<usize> {
        const BYTES: usize = size_of::<PageTable<El1Attributes>>();
        let offset = address.checked_sub(self.store.tables.as_ptr() as usize)?;
        (offset.is_multiple_of(BYTES) && offset / BYTES < POOL_TABLES).then_some(offset / BYTES)
    }
}

impl Translation<El1Attributes> for TablePool {
    /// # Panics
    /// If the pool is empty. `Stage1` asks `TablePool::free_tables` before it maps anything, so
    /// that no caller of the partition reaches this.
    fn allocate_table(&mut self) -> (NonNull<PageTable<El1Attributes>>, PhysicalAddress) {
        let Some(index) = self.first_free() else { panic!("no page table left") };
        let Some(table) = NonNull::new(self.store.tables[index].get()) else {
            panic!("the pool lies at no address")
        };
        self.used[index / BITS] |= 1 << (index % BITS);
        // SAFETY: `table` points to a cell of the static store whose bit was clear, so nobody else
        // uses it: not this pool's owner, and not the walker, since a table is detached and its TLB
        // entries are gone before `deallocate_table` clears its bit.
        unsafe { table.write(PageTable::EMPTY) };
        (table, PhysicalAddress(table.as_ptr() as usize))
    }

    unsafe fn deallocate_table(&mut self, table: NonNull<PageTable<El1Attributes>>) {
        if let Some(index) = self.index_of(table.as_ptr() as usize) {
            self.used[index / BITS] &= !(1 << (index % BITS));
        }
    }

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<El1Attributes>> {
        let found = self.index_of(pa.0).and_then(|index| self.store.tables.get(index));
        let Some(table) = found.and_then(|cell| NonNull::new(cell.get())) else {
            panic!("a table descriptor points outside the pool")
        };
        table
    }
}

const _: () = assert!(POOL_TABLES == WORDS * BITS, "the bitmap has one bit a table");
