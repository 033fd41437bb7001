//! Owns the ledger's records as rows for people. Never checks the chain: the verdict did.

use causeway_abi::{CallId, LifeState, Status};
use causeway_guests::records::{Dump, Record, Told};

/// A record in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) ticks: u64,
    pub(super) who: String,
    pub(super) what: String,
    pub(super) owner: String,
    pub(super) peer: String,
    pub(super) handle: String,
    pub(super) pages: u32,
    pub(super) times: u32,
    /// Owner, handle and generation of the grant that moved, and where to.
    pub(super) moved: Option<((u16, u64, u32), LifeState)>,
}

/// The records of a dump, by time; nothing if it is none.
pub(super) fn entries(dump: &[u8]) -> Vec<Entry> {
    let Some(dump) = Dump::read(dump) else { return Vec::new() };
    let mut list: Vec<Entry> = dump.records().map(|record| entry(&record)).collect();
    // Two records of one tick stand in the order of a life.
    list.sort_by_key(|entry| (entry.ticks, entry.moved.map(|(_, state)| state)));
    list
}

fn entry(record: &Record) -> Entry {
    let state = match record.told {
        Told::Moved(code) => LifeState::from_code(code),
        // From here on the peer maps it; the ledger has a record of its own for that.
        Told::Mapped => Some(LifeState::Active),
        Told::Unmapped
        | Told::Refused(..)
        | Told::VmCreated
        | Told::VmDestroyed
        | Told::Sealed
        | Told::Served(_)
        | Told::Looked(_)
        | Told::Other(_) => None,
    };
    let moved = state.map(|state| ((record.owner, record.handle, record.generation), state));
    Entry {
        ticks: record.ticks,
        who: party(record.subject),
        what: told(record),
        owner: named(record.owner),
        peer: named(record.peer),
        handle: if record.handle == u64::MAX {
            String::new()
        } else {
            format!("{:#x}", record.handle)
        },
        pages: record.page_count,
        times: record.count,
        moved,
    }
}

fn party(id: u16) -> String {
    match id {
        0 => "hypervisor".to_owned(),
        u16::MAX => "a stranger".to_owned(),
        id => format!("VM {id}"),
    }
}

fn named(id: u16) -> String {
    if id == u16::MAX { String::new() } else { party(id) }
}

fn named_call(number: u8) -> String {
    CallId::from_number(number).map_or_else(|| number.to_string(), |id| id.name().to_owned())
}

/// What a record tells. Source: docs/ledger.md.
fn told(record: &Record) -> String {
    match record.told {
        Told::Moved(code) => match LifeState::from_code(code) {
            Some(state) => format!("grant is {state:?}"),
            None => format!("grant is in state {code}"),
        },
        Told::Mapped => "peer is mapped".to_owned(),
        Told::Unmapped => "peer is unmapped".to_owned(),
        Told::Refused(call, status) => {
            let call = named_call(call);
            let status = Status::from_code(status).map_or_else(
                || status.to_string(),
                |status| format!("{}: {}", status.name(), status.rule()),
            );
            format!("{call} refused: {status}")
        }
        Told::VmCreated => "VM created".to_owned(),
        Told::VmDestroyed => "VM destroyed".to_owned(),
        Told::Sealed => "set of grants sealed".to_owned(),
        Told::Served(call) => format!("{} served", named_call(call)),
        Told::Looked(call) => format!("{} looked", named_call(call)),
        Told::Other(code) => match code {
            4 => "partition uses the area",
            5 => "partition uses it no more",
            9 => "hypervisor registered",
            10 => "a lock may be left over",
            12 => "area joined",
            13 => "join ended",
            14 => "bytes copied",
            15 => "donation kept",
            17 => "source of interrupts bound",
            18 => "source unbound",
            19 => "source masked by its limit",
            20 => "watchdog fired",
            _ => "a record of another version",
        }
        .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{entries, told};
    use causeway_guests::records::{Record, Told};

    #[test]
    fn what_is_no_dump_gives_no_row() {
        assert!(entries(b"").is_empty() && entries(&[7; 960]).is_empty());
    }

    #[test]
    fn a_refusal_names_call_and_rule() {
        let told_of = |what| {
            let record = Record {
                sequence: 1,
                ticks: 2,
                count: 1,
                generation: 0,
                subject: 3,
                owner: u16::MAX,
                peer: u16::MAX,
                told: what,
                handle: u64::MAX,
                page_count: 0,
            };
            told(&record)
        };
        assert_eq!(
            told_of(Told::Refused(0x20, 10)),
            "Offer refused: PolicyPeer: Policy must allow this owner to grant to this peer."
        );
        assert_eq!(told_of(Told::Refused(0xee, 9999)), "238 refused: 9999");
        assert_eq!(told_of(Told::Looked(0x7d)), "WatchdogPing looked");
        assert_eq!(told_of(Told::Other(200)), "a record of another version");
    }
}
