//! Owns how each call lies in a frame; never decides whether a call is allowed.

use super::{Call, CallId};
use crate::frame::{Frame, pack};
use crate::grant::{GrantKind, GrantSummary, GrantTerms, Permission};
use crate::interrupt::InterruptCall;
use crate::join::{CopyDirection, JoinName};
use crate::ledger::{DigestHalf, LedgerScope};
use crate::vault;
use crate::words::{handle, narrow, one, two, zero};
use crate::{NO_PEER, Status, VERSION_MAJOR};
use causeway_ffa::EndpointId;

impl Call {
    /// Reads a frame. Total: every frame is a call or a status.
    ///
    /// # Errors
    /// In this order: [`Status::UnknownCall`], [`Status::BadVersion`], [`Status::ReservedNotZero`]
    /// for the call word; then what the arguments break.
    pub fn decode(frame: &Frame) -> Result<Self, Status> {
        let [_, a, b, c, d] = *frame;
        Self::decode_args(Self::decode_id(frame)?, [a, b, c, d])
    }

    /// Reads the call word of a frame: the first half of [`Call::decode`].
    ///
    /// ```
    /// # use causeway_abi::{Call, CallId, Status};
    /// let frame = Call::Features { call_number: 0x10 }.encode();
    /// assert_eq!(Call::decode_id(&frame), Ok(CallId::Features));
    /// assert_eq!(Call::decode_id(&[0xff, 0, 0, 0, 0]), Err(Status::UnknownCall));
    /// ```
    ///
    /// # Errors
    /// [`Status::UnknownCall`], [`Status::BadVersion`], [`Status::ReservedNotZero`].
    #[inline(always)]
    pub fn decode_id(frame: &Frame) -> Result<CallId, Status> {
        let [word, ..] = *frame;
        let [number, part, v0, v1, upper @ ..] = word.to_le_bytes();
        let id = CallId::from_number(number).ok_or(Status::UnknownCall)?;
        if u16::from_le_bytes([v0, v1]) != VERSION_MAJOR {
            return Err(Status::BadVersion);
        }
        if part != 0 || upper != [0; 4] {
            return Err(Status::ReservedNotZero);
        }
        Ok(id)
    }

    /// Reads the arguments of a call: the second half of [`Call::decode`]. Reserved words and bits come
    /// first, whatever else the arguments break. Inlined, so that who knows the call pays for no other.
    ///
    /// ```
    /// # use causeway_abi::{Call, CallId, Status};
    /// let call = Call::decode_args(CallId::Stats, [16, 0, 0, 0]);
    /// assert_eq!(call, Ok(Call::Stats { page: 16 }));
    /// let reserved = Call::decode_args(CallId::Stats, [16, 0, 0, 1]);
    /// assert_eq!(reserved, Err(Status::ReservedNotZero));
    /// ```
    ///
    /// # Errors
    /// What the arguments break.
    #[inline(always)]
    #[expect(clippy::too_many_lines, reason = "one table of all calls is clearer whole")]
    pub fn decode_args(id: CallId, args: [u64; 4]) -> Result<Self, Status> {
        let [a, b, c, d] = args;
        Ok(match id {
            CallId::Version => Self::Version { minor: narrow(one(args)?)? },
            CallId::Features => Self::Features { call_number: narrow(one(args)?)? },
            CallId::Events => zero(&args).and(Ok(Self::Events))?,
            CallId::Stats => Self::Stats { page: narrow(one(args)?)? },
            CallId::Offer => {
                zero(&[b >> 32, d])?;
                Self::Offer { handle: handle(a)?, terms: decode_terms(b)?, tag: c }
            }
            CallId::Revoke => Self::Revoke { handle: handle(one(args)?)? },
            CallId::State => Self::State { handle: handle(one(args)?)? },
            CallId::Join => {
                zero(&[b >> 32, c, d])?;
                Self::Join { handle: handle(a)?, name: decode_name(b) }
            }
            CallId::Part => {
                zero(&[a >> 32, b, c, d]).and(Ok(Self::Part { name: decode_name(a) }))?
            }
            CallId::Joined => {
                zero(&[a >> 32, b, c, d]).and(Ok(Self::Joined { name: decode_name(a) }))?
            }
            CallId::Copy => {
                let [.., code, r0, r1, r2] = a.to_le_bytes();
                zero(&[u64::from(r0), u64::from(r1), u64::from(r2)])?;
                Self::Copy {
                    name: decode_name(a),
                    direction: CopyDirection::from_code(code).ok_or(Status::BadArgument)?,
                    from_offset: b,
                    to_offset: c,
                    length: d,
                }
            }
            CallId::List => Self::List { cursor: narrow(one(args)?)? },
            CallId::Inspect => {
                let [area, index] = two(args)?;
                Self::Inspect { handle: handle(area)?, range_index: narrow(index)? }
            }
            CallId::Accept => Self::Accept {
                handle: handle(a)?,
                seen: GrantSummary::from_words([b, c, d]).ok_or(Status::TermsChanged)?,
            },
            CallId::Reject => {
                let [area, generation] = two(args)?;
                Self::Reject { handle: handle(area)?, generation: narrow(generation)? }
            }
            CallId::Release => Self::Release { handle: handle(one(args)?)? },
            CallId::HypRegister => {
                let [sgi, core] = two(args)?;
                let sgi: u8 = narrow(sgi)?;
                if sgi > 7 {
                    return Err(Status::BadArgument);
                }
                Self::HypRegister { sgi, core: narrow(core)? }
            }
            CallId::HypPoll => zero(&args).and(Ok(Self::HypPoll))?,
            CallId::HypMapping => {
                let [area, vm] = two(args)?;
                Self::HypMapping { handle: handle(area)?, vm: EndpointId::from_raw(narrow(vm)?) }
            }
            CallId::HypUnmapped => {
                let [area, vm] = two(args)?;
                Self::HypUnmapped { handle: handle(area)?, vm: EndpointId::from_raw(narrow(vm)?) }
            }
            CallId::BusKick => zero(&args).and(Ok(Self::BusKick))?,
            CallId::IrqFetch => Self::Interrupt(InterruptCall::fetch(args)?),
            CallId::IrqComplete => Self::Interrupt(InterruptCall::complete(args)?),
            CallId::IrqMask => Self::Interrupt(InterruptCall::mask(args)?),
            CallId::IrqUnmask => Self::Interrupt(InterruptCall::unmask(args)?),
            CallId::IrqArm => Self::Interrupt(InterruptCall::arm(args)?),
            CallId::IrqInfo => Self::Interrupt(InterruptCall::info(args)?),
            CallId::IrqBind => Self::Interrupt(InterruptCall::bind(args)?),
            CallId::Seal => zero(&args).and(Ok(Self::Seal))?,
            CallId::LedgerHead => {
                let [scope, half] = two(args)?;
                let half = DigestHalf::from_code(narrow(half)?).ok_or(Status::BadArgument)?;
                Self::LedgerHead { scope: decode_scope(scope)?, half }
            }
            CallId::LedgerRead => {
                zero(&[d])?;
                Self::LedgerRead { handle: handle(a)?, scope: decode_scope(b)?, cursor: c }
            }
            CallId::VaultState => Self::Vault(vault::decode::state(args)?),
            CallId::Entropy => Self::Vault(vault::decode::entropy(args)?),
            CallId::CounterRead => Self::Vault(vault::decode::counter_read(args)?),
            CallId::CounterIncrement => Self::Vault(vault::decode::counter_increment(args)?),
            CallId::Rpmb => Self::Vault(vault::decode::rpmb(args)?),
            CallId::KeyGenerate => Self::Vault(vault::decode::key_generate(args)?),
            CallId::KeyImport => Self::Vault(vault::decode::key_import(args)?),
            CallId::KeyDelete => Self::Vault(vault::decode::key_delete(args)?),
            CallId::KeyPublic => Self::Vault(vault::decode::key_public(args)?),
            CallId::KeyMac => Self::Vault(vault::decode::key_mac(args)?),
            CallId::KeyVerify => Self::Vault(vault::decode::key_verify(args)?),
            CallId::KeySign => Self::Vault(vault::decode::key_sign(args)?),
            CallId::KeyEncrypt => Self::Vault(vault::decode::key_encrypt(args)?),
            CallId::KeyDecrypt => Self::Vault(vault::decode::key_decrypt(args)?),
            CallId::WatchdogStart => Self::Vault(vault::decode::watchdog_start(args)?),
            CallId::WatchdogPing => Self::Vault(vault::decode::watchdog_ping(args)?),
            CallId::WatchdogStop => Self::Vault(vault::decode::watchdog_stop(args)?),
            CallId::WatchdogLeft => Self::Vault(vault::decode::watchdog_left(args)?),
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

/// Of the lower half of a word.
fn decode_name(word: u64) -> JoinName {
    let [p0, p1, n0, n1, ..] = word.to_le_bytes();
    let peer = EndpointId::from_raw(u16::from_le_bytes([p0, p1]));
    JoinName { peer, number: u16::from_le_bytes([n0, n1]) }
}

fn encode_terms(terms: GrantTerms) -> u64 {
    let peer = terms.peer.map_or(NO_PEER, EndpointId::get);
    u64::from(peer)
        | (u64::from(terms.kind.code()) << 16)
        | (u64::from(terms.permission.code()) << 24)
}

/// Of the lower half of a word.
#[inline(always)]
fn decode_terms(word: u64) -> Result<GrantTerms, Status> {
    let [p0, p1, kind, permission, ..] = word.to_le_bytes();
    let peer = u16::from_le_bytes([p0, p1]);
    Ok(GrantTerms {
        peer: (peer != NO_PEER).then_some(EndpointId::from_raw(peer)),
        kind: GrantKind::from_code(kind).ok_or(Status::BadArgument)?,
        permission: Permission::from_code(permission).ok_or(Status::BadArgument)?,
    })
}
