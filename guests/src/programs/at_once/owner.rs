//! VM 1: owns every handle, with two processors that offer and revoke at once. Reads the ledger, and
//! kills VM 2 amid its calls.

use super::super::{audit, control};
use super::duel::{self, Act, Came};
use super::wild;
use super::{MILLIS, SHARED_ROUNDS};
use crate::calls::{self, PARTITION};
use crate::records::{Dump, Told};
use crate::rt::client::mailbox;
use crate::rt::{Boot, access, layout, pages, signal};
use crate::{check, say};
use alloc::vec::Vec;
use causeway_abi::{GrantKind, LedgerScope, LifeState, Status};
use causeway_client::Connection;
use causeway_client::conduit::Hvc;
use causeway_client::ledger::Reader;
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{EndpointId, PageAddr, PageRange, Transfer};

/// Lives whose both ends are raced for.
const DUELS: usize = 300;
/// The last of them, whose moves are looked up in the ledger (its ring holds 128 records).
const LOOKED_UP: usize = 24;

struct Owner<'c> {
    connection: &'c Connection<'c>,
    reader: Reader<'c>,
    page: u64,
}

/// VM 1.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let reader = audit::reader(&connection);
    let owner = Owner { connection: &connection, reader, page: pages::take(8) };
    let before = control::audit(1);
    duel::begin();
    owner.duels();
    owner.wild();
    owner.shared();
    owner.kill();
    duel::order(Act::Stop, 0);
    let after = control::audit(1);
    let true_charges = before.is_some() && before == after && control::owes_nothing(2);
    check!("at_once/charges_are_true", true_charges, "{before:?} {after:?}");
    audit::print(&audit::dump(&owner.reader, LedgerScope::All).expect("the whole ledger"));
}

impl Owner<'_> {
    /// Shares the page with this number; offers nothing.
    fn share(&self, index: u64, peer: Option<u16>) -> u64 {
        let start = PageAddr::new(self.page + index * layout::PAGE_LEN).expect("a page");
        let range = PageRange::new(start, 1).expect("one page");
        let both = [PARTITION].into_iter().chain(peer);
        let receivers: Vec<_> =
            both.map(|id| Receiver::read_write(EndpointId::from_raw(id))).collect();
        let sent = self.connection.send_memory(Transfer::Share, &receivers, &[range], 0);
        sent.expect("share").get()
    }

    /// Both processors offer one handle, look at it, and revoke it, each time at once.
    fn duels(&self) {
        let (mut offers, mut revokes, mut handles) = (0, 0, Vec::new());
        for round in 0..DUELS {
            let handle = self.share(u64::from(round % 2 != 0), None);
            let offered = duel::both(Act::Offer, handle);
            let seen = duel::both(Act::State, handle) == [Came::To(LifeState::Active); 2];
            let one = one_won(offered, Came::Through, Came::Refused(Status::WrongState));
            offers += usize::from(one && seen);
            let ended = duel::both(Act::Revoke, handle);
            let (won, lost) = (Came::To(LifeState::Released), Came::Refused(Status::NoSuchGrant));
            let back = calls::reclaim(handle).is_ok();
            revokes += usize::from(one_won(ended, won, lost) && back);
            handles.push(handle);
        }
        check!("at_once/one_of_two_offers_wins", offers == DUELS, "{offers} of {DUELS}");
        check!("at_once/one_of_two_revokes_wins", revokes == DUELS, "{revokes} of {DUELS}");
        let last = handles.get(DUELS - LOOKED_UP..).unwrap_or_default();
        let once = self.moves(last, &[LifeState::Active, LifeState::Released]);
        check!("at_once/ledger_has_each_move_once", once == LOOKED_UP, "{once} of {LOOKED_UP}");
    }

    /// Of how many handles the ledger has each of these moves exactly once.
    fn moves(&self, handles: &[u64], states: &[LifeState]) -> usize {
        let read = audit::dump(&self.reader, LedgerScope::All).expect("the whole ledger");
        let dump = Dump::read(&read.bytes).expect("a dump");
        let once = |handle: u64, state: &LifeState| {
            let told = Told::Moved(state.code());
            dump.count(|r| (r.owner, r.handle, r.told) == (1, handle, told)) == 1
        };
        handles.iter().filter(|handle| states.iter().all(|state| once(**handle, state))).count()
    }

    /// Thousands of calls of both about four handles; then all of it is put into one order.
    fn wild(&self) {
        let handles = [0, 1, 2, 3].map(|index| self.share(index, None));
        wild::name(handles);
        duel::both(Act::Wild, 0);
        let lives = |handle| calls::state(handle) == Ok(LifeState::Active);
        let verdict = wild::judge(lives);
        say!("NOTE at_once calls={} met={} began={}", 2 * wild::CALLS, verdict.met, verdict.began);
        let sums = verdict.began == verdict.ended + verdict.live && verdict.began > 100;
        let right = verdict.linear == wild::HANDLES && verdict.wrong == 0 && sums;
        check!("at_once/answers_have_one_order", right, "{verdict:?}");
        check!("at_once/calls_overlapped_in_time", verdict.met > 100, "{verdict:?}");
        for handle in handles {
            if lives(handle) {
                calls::revoke(handle).expect("revoke");
            }
            calls::reclaim(handle).expect("reclaim");
        }
    }

    /// VM 2 takes grants up with both its processors, and lets go with both while this VM's second one
    /// revokes: it ends once.
    fn shared(&self) {
        signal::send_within(2, 1, MILLIS);
        let (mut once, mut handles) = (0, Vec::new());
        duel::mark_at(self.page);
        for _ in 0..SHARED_ROUNDS {
            access::write_u64(self.page, 0);
            let handle = self.share(0, Some(2));
            calls::offer(handle, 2, GrantKind::Share).expect("offer");
            duel::order(Act::RevokeAfterMark, handle);
            signal::send_within(2, handle, MILLIS);
            let rejected = signal::receive_within(2, MILLIS) == 2;
            if rejected {
                // It is over, and the second processor is to find that.
                access::write_u64(self.page, 1);
            }
            let revoked = duel::answer();
            let may_be = match revoked {
                Came::To(LifeState::Releasing | LifeState::Released) => !rejected,
                Came::Refused(Status::NoSuchGrant) => true,
                Came::To(_) | Came::Through | Came::Refused(_) | Came::Astray => false,
            };
            let gone = duel::both(Act::State, handle) == [Came::Refused(Status::NoSuchGrant); 2];
            let back = calls::reclaim(handle).is_ok();
            once += u64::from(may_be && gone && back);
            handles.push(handle);
        }
        let last = handles.get(handles.len() - LOOKED_UP / 2..).unwrap_or_default();
        let ended = self.moves(last, &[LifeState::Offered, LifeState::Released]);
        let right = once == SHARED_ROUNDS && ended == LOOKED_UP / 2;
        check!("at_once/owner_and_peer_end_it_once", right, "{once} of {SHARED_ROUNDS}, {ended}");
    }

    /// VM 2 dies while both its processors call.
    fn kill(&self) {
        let handle = self.share(0, Some(2));
        calls::offer(handle, 2, GrantKind::Share).expect("offer");
        signal::send_within(2, handle, MILLIS);
        assert_eq!(signal::receive_within(2, MILLIS), 1, "VM 2 maps it and calls");
        let killed = control::kill(2);
        let gone = calls::state(handle);
        let back = calls::reclaim(handle);
        let over = gone == Err(calls::Met::Status(Status::NoSuchGrant)) && back.is_ok();
        let anew = control::restart(2);
        signal::send_within(2, 2, MILLIS);
        let right = (killed, anew) == (0, 0) && over;
        check!(
            "at_once/kill_amid_calls_frees_everything",
            right,
            "{killed} {gone:?} {back:?} {anew}"
        );
    }
}

/// Exactly one of both came to `won`, and the other to `lost`.
fn one_won(came: [Came; 2], won: Came, lost: Came) -> bool {
    came == [won, lost] || came == [lost, won]
}
