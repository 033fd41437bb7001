//! Owns doorbells: FF-A notifications between VMs and from the partition; never knows what a ring means.
//!
//! A link has one doorbell in each direction. VM `s` that rings VM `r` sets notification `s mod 8`
//! of `r`, so that no number needs to be negotiated, and `r` binds that number to `s`. What the
//! partition has to say shows as bit 0 of the bitmap for secure partitions.
//! A doorbell only says "look again": whoever hears one looks at rings and FIFOs.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # two_vms!(platform, one, two, first, second);
//! # use causeway_client::Error;
//! use causeway_client::doorbell::{Doorbells, Gathered, Rung, bit_of};
//!
//! let (mine, theirs) = (Doorbells::new(&first), Doorbells::new(&second));
//! assert!(theirs.ring(first.id()).is_err(), "not before I let it");
//! mine.bind(second.id())?;
//! theirs.ring(first.id())?;
//! let rung: Rung = mine.poll()?;
//! assert!(rung.by(second.id()) && rung.vms == bit_of(second.id()));
//! assert!(mine.poll()?.is_silent());
//!
//! // A batch of requests costs one ring.
//! let gathered = Gathered::new(&theirs, first.id());
//! (0..100).for_each(|_| gathered.note());
//! gathered.ring_due()?;
//! assert_eq!(theirs.ring_count(), 3);
//! mine.unbind(second.id())?;
//! # Ok::<(), Error>(())
//! ```

use crate::connection::{Connection, exchange};
use crate::error::{Error, Rule};
use causeway_ffa::call::{BitmapSet, Scope, Signal};
use causeway_ffa::{Answer, Call, EndpointId};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many VMs have a number of their own.
const NUMBERS: u16 = 8;

/// The bit by which a VM rings others.
#[must_use]
pub const fn bit_of(sender: EndpointId) -> u64 {
    1 << (sender.get() % NUMBERS)
}

/// What has rung since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rung {
    /// Notifications set by VMs.
    pub vms: u64,
    /// The partition has something to say.
    pub partition: bool,
}

impl Rung {
    /// Reports whether nothing rang.
    #[must_use]
    pub const fn is_silent(self) -> bool {
        self.vms == 0 && !self.partition
    }

    /// Reports whether `vm` rang.
    #[must_use]
    pub const fn by(self, vm: EndpointId) -> bool {
        self.vms & bit_of(vm) != 0
    }
}

/// Rings of one peer that are gathered, so that a batch of requests costs one.
///
/// A driver notifies its device for each request while the device sleeps. With this the first such
/// wish is noted, and [`Gathered::ring_due`] rings when the batch is complete.
#[derive(Debug)]
pub struct Gathered<'c> {
    doorbells: &'c Doorbells<'c>,
    peer: EndpointId,
    due: AtomicBool,
}

impl<'c> Gathered<'c> {
    /// Gathers rings of `peer`.
    #[must_use]
    pub const fn new(doorbells: &'c Doorbells<'c>, peer: EndpointId) -> Self {
        Self { doorbells, peer, due: AtomicBool::new(false) }
    }

    /// Notes that the peer is to be rung.
    pub fn note(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// Rings the peer if that was noted. Call it before waiting for the peer: nothing else will.
    ///
    /// # Errors
    /// As [`Doorbells::ring`]; the wish is forgotten then as well.
    pub fn ring_due(&self) -> Result<(), Error> {
        if self.due.swap(false, Ordering::Relaxed) {
            self.doorbells.ring(self.peer)?;
        }
        Ok(())
    }
}

/// The doorbells of this VM.
#[derive(Debug)]
pub struct Doorbells<'c> {
    connection: &'c Connection<'c>,
    rings: AtomicU64,
}

impl<'c> Doorbells<'c> {
    /// Uses the doorbells of the connection's VM.
    #[must_use]
    pub const fn new(connection: &'c Connection<'c>) -> Self {
        Self { connection, rings: AtomicU64::new(0) }
    }

    /// Lets `peer` ring this VM.
    ///
    /// # Errors
    /// [`Error::Ffa`], DENIED if another VM holds the number.
    pub fn bind(&self, peer: EndpointId) -> Result<(), Error> {
        exchange::plain(
            self.connection.conduit(),
            &Call::NotificationBind {
                sender: peer,
                receiver: self.connection.id(),
                scope: Scope::Global,
                bitmap: bit_of(peer),
            },
        )
    }

    /// Stops `peer` from ringing this VM.
    ///
    /// # Errors
    /// [`Error::Ffa`].
    pub fn unbind(&self, peer: EndpointId) -> Result<(), Error> {
        exchange::plain(
            self.connection.conduit(),
            &Call::NotificationUnbind {
                sender: peer,
                receiver: self.connection.id(),
                bitmap: bit_of(peer),
            },
        )
    }

    /// Rings `peer`.
    ///
    /// # Errors
    /// [`Error::Ffa`] if the peer has not bound this VM's doorbell.
    pub fn ring(&self, peer: EndpointId) -> Result<(), Error> {
        let me = self.connection.id();
        self.rings.fetch_add(1, Ordering::Relaxed);
        exchange::plain(
            self.connection.conduit(),
            &Call::NotificationSet {
                sender: me,
                receiver: peer,
                vcpu: None,
                signal: Signal::Now,
                bitmap: bit_of(me),
            },
        )
    }

    /// Fetches and clears what has rung.
    ///
    /// # Errors
    /// [`Error::Ffa`].
    pub fn poll(&self) -> Result<Rung, Error> {
        let call = Call::NotificationGet {
            receiver: self.connection.id(),
            vcpu: 0,
            wanted: BitmapSet::SP.and(BitmapSet::VM),
        };
        let Answer::Success(success) = exchange::once(self.connection.conduit(), &call)? else {
            return Err(Error::hypervisor(Rule::AnswerForm));
        };
        let rung = success.notifications();
        Ok(Rung { vms: rung.from_vms, partition: rung.from_sps & 1 != 0 })
    }

    /// Returns how often this VM has rung others.
    #[must_use]
    pub fn ring_count(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
