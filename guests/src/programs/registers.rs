//! Registers, versions and the instruction of a call: what the caller keeps in x8-x30 is as it was, nothing
//! can be renegotiated once it is used, and a client may call by SMC. Never looks at what a call answers
//! beyond that.

use crate::calls::{self, Mailbox, PARTITION, id};
use crate::check;
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::registers::{self, Conduit, File};
use crate::rt::{Boot, access, hvc, pages};
use causeway_abi::{Call, GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::conduit::Smc;
use causeway_client::grant::Grant;
use causeway_client::{Bound, Connection, Error};

const ID_GET: u64 = 0x8400_0069;
const PARTITION_INFO_GET: u64 = 0x8400_0068;
/// Bytes of one entry of FFA_PARTITION_INFO_GET in version 1.1.
const STRIDE: u64 = 24;

/// x8-x30 before a call, each different.
fn pattern(index: usize, round: u64) -> u64 {
    0x5a00_0000_0000_0000 | round << 32 | u64::try_from(index).unwrap_or(0)
}

/// The first register from x8 on that a call changed; `None` if it changed none.
fn changed(conduit: Conduit, call: [u64; 8], round: u64) -> Option<usize> {
    let mut before: File = core::array::from_fn(|index| pattern(index, round));
    before[..8].copy_from_slice(&call);
    let after = registers::call(conduit, before);
    (8..31).find(|index| after[*index] != before[*index])
}

/// VM 1 of `registers`.
pub(super) fn caller(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(1);
    let handle = mailbox.share(area, 1, &[PARTITION]).expect("share");
    calls::offer(handle, 0, GrantKind::Share).expect("offer");
    let who = 0x0001_0000 | u64::from(PARTITION);
    let [a, b, c, d, e] = Call::State { handle: calls::name(handle) }.encode();
    let state = [id::DIRECT_REQUEST, who, 0, a, b, c, d, e];
    let refused = [id::DIRECT_REQUEST, who, 0, u64::MAX, 0, 0, 0, 0];
    let own_id = [ID_GET, 0, 0, 0, 0, 0, 0, 0];
    let unknown = [0x8400_00ff, 1, 2, 3, 4, 5, 6, 7];
    let first_changed = |conduit| {
        (0..64).find_map(|round| {
            let calls = [state, refused, own_id, unknown];
            calls.into_iter().find_map(|call| changed(conduit, call, round))
        })
    };
    let met = first_changed(Conduit::Hvc);
    check!("registers/x8_to_x30_survive_an_hvc", met.is_none(), "{met:?}");
    let met = first_changed(Conduit::Smc);
    check!("registers/x8_to_x30_survive_an_smc", met.is_none(), "{met:?}");
    versions(&mailbox, handle);
    calls::revoke(handle).expect("revoke");
    calls::reclaim(handle).expect("reclaim");
}

/// Other versions are asked for while buffers are mapped and a grant lives (KB-11).
fn versions(mailbox: &Mailbox, handle: u64) {
    let version = |asked: u64| hvc::call([id::VERSION, asked, 0, 0, 0, 0, 0, 0])[0] & 0xffff_ffff;
    let others = [0x0001_0000, 0x0001_0002, 0x0001_ffff, 0x0002_0000, 0, 0x8001_0001];
    let not_supported = 0xffff_ffff;
    let taken = others.into_iter().find(|asked| version(*asked) != not_supported);
    check!("registers/another_version_is_refused_after_use", taken.is_none(), "{taken:x?}");
    let same = version(0x0001_0001) == 0x0001_0001;
    let listed = hvc::call([PARTITION_INFO_GET, 0, 0, 0, 0, 0, 0, 0]);
    let [_, _, count, stride, ..] = listed;
    let first = access::read_u64(mailbox.rx) & 0xffff;
    hvc::call([id::RX_RELEASE, 0, 0, 0, 0, 0, 0, 0]);
    let layout_is_kept = stride == STRIDE && count == 4 && first == u64::from(PARTITION);
    let lives = calls::state(handle) == Ok(LifeState::Active);
    check!(
        "registers/layouts_and_grants_outlive_the_attempt",
        same && layout_is_kept && lives,
        "{same} {count} {stride} {first:#x} {lives}"
    );
}

/// VM 2 of `registers`: a client whose every call is an SMC, which the monitor traps.
pub(super) fn by_smc(_boot: &Boot) {
    let lived = life_by_smc();
    let ended = lived == Ok((LifeState::Active, 2));
    check!("registers/a_client_that_calls_by_smc_lives_a_grant", ended, "{lived:?}");
}

/// Opens a connection, grants pages to the partition and takes them back; returns the state between, and
/// how many pages came back.
fn life_by_smc() -> Result<(LifeState, u64), Error> {
    let connection = Connection::open(&Smc, mailbox()).map_err(|failed| failed.error)?;
    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    let terms = GrantTerms { peer: None, kind, permission };
    let grant = Grant::offer(&connection, take_pages(2), terms).map_err(|failed| failed.error)?;
    let state = grant.state()?;
    let pages = grant.close(&Clock, Bound::millis(20_000)).map_err(|failed| failed.error)?;
    let count = pages.page_count();
    connection.close()?;
    Ok((state, count))
}
