//! Owns the end of a driver's waiting: where a queue's rings lie, and how its requests end when the
//! device does not. Never believes that the device has stopped.
//!
//! Some calls of virtio-drivers (all of its entropy driver, and the console's `send`) spin until the
//! device has used the buffer. Between a kick and that spin the transport has its say: it waits
//! itself, with a bound, and if the device does not answer it resets the queue and completes the
//! driver's buffers with nothing written. The driver goes on, and [`Health`](super::Health) has the
//! failure. It relies on the device being kicked for each request; devices of this project ask for
//! that, and others do while they sleep.

use super::MsgTransport;
use crate::error::{Awaited, Error};
use crate::guest::pool::DmaPool;
use crate::wait::{Bound, Wait};
use causeway_virtio::msg::Request;
use causeway_virtio::{BusAddr, msg::SetVqueue};
use core::fmt;

/// Queues whose rings are kept.
pub(super) const QUEUES: usize = 2;

/// How long a driver's blocking calls may take.
#[derive(Clone, Copy)]
pub struct Limit<'w> {
    /// The pool in which the rings lie.
    pub pool: &'static DmaPool,
    /// How to wait.
    pub wait: &'w dyn Wait,
    /// How long.
    pub bound: Bound,
    /// The queue of the blocking calls: 0 for entropy, 1 for a console's output.
    pub queue: u16,
}

impl fmt::Debug for Limit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("bound", &self.bound).field("queue", &self.queue).finish()
    }
}

/// Where a split queue's rings lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rings {
    size: u16,
    available: BusAddr,
    used: BusAddr,
}

impl Rings {
    pub(super) fn of(set: &SetVqueue) -> Option<Self> {
        let size = u16::try_from(set.size).ok().filter(|size| size.is_power_of_two())?;
        Some(Self { size, available: set.driver, used: set.device })
    }

    /// The indices of the available and the used ring. Source: virtio 1.3, 2.7.6 and 2.7.8.
    fn indices(&self, pool: &DmaPool) -> Option<(u16, u16)> {
        let index = |ring: BusAddr| pool.ring_u16(ring.checked_add(2)?);
        Some((index(self.available)?, index(self.used)?))
    }

    /// Completes everything that is in flight, with nothing written. At most a queue's worth.
    fn complete_all(&self, pool: &DmaPool) -> Option<()> {
        let (available, mut used) = self.indices(pool)?;
        for _ in 0..self.size {
            if used == available {
                break;
            }
            let slot = u64::from(used & self.size.saturating_sub(1));
            let entry = self.available.checked_add(slot.saturating_mul(2).saturating_add(4))?;
            let [low, high] = pool.ring_u16(entry)?.to_le_bytes();
            let element = self.used.checked_add(slot.saturating_mul(8).saturating_add(4))?;
            pool.write_ring(element, &[low, high, 0, 0, 0, 0, 0, 0])?;
            used = used.wrapping_add(1);
        }
        pool.set_ring_u16(self.used.checked_add(2)?, available)
    }
}

impl<'b> MsgTransport<'b, '_> {
    /// Bounds the driver's blocking calls on one queue: entropy, or a console's output.
    #[must_use]
    pub const fn with_limit(mut self, limit: Limit<'b>) -> Self {
        self.limit = Some(limit);
        self
    }

    /// After a kick of a queue with blocking calls: waits for the device, or ends the waiting.
    pub(super) fn await_used(&self, queue: u16) {
        let Some(limit) = self.limit.filter(|limit| limit.queue == queue) else { return };
        let rings = self.rings.get(usize::from(queue)).copied().flatten();
        let Some(rings) = rings else { return };
        let served: Result<Option<()>, Error> = limit.bound.until(limit.wait, || {
            // The device's events may say that it has failed.
            self.take_events();
            let done = rings.indices(limit.pool).is_some_and(|(all, used)| all == used);
            Ok((done || !self.health.is_well()).then_some(()))
        });
        if served != Ok(Some(())) {
            self.health.note(Error::TimedOut(Awaited::Device));
        }
        if !self.health.is_well() {
            self.end_waiting(limit, &rings, queue);
        }
    }

    fn end_waiting(&self, limit: Limit<'_>, rings: &Rings, queue: u16) {
        // A device that is alive after all stops here; one that is not answers nothing.
        let reset = Request::ResetVqueue { index: u32::from(queue) };
        if let Err(error) = self.bus.request(self.dev_num, reset) {
            self.health.note(error);
        }
        // Rings outside the pool are none that the driver could be waiting for.
        let (Some(()) | None) = rings.complete_all(limit.pool);
    }
}
