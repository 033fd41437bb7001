//! Page tables of tests: on the heap, never given back, since a test is short.
#![expect(unsafe_code, reason = "the trait that hands out tables has an unsafe method")]

use aarch64_paging::descriptor::{PagingAttributes, PhysicalAddress};
use aarch64_paging::paging::{PageTable, Translation};
use core::ptr::NonNull;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool;

impl<A: PagingAttributes> Translation<A> for Pool {
    fn allocate_table(&mut self) -> (NonNull<PageTable<A>>, PhysicalAddress) {
        let table = NonNull::from(Box::leak(Box::new(PageTable::<A>::default())));
        (table, PhysicalAddress(table.as_ptr() as usize))
    }

    unsafe fn deallocate_table(&mut self, _table: NonNull<PageTable<A>>) {}

    fn physical_to_virtual(&self, pa: PhysicalAddress) -> NonNull<PageTable<A>> {
        NonNull::new(pa.0 as *mut PageTable<A>).expect("no table lies at zero")
    }
}
