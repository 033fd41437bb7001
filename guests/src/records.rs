//! Owns the reading of a dump of the partition's ledger, as a test looks at it; never checks its
//! chain (the host does: `cargo xtask ledger verify`). docs/ledger.md has the bytes.

/// Bytes of each unit of a dump.
pub const UNIT_BYTES: usize = 96;
/// How a dump begins; the older one has no rings of looks.
const HEAD_MAGICS: [&[u8]; 2] = [b"CWLEDGR2", b"CWLEDGR1"];

/// What a record tells: its byte 30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A grant came into the state with this code.
    Moved(u8),
    /// The hypervisor maps the peer.
    Mapped,
    /// The hypervisor does not map the peer any more.
    Unmapped,
    /// A call with this number was refused with this status code.
    Refused(u8, u16),
    /// A VM was created.
    VmCreated,
    /// A VM was destroyed.
    VmDestroyed,
    /// The set of grants was frozen.
    Sealed,
    /// A security service did what the call with this number asked.
    Served(u8),
    /// A call with this number looked at a security service.
    Looked(u8),
    /// Anything else.
    Other(u8),
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in its ring, from 1.
    pub sequence: u64,
    /// CNTPCT of the last occurrence.
    pub ticks: u64,
    /// Occurrences.
    pub count: u32,
    /// Generation of the grant, or incarnation of the VM.
    pub generation: u32,
    /// Who caused it.
    pub subject: u16,
    /// The grant's owner; all ones for none.
    pub owner: u16,
    /// The grant's peer; all ones for none.
    pub peer: u16,
    /// What it tells.
    pub told: Told,
    /// The handle; all ones for none.
    pub handle: u64,
    /// Pages.
    pub page_count: u32,
}

/// What a ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingClass {
    /// What happened.
    Moves,
    /// Refused calls.
    Refusals,
    /// Calls that only looked.
    Looks,
    /// What this program does not know.
    Other(u8),
}

/// A ring's line: whose it is, its class, first and last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The VM's id; all ones for strangers.
    pub vm: u16,
    /// What it holds.
    pub class: RingClass,
    /// Number of the oldest record that is still there.
    pub first: u64,
    /// Number of the newest record.
    pub last: u64,
}

/// A dump.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    rings: &'a [u8],
    records: &'a [u8],
    /// Records ever made in the dump's scope.
    pub sequence: u64,
    /// The digest that the dump claims.
    pub digest: [u8; 32],
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    field.copied().unwrap_or([0; N])
}

impl<'a> Dump<'a> {
    /// Reads the head; `None` if this is no dump, or not a whole number of units.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let is_head = HEAD_MAGICS.iter().any(|magic| bytes.starts_with(magic));
        if !is_head || !bytes.len().is_multiple_of(UNIT_BYTES) {
            return None;
        }
        let (head, rest) = bytes.split_at_checked(UNIT_BYTES)?;
        let rings = usize::try_from(u32::from_le_bytes(number(head, 8))).ok()?;
        let (rings, records) = rest.split_at_checked(rings.checked_mul(UNIT_BYTES)?)?;
        let sequence = u64::from_le_bytes(number(head, 16));
        Some(Self { rings, records, sequence, digest: number(head, 32) })
    }

    /// The rings' lines, in order.
    pub fn rings(&self) -> impl Iterator<Item = Ring> + Clone + use<'a> {
        self.rings.chunks_exact(UNIT_BYTES).map(|unit| Ring {
            vm: u16::from_le_bytes(number(unit, 0)),
            class: match number(unit, 2) {
                [0] => RingClass::Moves,
                [1] => RingClass::Refusals,
                [2] => RingClass::Looks,
                [other] => RingClass::Other(other),
            },
            first: u64::from_le_bytes(number(unit, 8)),
            last: u64::from_le_bytes(number(unit, 16)),
        })
    }

    /// All records, ring by ring.
    pub fn records(&self) -> impl Iterator<Item = Record> + Clone + use<'a> {
        self.records.chunks_exact(UNIT_BYTES).map(record)
    }

    /// The last state that a grant of `owner` moved to, by the time of its record.
    #[must_use]
    pub fn last_state(&self, owner: u16, handle: u64) -> Option<u8> {
        let moved = self.records().filter_map(|record| {
            let Told::Moved(state) = record.told else { return None };
            (record.owner == owner && record.handle == handle).then_some((record.ticks, state))
        });
        // Two moves at one tick: the later state of the life is the later move.
        moved.max().map(|(_, state)| state)
    }

    /// How many records tell this.
    #[must_use]
    pub fn count(&self, mut is_it: impl FnMut(&Record) -> bool) -> usize {
        self.records().filter(|record| is_it(record)).count()
    }
}

fn record(unit: &[u8]) -> Record {
    let [what, detail] = number(unit, 30);
    Record {
        sequence: u64::from_le_bytes(number(unit, 0)),
        ticks: u64::from_le_bytes(number(unit, 8)),
        count: u32::from_le_bytes(number(unit, 16)),
        generation: u32::from_le_bytes(number(unit, 20)),
        subject: u16::from_le_bytes(number(unit, 24)),
        owner: u16::from_le_bytes(number(unit, 26)),
        peer: u16::from_le_bytes(number(unit, 28)),
        told: match what {
            1 => Told::Moved(detail),
            2 => Told::Mapped,
            3 => Told::Unmapped,
            6 => Told::Refused(detail, u16::from_le_bytes(number(unit, 52))),
            7 => Told::VmCreated,
            8 => Told::VmDestroyed,
            11 => Told::Sealed,
            16 => Told::Served(detail),
            21 => Told::Looked(detail),
            other => Told::Other(other),
        },
        handle: u64::from_le_bytes(number(unit, 32)),
        page_count: u32::from_le_bytes(number(unit, 48)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(parts: &[(usize, &[u8])]) -> [u8; UNIT_BYTES] {
        let mut unit = [0; UNIT_BYTES];
        for (at, bytes) in parts {
            unit[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        unit
    }

    #[test]
    fn a_dump_is_read_as_the_document_says() {
        let head = unit(&[(0, HEAD_MAGICS[0]), (8, &[1, 0, 0, 0]), (16, &[7]), (32, &[0xab; 32])]);
        let ring = unit(&[(0, &[2, 0, 1]), (8, &[1]), (16, &[2])]);
        let moved = |ticks: u8, state: u8| {
            unit(&[
                (0, &[1]),
                (8, &[ticks]),
                (16, &[1]),
                (24, &[2, 0, 2, 0, 3, 0, 1, state]),
                (32, &[0xc0]),
                (48, &[4]),
            ])
        };
        let refused = unit(&[(0, &[2]), (16, &[9]), (30, &[6, 0x22]), (52, &[7, 0])]);
        let dump = [head, ring, moved(9, 6), moved(8, 3), refused].concat();
        let dump = Dump::read(&dump).unwrap();
        assert_eq!((dump.sequence, dump.digest), (7, [0xab; 32]));
        let ring = Ring { vm: 2, class: RingClass::Refusals, first: 1, last: 2 };
        assert_eq!(dump.rings().collect::<Vec<_>>(), [ring]);
        let records: Vec<_> = dump.records().collect();
        assert_eq!(records[0].told, Told::Moved(6));
        assert_eq!((records[0].owner, records[0].peer, records[0].page_count), (2, 3, 4));
        assert_eq!((records[2].told, records[2].count), (Told::Refused(0x22, 7), 9));
        assert_eq!(dump.last_state(2, 0xc0), Some(6));
        assert_eq!(dump.last_state(1, 0xc0), None);
        assert_eq!(dump.count(|record| record.told == Told::VmCreated), 0);
    }

    #[test]
    fn what_is_no_dump_is_none() {
        let head = unit(&[(0, HEAD_MAGICS[0]), (8, &[2, 0, 0, 0])]);
        assert!(Dump::read(&head).is_none());
        assert!(Dump::read(&head[..95]).is_none());
        assert!(Dump::read(&[0; UNIT_BYTES]).is_none());
        assert!(Dump::read(&unit(&[(0, HEAD_MAGICS[0]), (8, &[0xff; 4])])).is_none());
    }
}
