//! Owns a wire with a far end: two bounded lanes of frames, which lose, double and reorder them where
//! one is told to. Never makes a frame, never looks into one.

use super::{Frame, Wire};

/// Which mishaps a lane has, each for one frame in so many on average; 0 for never. Which frames they
/// are follows from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Where the row of mishaps begins.
    pub seed: u64,
    /// One frame in this many is lost.
    pub drop: u32,
    /// One in this many arrives twice.
    pub twice: u32,
    /// One in this many overtakes all that wait, and the one that waited longest comes last.
    pub ahead: u32,
}

impl Faults {
    /// A good lane.
    pub const NONE: Self = Self { seed: 0, drop: 0, twice: 0, ahead: 0 };

    /// Decides whether a mishap happens that happens to one frame in `every`.
    fn strikes(&mut self, every: u32) -> bool {
        if every == 0 {
            return false;
        }
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(u64::from(every)) == Some(0)
    }
}

/// What became of a lane's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// Frames that were put in.
    pub frames: u64,
    /// Frames that a fault lost.
    pub dropped: u64,
    /// Frames that a fault doubled.
    pub doubled: u64,
    /// Frames that a fault let overtake others.
    pub overtook: u64,
    /// Frames for which there was no room. A far end that asks first has none.
    pub overflowed: u64,
}

/// One direction: frames in order, in room that its owner gave.
#[derive(Debug)]
pub struct Lane<'f> {
    slots: &'f mut [Frame],
    first: usize,
    len: usize,
    faults: Faults,
    counts: LaneCounts,
}

impl<'f> Lane<'f> {
    /// Makes an empty lane of as many frames as there are slots.
    pub fn new(slots: &'f mut [Frame], faults: Faults) -> Self {
        Self { slots, first: 0, len: 0, faults, counts: LaneCounts::default() }
    }

    /// Returns what became of its frames.
    #[must_use]
    pub const fn counts(&self) -> LaneCounts {
        self.counts
    }

    fn has_room(&self) -> bool {
        self.len < self.slots.len()
    }

    /// The slot of the frame that is `place` behind the first.
    fn slot(&self, place: usize) -> usize {
        self.first.wrapping_add(place).checked_rem(self.slots.len()).unwrap_or(0)
    }

    fn put(&mut self, frame: &Frame) {
        self.counts.frames = self.counts.frames.saturating_add(1);
        if self.faults.strikes(self.faults.drop) {
            self.counts.dropped = self.counts.dropped.saturating_add(1);
            return;
        }
        let twice = self.faults.strikes(self.faults.twice);
        self.push(frame);
        if twice && self.has_room() {
            self.counts.doubled = self.counts.doubled.saturating_add(1);
            self.push(frame);
        }
        if self.faults.strikes(self.faults.ahead) && self.len > 1 {
            self.counts.overtook = self.counts.overtook.saturating_add(1);
            let (first, last) = (self.slot(0), self.slot(self.len.wrapping_sub(1)));
            self.slots.swap(first, last);
        }
    }

    fn push(&mut self, frame: &Frame) {
        let (at, room) = (self.slot(self.len), self.has_room());
        match self.slots.get_mut(at) {
            Some(slot) if room => {
                // As long as the slot, so it always fits.
                if let Some(into) = slot.room(frame.bytes().len()) {
                    into.copy_from_slice(frame.bytes());
                }
                self.len = self.len.saturating_add(1);
            }
            Some(_) | None => self.counts.overflowed = self.counts.overflowed.saturating_add(1),
        }
    }

    fn front(&self) -> Option<&Frame> {
        self.slots.get(self.slot(0)).filter(|_| self.len > 0)
    }

    fn pop(&mut self) {
        if self.len > 0 {
            self.first = self.slot(1);
            self.len = self.len.saturating_sub(1);
        }
    }
}

/// A cable between a network card and whatever its owner plugs in at the far end.
#[derive(Debug)]
pub struct Cable<'f> {
    to_driver: Lane<'f>,
    to_far: Lane<'f>,
}

impl<'f> Cable<'f> {
    /// Makes a cable of two lanes.
    #[must_use]
    pub const fn new(to_driver: Lane<'f>, to_far: Lane<'f>) -> Self {
        Self { to_driver, to_far }
    }

    /// Returns the lane to the card's driver.
    #[must_use]
    pub const fn to_driver(&self) -> &Lane<'f> {
        &self.to_driver
    }

    /// Returns the lane to the far end.
    #[must_use]
    pub const fn to_far(&self) -> &Lane<'f> {
        &self.to_far
    }

    /// Reports whether the far end may send a frame.
    #[must_use]
    pub fn far_has_room(&self) -> bool {
        self.to_driver.has_room()
    }

    /// Sends a frame from the far end.
    pub fn far_send(&mut self, frame: &Frame) {
        self.to_driver.put(frame);
    }

    /// Returns the next frame for the far end, which stays until [`Cable::far_taken`].
    #[must_use]
    pub fn far_waiting(&self) -> Option<&Frame> {
        self.to_far.front()
    }

    /// Drops the frame that [`Cable::far_waiting`] shows: the far end has it.
    pub fn far_taken(&mut self) {
        self.to_far.pop();
    }
}

impl Wire for Cable<'_> {
    fn has_room(&self) -> bool {
        self.to_far.has_room()
    }

    fn send(&mut self, frame: &Frame) {
        self.to_far.put(frame);
    }

    fn waiting(&self) -> Option<&Frame> {
        self.to_driver.front()
    }

    fn taken(&mut self) {
        self.to_driver.pop();
    }

    fn cut(&mut self) {
        self.to_driver.len = 0;
    }
}
