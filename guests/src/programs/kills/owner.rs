//! VM 2 of the deaths: leads two grants to a step, waits for its end or its peer's, and looks what
//! is left. Never trusts that a new life is clean: it looks before it touches.

use super::{MILLIS, PAIR, PEER, Wrong, order};
use crate::calls::{self, Mailbox, Met, PARTITION, Refused};
use crate::deaths::Step;
use crate::descriptor::Descriptor;
use crate::rt::{Boot, access, layout, pages, signal};
use causeway_abi::{GrantKind, LifeState, Status};
use causeway_ffa::FfaError;

/// Grants that policy allows VM 2 to VM 3 at once (manifests/qemu-el3.dts).
pub(super) const QUOTA: u64 = 16;
const SEED: u64 = 0xdead_0000;
/// Ranges of a send that needs more than one fragment.
const LONG: u64 = 300;
/// Bytes of the fragment that is sent of it.
const FRAGMENT: usize = 4096;

const NONE: Result<LifeState, Met> = Err(Met::Status(Status::NoSuchGrant));

struct Owner {
    mailbox: Mailbox,
    /// Whether this life found its memory empty.
    clean: bool,
    areas: [u64; PAIR],
    /// Room for the ranges of a long send, and for filling the quota.
    long: u64,
    handles: [u64; PAIR],
    step: Step,
}

/// VM 2.
pub(in crate::programs) fn run(_boot: &Boot) {
    let words = 0..64 * layout::PAGE_LEN / 8;
    let clean = words.map(|word| pages::start() + word * 8).all(|at| access::read_u64(at) == 0);
    let mut owner = Owner {
        areas: [pages::take(1), pages::take(1)],
        long: pages::take(2 * LONG),
        mailbox: Mailbox::open().expect("mailbox"),
        clean,
        handles: [0; PAIR],
        step: Step::Shared,
    };
    loop {
        let word = signal::receive_within(1, MILLIS);
        // A peer that was started anew is to be heard again.
        signal::open();
        match word {
            order::END => return,
            order::FILL => signal::send(1, owner.fill_quota()),
            order::PROBE => {
                let handles = [signal::receive(1), signal::receive(1)];
                signal::send(1, owner.probe(handles));
            }
            _ if word == order::RECLAIM[0] => signal::send(1, owner.reclaim(0)),
            _ if word == order::RECLAIM[1] => signal::send(1, owner.reclaim(1)),
            _ => {
                let step = Step::from_code(word.wrapping_sub(order::STEP)).expect("a step");
                owner.lead_to(step);
                owner.handles.iter().for_each(|handle| signal::send(1, *handle));
            }
        }
    }
}

impl Owner {
    fn lead_to(&mut self, step: Step) {
        self.step = step;
        for index in 0..PAIR {
            pages::fill(self.areas[index], 1, SEED);
            self.handles[index] = self.share(step, self.areas[index]);
            if step.is_offered() {
                calls::offer(self.handles[index], PEER, GrantKind::Share).expect("offer");
            }
            signal::send(PEER, self.handles[index]);
        }
        assert_eq!(signal::receive_within(PEER, MILLIS), 1, "VM 3 came so far");
        if step == Step::Revoked {
            for handle in self.handles {
                assert_eq!(calls::revoke(handle), Ok(LifeState::Releasing), "revoked");
            }
        }
    }

    /// Shares a page; for a half-sent step begins a long send, whose other fragments never come.
    fn share(&self, step: Step, area: u64) -> u64 {
        if step != Step::HalfSent {
            return self.mailbox.share(area, 1, &[PARTITION, PEER]).expect("share");
        }
        // The two sends of a round name different pages.
        let odd = u64::from(area != self.areas[0]);
        let page = |index: u64| self.long + (2 * index + odd) * layout::PAGE_LEN;
        let ranges: alloc::vec::Vec<_> = (0..LONG).map(|index| (page(index), 1)).collect();
        let bytes = Descriptor::send(2, &[PARTITION, PEER], &ranges).bytes();
        let len = u64::try_from(bytes.len()).unwrap_or(0);
        self.mailbox.write(&bytes[..FRAGMENT]);
        let sent =
            calls::ffa([calls::id::SHARE, len, 4096, 0, 0, 0, 0, 0]).expect("first fragment");
        calls::half_sent(&sent)
    }

    /// The peer is dead, or runs anew: nobody maps the grant, so its pages come back at once.
    fn reclaim(&self, index: usize) -> u64 {
        let (handle, area) = (self.handles[index], self.areas[index]);
        let mut wrong = Wrong::default();
        wrong.unless(calls::state(handle) == NONE, 0);
        let met = calls::reclaim(handle);
        wrong.unless(met.is_ok(), 1);
        // The pages are free: they can be granted again.
        let again = self.mailbox.share(area, 1, &[PARTITION]);
        wrong.unless(again.is_ok_and(|handle| calls::reclaim(handle).is_ok()), 2);
        wrong.unless(pages::holds(area, 1, SEED), 3);
        wrong.0
    }

    /// A new life: no content, no offers, and the last life's handles name nothing.
    fn probe(&self, handles: [u64; PAIR]) -> u64 {
        let mut wrong = Wrong::default();
        wrong.unless(self.clean, 0);
        wrong.unless(calls::first_offer() == Ok(None), 1);
        for handle in handles {
            wrong.unless(calls::state(handle) == NONE, 2);
            wrong.unless(calls::revoke(handle) == NONE, 3);
            let offered = calls::offer(handle, PEER, GrantKind::Share);
            wrong.unless(offered == Err(Met::Status(Status::NoSuchGrant)), 4);
            wrong.unless(is_unknown(calls::reclaim(handle)), 5);
            wrong.unless(is_unknown(self.mailbox.relinquish(handle)), 6);
        }
        wrong.0
    }

    /// Offers page after page until the partition refuses one; takes all back.
    fn fill_quota(&self) -> u64 {
        let mut handles = alloc::vec::Vec::new();
        let mut refused = None;
        for index in 0..2 * QUOTA {
            let area = self.long + index * layout::PAGE_LEN;
            let handle = self.mailbox.share(area, 1, &[PARTITION, PEER]).expect("share");
            if let Err(met) = calls::offer(handle, PEER, GrantKind::Share) {
                calls::reclaim(handle).expect("the refused one comes back");
                refused = Some(met);
                break;
            }
            handles.push(handle);
        }
        let count = u64::try_from(handles.len()).unwrap_or(u64::MAX);
        let all_back = handles
            .into_iter()
            .all(|handle| calls::revoke(handle).is_ok() && calls::reclaim(handle).is_ok());
        let by_quota = refused == Some(Met::Status(Status::QuotaGrants));
        if by_quota && all_back { count } else { u64::MAX }
    }
}

/// Whether the monitor said that it knows no such handle.
fn is_unknown<T>(met: Result<T, Refused>) -> bool {
    met.is_err_and(|refused| refused.error == FfaError::InvalidParameters)
}
