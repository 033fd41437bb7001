//! Owns what the client library asks of this runtime: pages, a clock that rests in WFI; never a
//! decision.

use super::{pages, signal, time};
use causeway_client::memory::{IdentityMapper, Pages, Window};
use causeway_client::{Mailbox, Wait};
use causeway_ffa::{PageAddr, PageRange};
use core::ptr::{self, NonNull};

/// First address and pages of the window of retrieved memory.
const WINDOW: (u64, u32) = (0x1_0000_0000, 0x4_0000);

/// The VM's counter; rests in WFI and keeps what rang for [`signal`].
#[derive(Debug)]
pub struct Clock;

impl Wait for Clock {
    fn now_micros(&self) -> u64 {
        time::now_micros()
    }

    fn rest(&self) {
        time::rest();
        signal::fetch();
    }
}

/// Takes `count` of this VM's shareable pages for the client library.
///
/// # Panics
/// If the VM has no more pages.
#[must_use]
pub fn take_pages(count: u32) -> Pages<'static> {
    let address = pages::take(count.into());
    let range = range(address, count);
    let length = usize::try_from(range.len_bytes()).unwrap_or(0);
    let base = ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap_or(0));
    let base = NonNull::new(base).expect("pages are not at 0");
    // SAFETY:
    // 1. The pages are RAM of this VM, mapped read-write by the first page table.
    // 2. `pages::take` gives a page out once, and outside the image, stack and heap, so no Rust
    //    object lies there.
    // 3. A `PageRange` does not wrap.
    let window = unsafe { Window::new(base, length) };
    Pages::contiguous(range, window).expect("one range, one window")
}

fn range(address: u64, count: u32) -> PageRange {
    PageAddr::new(address)
        .and_then(|start| PageRange::new(start, count))
        .expect("whole pages, at least one")
}

/// The message buffers of the client's connection.
///
/// # Panics
/// If the VM has no more pages.
#[must_use]
pub fn mailbox() -> Mailbox {
    Mailbox::new(take_pages(1), take_pages(1)).expect("one page each")
}

/// The mapper of retrieved memory: the monitor maps it, and the first page table shows it.
#[must_use]
pub fn mapper() -> IdentityMapper {
    let (address, count) = WINDOW;
    // SAFETY: `layout::PAGE_TABLE` maps the window to itself as normal memory; image, stack, heap,
    // own pages and medium all lie below it.
    unsafe { IdentityMapper::new(range(address, count)) }
}
