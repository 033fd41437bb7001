//! Owns fixed-size tables: a list that blanks what it drops, and a bit set. Never allocates.

use causeway_ffa::EndpointId;

/// A value that fills unused places, so that equal contents make equal tables.
pub(crate) trait Blank: Copy {
    /// The filler.
    const BLANK: Self;
}

impl Blank for u16 {
    const BLANK: Self = 0;
}

impl Blank for u64 {
    const BLANK: Self = 0;
}

impl Blank for EndpointId {
    const BLANK: Self = Self::from_raw(0);
}

impl<T: Copy> Blank for Option<T> {
    const BLANK: Self = None;
}

/// Up to `N` items in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Blank, const N: usize> List<T, N> {
    pub(crate) const fn new() -> Self {
        Self { items: [T::BLANK; N], len: 0 }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    /// The item at a position, or the filler behind the last; `None` beyond the table.
    #[inline]
    pub(crate) fn place(&self, at: usize) -> Option<&T> {
        self.items.get(at)
    }

    /// Appends; `false` if full.
    pub(crate) fn push(&mut self, item: T) -> bool {
        self.insert(self.len, item)
    }

    /// Inserts before position `at`; `false` if full or beyond the end.
    pub(crate) fn insert(&mut self, at: usize, item: T) -> bool {
        let Some(slice) = self.items.get_mut(at..=self.len) else { return false };
        slice.copy_within(..self.len.saturating_sub(at), 1);
        if let Some(place) = slice.first_mut() {
            *place = item;
        }
        self.len = self.len.saturating_add(1);
        true
    }

    /// Keeps the items that `keep` approves, in order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0_usize;
        for from in 0..self.len {
            let Some(item) = self.items.get(from).copied() else { break };
            if !keep(&item) {
                continue;
            }
            if let Some(place) = self.items.get_mut(kept) {
                *place = item;
            }
            kept = kept.saturating_add(1);
        }
        if let Some(tail) = self.items.get_mut(kept..self.len) {
            tail.fill(T::BLANK);
        }
        self.len = kept;
    }
}

/// A set of small numbers, `64 * W` of them at most; `W` is 64 at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bits<const W: usize> {
    words: [u64; W],
    /// Which words are not 0, so that no search walks over empty ones.
    filled: u64,
}

impl<const W: usize> Bits<W> {
    const SIZE_FITS: () = assert!(W <= 64, "one word says which words are filled");

    pub(crate) const fn new() -> Self {
        let () = Self::SIZE_FITS;
        Self { words: [0; W], filled: 0 }
    }

    /// The members of either set.
    pub(crate) fn union(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
        self.filled |= other.filled;
        self
    }

    pub(crate) fn set(&mut self, number: u16) {
        if let Some(word) = self.words.get_mut(usize::from(number >> 6)) {
            *word |= 1 << (number & 63);
            self.filled |= 1 << ((number >> 6) & 63);
        }
    }

    pub(crate) fn clear(&mut self, number: u16) {
        if let Some(word) = self.words.get_mut(usize::from(number >> 6)) {
            *word &= !(1 << (number & 63));
            if *word == 0 {
                self.filled &= !(1 << ((number >> 6) & 63));
            }
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    #[inline]
    pub(crate) fn contains(&self, number: u16) -> bool {
        self.words
            .get(usize::from(number >> 6))
            .is_some_and(|word| (word >> (number & 63)) & 1 == 1)
    }

    /// The smallest member.
    pub(crate) fn first(&self) -> Option<u16> {
        let at = lowest(self.filled)?;
        Some((at << 6) | lowest(*self.words.get(usize::from(at))?)?)
    }

    /// The smallest member that is not below `from`.
    pub(crate) fn next_from(&self, from: u16) -> Option<u16> {
        let at = from >> 6;
        let here = self.words.get(usize::from(at))? & (u64::MAX << (from & 63));
        if here != 0 {
            return Some((at << 6) | lowest(here)?);
        }
        let behind = self.filled & u64::MAX.checked_shl(u32::from(at).checked_add(1)?)?;
        let at = lowest(behind)?;
        let word = self.words.get(usize::from(at))?;
        Some((at << 6) | lowest(*word)?)
    }

    /// The smallest number that is not a member.
    pub(crate) fn first_absent(&self) -> Option<u16> {
        let mut words = (0_u16..).zip(&self.words);
        let (at, word) = words.find(|(_, word)| **word != u64::MAX)?;
        Some((at << 6) | lowest(!word)?)
    }

    /// Every member in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let mut from = Some(0_u16);
        core::iter::from_fn(move || {
            let found = self.next_from(from?)?;
            from = found.checked_add(1);
            Some(found)
        })
    }
}

/// The number of the lowest bit; `None` for 0.
fn lowest(word: u64) -> Option<u16> {
    (word != 0).then(|| u16::try_from(word.trailing_zeros()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_blanks_what_it_drops() {
        let mut list = List::<u16, 4>::new();
        let empty = list;
        for n in [3, 1, 2] {
            assert!(list.push(n));
        }
        assert!(list.insert(1, 9));
        assert!(!list.push(5));
        assert_eq!(list.as_slice(), [3, 9, 1, 2]);
        list.retain(|n| *n == 1);
        assert_eq!(list.as_slice(), [1]);
        list.retain(|n| *n != 1);
        assert_eq!(list, empty);
    }

    #[test]
    fn bits_come_back_in_order() {
        let mut bits = Bits::<3>::new();
        for n in [0, 63, 64, 130, 191, 192] {
            bits.set(n);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 130, 191]);
        bits.clear(63);
        assert!(!bits.contains(63) && bits.contains(64) && !bits.contains(65));
        assert_eq!(bits.next_from(1), Some(64));
        assert_eq!(bits.first(), Some(0));
        assert_eq!(bits.next_from(65), Some(130));
        assert_eq!(bits.next_from(192), None);
        assert_eq!(bits.next_from(500), None);
        assert_eq!(bits.first_absent(), Some(1));
        for n in 0..192 {
            bits.set(n);
        }
        assert_eq!(bits.first_absent(), None);
        for n in 0..192 {
            assert!(!bits.is_empty());
            bits.clear(n);
        }
        assert_eq!((bits.first(), bits), (None, Bits::new()));
    }
}
