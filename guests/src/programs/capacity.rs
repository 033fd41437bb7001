//! As much as fits at once, and one more: many areas, many ranges, one very large area. VM 1 owns,
//! VM 2 maps. Never leaves anything behind: the last test is that nothing is left.

use super::control::{self, Charges};
use crate::calls::{self, Mailbox, PARTITION, Refused};
use crate::cases::Layer;
use crate::check;
use crate::descriptor::Descriptor;
use crate::rt::client::mailbox;
use crate::rt::hvc::{self, vendor};
use crate::rt::{Boot, access, layout, pages, signal};
use alloc::vec::Vec;
use causeway_abi::{Call, GrantKind, GrantTerms, LifeState, Permission, Status};
use causeway_client::conduit::Hvc;
use causeway_client::{Connection, Error};
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageAddr, PageRange, Transfer};

const MILLIS: u64 = 120_000;
/// More areas than anything here admits.
const MANY: u64 = 600;
/// Pages of the large area: 512 MiB.
const LARGE: u32 = 131_072;
const SEED: u64 = 0xca9a;

const fn word(index: u64) -> u64 {
    (SEED << 32) | index
}

/// Why something did not fit: the monitor, the SPMC or the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// NO_MEMORY of this layer: 1 the monitor, 2 the SPMC.
    Store(u64),
    /// The partition's status.
    Partition(Status),
    Other(Error),
}

impl From<Error> for Full {
    fn from(error: Error) -> Self {
        match error {
            Error::Ffa { error: FfaError::NoMemory, .. } => {
                let [layer, ..] = hvc::call([vendor::LAST_REFUSAL, 0, 0, 0, 0, 0, 0, 0]);
                Self::Store(layer)
            }
            Error::Refused { status, .. } => Self::Partition(status),
            Error::Ffa { .. }
            | Error::BusError { .. }
            | Error::BusRefused(_)
            | Error::Broken { .. }
            | Error::TimedOut(_) => Self::Other(error),
        }
    }
}

/// VM 1's side.
struct Owner<'c> {
    connection: &'c Connection<'c>,
    /// Pages that are used again and again, never touched at once.
    base: u64,
    /// Who says that the store is full.
    layer: u64,
}

/// VM 1.
pub(super) fn owner(boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let layer = if boot.line.get("layer") == Some("spmc") { 2 } else { 1 };
    let owner = Owner { connection: &connection, base: pages::take_untouched(LARGE.into()), layer };
    owner.local_areas();
    owner.areas_of_two();
    owner.many_ranges();
    owner.large_area();
    let (base, layer) = (owner.base, owner.layer);
    drop(connection);
    one_range_too_many(base, layer);
    let left = control::audit(1);
    check!("capacity/nothing_is_left", control::owes_nothing(1), "{left:?}");
}

impl Owner<'_> {
    fn page(&self, index: u64) -> u64 {
        self.base + index * layout::PAGE_LEN
    }

    fn one(&self, index: u64) -> Vec<PageRange> {
        range(self.page(index), 1).into_iter().collect()
    }

    /// Shares and offers; what was refused is taken back.
    fn give(&self, ranges: &[PageRange], peer: Option<u16>) -> Result<u64, Full> {
        let peer = peer.map(EndpointId::from_raw);
        let mut receivers = alloc::vec![Receiver::read_write(EndpointId::from_raw(PARTITION))];
        receivers.extend(peer.map(Receiver::read_write));
        let handle = self.connection.send_memory(Transfer::Share, &receivers, ranges, 0)?;
        let terms = GrantTerms { peer, kind: GrantKind::Share, permission: Permission::ReadWrite };
        match self.connection.call(Call::Offer { handle, terms, tag: 0 }) {
            Ok(_) => Ok(handle.get()),
            Err(error) => {
                self.connection.reclaim(handle).expect("what was refused comes back");
                Err(error.into())
            }
        }
    }

    fn take_back(&self, handle: u64) -> bool {
        let handle = MemHandle::new(handle).expect("a handle");
        self.connection.call(Call::Revoke { handle }).is_ok()
            && self.connection.reclaim(handle).is_ok()
    }

    /// Gives area after area of one page until one is refused.
    fn fill(&self, peer: Option<u16>) -> (Vec<u64>, Option<Full>) {
        let mut handles = Vec::new();
        for index in 0..MANY {
            match self.give(&self.one(index), peer) {
                Ok(handle) => handles.push(handle),
                Err(full) => return (handles, Some(full)),
            }
        }
        (handles, None)
    }

    /// Whether one more is refused for the same reason, and nothing has changed by it.
    fn refuses_one_more(&self, handles: &[u64], peer: Option<u16>, full: Option<Full>) -> bool {
        let state = if peer.is_some() { LifeState::Offered } else { LifeState::Active };
        let before = control::audit(1);
        let again = self.give(&self.one(MANY), peer).err();
        again == full
            && before.is_some()
            && control::audit(1) == before
            && handles.iter().all(|handle| calls::state(*handle) == Ok(state))
    }

    /// Gives one back, and the refused one fits in its place.
    fn one_release_mends_it(&self, handles: &mut Vec<u64>, peer: Option<u16>) -> bool {
        let back = handles.pop().is_some_and(|handle| self.take_back(handle));
        let fits = self.give(&self.one(MANY), peer);
        handles.extend(fits.ok());
        back && fits.is_ok()
    }

    fn local_areas(&self) {
        let (mut handles, full) = self.fill(None);
        let count = handles.len();
        let live = control::audit(1).unwrap_or_default().grants;
        let all = u64::try_from(count) == Ok(live);
        check!("capacity/local_areas_540_live_at_once", count >= 540 && all, "{count} {live}");
        let quota = Some(Full::Partition(Status::QuotaGrants));
        let known = full == quota || full == Some(Full::Store(self.layer));
        let same = self.refuses_one_more(&handles, None, full);
        check!("capacity/one_more_local_area_changes_nothing", known && same, "{full:?} {same}");
        let mended = self.one_release_mends_it(&mut handles, None);
        check!("capacity/one_release_makes_room_for_a_local_area", mended);
        assert!(handles.into_iter().all(|handle| self.take_back(handle)), "local areas come back");
    }

    fn areas_of_two(&self) {
        let (mut handles, full) = self.fill(Some(2));
        let count = handles.len();
        let live = control::audit(1).unwrap_or_default().grants;
        let all = u64::try_from(count) == Ok(live);
        check!("capacity/areas_of_two_450_live_at_once", count >= 450 && all, "{count} {live}");
        let quota = Some(Full::Partition(Status::QuotaGrants));
        let known = full == quota || full == Some(Full::Store(self.layer));
        let same = self.refuses_one_more(&handles, Some(2), full);
        check!("capacity/one_more_area_of_two_changes_nothing", known && same, "{full:?} {same}");
        let mended = self.one_release_mends_it(&mut handles, Some(2));
        check!("capacity/one_release_makes_room_for_an_area_of_two", mended);
        signal::send_within(2, u64::try_from(handles.len()).unwrap_or(0), MILLIS);
        assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 mapped and let go");
        let back = handles.iter().filter(|handle| calls::reclaim(**handle).is_ok()).count();
        check!("capacity/areas_of_two_are_reclaimed", back == handles.len(), "{back} of {count}");
    }

    /// Every second page, so that nobody can join two ranges.
    fn scattered(&self, count: u64) -> Vec<PageRange> {
        (0..count)
            .filter_map(|index| {
                access::write_u64(self.page(2 * index), word(index));
                range(self.page(2 * index), 1)
            })
            .collect()
    }

    fn many_ranges(&self) {
        // A hundred other areas lie beside the long one.
        let others: Vec<_> = (0..100)
            .filter_map(|index| self.give(&self.one(20_000 + index), Some(2)).ok())
            .collect();
        let beside = self.lend_out(2048);
        let live = others.iter().all(|handle| calls::state(*handle) == Ok(LifeState::Offered));
        let right = beside && live && others.len() == 100;
        check!("capacity/ranges_2048_beside_other_areas", right, "{beside} {live}");
        assert!(others.into_iter().all(|handle| self.take_back(handle)), "the others come back");

        let alone = self.lend_out(4088);
        check!("capacity/ranges_4088_alone", alone);
    }

    /// Gives an area of `count` ranges to VM 2, which inverts each word, and takes it back.
    fn lend_out(&self, count: u64) -> bool {
        let Ok(handle) = self.give(&self.scattered(count), Some(2)) else { return false };
        signal::send_within(2, handle, MILLIS);
        let done = signal::receive_within(2, MILLIS) == 1;
        let written =
            (0..count).all(|index| access::read_u64(self.page(2 * index)) == !word(index));
        calls::reclaim(handle).is_ok() && done && written
    }

    fn large_area(&self) {
        for index in large_samples() {
            access::write_u64(self.page(index), word(index));
        }
        let ranges: Vec<_> = range(self.base, LARGE).into_iter().collect();
        let met = self.give(&ranges, Some(2));
        let Ok(handle) = met else {
            check!("capacity/area_of_512_mib_in_one_range", false, "{met:?}");
            return;
        };
        signal::send_within(2, handle, MILLIS);
        let done = signal::receive_within(2, MILLIS) == 1;
        let written =
            large_samples().all(|index| access::read_u64(self.page(index)) == !word(index));
        let reclaimed = calls::reclaim(handle);
        check!(
            "capacity/area_of_512_mib_in_one_range",
            done && written && reclaimed.is_ok(),
            "{done} {written} {reclaimed:?}"
        );
    }
}

/// Not by the client library: it takes a refused send back, and so makes a later refusal.
fn one_range_too_many(base: u64, layer: u64) {
    let mailbox = Mailbox::open().expect("mailbox");
    let ranges: Vec<_> = (0..4089).map(|index| (base + 2 * index * layout::PAGE_LEN, 1)).collect();
    let before = control::audit(1);
    let met = mailbox.send_long(calls::id::SHARE, &Descriptor::send(1, &[PARTITION, 2], &ranges));
    let layer = if layer == 2 { Layer::Spmc } else { Layer::Monitor };
    let refused = met == Err(Refused { error: FfaError::NoMemory, layer });
    let same = before == Some(Charges::default()) && control::audit(1) == before;
    check!("capacity/ranges_4089_change_nothing", refused && same, "{met:?} {same}");
}

fn range(address: u64, count: u32) -> Option<PageRange> {
    PageAddr::new(address).and_then(|start| PageRange::new(start, count))
}

/// Pages of the large area that both sides look at, first and last among them.
fn large_samples() -> impl Iterator<Item = u64> {
    let last = u64::from(LARGE) - 1;
    (0..last).step_by(509).chain([last])
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let count = signal::receive_within(1, MILLIS);
    let mut handles = Vec::new();
    let mut mapped = 0;
    while let Ok(Some(handle)) = calls::first_offer() {
        calls::accept(handle).expect("accept");
        mapped += u64::from(mailbox.retrieve(1, handle, &BORROWERS).is_ok());
        handles.push(handle);
    }
    let released = handles.iter().all(|handle| {
        mailbox.relinquish(*handle).is_ok() && calls::release(*handle) == Ok(LifeState::Released)
    });
    let all = mapped == count && released;
    check!("capacity/peer_maps_all_areas_of_two", all, "{mapped} of {count}, {released}");
    signal::send_within(1, 1, MILLIS);

    let in_order = turn_words(&mailbox, 0..2048);
    check!("capacity/peer_finds_2048_pages_in_order", in_order);
    let in_order = turn_words(&mailbox, 0..4088);
    check!("capacity/peer_finds_4088_pages_in_order", in_order);
    let large = turn_words(&mailbox, large_samples());
    check!("capacity/peer_reaches_all_of_512_mib", large);
}

const BORROWERS: [u16; 2] = [PARTITION, 2];

/// Takes up the next handle, and inverts the word of each of these pages.
fn turn_words(mailbox: &Mailbox, pages: impl Iterator<Item = u64>) -> bool {
    let handle = signal::receive_within(1, MILLIS);
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(1, handle, &BORROWERS).expect("retrieve");
    let mut in_order = true;
    for index in pages {
        let at = address + index * layout::PAGE_LEN;
        in_order &= access::read_u64(at) == word(index);
        access::write_u64(at, !word(index));
    }
    mailbox.relinquish(handle).expect("relinquish");
    let released = calls::release(handle) == Ok(LifeState::Released);
    signal::send_within(1, 1, MILLIS);
    in_order && released
}
