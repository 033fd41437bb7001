//! Owns the carrying out of what the broker asks for: step by step, until it says that it is done. Never
//! decides what is asked for, and never answers a caller.

use super::Partition;
use crate::bus::BusGlue;
use crate::copy::Place;
use crate::facts;
use crate::ledger::LedgerTask;
use crate::platform::{Log, Platform, log};
use crate::transactions;
use causeway_abi::{Frame, InterruptCall, Permission, Status, VaultCall};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::{Event, GrantId, GrantView, MapFailed, Next, Notice, VmVerdict};

/// How a sequence of events ended.
pub(crate) enum Outcome {
    /// With the answer to a direct request.
    Frame(Frame),
    /// With the answer to a framework message.
    Vm(VmVerdict),
    /// The caller may kick the bus.
    Kick(EndpointId),
    /// The caller may speak to the bus.
    Bus(EndpointId),
    /// The caller may know a head of the ledger, or read the ledger into its area.
    Ledger(LedgerTask),
    /// The caller is live: the security services answer.
    Vault(EndpointId, VaultCall),
    /// The caller may make this call about interrupts.
    Interrupt(EndpointId, InterruptCall),
    /// With the answer to the bus's use of an area.
    Used(Result<GrantView, Status>),
    /// With nothing to answer.
    Nothing,
}

impl Outcome {
    /// The broker ended a sequence in a way that its event does not allow: our bug, and no reason
    /// to stop. The caller is told that the partition failed.
    pub(crate) fn out_of_place(&self, console: &impl Log) -> Status {
        let what = match self {
            Self::Frame(_) => "a frame",
            Self::Vm(_) => "a VM verdict",
            Self::Kick(_) => "a kick",
            Self::Bus(_) => "a bus message",
            Self::Ledger(_) => "a ledger call",
            Self::Vault(..) => "a call of the security services",
            Self::Interrupt(..) => "a call about interrupts",
            Self::Used(_) => "a use",
            Self::Nothing => "nothing",
        };
        log!(*console, "broker: {what} out of place");
        Status::PartitionFailed
    }
}

impl<P: Platform> Partition<P> {
    /// Feeds an event and carries out what follows, until the broker says that it is done.
    pub(crate) fn drive(&mut self, first: Event<'_>) -> Outcome {
        self.feed(first);
        self.go_on();
        self.outcome()
    }

    /// Carries out what the broker asked for last, feeds it the result, and so on until it says that
    /// it is done. It ends because the broker bounds every sequence.
    pub(super) fn go_on(&mut self) {
        loop {
            match *self.step.as_next() {
                Next::Retrieve(_) => self.retrieve(),
                Next::Relinquish(handle) => self.relinquish_apart(handle),
                Next::Map { .. } | Next::Unmap { .. } | Next::Copy { .. } | Next::Continue => {
                    self.go_on_locally();
                }
                Next::Reply(_)
                | Next::VmReply(_)
                | Next::BusKick { .. }
                | Next::BusFrame { .. }
                | Next::LedgerHead { .. }
                | Next::LedgerRead { .. }
                | Next::Vault { .. }
                | Next::Interrupt { .. }
                | Next::Used(_)
                | Next::Idle => return,
            }
        }
    }

    /// A step without the SPMC.
    #[inline(never)]
    fn go_on_locally(&mut self) {
        let event = match self.step.next() {
            Next::Map { grant, permission } => Event::Mapped(self.map(grant, permission)),
            Next::Unmap { grant } => Event::Unmapped(self.areas.unmap(&mut self.platform, grant)),
            Next::Copy { from, from_offset, to, to_offset, len } => {
                let source = Place { grant: from, offset: from_offset };
                Event::Copied(self.copy(source, Place { grant: to, offset: to_offset }, len))
            }
            Next::Continue
            | Next::Retrieve(_)
            | Next::Relinquish(_)
            | Next::Reply(_)
            | Next::VmReply(_)
            | Next::BusKick { .. }
            | Next::BusFrame { .. }
            | Next::LedgerHead { .. }
            | Next::LedgerRead { .. }
            | Next::Vault { .. }
            | Next::Interrupt { .. }
            | Next::Used(_)
            | Next::Idle => Event::Continue,
        };
        self.feed(event);
    }

    /// How the sequence ended.
    pub(super) fn outcome(&self) -> Outcome {
        match self.step.next() {
            Next::Reply(frame) => Outcome::Frame(frame),
            Next::VmReply(verdict) => Outcome::Vm(verdict),
            Next::BusKick { vm } => Outcome::Kick(vm),
            Next::BusFrame { vm } => Outcome::Bus(vm),
            Next::LedgerHead { vm, scope, half } => {
                Outcome::Ledger(LedgerTask::Head { vm, scope, half })
            }
            Next::LedgerRead { vm, grant, scope, cursor } => {
                Outcome::Ledger(LedgerTask::Read { vm, grant, scope, cursor })
            }
            Next::Vault { vm, call } => Outcome::Vault(vm, call),
            Next::Interrupt { caller, call } => Outcome::Interrupt(caller, call),
            Next::Used(result) => Outcome::Used(result),
            Next::Retrieve(_)
            | Next::Relinquish(_)
            | Next::Map { .. }
            | Next::Unmap { .. }
            | Next::Copy { .. }
            | Next::Continue
            | Next::Idle => Outcome::Nothing,
        }
    }

    /// Feeds one event and carries out the notices.
    #[inline(never)]
    fn feed(&mut self, event: Event<'_>) {
        let now = self.platform.now();
        self.broker.step_into(now, event, &mut self.step);
        self.carry_out(now);
    }

    #[inline(never)]
    fn map(&mut self, grant: GrantId, permission: Permission) -> Result<(), MapFailed> {
        let view = self.broker.view(grant).ok_or(MapFailed)?;
        self.areas.map(&mut self.platform, &view, permission, self.broker.ranges(grant))
    }

    #[inline(never)]
    fn relinquish_apart(&mut self, handle: MemHandle) {
        self.relinquish(handle);
    }

    #[inline(always)]
    pub(super) fn relinquish(&mut self, handle: MemHandle) {
        let result = transactions::relinquish(&mut self.platform, self.own_id, handle);
        let now = self.platform.now();
        self.broker.step_into(now, Event::Relinquished(result), &mut self.step);
        self.carry_out(now);
    }

    /// Retrieves what the last step asked for.
    #[inline(never)]
    pub(super) fn retrieve(&mut self) {
        let Self { broker, step, response, platform, own_id, .. } = self;
        let Next::Retrieve(request) = *step.as_next() else { return };
        let asked = facts::request(&request, *own_id);
        let sent = (request.handle, &asked);
        if let Err(error) = transactions::retrieve(platform, *own_id, sent, response) {
            return self.feed(Event::Retrieved(Err(error)));
        }
        let now = platform.now();
        let bytes = response.bytes();
        match bytes.and_then(|bytes| asked.pages(bytes)) {
            Some(pages) => broker.step_into(now, Event::RetrievedAsAsked(pages), step),
            None => {
                let bytes = bytes.unwrap_or_default();
                let shown = platform.shows();
                facts::with_descriptor(bytes, &request, *own_id, shown, |descriptor| {
                    broker.step_into(now, Event::Retrieved(Ok(descriptor)), step);
                });
            }
        }
        self.carry_out(now);
    }

    /// Most steps have no notice.
    #[inline]
    pub(super) fn carry_out(&mut self, now: u64) {
        if self.step.has_notices() {
            self.carry_out_notices(now);
        }
    }

    #[inline(never)]
    fn carry_out_notices(&mut self, now: u64) {
        for notice in self.step.notices() {
            match *notice {
                Notice::Ledger(ref record) => self.ledger.append(now, record),
                ref other @ (Notice::RingHypervisor(_) | Notice::AreaLost { .. }) => {
                    carry_out_other(&mut self.bus, &mut self.platform, other);
                }
            }
        }
    }
}

/// By itself, so that the appending of a record, which most notices are, saves no register for it.
#[inline(never)]
fn carry_out_other<P: Platform>(bus: &mut BusGlue, platform: &mut P, notice: &Notice) {
    match *notice {
        Notice::Ledger(_) => {}
        Notice::RingHypervisor(doorbell) => platform.ring(doorbell),
        Notice::AreaLost { grant, owner, handle } => bus.area_lost(grant, owner, handle, platform),
    }
}
