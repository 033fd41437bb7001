//! Owns how a queue ends: by its first error and for good, whichever side and layout. Never decides what
//! an error is.

use super::QueueError;

/// A side of a queue.
pub(super) trait Ends: Sized {
    /// Whether it has ended.
    fn failed(&self) -> bool;

    /// Ends it: every later step fails.
    fn fail(&mut self);

    /// Runs one step; an error ends the queue.
    #[inline(always)]
    fn step<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        if self.failed() {
            return Err(QueueError::Failed);
        }
        run(self).map_err(|error| self.end(error))
    }

    /// Ends it by this error.
    #[cold]
    fn end(&mut self, error: QueueError) -> QueueError {
        self.fail();
        error
    }
}
