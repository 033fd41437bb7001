//! Owns the hypervisor's side of FF-A: discovery, messages and transactions in a VM's name, on
//! whatever machine there is. Never knows which case asks.

use crate::world::{Shared, World};
use causeway_abi::{Frame, Permission, Reply, SERVICE_UUID, Status, parts};
use causeway_ffa::call::{DirectMessage, InfoForm, ReclaimFlags, Width};
use causeway_ffa::descriptor::{Builder, Receiver, Spec};
use causeway_ffa::partition_info::PartitionInfos;
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageAddr, Regs, Uuid, Version, regs,
};

const HYPERVISOR: EndpointId = EndpointId::from_raw(0);
/// The RAM of VM 1, 2 and 3, as the manifests say; each has 128 MiB.
const RAM: [u64; 3] = [0x8000_0000, 0x8800_0000, 0x9000_0000];
/// RAM that no window of a manifest names.
const NOBODYS: u64 = 0xa000_0000;

/// Bytes in a message page.
const PAGE_BYTES: usize = 4096;

/// What a hypervisor stands on: the bare machine, or one that is played.
pub trait Machine {
    /// Makes a call of the physical instance with x0-x7.
    fn smc(&mut self, regs: &Regs) -> Regs;

    /// Makes a call from another core, which is started for the first; `None`: there is no other.
    fn smc_on_second_core(&mut self, _regs: &Regs) -> Option<Regs> {
        None
    }

    /// Physical addresses of the hypervisor's TX and RX, a page each.
    fn message_pages(&self) -> (u64, u64);

    /// Puts a message into TX.
    fn write_tx(&mut self, bytes: &[u8]);

    /// Copies the beginning of RX.
    fn read_rx(&mut self, into: &mut [u8]);

    /// Reads bytes of a VM's RAM.
    fn read_ram(&mut self, address: u64, into: &mut [u8]);

    /// Writes bytes of a VM's RAM.
    fn write_ram(&mut self, address: u64, from: &[u8]);
}

/// The hypervisor.
#[derive(Debug)]
pub struct Hypervisor<M> {
    machine: M,
    partition: EndpointId,
    version: u64,
    /// Calls take two messages: whole frames lose their upper halves.
    parts: bool,
}

impl<M: Machine> Hypervisor<M> {
    /// Agrees on FF-A 1.1, registers the message pages, and looks for the partition.
    pub fn connect(mut machine: M) -> Option<Self> {
        let version = Call::Version { requested: Some(Version::V1_1) };
        let version = machine.smc(&version.encode());
        regs::decode_version_reply(&version).ok()?;
        let (tx, rx) = machine.message_pages();
        let (tx, rx) = (PageAddr::new(tx)?, PageAddr::new(rx)?);
        let version = version.x(0);
        let mut found = Self { machine, partition: HYPERVISOR, version, parts: false };
        found.plain(&Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 }).ok()?;
        (found.partition, _) = found.discover().ok()?;
        // FEATURES with an argument that only fits where nothing is cut: a call number and, above
        // 32 bits, what has to be zero. Who sees it says so.
        let probe = [u64::from(causeway_abi::CallId::Features.number()), 1 << 32 | 1, 0, 0, 0];
        let answer = found.words(EndpointId::from_raw(1), &probe).ok()?;
        found.parts = Reply::decode(&answer).is_some_and(|reply| reply.status == Status::Ok);
        Some(found)
    }

    /// What the SPMC said to FFA_VERSION.
    #[must_use]
    pub const fn spmc_version(&self) -> u64 {
        self.version
    }

    /// What it stands on.
    #[must_use]
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    fn request(&self, sender: EndpointId, words: &Frame) -> Regs {
        let (receiver, width) = (self.partition, Width::Bits64);
        Call::DirectReq(DirectMessage { sender, receiver, width, words: *words }).encode()
    }

    fn plain(&mut self, call: &Call) -> Result<(), FfaError> {
        if let Answer::Success(_) = answer(&self.machine.smc(&call.encode()))? {
            Ok(())
        } else {
            Err(FfaError::NotSupported)
        }
    }
}

/// The words of an answer of 64 bits each.
fn words_of(regs: &Regs) -> Result<Frame, FfaError> {
    if regs.w(0) == 0xc400_0070 {
        return Ok([regs.x(3), regs.x(4), regs.x(5), regs.x(6), regs.x(7)]);
    }
    Err(answer(regs).err().unwrap_or(FfaError::NotSupported))
}

fn answer(regs: &Regs) -> Result<Answer, FfaError> {
    match Answer::decode(regs, Version::V1_1) {
        Ok(Answer::Error(error)) => Err(error),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.status()),
    }
}

impl<M: Machine> World for Hypervisor<M> {
    fn partition(&self) -> EndpointId {
        self.partition
    }

    fn speaks_in_parts(&self) -> bool {
        self.parts
    }

    fn call(&mut self, regs: &Regs) -> Regs {
        self.machine.smc(regs)
    }

    fn discover(&mut self) -> Result<(EndpointId, u32), FfaError> {
        let uuid = Uuid::from_bytes(SERVICE_UUID);
        let call = Call::PartitionInfoGet { uuid, form: InfoForm::Descriptors };
        let regs = self.machine.smc(&call.encode());
        answer(&regs)?;
        let mut page = [0; PAGE_BYTES];
        self.machine.read_rx(&mut page);
        self.plain(&Call::RxRelease { vm: HYPERVISOR })?;
        let list = PartitionInfos::parse(&page, regs.w(2), regs.w(3), Version::V1_1)
            .map_err(|_| FfaError::InvalidParameters)?;
        let first = list.iter().next().ok_or(FfaError::NoData)?;
        Ok((first.id, regs.w(2)))
    }

    fn words(&mut self, from: EndpointId, words: &Frame) -> Result<Frame, FfaError> {
        let request = self.request(from, words);
        words_of(&self.machine.smc(&request))
    }

    fn words_on_second_core(
        &mut self,
        from: EndpointId,
        words: &Frame,
    ) -> Option<Result<Frame, FfaError>> {
        let request = self.request(from, words);
        self.machine.smc_on_second_core(&request).map(|answer| words_of(&answer))
    }

    fn frame(&mut self, from: EndpointId, frame: &Frame) -> Result<Frame, FfaError> {
        if !self.parts {
            return self.words(from, frame);
        }
        let [one, two] = parts::split(frame).ok_or(FfaError::InvalidParameters)?;
        let answer = self.words(from, &one)?;
        if parts::is_taken(&answer, frame) { self.words(from, &two) } else { Ok(answer) }
    }

    fn send(&mut self, shared: &Shared) -> Result<MemHandle, FfaError> {
        let receiver = |id| match shared.permission {
            Permission::ReadOnly => Receiver::read_only(id),
            Permission::ReadWrite => Receiver::read_write(id),
        };
        let both = [receiver(self.partition), receiver(shared.peer.unwrap_or(HYPERVISOR))];
        let receivers = if shared.peer.is_some() { &both[..] } else { &both[..1] };
        let ranges = [shared.pages];
        let spec =
            Spec::send(Version::V1_1, shared.kind, shared.owner, shared.tag, receivers, &ranges);
        let builder = Builder::new(spec).map_err(|_| FfaError::InvalidParameters)?;
        let mut page = [0; PAGE_BYTES];
        let len = builder.write(0, &mut page).map_err(|_| FfaError::InvalidParameters)?;
        self.machine.write_tx(&page[..len]);
        let len = u32::try_from(len).map_err(|_| FfaError::InvalidParameters)?;
        let lengths = Lengths::new(len, len).ok_or(FfaError::InvalidParameters)?;
        let call = Call::MemSend { kind: shared.kind, lengths };
        let regs = self.machine.smc(&call.encode());
        answer(&regs)?;
        let handle = u64::from(regs.w(2)) | u64::from(regs.w(3)) << 32;
        MemHandle::new(handle).ok_or(FfaError::InvalidParameters)
    }

    fn reclaim(&mut self, handle: MemHandle) -> Result<(), FfaError> {
        self.plain(&Call::MemReclaim { handle, flags: ReclaimFlags::default() })
    }

    fn ram(&self, vm: EndpointId) -> u64 {
        let index = usize::from(vm.get()).checked_sub(1);
        index.and_then(|index| RAM.get(index)).copied().unwrap_or(NOBODYS)
    }

    fn read(&mut self, address: u64, into: &mut [u8]) {
        self.machine.read_ram(address, into);
    }

    fn write(&mut self, address: u64, from: &[u8]) {
        self.machine.write_ram(address, from);
    }
}
