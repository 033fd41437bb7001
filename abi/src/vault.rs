//! Owns the calls of the security services (entropy, counters, replay-protected memory, keys,
//! watchdogs) and their meaning; never decides whether one is allowed. They are in a file of their own
//! because the broker has no part in them. docs/security-hardware.md explains them.
//!
//! ```
//! use causeway_abi::vault::{KeyPurpose, Keyed, KeyedText, VaultCall};
//! use causeway_abi::Call;
//! use causeway_ffa::MemHandle;
//!
//! let generate = Call::Vault(VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Aead });
//! assert_eq!(Call::decode(&generate.encode()), Ok(generate));
//! // 32 bytes at offset 64 of an area, with nothing associated; nonce and tag come to offset 128.
//! let text = Keyed { handle: MemHandle::new(7).unwrap(), slot: 0, offset: 64, length: 32 };
//! let encrypt = Call::Vault(VaultCall::KeyEncrypt(KeyedText { text, associated: 0, proof: 128 }));
//! assert_eq!(Call::decode(&encrypt.encode()), Ok(encrypt));
//! ```

mod codec;

pub(crate) use codec::decode;

use crate::call::CallId;
use causeway_ffa::MemHandle;

/// Most random bytes that one ENTROPY returns: three result words.
pub const ENTROPY_MAX_BYTES: u8 = 24;
/// Longest message of a call on a key, and of text and associated data together.
pub const KEY_MAX_BYTES: u16 = 4096;
/// Bytes of an RPMB frame.
pub const FRAME_BYTES: u32 = 512;
/// Bytes of a signature, of a public key, a tag or a key, and of what decrypting needs: a nonce of 24
/// and a tag of 16.
pub const SIGNATURE_BYTES: u32 = 64;
/// See [`SIGNATURE_BYTES`].
pub const KEY_BYTES: u32 = 32;
/// See [`SIGNATURE_BYTES`].
pub const PROOF_BYTES: u32 = 40;

/// What a key is for. It serves nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// HMAC-SHA256.
    Mac,
    /// XChaCha20-Poly1305.
    Aead,
    /// Ed25519.
    Sign,
}

impl KeyPurpose {
    /// Returns the wire value.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Mac => 1,
            Self::Aead => 2,
            Self::Sign => 3,
        }
    }

    /// Names a wire value.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Mac),
            2 => Some(Self::Aead),
            3 => Some(Self::Sign),
            _ => None,
        }
    }
}

/// A message in a local area of the caller, and the key that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keyed {
    /// The area.
    pub handle: MemHandle,
    /// The key's slot.
    pub slot: u8,
    /// Where the message begins.
    pub offset: u32,
    /// Its bytes, at most [`KEY_MAX_BYTES`].
    pub length: u16,
}

/// A text in a local area of the caller, with associated data in front of it and its proof elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyedText {
    /// The key, the text's bytes, and where the associated data begins.
    pub text: Keyed,
    /// Bytes of associated data; the text follows them.
    pub associated: u16,
    /// Where the proof is: nonce and tag, [`PROOF_BYTES`] in all.
    pub proof: u32,
}

/// A call of the security services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VaultCall {
    /// Returns x4 = [`services`] that policy gives the caller and the machine has.
    State,
    /// x4 = bytes wanted, 1 to [`ENTROPY_MAX_BYTES`]. Returns x4 = that number, x5-x7 = the bytes in memory
    /// order, zero behind the last.
    Entropy {
        /// How many.
        count: u8,
    },
    /// x4 = number. Returns x4 = the counter's value, 0 if it was never incremented.
    CounterRead {
        /// Which counter.
        number: u8,
    },
    /// x4 = number. Returns x4 = the new value, one more than before and durable.
    CounterIncrement {
        /// Which counter.
        number: u8,
    },
    /// x4 = handle of a local area, x5 = offset of one request frame | offset of the answers << 32,
    /// x6 = room for answers in frames. Returns x4 = frames written there: none for programming and
    /// writing, whose outcome a result read fetches.
    Rpmb {
        /// The area.
        handle: MemHandle,
        /// Where the request is.
        request: u32,
        /// Where answers go.
        answers: u32,
        /// How many may be written.
        room: u16,
    },
    /// x4 = slot | [`KeyPurpose`] << 8. The key is made from entropy and never leaves.
    KeyGenerate {
        /// The slot.
        slot: u8,
        /// What for.
        purpose: KeyPurpose,
    },
    /// x4 = handle, x5 = slot | purpose << 8, x6 = offset of the key, [`KEY_BYTES`]. It can't be read
    /// back.
    KeyImport {
        /// The area.
        handle: MemHandle,
        /// The slot.
        slot: u8,
        /// What for.
        purpose: KeyPurpose,
        /// Where the key is.
        offset: u32,
    },
    /// x4 = slot.
    KeyDelete {
        /// The slot.
        slot: u8,
    },
    /// x4 = slot. Returns x4-x7 = the public half of a signing key, in memory order.
    KeyPublic {
        /// The slot.
        slot: u8,
    },
    /// x4 = handle, x5 = slot | length << 32, x6 = offset. Returns x4-x7 = the HMAC, in memory order.
    KeyMac(Keyed),
    /// As KEY_MAC, and x6 has the tag's offset in its upper half. Ok: they are the same.
    KeyVerify {
        /// The message.
        message: Keyed,
        /// Where the tag is, [`KEY_BYTES`].
        tag: u32,
    },
    /// As KEY_MAC, and x6 has in its upper half where the signature goes.
    KeySign {
        /// The message.
        message: Keyed,
        /// Where [`SIGNATURE_BYTES`] are written.
        signature: u32,
    },
    /// x4 = handle, x5 = slot | length << 32 | associated << 48, x6 = offset | proof << 32. The text is
    /// encrypted where it is, and the proof is written.
    KeyEncrypt(KeyedText),
    /// As KEY_ENCRYPT, the other way; the proof is read.
    KeyDecrypt(KeyedText),
    /// x4 = time-out in milliseconds, x5 = how many milliseconds before it a doorbell warns, or 0. Arms
    /// the caller's watchdog, or arms it anew.
    WatchdogStart {
        /// After so long without a ping it fires.
        timeout_ms: u32,
        /// The warning.
        warning_ms: u32,
    },
    /// The caller is well: the time begins anew.
    WatchdogPing,
    /// Disarms the caller's own, where policy lets it.
    WatchdogStop,
    /// Returns x4 = milliseconds until it fires, x5 = 1 if it has warned.
    WatchdogLeft,
}

/// Bits of what VAULT_STATE returns in x4.
pub mod services {
    macro_rules! services {
        ($($(#[$doc:meta])* $name:ident = $bit:literal;)+) => {
            $($(#[$doc])* pub const $name: u64 = 1 << $bit;)+

            /// Every bit with its name, in order.
            pub const ALL: &[(&str, u64)] = &[$((stringify!($name), $name),)+];
        };
    }

    services! {
        /// ENTROPY: policy allows it, and the processor has a source that has not failed.
        ENTROPY = 0;
        /// Counters: policy gives some, and there is a store.
        COUNTERS = 1;
        /// RPMB: policy allows it, and there is a store.
        RPMB = 2;
        /// Keys: policy gives slots, and there is a store and a hardware-unique key.
        KEYS = 3;
        /// Watchdog: policy allows it.
        WATCHDOG = 4;
        /// The flash may be written: every core of the machine has been seen.
        FLASH_READY = 8;
    }
}

impl VaultCall {
    /// Returns the call's number.
    #[must_use]
    pub const fn id(&self) -> CallId {
        match self {
            Self::State => CallId::VaultState,
            Self::Entropy { .. } => CallId::Entropy,
            Self::CounterRead { .. } => CallId::CounterRead,
            Self::CounterIncrement { .. } => CallId::CounterIncrement,
            Self::Rpmb { .. } => CallId::Rpmb,
            Self::KeyGenerate { .. } => CallId::KeyGenerate,
            Self::KeyImport { .. } => CallId::KeyImport,
            Self::KeyDelete { .. } => CallId::KeyDelete,
            Self::KeyPublic { .. } => CallId::KeyPublic,
            Self::KeyMac(_) => CallId::KeyMac,
            Self::KeyVerify { .. } => CallId::KeyVerify,
            Self::KeySign { .. } => CallId::KeySign,
            Self::KeyEncrypt(_) => CallId::KeyEncrypt,
            Self::KeyDecrypt(_) => CallId::KeyDecrypt,
            Self::WatchdogStart { .. } => CallId::WatchdogStart,
            Self::WatchdogPing => CallId::WatchdogPing,
            Self::WatchdogStop => CallId::WatchdogStop,
            Self::WatchdogLeft => CallId::WatchdogLeft,
        }
    }
}
