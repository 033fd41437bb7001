//! Owns what a block driver tells its user: errors, tickets, outcomes; decides nothing.

use crate::queue::QueueError;

/// Why a request cannot be made, or the device cannot be driven on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockError {
    /// The queue: [`QueueError::Full`] changes nothing, anything else ends the device.
    Queue(QueueError),
    /// A transfer is not whole sectors, or empty.
    Length,
    /// A transfer leaves the device's capacity.
    Capacity,
    /// Too many buffers, or one that is too long for this device.
    Buffers,
    /// A write to a device that is read-only, or a flush of one that knows no flush.
    Unsupported,
    /// The device returned something that this driver has not asked for.
    Token,
}

impl From<QueueError> for BlockError {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was carried out.
    Ok,
    /// The device could not: VIRTIO_BLK_S_IOERR.
    IoError,
    /// The device does not know it: VIRTIO_BLK_S_UNSUPP.
    Unsupported,
    /// The device said nothing that virtio 1.3, 5.2.6 knows.
    Nonsense(u8),
}

impl Outcome {
    pub(super) const fn of(status: u8) -> Self {
        match status {
            0 => Self::Ok,
            1 => Self::IoError,
            2 => Self::Unsupported,
            other => Self::Nonsense(other),
        }
    }

    /// Reports whether the request was carried out.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }
}

/// Names a request in flight: a number below the queue's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) u16);

impl Ticket {
    /// Returns the number, which no other request in flight has: use it as index of buffers.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A request that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Done {
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub outcome: Outcome,
    /// Bytes that the device says it wrote, the status included; never more than there was room for.
    pub written: u32,
}
