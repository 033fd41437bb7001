//! An area of two thousand scattered pages: its descriptor travels in fragments, the peer inspects
//! every range, and finds the pages one behind the other. Never grants them twice.

use crate::calls;
use crate::check;
use crate::rt::client::{mailbox, mapper};
use crate::rt::{Boot, access, layout, pages, signal};
use alloc::vec::Vec;
use causeway_abi::{Call, GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::Connection;
use causeway_client::borrow::Offer;
use causeway_client::conduit::Hvc;
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{EndpointId, MemHandle, PageAddr, PageRange, Transfer};

/// Ranges of one page each; a descriptor of 32,096 bytes, in eight fragments.
const RANGES: u64 = 2000;
const SEED: u64 = 0xf4a6;

/// What page `index` holds in its first word.
const fn word(index: u64) -> u64 {
    (SEED << 32) | index
}

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let area = pages::take(2 * RANGES);
    let page = |index: u64| area + 2 * index * layout::PAGE_LEN;
    let ranges: Vec<_> = (0..RANGES)
        .filter_map(|index| {
            access::write_u64(page(index), word(index));
            PageAddr::new(page(index)).and_then(|start| PageRange::new(start, 1))
        })
        .collect();
    let peer = EndpointId::from_raw(2);
    let receivers = [Receiver::read_write(connection.partition()), Receiver::read_write(peer)];
    let sent = connection.send_memory(Transfer::Share, &receivers, &ranges, 0);
    let handle = sent.expect("share in fragments");
    let terms =
        GrantTerms { peer: Some(peer), kind: GrantKind::Share, permission: Permission::ReadWrite };
    let met = connection.call(Call::Offer { handle, terms, tag: 0 });
    check!("fragments/all_ranges_are_offered", met.is_ok(), "{met:?}");
    signal::send(2, handle.get());
    assert_eq!(signal::receive_within(2, 60_000), 1, "VM 2 is through");
    let written = (0..RANGES).all(|index| access::read_u64(page(index)) == !word(index));
    let between = (0..RANGES).all(|index| access::read_u64(page(index) + layout::PAGE_LEN) == 0);
    check!("fragments/peer_wrote_each_page_and_no_other", written && between);
    let met = calls::reclaim(handle.get());
    check!("fragments/reclaimed", met.is_ok(), "{met:?}");
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let handle = MemHandle::new(signal::receive_within(1, 60_000)).expect("a handle");
    let mut seen = 0;
    let offer = Offer::inspect_with(&connection, handle, |range| {
        seen += u64::from(range.page_count());
    });
    check!("fragments/every_range_is_inspected", offer.is_ok() && seen == RANGES, "{offer:?}");
    let accepted = offer.expect("inspected").accept().expect("accept");
    let mapper = mapper();
    let borrowed = accepted.map(&mapper).expect("retrieve");
    let window = borrowed.window().expect("mapped");
    let mut in_order = window.len_bytes() == 4096 * 2000;
    for index in 0..RANGES {
        let offset = index * layout::PAGE_LEN;
        let mut bytes = [0; 8];
        in_order &= window.read(offset, &mut bytes).is_ok()
            && u64::from_le_bytes(bytes) == word(index)
            && window.write(offset, &(!word(index)).to_le_bytes()).is_ok();
    }
    check!("fragments/pages_lie_in_order", in_order);
    let released = borrowed.release();
    assert_eq!(released.ok(), Some(LifeState::Released), "released");
    signal::send(1, 1);
}
