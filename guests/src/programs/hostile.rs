//! Hostile arguments, case by case: who refuses each, with which status, and that nothing changed.
//! The table of cases says what is expected (`crate::cases`); never uses the client library.

mod bus;
mod descriptors;
mod frames;
mod garbage;
mod handles;
mod ledger;
mod offers;

use super::bystander;
use crate::calls::{self, Mailbox, Met, PARTITION, Refused};
use crate::cases::{self, Case, Layer, Outcome};
use crate::rt::{Boot, pages, signal};
use crate::{check, report};
use causeway_abi::{GrantKind, LifeState};

/// VM 1: holds a grant that VM 3 wants.
pub(super) fn owner(_boot: &Boot) {
    let owned = bystander::offer();
    owned.hand_over();
    signal::send(3, owned.handle);
    signal::send(3, owned.area());
    let done = signal::receive_within(3, 300_000) == 1;
    let unaffected = owned.is_unaffected(LifeState::Active);
    let down = owned.take_down();
    check!(
        "hostile_args/owner_unchanged",
        done && unaffected && down,
        "{done} {unaffected} {down}"
    );
}

/// VM 2: the peer of that grant.
pub(super) fn peer(_boot: &Boot) {
    let unaffected = bystander::peer();
    check!("hostile_args/peer_unchanged", unaffected);
}

/// What VM 3 knows and has.
pub(super) struct Attacker {
    mailbox: Mailbox,
    raw: bool,
    /// VM 1's live handle.
    foreign: u64,
    /// Where VM 1's granted pages really are.
    foreign_pages: u64,
    /// A grant of this VM's own that must stay as it is.
    own: u64,
    /// A page of this VM's own that the cases use.
    page: u64,
}

/// VM 3.
pub(super) fn attacker(boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let foreign = signal::receive(1);
    let foreign_pages = signal::receive(1) - 0x4000_0000 + 0x8000_0000;
    let own = mailbox.share(pages::take(1), 1, &[PARTITION]).expect("own share");
    calls::offer(own, 0, GrantKind::Share).expect("own offer");
    let page = pages::take(2);
    let attacker = Attacker { mailbox, raw: boot.raw, foreign, foreign_pages, own, page };
    attacker.messages();
    attacker.handles();
    attacker.offers();
    attacker.descriptors();
    attacker.frames();
    attacker.ledger();
    attacker.joins();
    attacker.bus();
    attacker.garbage();
    let works = calls::revoke(attacker.own) == Ok(LifeState::Released)
        && calls::reclaim(attacker.own).is_ok()
        && attacker.one_honest_life();
    let status = if works { "Ok" } else { "Broken" };
    attacker.report(&cases::STILL_WORKING, Outcome { layer: Layer::All, status }, true);
    signal::send(1, 1);
}

impl Attacker {
    /// Reports whether this VM's own grant and list are as they were.
    fn is_unchanged(&self) -> bool {
        calls::state(self.own) == Ok(LifeState::Active) && calls::first_offer() == Ok(None)
    }

    fn one_honest_life(&self) -> bool {
        let Ok(handle) = self.mailbox.share(self.page, 2, &[PARTITION]) else {
            return false;
        };
        calls::offer(handle, 0, GrantKind::Share).is_ok()
            && calls::revoke(handle) == Ok(LifeState::Released)
            && calls::reclaim(handle).is_ok()
    }

    /// Prints a case: it passes if it met what the table says and nothing else changed.
    fn report(&self, case: &Case, met: Outcome, unchanged: bool) {
        let expected = if self.raw { case.raw } else { case.checked };
        let pass = met == expected && unchanged;
        report::case(
            case.name,
            pass,
            met,
            format_args!("expected_{expected},unchanged={unchanged}"),
        );
    }

    /// A case that is one FF-A call.
    fn ffa<T>(&self, case: &Case, met: Result<T, Refused>) {
        self.report(case, outcome(met.map_err(Met::Ffa)), self.is_unchanged());
    }

    /// A case that is one call of the partition.
    fn call<T>(&self, case: &Case, met: Result<T, Met>) {
        self.report(case, outcome(met), self.is_unchanged());
    }
}

/// What a call met; a success is what no hostile case may meet.
fn outcome<T>(met: Result<T, Met>) -> Outcome {
    match met {
        Ok(_) => Outcome { layer: Layer::All, status: "NotRefused" },
        Err(met) => met.into(),
    }
}
