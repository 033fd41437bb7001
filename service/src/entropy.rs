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

/// Whose rate a device shares with ENTROPY, and what the rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ration {
    /// The VM's place in the policy.
    pub(crate) place: usize,
    pub(crate) bytes_per_second: u32,
}

/// The same for the virtio device, which tells its driver no reason. It gives what it was lent of its
/// VM's rate, and no more.
#[derive(Debug)]
pub(crate) struct ForDevice<E> {
    source: E,
    ration: Ration,
    lent: u32,
}

impl<E> ForDevice<E> {
    pub(crate) const fn new(source: E, ration: Ration) -> Self {
        Self { source, ration, lent: 0 }
    }

    pub(crate) const fn ration(&self) -> Ration {
        self.ration
    }

    pub(crate) const fn lend(&mut self, bytes: u32) {
        self.lent = bytes;
    }

    /// What is left of what was lent last.
    pub(crate) const fn lent(&self) -> u32 {
        self.lent
    }
}

impl<E: Random> EntropySource for ForDevice<E> {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        let wanted = u32::try_from(into.len()).map_err(|_| NoEntropy)?;
        // What a source that is empty was asked for counts too, as for the call.
        self.lent = self.lent.checked_sub(wanted).ok_or(NoEntropy)?;
        self.source.fill(into).map_err(|_| NoEntropy)
    }

    fn left(&self) -> u64 {
        u64::from(self.lent)
    }
}
