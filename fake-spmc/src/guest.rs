//! Owns a VM's program by hand: one call at a time, with the buffers in its last two pages. Never
//! tidies up, so that a test can leave things as they are. For a client library that does, see
//! `causeway-client`.

use crate::layout::{self, PARTITION};
use crate::platform::Platform;
use causeway_abi::{
    Call as Service, GrantKind, GrantSummary, GrantTerms, LifeState, NO_HANDLE, Permission, Reply,
    Status,
};
use causeway_ffa::call::{ReclaimFlags, Width};
use causeway_ffa::descriptor::{Access, Builder, DataAccess, InstructionAccess, Receiver, Spec};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageAddr, PageRange, Transfer, Version,
    relinquish,
};

/// What went wrong: the status of the FF-A call, or the verdict of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// FFA_ERROR.
    Ffa(FfaError),
    /// A status of the service interface.
    Service(Status),
}

impl From<FfaError> for Refusal {
    fn from(error: FfaError) -> Self {
        Self::Ffa(error)
    }
}

/// One VM's program.
#[derive(Clone, Debug)]
pub struct Guest {
    platform: Platform,
    id: EndpointId,
    ram: PageRange,
}

const UNSTATED: Access =
    Access { data: DataAccess::NotSpecified, instruction: InstructionAccess::NotSpecified };

fn receiver(id: EndpointId, permission: Permission) -> Receiver {
    match permission {
        Permission::ReadOnly => Receiver::read_only(id),
        Permission::ReadWrite => Receiver::read_write(id),
    }
}

/// The transfer that a kind of grant needs.
#[must_use]
pub const fn transfer(kind: GrantKind) -> Transfer {
    match kind {
        GrantKind::Share => Transfer::Share,
        GrantKind::Lend => Transfer::Lend,
        GrantKind::Donate => Transfer::Donate,
    }
}

impl Guest {
    /// The program of VM `vm`, which has `vm_pages` pages. Make one for each boot: it
    /// registers its buffers.
    #[must_use]
    pub fn new(platform: &Platform, vm: u16, vm_pages: u32) -> Self {
        let (id, ram) = (EndpointId::from_raw(vm), layout::vm_ram(vm, vm_pages));
        let guest = Self { platform: platform.clone(), id, ram };
        let mapped = guest.map_buffers();
        debug_assert!(mapped, "a fresh VM has no buffers yet");
        guest
    }

    /// Registers the buffers: once, and again after a restart. False if that is refused.
    #[must_use]
    pub fn map_buffers(&self) -> bool {
        let (Some(tx), Some(rx)) = (PageAddr::new(self.tx()), PageAddr::new(self.tx() + 4096))
        else {
            return false;
        };
        let map = Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 };
        self.call(&map).is_ok()
    }

    fn tx(&self) -> u64 {
        self.ram.end() - 8192
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// Pages of its RAM, from page `first` on.
    ///
    /// # Panics
    /// If they are no pages at all.
    #[must_use]
    pub fn pages(&self, first: u32, count: u32) -> PageRange {
        crate::ram::range(self.ram.start().get() + u64::from(first) * 4096, count)
    }

    /// An FF-A call.
    ///
    /// # Errors
    /// The status of an FFA_ERROR, or of an answer that makes no sense.
    pub fn call(&self, call: &Call) -> Result<Answer, FfaError> {
        let mut regs = call.encode();
        self.platform.call(self.id.get(), &mut regs);
        match Answer::decode(&regs, Version::V1_1) {
            Ok(Answer::Error(code)) => Err(code),
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(refusal.status()),
        }
    }

    /// A call on the service interface.
    ///
    /// # Errors
    /// A status other than Ok, or that the message did not come through.
    pub fn ask(&self, call: Service) -> Result<[u64; 4], Refusal> {
        let Reply { status, results, .. } = self.platform.service(self.id.get(), call)?;
        if status == Status::Ok { Ok(results) } else { Err(Refusal::Service(status)) }
    }

    fn write_tx(&self, bytes: &[u8]) -> Result<(), FfaError> {
        let written = self.platform.machine().ram().write(self.tx(), bytes);
        written.ok_or(FfaError::InvalidParameters)
    }

    fn write_spec(&self, spec: Spec<'_>) -> Result<Lengths, FfaError> {
        let builder = Builder::new(spec).map_err(|rule| rule.status())?;
        let mut bytes = [0; 4096];
        let written = builder.write(0, &mut bytes).map_err(|rule| rule.status())?;
        self.write_tx(bytes.get(..written).unwrap_or(&bytes))?;
        let written = u32::try_from(written).map_err(|_| FfaError::InvalidParameters)?;
        Lengths::new(builder.total_len(), written).ok_or(FfaError::InvalidParameters)
    }

    /// FFA_MEM_SHARE or LEND with the tag 0, as far as one fragment holds it.
    ///
    /// # Errors
    /// The status.
    pub fn send(
        &self,
        kind: Transfer,
        receivers: &[Receiver],
        ranges: &[PageRange],
    ) -> Result<MemHandle, FfaError> {
        let spec = Spec::send(Version::V1_1, kind, self.id, 0, receivers, ranges);
        let lengths = self.write_spec(spec)?;
        match self.call(&Call::MemSend { kind, lengths })? {
            Answer::Success(success) => success.handle().ok_or(FfaError::NotSupported),
            Answer::Error(code) => Err(code),
            Answer::MemRetrieveResp(_)
            | Answer::MemFragRx { .. }
            | Answer::MemFragTx { .. }
            | Answer::DirectResp(_)
            | Answer::DirectResp2(_)
            | Answer::FrameworkResp(_)
            | Answer::Interrupt { .. }
            | Answer::Yield { .. }
            | Answer::MsgWait => Err(FfaError::NotSupported),
        }
    }

    /// Sends what `terms` need: to the partition, and to the peer.
    ///
    /// # Errors
    /// The status.
    pub fn send_for(
        &self,
        terms: &GrantTerms,
        ranges: &[PageRange],
    ) -> Result<MemHandle, FfaError> {
        let both = [PARTITION].into_iter().chain(terms.peer);
        let mut receivers: Vec<_> = both.map(|id| receiver(id, terms.permission)).collect();
        if terms.kind == GrantKind::Donate {
            // What is the receiver's own needs no permission, and may state none (DEN0140).
            receivers.iter_mut().for_each(|receiver| receiver.access = UNSTATED);
        }
        self.send(transfer(terms.kind), &receivers, ranges)
    }

    /// OFFER with the tag 0.
    ///
    /// # Errors
    /// The verdict.
    pub fn offer(&self, handle: MemHandle, terms: GrantTerms) -> Result<[u64; 4], Refusal> {
        self.ask(Service::Offer { handle, terms, tag: 0 })
    }

    /// Send and OFFER; a send whose offer is refused stays sent.
    ///
    /// # Errors
    /// The first refusal.
    pub fn grant(&self, terms: GrantTerms, ranges: &[PageRange]) -> Result<MemHandle, Refusal> {
        let handle = self.send_for(&terms, ranges)?;
        self.offer(handle, terms).map(|_| handle)
    }

    /// The first grant offered to this VM.
    #[must_use]
    pub fn first_offer(&self) -> Option<MemHandle> {
        let [handle, ..] = self.ask(Service::List { cursor: 0 }).ok()?;
        if handle == NO_HANDLE { None } else { MemHandle::new(handle) }
    }

    /// INSPECT of the first range.
    ///
    /// # Errors
    /// The verdict.
    pub fn inspect(&self, handle: MemHandle) -> Result<GrantSummary, Refusal> {
        let [a, b, c, _] = self.ask(Service::Inspect { handle, range_index: 0 })?;
        GrantSummary::from_words([a, b, c]).ok_or(Refusal::Service(Status::BadArgument))
    }

    /// INSPECT and ACCEPT.
    ///
    /// # Errors
    /// The first refusal.
    pub fn accept(&self, handle: MemHandle) -> Result<GrantSummary, Refusal> {
        let seen = self.inspect(handle)?;
        self.ask(Service::Accept { handle, seen }).map(|_| seen)
    }

    /// FFA_MEM_RETRIEVE_REQ of what was accepted; RX is given back at once.
    ///
    /// # Errors
    /// The status.
    pub fn retrieve(&self, handle: MemHandle, seen: &GrantSummary) -> Result<(), FfaError> {
        let receivers = [PARTITION, self.id].map(|id| receiver(id, seen.permission));
        let kind = Some(transfer(seen.kind));
        let spec = Spec::retrieve_request(Version::V1_1, seen.owner, handle, kind, 0, &receivers);
        let lengths = self.write_spec(spec)?;
        self.call(&Call::MemRetrieveReq { lengths })?;
        self.call(&Call::RxRelease { vm: EndpointId::default() }).map(|_| ())
    }

    /// FFA_MEM_RELINQUISH.
    ///
    /// # Errors
    /// The status.
    pub fn relinquish(&self, handle: MemHandle) -> Result<(), FfaError> {
        let mut bytes = [0; 64];
        relinquish::write(handle, ReclaimFlags::default(), &[self.id], &mut bytes)
            .map_err(|rule| rule.status())?;
        self.write_tx(&bytes)?;
        self.call(&Call::MemRelinquish).map(|_| ())
    }

    /// FFA_MEM_RECLAIM.
    ///
    /// # Errors
    /// The status.
    pub fn reclaim(&self, handle: MemHandle) -> Result<(), FfaError> {
        self.call(&Call::MemReclaim { handle, flags: ReclaimFlags::default() }).map(|_| ())
    }

    /// REVOKE.
    ///
    /// # Errors
    /// The verdict.
    pub fn revoke(&self, handle: MemHandle) -> Result<LifeState, Refusal> {
        self.ask(Service::Revoke { handle }).and_then(state)
    }

    /// RELEASE.
    ///
    /// # Errors
    /// The verdict.
    pub fn release(&self, handle: MemHandle) -> Result<LifeState, Refusal> {
        self.ask(Service::Release { handle }).and_then(state)
    }

    /// STATE.
    ///
    /// # Errors
    /// The verdict.
    pub fn state(&self, handle: MemHandle) -> Result<LifeState, Refusal> {
        self.ask(Service::State { handle }).and_then(state)
    }

    /// Writes as this VM; false if it does not map the bytes.
    #[must_use]
    pub fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.platform.machine().write(self.id, address, bytes)
    }

    /// Reads as this VM; `None` if it does not map the bytes.
    #[must_use]
    pub fn read(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.platform.machine().read(self.id, address, &mut bytes).then_some(bytes)
    }
}

fn state([code, ..]: [u64; 4]) -> Result<LifeState, Refusal> {
    let code = u8::try_from(code).ok();
    code.and_then(LifeState::from_code).ok_or(Refusal::Service(Status::BadArgument))
}
