//! Owns the calls of the security services as a VM makes them; never keeps a secret longer than its
//! caller does.
//!
//! ```
//! use causeway_abi::vault::KeyPurpose;
//! use causeway_client::connection::Connection;
//! use causeway_client::error::Error;
//! use causeway_client::grant::{NotClosed, NotGranted};
//! use causeway_client::memory::Pages;
//! use causeway_client::security::{FRAME_BYTES, KeyArea, RpmbArea, Sealed, Security};
//! use causeway_client::wait::{Bound, Wait};
//!
//! /// A number that was never there before, also after a power-off.
//! fn serial(services: Security<'_>) -> Result<u64, Error> {
//!     let before = services.counter(0)?;
//!     let now = services.increment(0)?;
//!     assert!(now > before);
//!     Ok(now)
//! }
//!
//! /// Work that has the VM restarted (or what policy says) where it takes longer than a second.
//! fn guarded(services: Security<'_>, steps: &mut dyn Iterator<Item = ()>) -> Result<(), Error> {
//!     services.start_watchdog(1000, 200)?;
//!     for () in steps {
//!         services.ping_watchdog()?;
//!     }
//!     let (_left_ms, warned) = services.watchdog_left()?;
//!     assert!(!warned);
//!     services.stop_watchdog()
//! }
//!
//! /// A signature under a key that no VM ever sees.
//! fn signed(services: Security<'_>, area: &KeyArea<'_>) -> Result<([u8; 32], [u8; 64]), Error> {
//!     services.generate_key(1, KeyPurpose::Sign)?;
//!     let signature = area.sign(1, b"a report")?;
//!     let public = services.public_key(1)?;
//!     services.delete_key(1)?;
//!     Ok((public, signature))
//! }
//!
//! /// A text that only this VM can read again, and a key of its own for tags.
//! fn kept(area: &KeyArea<'_>, text: &mut [u8], key: &[u8; 32]) -> Result<Sealed, Error> {
//!     area.import(2, KeyPurpose::Mac, key)?;
//!     let tag = area.mac(2, text)?;
//!     area.verify(2, text, &tag)?;
//!     let sealed = area.encrypt(3, b"name", text)?;
//!     area.decrypt(3, b"name", text, &sealed)?;
//!     area.encrypt(3, b"name", text)
//! }
//!
//! /// An area for keys is granted like any other, and given back.
//! fn with_keys<'c>(connection: &'c Connection<'c>, pages: Pages<'c>) -> Result<(), NotGranted<'c>> {
//!     let area = KeyArea::open(connection, pages)?;
//!     assert!(signed(Security::of(connection), &area).is_ok(), "handle {:?}", area.handle());
//!     Ok(())
//! }
//!
//! /// One frame of the replay-protected memory, as eMMC defines it.
//! fn counter_frame<'c>(
//!     area: RpmbArea<'c>,
//!     request: &[u8; FRAME_BYTES],
//!     wait: &dyn Wait,
//! ) -> Result<Pages<'c>, NotClosed<'c>> {
//!     let mut answers = [[0; FRAME_BYTES]; 1];
//!     assert!(area.request(request, &mut answers).is_ok());
//!     area.close(wait, Bound::NONE)
//! }
//! ```

mod area;

pub use area::{FRAME_BYTES, KeyArea, RpmbArea, Sealed};

use crate::connection::Connection;
use crate::error::{Error, Rule};
use causeway_abi::vault::{ENTROPY_MAX_BYTES, KeyPurpose};
use causeway_abi::{Call, VaultCall};

/// The security services of a connection.
///
/// ```
/// use causeway_client::connection::Connection;
/// use causeway_client::error::Error;
/// use causeway_abi::vault::services;
/// use causeway_client::security::Security;
///
/// /// Whether there is any use in asking.
/// fn has_entropy(connection: &Connection<'_>) -> Result<bool, Error> {
///     Ok(Security::of(connection).services()? & services::ENTROPY != 0)
/// }
///
/// /// A seed, or the reason why there is none: never one that is made up.
/// fn seed(connection: &Connection<'_>) -> Result<[u8; 32], Error> {
///     let mut seed = [0; 32];
///     Security::of(connection).entropy(&mut seed)?;
///     Ok(seed)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Security<'a> {
    connection: &'a Connection<'a>,
}

impl<'a> Security<'a> {
    /// The services behind a connection.
    #[must_use]
    pub const fn of(connection: &'a Connection<'a>) -> Self {
        Self { connection }
    }

    pub(crate) fn call(&self, call: VaultCall) -> Result<[u64; 4], Error> {
        self.connection.call(Call::Vault(call))
    }

    /// Asks what there is for this VM: bits of [`causeway_abi::vault::services`].
    ///
    /// # Errors
    /// What went wrong with the call.
    pub fn services(&self) -> Result<u64, Error> {
        self.call(VaultCall::State).map(|[bits, ..]| bits)
    }

    /// Fills `into` with random bytes, [`ENTROPY_MAX_BYTES`] a call. Nothing is left half filled: after
    /// an error it is all zeros.
    ///
    /// # Errors
    /// The partition's refusal; `NoEntropySource` where the machine has none.
    pub fn entropy(&self, into: &mut [u8]) -> Result<(), Error> {
        let result = self.fill(into);
        if result.is_err() {
            into.fill(0);
        }
        result
    }

    /// Reads a monotonic counter of this VM.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn counter(&self, number: u8) -> Result<u64, Error> {
        self.call(VaultCall::CounterRead { number }).map(|[value, ..]| value)
    }

    /// Advances a monotonic counter by one; the new value is durable.
    ///
    /// # Errors
    /// The partition's refusal; the counter may have advanced by one where the flash failed.
    pub fn increment(&self, number: u8) -> Result<u64, Error> {
        self.call(VaultCall::CounterIncrement { number }).map(|[value, ..]| value)
    }

    /// Makes a key in an empty slot, from entropy. Nobody ever sees it.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn generate_key(&self, slot: u8, purpose: KeyPurpose) -> Result<(), Error> {
        self.call(VaultCall::KeyGenerate { slot, purpose }).map(|_| ())
    }

    /// Empties a slot.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn delete_key(&self, slot: u8) -> Result<(), Error> {
        self.call(VaultCall::KeyDelete { slot }).map(|_| ())
    }

    /// Returns the public half of a signing key.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn public_key(&self, slot: u8) -> Result<[u8; 32], Error> {
        self.call(VaultCall::KeyPublic { slot }).map(bytes_of)
    }

    /// Arms this VM's watchdog, or arms it anew. `warning_ms` before it fires a doorbell rings; 0 for none.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn start_watchdog(&self, timeout_ms: u32, warning_ms: u32) -> Result<(), Error> {
        self.call(VaultCall::WatchdogStart { timeout_ms, warning_ms }).map(|_| ())
    }

    /// Says that this VM is well.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn ping_watchdog(&self) -> Result<(), Error> {
        self.call(VaultCall::WatchdogPing).map(|_| ())
    }

    /// Disarms this VM's watchdog, where policy lets it.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn stop_watchdog(&self) -> Result<(), Error> {
        self.call(VaultCall::WatchdogStop).map(|_| ())
    }

    /// Milliseconds until the watchdog fires, and whether it has warned.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn watchdog_left(&self) -> Result<(u64, bool), Error> {
        self.call(VaultCall::WatchdogLeft).map(|[left, warned, ..]| (left, warned != 0))
    }

    fn fill(&self, into: &mut [u8]) -> Result<(), Error> {
        for part in into.chunks_mut(usize::from(ENTROPY_MAX_BYTES)) {
            let count = u8::try_from(part.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
            let [given, words @ ..] = self.call(VaultCall::Entropy { count })?;
            if given != u64::from(count) {
                return Err(Error::partition(Rule::AnswerValues));
            }
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            for (to, from) in part.iter_mut().zip(bytes) {
                *to = from;
            }
        }
        Ok(())
    }
}

/// Result words as bytes in memory order.
fn bytes_of(words: [u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests;
