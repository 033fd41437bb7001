//! Owns the second core: its start, and the calls that it makes for the first. Never decides which.

use super::{now, smc as make};
use aarch64_rt::{Stack, start_core};
use causeway_ffa::Regs;
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Pages in its stack.
const STACK_PAGES: usize = 8;
/// Its number: QEMU's machine has cores 0 and 1 in one cluster.
const CORE: u64 = 1;
/// Ticks to wait for an answer: a second at the counter's highest frequency, longer at any other.
const PATIENCE: u64 = 1_000_000_000;

#[repr(C, align(4096))]
struct Own(UnsafeCell<Stack<STACK_PAGES>>);

// SAFETY: the second core alone uses it, and nothing else looks into it.
unsafe impl Sync for Own {}

static STACK: Own = Own(UnsafeCell::new(Stack::new()));

/// The core was not started.
const OFF: u8 = 0;
/// It has nothing to do.
const IDLE: u8 = 1;
/// It is to make the call in [`WORDS`].
const ASKED: u8 = 2;
/// It made it.
const ANSWERED: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(OFF);
/// x0-x7 of the call, then of the answer.
static WORDS: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// Makes a call on the second core; `None` if it does not start or answer.
pub(super) fn smc(regs: &Regs) -> Option<Regs> {
    if STATE.load(Ordering::Acquire) == OFF {
        STATE.store(IDLE, Ordering::Release);
        // SAFETY: the stack lives for ever and is given to this core alone, which is started once: the
        // state leaves `OFF` for good. It is mapped alike on both cores, by one table.
        let started =
            unsafe { start_core::<smccc::Smc, _, STACK_PAGES>(CORE, STACK.0.get(), || serve()) };
        if started.is_err() {
            STATE.store(OFF, Ordering::Release);
            return None;
        }
    }
    for (slot, word) in WORDS.iter().zip(regs.smc8()) {
        slot.store(word, Ordering::Relaxed);
    }
    STATE.store(ASKED, Ordering::Release);
    let begin = now();
    while STATE.load(Ordering::Acquire) != ANSWERED {
        if now() - begin > PATIENCE {
            return None;
        }
        spin_loop();
    }
    STATE.store(IDLE, Ordering::Release);
    Some(Regs::from_smc8(words()))
}

fn words() -> [u64; 8] {
    core::array::from_fn(|index| WORDS[index].load(Ordering::Relaxed))
}

fn serve() -> ! {
    loop {
        if STATE.load(Ordering::Acquire) == ASKED {
            let answer = make(&Regs::from_smc8(words()));
            for (slot, word) in WORDS.iter().zip(answer.smc8()) {
                slot.store(word, Ordering::Relaxed);
            }
            STATE.store(ANSWERED, Ordering::Release);
        }
        spin_loop();
    }
}
