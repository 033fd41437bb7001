//! Owns the borrower's side of memory at the hypervisor: it maps a VM when the partition has seen it
//! accept, and unmaps it. Never asks the SPMC: that knows of no VM.

use super::World;
use super::vm::{Outcome, Vm};
use crate::ram::Ram;
use causeway_abi::{Call as Service, Permission, Status};
use causeway_ffa::descriptor::{Builder, DataAccess, Role, Spec, Transaction};
use causeway_ffa::relinquish::Relinquish;
use causeway_ffa::{Answer, EndpointId, FfaError, Lengths, MemHandle};

const INVALID: FfaError = FfaError::InvalidParameters;

impl World {
    /// FFA_MEM_RETRIEVE_REQ of a VM. Memory shows at the addresses of its owner.
    pub(super) fn retrieve(&mut self, id: EndpointId, lengths: Lengths) -> Outcome {
        let machine = self.machine.clone();
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        if !lengths.is_whole() {
            return Err(INVALID);
        }
        if vm.rx_full {
            return Err(FfaError::Busy);
        }
        let len = usize::try_from(lengths.total()).map_err(|_| INVALID)?;
        let bytes = vm.read_tx(machine.ram(), len)?;
        let version = vm.version;
        let request = Transaction::parse(&bytes, version, Role::RetrieveRequest)
            .map_err(|rule| rule.status())?;
        let header = request.header();
        let handle = header.handle.ok_or(INVALID)?;
        let share = self.share(handle).ok_or(INVALID)?.clone();
        let granted = share.receivers.iter().find(|receiver| receiver.endpoint == id);
        let granted = granted.ok_or(INVALID)?;
        let asked = request.receiver(id).ok_or(INVALID)?;
        let same = header.sender == share.owner
            && header.tag == share.tag
            && header.flags.kind.is_none_or(|kind| kind == share.kind);
        let known = request
            .receivers()
            .all(|one| share.receivers.iter().any(|receiver| receiver.endpoint == one.endpoint));
        if !same || !known || share.mapped_by.contains(&id) {
            return Err(INVALID);
        }
        let permission = match (asked.access.data, granted.access.data) {
            (DataAccess::ReadWrite, DataAccess::ReadWrite) => Permission::ReadWrite,
            (DataAccess::ReadWrite, _) => return Err(FfaError::Denied),
            (DataAccess::ReadOnly | DataAccess::NotSpecified, _) => Permission::ReadOnly,
        };
        let receivers = [asked.not_executable()];
        let spec = Spec::retrieve_response(
            version,
            share.owner,
            handle,
            share.kind,
            share.tag,
            &receivers,
            &share.ranges,
        );
        let response = written(spec)?;
        let asked = self.ask_service(Service::HypMapping { handle, vm: id });
        if asked.is_none_or(|reply| reply.status != Status::Ok) {
            return Err(FfaError::Denied);
        }
        machine.pages(|pages| {
            pages.retrieved(handle, id);
            for range in &share.ranges {
                pages.map(id, *range, permission);
            }
        });
        if let Some(share) = self.share(handle) {
            share.mapped_by.push(id);
        }
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        let fragment = vm.fill_rx(machine.ram(), &response)?;
        let total = u32::try_from(response.len()).map_err(|_| INVALID)?;
        vm.response = Some((handle, response));
        Lengths::new(total, fragment).map(Answer::MemRetrieveResp).ok_or(INVALID)
    }

    pub(super) fn relinquish(&mut self, id: EndpointId) -> Outcome {
        let machine = self.machine.clone();
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        let bytes = vm.read_tx(machine.ram(), 64)?;
        let request = Relinquish::parse(&bytes).map_err(|rule| rule.status())?;
        if request.sole_endpoint() != Some(id) || request.flags() != Default::default() {
            return Err(INVALID);
        }
        if self.unmap(request.handle(), id) { Ok(Answer::success()) } else { Err(INVALID) }
    }

    /// Takes a mapping away and says so to the partition; false if there was none.
    pub(super) fn unmap(&mut self, handle: MemHandle, id: EndpointId) -> bool {
        let Some(share) = self.share(handle).filter(|s| s.mapped_by.contains(&id)) else {
            return false;
        };
        share.mapped_by.retain(|other| *other != id);
        let ranges = share.ranges.clone();
        self.machine.pages(|pages| {
            for range in ranges {
                pages.unmap(id, range);
            }
            pages.relinquished(handle, id);
        });
        self.ask_service(Service::HypUnmapped { handle, vm: id });
        true
    }
}

impl Vm {
    /// FFA_MEM_FRAG_RX of a VM.
    pub(super) fn fragment(&mut self, ram: &Ram, handle: MemHandle, offset: u32) -> Outcome {
        let response = self.response.take().filter(|(of, _)| *of == handle);
        let (_, bytes) = response.ok_or(INVALID)?;
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        let length = match rest {
            Some(rest) if !rest.is_empty() => self.fill_rx(ram, rest),
            Some(_) | None => Err(INVALID),
        };
        self.response = Some((handle, bytes));
        Ok(Answer::MemFragTx { handle, length: length?, endpoint: EndpointId::default() })
    }
}

fn written(spec: Spec<'_>) -> Result<Vec<u8>, FfaError> {
    let builder = Builder::new(spec).map_err(|rule| rule.status())?;
    let mut bytes = vec![0; usize::try_from(builder.total_len()).map_err(|_| INVALID)?];
    builder.write(0, &mut bytes).map_err(|rule| rule.status())?;
    Ok(bytes)
}
