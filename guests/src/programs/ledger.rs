//! The ledger: VM 2 makes records, VM 3 a flood of refusals; each reads its own, and VM 1, whom
//! policy names as auditor, reads all of them and prints the dump for the host to verify.

use super::audit;
use crate::check;
use crate::records::{Dump, Told};
use crate::rt::client::{Clock, mailbox, mapper, take_pages};
use crate::rt::{Boot, signal};
use alloc::vec::Vec;
use causeway_abi::{
    Call, CallId, GrantKind, GrantTerms, LedgerScope, LifeState, Permission, Status, VaultCall,
};
use causeway_client::borrow::Offer;
use causeway_client::conduit::Hvc;
use causeway_client::grant::Grant;
use causeway_client::ledger::{self, PAGE_BYTES};
use causeway_client::{Bound, Connection, Error};
use causeway_ffa::{EndpointId, MemHandle};

/// Local areas that VM 2 makes and takes back: more records than fit one page of a dump.
const ROUNDS: usize = 30;
/// Refused calls of VM 3.
const FLOOD: u32 = 1000;
/// Calls of VM 2 that only look.
const LOOKS: u32 = 1000;
/// How long a VM waits for another's part.
const MILLIS: u64 = 60_000;
const LOCAL: GrantTerms =
    GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };

fn refused<T>(met: &Result<T, Error>, status: Status) -> bool {
    matches!(met, Err(Error::Refused { status: s, .. }) if *s == status)
}

/// VM 1: the auditor.
pub(super) fn auditor(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    let granted = signal::receive_within(2, MILLIS);
    let read = audit::dump(&reader, LedgerScope::All).expect("the whole ledger");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let rooms = |vm| dump.rings().filter(|ring| ring.vm == vm).count();
    let created = |vm| dump.count(|r| r.told == Told::VmCreated && r.subject == vm);
    // VM 2 looked at its services, and has a ring for that.
    let whole = (0..=3).all(|vm| rooms(vm) == if vm == 2 { 3 } else { 2 });
    let all = whole && (1..=3).all(|vm| created(vm) == 1);
    check!("ledger/auditor_sees_every_vm", all, "{:?}", dump.rings().collect::<Vec<_>>());
    let told = |subject, what| {
        dump.count(|r| {
            (r.subject, r.owner, r.peer, r.handle, r.told) == (subject, 2, 3, granted, what)
        })
    };
    let moved = |state: LifeState| Told::Moved(state.code());
    let steps = [
        told(2, moved(LifeState::Offered)),
        told(3, moved(LifeState::Accepted)),
        told(3, Told::Mapped),
        told(3, Told::Unmapped),
    ];
    let released = dump.last_state(2, granted) == Some(LifeState::Released.code());
    check!("ledger/moves_of_both_parties_are_there", steps == [1; 4] && released, "{steps:?}");
    let kept = dump.rings().filter(|r| r.vm == 2).all(|r| r.first <= 1);
    check!("ledger/flood_pushed_out_nothing_of_others", kept);
    let sum: u64 = dump.rings().map(|ring| ring.last).sum();
    let same = dump.sequence == read.head.sequence && dump.digest == read.head.digest;
    check!(
        "ledger/head_is_that_of_the_dump",
        same && sum == dump.sequence,
        "{sum} {} {}",
        dump.sequence,
        read.head.sequence
    );
    audit::print(&read);
    signal::send(2, 1);
    signal::send(3, 1);
}

/// VM 2: an owner.
pub(super) fn owner(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    let early = reader.page(LedgerScope::Own, 0, &mut [0; PAGE_BYTES]);
    check!(
        "ledger/page_without_a_head_is_refused",
        refused(&early, Status::WrongState),
        "{early:?}"
    );
    let mut handles = Vec::new();
    let mut pages = take_pages(1);
    for _ in 0..ROUNDS {
        let grant = Grant::offer(&connection, pages, LOCAL).expect("a local area");
        handles.push(grant.handle().get());
        pages = grant.close(&Clock, Bound::millis(5000)).expect("closed");
    }
    let looks = (0..LOOKS).filter(|_| connection.call(Call::Vault(VaultCall::State)).is_ok());
    let looks = u32::try_from(looks.count());
    let peer = Some(EndpointId::from_raw(3));
    let grant = Grant::offer(&connection, pages, GrantTerms { peer, ..LOCAL }).expect("a grant");
    let granted = grant.handle().get();
    signal::send(3, granted);
    assert_eq!(signal::receive_within(3, MILLIS), 1, "VM 3 let go and made its refusals");
    let _pages = grant.close(&Clock, Bound::millis(5000)).expect("closed");

    let read = audit::dump(&reader, LedgerScope::Own).expect("own records");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let own = dump.rings().count() == 3
        && dump.rings().all(|ring| ring.vm == 2)
        && dump.records().all(|record| record.subject == 2);
    check!("ledger/own_dump_holds_own_rooms_only", own);
    let moved = |handle, state: LifeState| {
        dump.count(|r| r.handle == handle && r.told == Told::Moved(state.code()))
    };
    let there = handles.iter().filter(|handle| {
        moved(**handle, LifeState::Active) == 1 && moved(**handle, LifeState::Released) == 1
    });
    let there = there.count();
    let whole = there == ROUNDS && moved(granted, LifeState::Offered) == 1;
    check!("ledger/every_move_is_there", whole, "{there} of {ROUNDS}");
    let state = Told::Looked(CallId::VaultState.number());
    let seen: Vec<u32> = dump.records().filter(|r| r.told == state).map(|r| r.count).collect();
    let kept = dump.rings().all(|ring| ring.first == 1);
    let counted = looks == Ok(LOOKS) && seen == [LOOKS];
    check!("ledger/looks_are_one_counted_record_and_push_out_nothing", counted && kept, "{seen:?}");
    let entries: u64 = dump.rings().map(|ring| (ring.last + 1).saturating_sub(ring.first)).sum();
    let counted = u64::try_from(dump.records().count()) == Ok(entries);
    check!(
        "ledger/cursor_leads_through_every_page",
        counted && read.page_count > 1,
        "{entries} entries in {} pages",
        read.page_count
    );
    let wild = reader.page(LedgerScope::Own, 99 << 48, &mut [0; PAGE_BYTES]);
    check!("ledger/invented_cursor_is_refused", refused(&wild, Status::BadArgument), "{wild:?}");
    let head = ledger::head(&connection, LedgerScope::All);
    let page = reader.page(LedgerScope::All, 0, &mut [0; PAGE_BYTES]);
    let denied = refused(&head, Status::PolicyCaller) && refused(&page, Status::PolicyCaller);
    check!("ledger/whole_ledger_is_refused_to_others", denied, "{head:?} {page:?}");
    signal::send_within(1, granted, MILLIS);
    assert_eq!(signal::receive_within(1, MILLIS), 1, "VM 1 is through");
}

/// VM 3: a peer that then floods its own room.
pub(super) fn flooder(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let foreign = MemHandle::new(signal::receive_within(2, MILLIS)).expect("a handle");
    let mapper = mapper();
    let accepted = Offer::inspect(&connection, foreign).and_then(Offer::accept).expect("accept");
    let borrowed = accepted.map(&mapper).expect("retrieve");
    assert_eq!(borrowed.release().ok(), Some(LifeState::Released), "released");

    let reader = audit::reader(&connection);
    let mut others = 0;
    for handle in 0..u64::from(FLOOD) {
        let handle = MemHandle::new(0x5eed_0000 + handle).expect("a handle");
        let met = connection.call(Call::State { handle });
        others += u32::from(!refused(&met, Status::NoSuchGrant));
    }
    let read = audit::dump(&reader, LedgerScope::Own).expect("own records");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let state = Told::Refused(CallId::State.number(), Status::NoSuchGrant.code());
    let (entries, sum) = dump
        .records()
        .filter(|record| record.told == state)
        .fold((0, 0), |(entries, sum), record| (entries + 1, sum + record.count));
    check!(
        "ledger/repeated_refusals_are_one_counted_record",
        others == 0 && entries == 1 && sum == FLOOD,
        "{entries} records of {sum} refusals, {others} others"
    );
    // An area that is not one's own: another's handle, and one that never was.
    let read =
        |handle| connection.call(Call::LedgerRead { handle, scope: LedgerScope::Own, cursor: 0 });
    let (met, never) = (read(foreign), read(MemHandle::new(0x5eed).expect("a handle")));
    let same = refused(&met, Status::NoSuchGrant) && refused(&never, Status::NoSuchGrant);
    check!("ledger/area_of_others_is_refused", same, "{met:?} {never:?}");
    signal::send_within(2, 1, MILLIS);
    assert_eq!(signal::receive_within(1, MILLIS), 1, "VM 1 is through");
}
