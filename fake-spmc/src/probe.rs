//! Owns a caller by hand: a normal world and a partition that make one call at a time, so that a test
//! can say what an SPMC does. Never retries, never tidies up.

use crate::layout::{self, PARTITION, SERVICE};
use crate::machine::Machine;
use crate::personality::Personality;
use crate::spmc::{Left, Routed, Spmc};
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::descriptor::{Borrowers, Builder, Flags, Receiver, Role, Spec};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageRange, Regs, Transfer, Version,
    relinquish,
};
use std::sync::Arc;

const PAGE: usize = 4096;

/// What a retrieve returned: every byte of the response, and how many fragments it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrieved {
    /// As long as was announced.
    pub bytes: Vec<u8>,
    /// At least 1.
    pub fragments: usize,
}

/// An SPMC with one partition and two VMs, all driven by the test.
#[derive(Debug)]
pub struct Probe {
    /// The SPMC.
    pub spmc: Spmc,
    machine: Arc<Machine>,
}

impl Probe {
    /// A machine with two VMs of 4,096 pages each; both worlds speak FF-A 1.1 and have buffers.
    #[must_use]
    pub fn new(personality: Personality) -> Self {
        Self::speaking(personality, Version::V1_1)
    }

    /// The same, with another version on both sides.
    ///
    /// # Panics
    /// If the SPMC refuses what every SPMC grants.
    #[must_use]
    pub fn speaking(personality: Personality, version: Version) -> Self {
        let machine = Arc::new(layout::machine(2, 4096));
        let mut spmc = Spmc::new(personality, machine.clone());
        spmc.load(PARTITION, SERVICE, version);
        let mut probe = Self { spmc, machine };
        probe.normal(&Call::Version { requested: Some(version) });
        let buffers = |range: PageRange| {
            let tx = range.start();
            let rx = causeway_ffa::PageAddr::new(tx.get() + 4096).expect("a page");
            let width = causeway_ffa::Width::Bits64;
            Call::RxTxMap { tx, rx, page_count: 1, width }
        };
        let done = probe.answer(&buffers(layout::hypervisor_ram()));
        assert_eq!(done, Ok(Answer::success()));
        let done = probe.partition(&buffers(layout::partition_ram()));
        assert_eq!(done, Ok(Answer::success()));
        probe
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A call of the normal world.
    pub fn normal(&mut self, call: &Call) -> Routed {
        self.spmc.normal_world(&call.encode())
    }

    /// A call of the normal world that the SPMC answers itself.
    ///
    /// # Errors
    /// The status of an FFA_ERROR, or of an answer that makes no sense.
    pub fn answer(&mut self, call: &Call) -> Result<Answer, FfaError> {
        match self.normal(call) {
            Routed::Answer(regs) => decode(&regs),
            Routed::Deliver { .. } => Err(FfaError::NotSupported),
        }
    }

    /// A call of the partition.
    ///
    /// # Errors
    /// As [`Probe::answer`].
    pub fn partition(&mut self, call: &Call) -> Result<Answer, FfaError> {
        decode(&self.spmc.partition_call(PARTITION, &call.encode()))
    }

    /// What the partition gets of a direct request; it then answers with the same words.
    ///
    /// # Errors
    /// The status where the SPMC refuses the message.
    pub fn echo(&mut self, request: &Regs) -> Result<(Regs, Regs), FfaError> {
        match self.spmc.normal_world(request) {
            Routed::Answer(regs) => decode(&regs).map(|_| (Regs::ZERO, regs)),
            Routed::Deliver { to, regs } => {
                let mut reply = regs;
                // The response's id is one above the request's; the parties change places.
                reply.0[0] += 1;
                reply.0[1] = (regs.0[1] >> 16 & 0xffff) | (regs.0[1] << 16 & 0xffff_0000);
                match self.spmc.leave(to, &reply) {
                    Left::Answered(answer) => Ok((regs, answer)),
                    Left::Refused(regs) => decode(&regs).map(|_| (Regs::ZERO, regs)),
                }
            }
        }
    }

    /// Sends memory, in fragments of `fragment` bytes.
    ///
    /// # Errors
    /// The status of the call that failed.
    pub fn send(
        &mut self,
        kind: Transfer,
        owner: EndpointId,
        receivers: &[Receiver],
        ranges: &[PageRange],
    ) -> Result<MemHandle, FfaError> {
        let spec = Spec::send(Version::V1_1, kind, owner, 0, receivers, ranges);
        self.send_spec(spec, PAGE)
    }

    /// Sends what a specification says, in fragments of `fragment` bytes.
    ///
    /// # Errors
    /// The status of the call that failed.
    pub fn send_spec(&mut self, spec: Spec<'_>, fragment: usize) -> Result<MemHandle, FfaError> {
        let Role::Send(kind) = spec.role else { return Err(FfaError::InvalidParameters) };
        let builder = Builder::new(spec).map_err(|rule| rule.status())?;
        let mut bytes = vec![0; usize::try_from(builder.total_len()).unwrap_or(0)];
        builder.write(0, &mut bytes).map_err(|rule| rule.status())?;
        self.send_bytes(kind, &bytes, fragment)
    }

    /// Sends bytes as they are, in fragments of `fragment` bytes.
    ///
    /// # Errors
    /// The status of the call that failed.
    pub fn send_bytes(
        &mut self,
        kind: Transfer,
        bytes: &[u8],
        fragment: usize,
    ) -> Result<MemHandle, FfaError> {
        let total = word(bytes.len())?;
        let mut parts = bytes.chunks(fragment);
        let first = parts.next().unwrap_or_default();
        self.write_tx(layout::hypervisor_ram(), first);
        let lengths = Lengths::new(total, word(first.len())?).ok_or(FfaError::InvalidParameters)?;
        let mut answer = self.answer(&Call::MemSend { kind, lengths })?;
        loop {
            match answer {
                Answer::Success(success) => return success.handle().ok_or(FfaError::NotReady),
                Answer::MemFragRx { handle, endpoint, .. } => {
                    let part = parts.next().ok_or(FfaError::NoData)?;
                    self.write_tx(layout::hypervisor_ram(), part);
                    let length = word(part.len())?;
                    answer = self.answer(&Call::MemFragTx { handle, length, endpoint })?;
                }
                Answer::Error(_)
                | Answer::MemRetrieveResp(_)
                | Answer::MemFragTx { .. }
                | Answer::DirectResp(_)
                | Answer::DirectResp2(_)
                | Answer::FrameworkResp(_)
                | Answer::Interrupt { .. }
                | Answer::Yield { .. }
                | Answer::MsgWait => return Err(FfaError::NotSupported),
            }
        }
    }

    /// The partition retrieves, naming these receivers, with the tag 0.
    ///
    /// # Errors
    /// The status of the call that failed.
    pub fn retrieve(
        &mut self,
        owner: EndpointId,
        handle: MemHandle,
        receivers: &[Receiver],
        borrowers: Borrowers,
    ) -> Result<Retrieved, FfaError> {
        let mut spec = Spec::retrieve_request(Version::V1_1, owner, handle, None, 0, receivers);
        spec.flags = Flags { borrowers, ..Flags::default() };
        self.retrieve_spec(spec)
    }

    /// The partition retrieves as a specification says.
    ///
    /// # Errors
    /// The status of the call that failed.
    pub fn retrieve_spec(&mut self, spec: Spec<'_>) -> Result<Retrieved, FfaError> {
        let dialect = self.spmc.quirks().dialect;
        let builder = Builder::new_in(dialect, spec).map_err(|rule| rule.status())?;
        let mut bytes = vec![0; usize::try_from(builder.total_len()).unwrap_or(0)];
        builder.write(0, &mut bytes).map_err(|rule| rule.status())?;
        self.retrieve_bytes(&bytes)
    }

    /// The partition retrieves with bytes as they are, and fetches all of the response.
    ///
    /// # Errors
    /// The status of the call that failed.
    pub fn retrieve_bytes(&mut self, request: &[u8]) -> Result<Retrieved, FfaError> {
        let handle = request.get(8..16).and_then(|h| h.try_into().ok()).map(u64::from_le_bytes);
        let handle = handle.and_then(MemHandle::new).ok_or(FfaError::InvalidParameters)?;
        self.write_tx(layout::partition_ram(), request);
        let len = word(request.len())?;
        let lengths = Lengths::new(len, len).ok_or(FfaError::InvalidParameters)?;
        let answer = self.partition(&Call::MemRetrieveReq { lengths })?;
        let Answer::MemRetrieveResp(lengths) = answer else { return Err(FfaError::NotSupported) };
        let total = usize::try_from(lengths.total()).unwrap_or(usize::MAX);
        let mut bytes = self.take_rx(lengths.fragment())?;
        let mut fragments = 1;
        while bytes.len() < total && fragments < 1000 {
            let (offset, endpoint) = (word(bytes.len())?, EndpointId::default());
            let answer = self.partition(&Call::MemFragRx { handle, offset, endpoint })?;
            let Answer::MemFragTx { length, .. } = answer else {
                return Err(FfaError::NotSupported);
            };
            bytes.extend(self.take_rx(length)?);
            fragments += 1;
        }
        Ok(Retrieved { bytes, fragments })
    }

    fn take_rx(&mut self, length: u32) -> Result<Vec<u8>, FfaError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(PAGE);
        let mut bytes = vec![0; length];
        let rx = layout::partition_ram().start().get() + 4096;
        self.machine.ram().read(rx, &mut bytes).ok_or(FfaError::Aborted)?;
        self.partition(&Call::RxRelease { vm: EndpointId::default() })?;
        Ok(bytes)
    }

    /// The partition lets go.
    ///
    /// # Errors
    /// The status.
    pub fn relinquish(&mut self, handle: MemHandle) -> Result<Answer, FfaError> {
        let mut bytes = [0; 64];
        relinquish::write(handle, ReclaimFlags::default(), &[PARTITION], &mut bytes)
            .map_err(|rule| rule.status())?;
        self.write_tx(layout::partition_ram(), &bytes);
        self.partition(&Call::MemRelinquish)
    }

    /// The normal world takes memory back.
    ///
    /// # Errors
    /// The status.
    pub fn reclaim(&mut self, handle: MemHandle) -> Result<Answer, FfaError> {
        self.answer(&Call::MemReclaim { handle, flags: ReclaimFlags::default() })
    }

    /// Reads the normal world's RX, and gives it back.
    ///
    /// # Errors
    /// The status of the release.
    pub fn normal_rx(&mut self, length: usize) -> Result<Vec<u8>, FfaError> {
        let mut bytes = vec![0; length];
        let rx = layout::hypervisor_ram().start().get() + 4096;
        self.machine.ram().read(rx, &mut bytes).ok_or(FfaError::Aborted)?;
        self.answer(&Call::RxRelease { vm: EndpointId::default() })?;
        Ok(bytes)
    }

    fn write_tx(&self, buffers: PageRange, bytes: &[u8]) {
        let written = self.machine.ram().write(buffers.start().get(), bytes);
        debug_assert!(written.is_some());
    }
}

fn word(len: usize) -> Result<u32, FfaError> {
    u32::try_from(len).map_err(|_| FfaError::InvalidParameters)
}

fn decode(regs: &Regs) -> Result<Answer, FfaError> {
    match Answer::decode(regs, Version::V1_3) {
        Ok(Answer::Error(code)) => Err(code),
        Ok(answer) => Ok(answer),
        Err(refusal) => Err(refusal.status()),
    }
}
