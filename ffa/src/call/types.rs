//! Owns the small field types of calls; never combines them.

use crate::EndpointId;
use crate::regs::{halves, join};

/// Which calling convention a call with two function ids came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// SMC32: w registers.
    Bits32,
    /// SMC64: x registers.
    Bits64,
}

/// How memory changes hands. Source: DEN0077A 1.2, memory management transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transfer {
    /// Owner and borrowers use it together.
    Share,
    /// The owner loses access until it reclaims.
    Lend,
    /// The owner loses it for good.
    Donate,
}

/// One execution context: endpoint in bits 31:16, vCPU in bits 15:0 of w1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vcpu {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its vCPU.
    pub vcpu: u16,
}

impl Vcpu {
    /// Reads a w register.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        let (endpoint, vcpu) = halves(word);
        Self { endpoint: EndpointId::from_raw(endpoint), vcpu }
    }

    /// Writes a w register.
    #[must_use]
    pub const fn word(self) -> u32 {
        join(self.endpoint.get(), self.vcpu)
    }
}

/// Total and fragment length of a descriptor in bytes: neither is 0, the fragment is not longer
/// than the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lengths {
    total: u32,
    fragment: u32,
}

impl Lengths {
    /// Checks the pair (KB-02: never use a fragment length before it is checked).
    #[must_use]
    pub const fn new(total: u32, fragment: u32) -> Option<Self> {
        if fragment == 0 || fragment > total { None } else { Some(Self { total, fragment }) }
    }

    /// Returns the bytes of the whole descriptor.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.total
    }

    /// Returns the bytes of this fragment.
    #[must_use]
    pub const fn fragment(self) -> u32 {
        self.fragment
    }

    /// Reports whether the fragment is the whole.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.total == self.fragment
    }
}

/// What FFA_FEATURES asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeatureQuery {
    /// Whether a function exists.
    Function(crate::FuncId),
    /// A feature id (1: notification pending interrupt, 2: schedule receiver interrupt, 3: managed
    /// exit interrupt).
    Feature(u8),
    /// Neither; the answer is NOT_SUPPORTED.
    Unknown(u32),
}

/// What FFA_PARTITION_INFO_GET returns. Source: DEN0077A 1.2, its flags, bit 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InfoForm {
    /// Descriptors in the RX buffer.
    Descriptors,
    /// The count alone; RX is not used.
    CountOnly,
}

/// Whether the relayer zeroes memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Zero {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is zeroed.
    Zero,
}

/// Whether a long operation may be paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeSlice {
    /// It runs to its end.
    #[default]
    Whole,
    /// It may be paused.
    Sliced,
}

/// The flags of FFA_MEM_RECLAIM and FFA_MEM_RELINQUISH: bit 0 zero, bit 1 time slicing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReclaimFlags {
    /// Zero the memory after it was unmapped.
    pub zero: Zero,
    /// Allow time slicing.
    pub time_slice: TimeSlice,
}

impl ReclaimFlags {
    /// Reads the word; `None` if a reserved bit is set.
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        if word & !0b11 != 0 {
            return None;
        }
        Some(Self {
            zero: if word & 1 == 0 { Zero::Keep } else { Zero::Zero },
            time_slice: if word & 2 == 0 { TimeSlice::Whole } else { TimeSlice::Sliced },
        })
    }

    /// Writes the word.
    #[must_use]
    pub const fn word(self) -> u32 {
        let zero = match self.zero {
            Zero::Keep => 0,
            Zero::Zero => 1,
        };
        let slice = match self.time_slice {
            TimeSlice::Whole => 0,
            TimeSlice::Sliced => 2,
        };
        zero | slice
    }
}

/// Stage-1 data permission of FFA_MEM_PERM_GET and SET: its own encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataPermission {
    /// 0
    NoAccess,
    /// 1
    ReadWrite,
    /// 3
    ReadOnly,
}

/// Stage-1 instruction permission of FFA_MEM_PERM_GET and SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstructionPermission {
    /// 0
    Executable,
    /// 1
    NotExecutable,
}

/// Permissions of one page in FFA_MEM_PERM_GET and SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PagePermission {
    /// Bits 1:0.
    pub data: DataPermission,
    /// Bit 2.
    pub instruction: InstructionPermission,
}

impl PagePermission {
    /// Reads the word; `None` if a reserved bit is set or the data field has no meaning.
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        if word & !0b111 != 0 {
            return None;
        }
        let data = match word & 0b11 {
            0 => DataPermission::NoAccess,
            1 => DataPermission::ReadWrite,
            3 => DataPermission::ReadOnly,
            _ => return None,
        };
        let instruction = if word & 0b100 == 0 {
            InstructionPermission::Executable
        } else {
            InstructionPermission::NotExecutable
        };
        Some(Self { data, instruction })
    }

    /// Writes the word.
    #[must_use]
    pub const fn word(self) -> u32 {
        let data = match self.data {
            DataPermission::NoAccess => 0,
            DataPermission::ReadWrite => 1,
            DataPermission::ReadOnly => 3,
        };
        let instruction = match self.instruction {
            InstructionPermission::Executable => 0,
            InstructionPermission::NotExecutable => 0b100,
        };
        data | instruction
    }
}

/// Whether notifications are bound per vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Any vCPU handles them.
    Global,
    /// Each vCPU has its own.
    PerVcpu,
}

/// When the schedule receiver interrupt is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// At once.
    Now,
    /// At the next exit to the primary scheduler.
    Delayed,
}

/// Which bitmaps FFA_NOTIFICATION_GET fetches; any subset of the four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BitmapSet(u32);

impl BitmapSet {
    /// From secure partitions.
    pub const SP: Self = Self(1);
    /// From VMs.
    pub const VM: Self = Self(2);
    /// From the SPM.
    pub const SPM: Self = Self(4);
    /// From the hypervisor.
    pub const HYP: Self = Self(8);
    /// All four.
    pub const ALL: Self = Self(15);

    /// Reads the flags word; other bits are SBZ and are ignored.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self(word & 15)
    }

    /// Writes the flags word.
    #[must_use]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// Returns both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reports whether all of `other` is in the set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
