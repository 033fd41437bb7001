//! Reads a ledger that waits, that grows, and that lies about its length.

use super::*;
use crate::error::Party;
use crate::testing::{FakeWait, FakeWorld};
use std::sync::{Arc, Mutex};

/// What LEDGER_HEAD says while so many records wait; 32 fewer each time.
fn head_of(waiting: &mut u64, [_, half, ..]: [u64; 4]) -> [u64; 4] {
    let now = *waiting;
    *waiting = now.saturating_sub(32);
    if half == 0 { [77, 0x0807_0605_0403_0201, 2, now] } else { [77, 3, 4, now] }
}

/// A partition whose ledger has heads as above, and these pages: bytes written, next cursor. Returns
/// the cursors that it is asked for.
fn falsified(world: &FakeWorld, waiting: u64, pages: Vec<(u64, u64)>) -> Arc<Mutex<Vec<u64>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (mut waiting, mut pages, cursors) = (waiting, pages.into_iter(), asked.clone());
    world.falsify(move |call, arguments, results| {
        if call == CallId::LedgerHead {
            *results = head_of(&mut waiting, arguments);
            return Some(Status::Ok);
        }
        if call != CallId::LedgerRead {
            return None;
        }
        cursors.lock().unwrap().push(arguments[2]);
        let Some((written, next)) = pages.next() else { return Some(Status::Busy) };
        *results = [written, next, 0, 0];
        Some(Status::Ok)
    });
    asked
}

#[test]
fn a_head_is_taken_when_no_record_waits_any_more() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    falsified(&world, 70, Vec::new());
    let head = head(&connection, LedgerScope::All).unwrap();
    assert_eq!(head.sequence, 77);
    assert_eq!(head.digest[..10], [1, 2, 3, 4, 5, 6, 7, 8, 2, 0]);
    assert_eq!((head.digest[16], head.digest[24]), (3, 4));
    falsified(&world, u64::MAX, Vec::new());
    let endless = super::head(&connection, LedgerScope::All);
    assert_eq!(endless, Err(Error::partition(Rule::EndlessList)));
}

#[test]
fn the_partitions_refusal_reaches_the_caller() {
    let world = FakeWorld::new();
    let conduit = world.vm(2);
    let connection = Connection::open(&conduit, world.mailbox(2)).unwrap();
    let refused = head(&connection, LedgerScope::All);
    let status = Status::PolicyCaller;
    assert_eq!(refused, Err(Error::Refused { call: CallId::LedgerHead, status }));
    assert_eq!(seal(&connection), Ok(0));
    assert_eq!(has_call(&connection, CallId::Seal), Ok(true));
    world.falsify(|call, _, results| {
        results[0] = 0;
        (call == CallId::Features).then_some(Status::Ok)
    });
    assert_eq!(has_call(&connection, CallId::Stats), Ok(false));
}

#[test]
fn a_dump_follows_the_cursor_and_begins_anew_when_the_ledger_grew() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let reader = Reader::open(&connection, world.pages(1, 1)).unwrap();
    let cursors = falsified(&world, 0, vec![(192, 9), (96, 12), (8, 0)]);
    let mut got = Vec::new();
    let head = reader.dump(LedgerScope::Own, |bytes| {
        if bytes.is_empty() {
            got.clear();
        }
        got.extend_from_slice(bytes);
    });
    assert_eq!(head.unwrap().sequence, 77);
    assert_eq!(got.len(), 192 + 96 + 8, "what the partition says that it wrote");
    assert_eq!(*cursors.lock().unwrap(), [0, 9, 12]);

    let mut begun = 0;
    let busy = reader.dump(LedgerScope::Own, |bytes| begun += u32::from(bytes.is_empty()));
    assert_eq!((busy, begun), (Err(Error::TimedOut(Awaited::LedgerAtRest)), DUMP_TRIES));
    assert!(reader.close(&FakeWait::idle(), Bound::NONE).is_ok());
    world.assert_clean("after a dump");
}

#[test]
fn a_page_longer_than_a_page_is_refused() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
    let reader = Reader::open(&connection, world.pages(1, 1)).unwrap();
    for written in [4097, u64::MAX] {
        falsified(&world, 0, vec![(written, 0)]);
        let refused = reader.page(LedgerScope::Own, 0, &mut [0; PAGE_BYTES]).unwrap_err();
        assert_eq!(refused, Error::partition(Rule::AnswerValues));
        assert_eq!(refused.blame(), Party::Partition);
    }
    // A partition that never ends its dump.
    falsified(&world, 0, vec![(96, 5); 5000]);
    let endless = reader.dump(LedgerScope::Own, |_| ());
    assert_eq!(endless, Err(Error::partition(Rule::EndlessList)));
}

/// A reader's life: its area, a dump, and the area back.
fn life(world: &FakeWorld) -> Result<(), Error> {
    let conduit = world.vm(1);
    let opened = Connection::open(&conduit, world.mailbox(1));
    let connection = opened.map_err(|failed| failed.error)?;
    let lived = read(world, &connection);
    world.stop_failing();
    assert_eq!(connection.sweep(), 0);
    lived
}

fn read(world: &FakeWorld, connection: &Connection<'_>) -> Result<(), Error> {
    let reader = Reader::open(connection, world.pages(1, 1)).map_err(|failed| failed.error)?;
    reader.dump(LedgerScope::All, |_| ())?;
    let pages =
        reader.close(&FakeWait::idle(), Bound::millis(30)).map_err(|failed| failed.error)?;
    assert_eq!(pages.page_count(), 1);
    Ok(())
}

#[test]
fn whichever_call_of_a_readers_life_fails_nothing_stays_behind() {
    FakeWorld::whichever_call_fails_nothing_stays_behind(0, life);
}
