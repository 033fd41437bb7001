//! Owns the fake SPMC: register files in, register files out. Never runs a partition: it says whom a
//! message is for, and takes what the partition answers.
//!
//! The normal world has one instance (a kernel, or the hypervisor that speaks for VMs) with one
//! buffer pair; each partition has one of its own. All buffers lie in the machine's memory.

mod mailbox;
mod message;
mod notify;
mod raw;
mod respond;
mod retrieve;
mod send;
mod setup;
mod store;

use crate::machine::Machine;
use crate::personality::{Capacity, Lie, Personality, Quirks};
use causeway_ffa::partition_info::{PartitionInfo, Properties};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, FuncId, MemHandle, Regs, Uuid, Version};
use mailbox::Mailbox;
use notify::Bitmaps;
use std::sync::Arc;
use store::Store;

/// What became of a call of the normal world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// The SPMC has answered.
    Answer(Regs),
    /// A partition has to be run with these registers. What it sends then goes to [`Spmc::leave`].
    Deliver {
        /// Which.
        to: EndpointId,
        /// With what.
        regs: Regs,
    },
}

/// What became of what a partition sent to end its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The normal world gets this.
    Answered(Regs),
    /// The partition may not send that, gets this, and goes on.
    Refused(Regs),
}

/// What a partition is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// With a message of that endpoint.
    Running(EndpointId),
}

#[derive(Clone, Debug)]
struct Partition {
    info: PartitionInfo,
    version: Version,
    mailbox: Mailbox,
    state: State,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    NormalWorld,
    Partition(EndpointId),
}

impl Caller {
    const fn is_secure(self) -> bool {
        match self {
            Self::NormalWorld => false,
            Self::Partition(_) => true,
        }
    }
}

type Outcome = Result<Regs, FfaError>;

/// The SPMC.
#[derive(Debug)]
pub struct Spmc {
    personality: Personality,
    machine: Arc<Machine>,
    normal: Mailbox,
    normal_version: Version,
    partitions: Vec<Partition>,
    store: Store,
    bitmaps: Bitmaps,
    crash: Option<&'static str>,
}

/// The SPMC's own id, from which power messages come.
pub const SPMC_ID: EndpointId = EndpointId::from_raw(0x8000);

impl Spmc {
    /// An SPMC of that personality on a machine.
    #[must_use]
    pub fn new(personality: Personality, machine: Arc<Machine>) -> Self {
        let quirks = personality.quirks;
        Self {
            personality,
            machine,
            normal: Mailbox::default(),
            // Nobody has negotiated: it is the SPMC's own.
            normal_version: quirks.reported,
            partitions: Vec::new(),
            store: Store::new(quirks.capacity, quirks.handles),
            bitmaps: Bitmaps::default(),
            crash: None,
        }
    }

    /// Loads a partition, whose manifest names its version.
    pub fn load(&mut self, id: EndpointId, uuid: Uuid, version: Version) {
        let properties = Properties::DIRECT_REQ_RECEIVE.and(Properties::AARCH64);
        let properties = match self.quirks().direct2 {
            Ok(()) => properties.and(Properties::DIRECT_REQ2_RECEIVE),
            Err(_) => properties,
        };
        let info = PartitionInfo { id, contexts: 1, properties, uuid };
        let (mailbox, state) = (Mailbox::default(), State::Waiting);
        self.partitions.push(Partition { info, version, mailbox, state });
    }

    /// What is played.
    #[must_use]
    pub const fn personality(&self) -> &Personality {
        &self.personality
    }

    /// What it does.
    #[must_use]
    pub const fn quirks(&self) -> &Quirks {
        &self.personality.quirks
    }

    /// The machine that it runs on.
    #[must_use]
    pub const fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Why the SPMC is dead, if it is: after a crash every call is ABORTED.
    #[must_use]
    pub const fn crash(&self) -> Option<&'static str> {
        self.crash
    }

    /// How many transactions are in the store, half-sent ones too.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.store.iter().count()
    }

    /// How often a transaction is retrieved by partitions.
    #[must_use]
    pub fn retrieves(&self, handle: MemHandle) -> usize {
        self.store.find(handle).map_or(0, |sent| sent.retrieved.len())
    }

    /// A call of the normal world, at the physical instance: the SPMC believes whatever endpoint of
    /// the normal world it names.
    pub fn normal_world(&mut self, regs: &Regs) -> Routed {
        if self.crash.is_some() {
            return Routed::Answer(error(FfaError::Aborted));
        }
        if let Some(func) = regs.func().filter(|func| is_direct_request(*func)) {
            return self.direct_request(func, regs);
        }
        Routed::Answer(self.call(Caller::NormalWorld, regs))
    }

    /// A call that a running partition makes to the SPMC itself. Messages that end its turn go to
    /// [`Spmc::leave`].
    pub fn partition_call(&mut self, id: EndpointId, regs: &Regs) -> Regs {
        if self.crash.is_some() {
            return error(FfaError::Aborted);
        }
        if regs.func().is_some_and(is_direct_request) {
            // Rule of every SPMC here: a partition cannot call the normal world.
            return error(FfaError::InvalidParameters);
        }
        self.call(Caller::Partition(id), regs)
    }

    fn call(&mut self, caller: Caller, regs: &Regs) -> Regs {
        if let Some(answer) = self.rare(caller, regs) {
            return answer.unwrap_or_else(error);
        }
        match Call::decode(regs, Version::V1_3) {
            Ok(call) => self.serve(caller, &call).unwrap_or_else(error),
            Err(refusal) => error(refusal.status()),
        }
    }

    fn serve(&mut self, caller: Caller, call: &Call) -> Outcome {
        match *call {
            Call::Version { requested } => Ok(self.version(caller, requested)),
            Call::Features { query, properties } => self.features(caller, query, properties),
            Call::IdGet => Ok(Answer::endpoint(match caller {
                Caller::NormalWorld => EndpointId::from_raw(0),
                Caller::Partition(id) => id,
            })
            .encode()),
            Call::SpmIdGet => Ok(Answer::endpoint(SPMC_ID).encode()),
            Call::RxTxMap { tx, rx, page_count, .. } => {
                self.mailbox(caller).and_then(|mailbox| mailbox.map(tx, rx, page_count))
            }
            Call::RxTxUnmap { endpoint } if endpoint.get() == 0 => {
                self.mailbox(caller).and_then(Mailbox::unmap)
            }
            Call::RxRelease { vm } if vm.get() == 0 => {
                if self.lies(Lie::ReleaseRefused) && caller.is_secure() {
                    return Err(FfaError::Denied);
                }
                self.mailbox(caller).and_then(Mailbox::release)
            }
            Call::PartitionInfoGet { uuid, form } => self.partition_info(caller, uuid, form),
            Call::MemSend { kind, lengths } => self.send(caller, kind, lengths),
            Call::MemFragTx { handle, length, endpoint } => {
                self.send_more(caller, handle, length, endpoint)
            }
            Call::MemRetrieveReq { lengths } => self.retrieve(caller, lengths),
            Call::MemFragRx { handle, offset, endpoint } => {
                self.retrieve_more(caller, handle, offset, endpoint)
            }
            Call::MemRelinquish => self.relinquish(caller),
            Call::MemReclaim { handle, flags } => self.reclaim(caller, handle, flags),
            Call::ConsoleLog { .. } | Call::SecondaryEpRegister { .. } if caller.is_secure() => {
                Ok(success())
            }
            Call::NotificationBitmapCreate { .. }
            | Call::NotificationBitmapDestroy { .. }
            | Call::NotificationBind { .. }
            | Call::NotificationUnbind { .. }
            | Call::NotificationSet { .. }
            | Call::NotificationGet { .. }
            | Call::NotificationInfoGet { .. } => self.notification(caller, call),
            Call::RxTxUnmap { .. } | Call::RxRelease { .. } => Err(FfaError::InvalidParameters),
            Call::ConsoleLog { .. }
            | Call::SecondaryEpRegister { .. }
            | Call::RxAcquire { .. }
            | Call::MsgWait
            | Call::Yield
            | Call::Run { .. }
            | Call::Interrupt { .. }
            | Call::DirectReq(_)
            | Call::DirectResp(_)
            | Call::DirectReq2(_)
            | Call::DirectResp2(_)
            | Call::FrameworkReq(_)
            | Call::FrameworkResp(_)
            | Call::MemPermGet { .. }
            | Call::MemPermSet { .. }
            | Call::Error(_) => Err(FfaError::NotSupported),
        }
    }

    fn lies(&self, lie: Lie) -> bool {
        self.personality.lies.has(lie)
    }

    fn mailbox(&mut self, caller: Caller) -> Result<&mut Mailbox, FfaError> {
        match caller {
            Caller::NormalWorld => Ok(&mut self.normal),
            Caller::Partition(id) => {
                let partition = self.find_partition(id).ok_or(FfaError::NotSupported)?;
                Ok(&mut partition.mailbox)
            }
        }
    }

    fn version_of(&self, caller: Caller) -> Version {
        match caller {
            Caller::NormalWorld => self.normal_version,
            Caller::Partition(id) => {
                let partition = self.partitions.iter().find(|p| p.info.id == id);
                partition.map_or(self.quirks().reported, |partition| partition.version)
            }
        }
    }

    fn find_partition(&mut self, id: EndpointId) -> Option<&mut Partition> {
        self.partitions.iter_mut().find(|partition| partition.info.id == id)
    }

    fn is_partition(&self, id: EndpointId) -> bool {
        self.partitions.iter().any(|partition| partition.info.id == id)
    }

    /// How many bytes the store takes in all, where it is counted in bytes.
    #[must_use]
    pub const fn store_bytes(&self) -> Option<usize> {
        match self.personality.quirks.capacity {
            Capacity::Bytes { total, .. } => Some(total),
            Capacity::Transactions { .. } => None,
        }
    }
}

fn error(code: FfaError) -> Regs {
    Answer::Error(code).encode()
}

fn success() -> Regs {
    Answer::success().encode()
}

fn is_direct_request(func: FuncId) -> bool {
    func == FuncId::DirectReq32 || func == FuncId::DirectReq64 || func == FuncId::DirectReq2
}
