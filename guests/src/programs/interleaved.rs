//! Sends of several VMs whose fragments arrive in turn, sends that never end, and fragments that are
//! longer than announced. VM 1 and VM 2 grant on, so that each area is looked at range by range.

mod sending;

use super::control;
use crate::calls::{self, Mailbox, Met, PARTITION, Refused, id};
use crate::check;
use crate::descriptor::Descriptor;
use crate::rt::{Boot, access, layout, pages, signal};
use alloc::vec::Vec;
use causeway_abi::{Call, GrantKind, LifeState, PackedRange, Status};
use causeway_ffa::FfaError;
use sending::{Sending, send_whole};

const MILLIS: u64 = 60_000;
/// Fragments of each VM's area, sent in turn.
const FRAGMENTS: usize = 8;
/// Ranges of VM 1's area (4,896 bytes), VM 2's (1,056) and VM 3's (208).
const RANGES: [u64; 3] = [300, 60, 8];
/// Lives of VM 3 amid VM 1's half-sent area, each in fragments of 16 bytes.
const LIVES: u32 = 12;

/// Every second page of this VM, so that nobody can join two ranges; each has a word of its own.
struct Area {
    start: u64,
    count: u64,
}

impl Area {
    fn take(count: u64) -> Self {
        let area = Self { start: pages::take(2 * count), count };
        (0..count)
            .for_each(|index| access::write_u64(area.page(index), word(signal::own_id(), index)));
        area
    }

    const fn page(&self, index: u64) -> u64 {
        self.start + 2 * index * layout::PAGE_LEN
    }

    fn descriptor(&self, borrowers: &[u16]) -> Descriptor {
        let ranges: Vec<_> = (0..self.count).map(|index| (self.page(index), 1)).collect();
        Descriptor::send(signal::own_id(), borrowers, &ranges)
    }

    /// A send of it in eight fragments.
    fn in_fragments(&self, borrowers: &[u16]) -> Sending {
        let bytes = self.descriptor(borrowers).bytes();
        let each = bytes.len().div_ceil(FRAGMENTS).next_multiple_of(16);
        Sending::new(id::SHARE, bytes, each)
    }
}

/// What the first word of a page holds.
fn word(owner: u16, index: u64) -> u64 {
    (u64::from(owner) << 32) | 0x1e4f_0000 | index
}

/// Sends the fragments in turn with the others: VM 1, then VM 2, then VM 3, and again.
fn weave(mailbox: &Mailbox, mut sending: Sending) -> Result<u64, Refused> {
    let own = signal::own_id();
    let next = own % 3 + 1;
    let before = (own + 1) % 3 + 1;
    let mut handle = None;
    for round in 1..=FRAGMENTS {
        let turn = u64::try_from(round).unwrap_or(0);
        if own != 1 || round > 1 {
            assert_eq!(signal::receive_within(before, MILLIS), turn, "VM {before} has sent its");
        }
        // The shortest has fewer fragments than there are rounds.
        if handle.is_none() {
            handle = sending.next(mailbox)?;
        }
        let then = if own == 3 { turn + 1 } else { turn };
        signal::send_within(next, then, MILLIS);
    }
    if own == 1 {
        let last = u64::try_from(FRAGMENTS).unwrap_or(0) + 1;
        assert_eq!(signal::receive_within(before, MILLIS), last, "VM 3 has sent its last");
    }
    Ok(handle.unwrap_or(0))
}

/// As the peer of `owner`: every range is one page, in order, and holds its word.
fn has_every_range(mailbox: &Mailbox, owner: u16, handle: u64, count: u64) -> bool {
    let own = signal::own_id();
    let range = |index: u64| {
        let range_index = u32::try_from(index).unwrap_or(u32::MAX);
        let [.., packed] =
            calls::partition(&Call::Inspect { handle: calls::name(handle), range_index }).ok()?;
        PackedRange::unpack(packed)
    };
    let found: Vec<_> = (0..count).map_while(range).collect();
    let two_pages = 2 * layout::PAGE_LEN;
    let apart = found.windows(2).all(|two| {
        two[1].start().get() == two[0].start().get() + two_pages && two[1].page_count() == 1
    });
    let Ok(seen) = calls::accept(handle) else { return false };
    let Ok(address) = mailbox.retrieve(owner, handle, &[PARTITION, own]) else { return false };
    let page = |index: u64| access::read_u64(address + index * layout::PAGE_LEN);
    let in_order = (0..count).all(|index| page(index) == word(owner, index));
    let all = u64::try_from(found.len()) == Ok(count) && u64::from(seen.range_count) == count;
    let released =
        mailbox.relinquish(handle).is_ok() && calls::release(handle) == Ok(LifeState::Released);
    all && apart && in_order && released
}

/// Whether a fragment was refused as one of a send that is not under way.
fn is_unknown<T>(met: &Result<T, Refused>) -> bool {
    matches!(met, Err(Refused { error: FfaError::InvalidParameters, .. }))
}

/// VM 1.
pub(super) fn leader(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = Area::take(RANGES[0]);
    let before = control::audit(1);
    let handle = weave(&mailbox, area.in_fragments(&[PARTITION, 2]));
    let offered = handle.map(|handle| calls::offer(handle, 2, GrantKind::Share));
    signal::send_within(2, handle.unwrap_or(0), MILLIS);
    assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 has looked at it");
    let back = handle.is_ok_and(|handle| calls::reclaim(handle).is_ok());
    let right = matches!(offered, Ok(Ok(_))) && back;
    check!("interleaved/woven_area_is_whole", right, "{handle:?} {offered:?} {back}");

    amid_a_half(&mailbox, &area);
    dropped(&mailbox, &area);
    over_long(&mailbox, &area);
    let after = control::audit(1);
    check!("interleaved/nothing_is_left", before.is_some() && before == after, "{after:?}");
    let whole = local_life(&mailbox, area.in_fragments(&[PARTITION]));
    check!("interleaved/honest_send_still_works", whole.is_ok(), "{whole:?}");
}

/// Half of VM 1's area waits while VM 3 lives; VM 3 knows its name and can do nothing with it.
fn amid_a_half(mailbox: &Mailbox, area: &Area) {
    let mut sending = area.in_fragments(&[PARTITION]);
    for _ in 0..FRAGMENTS / 2 {
        assert_eq!(sending.next(mailbox), Ok(None), "more is to come");
    }
    signal::send_within(3, sending.name(), MILLIS);
    assert_eq!(signal::receive_within(3, MILLIS), 1, "VM 3 is through");
    let met = local_life(mailbox, sending);
    check!("interleaved/others_live_amid_a_half_sent_area", met.is_ok(), "{met:?}");
}

/// Sends what is left of an area for the partition alone, and takes it through its life.
fn local_life(mailbox: &Mailbox, sending: Sending) -> Result<LifeState, Met> {
    let handle = send_whole(mailbox, sending).map_err(Met::Ffa)?;
    calls::offer(handle, 0, GrantKind::Share)?;
    let revoked = calls::revoke(handle)?;
    calls::reclaim(handle).map_err(Met::Ffa)?;
    Ok(revoked)
}

/// A send that is begun anew, or whose buffers are gone, does not go on.
fn dropped(mailbox: &Mailbox, area: &Area) {
    let mut old = area.in_fragments(&[PARTITION]);
    let begun = old.next(mailbox) == Ok(None) && old.next(mailbox) == Ok(None);
    let mut new = area.in_fragments(&[PARTITION]);
    let anew = new.next(mailbox) == Ok(None) && new.name() != old.name();
    let late = old.next(mailbox);
    let whole = local_life(mailbox, new);
    let right = begun && anew && is_unknown(&late) && whole == Ok(LifeState::Released);
    check!("interleaved/new_send_drops_the_old_one", right, "{begun} {anew} {late:?} {whole:?}");

    let mut old = area.in_fragments(&[PARTITION]);
    let begun = old.next(mailbox) == Ok(None);
    let unmapped = calls::ffa([id::RXTX_UNMAP, 0, 0, 0, 0, 0, 0, 0]).is_ok();
    let mapped = calls::ffa([id::RXTX_MAP, mailbox.tx, mailbox.rx, 1, 0, 0, 0, 0]).is_ok();
    let late = old.next(mailbox);
    let right = begun && unmapped && mapped && is_unknown(&late);
    check!("interleaved/unmapped_buffers_drop_it", right, "{begun} {late:?}");
}

/// What is longer than announced or cut in the middle of a range ends the send; what no buffer
/// and no table can hold never begins.
fn over_long(mailbox: &Mailbox, area: &Area) {
    let mut first = None;
    let total = u64::try_from(area.descriptor(&[PARTITION]).bytes().len()).unwrap_or(0);
    for length in [total, 4096, 4112, 8, 24, 0xffff_ffff] {
        let mut sending = area.in_fragments(&[PARTITION]);
        let begun = (0..FRAGMENTS - 1).all(|_| sending.next(mailbox) == Ok(None));
        let met = mailbox.send_next(sending.name(), length);
        // Not even the right fragment is taken now.
        let late = sending.next(mailbox);
        if !begun || !is_unknown(&met) || !is_unknown(&late) {
            first = first.or(Some(length));
        }
    }
    check!("interleaved/over_long_fragment_ends_it", first.is_none(), "{first:?}");
    // A fragment of nothing is no fragment: the send waits for the right one.
    let mut sending = area.in_fragments(&[PARTITION]);
    let begun = sending.next(mailbox) == Ok(None);
    let met = mailbox.send_next(sending.name(), 0);
    let whole = local_life(mailbox, sending);
    let right = begun && is_unknown(&met) && whole == Ok(LifeState::Released);
    check!("interleaved/empty_fragment_is_none", right, "{met:?} {whole:?}");
    let begin = |total: u64, fragment: u64| calls::ffa([id::SHARE, total, fragment, 0, 0, 0, 0, 0]);
    let met = [begin(8192, 4112), begin(0x2_0000, 4096), begin(0xffff_ffff, 4096), begin(16, 4096)];
    let refused = met.iter().all(Result::is_err);
    check!("interleaved/what_cannot_fit_never_begins", refused, "{met:?}");
}

/// VM 2: the peer of VM 1's area, and the owner of one for VM 3.
pub(super) fn second(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = Area::take(RANGES[1]);
    let own = weave(&mailbox, area.in_fragments(&[PARTITION, 3])).expect("woven");
    let offered = calls::offer(own, 3, GrantKind::Share);
    let handle = signal::receive_within(1, MILLIS);
    let whole = has_every_range(&mailbox, 1, handle, RANGES[0]);
    check!("interleaved/every_range_of_vm1_is_in_its_place", whole && offered.is_ok());
    signal::send_within(1, 1, MILLIS);
    signal::send_within(3, own, MILLIS);
    assert_eq!(signal::receive_within(3, MILLIS), 2, "VM 3 has looked at it");
    calls::reclaim(own).expect("reclaim");
}

/// VM 3: the peer of VM 2's area, with an own one, and many lives amid VM 1's half.
pub(super) fn third(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = Area::take(RANGES[2]);
    let own = weave(&mailbox, area.in_fragments(&[PARTITION])).expect("woven");
    let offered = calls::offer(own, 0, GrantKind::Share);
    let handle = signal::receive_within(2, MILLIS);
    let whole = has_every_range(&mailbox, 2, handle, RANGES[1]);
    check!("interleaved/every_range_of_vm2_is_in_its_place", whole && offered.is_ok());
    signal::send_within(2, 2, MILLIS);
    calls::revoke(own).expect("revoke");
    calls::reclaim(own).expect("reclaim");

    let name = signal::receive_within(1, MILLIS);
    let mut lives = 0;
    let mut refused = true;
    for _ in 0..LIVES {
        refused &= is_unknown(&mailbox.send_next(name, 16))
            && is_unknown(&calls::reclaim(name))
            && calls::offer(name, 0, GrantKind::Share) == Err(Met::Status(Status::NoSuchGrant));
        let bytes = area.descriptor(&[PARTITION]).bytes();
        let life = local_life(&mailbox, Sending::new(id::SHARE, bytes, 16));
        lives += u32::from(life == Ok(LifeState::Released));
    }
    check!("interleaved/lives_in_many_fragments_all_end", lives == LIVES, "{lives} of {LIVES}");
    check!("interleaved/name_of_anothers_half_is_nothing", refused);
    signal::send_within(1, 1, MILLIS);
}
