//! Owns the layout of a call in five words; never knows what a call means.
//!
//! ```
//! use causeway_abi::{Call, Frame, Reply, Status};
//!
//! let asked: Frame = Call::Events.encode();
//! let reply = Reply::refused(asked[0] as u8, Status::UnknownCall);
//! assert_eq!(Reply::decode(&reply.encode()), Some(reply));
//! let reply = Reply::ok(asked[0] as u8, [1, 2, 3, 4]);
//! assert_eq!(Reply::decode(&reply.encode()).map(|reply| reply.results), Some([1, 2, 3, 4]));
//! ```

use crate::{Status, VERSION_MAJOR};

/// The payload of a direct message: registers x3-x7.
pub type Frame = [u64; 5];

/// Packs a call word and four arguments.
#[must_use]
pub(crate) fn pack(call_number: u8, args: [u64; 4]) -> Frame {
    let word = u64::from(call_number) | (u64::from(VERSION_MAJOR) << 16);
    let [a, b, c, d] = args;
    [word, a, b, c, d]
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the call that this answers.
    pub call_number: u8,
    /// The verdict.
    pub status: Status,
    /// Words 1-4; zero unless the status is [`Status::Ok`].
    pub results: [u64; 4],
}

impl Reply {
    /// A success with results.
    #[must_use]
    pub const fn ok(call_number: u8, results: [u64; 4]) -> Self {
        Self { call_number, status: Status::Ok, results }
    }

    /// A refusal: results are zero, so that nothing leaks.
    #[must_use]
    pub const fn refused(call_number: u8, status: Status) -> Self {
        Self { call_number, status, results: [0; 4] }
    }

    /// Packs the answer.
    #[must_use]
    pub fn encode(self) -> Frame {
        let word = u64::from(self.call_number) | (u64::from(self.status.code()) << 16);
        let [a, b, c, d] = self.results;
        [word, a, b, c, d]
    }

    /// Reads an answer; `None` if the word is malformed or the status is not one that we know.
    #[must_use]
    pub fn decode(frame: &Frame) -> Option<Self> {
        let [word, a, b, c, d] = *frame;
        let status = Status::from_code(u16::try_from(word >> 16).ok()?)?;
        let bytes = word.to_le_bytes();
        let [call_number, part, ..] = bytes;
        (part == 0).then_some(Self { call_number, status, results: [a, b, c, d] })
    }
}
