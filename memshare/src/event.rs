//! Owns what goes into the broker and what comes out; never decides anything.

use crate::grant::{GrantId, GrantView};
use crate::ledger::Record;
use causeway_abi::{
    Call, DigestHalf, Frame, GrantKind, InterruptCall, LedgerScope, Permission, Status, VaultCall,
};
use causeway_ffa::descriptor::ExactPages;
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageRange};

/// One thing that happened. The first of a sequence comes from a caller, the bus or the clock; the
/// others are the results of what [`Next`] asked for.
#[derive(Debug)]
pub enum Event<'a> {
    /// A direct message whose first byte is no virtio-msg type. `caller` is the id that the SPMC
    /// vouches for. Decoded here, so that malformed frames reach the ledger as well.
    Frame {
        /// Who called.
        caller: EndpointId,
        /// The words x3-x7.
        frame: Frame,
    },
    /// A direct message whose first byte is a virtio-msg type. Answered by [`Next::BusFrame`], or by
    /// [`Next::Reply`] for a caller that is no live VM of the policy.
    BusFrame {
        /// Who called.
        caller: EndpointId,
        /// The words x3-x7.
        frame: Frame,
    },
    /// The framework message "VM created" (DEN0077A 1.2, VM availability). Answered by [`Next::VmReply`].
    VmCreated {
        /// Who sent the message.
        caller: EndpointId,
        /// Which VM it speaks of.
        vm: EndpointId,
    },
    /// The framework message "VM destroyed": the hypervisor says that the VM runs no more and that
    /// whatever it borrowed is unmapped. Answered by [`Next::VmReply`].
    VmDestroyed {
        /// Who sent the message.
        caller: EndpointId,
        /// Which VM it speaks of.
        vm: EndpointId,
    },
    /// The bus begins to use an area (a FIFO, a queue, an area binding). For a local area the first
    /// use maps it. Answered by [`Next::Used`].
    Use {
        /// The area, as [`crate::Broker::resolve`] named it.
        grant: GrantId,
    },
    /// The bus ends one use that [`Event::Use`] began. Answered by [`Next::Used`].
    Unuse {
        /// The area.
        grant: GrantId,
    },
    /// The bus has put messages for this VM into its FIFO, which was empty before, or could not
    /// put them there: rings the VM's doorbell and sets bit 2 of its EVENTS until its next BUS_KICK.
    /// Answered by [`Next::Idle`].
    BusWaiting {
        /// The VM.
        vm: EndpointId,
        /// The VM whose message led to this, out of whose ration the doorbell is taken; none if it is
        /// the partition's own doing.
        by: Option<EndpointId>,
    },
    /// An interrupt of a secure device waits for this VM, which has been told of none before: rings its
    /// doorbell. Answered by [`Next::Idle`].
    InterruptWaiting {
        /// The VM.
        vm: EndpointId,
    },
    /// The partition has something to say to this VM: rings its doorbell. Answered by [`Next::Idle`].
    Ring {
        /// The VM.
        vm: EndpointId,
    },
    /// Nothing but the passing of time: on each entry that leads to no other event.
    Tick,
    /// The result of [`Next::Retrieve`], whatever the response says.
    Retrieved(Result<Descriptor<'a>, FfaError>),
    /// The result of [`Next::Retrieve`] where all of the response but the pages is word for word what
    /// was asked for: sender, tag, kind, attributes, borrowers, permissions.
    RetrievedAsAsked(ExactPages<'a>),
    /// The result of [`Next::Relinquish`].
    Relinquished(Result<(), FfaError>),
    /// The result of [`Next::Map`].
    Mapped(Result<(), MapFailed>),
    /// The result of [`Next::Unmap`].
    Unmapped(Result<(), MapFailed>),
    /// The result of [`Next::Copy`]: how many bytes were moved, from the front.
    Copied(Result<u32, MapFailed>),
    /// The answer to [`Next::Continue`].
    Continue,
}

impl Event<'_> {
    /// A call as its caller sends it.
    #[must_use]
    pub fn call(caller: EndpointId, call: &Call) -> Self {
        Self::Frame { caller, frame: call.encode() }
    }
}

/// The partition's own stage 1 could not be changed; it is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapFailed;

/// Cacheability and shareability of a transaction's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caching {
    /// Normal memory, write-back, inner shareable (attribute bits 5:0 are 0x2f).
    NormalWriteBackInner,
    /// Anything else.
    Other,
}

/// The NS bit (bit 6) of a transaction's memory attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// The SPMC says that the memory is non-secure.
    NonSecure,
    /// The SPMC says that the memory is secure, or says nothing where it should.
    Secure,
    /// This SPMC is known not to report the bit.
    NotReported,
}

/// One receiver of a transaction. A permission that is neither read-only nor read-write is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Borrower {
    /// The receiver.
    pub id: EndpointId,
    /// What it may do with the data.
    pub permission: Option<Permission>,
    /// Whether the descriptor lets it execute (instruction access other than "not specified" or
    /// "not executable").
    pub executable: bool,
}

/// The facts of a retrieve response, from a private copy that nobody else can write.
pub struct Descriptor<'a> {
    /// Who sent the transaction.
    pub sender: EndpointId,
    /// Its tag.
    pub tag: u64,
    /// Share, lend or donate; `None` where the SPMC does not say.
    pub kind: Option<GrantKind>,
    /// Cacheability and shareability.
    pub caching: Caching,
    /// The NS bit.
    pub security: Security,
    /// Every receiver, in the order of the descriptor.
    pub borrowers: &'a [Borrower],
    /// The total that the composite descriptor claims.
    pub total_page_count: u32,
    /// The constituents in order; `None` for one that is unaligned, empty or out of range, and once
    /// more at the end if the descriptor ends too early. Read at most once.
    pub ranges: &'a mut dyn Iterator<Item = Option<PageRange>>,
}

impl core::fmt::Debug for Descriptor<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Descriptor")
            .field("sender", &self.sender)
            .field("tag", &self.tag)
            .field("kind", &self.kind)
            .field("borrowers", &self.borrowers)
            .field("total_page_count", &self.total_page_count)
            .finish_non_exhaustive()
    }
}

/// What FFA_MEM_RETRIEVE_REQ needs. The request lists the partition and, if there is one, the peer,
/// with this permission and no execution; it must not ask for zeroing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetrieveRequest {
    /// The transaction.
    pub handle: MemHandle,
    /// Its sender.
    pub owner: EndpointId,
    /// The other receiver.
    pub peer: Option<EndpointId>,
    /// What sender and receivers agreed upon out of band.
    pub tag: u64,
    /// Goes into the transaction-type flags.
    pub kind: GrantKind,
    /// For every receiver.
    pub permission: Permission,
}

/// How to interrupt the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Doorbell {
    /// INTID of a non-secure SGI, 0-7.
    pub sgi: u8,
    /// Linear core number.
    pub core: u16,
}

/// Something to do that has no result. In order, before [`Next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// Append to the ledger ([`crate::Ledger::append`]).
    Ledger(Record),
    /// Raise the hypervisor's doorbell.
    RingHypervisor(Doorbell),
    /// The area, which was accepted or active, no longer is: the bus forgets FIFOs, queues and
    /// bindings that lie in it, used or not. All uses of it have ended; no [`Event::Unuse`] must
    /// follow. Must not lead to another event. Comes before a [`Next::Unmap`] of the area. Said
    /// once more only where the destruction of a VM failed and is taken up again.
    AreaLost {
        /// Its name, which may be stale already.
        grant: GrantId,
        /// Whose it is.
        owner: EndpointId,
        /// Under which handle.
        handle: MemHandle,
    },
}

/// The verdict on a VM availability message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmVerdict {
    /// FFA status SUCCESS.
    Done,
    /// FFA status RETRY: bounded work was done, more is left; send the message again.
    InProgress,
    /// FFA status DENIED; the ledger has the reason.
    Refused(Status),
}

/// What comes after the notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Next {
    /// Retrieve and keep; then [`Event::Retrieved`].
    Retrieve(RetrieveRequest),
    /// Give the retrieved memory back; then [`Event::Relinquished`].
    Relinquish(MemHandle),
    /// Map a local area: non-secure, never executable, with this permission; then
    /// [`Event::Mapped`]. All or nothing.
    Map {
        /// Its pages: [`crate::Broker::ranges`].
        grant: GrantId,
        /// No more than this.
        permission: Permission,
    },
    /// Unmap a local area and invalidate; then [`Event::Unmapped`].
    Unmap {
        /// Its pages: [`crate::Broker::ranges`].
        grant: GrantId,
    },
    /// Copy between two local areas; then [`Event::Copied`]. Maps what it needs of both
    /// ([`crate::Broker::translate`] says where it lies), the source read-only, both non-secure and
    /// never executable, and unmaps it before it comes back. Other cores and VMs write both areas at
    /// any time.
    Copy {
        /// The area that is read.
        from: GrantId,
        /// Where in it.
        from_offset: u64,
        /// The area that is written.
        to: GrantId,
        /// Where in it.
        to_offset: u64,
        /// How much: [`causeway_abi::join::COPY_MAX_BYTES`] at most.
        len: u32,
    },
    /// Nothing to do but to come back with [`Event::Continue`]: keeps each step small.
    Continue,
    /// The end: answer the direct request with these words.
    Reply(Frame),
    /// The end: answer the framework message.
    VmReply(VmVerdict),
    /// The end: the caller is live and may kick; the bus answers.
    BusKick {
        /// The caller.
        vm: EndpointId,
    },
    /// The end: the caller is live; the bus answers its virtio-msg frame.
    BusFrame {
        /// The caller.
        vm: EndpointId,
    },
    /// The end: the caller may make this call about interrupts as far as its being who it is goes; the
    /// router of interrupts answers.
    Interrupt {
        /// The caller.
        caller: EndpointId,
        /// What it asked.
        call: InterruptCall,
    },
    /// The end: the caller may know the head of the ledger; [`crate::Ledger::head`] answers.
    LedgerHead {
        /// The caller.
        vm: EndpointId,
        /// Whose records.
        scope: LedgerScope,
        /// Which half.
        half: DigestHalf,
    },
    /// The end: the caller may read the ledger into its local area. The image begins a use of the
    /// area, writes what [`crate::Ledger::page`] gives, ends the use, and answers.
    LedgerRead {
        /// The caller.
        vm: EndpointId,
        /// The area.
        grant: GrantId,
        /// Whose records.
        scope: LedgerScope,
        /// Where to go on.
        cursor: u64,
    },
    /// The end: the caller is live; the security services answer, and ask policy themselves.
    Vault {
        /// The caller.
        vm: EndpointId,
        /// What it asked.
        call: VaultCall,
    },
    /// The end: the answer to [`Event::Use`] and [`Event::Unuse`].
    Used(Result<GrantView, Status>),
    /// The end: nothing to answer.
    Idle,
}

/// The most notices that one step can carry.
pub const MAX_NOTICES: usize = 8;

/// The effects of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Step {
    pub(crate) out: Out,
    /// Never an error once the step is done.
    pub(crate) next: Result<Next, Status>,
}

impl Step {
    /// Nothing to do, for [`crate::Broker::step_into`].
    pub const fn new() -> Self {
        Self { out: Out::new(), next: Ok(Next::Idle) }
    }

    /// The notices in order.
    #[inline]
    pub fn notices(&self) -> impl Iterator<Item = &Notice> + '_ {
        self.out.notices().iter()
    }

    /// Whether there is any notice.
    #[inline]
    #[must_use]
    pub const fn has_notices(&self) -> bool {
        self.out.count > 0
    }

    /// The answer to the call, where this step ends it with one.
    #[inline]
    #[must_use]
    pub const fn reply(&self) -> Option<&Frame> {
        if let Ok(Next::Reply(frame)) = &self.next { Some(frame) } else { None }
    }

    /// What to do after the notices.
    #[inline]
    pub const fn next(&self) -> Next {
        *self.as_next()
    }

    /// [`Step::next`], where it lies.
    #[inline]
    pub const fn as_next(&self) -> &Next {
        match &self.next {
            Ok(next) => next,
            Err(_) => &Next::Idle,
        }
    }
}

impl Default for Step {
    fn default() -> Self {
        Self::new()
    }
}

/// Collects the notices of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    /// Behind `count` there are some of earlier steps, which nobody sees.
    notices: [Notice; MAX_NOTICES],
    count: usize,
    now: u64,
    /// The VM that caused the step, by its place in the policy.
    sender: Option<u8>,
}

/// What fills the places that were never used.
const NO_NOTICE: Notice = Notice::RingHypervisor(Doorbell { sgi: 0, core: 0 });

impl Out {
    pub(crate) const fn new() -> Self {
        Self { notices: [NO_NOTICE; MAX_NOTICES], count: 0, now: 0, sender: None }
    }

    /// Forgets the last step.
    #[inline]
    pub(crate) const fn begin(&mut self, now: u64, sender: Option<u8>) {
        (self.count, self.now, self.sender) = (0, now, sender);
    }

    #[inline]
    fn notices(&self) -> &[Notice] {
        self.notices.get(..self.count).unwrap_or_default()
    }

    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    pub(crate) const fn sender(&self) -> Option<u8> {
        self.sender
    }

    pub(crate) const fn set_sender(&mut self, sender: Option<u8>) {
        self.sender = sender;
    }

    pub(crate) fn push(&mut self, notice: Notice) {
        debug_assert!(self.count < MAX_NOTICES, "a step has more notices than MAX_NOTICES");
        if let Some(place) = self.notices.get_mut(self.count) {
            *place = notice;
            self.count = self.count.saturating_add(1);
        }
    }
}

impl PartialEq for Out {
    fn eq(&self, other: &Self) -> bool {
        self.notices() == other.notices() && (self.now, self.sender) == (other.now, other.sender)
    }
}

impl Eq for Out {}
