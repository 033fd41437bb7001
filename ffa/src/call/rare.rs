//! Owns calls that no component of ours serves yet; never decides whether one should.
//!
//! [`super::Call::decode`] refuses them as [`DecodeError::NotServed`]. Once a component serves one, it
//! becomes a variant of [`super::Call`], so that the compiler lists every match.

use super::decode::{high_endpoint, masked, word};
use super::{DecodeError, Signal, Width};
use crate::regs::{halves, join};
use crate::{EndpointId, FuncId, Regs, Uuid, Version};

/// A request that is read and written, but not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RareCall {
    /// FFA_MSG_SEND2: the message and its header, which names the receiver, lie in TX.
    /// Source: DEN0077A 1.1, FFA_MSG_SEND2.
    MsgSend2 {
        /// The VM on whose behalf the hypervisor calls; 0 at a virtual instance.
        sender: EndpointId,
        /// When the receiver's scheduler hears of it (flags, bit 1).
        signal: Signal,
    },
    /// FFA_PARTITION_INFO_GET_REGS. The answer is a
    /// [`RegsPage`](crate::partition_info::RegsPage).
    /// Source: DEN0077A 1.2, FFA_PARTITION_INFO_GET_REGS.
    PartitionInfoGetRegs {
        /// Whom to list; nil for all.
        uuid: Uuid,
        /// The first index wanted.
        start: u16,
        /// The tag of the answer before; 0 with index 0.
        tag: u16,
    },
    /// FFA_ABORT: the caller cannot go on. Its other registers are not settled in 1.3 (ALP2), and
    /// are not looked at.
    Abort {
        /// Which of the two function ids.
        width: Width,
    },
}

/// Bit 1 of the flags of FFA_MSG_SEND2.
const DELAY: u32 = 2;

impl RareCall {
    /// Reads a request. Total: every register file is a call or an error.
    ///
    /// # Errors
    /// [`DecodeError::NotServed`] for any other function, else as [`super::Call::decode`].
    pub fn decode(regs: &Regs, version: Version) -> Result<Self, DecodeError> {
        let func = regs.func().ok_or(DecodeError::UnknownFunction { raw: regs.w(0) })?;
        if func.since() > version {
            return Err(DecodeError::NotInVersion(func));
        }
        if func == FuncId::MsgSend2 {
            let sender = high_endpoint(regs, 1)?;
            let signal = if masked(regs, 2, DELAY)? == 0 { Signal::Now } else { Signal::Delayed };
            return Ok(Self::MsgSend2 { sender, signal });
        }
        if func == FuncId::PartitionInfoGetRegs {
            let (tag, start) = halves(word(regs, 3)?);
            if start == 0 && tag != 0 {
                return Err(DecodeError::BadField { register: 3 });
            }
            let uuid = Uuid::from_double_words(regs.run(1));
            return Ok(Self::PartitionInfoGetRegs { uuid, start, tag });
        }
        if func == FuncId::Abort32 || func == FuncId::Abort64 {
            let width = if func.is_64_bit() { Width::Bits64 } else { Width::Bits32 };
            return Ok(Self::Abort { width });
        }
        Err(DecodeError::NotServed(func))
    }

    /// Writes a request. Registers that it does not use are zero.
    #[must_use]
    pub fn encode(&self) -> Regs {
        match *self {
            Self::MsgSend2 { sender, signal } => {
                let flags = match signal {
                    Signal::Now => 0,
                    Signal::Delayed => DELAY,
                };
                Regs::of(FuncId::MsgSend2).with_w(1, join(sender.get(), 0)).with_w(2, flags)
            }
            Self::PartitionInfoGetRegs { uuid, start, tag } => {
                Regs::of(FuncId::PartitionInfoGetRegs)
                    .with_run(1, &uuid.double_words())
                    .with_w(3, join(tag, start))
            }
            Self::Abort { width: Width::Bits32 } => Regs::of(FuncId::Abort32),
            Self::Abort { width: Width::Bits64 } => Regs::of(FuncId::Abort64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Call;

    const UUID: Uuid = Uuid::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

    fn calls() -> [RareCall; 4] {
        [
            RareCall::MsgSend2 { sender: EndpointId::from_raw(3), signal: Signal::Delayed },
            RareCall::PartitionInfoGetRegs { uuid: UUID, start: 5, tag: 7 },
            RareCall::Abort { width: Width::Bits32 },
            RareCall::Abort { width: Width::Bits64 },
        ]
    }

    #[test]
    fn rare_calls_survive_a_round_trip_and_are_not_served() {
        for call in calls() {
            let regs = call.encode();
            assert_eq!(RareCall::decode(&regs, Version::V1_3), Ok(call));
            let func = regs.func().unwrap();
            assert_eq!(Call::decode(&regs, Version::V1_3), Err(DecodeError::NotServed(func)));
            let early = RareCall::decode(&regs, Version::V1_0);
            assert_eq!(early, Err(DecodeError::NotInVersion(func)));
        }
        let [send2, get_regs, ..] = calls().map(|call| call.encode());
        assert_eq!((send2.x(1), send2.x(2)), (3 << 16, 2));
        assert_eq!((get_regs.x(1), get_regs.x(3)), (0x0807_0605_0403_0201, 7 << 16 | 5));
    }

    #[test]
    fn kb_08_reserved_bits_and_a_tag_without_index_are_refused() {
        let [send2, get_regs, ..] = calls().map(|call| call.encode());
        let refused = |regs: Regs| RareCall::decode(&regs, Version::V1_3).unwrap_err();
        assert_eq!(refused(send2.with(2, 1)), DecodeError::Reserved { register: 2 });
        assert_eq!(refused(send2.with(1, 1)), DecodeError::Reserved { register: 1 });
        assert_eq!(refused(send2.with(2, 1 << 32)), DecodeError::UpperHalf { register: 2 });
        assert_eq!(refused(get_regs.with(3, 7 << 16)), DecodeError::BadField { register: 3 });
        assert_eq!(refused(get_regs.with(3, 1 << 32)), DecodeError::UpperHalf { register: 3 });
        assert_eq!(refused(Call::IdGet.encode()), DecodeError::NotServed(FuncId::IdGet));
    }
}
