//! Owns the way of a call through 32-bit words: a frame in numbered parts, put together for each
//! caller alone. Never decides what a call means, and commits nothing before the last part is there.
//!
//! An SPMC may hand a partition no more than 32 bits of each payload word (OP-TEE 4.10 does:
//! `__thread_alloc_and_run` in core/arch/arm/kernel/thread.c takes `uint32_t`). A frame then takes two
//! messages. In part 1 and in part 2, word 0 is the frame's call word with the part's number in bits
//! 15:8; words 1-4 hold two arguments, each as its lower half, then its upper. The answer to part 1
//! has that same call word with [`Status::Ok`] in bits 31:16 and nothing else; the answer to part 2 is
//! the call's own, in whole words: on the way back nothing is cut.
//!
//! VERSION and FEATURES may come whole (part 0): their arguments fit, and they are how a caller finds
//! out. Any other whole frame is refused, since nobody can tell what was cut off it.
//!
//! ```
//! use causeway_abi::parts::{Arrived, Joiner, is_taken, split};
//! use causeway_abi::Call;
//! use causeway_ffa::{EndpointId, MemHandle};
//!
//! let vm = EndpointId::from_raw(1);
//! // A handle of OP-TEE has bit 45 set, and does not fit into 32 bits.
//! let revoke = Call::Revoke { handle: MemHandle::new(1 << 45 | 3).unwrap() }.encode();
//! let [one, two] = split(&revoke).unwrap();
//!
//! let mut partition = Joiner::new(1000);
//! assert!(partition.know(vm));
//! let Arrived::Answer(answer) = partition.take(vm, &one, 0) else { panic!("it waits for more") };
//! assert!(is_taken(&answer, &revoke));
//! assert_eq!(partition.take(vm, &two, 5), Arrived::Whole(revoke));
//! ```

use crate::{CallId, Frame, Reply, Status};
use causeway_ffa::EndpointId;

/// Parts of a frame.
pub const PARTS: u8 = 2;
/// Callers whose parts can wait at once.
pub const MAX_CALLERS: usize = 16;
/// How long the first part waits for the second, in milliseconds.
pub const PART_LIFE_MS: u64 = 1000;

/// Cuts a frame into its parts. `None` for what is no whole frame of a call.
#[must_use]
pub fn split(frame: &Frame) -> Option<[Frame; 2]> {
    let [word, a, b, c, d] = *frame;
    let [number, part, ..] = word.to_le_bytes();
    if word >> 32 != 0 || part != 0 || is_bus(number) {
        return None;
    }
    let halves = |x: u64| [x & LOW, x >> 32];
    let one = |part: u64, x, y| {
        let ([p, q], [r, s]) = (halves(x), halves(y));
        [word | part << 8, p, q, r, s]
    };
    Some([one(1, a, b), one(2, c, d)])
}

/// Reports whether an answer says that the first part of `frame` waits for the second.
#[must_use]
pub fn is_taken(answer: &Frame, frame: &Frame) -> bool {
    *answer == taken(frame[0])
}

const LOW: u64 = 0xffff_ffff;

/// A first byte of 0-3 is a virtio-msg message, which has no parts.
const fn is_bus(number: u8) -> bool {
    number <= 3
}

fn taken(word: u64) -> Frame {
    let [number, ..] = word.to_le_bytes();
    [u64::from(number) | 1 << 8 | u64::from(Status::Ok.code()) << 16, 0, 0, 0, 0]
}

/// What came of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A whole frame: answer it.
    Whole(Frame),
    /// Nothing is to be done but to send this.
    Answer(Frame),
    /// It is no part of a call (a virtio-msg message).
    NoPart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    word: u64,
    arguments: [u64; 2],
    until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    caller: EndpointId,
    waiting: Option<Waiting>,
}

/// The parts that wait, one frame a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    places: [Option<Place>; MAX_CALLERS],
    life: u64,
}

impl Joiner {
    /// Knows no caller yet. `life` is [`PART_LIFE_MS`] in ticks.
    #[must_use]
    pub const fn new(life: u64) -> Self {
        Self { places: [None; MAX_CALLERS], life }
    }

    /// Gives a caller its place: nobody else ever uses it. False if there is none left.
    pub fn know(&mut self, caller: EndpointId) -> bool {
        if self.place(caller).is_some() {
            return true;
        }
        match self.places.iter_mut().find(|place| place.is_none()) {
            Some(free) => {
                *free = Some(Place { caller, waiting: None });
                true
            }
            None => false,
        }
    }

    /// Takes what a caller sent at `now`. The first part of a new frame makes an older one's void.
    /// A caller that has no place gets none: its first part goes on as a frame without arguments,
    /// and whoever answers frames refuses it as it refuses every stranger.
    pub fn take(&mut self, caller: EndpointId, sent: &Frame, now: u64) -> Arrived {
        let words = sent.map(|word| word & LOW);
        let [word, a, b, c, d] = words;
        let [number, part, ..] = word.to_le_bytes();
        if is_bus(number) {
            return Arrived::NoPart;
        }
        let refuse = || Arrived::Answer(Reply::refused(number, Status::BadArgument).encode());
        let arguments = [a | b << 32, c | d << 32];
        let whole = word & !0xff00;
        match part {
            0 if number == CallId::Version.number() || number == CallId::Features.number() => {
                Arrived::Whole(words)
            }
            1 => {
                let life = self.life;
                let Some(place) = self.place(caller) else {
                    return Arrived::Whole([whole, 0, 0, 0, 0]);
                };
                place.waiting =
                    Some(Waiting { word: whole, arguments, until: now.saturating_add(life) });
                Arrived::Answer(taken(word))
            }
            PARTS => {
                let first = self.place(caller).and_then(|place| place.waiting.take());
                match first.filter(|first| first.word == whole && now <= first.until) {
                    Some(Waiting { arguments: [x, y], .. }) => {
                        let [z, w] = arguments;
                        Arrived::Whole([whole, x, y, z, w])
                    }
                    None => refuse(),
                }
            }
            _ => refuse(),
        }
    }

    fn place(&mut self, caller: EndpointId) -> Option<&mut Place> {
        self.places.iter_mut().flatten().find(|place| place.caller == caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: EndpointId = EndpointId::from_raw(1);
    const OTHER: EndpointId = EndpointId::from_raw(2);
    const FRAME: Frame = [0x20, 0x2000_0000_0007, u64::MAX, 5, 0x8000_0000_0000_0000];

    fn joiner() -> Joiner {
        let mut joiner = Joiner::new(100);
        assert!(joiner.know(VM) && joiner.know(OTHER));
        joiner
    }

    fn refused(number: u8) -> Arrived {
        Arrived::Answer(Reply::refused(number, Status::BadArgument).encode())
    }

    #[test]
    fn a_frame_arrives_as_it_was_sent_and_in_words_of_32_bits() {
        let mut joiner = joiner();
        let [one, two] = split(&FRAME).unwrap();
        assert!(one.iter().chain(&two).all(|word| word >> 32 == 0));
        let Arrived::Answer(answer) = joiner.take(VM, &one, 0) else { panic!("not taken") };
        assert!(is_taken(&answer, &FRAME));
        assert!(!is_taken(&Reply::refused(0x20, Status::Busy).encode(), &FRAME));
        assert_eq!(joiner.take(VM, &two, 100), Arrived::Whole(FRAME));
    }

    #[test]
    fn a_second_part_counts_once_in_time_and_behind_its_own_first() {
        let mut joiner = joiner();
        let [one, two] = split(&FRAME).unwrap();
        assert_eq!(joiner.take(VM, &two, 0), refused(0x20), "without a first");
        assert!(matches!(joiner.take(VM, &one, 0), Arrived::Answer(_)));
        assert_eq!(joiner.take(VM, &two, 101), refused(0x20), "too late");
        assert_eq!(joiner.take(VM, &two, 0), refused(0x20), "and gone");
        assert!(matches!(joiner.take(VM, &one, 0), Arrived::Answer(_)));
        let [_, of_revoke] = split(&[0x21, 1, 0, 0, 0]).unwrap();
        assert_eq!(joiner.take(VM, &of_revoke, 0), refused(0x21), "another call's");
        assert_eq!(joiner.take(VM, &two, 0), refused(0x20), "which made the first void");
    }

    #[test]
    fn callers_do_not_meet_and_a_stranger_has_no_place() {
        let mut joiner = joiner();
        let [one, two] = split(&FRAME).unwrap();
        assert!(matches!(joiner.take(VM, &one, 0), Arrived::Answer(_)));
        assert_eq!(joiner.take(OTHER, &two, 0), refused(0x20));
        let stranger = EndpointId::from_raw(9);
        assert_eq!(joiner.take(stranger, &one, 0), Arrived::Whole([0x20, 0, 0, 0, 0]));
        assert_eq!(joiner.take(stranger, &two, 0), refused(0x20));
        assert_eq!(joiner.take(VM, &two, 0), Arrived::Whole(FRAME));
        for id in 10..24 {
            assert!(joiner.know(EndpointId::from_raw(id)));
        }
        assert!(!joiner.know(stranger));
    }

    #[test]
    fn whole_frames_are_refused_unless_their_arguments_fit() {
        let mut joiner = joiner();
        assert_eq!(joiner.take(VM, &FRAME, 0), refused(0x20));
        let version = [u64::from(CallId::Version.number()), 3, 0, 0, 0];
        assert_eq!(joiner.take(VM, &version, 0), Arrived::Whole(version));
        assert_eq!(joiner.take(VM, &[0x0320, 0, 0, 0, 0], 0), refused(0x20));
        assert_eq!(joiner.take(VM, &[0x0101, 0, 0, 0, 0], 0), Arrived::NoPart);
        assert_eq!(split(&[1, 0, 0, 0, 0]), None);
        assert_eq!(split(&[0x120, 0, 0, 0, 0]), None);
    }
}
