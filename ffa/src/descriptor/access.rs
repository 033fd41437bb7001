//! Owns attributes, permissions, flags and receivers; never decides which of them are acceptable.

use super::{DescriptorError, Role};
use crate::call::{TimeSlice, Zero};
use crate::{EndpointId, Transfer};

/// Device memory types, bits 3:2. Source: DEN0077A 1.1, table 10.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// nGnRnE
    NGnRnE,
    /// nGnRE
    NGnRE,
    /// nGRE
    NGRE,
    /// GRE
    GRE,
}

/// Cacheability of normal memory, bits 3:2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cacheability {
    /// 1
    NonCacheable,
    /// 3
    WriteBack,
}

/// Shareability of normal memory, bits 1:0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shareability {
    /// 0
    NonShareable,
    /// 2
    Outer,
    /// 3
    Inner,
}

/// Memory type, bits 5:4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryType {
    /// 0: the other side chooses.
    NotSpecified,
    /// 1
    Device(Device),
    /// 2
    Normal(Cacheability, Shareability),
}

/// Security state, bit 6; meaningful in a retrieve response only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// 0: secure in a response, no statement anywhere else.
    Clear,
    /// 1
    NonSecure,
}

/// Memory region attributes. Source: DEN0077A 1.1, table 10.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// Bits 5:0.
    pub memory: MemoryType,
    /// Bit 6.
    pub security: Security,
}

impl Attributes {
    /// Normal, write-back, inner shareable: 0x2f. What RAM is shared with.
    pub const NORMAL: Self = Self {
        memory: MemoryType::Normal(Cacheability::WriteBack, Shareability::Inner),
        security: Security::Clear,
    };
    /// Left to the other side: 0. What RAM is lent with.
    pub const UNSPECIFIED: Self =
        Self { memory: MemoryType::NotSpecified, security: Security::Clear };

    /// Reads the field; `None` if it has no meaning.
    #[must_use]
    pub const fn from_word(word: u16) -> Option<Self> {
        // What nearly everybody says comes first: it saves half of the decoding.
        match word {
            0x2f => return Some(Self::NORMAL),
            0 => return Some(Self::UNSPECIFIED),
            _ => {}
        }
        if word >> 7 != 0 {
            return None;
        }
        let memory = match ((word >> 4) & 3, (word >> 2) & 3, word & 3) {
            (0, 0, 0) => MemoryType::NotSpecified,
            (1, 0, 0) => MemoryType::Device(Device::NGnRnE),
            (1, 1, 0) => MemoryType::Device(Device::NGnRE),
            (1, 2, 0) => MemoryType::Device(Device::NGRE),
            (1, 3, 0) => MemoryType::Device(Device::GRE),
            (2, cache @ (1 | 3), share @ (0 | 2 | 3)) => MemoryType::Normal(
                if cache == 1 { Cacheability::NonCacheable } else { Cacheability::WriteBack },
                match share {
                    0 => Shareability::NonShareable,
                    2 => Shareability::Outer,
                    _ => Shareability::Inner,
                },
            ),
            _ => return None,
        };
        let security = if word & 0x40 == 0 { Security::Clear } else { Security::NonSecure };
        Some(Self { memory, security })
    }

    /// Writes the field.
    #[must_use]
    pub const fn word(self) -> u16 {
        let memory = match self.memory {
            MemoryType::NotSpecified => 0,
            MemoryType::Device(Device::NGnRnE) => 0x10,
            MemoryType::Device(Device::NGnRE) => 0x14,
            MemoryType::Device(Device::NGRE) => 0x18,
            MemoryType::Device(Device::GRE) => 0x1c,
            MemoryType::Normal(cache, share) => {
                let cache = match cache {
                    Cacheability::NonCacheable => 0x24,
                    Cacheability::WriteBack => 0x2c,
                };
                cache
                    | match share {
                        Shareability::NonShareable => 0,
                        Shareability::Outer => 2,
                        Shareability::Inner => 3,
                    }
            }
        };
        match self.security {
            Security::Clear => memory,
            Security::NonSecure => memory | 0x40,
        }
    }
}

/// Data access, bits 1:0. Source: DEN0077A 1.1, table 10.15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataAccess {
    /// 0: the other side chooses.
    NotSpecified,
    /// 1
    ReadOnly,
    /// 2
    ReadWrite,
}

/// Instruction access, bits 3:2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstructionAccess {
    /// 0: the other side chooses.
    NotSpecified,
    /// 1
    NotExecutable,
    /// 2
    Executable,
}

/// Access permissions of one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Bits 1:0.
    pub data: DataAccess,
    /// Bits 3:2.
    pub instruction: InstructionAccess,
}

impl Access {
    /// Reads the field; `None` if it has no meaning.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        let data = match byte & 3 {
            0 => DataAccess::NotSpecified,
            1 => DataAccess::ReadOnly,
            2 => DataAccess::ReadWrite,
            _ => return None,
        };
        let instruction = match byte >> 2 {
            0 => InstructionAccess::NotSpecified,
            1 => InstructionAccess::NotExecutable,
            2 => InstructionAccess::Executable,
            _ => return None,
        };
        Some(Self { data, instruction })
    }

    /// Writes the field.
    #[must_use]
    pub const fn byte(self) -> u8 {
        let data = match self.data {
            DataAccess::NotSpecified => 0,
            DataAccess::ReadOnly => 1,
            DataAccess::ReadWrite => 2,
        };
        let instruction = match self.instruction {
            InstructionAccess::NotSpecified => 0,
            InstructionAccess::NotExecutable => 4,
            InstructionAccess::Executable => 8,
        };
        data | instruction
    }
}

/// Whether a receiver retrieves for itself. Source: DEN0077A 1.1, table 10.15, flags, bit 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Retrieval {
    /// It does.
    #[default]
    Own,
    /// Its memory was, or shall, not be retrieved on its behalf.
    NonRetrieval,
}

/// One receiver of a transaction. Source: DEN0077A 1.1, tables 10.15 and 10.16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receiver {
    /// Who.
    pub endpoint: EndpointId,
    /// What it may do.
    pub access: Access,
    /// Whether it retrieves; [`Retrieval::Own`] in a send.
    pub retrieval: Retrieval,
    /// Implementation defined bytes of the 32-byte form; zero in the 16-byte form.
    pub impdef: [u8; 16],
}

impl Receiver {
    /// A receiver with the given data access; instruction access is left to the relayer, as sends
    /// of shared memory ask.
    #[must_use]
    pub const fn new(endpoint: EndpointId, data: DataAccess) -> Self {
        Self {
            endpoint,
            access: Access { data, instruction: InstructionAccess::NotSpecified },
            retrieval: Retrieval::Own,
            impdef: [0; 16],
        }
    }

    /// A receiver that may read and write.
    #[must_use]
    pub const fn read_write(endpoint: EndpointId) -> Self {
        Self::new(endpoint, DataAccess::ReadWrite)
    }

    /// A receiver that may read.
    #[must_use]
    pub const fn read_only(endpoint: EndpointId) -> Self {
        Self::new(endpoint, DataAccess::ReadOnly)
    }

    /// The same receiver, never executing: what retrieve requests and responses say.
    #[must_use]
    pub const fn not_executable(mut self) -> Self {
        self.access.instruction = InstructionAccess::NotExecutable;
        self
    }
}

/// Whether a retrieve request lists every borrower. Source: DEN0077A 1.1, table 10.22, bit 10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Borrowers {
    /// All of them: what the EL3 SPMC asks for.
    #[default]
    All,
    /// The caller alone; the check is bypassed.
    CallerOnly,
}

/// Transaction flags. Source: DEN0077A 1.1, tables 10.21, 10.22, 10.23.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// Bit 0: zero the memory before it changes hands.
    pub zero: Zero,
    /// Bit 1: time slicing.
    pub time_slice: TimeSlice,
    /// Bit 2 (retrieve request): zero the memory when the borrower lets go.
    pub zero_after: Zero,
    /// Bits 4:3 (request: the expected kind or none; response: the kind; send: none).
    pub kind: Option<Transfer>,
    /// Bits 9:5 (retrieve request): log2 of the wished alignment in 4 KiB pages.
    pub alignment_hint: Option<u8>,
    /// Bit 10 (retrieve request).
    pub borrowers: Borrowers,
}

const ZERO: u32 = 1;
const SLICE: u32 = 1 << 1;
const ZERO_AFTER: u32 = 1 << 2;
const KIND: u32 = 3 << 3;
const SHARE: u32 = 1 << 3;
const LEND: u32 = 2 << 3;
const HINT: u32 = 15 << 5;
const HINT_VALID: u32 = 1 << 9;
const BYPASS: u32 = 1 << 10;

impl Flags {
    /// No flag but the kind.
    #[must_use]
    pub fn of_kind(kind: Transfer) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Checks the word by the rules of `role`.
    #[inline]
    pub(super) fn check_word(word: u32, role: Role) -> Result<(), DescriptorError> {
        // Nothing said is nothing wrong, but in a response, which names the kind.
        if word == 0 && role != Role::RetrieveResponse {
            return Ok(());
        }
        Self::check_set(word, role)
    }

    #[inline(never)]
    fn check_set(word: u32, role: Role) -> Result<(), DescriptorError> {
        let allowed = match role {
            Role::Send(_) => ZERO | SLICE,
            Role::RetrieveRequest => ZERO | SLICE | ZERO_AFTER | KIND | HINT | HINT_VALID | BYPASS,
            Role::RetrieveResponse => ZERO | SLICE | ZERO_AFTER | KIND,
        };
        if word & !allowed != 0 || (word & HINT_VALID == 0 && word & HINT != 0) {
            return Err(DescriptorError::Flags);
        }
        let kind = word & KIND;
        let is_share = match role {
            Role::Send(kind) => kind == Transfer::Share,
            Role::RetrieveResponse if kind == 0 => return Err(DescriptorError::Flags),
            Role::RetrieveRequest | Role::RetrieveResponse => kind == SHARE,
        };
        if is_share && word & (ZERO | ZERO_AFTER) != 0 {
            return Err(DescriptorError::ZeroOnShare);
        }
        Ok(())
    }

    /// Reads a word that [`Flags::check_word`] takes.
    pub(super) fn from_word(word: u32) -> Self {
        let zero_if = |bit: u32| if word & bit == 0 { Zero::Keep } else { Zero::Zero };
        let kind = match word & KIND {
            0 => None,
            SHARE => Some(Transfer::Share),
            LEND => Some(Transfer::Lend),
            _ => Some(Transfer::Donate),
        };
        let [hint, ..] = ((word & HINT) >> 5).to_le_bytes();
        Self {
            zero: zero_if(ZERO),
            time_slice: if word & SLICE == 0 { TimeSlice::Whole } else { TimeSlice::Sliced },
            zero_after: zero_if(ZERO_AFTER),
            kind,
            alignment_hint: (word & HINT_VALID != 0).then_some(hint),
            borrowers: if word & BYPASS == 0 { Borrowers::All } else { Borrowers::CallerOnly },
        }
    }

    /// Writes the word.
    #[must_use]
    pub fn word(&self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        let kind = match self.kind {
            None => 0,
            Some(Transfer::Share) => SHARE,
            Some(Transfer::Lend) => LEND,
            Some(Transfer::Donate) => KIND,
        };
        let hint = self.alignment_hint.map_or(0, |hint| HINT_VALID | ((u32::from(hint) & 15) << 5));
        bit(self.zero == Zero::Zero, ZERO)
            | bit(self.time_slice == TimeSlice::Sliced, SLICE)
            | bit(self.zero_after == Zero::Zero, ZERO_AFTER)
            | bit(self.borrowers == Borrowers::CallerOnly, BYPASS)
            | kind
            | hint
    }
}
