//! Owns the way of a call from its frame to whoever answers it, and the order of what is checked of every
//! call. Never answers one itself.

use super::{Broker, Caller, Pending, query, refuse};
use crate::defect::defective;
use crate::event::{Doorbell, Next, Out, Step};
use causeway_abi::{Call, CallId, Frame, InterruptCall, Status};
use causeway_ffa::EndpointId;

impl<const G: usize, const R: usize, const W: usize> Broker<G, R, W> {
    /// [`Broker::step_into`] with [`crate::Event::Frame`], which nearly every event is: without a copy of it.
    #[inline(never)]
    pub fn take_frame(&mut self, now: u64, caller: EndpointId, frame: &Frame, step: &mut Step) {
        let Step { out, next } = step;
        out.begin(now, None);
        self.expire(now, out);
        // Written where it stays, in each case: it is large.
        match self.caller(caller) {
            Ok(who) => {
                out.set_sender(who.vm());
                match Call::decode_id(frame) {
                    Ok(id) => self.taken(now, (caller, who), id, frame, (out, next)),
                    Err(status) => *next = Err(status),
                }
            }
            Err(status) => *next = Err(status),
        }
        if let Err(status) = *next {
            let [number, ..] = first_word(frame).to_le_bytes();
            *next = Ok(refuse(caller, number, status, out));
        }
    }

    /// Takes the calls of a grant's life by ways of their own, each of which knows its call from the
    /// beginning on; they all are [`Broker::run`].
    #[inline(always)]
    fn taken(
        &mut self,
        now: u64,
        who: (EndpointId, Caller),
        id: CallId,
        frame: &Frame,
        (out, next): (&mut Out, &mut Result<Next, Status>),
    ) {
        macro_rules! one_of {
            ($($name:ident)+) => {
                match id {
                    $(CallId::$name => *next = self.run(now, who, CallId::$name, frame, out),)+
                    other => *next = self.run_other(now, who, other, frame, out),
                }
            };
        }
        one_of!(Offer Revoke Inspect Accept Reject Release State List Events HypPoll HypMapping HypUnmapped);
    }

    #[inline(never)]
    fn run_other(
        &mut self,
        now: u64,
        who: (EndpointId, Caller),
        id: CallId,
        frame: &Frame,
        out: &mut Out,
    ) -> Result<Next, Status> {
        self.run(now, who, id, frame, out)
    }

    /// Reads the arguments and makes the call.
    #[inline(always)]
    fn run(
        &mut self,
        now: u64,
        (caller, who): (EndpointId, Caller),
        id: CallId,
        frame: &Frame,
        out: &mut Out,
    ) -> Result<Next, Status> {
        let [_, a, b, c, d] = *frame;
        match Call::decode_args(id, [a, b, c, d]) {
            Ok(call) => self.call(now, caller, who, call, out),
            Err(status) => Err(status),
        }
    }

    #[inline(always)]
    fn call(
        &mut self,
        now: u64,
        caller: EndpointId,
        who: Caller,
        call: Call,
        out: &mut Out,
    ) -> Result<Next, Status> {
        self.free_for_call()?;
        let vm = |who| match who {
            Caller::Vm(vm) => Ok(vm),
            Caller::Hypervisor => Err(Status::UnknownCaller),
        };
        let hypervisor = match who {
            Caller::Hypervisor => Ok(()),
            Caller::Vm(_) => Err(Status::NotHypervisor),
        };
        match call {
            Call::Version { .. } => Ok(self.version(caller, who)),
            Call::Features { call_number } => Ok(query::has_call(call_number)),
            Call::Events => Ok(self.events(vm(who)?)),
            Call::Stats { page } => hypervisor.and_then(|()| self.stats(page)),
            Call::Offer { handle, terms, tag } => self.offer(vm(who)?, handle, terms, tag),
            Call::Revoke { handle } => self.revoke(now, vm(who)?, handle, out),
            Call::State { handle } => self.state(now, vm(who)?, handle),
            Call::Join { handle, name } => self.join(vm(who)?, handle, name, out),
            Call::Part { name } => self.part(vm(who)?, name, out),
            Call::Joined { name } => self.joined(vm(who)?, name),
            Call::Copy { name, direction, from_offset, to_offset, length } => {
                self.copy(vm(who)?, (name, direction), (from_offset, to_offset), length)
            }
            Call::List { cursor } => Ok(self.list(vm(who)?, cursor)),
            Call::Inspect { handle, range_index } => self.inspect(vm(who)?, handle, range_index),
            Call::Accept { handle, seen } => self.accept(vm(who)?, handle, seen, out),
            Call::Reject { handle, generation } => self.reject(vm(who)?, handle, generation),
            Call::Release { handle } => self.release(now, vm(who)?, handle, out),
            Call::HypRegister { sgi, core } => {
                hypervisor.map(|()| self.hyp_register(caller, Doorbell { sgi, core }, out))
            }
            Call::HypPoll => hypervisor.map(|()| self.hyp_poll(now, out)),
            Call::HypMapping { handle, vm } => {
                hypervisor.and_then(|()| self.hyp_mapping(handle, vm, out))
            }
            Call::HypUnmapped { handle, vm } => {
                let forged = defective!(self, UnmappedForged);
                let may = if forged { Ok(()) } else { hypervisor };
                may.and_then(|()| self.hyp_unmapped(caller, handle, vm, out))
            }
            Call::BusKick => {
                let vm = vm(who)?;
                if let Some(state) = self.vms.get_mut(usize::from(vm)) {
                    state.bus = false;
                }
                Ok(Next::BusKick { vm: caller })
            }
            Call::Interrupt(call) => {
                match call {
                    InterruptCall::Bind { .. } => hypervisor?,
                    InterruptCall::Fetch
                    | InterruptCall::Complete { .. }
                    | InterruptCall::Mask { .. }
                    | InterruptCall::Unmask { .. }
                    | InterruptCall::Arm { .. }
                    | InterruptCall::Info { .. } => vm(who).map(|_| ())?,
                }
                Ok(Next::Interrupt { caller, call })
            }
            Call::Seal => self.seal(caller, who, out),
            Call::LedgerHead { scope, half } => {
                self.may_read(vm(who)?, scope)?;
                Ok(Next::LedgerHead { vm: caller, scope, half })
            }
            Call::LedgerRead { handle, scope, cursor } => {
                self.ledger_read(vm(who)?, handle, scope, cursor)
            }
            Call::Vault(call) => vm(who).map(|_| Next::Vault { vm: caller, call }),
        }
    }

    pub(super) fn free_for_call(&self) -> Result<(), Status> {
        let free = self.pending == Pending::Nothing || defective!(self, BusyIgnored);
        if free { Ok(()) } else { Err(Status::Busy) }
    }
}

pub(super) const fn first_word(frame: &Frame) -> u64 {
    let [word, ..] = *frame;
    word
}
