//! Owns what the hypervisor keeps of one VM, and the calls that concern that VM alone. Never moves
//! memory.

use super::{Mediation, World, decode};
use crate::layout::PARTITION;
use crate::ram::Ram;
use causeway_ffa::call::{BitmapSet, FeatureQuery};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, FuncId, MemHandle, Notifications, PageAddr, PageRange,
    Regs, Version, regs,
};
use std::collections::BTreeMap;

pub(super) type Outcome = Result<Answer, FfaError>;

/// Whether a VM runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It does.
    Alive,
    /// It was stopped; the partition has not yet let go of everything.
    Dying,
    /// It is gone.
    Dead,
}

/// A send of which the rest is awaited.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) name: MemHandle,
    pub(super) kind: causeway_ffa::Transfer,
    pub(super) total: usize,
    pub(super) bytes: Vec<u8>,
}

/// One VM.
#[derive(Debug)]
pub(super) struct Vm {
    pub(super) id: EndpointId,
    pub(super) ram: PageRange,
    pub(super) life: Life,
    /// What it speaks: 1.1, or 1.2 where it asked for that or later.
    pub(super) version: Version,
    pub(super) mailbox: Option<(PageAddr, PageAddr)>,
    pub(super) rx_full: bool,
    pub(super) partial: Option<Partial>,
    /// A response whose rest may be fetched.
    pub(super) response: Option<(MemHandle, Vec<u8>)>,
    bound: BTreeMap<u16, u64>,
    rung: u64,
    pub(super) rung_by_partition: bool,
}

impl Vm {
    pub(super) const fn new(id: EndpointId, ram: PageRange) -> Self {
        Self {
            id,
            ram,
            life: Life::Alive,
            version: Version::V1_1,
            mailbox: None,
            rx_full: false,
            partial: None,
            response: None,
            bound: BTreeMap::new(),
            rung: 0,
            rung_by_partition: false,
        }
    }

    /// Copies the first bytes of TX.
    pub(super) fn read_tx(&self, ram: &Ram, len: usize) -> Result<Vec<u8>, FfaError> {
        let (tx, _) = self.mailbox.ok_or(FfaError::InvalidParameters)?;
        let mut bytes = vec![0; len];
        if len > 4096 {
            return Err(FfaError::InvalidParameters);
        }
        ram.read(tx.get(), &mut bytes).ok_or(FfaError::InvalidParameters)?;
        Ok(bytes)
    }

    /// Fills RX with at most a page, and gives it to the VM. Returns how many bytes.
    pub(super) fn fill_rx(&mut self, ram: &Ram, bytes: &[u8]) -> Result<u32, FfaError> {
        let (_, rx) = self.mailbox.ok_or(FfaError::InvalidParameters)?;
        if self.rx_full {
            return Err(FfaError::Busy);
        }
        let part = bytes.get(..bytes.len().min(4096)).unwrap_or(bytes);
        ram.write(rx.get(), part).ok_or(FfaError::InvalidParameters)?;
        self.rx_full = true;
        u32::try_from(part.len()).map_err(|_| FfaError::InvalidParameters)
    }

    fn map(&mut self, tx: PageAddr, rx: PageAddr, page_count: u32) -> Outcome {
        let own = |page| self.ram.contains(super::page(page));
        if page_count != 1 || !own(tx) || !own(rx) {
            return Err(FfaError::InvalidParameters);
        }
        if self.mailbox.is_some() {
            return Err(FfaError::Denied);
        }
        self.mailbox = Some((tx, rx));
        Ok(Answer::success())
    }
}

impl World {
    /// A call of a VM at its virtual instance. Whatever the partition has to say to others meanwhile
    /// is passed on before the VM goes on.
    pub(super) fn vm_call(&mut self, id: EndpointId, regs: &Regs) -> Regs {
        if self.vm(id).is_none_or(|vm| vm.life != Life::Alive) {
            return Answer::Error(FfaError::Aborted).encode();
        }
        let answer = match Call::decode(regs, Version::V1_1) {
            Ok(Call::Version { requested }) => {
                let agreed = requested.map(|wanted| wanted.clamp(Version::V1_1, Version::V1_2));
                if let (Some(vm), Some(agreed)) = (self.vm(id), agreed) {
                    vm.version = agreed;
                }
                regs::version_reply(agreed)
            }
            Ok(call) => self.serve(id, &call, regs).unwrap_or_else(Answer::Error).encode(),
            Err(_) if Call::direct_parties(regs).is_some() => self.direct(id, regs),
            Err(refusal) => Answer::Error(refusal.status()).encode(),
        };
        if self.floor.take_bell() {
            self.poll();
        }
        answer
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is no business of a VM's")]
    fn serve(&mut self, id: EndpointId, call: &Call, regs: &Regs) -> Outcome {
        let ram = self.machine.clone();
        let ram = ram.ram();
        match *call {
            Call::DirectReq(_) | Call::FrameworkReq(_) => return decode(&self.direct(id, regs)),
            Call::PartitionInfoGet { uuid, form } => return self.partition_info(id, uuid, form),
            // The hypervisor hands donations on; whether there are any, the SPMC says.
            Call::Features { query: FeatureQuery::Function(FuncId::MemDonate32), .. } => {
                return self.ask(call);
            }
            Call::MemSend { kind, lengths } => return self.send(id, kind, lengths),
            Call::MemFragTx { handle, length, .. } => return self.send_more(id, handle, length),
            Call::MemReclaim { handle, flags } => return self.reclaim(id, handle, flags),
            Call::MemRetrieveReq { lengths } => return self.retrieve(id, lengths),
            Call::MemRelinquish => return self.relinquish(id),
            Call::NotificationSet { sender, receiver, bitmap, .. } if sender == id => {
                return self.ring(id, receiver, bitmap);
            }
            _ => {}
        }
        let vm = self.vm(id).ok_or(FfaError::Aborted)?;
        match *call {
            Call::IdGet => Ok(Answer::endpoint(id)),
            Call::SpmIdGet => Ok(Answer::endpoint(crate::spmc::SPMC_ID)),
            Call::Features { query: FeatureQuery::Function(func), .. } => features(func),
            Call::RxTxMap { tx, rx, page_count, .. } => vm.map(tx, rx, page_count),
            Call::RxTxUnmap { endpoint } if endpoint.get() == 0 => {
                vm.rx_full = false;
                vm.mailbox.take().map(|_| Answer::success()).ok_or(FfaError::InvalidParameters)
            }
            Call::RxRelease { vm: whose } if whose.get() == 0 => {
                let held = core::mem::take(&mut vm.rx_full);
                held.then(Answer::success).ok_or(FfaError::Denied)
            }
            Call::MemFragRx { handle, offset, .. } => vm.fragment(ram, handle, offset),
            Call::ConsoleLog { .. } => Ok(Answer::success()),
            Call::NotificationBind { sender, receiver, bitmap, .. } if receiver == id => {
                let bound = vm.bound.iter().filter(|(other, _)| **other != sender.get());
                if bound.fold(0, |all, (_, bits)| all | bits) & bitmap != 0 {
                    return Err(FfaError::Denied);
                }
                *vm.bound.entry(sender.get()).or_default() |= bitmap;
                Ok(Answer::success())
            }
            Call::NotificationUnbind { sender, receiver, bitmap } if receiver == id => {
                *vm.bound.entry(sender.get()).or_default() &= !bitmap;
                Ok(Answer::success())
            }
            Call::NotificationGet { receiver, wanted, .. } if receiver == id => {
                Ok(Answer::notifications(&vm.take_rung(wanted)))
            }
            Call::NotificationBind { .. }
            | Call::NotificationUnbind { .. }
            | Call::NotificationSet { .. }
            | Call::NotificationGet { .. }
            | Call::RxTxUnmap { .. }
            | Call::RxRelease { .. } => Err(FfaError::InvalidParameters),
            _ => Err(FfaError::NotSupported),
        }
    }

    /// A direct message goes on if its sender is the VM itself, and it is a partition message: power
    /// and VM messages are for the hypervisor to send.
    fn direct(&mut self, id: EndpointId, regs: &Regs) -> Regs {
        let parties = Call::direct_parties(regs);
        let is_own = parties.is_some_and(|(from, to, _)| from == id && to == PARTITION);
        // In a message of the second kind, x2 and x3 hold a UUID.
        let is_long = regs.func() == Some(FuncId::DirectReq2);
        let is_framework =
            !is_long && regs.w(2) & (1 << 31) != 0 && self.mediation == Mediation::Checked;
        if !is_own || is_framework {
            return Answer::Error(FfaError::InvalidParameters).encode();
        }
        self.physical(regs)
    }

    fn ring(&mut self, id: EndpointId, receiver: EndpointId, bits: u64) -> Outcome {
        let receiver = self.vm(receiver).filter(|vm| vm.life == Life::Alive);
        let receiver = receiver.ok_or(FfaError::InvalidParameters)?;
        let bound = receiver.bound.get(&id.get()).copied().unwrap_or(0);
        if bits == 0 || bound & bits != bits {
            return Err(FfaError::Denied);
        }
        receiver.rung |= bits;
        Ok(Answer::success())
    }
}

impl Vm {
    fn take_rung(&mut self, wanted: BitmapSet) -> Notifications {
        let sps = wanted.has(BitmapSet::SP) && core::mem::take(&mut self.rung_by_partition);
        let vms = if wanted.has(BitmapSet::VM) { core::mem::take(&mut self.rung) } else { 0 };
        Notifications { from_sps: u64::from(sps), from_vms: vms, ..Notifications::default() }
    }

    /// Forgets whoever died as a sender.
    pub(super) fn forget_sender(&mut self, other: EndpointId) {
        self.bound.remove(&other.get());
    }
}

fn features(func: FuncId) -> Outcome {
    let served = [
        FuncId::Version,
        FuncId::Features,
        FuncId::IdGet,
        FuncId::SpmIdGet,
        FuncId::PartitionInfoGet,
        FuncId::RxTxMap64,
        FuncId::RxTxUnmap,
        FuncId::RxRelease,
        FuncId::DirectReq64,
        FuncId::MemShare32,
        FuncId::MemLend32,
        FuncId::MemRetrieveReq32,
        FuncId::MemRelinquish,
        FuncId::MemReclaim,
        FuncId::MemFragRx,
        FuncId::MemFragTx,
        FuncId::NotificationBind,
        FuncId::NotificationUnbind,
        FuncId::NotificationSet,
        FuncId::NotificationGet,
    ];
    if served.contains(&func) { Ok(Answer::success()) } else { Err(FfaError::NotSupported) }
}
