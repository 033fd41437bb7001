//! Owns the hypervisor's side of FF-A: discovery, messages and transactions in a VM's name. Never
//! knows which case asks.

use crate::arch::{PAGE_BYTES, message_pages, read_ram, read_rx, smc, write_ram, write_tx};
use causeway_abi::{Frame, Permission, Reply, SERVICE_UUID, Status, parts};
use causeway_conformance::{Shared, World};
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

/// The hypervisor.
pub(crate) struct Hypervisor {
    partition: EndpointId,
    version: u64,
    /// Calls take two messages: whole frames lose their upper halves.
    parts: bool,
}

impl Hypervisor {
    /// Agrees on FF-A 1.1, registers the message pages, and looks for the partition.
    pub(crate) fn connect() -> Option<Self> {
        let version = Call::Version { requested: Some(Version::V1_1) };
        let version = smc(&version.encode());
        regs::decode_version_reply(&version).ok()?;
        let (tx, rx) = message_pages();
        let (tx, rx) = (PageAddr::new(tx)?, PageAddr::new(rx)?);
        plain(&Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 }).ok()?;
        let mut found = Self { partition: HYPERVISOR, version: version.x(0), parts: false };
        (found.partition, _) = found.discover().ok()?;
        // FEATURES with an argument that only fits where nothing is cut: a call number and, above
        // 32 bits, what has to be zero. Who sees it says so.
        let probe = [u64::from(causeway_abi::CallId::Features.number()), 1 << 32 | 1, 0, 0, 0];
        let answer = found.words(EndpointId::from_raw(1), &probe).ok()?;
        found.parts = Reply::decode(&answer).is_some_and(|reply| reply.status == Status::Ok);
        Some(found)
    }

    /// What the SPMC said to FFA_VERSION.
    pub(crate) fn spmc_version(&self) -> u64 {
        self.version
    }
}

fn answer(regs: &Regs) -> Result<Answer, FfaError> {
    match Answer::decode(regs, Version::V1_1) {
        Ok(Answer::Error(error)) => Err(error),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.status()),
    }
}

fn plain(call: &Call) -> Result<(), FfaError> {
    if let Answer::Success(_) = answer(&smc(&call.encode()))? {
        Ok(())
    } else {
        Err(FfaError::NotSupported)
    }
}

impl World for Hypervisor {
    fn partition(&self) -> EndpointId {
        self.partition
    }

    fn speaks_in_parts(&self) -> bool {
        self.parts
    }

    fn call(&mut self, regs: &Regs) -> Regs {
        smc(regs)
    }

    fn discover(&mut self) -> Result<(EndpointId, u32), FfaError> {
        let uuid = Uuid::from_bytes(SERVICE_UUID);
        let call = Call::PartitionInfoGet { uuid, form: InfoForm::Descriptors };
        let regs = smc(&call.encode());
        answer(&regs)?;
        let mut page = [0; PAGE_BYTES];
        read_rx(&mut page);
        plain(&Call::RxRelease { vm: HYPERVISOR })?;
        let list = PartitionInfos::parse(&page, regs.w(2), regs.w(3), Version::V1_1)
            .map_err(|_| FfaError::InvalidParameters)?;
        let first = list.iter().next().ok_or(FfaError::NoData)?;
        Ok((first.id, regs.w(2)))
    }

    fn words(&mut self, from: EndpointId, words: &Frame) -> Result<Frame, FfaError> {
        let receiver = self.partition;
        let message = DirectMessage { sender: from, receiver, width: Width::Bits64, words: *words };
        let regs = smc(&Call::DirectReq(message).encode());
        if regs.w(0) == 0xc400_0070 {
            return Ok([regs.x(3), regs.x(4), regs.x(5), regs.x(6), regs.x(7)]);
        }
        Err(answer(&regs).err().unwrap_or(FfaError::NotSupported))
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
        write_tx(&page[..len]);
        let len = u32::try_from(len).map_err(|_| FfaError::InvalidParameters)?;
        let lengths = Lengths::new(len, len).ok_or(FfaError::InvalidParameters)?;
        let call = Call::MemSend { kind: shared.kind, lengths };
        let regs = smc(&call.encode());
        answer(&regs)?;
        let handle = u64::from(regs.w(2)) | u64::from(regs.w(3)) << 32;
        MemHandle::new(handle).ok_or(FfaError::InvalidParameters)
    }

    fn reclaim(&mut self, handle: MemHandle) -> Result<(), FfaError> {
        plain(&Call::MemReclaim { handle, flags: ReclaimFlags::default() })
    }

    fn ram(&self, vm: EndpointId) -> u64 {
        let index = usize::from(vm.get()).checked_sub(1);
        index.and_then(|index| RAM.get(index)).copied().unwrap_or(NOBODYS)
    }

    fn read(&mut self, address: u64, into: &mut [u8]) {
        read_ram(address, into);
    }

    fn write(&mut self, address: u64, from: &[u8]) {
        write_ram(address, from);
    }
}
