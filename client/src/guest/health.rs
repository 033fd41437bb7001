//! Owns what a driver could not return: the first failure of a transport; never mends it.

use crate::error::Error;
use spin::mutex::SpinMutex;

/// The health of one device as its driver's transport sees it. The guest keeps it while the driver
/// owns the transport.
#[derive(Debug, Default)]
pub struct Health(SpinMutex<Option<Error>>);

impl Health {
    /// Starts healthy.
    #[must_use]
    pub const fn new() -> Self {
        Self(SpinMutex::new(None))
    }

    /// Returns the first failure, if there was one. The transport then does nothing any more but
    /// reset the device.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        *self.0.lock()
    }

    /// Returns the first failure as an error.
    ///
    /// # Errors
    /// That failure.
    pub fn check(&self) -> Result<(), Error> {
        self.failure().map_or(Ok(()), Err)
    }

    pub(super) fn is_well(&self) -> bool {
        self.failure().is_none()
    }

    pub(super) fn note(&self, error: Error) {
        self.0.lock().get_or_insert(error);
    }
}
