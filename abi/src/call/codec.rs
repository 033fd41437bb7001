//! Owns how each call lies in a frame; never decides whether a call is allowed.

use super::{Call, CallId};
use crate::frame::{Frame, pack};
use crate::grant::{GrantKind, GrantSummary, GrantTerms, Permission};
use crate::interrupt::InterruptCall;
use crate::join::{CopyDirection, JoinName};
use crate::ledger::{DigestHalf, LedgerScope};
use crate::vault;
use crate::{NO_PEER, Status, VERSION_MAJOR};
use causeway_ffa::{EndpointId, MemHandle};

fn narrow<T: TryFrom<u64>>(word: u64) -> Result<T, Status> {
    T::try_from(word).map_err(|_| Status::BadArgument)
}

fn handle(word: u64) -> Result<MemHandle, Status> {
    MemHandle::new(word).ok_or(Status::NoSuchGrant)
}

fn zero<const N: usize>(words: [u64; N]) -> Result<(), Status> {
    if words.iter().all(|w| *w == 0) { Ok(()) } else { Err(Status::ReservedNotZero) }
}

impl Call {
    /// Reads a frame. Total: every frame is a call or a status.
    ///
    /// # Errors
    /// In this order: [`Status::UnknownCall`], [`Status::BadVersion`], [`Status::ReservedNotZero`]
    /// for the call word; then what the arguments break.
    pub fn decode(frame: &Frame) -> Result<Self, Status> {
        let [word, a, b, c, d] = *frame;
        let [number, part, v0, v1, upper @ ..] = word.to_le_bytes();
        let id = CallId::from_number(number).ok_or(Status::UnknownCall)?;
        if u16::from_le_bytes([v0, v1]) != VERSION_MAJOR {
            return Err(Status::BadVersion);
        }
        if part != 0 || upper != [0; 4] {
            return Err(Status::ReservedNotZero);
        }
        Self::decode_args(id, [a, b, c, d])
    }

    #[expect(clippy::too_many_lines, reason = "one table of all calls is clearer whole")]
    fn decode_args(id: CallId, [a, b, c, d]: [u64; 4]) -> Result<Self, Status> {
        Ok(match id {
            CallId::Version => zero([b, c, d]).and(Ok(Self::Version { minor: narrow(a)? }))?,
            CallId::Features => {
                zero([b, c, d]).and(Ok(Self::Features { call_number: narrow(a)? }))?
            }
            CallId::Events => zero([a, b, c, d]).and(Ok(Self::Events))?,
            CallId::Stats => zero([b, c, d]).and(Ok(Self::Stats { page: narrow(a)? }))?,
            CallId::Offer => {
                zero([d])?;
                Self::Offer { handle: handle(a)?, terms: decode_terms(b)?, tag: c }
            }
            CallId::Revoke => zero([b, c, d]).and(Ok(Self::Revoke { handle: handle(a)? }))?,
            CallId::State => zero([b, c, d]).and(Ok(Self::State { handle: handle(a)? }))?,
            CallId::Join => {
                zero([c, d])?;
                Self::Join { handle: handle(a)?, name: decode_name(b)? }
            }
            CallId::Part => zero([b, c, d]).and(Ok(Self::Part { name: decode_name(a)? }))?,
            CallId::Joined => zero([b, c, d]).and(Ok(Self::Joined { name: decode_name(a)? }))?,
            CallId::Copy => {
                let code = narrow(a >> 32)?;
                Self::Copy {
                    name: decode_name(a & u64::from(u32::MAX))?,
                    direction: CopyDirection::from_code(code).ok_or(Status::BadArgument)?,
                    from_offset: b,
                    to_offset: c,
                    length: d,
                }
            }
            CallId::List => zero([b, c, d]).and(Ok(Self::List { cursor: narrow(a)? }))?,
            CallId::Inspect => {
                zero([c, d])?;
                Self::Inspect { handle: handle(a)?, range_index: narrow(b)? }
            }
            CallId::Accept => Self::Accept {
                handle: handle(a)?,
                seen: GrantSummary::from_words([b, c, d]).ok_or(Status::TermsChanged)?,
            },
            CallId::Reject => {
                zero([c, d])?;
                Self::Reject { handle: handle(a)?, generation: narrow(b)? }
            }
            CallId::Release => zero([b, c, d]).and(Ok(Self::Release { handle: handle(a)? }))?,
            CallId::HypRegister => {
                zero([c, d])?;
                let sgi: u8 = narrow(a)?;
                if sgi > 7 {
                    return Err(Status::BadArgument);
                }
                Self::HypRegister { sgi, core: narrow(b)? }
            }
            CallId::HypPoll => zero([a, b, c, d]).and(Ok(Self::HypPoll))?,
            CallId::HypMapping => {
                zero([c, d])?;
                Self::HypMapping { handle: handle(a)?, vm: EndpointId::from_raw(narrow(b)?) }
            }
            CallId::HypUnmapped => {
                zero([c, d])?;
                Self::HypUnmapped { handle: handle(a)?, vm: EndpointId::from_raw(narrow(b)?) }
            }
            CallId::BusKick => zero([a, b, c, d]).and(Ok(Self::BusKick))?,
            CallId::IrqFetch => Self::Interrupt(InterruptCall::fetch([a, b, c, d])?),
            CallId::IrqComplete => Self::Interrupt(InterruptCall::complete([a, b, c, d])?),
            CallId::IrqMask => Self::Interrupt(InterruptCall::mask([a, b, c, d])?),
            CallId::IrqUnmask => Self::Interrupt(InterruptCall::unmask([a, b, c, d])?),
            CallId::IrqArm => Self::Interrupt(InterruptCall::arm([a, b, c, d])?),
            CallId::IrqInfo => Self::Interrupt(InterruptCall::info([a, b, c, d])?),
            CallId::IrqBind => Self::Interrupt(InterruptCall::bind([a, b, c, d])?),
            CallId::Seal => zero([a, b, c, d]).and(Ok(Self::Seal))?,
            CallId::LedgerHead => {
                zero([c, d])?;
                let half = DigestHalf::from_code(narrow(b)?).ok_or(Status::BadArgument)?;
                Self::LedgerHead { scope: decode_scope(a)?, half }
            }
            CallId::LedgerRead => {
                zero([d])?;
                Self::LedgerRead { handle: handle(a)?, scope: decode_scope(b)?, cursor: c }
            }
            CallId::VaultState => Self::Vault(vault::decode::state([a, b, c, d])?),
            CallId::Entropy => Self::Vault(vault::decode::entropy([a, b, c, d])?),
            CallId::CounterRead => Self::Vault(vault::decode::counter_read([a, b, c, d])?),
            CallId::CounterIncrement => {
                Self::Vault(vault::decode::counter_increment([a, b, c, d])?)
            }
            CallId::Rpmb => Self::Vault(vault::decode::rpmb([a, b, c, d])?),
            CallId::KeyGenerate => Self::Vault(vault::decode::key_generate([a, b, c, d])?),
            CallId::KeyImport => Self::Vault(vault::decode::key_import([a, b, c, d])?),
            CallId::KeyDelete => Self::Vault(vault::decode::key_delete([a, b, c, d])?),
            CallId::KeyPublic => Self::Vault(vault::decode::key_public([a, b, c, d])?),
            CallId::KeyMac => Self::Vault(vault::decode::key_mac([a, b, c, d])?),
            CallId::KeyVerify => Self::Vault(vault::decode::key_verify([a, b, c, d])?),
            CallId::KeySign => Self::Vault(vault::decode::key_sign([a, b, c, d])?),
            CallId::KeyEncrypt => Self::Vault(vault::decode::key_encrypt([a, b, c, d])?),
            CallId::KeyDecrypt => Self::Vault(vault::decode::key_decrypt([a, b, c, d])?),
            CallId::WatchdogStart => Self::Vault(vault::decode::watchdog_start([a, b, c, d])?),
            CallId::WatchdogPing => Self::Vault(vault::decode::watchdog_ping([a, b, c, d])?),
            CallId::WatchdogStop => Self::Vault(vault::decode::watchdog_stop([a, b, c, d])?),
            CallId::WatchdogLeft => Self::Vault(vault::decode::watchdog_left([a, b, c, d])?),
        })
    }

    /// Packs the call.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let args = match *self {
            Self::Version { minor } => [u64::from(minor), 0, 0, 0],
            Self::Features { call_number } => [u64::from(call_number), 0, 0, 0],
            Self::Stats { page } => [u64::from(page), 0, 0, 0],
            Self::Events | Self::HypPoll | Self::BusKick | Self::Seal => [0; 4],
            Self::Interrupt(call) => call.words(),
            Self::LedgerHead { scope, half } => {
                [u64::from(scope.code()), u64::from(half.code()), 0, 0]
            }
            Self::LedgerRead { handle, scope, cursor } => {
                [handle.get(), u64::from(scope.code()), cursor, 0]
            }
            Self::Vault(call) => call.args(),
            Self::Offer { handle, terms, tag } => [handle.get(), encode_terms(terms), tag, 0],
            Self::Revoke { handle } | Self::State { handle } | Self::Release { handle } => {
                [handle.get(), 0, 0, 0]
            }
            Self::Join { handle, name } => [handle.get(), encode_name(name), 0, 0],
            Self::Part { name } | Self::Joined { name } => [encode_name(name), 0, 0, 0],
            Self::Copy { name, direction, from_offset, to_offset, length } => {
                let name = encode_name(name) | u64::from(direction.code()) << 32;
                [name, from_offset, to_offset, length]
            }
            Self::List { cursor } => [u64::from(cursor), 0, 0, 0],
            Self::Inspect { handle, range_index } => [handle.get(), u64::from(range_index), 0, 0],
            Self::Accept { handle, seen } => {
                let [x, y, z] = seen.words();
                [handle.get(), x, y, z]
            }
            Self::Reject { handle, generation } => [handle.get(), u64::from(generation), 0, 0],
            Self::HypRegister { sgi, core } => [u64::from(sgi), u64::from(core), 0, 0],
            Self::HypMapping { handle, vm } | Self::HypUnmapped { handle, vm } => {
                [handle.get(), u64::from(vm.get()), 0, 0]
            }
        };
        pack(self.id().number(), args)
    }
}

fn decode_scope(word: u64) -> Result<LedgerScope, Status> {
    LedgerScope::from_code(narrow(word)?).ok_or(Status::BadArgument)
}

fn encode_name(name: JoinName) -> u64 {
    u64::from(name.peer.get()) | u64::from(name.number) << 16
}

fn decode_name(word: u64) -> Result<JoinName, Status> {
    let [p0, p1, n0, n1, upper @ ..] = word.to_le_bytes();
    if upper != [0; 4] {
        return Err(Status::ReservedNotZero);
    }
    let peer = EndpointId::from_raw(u16::from_le_bytes([p0, p1]));
    Ok(JoinName { peer, number: u16::from_le_bytes([n0, n1]) })
}

fn encode_terms(terms: GrantTerms) -> u64 {
    let peer = terms.peer.map_or(NO_PEER, EndpointId::get);
    u64::from(peer)
        | (u64::from(terms.kind.code()) << 16)
        | (u64::from(terms.permission.code()) << 24)
}

fn decode_terms(word: u64) -> Result<GrantTerms, Status> {
    let [p0, p1, kind, permission, upper @ ..] = word.to_le_bytes();
    if upper != [0; 4] {
        return Err(Status::ReservedNotZero);
    }
    let peer = u16::from_le_bytes([p0, p1]);
    Ok(GrantTerms {
        peer: (peer != NO_PEER).then_some(EndpointId::from_raw(peer)),
        kind: GrantKind::from_code(kind).ok_or(Status::BadArgument)?,
        permission: Permission::from_code(permission).ok_or(Status::BadArgument)?,
    })
}
