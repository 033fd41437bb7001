//! Owns what the store asks of a flash, and the model of one for tests. Never knows a device.
//!
//! The traits are those of `embedded-storage-async`; nothing here ever waits, so a future that is
//! not ready at its first poll is an error of the driver.

pub mod cfi;
#[cfg(any(test, feature = "model"))]
pub mod model;

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
pub use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Runs a future that never waits. `None`: it wanted to wait.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
