//! Owns what the glue asks of a machine: small traits, one for each thing. Never decides when they
//! are used, and says nothing of how they are kept.

mod interrupts;

pub use interrupts::{Alarm, Controller, HandOver, Interrupts, Lines};

use crate::lines::Said;
use crate::safe::{Safe, SecureFlash};
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, PageRange, Regs};
use causeway_memshare::{Doorbell, MapFailed};
use causeway_vault::entropy::Random;
use causeway_virtio::device::block::Medium;
use core::fmt;
use core::ops::Deref;

/// What goes out in a call of the partition's own: x0-x7.
pub type Outgoing = [u64; 8];

/// The way to the SPMC.
pub trait Conduit {
    /// Makes one call and returns its answer. Neither looks at the registers nor repeats a call.
    fn call(&mut self, out: &Outgoing) -> Regs;

    /// What a response to a retrieve shows.
    fn shows(&self) -> Shown {
        Shown::All
    }
}

/// What the SPMC shows in its response to a retrieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The tag and every borrower.
    All,
    /// Only our own entry, and 0 for the tag: the SPMC has compared tag and borrowers with the request,
    /// and refuses a request that does not list what was sent (Hafnium: docs/spmc-facts.md).
    OwnEntry,
}

/// The RX and TX buffers, one page each. They are used under the partition's lock only (KB-21).
pub trait Mailbox {
    /// Writes a message for the SPMC to the start of TX; false if it does not fit, and then nothing
    /// is written.
    fn write_tx(&mut self, bytes: &[u8]) -> bool;

    /// Copies the first bytes of RX; false if there are not as many.
    fn read_rx(&mut self, into: &mut [u8]) -> bool;
}

/// The access did not lie inside the window, or wrote where only reading is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutsideWindow;

/// The right to reach one mapped range, as long as it lives. Bytes are copied in and out, each
/// once; nothing in there is ever a reference, and nobody trusts what it reads.
pub trait Window {
    /// Returns the mapped range.
    fn range(&self) -> PageRange;

    /// Reports whether it may be written.
    fn is_writable(&self) -> bool;

    /// Copies bytes out.
    ///
    /// # Errors
    /// [`OutsideWindow`]: nothing was read.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), OutsideWindow>;

    /// Copies bytes in.
    ///
    /// # Errors
    /// [`OutsideWindow`]: nothing was written.
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), OutsideWindow>;

    /// Reads one aligned little-endian index by one access, before everything that follows.
    ///
    /// # Errors
    /// [`OutsideWindow`], also for an odd offset.
    fn load_acquire_u16(&self, offset: u64) -> Result<u16, OutsideWindow>;

    /// Writes one aligned little-endian index by one access, after everything that came before.
    ///
    /// # Errors
    /// [`OutsideWindow`], also for an odd offset.
    fn store_release_u16(&self, offset: u64, value: u16) -> Result<(), OutsideWindow>;
}

/// The attribute bits of a mapped range, read back from where the machine keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedBits {
    /// The output address is in the normal world.
    pub non_secure: bool,
    /// Nobody may execute it.
    pub never_execute: bool,
    /// Nobody may write it.
    pub read_only: bool,
    /// How it is cached.
    pub kind: MemoryKind,
}

/// How mapped memory is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Normal, write-back, inner shareable.
    WriteBack,
    /// Anything else.
    Other,
}

impl MemoryKind {
    /// Returns a word for log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WriteBack => "wb",
            Self::Other => "other",
        }
    }
}

/// The partition's own view of memory.
pub trait Mapper {
    /// The way into a mapped range.
    type Window: Window;

    /// Maps shared memory: non-secure, never executable, and written only where the grant says so.
    /// A second fence behind the broker's checks: what is no RAM of the normal world, or is mapped
    /// already, is refused.
    ///
    /// # Errors
    /// [`MapFailed`]: nothing changed.
    fn map(&mut self, range: PageRange, permission: Permission) -> Result<Self::Window, MapFailed>;

    /// Unmaps; when it returns, no core can reach the range.
    ///
    /// # Errors
    /// [`MapFailed`]: it may still be reached.
    fn unmap(&mut self, window: Self::Window) -> Result<(), MapFailed>;

    /// Reads back what a range is mapped as; `None` unless all of it is mapped alike, each page at
    /// its own address.
    fn mapped_bits(&self, range: PageRange) -> Option<MappedBits>;
}

/// Time, in ticks of one counter that all worlds share.
pub trait Clock {
    /// Returns the counter.
    fn now(&self) -> u64;

    /// Returns its ticks in a second.
    fn ticks_per_second(&self) -> u64;
}

/// The interrupt at the hypervisor.
pub trait Bell {
    /// Interrupts the hypervisor, after all that was stored before.
    fn ring(&mut self, doorbell: Doorbell);
}

/// Lines for whoever reads the partition's log. Contents of shared memory are never in them.
pub trait Log {
    /// Prints a failure of our own, or a fact of the start.
    fn line(&self, line: fmt::Arguments<'_>);

    /// Keeps a line that `owner` caused (`None`: no VM) until no lock is held, while its ration
    /// lasts: [`crate::lines::Lines`].
    fn tell(&self, owner: Option<EndpointId>, said: Said);
}

/// What the partition's own devices are made of. What a platform has none of is
/// [`Absent`](crate::devices::Absent), and no such device is offered then: never a fake.
pub trait Parts {
    /// Where random bytes come from: the entropy device's and the security services'. See
    /// [`crate::entropy`].
    type Entropy: Random;
    /// What a RAM disk is kept in.
    type Disk: Medium;
    /// The log, as a console writes to it.
    type Console: Log;

    /// Returns the source of entropy, if the machine has one.
    fn entropy(&self) -> Option<Self::Entropy>;

    /// Returns the disk of a driver's block device, once; `None` if there is no other.
    fn disk(&mut self, driver: EndpointId) -> Option<Self::Disk>;

    /// Returns the log.
    fn console(&self) -> Self::Console;
}

/// What only the secure world can keep and do.
pub trait Secured {
    /// The secure flash.
    type Flash: SecureFlash;
    /// Where the safe on it is: a reference to a static one, or a counted one on a host.
    type Safe: Deref<Target = Safe<Self::Flash>> + Clone;

    /// Returns the safe, if the platform has a secure flash.
    fn safe(&self) -> Option<Self::Safe>;

    /// Resets the platform by a path that the normal world cannot block. Returns where the reset takes
    /// a moment, or where a host only notes it.
    fn reset(&mut self);
}

/// All of it. Implemented for whatever has the parts.
pub trait Platform:
    Conduit + Mailbox + Mapper + Clock + Bell + Log + Parts + Interrupts + Secured
{
}

impl<P: Conduit + Mailbox + Mapper + Clock + Bell + Log + Parts + Interrupts + Secured> Platform
    for P
{
}

/// Prints one line of our own on a platform's log.
macro_rules! log {
    ($platform:expr, $($argument:tt)*) => {
        $crate::platform::Log::line(&$platform, format_args!($($argument)*))
    };
}
pub(crate) use log;
