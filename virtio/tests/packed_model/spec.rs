//! Owns a driver and a device of packed rings, as virtio 1.3, 2.8 words them: byte by byte, with no thought
//! of speed, of a hostile other side or of a second processor. Never uses our queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where the two event suppression structures lie (2.8.14); the ring lies at 0.
pub(crate) const DRIVER_EVENT: u64 = 0x200;
pub(crate) const DEVICE_EVENT: u64 = 0x208;

// 2.8.1, 2.8.5 and 2.8.7.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

// 2.8.10: RING_EVENT_FLAGS_*.
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const DESC: u16 = 2;

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) is_writable: bool,
}

/// The memory as bytes, of which all fields are little-endian.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a>(pub(crate) &'a [AtomicU16]);

impl Raw<'_> {
    fn word(self, at: u64) -> u16 {
        u16::from_le(self.0[usize::try_from(at / 2).unwrap()].load(Ordering::Relaxed))
    }

    fn set_word(self, at: u64, value: u16) {
        self.0[usize::try_from(at / 2).unwrap()].store(value.to_le(), Ordering::Relaxed);
    }

    fn number(self, at: u64, words: u64) -> u64 {
        (0..words).rev().fold(0, |sum, n| sum << 16 | u64::from(self.word(at + 2 * n)))
    }

    fn set_number(self, at: u64, words: u64, value: u64) {
        for n in 0..words {
            self.set_word(at + 2 * n, u16::try_from(value >> (16 * n) & 0xffff).unwrap());
        }
    }

    pub(crate) fn same(self, other: Self) -> bool {
        let words = |raw: Self| raw.0.iter().map(|word| word.load(Ordering::Relaxed));
        words(self).eq(words(other))
    }
}

/// `struct pvirtq_desc` (2.8.13): le64 addr, le32 len, le16 id, le16 flags.
#[derive(Clone, Copy)]
struct Desc {
    addr: u64,
    len: u32,
    id: u16,
    flags: u16,
}

impl Desc {
    fn read(raw: Raw<'_>, at: u64) -> Self {
        let len = u32::try_from(raw.number(at + 8, 2)).unwrap();
        Self { addr: raw.number(at, 4), len, id: raw.word(at + 12), flags: raw.word(at + 14) }
    }

    fn write(self, raw: Raw<'_>, at: u64) {
        raw.set_number(at, 4, self.addr);
        raw.set_number(at + 8, 2, u64::from(self.len));
        raw.set_word(at + 12, self.id);
        raw.set_word(at + 14, self.flags);
    }
}

/// The offset in the memory of an address in the area.
fn offset(addr: u64) -> u64 {
    addr & 0xffff_ffff_ffff
}

/// A place in the ring, with a wrap counter, which is 1 at first (2.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    slot: u16,
    wrap: bool,
}

impl Place {
    const START: Self = Self { slot: 0, wrap: true };

    fn at(self) -> u64 {
        16 * u64::from(self.slot)
    }

    fn next(self, size: u16) -> Self {
        if self.slot + 1 == size {
            Self { slot: 0, wrap: !self.wrap }
        } else {
            Self { slot: self.slot + 1, ..self }
        }
    }

    /// "To mark a descriptor as available, the driver sets AVAIL to match the Driver Ring Wrap Counter, and
    /// USED to match the inverse value" (2.8.1).
    fn available(self) -> u16 {
        if self.wrap { AVAIL } else { USED }
    }

    /// "To mark a descriptor as used, the device sets USED to match the Device Ring Wrap Counter, and AVAIL
    /// to match it as well" (2.8.1).
    fn used(self) -> u16 {
        if self.wrap { AVAIL | USED } else { 0 }
    }

    /// `desc_event_off` (15 bits) and `desc_event_wrap` (1 bit) of 2.8.14.
    fn event(self) -> u16 {
        self.slot | if self.wrap { 1 << 15 } else { 0 }
    }
}

/// Asks for an event at a place, or always where the feature is not negotiated (2.8.10).
fn ask(raw: Raw<'_>, structure: u64, place: Place, events: bool) {
    if events {
        raw.set_word(structure, place.event());
        raw.set_word(structure + 2, DESC);
    } else {
        raw.set_word(structure + 2, ENABLE);
    }
}

/// What the standard says of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notify {
    /// The other side asked for it.
    pub(crate) must: bool,
    /// So much has happened since that no place tells: to notify is right at any rate.
    pub(crate) may: bool,
}

/// What the other side wants to be told of what happened at these places.
fn wanted(
    raw: Raw<'_>,
    structure: u64,
    events: bool,
    (passed, slots): (&BTreeSet<Place>, usize),
    size: u16,
) -> Notify {
    let asked = raw.word(structure + 2);
    let something = slots != 0;
    if asked == DESC && events {
        let event = raw.word(structure);
        let place = Place { slot: event & 0x7fff, wrap: event >> 15 != 0 };
        return Notify { must: passed.contains(&place), may: slots >= usize::from(size) };
    }
    Notify { must: something && asked != DISABLE, may: false }
}

/// What a device took out of the ring.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) id: u16,
    pub(crate) buffers: Vec<Buffer>,
    slots: u16,
}

/// A device's side.
pub(crate) struct SpecDevice {
    size: u16,
    events: bool,
    avail: Place,
    used: Place,
    passed: BTreeSet<Place>,
    slots: usize,
}

impl SpecDevice {
    pub(crate) fn new(size: u16, events: bool) -> Self {
        let (avail, used) = (Place::START, Place::START);
        Self { size, events, avail, used, passed: BTreeSet::new(), slots: 0 }
    }

    fn waits(&self, raw: Raw<'_>) -> bool {
        let flags = raw.word(self.avail.at() + 14);
        flags & (AVAIL | USED) == self.avail.available()
    }

    /// 2.8.6: the buffer id stands in a chain's last descriptor. 2.8.7: of the descriptors in a table, only
    /// WRITE counts.
    pub(crate) fn take(&mut self, raw: Raw<'_>) -> Option<Taken> {
        if !self.waits(raw) {
            return None;
        }
        let buffer = |desc: &Desc| {
            let Desc { addr, len, flags, .. } = *desc;
            Buffer { addr, len, is_writable: flags & WRITE != 0 }
        };
        let (mut buffers, mut slots) = (Vec::new(), 0);
        loop {
            let desc = Desc::read(raw, self.avail.at());
            self.avail = self.avail.next(self.size);
            slots += 1;
            if desc.flags & INDIRECT == 0 {
                buffers.push(buffer(&desc));
            } else {
                let table = offset(desc.addr);
                let all = (0..u64::from(desc.len / 16)).map(|n| Desc::read(raw, table + 16 * n));
                buffers.extend(all.map(|desc| buffer(&desc)));
            }
            if desc.flags & NEXT == 0 {
                return Some(Taken { id: desc.id, buffers, slots });
            }
        }
    }

    /// 2.8.6: one used descriptor for the whole chain, and as many slots skipped as the chain had. 2.8.5: its
    /// length counts if WRITE is set.
    pub(crate) fn complete(&mut self, raw: Raw<'_>, taken: &Taken, written: u32) {
        let write = if written == 0 { 0 } else { WRITE };
        let there = Desc::read(raw, self.used.at());
        let flags = self.used.used() | write;
        Desc { len: written, id: taken.id, flags, ..there }.write(raw, self.used.at());
        for _ in 0..taken.slots {
            self.passed.insert(self.used);
            self.slots += 1;
            self.used = self.used.next(self.size);
        }
    }

    pub(crate) fn notify(&mut self, raw: Raw<'_>) -> Notify {
        let passed = (&self.passed, self.slots);
        let wanted = wanted(raw, DRIVER_EVENT, self.events, passed, self.size);
        self.passed.clear();
        self.slots = 0;
        wanted
    }

    pub(crate) fn arm(&mut self, raw: Raw<'_>) -> bool {
        ask(raw, DEVICE_EVENT, self.avail, self.events);
        self.waits(raw)
    }

    pub(crate) fn disarm(&mut self, raw: Raw<'_>) {
        raw.set_word(DEVICE_EVENT + 2, DISABLE);
    }
}

/// A driver's side.
pub(crate) struct SpecDriver {
    size: u16,
    events: bool,
    avail: Place,
    used: Place,
    /// The buffer ids in use, and the slots of each.
    ids: BTreeMap<u16, u16>,
    passed: BTreeSet<Place>,
    slots: usize,
}

impl SpecDriver {
    pub(crate) fn new(size: u16, events: bool) -> Self {
        let (avail, used, ids) = (Place::START, Place::START, BTreeMap::new());
        Self { size, events, avail, used, ids, passed: BTreeSet::new(), slots: 0 }
    }

    /// 2.8.21: the descriptors of a chain, the first one's flags last; the buffer id in the last one.
    pub(crate) fn offer(
        &mut self,
        raw: Raw<'_>,
        buffers: &[Buffer],
        table: Option<u64>,
    ) -> Option<u16> {
        let busy: u16 = self.ids.values().sum();
        let slots = if table.is_some() { 1 } else { u16::try_from(buffers.len()).unwrap() };
        if busy + slots > self.size {
            return None;
        }
        // Any name will do that is not in use: the highest one.
        let id = (0..self.size).rev().find(|id| !self.ids.contains_key(id)).unwrap();
        let write = |buffer: &Buffer| if buffer.is_writable { WRITE } else { 0 };
        let mut chain: Vec<Desc> = buffers
            .iter()
            .map(|buffer| Desc { addr: buffer.addr, len: buffer.len, id: 0, flags: write(buffer) })
            .collect();
        if let Some(table) = table {
            for (desc, n) in chain.iter().zip(0_u64..) {
                desc.write(raw, offset(table) + 16 * n);
            }
            let len = u32::try_from(16 * chain.len()).unwrap();
            chain = vec![Desc { addr: table, len, id: 0, flags: INDIRECT }];
        }
        let last = chain.len() - 1;
        let mut place = self.avail;
        for (n, desc) in chain.iter_mut().enumerate() {
            desc.flags |= place.available() | if n < last { NEXT } else { 0 };
            if n == last {
                desc.id = id;
            }
            // Not yet visible: in a first descriptor, the flags say what the slot was.
            let flags = if n == 0 { raw.word(place.at() + 14) } else { desc.flags };
            Desc { flags, ..*desc }.write(raw, place.at());
            self.passed.insert(place);
            self.slots += 1;
            place = place.next(self.size);
        }
        raw.set_word(self.avail.at() + 14, chain[0].flags);
        self.avail = place;
        self.ids.insert(id, slots);
        Some(id)
    }

    fn waits(&self, raw: Raw<'_>) -> bool {
        let flags = raw.word(self.used.at() + 14);
        flags & (AVAIL | USED) == self.used.used() && !self.ids.is_empty()
    }

    pub(crate) fn pop(&mut self, raw: Raw<'_>) -> Option<(u16, u32)> {
        if !self.waits(raw) {
            return None;
        }
        let desc = Desc::read(raw, self.used.at());
        let slots = self.ids.remove(&desc.id).expect("a name in use");
        for _ in 0..slots {
            self.used = self.used.next(self.size);
        }
        Some((desc.id, if desc.flags & WRITE == 0 { 0 } else { desc.len }))
    }

    pub(crate) fn kick(&mut self, raw: Raw<'_>) -> bool {
        let passed = (&self.passed, self.slots);
        let wanted = wanted(raw, DEVICE_EVENT, self.events, passed, self.size);
        self.passed.clear();
        self.slots = 0;
        wanted.must || wanted.may
    }

    pub(crate) fn arm(&mut self, raw: Raw<'_>) -> bool {
        ask(raw, DRIVER_EVENT, self.used, self.events);
        self.waits(raw)
    }

    pub(crate) fn disarm(&mut self, raw: Raw<'_>) {
        raw.set_word(DRIVER_EVENT + 2, DISABLE);
    }
}
