//! Owns the wild phase: both processors make calls about the same few handles as fast as they can, and
//! each notes what it saw and when. Never judges by itself what it noted: `crate::linear` does.

use crate::calls::{self, Met};
use crate::linear::{Seeing, Seen, is_linear, overlapping};
use crate::prng::Prng;
use crate::rt::time;
use alloc::vec::Vec;
use causeway_abi::{GrantKind, LifeState, Status};
use core::sync::atomic::{AtomicU64, Ordering};

/// Handles that are offered and revoked again and again.
pub(super) const HANDLES: usize = 4;
/// Calls of each processor.
pub(super) const CALLS: usize = 3000;

static NAMES: [AtomicU64; HANDLES] = [const { AtomicU64::new(0) }; HANDLES];

/// What one processor noted: before the call, after it, and `handle << 8 | what` (0: a wrong answer).
type Notes = [[AtomicU64; 3]; CALLS];
static NOTES: [Notes; 2] = [const { [const { [const { AtomicU64::new(0) }; 3] }; CALLS] }; 2];

const SEEN: [Seen; 4] = [Seen::Began, Seen::Ended, Seen::Lives, Seen::Absent];

/// Names the handles, before both begin.
pub(super) fn name(handles: [u64; HANDLES]) {
    for (place, handle) in NAMES.iter().zip(handles) {
        place.store(handle, Ordering::Relaxed);
    }
}

/// One processor's part.
pub(super) fn run(processor: usize) {
    let mut prng = Prng::new(if processor == 0 { 0xa70c } else { 0xb1ce });
    let Some(notes) = NOTES.get(processor) else { return };
    for note in notes {
        let which = prng.below(4);
        let handle = usize::try_from(which).ok().and_then(|at| NAMES.get(at));
        let handle = handle.map_or(0, |name| name.load(Ordering::Relaxed));
        let start = time::ticks();
        let seen = match prng.below(3) {
            0 => offered(calls::offer(handle, 0, GrantKind::Share).map(|_| ())),
            1 => revoked(calls::revoke(handle)),
            _ => stated(calls::state(handle)),
        };
        let end = time::ticks();
        let what = seen.and_then(|seen| SEEN.iter().position(|known| *known == seen));
        let what = what.and_then(|at| u64::try_from(at + 1).ok()).unwrap_or(0);
        for (word, value) in note.iter().zip([start, end, which << 8 | what]) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

fn offered(met: Result<(), Met>) -> Option<Seen> {
    match met {
        Ok(()) => Some(Seen::Began),
        Err(Met::Status(Status::WrongState)) => Some(Seen::Lives),
        Err(_) => None,
    }
}

fn revoked(met: Result<LifeState, Met>) -> Option<Seen> {
    match met {
        Ok(LifeState::Released) => Some(Seen::Ended),
        Err(Met::Status(Status::NoSuchGrant)) => Some(Seen::Absent),
        Ok(_) | Err(_) => None,
    }
}

fn stated(met: Result<LifeState, Met>) -> Option<Seen> {
    match met {
        Ok(LifeState::Active) => Some(Seen::Lives),
        Err(Met::Status(Status::NoSuchGrant)) => Some(Seen::Absent),
        Ok(_) | Err(_) => None,
    }
}

/// What both noted, judged.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Handles whose answers have one order that ends where the handle now stands.
    pub(super) linear: usize,
    /// Answers that no call may give.
    pub(super) wrong: usize,
    /// Grants that began, and that ended, over all handles.
    pub(super) began: usize,
    pub(super) ended: usize,
    /// Calls that met one of the other processor.
    pub(super) met: usize,
    /// Handles under which a grant lives now.
    pub(super) live: usize,
}

/// Judges what both noted; `lives` says whether a grant lives under a handle now.
pub(super) fn judge(lives: impl Fn(u64) -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    for (which, name) in (0_u64..).zip(&NAMES) {
        let [first, second] = [0, 1].map(|processor| notes(processor, which));
        let both = || first.iter().chain(&second).map(|(seeing, _)| seeing);
        verdict.wrong += first.iter().chain(&second).filter(|(_, good)| !good).count();
        verdict.began += both().filter(|step| step.seen == Seen::Began).count();
        verdict.ended += both().filter(|step| step.seen == Seen::Ended).count();
        let [first, second] = [first, second].map(|all| all.into_iter().map(|(step, _)| step));
        let (first, second): (Vec<_>, Vec<_>) = (first.collect(), second.collect());
        verdict.met += overlapping(&first, &second);
        let live = lives(name.load(Ordering::Relaxed));
        verdict.live += usize::from(live);
        verdict.linear += usize::from(is_linear(&first, &second, live));
    }
    verdict
}

/// What a processor noted about one handle, in order, and whether the answer was one that may be.
fn notes(processor: usize, which: u64) -> Vec<(Seeing, bool)> {
    let all = NOTES.get(processor).into_iter().flatten();
    let words = all.map(|note| [0, 1, 2].map(|at| note[at].load(Ordering::Relaxed)));
    words
        .filter(|[_, _, what]| what >> 8 == which)
        .map(|[start, end, what]| {
            let known =
                usize::try_from(what & 0xff).ok().and_then(|at| SEEN.get(at.wrapping_sub(1)));
            (Seeing { start, end, seen: known.copied().unwrap_or(Seen::Lives) }, known.is_some())
        })
        .collect()
}
