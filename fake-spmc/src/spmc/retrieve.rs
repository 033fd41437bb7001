//! Owns what a partition does with memory that was sent to it: retrieve, fetch the rest, let go.
//! Never writes a response itself: `respond` does.

use super::raw::{RawHead, RawReceiver, header_len, le};
use super::respond;
use super::send::kind_flag;
use super::store::Sent;
use super::{Caller, Outcome, Spmc, success};
use crate::personality::{Lie, Listing, Response, Retrieves, Stranger, Verdict};
use causeway_ffa::{
    Answer, EndpointId, FfaError, Lengths, MemHandle, Regs, Transfer, relinquish::Relinquish,
};

const INVALID: FfaError = FfaError::InvalidParameters;
/// Bit 10 of a retrieve request's flags.
const BYPASS: u32 = 1 << 10;

impl Spmc {
    /// FFA_MEM_RETRIEVE_REQ. Source for the order: TF-A 2.12.1, `spmc_ffa_mem_retrieve_req`.
    pub(super) fn retrieve(&mut self, caller: Caller, lengths: Lengths) -> Outcome {
        // The normal world's hypervisor could ask Hafnium, and nobody else; it has no need to here.
        let Caller::Partition(who) = caller else { return Err(INVALID) };
        if self.lies(Lie::BusyForRetrieve) {
            return Err(FfaError::Busy);
        }
        let version = self.version_of(caller);
        let machine = self.machine.clone();
        let mailbox = self.mailbox(caller)?;
        if mailbox.bytes().is_none() {
            return Err(INVALID);
        }
        if mailbox.is_full() {
            return Err(FfaError::Denied);
        }
        let total = usize::try_from(lengths.total()).map_err(|_| INVALID)?;
        if !lengths.is_whole() || total < header_len(version) {
            return Err(INVALID);
        }
        let request = mailbox.read_tx(machine.ram(), total)?;
        let head = RawHead::read(&request, version).ok_or(INVALID)?;
        let handle = MemHandle::new(head.handle).ok_or(self.quirks().no_such_handle)?;
        let sent = self.store.find(handle).ok_or(self.quirks().no_such_handle)?;
        if !sent.is_whole() || head.receivers.is_empty() {
            return Err(INVALID);
        }
        if !sent.head().is_some_and(|of| of.lists(who)) {
            return self.stranger();
        }
        self.check_request(who, &head, sent, &request)?;
        let response = self.response(who, sent, &head)?;
        self.note(handle, who);
        self.answer_with(caller, handle, &response)
    }

    fn stranger(&mut self) -> Outcome {
        match self.quirks().stranger {
            Stranger::Refused(code) => Err(code),
            Stranger::Crash => {
                self.crash = Some("somebody retrieved what was not sent to it");
                Err(FfaError::Aborted)
            }
        }
    }

    fn check_request(
        &self,
        who: EndpointId,
        head: &RawHead,
        sent: &Sent,
        request: &[u8],
    ) -> Verdict {
        let q = self.quirks();
        let of = sent.head().ok_or(INVALID)?;
        match q.response {
            Response::AsSent | Response::OwnEntry => {
                if head.sender != of.sender || head.tag != of.tag {
                    return Err(INVALID);
                }
            }
            // A wrong sender is accepted (KB-13); the tag is the one that was stored.
            Response::OpTee => optee_composite(head, request)?,
        }
        if q.response == Response::OpTee && head.tag != of.tag {
            return Err(INVALID);
        }
        let bypass = head.flags & BYPASS != 0;
        let flags = head.flags & !BYPASS;
        if (bypass && q.listing != Listing::EveryBorrowerOrBypass)
            || head.attributes & (1 << 6) != 0
            || (flags != 0 && flags != kind_flag(sent.kind))
        {
            return Err(INVALID);
        }
        let known = head.receivers.iter().all(|receiver| of.lists(receiver.id));
        let every = head.receivers.len() == of.receivers.len() && known;
        let alone = head.receivers.len() == 1 && head.lists(who);
        let listed = match q.listing {
            Listing::EveryBorrower => every,
            Listing::EveryBorrowerOrBypass => every || (bypass && alone),
            Listing::CallerAlone => alone,
        };
        if !listed {
            return Err(INVALID);
        }
        self.check_access(who, sent.kind, head, &of)?;
        match q.retrieves {
            Retrieves::Once(code) if sent.retrieved.contains(&who) => Err(code),
            Retrieves::Once(_) | Retrieves::Counted => Ok(()),
        }
    }

    /// More than was granted is not given. The EL3 SPMC does not look: its response has the sender's
    /// own words.
    fn check_access(
        &self,
        who: EndpointId,
        kind: Transfer,
        head: &RawHead,
        of: &RawHead,
    ) -> Verdict {
        let access = |head: &RawHead| {
            let own = head.receivers.iter().find(|receiver| receiver.id == who);
            own.map_or(0, |receiver| receiver.access & 3)
        };
        let (asked, granted) = (access(head), access(of));
        let too_much = asked == 2 && granted == 1;
        // `ffa_memory_retrieve_is_memory_access_valid`: whether it may be executed is said by who borrows
        // alone, and by nobody else (run: INVALID_PARAMETERS).
        let alone = kind != Transfer::Share && of.receivers.len() == 1;
        let says = |receiver: &RawReceiver| receiver.access >> 2 & 3 != 0;
        match self.quirks().response {
            Response::AsSent => Ok(()),
            Response::OwnEntry if head.receivers.iter().any(|one| says(one) != alone) => {
                Err(INVALID)
            }
            Response::OwnEntry if too_much => Err(FfaError::Denied),
            Response::OpTee if too_much => Err(INVALID),
            Response::OwnEntry | Response::OpTee => Ok(()),
        }
    }

    fn response(&self, who: EndpointId, sent: &Sent, head: &RawHead) -> Result<Vec<u8>, FfaError> {
        let mut response = match self.quirks().response {
            Response::AsSent => respond::as_sent(sent),
            Response::OwnEntry => respond::own_entry(sent, head, who).ok_or(INVALID)?,
            Response::OpTee => respond::optee(sent, who).ok_or(INVALID)?,
        };
        respond::lie(&mut response, self.personality.lies);
        Ok(response)
    }

    fn note(&mut self, handle: MemHandle, who: EndpointId) {
        let mut is_over = false;
        if let Some(sent) = self.store.find_mut(handle) {
            sent.retrieved.push(who);
            is_over = sent.kind == Transfer::Donate;
        }
        self.machine.pages(|pages| pages.retrieved(handle, who));
        // A donation is over when it is retrieved: its name is free again.
        if is_over {
            self.store.remove(handle);
        }
    }

    /// Puts the first fragment into RX.
    fn answer_with(&mut self, caller: Caller, handle: MemHandle, response: &[u8]) -> Outcome {
        let machine = self.machine.clone();
        let (quirks, lies) = (*self.quirks(), self.personality.lies);
        let mailbox = self.mailbox(caller)?;
        let room = mailbox.bytes().ok_or(INVALID)?;
        if response.len() > room {
            quirks.fragmented_response?;
        }
        let mut filled = response.to_vec();
        if quirks.response == Response::OpTee {
            // All of RX, stale bytes included.
            filled.resize(room, 0x5a);
        }
        mailbox.fill_rx(machine.ram(), &filled)?;
        if lies.has(Lie::GarbageRegisters) {
            return Ok(Regs([u64::MAX; 18]));
        }
        if lies.has(Lie::WrongAnswer) {
            return Ok(Answer::handle(handle).encode());
        }
        let (total, first) = respond::announced(filled.len(), room, lies);
        let lengths = Lengths::new(total, first).ok_or(INVALID)?;
        Ok(Answer::MemRetrieveResp(lengths).encode())
    }

    /// FFA_MEM_FRAG_RX.
    pub(super) fn retrieve_more(
        &mut self,
        caller: Caller,
        handle: MemHandle,
        offset: u32,
        endpoint: EndpointId,
    ) -> Outcome {
        self.quirks().fragmented_response.map_err(|_| FfaError::NotSupported)?;
        let Caller::Partition(who) = caller else { return Err(INVALID) };
        let sent = self.store.find(handle).ok_or(self.quirks().no_such_handle)?;
        if endpoint.get() != 0 && endpoint != sent.sender {
            return Err(INVALID);
        }
        let lies = self.personality.lies;
        let head = sent.head().ok_or(INVALID)?;
        let mut response = self.response(who, sent, &head)?;
        if lies.has(Lie::EndlessFragments) || lies.has(Lie::HugeTotal) {
            response = vec![0; usize::try_from(offset).unwrap_or(0).saturating_add(16)];
        }
        let offset = usize::try_from(offset).map_err(|_| INVALID)?;
        let rest = response.get(offset..).filter(|rest| !rest.is_empty()).ok_or(INVALID)?;
        let machine = self.machine.clone();
        let mailbox = self.mailbox(caller)?;
        if mailbox.is_full() {
            return Err(FfaError::Denied);
        }
        let room = mailbox.bytes().ok_or(INVALID)?;
        let part = rest.get(..rest.len().min(room)).unwrap_or(rest);
        mailbox.fill_rx(machine.ram(), part)?;
        if lies.has(Lie::NoFragment) {
            return Ok(success());
        }
        let handle = if lies.has(Lie::FragmentHandle) {
            MemHandle::new(handle.get() ^ 1).unwrap_or(handle)
        } else {
            handle
        };
        let length = u32::try_from(part.len()).map_err(|_| INVALID)?;
        Ok(Answer::MemFragTx { handle, length, endpoint }.encode())
    }

    /// FFA_MEM_RELINQUISH. Source for the order: TF-A 2.12.1, `spmc_ffa_mem_relinquish`.
    pub(super) fn relinquish(&mut self, caller: Caller) -> Outcome {
        let Caller::Partition(who) = caller else { return Err(INVALID) };
        if self.lies(Lie::RelinquishRefused) {
            return Err(FfaError::Denied);
        }
        let machine = self.machine.clone();
        let mailbox = self.mailbox(caller)?;
        let room = mailbox.bytes().ok_or(INVALID)?;
        let bytes = mailbox.read_tx(machine.ram(), room.min(64))?;
        let request = Relinquish::parse(&bytes).map_err(|rule| rule.status())?;
        if request.flags() != Default::default() || request.sole_endpoint() != Some(who) {
            return Err(INVALID);
        }
        let handle = request.handle();
        let missing = self.quirks().no_such_handle;
        let sent = self.store.find_mut(handle).ok_or(missing)?;
        let at = sent.retrieved.iter().position(|id| *id == who).ok_or(missing)?;
        sent.retrieved.remove(at);
        self.machine.pages(|pages| pages.relinquished(handle, who));
        Ok(success())
    }
}

/// OP-TEE follows the composite's offset in a request, and reads the wished address behind it.
fn optee_composite(head: &RawHead, request: &[u8]) -> Verdict {
    let offset = head.receivers.first().map_or(0, |receiver| receiver.composite);
    let at = usize::try_from(offset).map_err(|_| INVALID)?;
    let zeroed = (0..3).all(|word| le::<8>(request, at + 8 * word) == Some(0));
    if at == 0 || !zeroed { Err(INVALID) } else { Ok(()) }
}
