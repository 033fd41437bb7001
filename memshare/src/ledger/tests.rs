//! Holds the ledger to its rooms, its chain and its dumps.

use super::*;
use causeway_abi::LedgerScope;

fn record(subject: u16, action: Action) -> Record {
    Record {
        subject: EndpointId::from_raw(subject),
        owner: None,
        peer: None,
        handle: MemHandle::new(u64::from(subject)),
        generation: 1,
        page_count: 1,
        action,
        fold: 0,
    }
}

fn ledger() -> Ledger<4> {
    with_two_vms()
}

fn with_two_vms<const ROOM: usize>() -> Ledger<ROOM> {
    let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
    policy.add_vm(EndpointId::from_raw(1)).unwrap();
    policy.add_vm(EndpointId::from_raw(2)).unwrap();
    let mut ledger = Ledger::new();
    ledger.configure(&policy);
    ledger
}

fn refused(call_number: u8, status: Status) -> Action {
    Action::Refused { call_number, status }
}

fn dump(ledger: &Ledger<4>, subject: Option<u16>) -> Vec<Entry> {
    ledger.entries(subject.map(EndpointId::from_raw)).copied().collect()
}

#[test]
fn entries_come_back_in_order_and_numbered_for_their_room_only() {
    let mut ledger = ledger();
    for (time, subject) in (0..).zip([1, 2, 9, 0, 1]) {
        ledger.append(time, &record(subject, Action::Mapped));
    }
    assert_eq!(dump(&ledger, None).len(), 5);
    let own: Vec<_> = dump(&ledger, Some(1)).iter().map(|e| (e.sequence, e.time_ticks)).collect();
    assert_eq!(own, [(1, 0), (2, 4)]);
    assert_eq!(dump(&ledger, Some(2)).first().map(|e| e.sequence), Some(1));
}

#[test]
fn repeated_refusals_are_one_counted_entry() {
    let mut ledger = ledger();
    for time in 0..1000 {
        ledger.append(time, &record(1, refused(0x20, Status::NoSuchGrant)));
        ledger.append(time, &record(1, refused(0x21, Status::NoSuchGrant)));
    }
    let all = dump(&ledger, None);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|e| e.count == 1000 && e.time_ticks == 999));
}

#[test]
fn no_flood_pushes_out_another_vms_entries_or_a_transition() {
    let mut ledger = ledger();
    ledger.append(0, &record(1, Action::Moved(LifeState::Offered)));
    ledger.append(0, &record(2, refused(0, Status::Busy)));
    for number in 0..=255 {
        for subject in [1, 7, 8] {
            ledger.append(1, &record(subject, refused(number, Status::UnknownCall)));
        }
    }
    let moves = |subject| dump(&ledger, Some(subject)).into_iter().filter(|e| e.count == 1);
    assert!(moves(1).any(|e| e.record.action == Action::Moved(LifeState::Offered)));
    assert_eq!(dump(&ledger, Some(2)).len(), 1);
    let flood = ledger.lost(EndpointId::from_raw(1));
    assert_eq!((flood.moves, flood.refusals), (0, 256 - 16));
    assert_eq!(ledger.lost(EndpointId::from_raw(2)), Lost::default());
}

#[test]
fn a_full_room_counts_what_it_loses() {
    let mut ledger = ledger();
    for time in 0..10 {
        ledger.append(time, &record(2, Action::Mapped));
    }
    assert_eq!(ledger.lost(EndpointId::from_raw(2)).moves, 6);
    assert_eq!(dump(&ledger, Some(2)).first().map(|e| e.sequence), Some(7));
}

fn looked(call_number: u8) -> Action {
    Action::Looked { call_number }
}

#[test]
fn looks_are_counted_in_a_ring_of_their_own_and_push_out_nothing_else() {
    let mut ledger = ledger();
    ledger.append(0, &record(1, Action::Moved(LifeState::Offered)));
    ledger.append(0, &record(1, refused(0, Status::Busy)));
    for time in 1..=1000 {
        for call_number in 1..=4 {
            ledger.append(time, &record(1, looked(call_number)));
        }
    }
    let of = |ledger: &Ledger<4>| -> Vec<_> {
        let all = dump(ledger, Some(1)).into_iter();
        all.map(|e| (e.sequence, e.time_ticks, e.count, e.record.action)).collect()
    };
    let look = |sequence, number| (sequence, 1000, 1000, looked(number));
    let other = [(1, 0, 1, Action::Moved(LifeState::Offered)), (1, 0, 1, refused(0, Status::Busy))];
    assert_eq!(of(&ledger)[..2], other);
    assert_eq!(of(&ledger)[2..], [look(1, 1), look(2, 2), look(3, 3), look(4, 4)]);
    assert_eq!(ledger.lost(AUDITOR), Lost::default());
    assert_eq!(ledger.tend(), 0, "looks that wait are left open to be counted");
    // What is chained is closed: the next look is another entry, and the oldest look makes room.
    let _head = head(&mut ledger, LedgerScope::Own);
    ledger.append(2000, &record(1, looked(3)));
    assert_eq!(of(&ledger)[..2], other);
    assert_eq!(of(&ledger)[2..], [look(2, 2), look(3, 3), look(4, 4), (5, 2000, 1, looked(3))]);
    assert_eq!(ledger.lost(AUDITOR), Lost { moves: 0, refusals: 0, looks: 1 });
    assert_eq!(ledger.lost(EndpointId::from_raw(2)), Lost::default());
}

#[test]
fn a_room_without_a_look_has_no_line_for_them_and_one_with_looks_is_chained_like_the_rest() {
    let mut ledger = filled();
    let _head = head(&mut ledger, LedgerScope::Own);
    let before = bytes(&ledger, LedgerScope::Own);
    ledger.append(20, &record(1, looked(1)));
    ledger.append(21, &record(1, looked(2)));
    let looked = head(&mut ledger, LedgerScope::Own);
    let mut dump = bytes(&ledger, LedgerScope::Own);
    assert_eq!(dump.len() - before.len(), (1 + 2) * chain::UNIT, "a line, two records");
    let verified = verify::verify(&dump, Some(&looked.digest)).unwrap();
    assert_eq!((verified.records, looked.sequence), (4 + 9 + 2, 9 + 9 + 2));
    let last = dump.len() - 80;
    dump[last] ^= 1;
    let Err(verify::Broken::Edited(name)) = verify::verify(&dump, Some(&looked.digest)) else {
        panic!()
    };
    assert_eq!(name.to_string(), "record 15 (look 2 of VM 1)");
    // A class of ring that nobody knows is no dump.
    dump[3 * chain::UNIT + 2] = 3;
    assert_eq!(verify::verify(&dump, None), Err(verify::Broken::NoDump));
}

const AUDITOR: EndpointId = EndpointId::from_raw(1);

/// Asks until everything is chained.
fn head(ledger: &mut Ledger<4>, scope: LedgerScope) -> Head {
    for _ in 0..100 {
        let head = ledger.head(AUDITOR, scope);
        if head.unchained == 0 {
            return head;
        }
        assert_eq!(head.digest, [0; 32]);
    }
    panic!("the chain never gets ready");
}

fn bytes(ledger: &Ledger<4>, scope: LedgerScope) -> Vec<u8> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let page = ledger.page(AUDITOR, scope, cursor).unwrap();
        assert!(page.bytes().len() <= PAGE_BYTES);
        all.extend_from_slice(page.bytes());
        cursor = page.next_cursor;
        if cursor == 0 {
            return all;
        }
    }
}

/// Full rooms of two VMs, refusals among them, some entries pushed out.
fn filled() -> Ledger<4> {
    let mut ledger = ledger();
    for time in 0..9 {
        ledger.append(time, &record(1, Action::Mapped));
        ledger.append(time, &record(2, Action::Moved(LifeState::Offered)));
        let number = u8::try_from(time).unwrap();
        ledger.append(time, &record(1, refused(number, Status::UnknownCall)));
    }
    ledger
}

/// A dump of everything, its head, and where its records begin.
fn dumped() -> (Vec<u8>, [u8; 32], usize) {
    let mut ledger = filled();
    let head = head(&mut ledger, LedgerScope::All);
    (bytes(&ledger, LedgerScope::All), head.digest, (1 + 2 * ROOMS) * chain::UNIT)
}

#[test]
fn a_dump_agrees_with_its_head() {
    let (dump, head, _) = dumped();
    let verified = verify::verify(&dump, Some(&head)).unwrap();
    assert_eq!((verified.records, verified.lost), (4 + 4 + 9, 5 + 5));
    assert!(verified.anchored);
    let loose = verify::verify(&dump, None).unwrap();
    assert!(loose.to_string().starts_with("consistent, not anchored"));
}

#[test]
fn a_truncated_dump_is_refused() {
    let (dump, head, records) = dumped();
    let cut = &dump[..dump.len() - chain::UNIT];
    let Err(verify::Broken::Missing(name)) = verify::verify(cut, Some(&head)) else { panic!() };
    assert_eq!((name.ordinal, name.sequence), (17, 9));
    // Cut at the front, as if one more entry had been pushed out.
    let mut front = dump.clone();
    let line = chain::UNIT..2 * chain::UNIT;
    let kept_link = front[records + 64..records + 96].to_vec();
    front.drain(records..records + chain::UNIT);
    front[line.start + 8] += 1;
    front[line.start + 32..line.start + 64].copy_from_slice(&kept_link);
    assert_eq!(verify::verify(&front, Some(&head)), Err(verify::Broken::Head));
    for len in 0..dump.len() {
        assert!(verify::verify(&dump[..len], Some(&head)).is_err(), "{len}");
    }
}

#[test]
fn a_reordered_dump_is_refused() {
    let (mut dump, head, records) = dumped();
    let (a, b) = dump[records..].split_at_mut(chain::UNIT);
    a.swap_with_slice(&mut b[..chain::UNIT]);
    let Err(verify::Broken::OutOfOrder(name)) = verify::verify(&dump, Some(&head)) else {
        panic!()
    };
    assert_eq!((name.ordinal, name.subject, name.sequence), (1, Some(1), 6));
}

#[test]
fn an_edited_dump_is_refused_and_the_record_named() {
    let (dump, head, records) = dumped();
    let third = records + 2 * chain::UNIT;
    for at in third + 8..third + chain::UNIT {
        let mut edited = dump.clone();
        edited[at] ^= 1;
        let Err(verify::Broken::Edited(name)) = verify::verify(&edited, Some(&head)) else {
            panic!("byte {at}")
        };
        assert_eq!((name.ordinal, name.sequence), (3, 8));
    }
    for at in 0..records {
        let mut edited = dump.clone();
        edited[at] ^= 1;
        let unused = (12..16).contains(&at) || (24..32).contains(&at) || (64..96).contains(&at);
        let line = at >= chain::UNIT && at % chain::UNIT < 32;
        let verdict = verify::verify(&edited, Some(&head));
        assert!(verdict.is_err() || unused && !line, "byte {at}");
    }
}

#[test]
fn a_dump_that_was_hashed_anew_is_refused_with_a_head_only() {
    let mut other = filled();
    other.append(10, &record(2, Action::Mapped));
    let made_up = head(&mut other, LedgerScope::All);
    let (dump, head, _) = dumped();
    let forged = bytes(&other, LedgerScope::All);
    assert!(verify::verify(&forged, None).is_ok());
    assert!(matches!(
        verify::verify(&forged, Some(&head)),
        Err(verify::Broken::NotAnchored(Some(name))) if name.ordinal == 1
    ));
    assert!(verify::verify(&dump, Some(&made_up.digest)).is_err());
}

#[test]
fn a_vm_reads_its_own_room_only() {
    let mut ledger = filled();
    let own = head(&mut ledger, LedgerScope::Own);
    assert_eq!(own.sequence, 9 + 9);
    let dump = bytes(&ledger, LedgerScope::Own);
    let verified = verify::verify(&dump, Some(&own.digest)).unwrap();
    assert_eq!(verified.records, 4 + 9);
    let before = ledger.kept_head(AUDITOR, LedgerScope::Own);
    ledger.append(99, &record(2, Action::Mapped));
    assert_eq!(head(&mut ledger, LedgerScope::Own), before, "another VM's record shows");
}

#[test]
fn what_is_chained_is_closed() {
    let mut ledger = ledger();
    ledger.append(0, &record(1, refused(7, Status::Busy)));
    let first = head(&mut ledger, LedgerScope::All);
    ledger.append(1, &record(1, refused(7, Status::Busy)));
    let counts: Vec<_> = dump(&ledger, Some(1)).iter().map(|e| (e.sequence, e.count)).collect();
    assert_eq!(counts, [(1, 1), (2, 1)]);
    assert_ne!(head(&mut ledger, LedgerScope::All), first);
}

#[test]
fn entries_lost_before_they_were_chained_are_in_the_chain_by_number() {
    let mut quiet = ledger();
    let mut busy = ledger();
    for time in 0..6 {
        quiet.append(time, &record(1, Action::Mapped));
        let _head = head(&mut quiet, LedgerScope::All);
        busy.append(time, &record(1, Action::Mapped));
    }
    let (a, b) = (head(&mut quiet, LedgerScope::All), head(&mut busy, LedgerScope::All));
    assert_eq!(a.sequence, b.sequence);
    assert_ne!(a.digest, b.digest, "the loss of unchained entries leaves no trace");
    assert!(verify::verify(&bytes(&busy, LedgerScope::All), Some(&b.digest)).is_ok());
}

#[test]
fn reading_is_bounded_and_notices_that_the_ledger_moved_on() {
    let mut ledger = filled();
    assert_eq!(ledger.page(AUDITOR, LedgerScope::All, 0), Err(Status::WrongState));
    let _head = head(&mut ledger, LedgerScope::All);
    let page = ledger.page(AUDITOR, LedgerScope::All, 0).unwrap();
    assert_eq!(page.next_cursor, 0, "21 lines and 17 records fit a page");
    assert_eq!(ledger.page(AUDITOR, LedgerScope::All, u64::MAX).err(), Some(Status::BadArgument));
    ledger.append(50, &record(1, Action::Mapped));
    assert_eq!(ledger.page(AUDITOR, LedgerScope::All, 0), Err(Status::Busy));
}

/// A ring of which nothing was read yet when its oldest record made room: the dump would have a hole.
#[test]
fn a_record_that_is_pushed_out_between_two_pages_is_noticed() {
    let mut ledger = with_two_vms::<48>();
    for time in 0..48 {
        ledger.append(time, &record(1, Action::Mapped));
        ledger.append(time, &record(2, Action::Mapped));
    }
    while ledger.head(AUDITOR, LedgerScope::All).unchained > 0 {}
    let first = ledger.page(AUDITOR, LedgerScope::All, 0).unwrap();
    // The second page has the end of VM 1's ring and the beginning of VM 2's.
    let second = ledger.page(AUDITOR, LedgerScope::All, first.next_cursor);
    assert!(second.is_ok());
    ledger.append(48, &record(2, Action::Mapped));
    let second = ledger.page(AUDITOR, LedgerScope::All, first.next_cursor);
    assert_eq!(second.err(), Some(Status::Busy));
    // What is written already may go: VM 1's ring is no hole.
    while ledger.head(AUDITOR, LedgerScope::All).unchained > 0 {}
    let first = ledger.page(AUDITOR, LedgerScope::All, 0).unwrap();
    ledger.append(49, &record(1, Action::Mapped));
    assert!(ledger.page(AUDITOR, LedgerScope::All, first.next_cursor).is_ok());
}

#[test]
fn chaining_is_bounded_and_starts_by_itself_at_the_mark() {
    let mut ledger = Ledger::<128>::new();
    for time in 0..95 {
        ledger.append(time, &record(1, Action::Mapped));
    }
    assert_eq!(ledger.tend(), 0);
    ledger.append(95, &record(1, Action::Mapped));
    assert_eq!(ledger.tend(), LINKS_PER_TEND);
    let head = ledger.head(AUDITOR, LedgerScope::All);
    let chained = u64::from(LINKS_PER_CALL) + u64::from(LINKS_PER_TEND);
    assert_eq!(head.unchained, 96 - chained);
}

#[test]
fn as_many_vms_as_there_can_be_the_hypervisor_and_strangers_have_a_room_each() {
    let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
    let mut last = 0;
    while policy.add_vm(EndpointId::from_raw(last + 1)).is_ok() {
        last += 1;
    }
    assert_eq!(usize::from(last), MAX_VMS);
    let mut ledger = Ledger::<4>::new();
    ledger.configure(&policy);
    for subject in 0..=last + 2 {
        ledger.append(1, &record(subject, Action::Mapped));
    }
    // The two strangers share a room.
    assert_eq!(dump(&ledger, None).len(), usize::from(last) + 3);
    for subject in 0..=last {
        assert_eq!(dump(&ledger, Some(subject)).len(), 1, "{subject}");
    }
}

#[test]
fn copies_in_one_join_are_one_counted_record_until_something_else_happens() {
    let mut ledger = ledger();
    let copied = Record { fold: 100, ..record(1, Action::Copied) };
    for time in 0..5 {
        ledger.append(time, &copied);
    }
    ledger.append(6, &record(1, Action::Mapped));
    ledger.append(7, &copied);
    let other = Record { handle: MemHandle::new(77), ..copied };
    ledger.append(8, &other);
    let seen: Vec<_> = dump(&ledger, Some(1))
        .iter()
        .map(|e| (e.sequence, e.time_ticks, e.count, e.record.fold))
        .collect();
    assert_eq!(seen, [(1, 4, 5, 500), (2, 6, 1, 0), (3, 7, 1, 100), (4, 8, 1, 100)]);
    // What is chained is closed.
    let _head = head(&mut ledger, LedgerScope::All);
    ledger.append(9, &other);
    assert_eq!(dump(&ledger, Some(1)).last().map(|e| (e.sequence, e.count)), Some((5, 1)));
}
