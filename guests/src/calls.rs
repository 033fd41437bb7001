//! Owns the tests' bare calls: FF-A to the monitor, frames to the partition; hides no refusal.
//!
//! The client library wraps the same calls in types that cannot be misused. The tests want just
//! that misuse, so each call here returns what came back and keeps no state.

use crate::cases::{Layer, Outcome};
use crate::descriptor::Descriptor;
use crate::rt::{access, hvc, pages, signal};
use causeway_abi::{Call, Frame, GrantKind, GrantSummary, GrantTerms, LifeState, Permission};
use causeway_abi::{Reply, Status};
use causeway_ffa::{EndpointId, FfaError, MemHandle};

/// The partition.
pub const PARTITION: u16 = 0x8001;

/// Function ids. Source: DEN0077A 1.1, chapters 13-17.
pub mod id {
    /// FFA_ERROR.
    pub const ERROR: u64 = 0x8400_0060;
    /// FFA_VERSION.
    pub const VERSION: u64 = 0x8400_0063;
    /// FFA_FEATURES.
    pub const FEATURES: u64 = 0x8400_0064;
    /// FFA_RX_RELEASE.
    pub const RX_RELEASE: u64 = 0x8400_0065;
    /// FFA_RXTX_MAP, SMC64.
    pub const RXTX_MAP: u64 = 0xc400_0066;
    /// FFA_RXTX_UNMAP.
    pub const RXTX_UNMAP: u64 = 0x8400_0067;
    /// FFA_MSG_SEND_DIRECT_REQ, SMC64.
    pub const DIRECT_REQUEST: u64 = 0xc400_006f;
    /// FFA_MSG_SEND_DIRECT_RESP, SMC64.
    pub const DIRECT_RESPONSE: u64 = 0xc400_0070;
    /// FFA_MEM_DONATE.
    pub const DONATE: u64 = 0x8400_0071;
    /// FFA_MEM_LEND.
    pub const LEND: u64 = 0x8400_0072;
    /// FFA_MEM_SHARE.
    pub const SHARE: u64 = 0x8400_0073;
    /// FFA_MEM_RETRIEVE_REQ.
    pub const RETRIEVE: u64 = 0x8400_0074;
    /// FFA_MEM_RELINQUISH.
    pub const RELINQUISH: u64 = 0x8400_0076;
    /// FFA_MEM_RECLAIM.
    pub const RECLAIM: u64 = 0x8400_0077;
    /// FFA_MEM_FRAG_RX.
    pub const FRAG_RX: u64 = 0x8400_007a;
    /// FFA_MEM_FRAG_TX.
    pub const FRAG_TX: u64 = 0x8400_007b;
}

/// An FFA_ERROR, and who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub error: FfaError,
    /// The monitor, or the SPMC behind it.
    pub layer: Layer,
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        Self { layer: refused.layer, status: error_name(refused.error) }
    }
}

/// Returns the name of an FF-A error, as the table of cases has it.
#[must_use]
pub const fn error_name(error: FfaError) -> &'static str {
    match error {
        FfaError::NotSupported => "NotSupported",
        FfaError::InvalidParameters => "InvalidParameters",
        FfaError::NoMemory => "NoMemory",
        FfaError::Busy => "Busy",
        FfaError::Interrupted => "Interrupted",
        FfaError::Denied => "Denied",
        FfaError::Retry => "Retry",
        FfaError::Aborted => "Aborted",
        FfaError::NoData => "NoData",
        FfaError::NotReady => "NotReady",
        FfaError::Unknown(_) => "Unknown",
    }
}

/// Makes an FF-A call.
///
/// # Errors
/// The FFA_ERROR that came back, with its layer.
pub fn ffa(regs: [u64; 8]) -> Result<[u64; 8], Refused> {
    let answer = hvc::call(regs);
    if answer[0] & 0xffff_ffff != id::ERROR {
        return Ok(answer);
    }
    let [b0, b1, b2, b3, ..] = answer[2].to_le_bytes();
    let error = FfaError::from_code(i32::from_le_bytes([b0, b1, b2, b3]));
    let who = hvc::call([hvc::vendor::LAST_REFUSAL, 0, 0, 0, 0, 0, 0, 0]);
    let layer = if who[0] == 2 { Layer::Spmc } else { Layer::Monitor };
    Err(Refused { error, layer })
}

/// This VM's message buffers.
#[derive(Clone, Copy, Debug)]
pub struct Mailbox {
    /// Address of the TX page.
    pub tx: u64,
    /// Address of the RX page.
    pub rx: u64,
}

impl Mailbox {
    /// Negotiates the version and maps a page for each direction.
    ///
    /// # Errors
    /// What the monitor refused.
    pub fn open() -> Result<Self, Refused> {
        ffa([id::VERSION, 0x0001_0001, 0, 0, 0, 0, 0, 0])?;
        let tx = pages::take(1);
        let rx = pages::take(1);
        ffa([id::RXTX_MAP, tx, rx, 1, 0, 0, 0, 0])?;
        Ok(Self { tx, rx })
    }

    /// Gives the pages back to this VM.
    ///
    /// # Errors
    /// What the monitor refused.
    pub fn close(self) -> Result<(), Refused> {
        ffa([id::RXTX_UNMAP, 0, 0, 0, 0, 0, 0, 0]).map(|_| ())
    }

    /// Writes bytes into TX; what does not fit is cut off.
    pub fn write(&self, bytes: &[u8]) {
        for (index, chunk) in (0_u64..512).zip(bytes.chunks(8)) {
            let word = chunk.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
            access::write_u64(self.tx + index * 8, word);
        }
    }

    /// Sends a descriptor with one of SHARE, LEND, DONATE and returns the handle.
    ///
    /// # Errors
    /// The refusal.
    pub fn send(&self, function: u64, descriptor: &Descriptor) -> Result<u64, Refused> {
        let bytes = descriptor.bytes();
        self.write(&bytes);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let regs = ffa([function, len, len, 0, 0, 0, 0, 0])?;
        Ok((regs[2] & 0xffff_ffff) | (regs[3] << 32))
    }

    /// Sends a descriptor of any length, a page of it at a time, and returns the handle.
    ///
    /// # Errors
    /// The refusal, of whichever fragment.
    pub fn send_long(&self, function: u64, descriptor: &Descriptor) -> Result<u64, Refused> {
        let bytes = descriptor.bytes();
        let len = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut chunks = bytes.chunks(4096);
        let first = chunks.next().unwrap_or_default();
        self.write(first);
        let mut regs = ffa([function, len(&bytes), len(first), 0, 0, 0, 0, 0])?;
        for chunk in chunks {
            self.write(chunk);
            regs = self.send_next(half_sent(&regs), len(chunk))?;
        }
        Ok((regs[2] & 0xffff_ffff) | (regs[3] << 32))
    }

    /// Sends what TX holds as the next fragment of `handle`.
    ///
    /// # Errors
    /// The refusal.
    pub fn send_next(&self, handle: u64, len: u64) -> Result<[u64; 8], Refused> {
        ffa([id::FRAG_TX, handle & 0xffff_ffff, handle >> 32, len, 0, 0, 0, 0])
    }

    /// Shares `count` pages from `address` with `borrowers`, read-write.
    ///
    /// # Errors
    /// The refusal.
    pub fn share(&self, address: u64, count: u32, borrowers: &[u16]) -> Result<u64, Refused> {
        let own = signal::own_id();
        self.send(id::SHARE, &Descriptor::send(own, borrowers, &[(address, count)]))
    }

    /// Retrieves as `borrowers.last()` what `owner` gave; returns the address of its first byte.
    ///
    /// # Errors
    /// The refusal.
    pub fn retrieve(&self, owner: u16, handle: u64, borrowers: &[u16]) -> Result<u64, Refused> {
        let bytes = Descriptor::retrieve(owner, handle, borrowers).bytes();
        self.write(&bytes);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        ffa([id::RETRIEVE, len, len, 0, 0, 0, 0, 0])?;
        let endpoints = access::read_u64(self.rx + 32) & 0xffff_ffff;
        let composite = access::read_u64(self.rx + endpoints) >> 32;
        let address = access::read_u64(self.rx + composite + 16);
        ffa([id::RX_RELEASE, 0, 0, 0, 0, 0, 0, 0])?;
        Ok(address)
    }

    /// Gives a retrieved area back to the monitor.
    ///
    /// # Errors
    /// The refusal.
    pub fn relinquish(&self, handle: u64) -> Result<(), Refused> {
        access::write_u64(self.tx, handle);
        access::write_u64(self.tx + 8, 1 << 32);
        access::write_u64(self.tx + 16, u64::from(signal::own_id()));
        ffa([id::RELINQUISH, 0, 0, 0, 0, 0, 0, 0]).map(|_| ())
    }
}

/// The handle under which FFA_MEM_FRAG_RX asks for the next fragment.
#[must_use]
pub const fn half_sent(answer: &[u64; 8]) -> u64 {
    (answer[1] & 0xffff_ffff) | (answer[2] << 32)
}

/// Reclaims a handle.
///
/// # Errors
/// The refusal.
pub fn reclaim(handle: u64) -> Result<(), Refused> {
    ffa([id::RECLAIM, handle & 0xffff_ffff, handle >> 32, 0, 0, 0, 0, 0]).map(|_| ())
}

/// What a call of the partition met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The message did not reach the partition.
    Ffa(Refused),
    /// The partition refused.
    Status(Status),
    /// The answer made no sense.
    Malformed,
}

impl From<Met> for Outcome {
    fn from(met: Met) -> Self {
        match met {
            Met::Ffa(refused) => refused.into(),
            Met::Status(status) => Self { layer: Layer::Partition, status: status.name() },
            Met::Malformed => Self { layer: Layer::Partition, status: "Malformed" },
        }
    }
}

/// Sends a frame as `sender` and returns the answer's frame.
///
/// # Errors
/// The refusal of the message itself.
pub fn message(sender: u16, receiver: u16, frame: Frame) -> Result<Frame, Met> {
    let who = (u64::from(sender) << 16) | u64::from(receiver);
    let [a, b, c, d, e] = frame;
    let regs = ffa([id::DIRECT_REQUEST, who, 0, a, b, c, d, e]).map_err(Met::Ffa)?;
    let [function, _, _, answer @ ..] = regs;
    if function & 0xffff_ffff != id::DIRECT_RESPONSE {
        return Err(Met::Malformed);
    }
    Ok(answer)
}

/// The registers of a call of the partition, for whoever makes it another way.
#[must_use]
pub fn registers(call: &Call) -> [u64; 8] {
    let who = (u64::from(signal::own_id()) << 16) | u64::from(PARTITION);
    let [a, b, c, d, e] = call.encode();
    [id::DIRECT_REQUEST, who, 0, a, b, c, d, e]
}

/// Sends any frame to the partition and reads the answer.
///
/// # Errors
/// What refused it.
pub fn frame(frame: Frame) -> Result<[u64; 4], Met> {
    let answer = message(signal::own_id(), PARTITION, frame)?;
    let reply = Reply::decode(&answer).ok_or(Met::Malformed)?;
    if reply.status == Status::Ok { Ok(reply.results) } else { Err(Met::Status(reply.status)) }
}

/// Calls the partition.
///
/// # Errors
/// What refused it.
pub fn partition(call: &Call) -> Result<[u64; 4], Met> {
    frame(call.encode())
}

/// Names a handle that is not the invalid one; the tests invent no other.
#[must_use]
pub fn name(handle: u64) -> MemHandle {
    MemHandle::new(handle).unwrap_or_else(|| panic!("the invalid handle"))
}

/// Offers a handle; `peer` 0 means the partition only.
///
/// # Errors
/// What refused it.
pub fn offer(handle: u64, peer: u16, kind: GrantKind) -> Result<[u64; 4], Met> {
    let peer = (peer != 0).then_some(EndpointId::from_raw(peer));
    offer_on(handle, GrantTerms { peer, kind, permission: Permission::ReadWrite })
}

/// Offers a handle on these terms.
///
/// # Errors
/// What refused it.
pub fn offer_on(handle: u64, terms: GrantTerms) -> Result<[u64; 4], Met> {
    partition(&Call::Offer { handle: name(handle), terms, tag: 0 })
}

/// Looks at an offer.
///
/// # Errors
/// What refused it.
pub fn inspect(handle: u64) -> Result<GrantSummary, Met> {
    let [a, b, c, _] = partition(&Call::Inspect { handle: name(handle), range_index: 0 })?;
    GrantSummary::from_words([a, b, c]).ok_or(Met::Malformed)
}

/// Looks at an offer and accepts what it saw.
///
/// # Errors
/// What refused it.
pub fn accept(handle: u64) -> Result<GrantSummary, Met> {
    let seen = inspect(handle)?;
    partition(&Call::Accept { handle: name(handle), seen })?;
    Ok(seen)
}

fn life(results: Result<[u64; 4], Met>) -> Result<LifeState, Met> {
    let [state, ..] = results?;
    u8::try_from(state).ok().and_then(LifeState::from_code).ok_or(Met::Malformed)
}

/// Asks where a grant stands.
///
/// # Errors
/// What refused it.
pub fn state(handle: u64) -> Result<LifeState, Met> {
    life(partition(&Call::State { handle: name(handle) }))
}

/// Takes a grant back.
///
/// # Errors
/// What refused it.
pub fn revoke(handle: u64) -> Result<LifeState, Met> {
    life(partition(&Call::Revoke { handle: name(handle) }))
}

/// Lets go of a grant as its peer.
///
/// # Errors
/// What refused it.
pub fn release(handle: u64) -> Result<LifeState, Met> {
    life(partition(&Call::Release { handle: name(handle) }))
}

/// Returns the first handle of the list of offers, if any.
///
/// # Errors
/// What refused it.
pub fn first_offer() -> Result<Option<u64>, Met> {
    let [handle, ..] = partition(&Call::List { cursor: 0 })?;
    Ok((handle != causeway_abi::NO_HANDLE).then_some(handle))
}
