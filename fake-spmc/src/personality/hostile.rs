//! Owns the lies that a hostile SPMC can tell; never tells one.
//!
//! No partition can be safe from its SPMC. What can be asked of it is that no answer makes it panic,
//! loop, or map anything outside the RAM windows of its manifest.

/// One thing that a hostile SPMC does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lie {
    /// The retrieve response names another handle.
    Handle,
    /// The retrieve response has another tag.
    Tag,
    /// The retrieve response names another sender.
    Sender,
    /// The retrieve response lists another receiver in the place of the partition's peer, or of the
    /// partition: it was made for somebody else.
    Receiver,
    /// Permissions are wider than the sender granted.
    Permission,
    /// Executable memory.
    Executable,
    /// The NS bit is clear: "secure memory".
    SecureMemory,
    /// Device memory.
    DeviceMemory,
    /// Another kind of transfer.
    Kind,
    /// The first range lies in secure RAM.
    SecureRange,
    /// The first range is not page aligned.
    UnalignedRange,
    /// The first range has pages up to the end of the address space.
    EndlessRange,
    /// The page total is one too many.
    PageTotal,
    /// There are more ranges than the descriptor says.
    RangeCount,
    /// The first range is there twice.
    SameRangeTwice,
    /// The announced total length is longer than what comes.
    LongTotal,
    /// The announced total length is 4 GiB.
    HugeTotal,
    /// The announced fragment is longer than the buffer.
    LongFragment,
    /// The response ends after the header.
    Truncated,
    /// Every fragment is 16 bytes, for ever.
    EndlessFragments,
    /// Fragments are of another transaction.
    FragmentHandle,
    /// Instead of a fragment comes FFA_SUCCESS.
    NoFragment,
    /// The receivers lie outside the descriptor.
    ReceiverOffset,
    /// RX is full of ones.
    Ones,
    /// The retrieve is answered with FFA_SUCCESS, or any other call with FFA_MEM_RETRIEVE_RESP.
    WrongAnswer,
    /// The retrieve is answered with registers full of ones.
    GarbageRegisters,
    /// Every retrieve is answered BUSY.
    BusyForRetrieve,
    /// Every relinquish is answered DENIED.
    RelinquishRefused,
    /// RX_RELEASE is refused.
    ReleaseRefused,
    /// The owner's reclaim succeeds although the partition holds its retrieve.
    ReclaimThoughLocked,
    /// Direct requests come from another VM than they were sent by.
    ForgedVm,
    /// Direct requests come from the hypervisor's id.
    ForgedHypervisor,
    /// Direct requests come from the partition itself.
    ForgedSelf,
}

impl Lie {
    /// Each of them.
    pub const ALL: &'static [Self] = &[
        Self::Handle,
        Self::Tag,
        Self::Sender,
        Self::Receiver,
        Self::Permission,
        Self::Executable,
        Self::SecureMemory,
        Self::DeviceMemory,
        Self::Kind,
        Self::SecureRange,
        Self::UnalignedRange,
        Self::EndlessRange,
        Self::PageTotal,
        Self::RangeCount,
        Self::SameRangeTwice,
        Self::LongTotal,
        Self::HugeTotal,
        Self::LongFragment,
        Self::Truncated,
        Self::EndlessFragments,
        Self::FragmentHandle,
        Self::NoFragment,
        Self::ReceiverOffset,
        Self::Ones,
        Self::WrongAnswer,
        Self::GarbageRegisters,
        Self::BusyForRetrieve,
        Self::RelinquishRefused,
        Self::ReleaseRefused,
        Self::ReclaimThoughLocked,
        Self::ForgedVm,
        Self::ForgedHypervisor,
        Self::ForgedSelf,
    ];

    const fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// A set of lies, told each time that there is occasion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lies(u64);

impl Lies {
    /// The truth.
    pub const NONE: Self = Self(0);

    /// One lie.
    #[must_use]
    pub const fn one(lie: Lie) -> Self {
        Self(lie.bit())
    }

    /// One more.
    #[must_use]
    pub const fn and(self, lie: Lie) -> Self {
        Self(self.0 | lie.bit())
    }

    /// Reports whether `lie` is among them.
    #[must_use]
    pub const fn has(self, lie: Lie) -> bool {
        self.0 & lie.bit() != 0
    }

    /// Any subset, by the lower bits of a number: for random tests.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Lie::ALL.len()) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lie_has_a_bit_of_its_own() {
        let all = Lie::ALL.iter().fold(Lies::NONE, |set, lie| {
            assert!(!set.has(*lie), "{lie:?}");
            set.and(*lie)
        });
        assert_eq!(all, Lies::from_bits(u64::MAX));
    }
}
