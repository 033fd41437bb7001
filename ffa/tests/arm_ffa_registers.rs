//! Differential fuzzing of registers against arm-ffa 0.5: random register files of every function, from
//! a fixed seed. Whatever one side takes and the other refuses needs a reason here; a difference
//! without one is a finding. For descriptors the fuzz target of that name does the same.
//!
//! At 1.2: at older versions some files stop arm-ffa (`arm_ffa_defects.rs`).
#![cfg(not(miri))]

use arm_ffa::Interface;
use causeway_ffa::call::{DecodeError, RareCall};
use causeway_ffa::{Answer, Call, FuncId, Regs, Version};

const FILES: u32 = 200_000;

/// A small generator (xorshift64), so that each run sees the same files.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        let count = u64::try_from(list.len()).unwrap();
        list[usize::try_from(self.next() % count).unwrap()]
    }

    /// Half of the registers are zero, as most are in a call; the others small, whole, or a page.
    fn file(&mut self) -> Regs {
        let mut regs = Regs::ZERO;
        for register in &mut regs.0 {
            let word = self.next();
            *register = match self.next() % 8 {
                0..=3 => 0,
                4 => word & 0xff,
                5 => word & 0xffff_ffff,
                6 => (word & 0xffff_ffff) << 12,
                _ => word,
            };
        }
        regs.0[0] = u64::from(self.pick(FuncId::ALL).raw());
        regs
    }
}

/// Why arm-ffa takes what we refuse so.
const fn they_take(error: DecodeError) -> Option<&'static str> {
    match error {
        DecodeError::UpperHalf { .. } => Some("it cuts w registers off where we refuse (KB-08)"),
        DecodeError::Reserved { .. } => Some("it does not look at most reserved bits (KB-08)"),
        DecodeError::BadField { .. } => {
            Some("it hands on pages, counts and lengths that are none (KB-02)")
        }
        DecodeError::OwnBuffer => Some("descriptors in other buffers than TX are not ours to read"),
        DecodeError::NotServed(_) => Some("nobody here makes or serves the function"),
        DecodeError::UnknownFunction { .. }
        | DecodeError::NotInVersion(_)
        | DecodeError::WrongDirection(_) => None,
    }
}

/// Why arm-ffa refuses what we take.
#[expect(clippy::wildcard_enum_match_arm, reason = "a list of the few that differ")]
const fn we_take(func: FuncId) -> Option<&'static str> {
    match func {
        FuncId::Error => Some("a code that is not known yet is kept as a number"),
        FuncId::MemPermGet32 | FuncId::MemPermGet64 => Some("it reads the page count of 1.3 in w2"),
        FuncId::MsgWait => Some("w1 and w2 are not used by 1.1, and not looked at"),
        FuncId::Version => {
            Some("every version can be asked for; the answer says whether we have it")
        }
        _ => None,
    }
}

/// What we make of the registers: something, or why not.
fn ours(regs: &Regs) -> Result<(), DecodeError> {
    let call = Call::decode(regs, Version::V1_2).map(|_| ());
    let answer = Answer::decode(regs, Version::V1_2).map(|_| ());
    let rare = RareCall::decode(regs, Version::V1_2).map(|_| ());
    let either = [call, answer, rare];
    if either.iter().any(Result::is_ok) {
        return Ok(());
    }
    // The side that knows the function says why.
    let says_why = |met: &Result<(), DecodeError>| {
        !matches!(met, Err(DecodeError::WrongDirection(_) | DecodeError::NotServed(_)))
    };
    either.into_iter().find(says_why).unwrap_or(call)
}

#[test]
fn registers_that_one_side_alone_takes_have_a_reason() {
    let mut random = Random(1);
    let (mut both, mut neither, mut we, mut they) = (0, 0, 0, 0);
    for _ in 0..FILES {
        let regs = random.file();
        let func = regs.func().unwrap();
        let theirs = Interface::from_regs(arm_ffa::Version(1, 2), &regs.0);
        match (ours(&regs), theirs) {
            (Ok(()), Ok(_)) => both += 1,
            (Err(_), Err(_)) => neither += 1,
            (Ok(()), Err(error)) => {
                we += 1;
                assert!(we_take(func).is_some(), "we take {} {regs:x?}: {error}", func.name());
            }
            (Err(error), Ok(read)) => {
                they += 1;
                assert!(they_take(error).is_some(), "they take {read:?}, we say {error:?}");
            }
        }
    }
    println!("taken by both {both}, by neither {neither}, by us {we}, by arm-ffa {they}");
    assert!([both, neither, we, they].into_iter().all(|count| count > FILES / 100));
}
