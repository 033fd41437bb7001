//! Owns the reading of argument words: what carries nothing must be zero, and is looked at before what
//! carries something is read. Never knows a call.

use crate::Status;
use causeway_ffa::MemHandle;

/// Words, and parts of words, that carry nothing.
#[inline]
pub(crate) fn zero(reserved: &[u64]) -> Result<(), Status> {
    if reserved.iter().all(|word| *word == 0) { Ok(()) } else { Err(Status::ReservedNotZero) }
}

/// A call with one argument word.
#[inline]
pub(crate) fn one([word, reserved @ ..]: [u64; 4]) -> Result<u64, Status> {
    zero(&reserved).and(Ok(word))
}

/// A call with two.
#[inline]
pub(crate) fn two([a, b, reserved @ ..]: [u64; 4]) -> Result<[u64; 2], Status> {
    zero(&reserved).and(Ok([a, b]))
}

/// A word that carries one number is read whole: one that is too large has no meaning.
#[inline]
pub(crate) fn narrow<T: TryFrom<u64>>(word: u64) -> Result<T, Status> {
    T::try_from(word).map_err(|_| Status::BadArgument)
}

/// A handle. All ones are no handle, and so one that nobody has.
#[inline]
pub(crate) fn handle(word: u64) -> Result<MemHandle, Status> {
    MemHandle::new(word).ok_or(Status::NoSuchGrant)
}
