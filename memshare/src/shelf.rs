//! Owns a table in order that is cheap to change in the middle: blocks with room in each, found by
//! their first item. Never knows what the items mean, never allocates.
//!
//! Two neighbours never hold [`MERGED`] items or fewer together, so that a full table needs less than
//! the [`ROOM`] places that there are for each item. A change moves the items of two blocks and the
//! list of blocks at most, however many items there are.

/// Something with a place in the order.
pub(crate) trait Item: Copy {
    /// What places hold that were never used.
    const BLANK: Self;

    /// What the items are sorted by; no two have the same.
    fn key(&self) -> u64;
}

impl Item for u64 {
    const BLANK: Self = 0;

    #[inline]
    fn key(&self) -> u64 {
        *self
    }
}

/// Places for each item.
const ROOM: usize = 3;
/// Items of a block at most.
const SPAN: usize = 32;
/// Two neighbours that hold no more than this together become one block.
const MERGED: usize = 24;

/// From this many items on the last block is not appended to: what comes in between finds room.
const APPENDED: usize = 24;

/// Which block stands at a position, and how many items it holds.
#[derive(Clone, Copy, Debug)]
struct Slot {
    block: u16,
    len: u16,
}

/// Up to `N` items.
#[derive(Clone, Debug)]
pub(crate) struct Shelf<T, const N: usize> {
    items: [[T; ROOM]; N],
    /// The blocks in order; behind them, empty, those that are not used any more.
    slots: [Slot; N],
    /// Blocks in use, at least one, and blocks that ever were.
    used: usize,
    made: u16,
    len: usize,
}

/// A place in the order: the position of a block, and where in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    position: usize,
    at: usize,
}

impl<T: Item, const N: usize> Shelf<T, N> {
    /// Items of a block at most.
    const SPAN: usize = if N * ROOM < SPAN { N * ROOM } else { SPAN };
    const BLOCKS: usize = N * ROOM / Self::SPAN;
    const FITS: () =
        assert!(N > 0 && Self::BLOCKS <= N && N <= 0xffff, "blocks are named by 16 bits");

    pub(crate) const fn new() -> Self {
        let () = Self::FITS;
        let slots = [Slot { block: 0, len: 0 }; N];
        Self { items: [[T::BLANK; ROOM]; N], slots, used: 1, made: 1, len: 0 }
    }

    /// Whether there is no item.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every item in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        (0..self.used).flat_map(|position| self.block(position))
    }

    /// Where an item with this key is or would be: before it lie the items with smaller keys.
    #[inline]
    pub(crate) fn place(&self, key: u64) -> Place {
        let position = self.position(key);
        Place { position, at: self.block(position).partition_point(|item| item.key() < key) }
    }

    /// The position of the block in which an item with this key is or would be.
    #[inline]
    fn position(&self, key: u64) -> usize {
        // The first block is where nothing else fits.
        let others = self.slots.get(1..self.used).unwrap_or_default();
        let items = self.items.as_flattened();
        others.partition_point(|slot| {
            let begin = usize::from(slot.block).wrapping_mul(Self::SPAN);
            items.get(begin).is_some_and(|first| first.key() <= key)
        })
    }

    /// The item at a place.
    #[inline]
    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        match self.block(place.position).get(place.at) {
            None => self.block(place.position.checked_add(1)?).first(),
            found => found,
        }
    }

    /// The place of a key, and the last item before it.
    #[inline]
    pub(crate) fn place_behind(&self, key: u64) -> (Place, Option<&T>) {
        let position = self.position(key);
        let block = self.block(position);
        let at = block.partition_point(|item| item.key() < key);
        let before = match (at.checked_sub(1), position.checked_sub(1)) {
            (Some(at), _) => block.get(at),
            (None, Some(position)) => self.block(position).last(),
            (None, None) => None,
        };
        (Place { position, at }, before)
    }

    /// The item with this key, and its place.
    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<(Place, &T)> {
        let place = self.place(key);
        let found = self.block(place.position).get(place.at)?;
        (found.key() == key).then_some((place, found))
    }

    /// Inserts an item at its place; `false`, and no change, if there is no room.
    #[inline(always)]
    pub(crate) fn insert(&mut self, place: Place, item: T) -> bool {
        self.insert_here(place, item).is_some() || self.insert_sorted(&[item])
    }

    /// Inserts an item where its block has room: nearly always.
    #[inline(always)]
    fn insert_here(&mut self, place: Place, item: T) -> Option<()> {
        let slot = self.slots.get_mut(place.position)?;
        let len = usize::from(slot.len);
        if len >= Self::SPAN || self.len >= N {
            return None;
        }
        // Behind the last item of all there is as much room as one likes.
        if place.at >= APPENDED && place.position.wrapping_add(1) == self.used {
            return None;
        }
        let begin = usize::from(slot.block).wrapping_mul(Self::SPAN);
        let range = begin.wrapping_add(place.at)..=begin.wrapping_add(len);
        let behind = self.items.as_flattened_mut().get_mut(range)?;
        if let Some(moved @ 1..) = behind.len().checked_sub(1) {
            behind.copy_within(..moved, 1);
        }
        *behind.first_mut()? = item;
        // Both are less than what there is room for, as was seen above.
        slot.len = slot.len.wrapping_add(1);
        self.len = self.len.wrapping_add(1);
        Some(())
    }

    /// Inserts items that are in order and not there yet; `false` if there is no room, and then
    /// nothing changed.
    #[inline(never)]
    pub(crate) fn insert_sorted(&mut self, new: &[T]) -> bool {
        if self.len.saturating_add(new.len()) > N {
            return false;
        }
        let mut left = new;
        while let Some(first) = left.first() {
            let place = self.place(first.key());
            // All that lie before the next item go in at once.
            let count = self.get(place).map_or(left.len(), |next| {
                let next = next.key();
                left.partition_point(|item| item.key() < next)
            });
            let Some((run, others)) = left.split_at_checked(count.max(1)) else { return false };
            if !self.insert_run(place, run) {
                // Never so: the blocks that there are always suffice (see the tests).
                self.remove_sorted(new);
                return false;
            }
            left = others;
        }
        true
    }

    fn insert_run(&mut self, place: Place, run: &[T]) -> bool {
        let Place { position, at } = place;
        let len = self.len_at(position);
        if at == len && len >= APPENDED && position.saturating_add(1) == self.used {
            // The run is only appended, to blocks of its own.
        } else if len.saturating_add(run.len()) <= Self::SPAN {
            self.put(position, at, run);
            return true;
        } else if let [_] = run {
            return self.insert_into_half(place, run);
        } else if !self.split(position, at) {
            // What lies behind the place gets a block of its own, so that the run is only appended.
            return false;
        }
        let (mut last, mut left) = (position, run);
        loop {
            let len = self.len_at(last);
            let most = if run.len() == 1 { APPENDED } else { Self::SPAN };
            let room = most.saturating_sub(len).min(left.len());
            let (part, others) = left.split_at_checked(room).unwrap_or((left, &[]));
            self.put(last, len, part);
            left = others;
            if left.is_empty() {
                break;
            }
            last = last.saturating_add(1);
            if !self.open(last) {
                return false;
            }
        }
        self.settle(last.saturating_add(1));
        self.settle(last);
        true
    }

    /// Inserts into one half of a full block, so that both have room afterwards.
    fn insert_into_half(&mut self, place: Place, run: &[T]) -> bool {
        let Place { position, at } = place;
        let half = self.len_at(position) >> 1;
        if !self.split(position, half) {
            return false;
        }
        match at.checked_sub(half) {
            Some(behind @ 1..) => self.put(position.saturating_add(1), behind, run),
            Some(0) | None => self.put(position, at, run),
        }
        self.settle(position.saturating_add(1));
        self.settle(position);
        true
    }

    /// Takes the item at a place out.
    #[inline]
    pub(crate) fn remove(&mut self, place: Place) {
        let Some(slot) = self.slots.get_mut(place.position) else { return };
        let len = usize::from(slot.len);
        if place.at >= len {
            return;
        }
        slot.len = slot.len.saturating_sub(1);
        let begin = usize::from(slot.block).wrapping_mul(Self::SPAN);
        let range = begin.wrapping_add(place.at)..begin.wrapping_add(len);
        let left = range.len().saturating_sub(1);
        if let Some(behind) = self.items.as_flattened_mut().get_mut(range).filter(|_| left > 0) {
            behind.copy_within(1.., 0);
        }
        self.len = self.len.saturating_sub(1);
        // A block with more items than that has no neighbour to join.
        if self.used > 1 && len <= MERGED {
            self.settle(place.position);
        }
    }

    /// Takes items out that are in order; what is not there is passed over.
    #[inline(never)]
    pub(crate) fn remove_sorted(&mut self, gone: &[T]) {
        let mut left = gone;
        while let Some(first) = left.first() {
            let mut count = 0;
            if let Some((place, _)) = self.find(first.key()) {
                let here = self.block(place.position).get(place.at..).unwrap_or_default();
                let same = here.iter().zip(left).take_while(|(a, b)| a.key() == b.key());
                count = same.count();
                self.remove_run(place, count);
            }
            left = left.get(count.max(1)..).unwrap_or_default();
        }
    }

    fn remove_run(&mut self, place: Place, count: usize) {
        let Place { position, at } = place;
        let len = self.len_at(position);
        let end = at.saturating_add(count);
        if end > len {
            return;
        }
        if let Some(block) = self.places(position).and_then(|block| block.get_mut(..len)) {
            block.copy_within(end.., at);
        }
        self.set_len(position, len.saturating_sub(count));
        self.len = self.len.saturating_sub(count);
        self.settle(position);
    }

    /// Where the block at a position begins in `items`, and how many items it has.
    #[inline]
    fn extent(&self, position: usize) -> (usize, usize) {
        let Some(slot) = self.slots.get(position) else { return (0, 0) };
        (usize::from(slot.block).wrapping_mul(Self::SPAN), usize::from(slot.len))
    }

    #[inline]
    fn len_at(&self, position: usize) -> usize {
        self.extent(position).1
    }

    fn set_len(&mut self, position: usize, len: usize) {
        if let (Some(slot), Ok(len)) = (self.slots.get_mut(position), u16::try_from(len)) {
            slot.len = len;
        }
    }

    #[inline]
    fn block(&self, position: usize) -> &[T] {
        let (begin, len) = self.extent(position);
        self.items.as_flattened().get(begin..begin.wrapping_add(len)).unwrap_or_default()
    }

    /// All places of a block.
    fn places(&mut self, position: usize) -> Option<&mut [T]> {
        let begin = self.extent(position).0;
        self.items.as_flattened_mut().get_mut(begin..begin.wrapping_add(Self::SPAN))
    }

    /// Puts items into a block that has room for them.
    fn put(&mut self, position: usize, at: usize, new: &[T]) {
        let len = self.len_at(position);
        let end = len.saturating_add(new.len());
        let Some(block) = self.places(position).and_then(|block| block.get_mut(at..end)) else {
            return;
        };
        block.copy_within(..len.saturating_sub(at), new.len());
        for (place, item) in block.iter_mut().zip(new) {
            *place = *item;
        }
        self.set_len(position, end);
        self.len = self.len.saturating_add(new.len());
    }

    /// Moves what lies behind a place of a block into a new block.
    fn split(&mut self, position: usize, at: usize) -> bool {
        let len = self.len_at(position);
        if at >= len {
            return true;
        }
        let next = position.saturating_add(1);
        self.open(next) && self.move_tail(position, at, next)
    }

    /// Moves the items from `at` on of one block behind those of another.
    fn move_tail(&mut self, from: usize, at: usize, to: usize) -> bool {
        let ((source, len), (target, to_len)) = (self.extent(from), self.extent(to));
        let source = source.saturating_add(at)..source.saturating_add(len);
        let target = target.saturating_add(to_len);
        let moved = len.saturating_sub(at);
        let items = self.items.as_flattened_mut();
        if source.end > items.len() || target.saturating_add(moved) > items.len() {
            return false;
        }
        items.copy_within(source, target);
        self.set_len(from, at);
        self.set_len(to, to_len.saturating_add(moved));
        true
    }

    /// Puts an empty block at a position.
    fn open(&mut self, position: usize) -> bool {
        if self.used >= Self::BLOCKS {
            return false;
        }
        if self.used == usize::from(self.made) {
            if let Some(slot) = self.slots.get_mut(self.used) {
                slot.block = self.made;
            }
            self.made = self.made.saturating_add(1);
        }
        if let Some(behind) = self.slots.get_mut(position..=self.used) {
            behind.rotate_right(1);
        }
        self.used = self.used.saturating_add(1);
        true
    }

    /// Takes the empty block at a position out of use.
    fn close(&mut self, position: usize) {
        if let Some(behind) = self.slots.get_mut(position..self.used) {
            behind.rotate_left(1);
        }
        self.used = self.used.saturating_sub(1);
    }

    /// Restores what holds for a block and its neighbours.
    fn settle(&mut self, position: usize) {
        if position >= self.used {
            return;
        }
        let len = self.len_at(position);
        if len == 0 && self.used > 1 {
            // Those beside it are neighbours now.
            self.close(position);
            return self.join_with_before(position);
        }
        let next = position.saturating_add(1);
        if next < self.used && len.saturating_add(self.len_at(next)) <= MERGED {
            self.join(position);
        }
        self.join_with_before(position);
    }

    /// Makes one block of the one at a position and the one before it, if they hold so few items.
    fn join_with_before(&mut self, position: usize) {
        if let Some(before) = position.checked_sub(1)
            && position < self.used
            && self.len_at(before).saturating_add(self.len_at(position)) <= MERGED
        {
            self.join(before);
        }
    }

    /// Makes one block of the one at a position and the next.
    #[inline(never)]
    fn join(&mut self, position: usize) {
        let next = position.saturating_add(1);
        if self.move_tail(next, 0, position) {
            self.close(next);
        }
    }
}

/// Where the blocks begin and end makes no difference.
impl<T: PartialEq + Item, const N: usize> PartialEq for Shelf<T, N> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T: Eq + Item, const N: usize> Eq for Shelf<T, N> {}

#[cfg(test)]
mod tests;
