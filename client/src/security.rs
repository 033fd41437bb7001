//! Owns the calls of the security services as a VM makes them; never keeps a secret longer than its
//! caller does.

use crate::connection::Connection;
use crate::error::{Error, Rule};
use causeway_abi::vault::ENTROPY_MAX_BYTES;
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

#[cfg(test)]
mod tests;
