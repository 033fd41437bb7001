//! Reads a ledger that waits, that grows, and that lies about its length.

use super::*;
use crate::error::Party;
use crate::testing::{FakeWait, FakeWorld, mailbox, pages};

#[test]
fn a_head_is_taken_when_no_record_waits_any_more() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, mailbox()).unwrap();
    world.with(|w| w.broker.ledger_waiting = 70);
    let head = head(&connection, LedgerScope::All).unwrap();
    assert_eq!(head.sequence, 77);
    assert_eq!(head.digest[..10], [1, 2, 3, 4, 5, 6, 7, 8, 2, 0]);
    assert_eq!((head.digest[16], head.digest[24]), (3, 4));
    world.with(|w| w.broker.ledger_waiting = u64::MAX);
    let endless = super::head(&connection, LedgerScope::All);
    assert_eq!(endless, Err(Error::partition(Rule::EndlessList)));
}

#[test]
fn the_partitions_refusal_reaches_the_caller() {
    let world = FakeWorld::new();
    let conduit = world.vm(2);
    let connection = Connection::open(&conduit, mailbox()).unwrap();
    let refused = head(&connection, LedgerScope::All);
    let status = Status::PolicyCaller;
    assert_eq!(refused, Err(Error::Refused { call: CallId::LedgerHead, status }));
    assert_eq!(seal(&connection), Ok(3));
    assert_eq!(has_call(&connection, CallId::Seal), Ok(true));
    assert_eq!(has_call(&connection, CallId::Stats), Ok(false));
}

#[test]
fn a_dump_follows_the_cursor_and_begins_anew_when_the_ledger_grew() {
    let world = FakeWorld::new();
    let conduit = world.vm(1);
    let connection = Connection::open(&conduit, mailbox()).unwrap();
    let reader = Reader::open(&connection, pages(1)).unwrap();
    reader.area.window().unwrap().write(0, &[0xaa; 200]).unwrap();
    world.with(|w| w.broker.ledger_pages = vec![(192, 9), (96, 12), (8, 0)]);
    let mut got = Vec::new();
    let head = reader.dump(LedgerScope::Own, |bytes| {
        if bytes.is_empty() {
            got.clear();
        }
        got.extend_from_slice(bytes);
    });
    assert_eq!(head.unwrap().sequence, 77);
    assert_eq!(got, vec![0xaa; 192 + 96 + 8]);
    world.with(|w| assert_eq!(w.broker.ledger_cursors, [0, 9, 12]));

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
    let connection = Connection::open(&conduit, mailbox()).unwrap();
    let reader = Reader::open(&connection, pages(1)).unwrap();
    for written in [4097, u64::MAX] {
        world.with(|w| w.broker.ledger_pages = vec![(written, 0)]);
        let refused = reader.page(LedgerScope::Own, 0, &mut [0; PAGE_BYTES]).unwrap_err();
        assert_eq!(refused, Error::partition(Rule::AnswerValues));
        assert_eq!(refused.blame(), Party::Partition);
    }
    // A partition that never ends its dump.
    world.with(|w| w.broker.ledger_pages = vec![(96, 5); 5000]);
    let endless = reader.dump(LedgerScope::Own, |_| ());
    assert_eq!(endless, Err(Error::partition(Rule::EndlessList)));
}
