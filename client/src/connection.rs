//! Owns the way to the partition: version, identity, buffers, service calls; never knows why a call is made.
//!
//! One [`Connection`] serves a whole VM. Everything else borrows it: grants, the bus, doorbells.
//! Its methods take `&self` and may be called from several threads; an interrupt handler must not
//! call them, since it could interrupt the holder of the buffers' lock.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # use causeway_client::Error;
//! # let platform = world::boot();
//! # let one = world::Vm::new(&platform, 1);
//! # let (conduit, tx, rx, pages) = (one.conduit(), one.pages(1), one.pages(1), one.pages(3));
//! use causeway_abi::{Call, Permission};
//! use causeway_client::connection::{
//!     Connection, MAX_RANGES, Mailbox, RetrieveTerms, Retrieved, ServiceInfo,
//! };
//! use causeway_ffa::{Transfer, Version};
//! use causeway_ffa::descriptor::Receiver;
//!
//! let mailbox = Mailbox::new(tx, rx).expect("a page each");
//! // `Connection::open` is the same with FF-A 1.1, which every hypervisor has.
//! let connection = Connection::open_as(&conduit, mailbox, Version::V1_2);
//! let connection = connection.map_err(|failed| failed.error)?;
//! assert_eq!(connection.ffa_version(), Version::V1_2);
//! let ServiceInfo { max_pages, max_ranges, .. } = connection.service();
//! assert!(max_pages >= 3 && max_ranges >= 1);
//!
//! // A call of the interface, checked; and the same as five words.
//! let [events, ..] = connection.call(Call::Events)?;
//! assert_eq!(events & 1, 0, "no offers wait");
//! let _words = connection.direct(Call::Events.encode())?;
//!
//! // The memory calls of FF-A are there as well. `Grant` and `Borrowed` make them in the right order
//! // and undo them; whoever makes them by hand undoes them by hand.
//! let receivers = [Receiver::read_write(connection.partition())];
//! let handle = connection.send_memory(Transfer::Share, &receivers, pages.ranges(), 0)?;
//! connection.reclaim(handle)?;
//!
//! // As a borrower: nothing was accepted, hence nothing is retrieved.
//! let (kind, permission) = (Transfer::Share, Permission::ReadWrite);
//! let terms = RetrieveTerms { owner: connection.id(), handle, kind, permission, tag: 0 };
//! let retrieved: Result<Retrieved, Error> = connection.retrieve(&terms);
//! assert!(retrieved.is_err() && connection.relinquish(handle).is_err());
//! assert_eq!(MAX_RANGES, 16);
//!
//! // Grants that were dropped while a peer still mapped them wait here to be reclaimed.
//! assert_eq!((connection.sweep(), connection.stranded()), (0, 0));
//! let (_tx, _rx) = connection.close()?.into_pages();
//! # Ok::<(), Error>(())
//! ```

pub(crate) mod exchange;
mod mailbox;
#[cfg(test)]
mod tests;
mod transfer;

pub use mailbox::Mailbox;
pub(crate) use transfer::receiver;
pub use transfer::{MAX_RANGES, RetrieveTerms, Retrieved};

use crate::conduit::Conduit;
use crate::error::{Error, Rule, unheard};
use arrayvec::ArrayVec;
use causeway_abi::{Call, Frame, Reply, SERVICE_UUID, Status, VERSION_MAJOR, VERSION_MINOR};
use causeway_ffa::call::{DirectMessage, InfoForm};
use causeway_ffa::partition_info::PartitionInfos;
use causeway_ffa::{Answer, EndpointId, MemHandle, Uuid, Version, Width};
use core::fmt;
use mailbox::Turn;
use spin::mutex::SpinMutex;

/// The FF-A version that this library speaks by default. TF-A's EL3 SPMC takes memory calls of no later
/// one.
const VERSION: Version = Version::V1_1;

/// How often a call that ends in [`Status::Busy`] is repeated.
const BUSY_TRIES: u32 = 16;

/// Handles that could not be reclaimed on drop and are tried again by [`Connection::sweep`].
const STRANDED: usize = 16;

/// What the partition said about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceInfo {
    /// Minor version of the service interface.
    pub minor: u16,
    /// Feature bits.
    pub features: u64,
    /// Largest number of 4 KiB pages in one area.
    pub max_pages: u64,
    /// Largest number of ranges in one area.
    pub max_ranges: u64,
}

/// A VM's connection with the Causeway partition.
///
/// ```
/// use causeway_client::connection::{Connection, Mailbox, OpenFailed};
/// use causeway_client::conduit::Conduit;
///
/// fn greet(conduit: &dyn Conduit, mailbox: Mailbox) -> Result<(), OpenFailed> {
///     let connection = Connection::open(conduit, mailbox)?;
///     println!("VM {} talks to partition {}", connection.id(), connection.partition());
///     println!("areas may have {} pages", connection.service().max_pages);
///     Ok(())
/// }
/// ```
pub struct Connection<'c> {
    conduit: &'c dyn Conduit,
    mailbox: SpinMutex<Option<Mailbox>>,
    id: EndpointId,
    partition: EndpointId,
    service: ServiceInfo,
    version: Version,
    stranded: SpinMutex<Stranded>,
}

#[derive(Default)]
struct Stranded {
    handles: ArrayVec<MemHandle, STRANDED>,
    lost: usize,
}

/// A connection that could not be opened; what was set up has been taken down again.
#[derive(Debug)]
pub struct OpenFailed {
    /// Why.
    pub error: Error,
    /// The buffers; `None` if the hypervisor would not give them back.
    pub mailbox: Option<Mailbox>,
}

impl<'c> Connection<'c> {
    /// Opens a connection with the partition that offers Causeway's service, as a caller of FF-A 1.1.
    ///
    /// # Errors
    /// [`OpenFailed`] with the first thing that went wrong.
    pub fn open(conduit: &'c dyn Conduit, mailbox: Mailbox) -> Result<Self, OpenFailed> {
        Self::open_as(conduit, mailbox, VERSION)
    }

    /// The same as a caller of FF-A 1.1 or 1.2: for a conduit behind which 1.2 is agreed on already
    /// (a host kernel that negotiated it for itself). The descriptors that go out have that
    /// version's layout, and those that come in are read as it says.
    ///
    /// # Errors
    /// [`OpenFailed`] with the first thing that went wrong; [`Rule::FfaVersion`] for another version.
    pub fn open_as(
        conduit: &'c dyn Conduit,
        mailbox: Mailbox,
        version: Version,
    ) -> Result<Self, OpenFailed> {
        if ![Version::V1_1, Version::V1_2].contains(&version) {
            let error = Error::caller(Rule::FfaVersion);
            return Err(OpenFailed { error, mailbox: Some(mailbox) });
        }
        let id =
            match exchange::negotiate(conduit, version).and_then(|()| exchange::own_id(conduit)) {
                Ok(id) => id,
                Err(error) => return Err(OpenFailed { error, mailbox: Some(mailbox) }),
            };
        if let Err(error) = mailbox.map(conduit) {
            return Err(OpenFailed { error, mailbox: Some(mailbox) });
        }
        let mut connection = Self {
            conduit,
            mailbox: SpinMutex::new(Some(mailbox)),
            id,
            partition: EndpointId::default(),
            service: ServiceInfo { minor: 0, features: 0, max_pages: 0, max_ranges: 0 },
            version,
            stranded: SpinMutex::default(),
        };
        match connection.find_partition().and_then(|found| {
            connection.partition = found;
            connection.ask_service()
        }) {
            Ok(service) => {
                connection.service = service;
                Ok(connection)
            }
            Err(error) => Err(OpenFailed { error, mailbox: connection.take_down().ok() }),
        }
    }

    /// Closes the connection and gives the buffers back.
    ///
    /// # Errors
    /// The hypervisor's refusal; the buffers then stay its own.
    pub fn close(mut self) -> Result<Mailbox, Error> {
        self.take_down()
    }

    /// Returns this VM's id.
    #[must_use]
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// Returns the partition's id.
    #[must_use]
    pub const fn partition(&self) -> EndpointId {
        self.partition
    }

    /// Returns the version of FF-A that this caller speaks.
    #[must_use]
    pub const fn ffa_version(&self) -> Version {
        self.version
    }

    /// Returns what the partition said about itself.
    #[must_use]
    pub const fn service(&self) -> ServiceInfo {
        self.service
    }

    /// Makes a call of the service interface and returns its results, x4-x7.
    ///
    /// # Errors
    /// [`Error::Refused`] with the partition's status, or what went wrong on the way.
    pub fn call(&self, call: Call) -> Result<[u64; 4], Error> {
        let number = call.id();
        for _ in 0..BUSY_TRIES {
            let reply = Reply::decode(&self.direct(call.encode())?)
                .ok_or(Error::partition(Rule::AnswerValues))?;
            if reply.call_number != number.number() {
                return Err(Error::partition(Rule::AnswerNumber));
            }
            if reply.status == Status::Ok {
                return Ok(reply.results);
            }
            if reply.status != Status::Busy {
                return Err(Error::Refused { call: number, status: reply.status });
            }
        }
        Err(Error::Refused { call: number, status: Status::Busy })
    }

    /// Sends five words to the partition and returns its five words. [`Connection::call`] and the
    /// bus use it; a test may send anything.
    ///
    /// # Errors
    /// [`Error::Ffa`], or what was wrong with the answer.
    pub fn direct(&self, words: Frame) -> Result<Frame, Error> {
        let request = DirectMessage {
            sender: self.id,
            receiver: self.partition,
            width: Width::Bits64,
            words,
        };
        let answer = exchange::resumed(self.conduit, &causeway_ffa::Call::DirectReq(request))?;
        let Answer::DirectResp(message) = answer else {
            return Err(Error::hypervisor(Rule::AnswerForm));
        };
        if message.sender != self.partition || message.receiver != self.id {
            return Err(Error::hypervisor(Rule::AnswerParties));
        }
        Ok(message.words)
    }

    /// Returns how many grants were dropped and could not be reclaimed yet. Their pages are lost
    /// until [`Connection::sweep`] succeeds, and never reused by this library.
    #[must_use]
    pub fn stranded(&self) -> usize {
        let stranded = self.stranded.lock();
        stranded.handles.len().saturating_add(stranded.lost)
    }

    /// Tries again to reclaim what was stranded; returns how many are left.
    pub fn sweep(&self) -> usize {
        let handles = self.stranded.lock().handles.take();
        for handle in handles {
            if self.reclaim(handle).is_err() {
                self.strand(handle);
            }
        }
        self.stranded()
    }

    /// Notes a handle that could not be reclaimed.
    pub(crate) fn strand(&self, handle: MemHandle) {
        let mut stranded = self.stranded.lock();
        if stranded.handles.try_push(handle).is_err() {
            stranded.lost = stranded.lost.saturating_add(1);
        }
    }

    /// Takes the buffers for one sequence.
    fn turn(&self) -> Result<Turn<'_>, Error> {
        Turn::take(self.conduit, self.mailbox.lock())
    }

    pub(crate) fn conduit(&self) -> &dyn Conduit {
        self.conduit
    }

    fn find_partition(&self) -> Result<EndpointId, Error> {
        let uuid = Uuid::from_bytes(SERVICE_UUID);
        let mut turn = self.turn()?;
        let call = causeway_ffa::Call::PartitionInfoGet { uuid, form: InfoForm::Descriptors };
        let Answer::Success(success) = turn.call(&call)? else {
            return Err(Error::hypervisor(Rule::AnswerForm));
        };
        let mut page = [0; mailbox::PAGE];
        turn.received().copy(&mut page);
        let malformed = Error::hypervisor(Rule::PartitionInfo);
        let infos = PartitionInfos::parse(&page, success.w(2), success.w(3), self.version)
            .map_err(|_| malformed)?;
        let mut found = None;
        for info in infos.iter() {
            // The UUID field means nothing where one was asked for; TF-A 2.12 leaves stale bytes.
            if info.id.is_secure() && found.replace(info.id).is_some() {
                return Err(Error::hypervisor(Rule::OnePartition));
            }
        }
        found.ok_or(Error::hypervisor(Rule::OnePartition))
    }

    fn ask_service(&self) -> Result<ServiceInfo, Error> {
        let [version, features, max_pages, max_ranges] =
            self.call(Call::Version { minor: VERSION_MINOR })?;
        let value =
            u32::try_from(version).map_err(|_| Error::partition(Rule::AnswerValues))?.to_le_bytes();
        let [n0, n1, j0, j1] = value;
        if u16::from_le_bytes([j0, j1]) != VERSION_MAJOR {
            return Err(Error::partition(Rule::InterfaceVersion));
        }
        Ok(ServiceInfo { minor: u16::from_le_bytes([n0, n1]), features, max_pages, max_ranges })
    }

    fn take_down(&mut self) -> Result<Mailbox, Error> {
        let kept = self.mailbox.get_mut();
        let mailbox = kept.take().ok_or(Error::caller(Rule::TooSmall))?;
        match mailbox.unmap(self.conduit) {
            Ok(()) => Ok(mailbox),
            Err(error) => {
                *kept = Some(mailbox);
                Err(error)
            }
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        // Whoever wants the buffers back calls `close`; here they are only taken from the
        // hypervisor, and a refusal leaves them with it.
        if self.mailbox.get_mut().is_some() {
            unheard(self.take_down());
        }
    }
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} with {})", self.id, self.partition)
    }
}
