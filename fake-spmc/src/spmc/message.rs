//! Owns the passage of messages to a partition and back. Never reads their payload.

use super::{Caller, Left, Outcome, Routed, SPMC_ID, Spmc, State, error, success};
use crate::personality::{Arguments, Lie};
use crate::spmc::raw::le;
use causeway_ffa::call::{Framework, FrameworkMessage, Vcpu, Width};
use causeway_ffa::{Call, EndpointId, FfaError, FuncId, Regs};

/// PSCI CPU_OFF, as it stands in a power message.
const PSCI_CPU_OFF: u64 = 0x8400_0002;

impl Spmc {
    /// Source for the order: TF-A 2.12.1, `direct_req_smc_handler`.
    pub(super) fn direct_request(&mut self, func: FuncId, regs: &Regs) -> Routed {
        match self.admitted(func, regs) {
            Ok((sender, receiver)) => {
                if let Some(partition) = self.find_partition(receiver) {
                    partition.state = State::Running(sender);
                }
                Routed::Deliver { to: receiver, regs: self.delivered(func, regs, sender, receiver) }
            }
            Err(code) => Routed::Answer(error(code)),
        }
    }

    fn admitted(&self, func: FuncId, regs: &Regs) -> Result<(EndpointId, EndpointId), FfaError> {
        let q = self.quirks();
        if func == FuncId::DirectReq2 {
            q.direct2?;
        }
        let (sender, receiver, _) =
            Call::direct_parties(regs).ok_or(FfaError::InvalidParameters)?;
        // A framework message is a type in the lower byte under bit 31; else w2 is zero.
        let flags = regs.w(2);
        let is_framework = flags & (1 << 31) != 0;
        let is_bad = if is_framework { flags & !(1 << 31 | 0xff) != 0 } else { flags != 0 };
        if func != FuncId::DirectReq2 && is_bad {
            return Err(FfaError::InvalidParameters);
        }
        if sender.is_secure() {
            return Err(FfaError::InvalidParameters);
        }
        let partition = self.partitions.iter().find(|partition| partition.info.id == receiver);
        match partition.ok_or(FfaError::InvalidParameters)?.state {
            State::Waiting => Ok((sender, receiver)),
            State::Running(_) => Err(FfaError::Busy),
        }
    }

    fn delivered(
        &self,
        func: FuncId,
        regs: &Regs,
        sender: EndpointId,
        receiver: EndpointId,
    ) -> Regs {
        let mut given = *regs;
        let is_whole = self.quirks().arguments == Arguments::Whole;
        let last = if func == FuncId::DirectReq2 { 17 } else { 7 };
        for (register, value) in given.0.iter_mut().enumerate() {
            if register > last {
                *value = 0;
            } else if !is_whole {
                *value &= 0xffff_ffff;
            }
        }
        let forged = [
            (Lie::ForgedVm, (sender.get() + 1) & 0x7fff),
            (Lie::ForgedHypervisor, 0),
            (Lie::ForgedSelf, receiver.get()),
        ];
        for (_, id) in forged.into_iter().filter(|(lie, _)| self.lies(*lie)) {
            given.0[1] = (u64::from(id) << 16) | u64::from(receiver.get());
        }
        given
    }

    /// What a partition sends to end its turn: a direct response, FFA_MSG_WAIT, FFA_YIELD or an
    /// error. After [`Left::Refused`] it is still running.
    pub fn leave(&mut self, id: EndpointId, regs: &Regs) -> Left {
        self.end_turn(id, regs).map_or_else(|code| Left::Refused(error(code)), Left::Answered)
    }

    fn end_turn(&mut self, id: EndpointId, regs: &Regs) -> Outcome {
        let forged = self.lies(Lie::ForgedVm)
            || self.lies(Lie::ForgedHypervisor)
            || self.lies(Lie::ForgedSelf);
        let partition = self.find_partition(id).ok_or(FfaError::NotSupported)?;
        let State::Running(origin) = partition.state else { return Err(FfaError::Denied) };
        if let Some((sender, receiver, width)) = Call::direct_parties(regs) {
            let fits = sender == id && (receiver == origin || forged);
            if !fits || regs.func().is_some_and(super::is_direct_request) {
                return Err(FfaError::InvalidParameters);
            }
            partition.state = State::Waiting;
            let mut given = *regs;
            given.0[1] = (u64::from(id.get()) << 16) | u64::from(origin.get());
            let is_long = regs.func() == Some(FuncId::DirectResp2);
            for (register, value) in given.0.iter_mut().enumerate() {
                if register > 7 && !is_long {
                    *value = 0;
                } else if width == Width::Bits32 {
                    *value &= 0xffff_ffff;
                }
            }
            return Ok(given);
        }
        let ends = [FuncId::MsgWait, FuncId::MsgYield, FuncId::Error];
        if !regs.func().is_some_and(|func| ends.contains(&func)) {
            return Err(FfaError::NotSupported);
        }
        partition.state = State::Waiting;
        // Nobody answers the message: the normal world learns that the call was not done.
        Ok(error(FfaError::Aborted))
    }

    /// The power message that a core is about to be switched off, as the EL3 SPMC delivers it: stale
    /// bytes stand in x4-x7.
    pub fn power_off(&mut self, to: EndpointId) -> Routed {
        let message =
            FrameworkMessage::PowerPsci { params: [PSCI_CPU_OFF, 0, 0, 0], width: Width::Bits32 };
        let mut regs =
            Call::FrameworkReq(Framework { sender: SPMC_ID, receiver: to, message }).encode();
        regs.0[4..8].fill(0xdead_beef_dead_beef);
        if let Some(partition) = self.find_partition(to) {
            partition.state = State::Running(SPMC_ID);
        }
        Routed::Deliver { to, regs }
    }

    /// A secure interrupt for a partition that waits; its number goes into w2 where the SPMC says it.
    pub fn interrupt(&mut self, to: EndpointId, number: u32) -> Routed {
        let named = self.quirks().interrupt_id.is_ok();
        let target = Vcpu { endpoint: to, vcpu: 0 };
        let regs = if named {
            Call::Interrupt { target, interrupt: number }.encode()
        } else {
            Call::Interrupt { target: Vcpu::default(), interrupt: 0 }.encode()
        };
        if let Some(partition) = self.find_partition(to) {
            partition.state = State::Running(SPMC_ID);
        }
        Routed::Deliver { to, regs }
    }

    /// FFA_MSG_SEND2: copies a message from TX to the receiver's RX. Source: DEN0077A 1.2, table
    /// "partition message header": flags, reserved, offset, receiver and sender, size.
    pub(super) fn indirect(&mut self, caller: Caller, sender: EndpointId) -> Outcome {
        let machine = self.machine.clone();
        let ram = machine.ram();
        let mailbox = self.mailbox(caller)?;
        let room = mailbox.bytes().ok_or(FfaError::InvalidParameters)?;
        let tx = mailbox.read_tx(ram, room)?;
        let word = |at| le::<4>(&tx, at).and_then(|word| usize::try_from(word).ok());
        let bad = FfaError::InvalidParameters;
        let (offset, size) = (word(8).ok_or(bad)?, word(16).ok_or(bad)?);
        let ids = word(12).ok_or(bad)?;
        let id = |raw: usize| u16::try_from(raw & 0xffff).map(EndpointId::from_raw);
        let (from, to) = (id(ids >> 16).map_err(|_| bad)?, id(ids).map_err(|_| bad)?);
        let message = offset.checked_add(size).and_then(|end| tx.get(..end)).ok_or(bad)?;
        if offset < 20 || (from != sender && sender.get() != 0) {
            return Err(bad);
        }
        let receiver = self.find_partition(to).ok_or(bad)?;
        if receiver.mailbox.is_full() {
            return Err(FfaError::Busy);
        }
        receiver.mailbox.fill_rx(ram, message)?;
        Ok(success())
    }
}
