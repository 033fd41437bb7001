//! Owns the lines that wait to be printed, and who may still add some: callers cause them, so each
//! owner has a ration of its own. Never prints.

use crate::platform::MappedBits;
use causeway_ffa::{EndpointId, PageRange};
use core::fmt;

/// Lines of one owner that can wait. One call maps or unmaps four ranges, the destruction of a VM
/// what its sixteen grants at most have mapped.
const ROOM: usize = 64;
/// Lines that one owner may cause in a second.
const RATION: u32 = 256;
/// Owners with a ration of their own: every VM that a policy can name, and no VM.
const OWNERS: usize = 9;
/// Lines that can wait: nobody takes another's room.
pub const CAPACITY: usize = ROOM * OWNERS;

/// Bytes of a line of a VM's console; a longer one is cut in pieces.
pub const LINE_BYTES: usize = 80;

/// A line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Text {
    /// Keeps the start of a line, as much as there is room for.
    #[must_use]
    pub fn new(line: &str) -> Self {
        let mut len = line.len().min(LINE_BYTES);
        while !line.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; LINE_BYTES];
        for (place, byte) in bytes.iter_mut().zip(line.bytes()).take(len) {
            *place = byte;
        }
        Self { bytes, len }
    }

    /// Returns the line.
    #[must_use]
    pub fn get(&self) -> &str {
        let kept = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(kept).unwrap_or("")
    }
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A shared range was mapped, with these bits in the tables.
    Map {
        /// The range.
        range: PageRange,
        /// What the tables hold.
        bits: MappedBits,
    },
    /// A shared range was unmapped.
    Unmap {
        /// The range.
        range: PageRange,
    },
    /// A secure interrupt that no device of ours raises.
    StrayInterrupt {
        /// Its number.
        intid: u64,
        /// Linear number of the core that took it.
        core: usize,
    },
    /// A VM wrote a line to its console.
    Written {
        /// Which.
        vm: EndpointId,
        /// The line: printable ASCII.
        text: Text,
    },
    /// Lines of this owner that nobody will read.
    Lost {
        /// Who caused them.
        owner: Option<EndpointId>,
        /// How many.
        count: u32,
    },
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map { range, bits } => write!(
                f,
                "MAP pa={:#x} pages={} ns={} xn={} ap={} mem={}",
                range.start().get(),
                range.page_count(),
                u8::from(bits.non_secure),
                u8::from(bits.never_execute),
                if bits.read_only { "ro" } else { "rw" },
                bits.kind.name(),
            ),
            Self::Unmap { range } => {
                write!(f, "UNMAP pa={:#x} pages={}", range.start().get(), range.page_count())
            }
            Self::StrayInterrupt { intid, core } => {
                write!(f, "interrupt {intid} of no device, core {core}")
            }
            Self::Written { vm, text } => write!(f, "vm{}: {}", vm.get(), text.get()),
            Self::Lost { owner: Some(owner), count } => write!(f, "LOG lost={count} owner={owner}"),
            Self::Lost { owner: None, count } => write!(f, "LOG lost={count}"),
        }
    }
}

/// What one owner has had in a second.
#[derive(Clone, Copy)]
struct Ration {
    owner: Option<EndpointId>,
    second: u64,
    used: u32,
    lost: u32,
    waiting: usize,
}

/// A line and the place of its owner's ration.
#[derive(Clone, Copy)]
struct Waiting {
    said: Said,
    ration: usize,
}

/// The queue and the rations.
pub struct Lines {
    queue: [Option<Waiting>; CAPACITY],
    first: usize,
    count: usize,
    rations: [Option<Ration>; OWNERS],
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Lines {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { queue: [None; CAPACITY], first: 0, count: 0, rations: [None; OWNERS] }
    }

    /// Adds a line, or counts it as lost.
    pub fn push(&mut self, second: u64, owner: Option<EndpointId>, said: Said) {
        let known = self.rations.iter().position(|r| r.is_none_or(|r| r.owner == owner));
        // Owners beyond the policy's do not exist; should one appear, it shares the last ration.
        let place = known.unwrap_or(OWNERS - 1);
        let Some(slot) = self.rations.get_mut(place) else { return };
        let new = Ration { owner, second, used: 0, lost: 0, waiting: 0 };
        let ration = slot.get_or_insert(new);
        if ration.second != second {
            (ration.second, ration.used) = (second, 0);
        }
        if ration.waiting == ROOM || ration.used == RATION {
            ration.lost = ration.lost.saturating_add(1);
            return;
        }
        ration.used += 1;
        ration.waiting += 1;
        if let Some(room) = self.queue.get_mut((self.first + self.count) % CAPACITY) {
            *room = Some(Waiting { said, ration: place });
            self.count += 1;
        }
    }

    /// Takes the oldest line; behind the last one, and once the second is over, what was lost.
    pub fn pop(&mut self, second: u64) -> Option<Said> {
        if self.count > 0 {
            let Waiting { said, ration } = self.queue.get_mut(self.first)?.take()?;
            self.first = (self.first + 1) % CAPACITY;
            self.count -= 1;
            if let Some(Some(ration)) = self.rations.get_mut(ration) {
                ration.waiting -= 1;
            }
            return Some(said);
        }
        let mut rations = self.rations.iter_mut().flatten();
        let ration = rations.find(|ration| ration.lost > 0 && ration.second != second)?;
        let count = core::mem::take(&mut ration.lost);
        Some(Said::Lost { owner: ration.owner, count })
    }

    /// Reports whether a line waits.
    #[must_use]
    pub const fn has_lines(&self) -> bool {
        self.count > 0
    }

    /// Reports whether a count of lost lines waits for its second to end.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.rations.iter().flatten().any(|ration| ration.lost > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_ffa::PageAddr;

    fn unmap(page: u64) -> Said {
        let start = PageAddr::new(page << 12).unwrap();
        Said::Unmap { range: PageRange::new(start, 1).unwrap() }
    }

    fn vm(id: u16) -> Option<EndpointId> {
        Some(EndpointId::from_raw(id))
    }

    #[test]
    fn lines_come_back_in_order_and_in_full() {
        let mut lines = Lines::new();
        for round in 0..3 * u64::from(RATION) {
            lines.push(round, vm(1), unmap(round));
            lines.push(round, vm(2), unmap(round + 1));
            assert_eq!(lines.pop(round), Some(unmap(round)));
            assert_eq!(lines.pop(round), Some(unmap(round + 1)));
            assert!(!lines.has_lines() && !lines.has_lost());
        }
    }

    #[test]
    fn a_flood_of_one_owner_costs_no_line_of_another_and_is_counted_once() {
        let mut lines = Lines::new();
        for page in 0..1000 {
            lines.push(7, vm(3), unmap(page));
            while lines.pop(7).is_some() {}
        }
        lines.push(7, vm(1), unmap(5000));
        assert_eq!(lines.pop(7), Some(unmap(5000)));
        assert_eq!(lines.pop(7), None);
        assert!(!lines.has_lines() && lines.has_lost());
        let lost = Said::Lost { owner: vm(3), count: 1000 - RATION };
        assert_eq!(lines.pop(8), Some(lost));
        assert_eq!(lines.pop(8), None);
        assert!(!lines.has_lines() && !lines.has_lost());
        lines.push(8, vm(3), unmap(1));
        assert_eq!(lines.pop(8), Some(unmap(1)));
    }

    #[test]
    fn an_owner_without_room_loses_its_newest_lines_and_takes_no_room_of_another() {
        let room = u64::try_from(ROOM).unwrap();
        let mut lines = Lines::new();
        for page in 0..room + 3 {
            lines.push(1, vm(3), unmap(page));
        }
        for page in 1000..1000 + room {
            lines.push(1, vm(1), unmap(page));
        }
        for page in (0..room).chain(1000..1000 + room) {
            assert_eq!(lines.pop(1), Some(unmap(page)));
        }
        assert_eq!(lines.pop(1), None);
        assert_eq!(lines.pop(2), Some(Said::Lost { owner: vm(3), count: 3 }));
        assert!(!lines.has_lines() && !lines.has_lost());
    }

    #[test]
    fn the_lines_read_as_the_tests_expect_them() {
        assert_eq!(unmap(0x80000).to_string(), "UNMAP pa=0x80000000 pages=1");
        let lost = Said::Lost { owner: vm(3), count: 9 };
        assert_eq!(lost.to_string(), "LOG lost=9 owner=0x0003");
    }
}
