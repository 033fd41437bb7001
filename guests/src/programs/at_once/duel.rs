//! Owns how both processors of this VM do one thing at the same time, and what each of them met.
//! Never decides what they may meet.

use super::wild;
use crate::calls::{self, Met};
use crate::rt::{access, thread};
use causeway_abi::{Call, GrantKind, LifeState, Status};
use core::sync::atomic::{AtomicU64, Ordering};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// OFFER to the partition alone.
    Offer,
    /// REVOKE.
    Revoke,
    /// STATE.
    State,
    /// INSPECT and ACCEPT.
    Accept,
    /// REJECT of generation 1.
    Reject,
    /// RELEASE.
    Release,
    /// Waits until the word at the address `place` is not 0, then REVOKE.
    RevokeAfterMark,
    /// Many calls about many handles.
    Wild,
    /// Calls about the handle, for ever.
    Forever,
    /// Nothing more.
    Stop,
}

const ACTS: [Act; 10] = [
    Act::Offer,
    Act::Revoke,
    Act::State,
    Act::Accept,
    Act::Reject,
    Act::Release,
    Act::RevokeAfterMark,
    Act::Wild,
    Act::Forever,
    Act::Stop,
];

/// The order for the second processor, and its answer.
static ACT: AtomicU64 = AtomicU64::new(0);
static HANDLE: AtomicU64 = AtomicU64::new(0);
static PLACE: AtomicU64 = AtomicU64::new(0);
static GENERATION: AtomicU64 = AtomicU64::new(0);
static ANSWER: AtomicU64 = AtomicU64::new(0);
/// Orders given, and orders carried out.
static GIVEN: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It succeeded, with this state where it tells one.
    To(LifeState),
    /// It succeeded.
    Through,
    /// The partition refused.
    Refused(Status),
    /// Anything else.
    Astray,
}

impl Came {
    fn of_state(met: Result<LifeState, Met>) -> Self {
        met.map_or_else(Self::of_refusal, Self::To)
    }

    fn of<T>(met: Result<T, Met>) -> Self {
        met.map_or_else(Self::of_refusal, |_| Self::Through)
    }

    const fn of_refusal(met: Met) -> Self {
        match met {
            Met::Status(status) => Self::Refused(status),
            Met::Ffa(_) | Met::Malformed => Self::Astray,
        }
    }

    fn to_word(self) -> u64 {
        match self {
            Self::To(state) => u64::from(state.code()),
            Self::Through => 0x100,
            Self::Refused(status) => 0x200 | u64::from(status.code()),
            Self::Astray => 0x300,
        }
    }

    fn from_word(word: u64) -> Self {
        let [low, high, ..] = word.to_le_bytes();
        match high {
            0 => LifeState::from_code(low).map_or(Self::Astray, Self::To),
            1 => Self::Through,
            2 => Status::from_code(u16::from(low)).map_or(Self::Astray, Self::Refused),
            _ => Self::Astray,
        }
    }
}

/// Starts the second processor, which waits for orders.
pub(super) fn begin() {
    assert!(thread::start(follow), "the VM has a second processor");
}

/// Both processors do this at once; returns what the first and the second met.
pub(super) fn both(act: Act, handle: u64) -> [Came; 2] {
    order(act, handle);
    let mine = carry_out(act, handle, 0);
    [mine, answer()]
}

/// Tells the second processor alone.
pub(super) fn order(act: Act, handle: u64) {
    let code = ACTS.iter().position(|known| *known == act).unwrap_or(0);
    ACT.store(u64::try_from(code).unwrap_or(0), Ordering::Relaxed);
    HANDLE.store(handle, Ordering::Relaxed);
    GIVEN.fetch_add(1, Ordering::Release);
}

/// Where the mark of [`Act::RevokeAfterMark`] is.
pub(super) fn mark_at(place: u64) {
    PLACE.store(place, Ordering::Relaxed);
}

/// Which generation [`Act::Reject`] names.
pub(super) fn reject_generation(generation: u32) {
    GENERATION.store(u64::from(generation), Ordering::Relaxed);
}

/// Waits for what the second processor met.
pub(super) fn answer() -> Came {
    while DONE.load(Ordering::Acquire) != GIVEN.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
    Came::from_word(ANSWER.load(Ordering::Relaxed))
}

/// The second processor.
fn follow() {
    for number in 1.. {
        while GIVEN.load(Ordering::Acquire) != number {
            core::hint::spin_loop();
        }
        let code = usize::try_from(ACT.load(Ordering::Relaxed)).unwrap_or(0);
        let act = ACTS.get(code).copied().unwrap_or(Act::Stop);
        let came = carry_out(act, HANDLE.load(Ordering::Relaxed), 1);
        ANSWER.store(came.to_word(), Ordering::Relaxed);
        DONE.store(number, Ordering::Release);
        if act == Act::Stop {
            return;
        }
    }
}

fn carry_out(act: Act, handle: u64, processor: usize) -> Came {
    match act {
        Act::Offer => Came::of(calls::offer(handle, 0, GrantKind::Share)),
        Act::Revoke => Came::of_state(calls::revoke(handle)),
        Act::State => Came::of_state(calls::state(handle)),
        Act::Accept => Came::of(calls::accept(handle)),
        Act::Reject => {
            let generation = u32::try_from(GENERATION.load(Ordering::Relaxed)).unwrap_or(0);
            let call = Call::Reject { handle: calls::name(handle), generation };
            Came::of(calls::partition(&call))
        }
        Act::Release => Came::of_state(calls::release(handle)),
        Act::RevokeAfterMark => {
            let place = PLACE.load(Ordering::Relaxed);
            while access::read_u64(place) == 0 {
                core::hint::spin_loop();
            }
            Came::of_state(calls::revoke(handle))
        }
        Act::Wild => {
            wild::run(processor);
            Came::Through
        }
        Act::Forever => loop {
            // What they come to is of no interest: the VM is killed amid them.
            let _met = calls::state(handle);
            let _met = calls::inspect(handle);
            let _met = calls::first_offer();
        },
        Act::Stop => Came::Through,
    }
}
