//! VM 3 of the deaths: takes two offers to a step, lets go when their owner dies, and looks what is
//! left. Never lets go before it is told.

use super::{MILLIS, OWNER, PAIR, Wrong, order};
use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::deaths::Step;
use crate::rt::{Boot, access, pages, signal, time};
use causeway_abi::{Call, LifeState, Status};

const SEED: u64 = 0xdead_0000;
const NONE: Result<LifeState, Met> = Err(Met::Status(Status::NoSuchGrant));
const BORROWERS: [u16; 2] = [PARTITION, super::PEER];

struct Peer {
    mailbox: Mailbox,
    handles: [u64; PAIR],
    /// Where they are mapped.
    addresses: [Option<u64>; PAIR],
    step: Step,
}

/// VM 3.
pub(in crate::programs) fn run(_boot: &Boot) {
    let mut peer = Peer {
        mailbox: Mailbox::open().expect("mailbox"),
        handles: [0; PAIR],
        addresses: [None; PAIR],
        step: Step::Shared,
    };
    loop {
        let word = signal::receive_within(1, MILLIS);
        // An owner that was started anew is to be heard again.
        signal::open();
        match word {
            order::END => return,
            order::LET_GO => signal::send(1, peer.let_go()),
            order::PROBE => {
                let handles = [signal::receive(1), signal::receive(1)];
                signal::send(1, peer.probe(handles));
            }
            _ => {
                let step = Step::from_code(word.wrapping_sub(order::STEP)).expect("a step");
                signal::send(1, word);
                peer.follow_to(step);
                signal::send_within(OWNER, 1, MILLIS);
                signal::send_within(1, word, MILLIS);
            }
        }
    }
}

impl Peer {
    fn follow_to(&mut self, step: Step) {
        self.step = step;
        for index in 0..PAIR {
            let handle = signal::receive_within(OWNER, MILLIS);
            self.handles[index] = handle;
            self.addresses[index] = self.take_to(step, handle);
        }
    }

    /// Takes one offer to the step; returns where it is mapped then.
    fn take_to(&self, step: Step, handle: u64) -> Option<u64> {
        let map = || {
            calls::accept(handle).expect("accept");
            let address = self.mailbox.retrieve(OWNER, handle, &BORROWERS).expect("retrieve");
            assert!(pages::holds(address, 1, SEED), "the owner's content");
            address
        };
        let let_go = || self.mailbox.relinquish(handle).expect("relinquish");
        match step {
            Step::Shared | Step::HalfSent | Step::Offered => None,
            Step::Inspected => calls::inspect(handle).map(|_| None).expect("inspect"),
            Step::Rejected => {
                let seen = calls::inspect(handle).expect("inspect");
                let generation = seen.generation;
                let reject = Call::Reject { handle: calls::name(handle), generation };
                calls::partition(&reject).map(|_| None).expect("reject")
            }
            Step::Accepted => calls::accept(handle).map(|_| None).expect("accept"),
            Step::Mapped | Step::Revoked => Some(map()),
            Step::ReleasedFalsely => {
                let address = map();
                assert_eq!(calls::release(handle), Ok(LifeState::Releasing), "a lie");
                Some(address)
            }
            Step::Unmapped => {
                map();
                let_go();
                None
            }
            Step::Released => {
                map();
                let_go();
                assert_eq!(calls::release(handle), Ok(LifeState::Released), "released");
                None
            }
        }
    }

    /// The owner is dying. What this VM maps stays as it is until it lets go; then nothing is left.
    fn let_go(&mut self) -> u64 {
        let mut wrong = Wrong::default();
        for (handle, address) in self.handles.into_iter().zip(self.addresses) {
            let mut state = Ok(LifeState::Active);
            // The owner's end reaches the partition while this VM looks.
            let seen = time::wait_until(5000, || {
                state = calls::state(handle);
                matches!(state, Ok(LifeState::Releasing | LifeState::AwaitingUnmap) | NONE)
            });
            wrong.unless(seen, 0);
            if let Some(address) = address {
                self.unmap(handle, address, state, &mut wrong);
            }
            let gone = time::wait_until(5000, || calls::state(handle) == NONE);
            wrong.unless(gone, 4);
            let late = calls::inspect(handle);
            wrong.unless(late == Err(Met::Status(Status::NoSuchGrant)), 5);
            wrong.unless(self.mailbox.retrieve(OWNER, handle, &BORROWERS).is_err(), 6);
        }
        wrong.0
    }

    fn unmap(&self, handle: u64, address: u64, state: Result<LifeState, Met>, wrong: &mut Wrong) {
        if state == NONE {
            // Unmapped by force: this VM was too late, and cannot let go of what it does not have.
            wrong.unless(self.mailbox.relinquish(handle).is_err(), 1);
            return;
        }
        wrong.unless(pages::holds(address, 1, SEED), 2);
        access::write_u64(address, !SEED);
        wrong.unless(access::read_u64(address) == !SEED, 2);
        access::write_u64(address, SEED);
        wrong.unless(self.mailbox.relinquish(handle).is_ok(), 3);
        let released = calls::release(handle);
        wrong.unless(matches!(released, Ok(LifeState::Released) | NONE), 3);
    }

    /// A new life: no offers, and the last life's handles name nothing, even while their owner
    /// still has them.
    fn probe(&self, handles: [u64; PAIR]) -> u64 {
        let mut wrong = Wrong::default();
        wrong.unless(calls::first_offer() == Ok(None), 1);
        for handle in handles {
            wrong.unless(calls::state(handle) == NONE, 2);
            let seen = calls::inspect(handle);
            wrong.unless(seen == Err(Met::Status(Status::NoSuchGrant)), 3);
            wrong.unless(calls::release(handle) == NONE, 4);
            wrong.unless(self.mailbox.retrieve(OWNER, handle, &BORROWERS).is_err(), 5);
            wrong.unless(self.mailbox.relinquish(handle).is_err(), 6);
        }
        wrong.0
    }
}
