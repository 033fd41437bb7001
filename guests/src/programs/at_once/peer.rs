//! VM 2: takes up, rejects and lets go with both its processors at once.

use super::duel::{self, Act, Came};
use super::{MILLIS, REJECT_EVERY, SHARED_ROUNDS};
use crate::calls::{self, Mailbox, PARTITION};
use crate::check;
use crate::rt::{Boot, access, signal};
use causeway_abi::{LifeState, Status};

const REJECTS: u64 = SHARED_ROUNDS / REJECT_EVERY;
const ACCEPTS: u64 = SHARED_ROUNDS - REJECTS;
const GONE: Came = Came::Refused(Status::NoSuchGrant);

/// VM 2.
pub(in crate::programs) fn run(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    if signal::receive_within(1, MILLIS) != 1 {
        // Its second life.
        return;
    }
    duel::begin();
    let (mut accepts, mut rejects, mut releases) = (0, 0, 0);
    for round in 0..SHARED_ROUNDS {
        let handle = signal::receive_within(1, MILLIS);
        if round.is_multiple_of(REJECT_EVERY) {
            rejects += u64::from(reject(handle));
            signal::send_within(1, 2, MILLIS);
        } else {
            let taken = duel::both(Act::Accept, handle);
            accepts += u64::from(one_accepted(taken));
            releases += u64::from(let_go(&mailbox, handle));
            signal::send_within(1, 1, MILLIS);
        }
    }
    check!("at_once/one_of_two_accepts_wins", accepts == ACCEPTS, "{accepts} of {ACCEPTS}");
    check!("at_once/one_of_two_rejects_wins", rejects == REJECTS, "{rejects} of {REJECTS}");
    check!("at_once/releases_end_it_once", releases == ACCEPTS, "{releases} of {ACCEPTS}");

    let handle = signal::receive_within(1, MILLIS);
    calls::accept(handle).expect("accept");
    mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    signal::send_within(1, 1, MILLIS);
    // Killed amid these calls.
    duel::both(Act::Forever, handle);
}

fn one_accepted(came: [Came; 2]) -> bool {
    let lost = Came::Refused(Status::WrongState);
    came == [Came::Through, lost] || came == [lost, Came::Through]
}

fn reject(handle: u64) -> bool {
    let seen = calls::inspect(handle).expect("inspect");
    duel::reject_generation(seen.generation);
    let came = duel::both(Act::Reject, handle);
    came == [Came::Through, GONE] || came == [GONE, Came::Through]
}

/// Marks the area, at which VM 1 revokes; unmaps, and releases with both processors. Whoever comes
/// last finds nothing.
fn let_go(mailbox: &Mailbox, handle: u64) -> bool {
    let address = mailbox.retrieve(1, handle, &[PARTITION, 2]).expect("retrieve");
    access::write_u64(address, 1);
    mailbox.relinquish(handle).expect("relinquish");
    let came = duel::both(Act::Release, handle);
    let released = Came::To(LifeState::Released);
    let one = came == [released, GONE] || came == [GONE, released];
    // VM 1's revoke, or the unmapping after it, may have ended it before.
    let none = came == [GONE, GONE];
    (one || none) && calls::state(handle) == Err(calls::Met::Status(Status::NoSuchGrant))
}
