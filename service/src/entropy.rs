//! Owns the one generator behind every random byte that the partition gives away: the entropy
//! device's, the calls', the keys'. Never makes randomness up: a machine without a source has none.
//!
//! `raw source -> health tests -> ChaCha20 generator` is `causeway-vault`'s; here it is shared.

use causeway_abi::Status;
use causeway_vault::entropy::{Drbg, EntropyError, Random, RawEntropy};
use causeway_virtio::device::rng::{EntropySource, NoEntropy};
use spin::mutex::SpinMutex;

/// A generator in a `static`, for all of its users. They call under the partition's one lock, so that
/// nobody ever waits here.
#[derive(Debug)]
pub struct Shared<R>(SpinMutex<Drbg<R>>);

impl<R: RawEntropy> Shared<R> {
    /// A generator over a source that the machine has.
    #[must_use]
    pub const fn new(raw: R) -> Self {
        Self(SpinMutex::new(Drbg::new(Some(raw))))
    }
}

/// One user's way to the generator.
#[derive(Debug)]
pub struct Handle<R: 'static>(&'static Shared<R>);

impl<R> Handle<R> {
    /// Makes a handle.
    #[must_use]
    pub const fn new(shared: &'static Shared<R>) -> Self {
        Self(shared)
    }
}

impl<R: RawEntropy> Random for Handle<R> {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), EntropyError> {
        self.0.0.lock().fill(into)
    }
}

/// Why there is no entropy, in the interface's words.
pub(crate) const fn status(error: EntropyError) -> Status {
    match error {
        EntropyError::NoSource => Status::NoEntropySource,
        EntropyError::Failed => Status::EntropyFailed,
        EntropyError::Empty => Status::EntropyEmpty,
        EntropyError::TooMuch => Status::BadArgument,
    }
}

/// The same for the virtio device, which tells its driver no reason.
#[derive(Debug)]
pub(crate) struct ForDevice<E>(pub(crate) E);

impl<E: Random> EntropySource for ForDevice<E> {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.fill(into).map_err(|_| NoEntropy)
    }
}
