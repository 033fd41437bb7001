//! Two VMs on two cores call the partition at the same time; each gets the answers to its own
//! calls. Never proves that calls overlap instruction by instruction: it shows that both VMs were
//! calling without a pause over the same stretch of time.

use crate::calls::{self, Mailbox, Met, PARTITION};
use crate::check;
use crate::rt::{Boot, pages, signal, time};
use causeway_abi::{Call, CallId, GrantKind, LifeState, Status};

const ROUNDS: u32 = 2000;
/// One round in so many makes and ends a grant.
const LIFE_EVERY: u32 = 16;

/// The other VM may be much slower under emulation on a busy machine.
const MILLIS: u64 = 120_000;

/// What one VM met.
struct Run {
    wrong: u32,
    begin: u64,
    end: u64,
}

/// VM 1.
pub(super) fn first(_boot: &Boot) {
    let run = run(3);
    let their_begin = signal::receive_within(3, MILLIS);
    let their_end = signal::receive(3);
    check!("two_cores/vm1_answers_are_its_own", run.wrong == 0, "{} wrong answers", run.wrong);
    let common = run.end.min(their_end).saturating_sub(run.begin.max(their_begin));
    let shorter = (run.end - run.begin).min(their_end.saturating_sub(their_begin));
    let overlapped = common > shorter / 2;
    check!("two_cores/calls_overlapped_in_time", overlapped, "{common} of {shorter} us");
}

/// VM 3.
pub(super) fn second(_boot: &Boot) {
    let run = run(1);
    // VM 1 takes this when it is through; until then it does not look.
    signal::send_within(1, run.begin, MILLIS);
    signal::send(1, run.end);
    check!("two_cores/vm3_answers_are_its_own", run.wrong == 0, "{} wrong answers", run.wrong);
}

fn run(other: u16) -> Run {
    let mailbox = Mailbox::open().expect("mailbox");
    let own = grant(&mailbox, pages::take(2));
    let foreign = if other == 3 {
        signal::send(other, own);
        signal::receive(other)
    } else {
        let foreign = signal::receive(other);
        signal::send(other, own);
        foreign
    };
    let spare = pages::take(2);
    let generation = calls::partition(&Call::State { handle: calls::name(own) }).map(|r| r[1]);
    let begin = time::now_micros();
    let mut wrong = 0;
    for round in 0..ROUNDS {
        let state = calls::partition(&Call::State { handle: calls::name(own) });
        let active = u64::from(LifeState::Active.code());
        let good = matches!(state, Ok([s, g, 0, 0]) if s == active && Ok(g) == generation)
            && calls::state(foreign) == Err(Met::Status(Status::NoSuchGrant))
            && feature(round)
            && calls::first_offer() == Ok(None)
            && (!round.is_multiple_of(LIFE_EVERY) || whole_life(&mailbox, spare));
        wrong += u32::from(!good);
    }
    let end = time::now_micros();
    calls::revoke(own).expect("revoke");
    calls::reclaim(own).expect("reclaim");
    Run { wrong, begin, end }
}

fn grant(mailbox: &Mailbox, area: u64) -> u64 {
    let handle = mailbox.share(area, 2, &[PARTITION]).expect("share");
    calls::offer(handle, 0, GrantKind::Share).expect("offer");
    handle
}

/// Asks for another call number in each round, so that an answer that went astray shows.
fn feature(round: u32) -> bool {
    let [number, ..] = round.to_le_bytes();
    let exists = u64::from(CallId::from_number(number).is_some());
    let met = calls::partition(&Call::Features { call_number: number });
    met == Ok([exists, 0, 0, 0])
}

fn whole_life(mailbox: &Mailbox, area: u64) -> bool {
    let handle = grant(mailbox, area);
    calls::state(handle) == Ok(LifeState::Active)
        && calls::revoke(handle) == Ok(LifeState::Released)
        && calls::reclaim(handle).is_ok()
}
