//! Owns the check of a dump against a head: for whoever holds both, on any machine. Never trusts a
//! digest that it did not compute itself.

use super::chain::{BODY, FORMAT, FORMAT_1, Format, Line, Link, UNIT, head_digest, link};
use core::fmt;

/// A dump that is consistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Entries in it.
    pub records: u64,
    /// Entries that were pushed out before it was made.
    pub lost: u64,
    /// Entries ever made in its scope.
    pub sequence: u64,
    /// Whether its head was compared with one that came another way.
    pub anchored: bool,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchored = if self.anchored { "anchored" } else { "not anchored" };
        let Self { records, lost, .. } = self;
        write!(f, "consistent, {anchored}: {records} records, {lost} lost before them")
    }
}

/// What a ring of a room holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingKind {
    /// What happened.
    Moves,
    /// Calls that were refused.
    Refusals,
    /// Calls that only looked.
    Looks,
}

impl RingKind {
    /// One record of it, in a word.
    const fn name(self) -> &'static str {
        match self {
            Self::Moves => "move",
            Self::Refusals => "refusal",
            Self::Looks => "look",
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Moves),
            1 => Some(Self::Refusals),
            2 => Some(Self::Looks),
            _ => None,
        }
    }
}

/// A record's place in a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordName {
    /// Counts the records of the dump, from 1.
    pub ordinal: u64,
    /// Whose room; `None`: strangers'.
    pub subject: Option<u16>,
    /// In which of the room's rings.
    pub ring: RingKind,
    /// Its number there.
    pub sequence: u64,
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.ring.name();
        write!(f, "record {} ({kind} {} of ", self.ordinal, self.sequence)?;
        match self.subject {
            Some(id) => write!(f, "VM {id})"),
            None => write!(f, "strangers)"),
        }
    }
}

/// Why a dump is refused: the first thing that is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It does not begin like a dump, or its first lines are not whole.
    NoDump,
    /// This record, and all after it, is missing.
    Missing(RecordName),
    /// In the place of this record stands another one.
    OutOfOrder(RecordName),
    /// This record is not what was chained.
    Edited(RecordName),
    /// The lines of the rings are not those that the dump's head covers.
    Head,
    /// Something follows the last record.
    Trailing,
    /// The dump agrees with itself but not with the given head: it is another one, or was hashed
    /// anew. No record of it can be trusted, from this one on.
    NotAnchored(Option<RecordName>),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDump => write!(f, "this is no dump of a ledger"),
            Self::Missing(name) => write!(f, "{name} is missing"),
            Self::OutOfOrder(name) => write!(f, "another one stands in the place of {name}"),
            Self::Edited(name) => write!(f, "{name} is not what was chained"),
            Self::Head => write!(f, "the rings' lines are not what the dump's head covers"),
            Self::Trailing => write!(f, "something follows the last record"),
            Self::NotAnchored(Some(name)) => {
                write!(f, "the head differs: a dump hashed anew, or another one; from {name} on")
            }
            Self::NotAnchored(None) => write!(f, "the head differs, and there is no record"),
        }
    }
}

impl core::error::Error for Broken {}

/// Checks a dump. Without a `head` that came another way (LEDGER_HEAD), a dump that was made up as
/// a whole cannot be told.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(dump: &[u8], head: Option<&[u8; 32]>) -> Result<Verified, Broken> {
    let (units, rest) = dump.as_chunks::<UNIT>();
    let (first, units) = units.split_first().ok_or(Broken::NoDump)?;
    let (format, sequence, ring_count, claimed) = read_head(first).ok_or(Broken::NoDump)?;
    let lines = units.get(..ring_count).ok_or(Broken::NoDump)?;
    let mut left = units.get(ring_count..).unwrap_or(&[]).iter();
    let mut records = 0_u64;
    let mut lost = 0_u64;
    let mut first_name = None;
    for bytes in lines {
        let line = read_line(bytes).ok_or(Broken::NoDump)?;
        let ring = RingKind::from_code(line.class).ok_or(Broken::NoDump)?;
        lost = lost.saturating_add(line.first.saturating_sub(1));
        let mut before = line.base;
        // The numbers are bounded by what the dump holds, not by what the line says.
        let mut number = line.first;
        while number <= line.last {
            records = records.saturating_add(1);
            let name = name_of(&line, ring, records, number);
            first_name = first_name.or(Some(name));
            let unit = left.next().ok_or(Broken::Missing(name))?;
            before = check_record(unit, &before, name)?;
            number = number.saturating_add(1);
        }
        if before != line.link {
            return Err(Broken::Head);
        }
    }
    if left.next().is_some() || !rest.is_empty() {
        return Err(Broken::Trailing);
    }
    if head_digest(format, sequence, lines.iter().copied()) != claimed {
        return Err(Broken::Head);
    }
    if head.is_some_and(|head| *head != claimed) {
        return Err(Broken::NotAnchored(first_name));
    }
    Ok(Verified { records, lost, sequence, anchored: head.is_some() })
}

fn name_of(line: &Line, ring: RingKind, ordinal: u64, sequence: u64) -> RecordName {
    let subject = (line.subject != 0xffff).then_some(line.subject);
    RecordName { ordinal, subject, ring, sequence }
}

fn check_record(unit: &[u8; UNIT], before: &Link, name: RecordName) -> Result<Link, Broken> {
    let (body, shown) = unit.split_first_chunk::<BODY>().ok_or(Broken::NoDump)?;
    let (number, _) = body.split_first_chunk::<8>().ok_or(Broken::NoDump)?;
    let made = link(before, body);
    if made == shown {
        return if u64::from_le_bytes(*number) == name.sequence {
            Ok(made)
        } else {
            Err(Broken::OutOfOrder(name))
        };
    }
    let moved = u64::from_le_bytes(*number) != name.sequence;
    Err(if moved { Broken::OutOfOrder(name) } else { Broken::Edited(name) })
}

/// Format, sequence, number of rings, digest.
fn read_head(unit: &[u8; UNIT]) -> Option<(Format, u64, usize, Link)> {
    let mut reader = Reader(unit);
    let magic: [u8; 8] = reader.take()?;
    let rings = u32::from_le_bytes(reader.take()?);
    let _scope: [u8; 4] = reader.take()?;
    let sequence = u64::from_le_bytes(reader.take()?);
    let _zero: [u8; 8] = reader.take()?;
    let digest = reader.take()?;
    let format = [FORMAT, FORMAT_1].into_iter().find(|format| *format.magic == magic)?;
    Some((format, sequence, usize::try_from(rings).ok()?, digest))
}

fn read_line(unit: &[u8; UNIT]) -> Option<Line> {
    let mut reader = Reader(unit);
    let subject = u16::from_le_bytes(reader.take()?);
    let [class, ..]: [u8; 6] = reader.take()?;
    let first = u64::from_le_bytes(reader.take()?);
    let last = u64::from_le_bytes(reader.take()?);
    let _zero: [u8; 8] = reader.take()?;
    Some(Line { subject, class, first, last, base: reader.take()?, link: reader.take()? })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
}
