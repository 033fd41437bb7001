//! Owns which pages of a VM's RAM are spoken for: in a live transaction, or a message buffer.
//! Never maps or unmaps one.

use crate::layout::{PhysRange, RAM_IPA, VmIndex};
use causeway_ffa::{PAGE_SIZE, PageAddr, PageRange};

/// Pages of the largest VM.
const MAX_PAGES: usize = 0x2800_0000 / 4096;
const WORDS: usize = MAX_PAGES / 64;

/// Why pages could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Some of them are not the VM's own RAM.
    NotOwn,
    /// Some of them are spoken for.
    Taken,
}

/// The claimed pages of one VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    words: [u64; WORDS],
}

impl Default for Claims {
    fn default() -> Self {
        Self::new()
    }
}

/// The first page's index and the page count of a range of the VM's RAM.
fn place(vm: VmIndex, range: PageRange) -> Result<(usize, usize), ClaimError> {
    let len = vm.ram().len_bytes.min(MAX_PAGES as u64 * PAGE_SIZE);
    let first = range.start().get();
    if first < RAM_IPA || range.end() > RAM_IPA + len {
        return Err(ClaimError::NotOwn);
    }
    Ok((((first - RAM_IPA) / PAGE_SIZE) as usize, range.page_count() as usize))
}

/// Returns the physical range behind a range of the VM's own RAM.
#[must_use]
pub fn translate(vm: VmIndex, range: PageRange) -> Option<PageRange> {
    place(vm, range).ok()?;
    let start = PageAddr::new(vm.ram().base + (range.start().get() - RAM_IPA))?;
    PageRange::new(start, range.page_count())
}

/// Returns the physical memory of a page of the VM's own RAM.
#[must_use]
pub fn translate_page(vm: VmIndex, page: PageAddr) -> Option<PhysRange> {
    let range = translate(vm, PageRange::new(page, 1)?)?;
    Some(PhysRange { base: range.start().get(), len_bytes: PAGE_SIZE })
}

impl Claims {
    /// No page is claimed.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    /// Claims all the ranges, or none of them.
    ///
    /// # Errors
    /// [`ClaimError`]: then nothing changed. Ranges that overlap each other count as taken.
    pub fn claim(
        &mut self,
        vm: VmIndex,
        ranges: impl Iterator<Item = PageRange> + Clone,
    ) -> Result<(), ClaimError> {
        for (done, range) in ranges.clone().enumerate() {
            if let Err(error) = self.claim_one(vm, range) {
                self.release(vm, ranges.take(done));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives ranges back that were claimed.
    pub fn release(&mut self, vm: VmIndex, ranges: impl Iterator<Item = PageRange>) {
        for range in ranges {
            if let Ok((first, count)) = place(vm, range) {
                for index in first..first + count {
                    self.words[index / 64] &= !(1 << (index % 64));
                }
            }
        }
    }

    /// Reports whether nothing is claimed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    fn claim_one(&mut self, vm: VmIndex, range: PageRange) -> Result<(), ClaimError> {
        let (first, count) = place(vm, range)?;
        let taken = |index: usize| self.words[index / 64] & (1 << (index % 64)) != 0;
        if (first..first + count).any(taken) {
            return Err(ClaimError::Taken);
        }
        for index in first..first + count {
            self.words[index / 64] |= 1 << (index % 64);
        }
        Ok(())
    }
}

/// Joins neighbours: each range that begins where the one before ends becomes part of it.
///
/// RAM is contiguous, so what is adjacent for the VM is adjacent in physical memory, and the
/// order of the pages stays. Fewer ranges take less of the SPMC's store.
pub fn merge(ranges: impl Iterator<Item = PageRange>, mut emit: impl FnMut(PageRange)) {
    let mut run: Option<PageRange> = None;
    for range in ranges {
        run = match run {
            Some(before) if before.end() == range.start().get() => {
                let count = before.page_count().checked_add(range.page_count());
                let joined = count.and_then(|count| PageRange::new(before.start(), count));
                if joined.is_none() {
                    emit(before);
                }
                joined.or(Some(range))
            }
            Some(before) => {
                emit(before);
                Some(range)
            }
            None => Some(range),
        };
    }
    if let Some(last) = run {
        emit(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{BACKEND, FRONTEND};

    fn range(start: u64, pages: u32) -> PageRange {
        PageRange::new(PageAddr::new(start).unwrap(), pages).unwrap()
    }

    const END: u64 = RAM_IPA + 0x400_0000;

    #[test]
    fn only_the_vms_own_ram_can_be_claimed() {
        let mut claims = Claims::new();
        for bad in [
            range(RAM_IPA - 0x1000, 1),
            range(RAM_IPA - 0x1000, 2),
            range(END - 0x1000, 2),
            range(END, 1),
            range(0x0e10_0000, 1),
            range(0x0900_0000, 1),
            range(0, u32::MAX),
        ] {
            assert_eq!(claims.claim(BACKEND, [bad].into_iter()), Err(ClaimError::NotOwn));
            assert_eq!(translate(BACKEND, bad), None);
        }
        assert!(claims.is_empty());
        assert_eq!(claims.claim(BACKEND, [range(END - 0x1000, 1)].into_iter()), Ok(()));
    }

    #[test]
    fn a_page_is_claimed_once() {
        let mut claims = Claims::new();
        claims.claim(BACKEND, [range(RAM_IPA, 100)].into_iter()).unwrap();
        let before = claims.clone();
        let wish = [range(RAM_IPA + 0x10_0000, 2), range(RAM_IPA + 99 * 0x1000, 1)];
        assert_eq!(claims.claim(BACKEND, wish.into_iter()), Err(ClaimError::Taken));
        assert_eq!(claims, before);
        claims.release(BACKEND, [range(RAM_IPA, 100)].into_iter());
        assert!(claims.is_empty());
        assert_eq!(claims.claim(BACKEND, wish.into_iter()), Ok(()));
    }

    #[test]
    fn a_transaction_that_names_a_page_twice_claims_nothing() {
        let mut claims = Claims::new();
        let twice = [range(RAM_IPA, 3), range(RAM_IPA + 0x2000, 1)];
        assert_eq!(claims.claim(BACKEND, twice.into_iter()), Err(ClaimError::Taken));
        assert!(claims.is_empty());
    }

    #[test]
    fn translation_keeps_the_offset() {
        let physical = translate(FRONTEND, range(RAM_IPA + 0x5000, 3)).unwrap();
        assert_eq!(physical, range(0x8000_5000, 3));
    }

    #[test]
    fn neighbours_merge_and_gaps_and_order_stay() {
        let merged = |ranges: &[PageRange]| {
            let mut out = Vec::new();
            merge(ranges.iter().copied(), |range| out.push(range));
            out
        };
        assert_eq!(
            merged(&[range(0x1000, 1), range(0x2000, 2), range(0x5000, 1), range(0x4000, 1)]),
            [range(0x1000, 3), range(0x5000, 1), range(0x4000, 1)]
        );
        assert_eq!(merged(&[]), []);
    }
}
