//! Owns the memory of all page tables; hands out zeroed tables. Never looks into one.
//!
//! The pool is as large as all tables can ever become (`hyp::stage2` counts them), so a mapping
//! never fails half-way for want of a table.

use aarch64_paging::descriptor::{PagingAttributes, PhysicalAddress};
use aarch64_paging::paging::{PageTable, Translation};
use causeway_monitor::layout::TABLES;
use core::ptr::NonNull;
use spin::Mutex;

const PAGE: usize = 4096;
const TABLE_COUNT: usize = TABLES.len_bytes as usize / PAGE;
const WORDS: usize = TABLE_COUNT / 64;

/// Which tables are in use. Kept apart from the tables: a freed one may still be walked until the
/// TLB invalidation that follows, so nothing is written into it.
static IN_USE: Mutex<[u64; WORDS]> = Mutex::new([0; WORDS]);

/// The pool, as `aarch64-paging` wants it: physical addresses are mapped one to one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool;

impl<A: PagingAttributes> Translation<A> for Pool {
    fn allocate_table(&mut self) -> (NonNull<PageTable<A>>, PhysicalAddress) {
        let mut in_use = IN_USE.lock();
        let free = in_use.iter().position(|word| *word != u64::MAX);
        let word = free.expect("the pool holds every table that can exist");
        let bit = in_use[word].trailing_ones() as usize;
        in_use[word] |= 1 << bit;
        let address = TABLES.base as usize + (word * 64 + bit) * PAGE;
        let table = NonNull::new(address as *mut PageTable<A>).expect("the pool is not at zero");
        // SAFETY: the page lies in TABLES, which is mapped read-write and used by nothing else; it
        // was free, so no live table refers to it.
        unsafe { table.cast::<[u64; PAGE / 8]>().write([0; PAGE / 8]) };
        (table, PhysicalAddress(address))
    }

    unsafe fn deallocate_table(&mut self, table: NonNull<PageTable<A>>) {
        let index = (table.as_ptr() as usize - TABLES.base as usize) / PAGE;
        IN_USE.lock()[index / 64] &= !(1 << (index % 64));
    }

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<A>> {
        NonNull::new(pa.0 as *mut PageTable<A>).expect("no table lies at zero")
    }
}
