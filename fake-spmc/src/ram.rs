//! Owns the bytes of the fake machine's memory; never decides who may touch them.

use causeway_ffa::{PAGE_SIZE, PageAddr, PageRange};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::OnceLock;

const PAGE: usize = 4096;

/// One page. Atomics, so that everybody may write at any time without a reference in the way.
#[repr(C, align(4096))]
struct Page([AtomicU8; PAGE]);

/// Gives the bytes of a bank, zero and on page boundaries, for ever: memory that other processes
/// share, say. `None` leaves that bank to this crate.
pub type GivenMemory = fn(PageRange) -> Option<&'static [AtomicU8]>;

enum Bytes {
    Own(Box<[Page]>),
    Given(&'static [AtomicU8]),
}

struct Bank {
    range: PageRange,
    given: Option<GivenMemory>,
    /// Made when somebody looks: many tests move memory and never touch it.
    bytes: OnceLock<Bytes>,
}

impl Bank {
    fn bytes(&self) -> &Bytes {
        let page = || Page([const { AtomicU8::new(0) }; PAGE]);
        self.bytes.get_or_init(|| match self.given.and_then(|given| given(self.range)) {
            Some(bytes) => Bytes::Given(bytes),
            None => Bytes::Own((0..self.range.page_count()).map(|_| page()).collect()),
        })
    }

    /// The bytes of one page.
    fn page(&self, index: usize) -> Option<&[AtomicU8]> {
        match self.bytes() {
            Bytes::Own(pages) => pages.get(index).map(|page| page.0.as_slice()),
            Bytes::Given(bytes) => {
                let start = index.checked_mul(PAGE)?;
                bytes.get(start..start.checked_add(PAGE)?)
            }
        }
    }

    /// The first byte of a run of pages.
    fn pointer(&self, first: usize, count: usize) -> Option<NonNull<u8>> {
        let end = first.checked_add(count)?;
        match self.bytes() {
            Bytes::Own(pages) => Some(NonNull::from(pages.get(first..end)?).cast()),
            Bytes::Given(bytes) => {
                let run = first.checked_mul(PAGE)?..end.checked_mul(PAGE)?;
                Some(NonNull::from(bytes.get(run)?).cast())
            }
        }
    }
}

/// Memory at fake physical addresses, in banks; zero at first.
pub struct Ram {
    banks: Vec<Bank>,
}

/// Where the machine's addresses come from: [`range`] for constants in tests.
///
/// # Panics
/// If the numbers are no range of pages.
#[must_use]
pub fn range(start: u64, page_count: u32) -> PageRange {
    let start = PageAddr::new(start);
    let range = start.and_then(|start| PageRange::new(start, page_count));
    range.expect("a range of pages")
}

impl Ram {
    /// Makes one bank for each range.
    #[must_use]
    pub fn new(ranges: &[PageRange]) -> Self {
        Self::of(ranges, None)
    }

    /// The same, with bytes that somebody else gives.
    #[must_use]
    pub fn of(ranges: &[PageRange], given: Option<GivenMemory>) -> Self {
        let bank = |range: &PageRange| Bank { range: *range, given, bytes: OnceLock::new() };
        Self { banks: ranges.iter().map(bank).collect() }
    }

    /// Reports whether all of `range` is backed by one bank.
    #[must_use]
    pub fn holds(&self, range: PageRange) -> bool {
        self.banks.iter().any(|bank| bank.range.contains(range))
    }

    /// The address at which this process finds `range`, for code that works with pointers (rings).
    /// Valid while this `Ram` lives; `None` where the range is not in one bank.
    #[must_use]
    pub fn pointer(&self, range: PageRange) -> Option<NonNull<u8>> {
        let bank = self.banks.iter().find(|bank| bank.range.contains(range))?;
        let first = (range.start().get() - bank.range.start().get()) / PAGE_SIZE;
        let first = usize::try_from(first).ok()?;
        let count = usize::try_from(range.page_count()).ok()?;
        bank.pointer(first, count)
    }

    /// The bytes from `address` to the end of its page.
    fn rest_of_page(&self, address: u64) -> Option<&[AtomicU8]> {
        let inside = |bank: &&Bank| (bank.range.start().get()..bank.range.end()).contains(&address);
        let bank = self.banks.iter().find(inside)?;
        let offset = usize::try_from(address - bank.range.start().get()).ok()?;
        bank.page(offset / PAGE)?.get(offset % PAGE..)
    }

    /// Copies bytes out; nothing is read beyond memory: `None`, and `into` is then half filled.
    #[must_use]
    pub fn read(&self, address: u64, into: &mut [u8]) -> Option<()> {
        let (mut at, mut left) = (address, into);
        while !left.is_empty() {
            let page = self.rest_of_page(at)?;
            let (now, later) = left.split_at_mut(left.len().min(page.len()));
            for (byte, from) in now.iter_mut().zip(page) {
                *byte = from.load(Ordering::Relaxed);
            }
            at = at.checked_add(u64::try_from(now.len()).ok()?)?;
            left = later;
        }
        Some(())
    }

    /// Copies bytes in; `None` beyond memory, and then what lay before it is written.
    #[must_use]
    pub fn write(&self, address: u64, bytes: &[u8]) -> Option<()> {
        let (mut at, mut left) = (address, bytes);
        while !left.is_empty() {
            let page = self.rest_of_page(at)?;
            let (now, later) = left.split_at(left.len().min(page.len()));
            for (byte, to) in now.iter().zip(page) {
                to.store(*byte, Ordering::Relaxed);
            }
            at = at.checked_add(u64::try_from(now.len()).ok()?)?;
            left = later;
        }
        Some(())
    }
}

impl core::fmt::Debug for Ram {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.banks.iter().map(|bank| bank.range)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_across_pages_and_nothing_lies_beyond() {
        let ram = Ram::new(&[range(0x8000_0000, 2), range(0x9000_0000, 1)]);
        ram.write(0x8000_0ffe, &[1, 2, 3, 4]).unwrap();
        let mut back = [0; 4];
        ram.read(0x8000_0ffe, &mut back).unwrap();
        assert_eq!(back, [1, 2, 3, 4]);
        assert_eq!(ram.write(0x8000_1fff, &[1, 2]), None);
        assert_eq!(ram.read(0x7fff_ffff, &mut back), None);
    }

    #[test]
    fn a_pointer_names_one_bank_only() {
        let ram = Ram::new(&[range(0x8000_0000, 2), range(0x8000_2000, 2)]);
        let whole = ram.pointer(range(0x8000_0000, 2)).unwrap();
        let second = ram.pointer(range(0x8000_1000, 1)).unwrap();
        assert_eq!(second.addr().get() - whole.addr().get(), 4096);
        assert_eq!(ram.pointer(range(0x8000_1000, 2)), None);
    }
}
