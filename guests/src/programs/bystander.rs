//! An honest grant between VM 1 and VM 2 that a hostile VM 3 must not touch: set up, watched, taken
//! down. Never makes a hostile call itself.

use super::lock::reclaim_denied;
use crate::calls::{self, Mailbox, PARTITION};
use crate::rt::{pages, signal};
use causeway_abi::{GrantKind, LifeState};

const SEED: u64 = 0xb57a_4de4;
const PAGES: u32 = 3;

/// What VM 1 holds.
pub(super) struct Owned {
    mailbox: Mailbox,
    area: u64,
    /// The grant that VM 3 will try to get at.
    pub(super) handle: u64,
}

/// First step of VM 1: the grant is offered to VM 2.
pub(super) fn offer() -> Owned {
    let mailbox = Mailbox::open().expect("mailbox");
    let area = pages::take(PAGES.into());
    pages::fill(area, PAGES.into(), SEED);
    let handle = mailbox.share(area, PAGES, &[PARTITION, 2]).expect("share");
    calls::offer(handle, 2, GrantKind::Share).expect("offer");
    Owned { mailbox, area, handle }
}

impl Owned {
    /// VM 1's address of the granted pages.
    pub(super) const fn area(&self) -> u64 {
        self.area
    }

    /// Lets VM 2 take the grant up.
    pub(super) fn hand_over(&self) {
        signal::send(2, self.handle);
        assert_eq!(signal::receive(2), 1, "VM 2 maps the grant");
    }

    /// Reports whether the grant is as it was, its memory too, and the lock holds.
    pub(super) fn is_unaffected(&self, expected: LifeState) -> bool {
        calls::state(self.handle) == Ok(expected)
            && pages::holds(self.area, PAGES.into(), SEED)
            && reclaim_denied(self.handle).0
            // Nothing was granted to VM 1 behind its back.
            && calls::first_offer() == Ok(None)
    }

    /// Ends the grant; true if VM 2 let go and the reclaim succeeded, and a new grant works.
    pub(super) fn take_down(self) -> bool {
        signal::send(2, 0);
        assert_eq!(signal::receive(2), 2, "VM 2 let go");
        let reclaimed = calls::reclaim(self.handle);
        let again = self.mailbox.share(self.area, PAGES, &[PARTITION]).expect("share again");
        calls::offer(again, 0, GrantKind::Share).expect("offer again");
        calls::revoke(again).expect("revoke again");
        reclaimed.is_ok() && calls::reclaim(again).is_ok()
    }
}

/// All of VM 2: takes the grant up, waits, and tells whether it found everything as it was.
pub(super) fn peer() -> bool {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    calls::accept(handle).expect("accept");
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    signal::send(1, 1);
    assert_eq!(signal::receive(1), 0, "VM 1 takes the grant down");
    let unaffected =
        calls::state(handle) == Ok(LifeState::Active) && pages::holds(address, PAGES.into(), SEED);
    mailbox.relinquish(handle).expect("relinquish");
    calls::release(handle).expect("release");
    signal::send(1, 2);
    unaffected
}
