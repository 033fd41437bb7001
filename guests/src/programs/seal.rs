//! Sealed mode: VM 1, whom policy names, seals; VM 2 (owner) and then VM 3 (peer) are killed and
//! started anew, and only the grant that was in the set is accepted again.

use super::{audit, control};
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::descriptor::{Descriptor, READ_ONLY};
use crate::records::{Dump, Told};
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::{Boot, access, pages, signal};
use causeway_abi::{
    Call, GrantKind, GrantTerms, JoinName, LedgerScope, LifeState, Permission, Status,
};
use causeway_client::conduit::Hvc;
use causeway_client::grant::Grant;
use causeway_client::ledger;
use causeway_client::{Bound, Connection};
use causeway_ffa::EndpointId;

/// What the owner writes at the start of the area in each of its lives.
const WORD: u64 = 0x5ea1;
/// How long a VM waits for another's part: a kill may wait for a deadline.
const MILLIS: u64 = 60_000;

/// VM 1: seals, kills and restarts.
pub(super) fn sealer(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    let local = Grant::offer(&connection, take_pages(1), terms).expect("a local area");
    start(2, 1);
    start(3, 1);
    assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 has granted");
    assert_eq!(signal::receive_within(3, MILLIS), 1, "VM 3 maps it");
    // VM 2's and VM 3's own tries were refused; what is sealed: the grant, and VM 1's two areas.
    let sealed = ledger::seal(&connection);
    check!("seal/the_named_vm_seals", sealed == Ok(3), "{sealed:?}");
    let name = JoinName { peer: EndpointId::from_raw(2), number: 1 };
    let met = calls::partition(&Call::Join { handle: local.handle(), name });
    check!("seal/new_join_is_refused", met == Err(Met::Status(Status::Sealed)), "{met:?}");
    start(2, 2);
    assert_eq!(signal::receive_within(2, MILLIS), 2, "VM 2 tried to grant more");
    start(3, 2);
    assert_eq!(signal::receive_within(3, MILLIS), 2, "VM 3 looked and let go");

    assert_eq!((control::kill(2), control::restart(2)), (0, 0), "VM 2 starts anew");
    start(2, 3);
    let handle = signal::receive_within(2, MILLIS);
    start(3, 3);
    signal::send(3, handle);
    assert_eq!(signal::receive_within(3, MILLIS), 3, "VM 3 maps it again");
    let again = ledger::seal(&connection);
    check!("seal/sealing_again_changes_nothing", again == Ok(3), "{again:?}");

    // The peer's death ends the grant; the same one again is accepted once more.
    assert_eq!((control::kill(3), control::restart(3)), (0, 0), "VM 3 starts anew");
    start(2, 4);
    assert_eq!(signal::receive_within(2, MILLIS), 4, "VM 2 granted once more");
    start(3, 4);
    let read = audit::dump(&reader, LedgerScope::All).expect("the whole ledger");
    let dump = Dump::read(&read.bytes).expect("a dump");
    let told = dump.count(|r| r.told == Told::Sealed && r.subject == 1 && r.page_count == 3);
    let all = dump.count(|r| r.told == Told::Sealed);
    check!("seal/ledger_tells_of_it_once", (told, all) == (1, 1), "{told} of {all}");
    audit::print(&read);
    local.close(&Clock, Bound::NONE).expect("a member of the set may end");
}

/// Sends a VM the number of its next part.
fn start(vm: u16, part: u64) {
    signal::send_within(vm, part, MILLIS);
}

fn next_part() -> u64 {
    signal::receive_within(1, MILLIS)
}

/// Offers `count` pages from `area` under other or the same terms, and takes back what was refused.
/// Returns the handle of what was not.
fn try_grant(mailbox: &Mailbox, area: u64, count: u32, terms: GrantTerms) -> Result<u64, Met> {
    let peer = terms.peer.map(EndpointId::get);
    let borrowers = [PARTITION, peer.unwrap_or(0)];
    let borrowers = if peer.is_some() { &borrowers[..] } else { &borrowers[..1] };
    let mut descriptor = Descriptor::send(2, borrowers, &[(area, count)]);
    if terms.permission == Permission::ReadOnly {
        descriptor.borrowers.iter_mut().for_each(|(_, permission)| *permission = READ_ONLY);
    }
    let function = match terms.kind {
        GrantKind::Share => calls::id::SHARE,
        GrantKind::Lend => calls::id::LEND,
        GrantKind::Donate => calls::id::DONATE,
    };
    let handle = mailbox.send(function, &descriptor).map_err(Met::Ffa)?;
    match calls::partition(&Call::Offer { handle: calls::name(handle), terms, tag: 0 }) {
        Ok(_) => Ok(handle),
        Err(met) => {
            calls::reclaim(handle).expect("a refused grant is reclaimed");
            Err(met)
        }
    }
}

const TERMS: GrantTerms = GrantTerms {
    peer: Some(EndpointId::from_raw(3)),
    kind: GrantKind::Share,
    permission: Permission::ReadWrite,
};
const SEALED: Result<u64, Met> = Err(Met::Status(Status::Sealed));

/// VM 2. The area comes first, so that it lies at the same place in each life.
pub(super) fn owner(_boot: &Boot) {
    let area = pages::take(2);
    let other = pages::take(2);
    let mailbox = Mailbox::open().expect("mailbox");
    if next_part() == 1 {
        let sealed = calls::partition(&Call::Seal);
        let refused = sealed == Err(Met::Status(Status::PolicyCaller));
        check!("seal/owner_may_not_seal", refused, "{sealed:?}");
        access::write_u64(area, WORD);
        let handle = try_grant(&mailbox, area, 1, TERMS).expect("granted");
        signal::send(3, handle);
        signal::send(1, 1);
        assert_eq!(next_part(), 2, "sealed");
        let met = try_grant(&mailbox, other, 1, TERMS);
        check!("seal/new_grant_is_refused", met == SEALED, "{met:?}");
        let met = try_grant(&mailbox, other, 1, GrantTerms { peer: None, ..TERMS });
        check!("seal/new_local_area_is_refused", met == SEALED, "{met:?}");
        signal::send(1, 2);
        // Killed while it waits.
        let _never = next_part();
        return;
    }
    let met = try_grant(&mailbox, other, 1, TERMS);
    check!("seal/restarted_owner_may_not_grant_another_page", met == SEALED, "{met:?}");
    let less = GrantTerms { permission: Permission::ReadOnly, ..TERMS };
    let met = try_grant(&mailbox, area, 1, less);
    check!("seal/restarted_owner_may_not_permit_less", met == SEALED, "{met:?}");
    let met =
        try_grant(&mailbox, area, 1, GrantTerms { peer: Some(EndpointId::from_raw(1)), ..TERMS });
    check!("seal/restarted_owner_may_not_name_another_peer", met == SEALED, "{met:?}");
    let met = try_grant(&mailbox, area, 1, GrantTerms { kind: GrantKind::Lend, ..TERMS });
    check!("seal/restarted_owner_may_not_lend_instead", met == SEALED, "{met:?}");
    let met = try_grant(&mailbox, area, 2, TERMS);
    check!("seal/restarted_owner_may_not_grant_more_pages", met == SEALED, "{met:?}");
    access::write_u64(area, WORD + 1);
    let met = try_grant(&mailbox, area, 1, TERMS);
    check!("seal/same_grant_is_accepted_after_the_owners_restart", met.is_ok(), "{met:?}");
    let handle = met.expect("granted");
    signal::send(1, handle);
    assert_eq!(next_part(), 4, "VM 3 died and runs anew");
    calls::reclaim(handle).expect("a dead peer's grant is reclaimed");
    let met = try_grant(&mailbox, area, 1, TERMS);
    check!("seal/same_grant_is_accepted_after_the_peers_restart", met.is_ok(), "{met:?}");
    signal::send(1, 4);
    let handle = met.expect("granted");
    // VM 3 was started anew: it binds this VM's bits when it runs.
    signal::open();
    signal::send_within(3, handle, MILLIS);
    assert_eq!(signal::receive_within(3, MILLIS), 5, "VM 3 let go");
    calls::reclaim(handle).expect("reclaimed");
}

/// VM 3: maps the grant in each part.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    if next_part() == 1 {
        let sealed = calls::partition(&Call::Seal);
        let refused = sealed == Err(Met::Status(Status::PolicyCaller));
        check!("seal/peer_may_not_seal", refused, "{sealed:?}");
        let handle = signal::receive_within(2, MILLIS);
        calls::accept(handle).expect("accept");
        let address = mailbox.retrieve(2, handle, &[PARTITION, 3]).expect("retrieve");
        signal::send(1, 1);
        assert_eq!(next_part(), 2, "sealed");
        let (state, word) = (calls::state(handle), access::read_u64(address));
        let lives = state == Ok(LifeState::Active) && word == WORD;
        check!("seal/sealed_grant_lives_on", lives, "{state:?} {word:#x}");
        mailbox.relinquish(handle).expect("relinquish");
        calls::release(handle).expect("release");
        signal::send(1, 2);
        // VM 2 was started anew.
        assert_eq!(next_part(), 3, "VM 2 granted again");
        signal::open();
        let handle = signal::receive_within(1, MILLIS);
        calls::accept(handle).expect("accept");
        mailbox.retrieve(2, handle, &[PARTITION, 3]).expect("retrieve");
        signal::send(1, 3);
        // Killed while it maps.
        let _never = next_part();
        return;
    }
    let handle = signal::receive_within(2, MILLIS);
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(2, handle, &[PARTITION, 3]).expect("retrieve");
    let word = access::read_u64(address);
    check!("seal/peer_maps_it_again", word == WORD + 1, "{word:#x}");
    mailbox.relinquish(handle).expect("relinquish");
    calls::release(handle).expect("release");
    signal::send_within(2, 5, MILLIS);
}
