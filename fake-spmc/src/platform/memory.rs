//! Owns the owner's side of memory at the hypervisor: send and reclaim. Never maps a borrower.

use super::vm::{Outcome, Partial};
use super::{Mediation, World};
use crate::layout::{self, PARTITION};
use causeway_abi::Permission;
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::descriptor::{DataAccess, Receiver, Role, Transaction};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageRange, Transfer, Version,
};

/// A transaction that a VM began.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) handle: MemHandle,
    pub(super) owner: EndpointId,
    pub(super) kind: Transfer,
    pub(super) tag: u64,
    pub(super) receivers: Vec<Receiver>,
    pub(super) ranges: Vec<PageRange>,
    /// Those VMs that map it now.
    pub(super) mapped_by: Vec<EndpointId>,
}

const INVALID: FfaError = FfaError::InvalidParameters;

/// A descriptor's terms.
struct Terms {
    tag: u64,
    receivers: Vec<Receiver>,
    ranges: Vec<PageRange>,
}

impl World {
    /// The first fragment. The rest is collected here, and the SPMC gets all of it back to back
    /// (KB-09).
    pub(super) fn send(&mut self, id: EndpointId, kind: Transfer, lengths: Lengths) -> Outcome {
        let machine = self.machine.clone();
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        let fragment = usize::try_from(lengths.fragment()).map_err(|_| INVALID)?;
        let total = usize::try_from(lengths.total()).map_err(|_| INVALID)?;
        if total > 128 << 10 {
            return Err(FfaError::NoMemory);
        }
        let bytes = vm.read_tx(machine.ram(), fragment)?;
        let name = MemHandle::new(1 << 62 | u64::from(id.get())).ok_or(INVALID)?;
        vm.partial = Some(Partial { name, kind, total, bytes });
        self.progress(id)
    }

    pub(super) fn send_more(&mut self, id: EndpointId, handle: MemHandle, length: u32) -> Outcome {
        let machine = self.machine.clone();
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        let length = usize::try_from(length).map_err(|_| INVALID)?;
        let more = vm.read_tx(machine.ram(), length);
        let mut partial =
            vm.partial.take().filter(|partial| partial.name == handle).ok_or(INVALID)?;
        partial.bytes.extend(more?);
        if partial.bytes.len() > partial.total {
            return Err(INVALID);
        }
        vm.partial = Some(partial);
        self.progress(id)
    }

    fn progress(&mut self, id: EndpointId) -> Outcome {
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        let partial = vm.partial.take().ok_or(INVALID)?;
        if partial.bytes.len() < partial.total {
            let offset = u32::try_from(partial.bytes.len()).map_err(|_| INVALID)?;
            let handle = partial.name;
            vm.partial = Some(partial);
            return Ok(Answer::MemFragRx { handle, offset, endpoint: EndpointId::default() });
        }
        self.forward(id, partial.kind, &partial.bytes)
    }

    /// Checks a whole descriptor, takes lent and donated pages away, and sends it.
    fn forward(&mut self, id: EndpointId, kind: Transfer, bytes: &[u8]) -> Outcome {
        let version = self.vm(id).ok_or(FfaError::Aborted)?.version;
        let terms = match (terms(bytes, kind, version), self.mediation) {
            (Ok((sender, terms)), Mediation::Checked) => {
                self.check(id, sender, kind, &terms)?;
                Some(terms)
            }
            (Ok((sender, terms)), Mediation::Raw) => (sender == id).then_some(terms),
            (Err(code), Mediation::Checked) => return Err(code),
            (Err(_), Mediation::Raw) => None,
        };
        let taken = match &terms {
            Some(terms) if kind != Transfer::Share => terms.ranges.clone(),
            _ => Vec::new(),
        };
        let owned: Vec<_> = self
            .machine
            .pages(|pages| taken.into_iter().filter(|range| pages.is_free(id, *range)).collect());
        self.machine.pages(|pages| owned.iter().for_each(|range| pages.unmap(id, *range)));
        let sent = self.send_on(kind, bytes);
        let Ok(handle) = sent else {
            let back = |range: &PageRange, pages: &mut crate::pages::PageModel| {
                pages.map(id, *range, Permission::ReadWrite);
            };
            self.machine.pages(|pages| owned.iter().for_each(|range| back(range, pages)));
            return sent.map(Answer::handle);
        };
        let terms = terms.unwrap_or(Terms { tag: 0, receivers: Vec::new(), ranges: Vec::new() });
        let Terms { tag, receivers, ranges } = terms;
        let mapped_by = Vec::new();
        // Only a donation that is over can have had this name.
        self.shares.retain(|share| share.handle != handle);
        self.shares.push(Share { handle, owner: id, kind, tag, receivers, ranges, mapped_by });
        Ok(Answer::handle(handle))
    }

    /// What a hypervisor must know before it speaks for a VM.
    fn check(
        &mut self,
        id: EndpointId,
        sender: EndpointId,
        kind: Transfer,
        terms: &Terms,
    ) -> Result<(), FfaError> {
        // Only the partition may be given memory for good.
        if kind == Transfer::Donate && terms.receivers.len() != 1 {
            return Err(INVALID);
        }
        if sender != id {
            return Err(INVALID);
        }
        let known = |receiver: &Receiver| {
            let endpoint = receiver.endpoint;
            endpoint == PARTITION || self.vms.iter().any(|vm| vm.id == endpoint)
        };
        if !terms.receivers.iter().all(known) {
            return Err(INVALID);
        }
        if !terms.receivers.iter().any(|receiver| receiver.endpoint == PARTITION) {
            return Err(FfaError::Denied);
        }
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        let (ram, mailbox) = (vm.ram, vm.mailbox);
        let is_buffer = |range: &PageRange| {
            let (tx, rx) = mailbox?;
            Some(range.overlaps(super::page(tx)) || range.overlaps(super::page(rx)))
        };
        let free = |range: &PageRange| self.machine.pages(|pages| pages.is_free(id, *range));
        let may = |range: &PageRange| {
            ram.contains(*range) && is_buffer(range) != Some(true) && free(range)
        };
        if terms.ranges.iter().all(may) { Ok(()) } else { Err(FfaError::Denied) }
    }

    /// Sends a descriptor to the SPMC from the hypervisor's own TX.
    fn send_on(&mut self, kind: Transfer, bytes: &[u8]) -> Result<MemHandle, FfaError> {
        let machine = self.machine.clone();
        let tx = layout::hypervisor_ram().start().get();
        let mut parts = bytes.chunks(4096);
        let first = parts.next().ok_or(INVALID)?;
        machine.ram().write(tx, first).ok_or(FfaError::Aborted)?;
        let length = |len: usize| u32::try_from(len).map_err(|_| INVALID);
        let lengths = Lengths::new(length(bytes.len())?, length(first.len())?).ok_or(INVALID)?;
        let mut answer = self.ask(&Call::MemSend { kind, lengths })?;
        for part in parts {
            let Answer::MemFragRx { handle, endpoint, .. } = answer else {
                return Err(FfaError::NotSupported);
            };
            machine.ram().write(tx, part).ok_or(FfaError::Aborted)?;
            answer =
                self.ask(&Call::MemFragTx { handle, length: length(part.len())?, endpoint })?;
        }
        let Answer::Success(success) = answer else { return Err(FfaError::NotSupported) };
        success.handle().ok_or(FfaError::NotSupported)
    }

    pub(super) fn reclaim(
        &mut self,
        id: EndpointId,
        handle: MemHandle,
        flags: ReclaimFlags,
    ) -> Outcome {
        let share = self.share(handle).filter(|share| share.owner == id).ok_or(INVALID)?;
        if !share.mapped_by.is_empty() {
            return Err(FfaError::Denied);
        }
        let (kind, ranges) = (share.kind, share.ranges.clone());
        let answer = self.ask(&Call::MemReclaim { handle, flags });
        // A donation that was retrieved is over, and nothing comes back.
        if answer.is_ok() || (kind == Transfer::Donate && answer == Err(INVALID)) {
            self.shares.retain(|share| share.handle != handle);
        }
        answer?;
        if kind != Transfer::Share {
            for range in ranges {
                self.machine.pages(|pages| pages.map(id, range, Permission::ReadWrite));
            }
        }
        Ok(Answer::success())
    }
}

/// Reads a descriptor as strictly as FF-A says.
fn terms(bytes: &[u8], kind: Transfer, version: Version) -> Result<(EndpointId, Terms), FfaError> {
    let mut scratch = vec![super::range(0, 1); bytes.len() / 16];
    let whole = Transaction::parse_with_scratch(bytes, version, Role::Send(kind), &mut scratch)
        .map_err(|rule| rule.status())?;
    let receivers: Vec<_> = whole.receivers().collect();
    let states = |receiver: &Receiver| receiver.access.data != DataAccess::NotSpecified;
    // A donation's receiver owns it: there is no permission to state.
    if receivers.iter().any(|receiver| states(receiver) == (kind == Transfer::Donate)) {
        return Err(INVALID);
    }
    let (header, ranges) = (whole.header(), whole.ranges().collect());
    Ok((header.sender, Terms { tag: header.tag, receivers, ranges }))
}
