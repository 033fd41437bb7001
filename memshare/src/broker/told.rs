//! Owns how an answer is made, and what of it goes into the ledger. Never decides which it is.

use super::Broker;
use crate::event::{Next, Notice, Out, VmVerdict};
use crate::grant::Grant;
use crate::ledger::{Action, Record};
use causeway_abi::{CallId, Reply, Status};
use causeway_ffa::EndpointId;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// Ends a call: a refusal goes into the ledger and changes nothing else.
    pub(super) fn answer(
        &self,
        caller: EndpointId,
        number: u8,
        result: Result<Next, Status>,
        out: &mut Out,
    ) -> Next {
        result.unwrap_or_else(|status| refuse(caller, number, status, out))
    }

    pub(super) fn verdict(
        &self,
        caller: EndpointId,
        result: Result<Next, Status>,
        out: &mut Out,
    ) -> Next {
        result.unwrap_or_else(|status| {
            out.push(Notice::Ledger(Record::of_refusal(caller, 0, status)));
            Next::VmReply(VmVerdict::Refused(status))
        })
    }

    pub(super) fn log(&self, grant: &Grant, subject: u8, action: Action, out: &mut Out) {
        out.push(Notice::Ledger(Record {
            subject: self.id_of(subject),
            owner: Some(self.id_of(grant.owner.vm)),
            peer: grant.peer.map(|p| self.id_of(p.vm)),
            handle: Some(grant.handle),
            generation: grant.serial,
            page_count: grant.extent.page_count,
            action,
            fold: grant.extent.fold,
        }));
    }

    pub(super) fn log_vm(&self, vm: EndpointId, incarnation: u32, action: Action, out: &mut Out) {
        out.push(Notice::Ledger(Record { generation: incarnation, ..Record::new(vm, action) }));
    }
}

/// Refuses a call: that goes into the ledger and changes nothing else.
#[inline(never)]
pub(super) fn refuse(caller: EndpointId, number: u8, status: Status, out: &mut Out) -> Next {
    out.push(Notice::Ledger(Record::of_refusal(caller, number, status)));
    Next::Reply(Reply::refused(number, status).encode())
}

/// A successful answer.
#[inline]
pub(super) fn ok(id: CallId, results: [u64; 4]) -> Next {
    Next::Reply(Reply::ok(id.number(), results).encode())
}
