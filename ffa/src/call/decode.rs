//! Owns the reading of requests; never writes one.

use super::message::{FRAMEWORK_BIT, parties};
use super::types::{
    BitmapSet, FeatureQuery, InfoForm, Lengths, PagePermission, ReclaimFlags, Scope, Signal,
    Transfer, Vcpu, Width,
};
use super::{
    Call, ConsoleText, DecodeError, DirectMessage, DirectMessage2, Framework, FrameworkMessage,
};
use crate::regs::{halves, high};
use crate::{EndpointId, FfaError, FuncId, MemHandle, PAGE_SIZE, PageAddr, Regs, Uuid, Version};

/// Largest buffer: the page count has six bits. Source: DEN0077A 1.1, FFA_RXTX_MAP, w3.
const RXTX_MAX_PAGES: u32 = 63;

/// Reads w`register`; its upper half must be zero.
pub(super) fn word(regs: &Regs, register: u8) -> Result<u32, DecodeError> {
    let value = regs.x(usize::from(register));
    if high(value) == 0 {
        Ok(regs.w(usize::from(register)))
    } else {
        Err(DecodeError::UpperHalf { register })
    }
}

/// Reads x`register` of an SMC64 call, or w`register` of an SMC32 call.
fn wide(regs: &Regs, register: u8, width: Width) -> Result<u64, DecodeError> {
    match width {
        Width::Bits32 => word(regs, register).map(u64::from),
        Width::Bits64 => Ok(regs.x(usize::from(register))),
    }
}

/// Reads a w register of which only `mask` may be set.
pub(super) fn masked(regs: &Regs, register: u8, mask: u32) -> Result<u32, DecodeError> {
    let value = word(regs, register)?;
    if value & !mask == 0 { Ok(value) } else { Err(DecodeError::Reserved { register }) }
}

/// Reads an endpoint id in bits 15:0; bits 31:16 are MBZ.
fn low_endpoint(regs: &Regs, register: u8) -> Result<EndpointId, DecodeError> {
    Ok(EndpointId::from_raw(halves(masked(regs, register, 0xffff)?).1))
}

/// Reads an endpoint id in bits 31:16; bits 15:0 are MBZ.
pub(super) fn high_endpoint(regs: &Regs, register: u8) -> Result<EndpointId, DecodeError> {
    Ok(EndpointId::from_raw(halves(masked(regs, register, 0xffff_0000)?).0))
}

fn pair(regs: &Regs, register: u8) -> Result<(EndpointId, EndpointId), DecodeError> {
    let (upper, lower) = halves(word(regs, register)?);
    Ok((EndpointId::from_raw(upper), EndpointId::from_raw(lower)))
}

/// Reads a handle from w1 and w2.
fn handle(regs: &Regs) -> Result<MemHandle, DecodeError> {
    double(regs, 1, 2)
        .and_then(|raw| MemHandle::new(raw).ok_or(DecodeError::BadField { register: 1 }))
}

/// Reads a 64-bit value from two w registers.
fn double(regs: &Regs, low: u8, upper: u8) -> Result<u64, DecodeError> {
    Ok(u64::from(word(regs, low)?) | (u64::from(word(regs, upper)?) << 32))
}

fn page(regs: &Regs, register: u8, width: Width) -> Result<PageAddr, DecodeError> {
    PageAddr::new(wide(regs, register, width)?).ok_or(DecodeError::BadField { register })
}

/// See [`Call::direct_parties`].
pub(super) fn direct_parties(regs: &Regs) -> Option<(EndpointId, EndpointId, Width)> {
    let func = regs.func()?;
    let width = if func.is_64_bit() { Width::Bits64 } else { Width::Bits32 };
    let is_direct = func == FuncId::DirectReq32
        || func == FuncId::DirectReq64
        || func == FuncId::DirectResp32
        || func == FuncId::DirectResp64
        || func == FuncId::DirectReq2
        || func == FuncId::DirectResp2;
    let (sender, receiver) = parties(regs);
    is_direct.then_some((sender, receiver, width))
}

/// See [`Call::decode`].
#[expect(clippy::too_many_lines, reason = "one table over all functions is clearer whole")]
pub(super) fn decode(regs: &Regs, version: Version) -> Result<Call, DecodeError> {
    let func = regs.func().ok_or(DecodeError::UnknownFunction { raw: regs.w(0) })?;
    if func.since() > version {
        return Err(DecodeError::NotInVersion(func));
    }
    let width = if func.is_64_bit() { Width::Bits64 } else { Width::Bits32 };
    match func {
        FuncId::Version => Ok(Call::Version { requested: Version::from_raw(word(regs, 1)?) }),
        FuncId::Features => features(regs),
        FuncId::RxAcquire => Ok(Call::RxAcquire { vm: low_endpoint(regs, 1)? }),
        FuncId::RxRelease => Ok(Call::RxRelease { vm: low_endpoint(regs, 1)? }),
        FuncId::RxTxMap32 | FuncId::RxTxMap64 => rxtx_map(regs, width),
        FuncId::RxTxUnmap => Ok(Call::RxTxUnmap { endpoint: high_endpoint(regs, 1)? }),
        FuncId::PartitionInfoGet => partition_info_get(regs),
        FuncId::IdGet => Ok(Call::IdGet),
        FuncId::SpmIdGet => Ok(Call::SpmIdGet),
        FuncId::MsgWait => Ok(Call::MsgWait),
        FuncId::MsgYield => Ok(Call::Yield),
        FuncId::Run => Ok(Call::Run { target: Vcpu::from_word(word(regs, 1)?) }),
        // Comes from the SPMC, which leaves stale upper halves: only the w registers count.
        FuncId::Interrupt => {
            Ok(Call::Interrupt { target: Vcpu::from_word(regs.w(1)), interrupt: regs.w(2) })
        }
        FuncId::Error => Ok(Call::Error(error_code(regs))),
        FuncId::DirectReq32 | FuncId::DirectReq64 | FuncId::DirectResp32 | FuncId::DirectResp64 => {
            direct(regs, func, width, version)
        }
        FuncId::DirectReq2 => direct2(regs).map(Call::DirectReq2),
        FuncId::DirectResp2 => direct2(regs).map(Call::DirectResp2),
        FuncId::MemShare32 | FuncId::MemShare64 => send(regs, Transfer::Share, width),
        FuncId::MemLend32 | FuncId::MemLend64 => send(regs, Transfer::Lend, width),
        FuncId::MemDonate32 | FuncId::MemDonate64 => send(regs, Transfer::Donate, width),
        FuncId::MemRetrieveReq32 | FuncId::MemRetrieveReq64 => {
            Ok(Call::MemRetrieveReq { lengths: tx_lengths(regs, width)? })
        }
        FuncId::MemRelinquish => Ok(Call::MemRelinquish),
        FuncId::MemReclaim => Ok(Call::MemReclaim {
            handle: handle(regs)?,
            flags: ReclaimFlags::from_word(word(regs, 3)?)
                .ok_or(DecodeError::Reserved { register: 3 })?,
        }),
        FuncId::MemFragRx => Ok(Call::MemFragRx {
            handle: handle(regs)?,
            offset: word(regs, 3)?,
            endpoint: high_endpoint(regs, 4)?,
        }),
        FuncId::MemFragTx => frag_tx(regs),
        FuncId::MemPermGet32 | FuncId::MemPermGet64 => {
            Ok(Call::MemPermGet { page: page(regs, 1, width)?, width })
        }
        FuncId::MemPermSet32 | FuncId::MemPermSet64 => perm_set(regs, width),
        FuncId::ConsoleLog32 | FuncId::ConsoleLog64 => console_log(regs, width),
        FuncId::NotificationBitmapCreate => Ok(Call::NotificationBitmapCreate {
            vm: low_endpoint(regs, 1)?,
            vcpu_count: word(regs, 2)?,
        }),
        FuncId::NotificationBitmapDestroy => {
            Ok(Call::NotificationBitmapDestroy { vm: low_endpoint(regs, 1)? })
        }
        FuncId::NotificationBind => {
            let (sender, receiver) = pair(regs, 1)?;
            let flags = masked(regs, 2, 1)?;
            let scope = if flags == 0 { Scope::Global } else { Scope::PerVcpu };
            Ok(Call::NotificationBind { sender, receiver, scope, bitmap: double(regs, 3, 4)? })
        }
        FuncId::NotificationUnbind => {
            let (sender, receiver) = pair(regs, 1)?;
            masked(regs, 2, 0)?;
            Ok(Call::NotificationUnbind { sender, receiver, bitmap: double(regs, 3, 4)? })
        }
        FuncId::NotificationSet => notification_set(regs),
        FuncId::NotificationGet => {
            let (vcpu, receiver) = halves(word(regs, 1)?);
            let wanted = BitmapSet::from_word(word(regs, 2)?);
            Ok(Call::NotificationGet { receiver: EndpointId::from_raw(receiver), vcpu, wanted })
        }
        FuncId::NotificationInfoGet32 | FuncId::NotificationInfoGet64 => {
            Ok(Call::NotificationInfoGet { width })
        }
        FuncId::SecondaryEpRegister32 | FuncId::SecondaryEpRegister64 => {
            Ok(Call::SecondaryEpRegister { entry: wide(regs, 1, width)?, width })
        }
        FuncId::Success32 | FuncId::Success64 | FuncId::MemRetrieveResp => {
            Err(DecodeError::WrongDirection(func))
        }
        FuncId::MemOpPause
        | FuncId::MemOpResume
        | FuncId::NormalWorldResume
        | FuncId::MsgSend2
        | FuncId::PartitionInfoGetRegs
        | FuncId::El3IntrHandle
        | FuncId::Abort32
        | FuncId::Abort64 => Err(DecodeError::NotServed(func)),
    }
}

/// Reads the code of an FFA_ERROR. TF-A sign-extends it: only w2 counts.
pub(crate) fn error_code(regs: &Regs) -> FfaError {
    FfaError::from_code(i32::from_le_bytes(regs.w(2).to_le_bytes()))
}

fn features(regs: &Regs) -> Result<Call, DecodeError> {
    let raw = word(regs, 1)?;
    let query = match (FuncId::from_raw(raw), u8::try_from(raw)) {
        (Some(func), _) => FeatureQuery::Function(func),
        (None, Ok(feature)) => FeatureQuery::Feature(feature),
        (None, Err(_)) => FeatureQuery::Unknown(raw),
    };
    Ok(Call::Features { query, properties: word(regs, 2)? })
}

fn rxtx_map(regs: &Regs, width: Width) -> Result<Call, DecodeError> {
    let (tx, rx) = (page(regs, 1, width)?, page(regs, 2, width)?);
    let page_count = masked(regs, 3, RXTX_MAX_PAGES)?;
    if page_count == 0 {
        return Err(DecodeError::BadField { register: 3 });
    }
    // Both are below 2^48 and the length is below 2^18: nothing wraps.
    let len = u64::from(page_count).saturating_mul(PAGE_SIZE);
    let apart = tx.get().abs_diff(rx.get()) >= len;
    if !apart {
        return Err(DecodeError::BadField { register: 2 });
    }
    Ok(Call::RxTxMap { tx, rx, page_count, width })
}

fn partition_info_get(regs: &Regs) -> Result<Call, DecodeError> {
    let uuid = Uuid::from_words([word(regs, 1)?, word(regs, 2)?, word(regs, 3)?, word(regs, 4)?]);
    let form = match masked(regs, 5, 1)? {
        0 => InfoForm::Descriptors,
        _ => InfoForm::CountOnly,
    };
    Ok(Call::PartitionInfoGet { uuid, form })
}

fn direct(regs: &Regs, func: FuncId, width: Width, version: Version) -> Result<Call, DecodeError> {
    let is_request = func == FuncId::DirectReq32 || func == FuncId::DirectReq64;
    let (sender, receiver) = pair(regs, 1)?;
    let flags = word(regs, 2)?;
    // Framework messages came with 1.1: in 1.0 the whole of w2 is MBZ.
    if flags & FRAMEWORK_BIT != 0 && version >= Version::V1_1 {
        let message = FrameworkMessage::decode(regs, width)?;
        let framework = Framework { sender, receiver, message };
        return match (is_request, message.is_request()) {
            (true, true) => Ok(Call::FrameworkReq(framework)),
            (false, false) => Ok(Call::FrameworkResp(framework)),
            (true, false) | (false, true) => Err(DecodeError::BadField { register: 2 }),
        };
    }
    if flags != 0 {
        return Err(DecodeError::Reserved { register: 2 });
    }
    let message = DirectMessage { sender, receiver, width, words: payload(regs, width)? };
    Ok(if is_request { Call::DirectReq(message) } else { Call::DirectResp(message) })
}

fn payload(regs: &Regs, width: Width) -> Result<[u64; 5], DecodeError> {
    Ok([
        wide(regs, 3, width)?,
        wide(regs, 4, width)?,
        wide(regs, 5, width)?,
        wide(regs, 6, width)?,
        wide(regs, 7, width)?,
    ])
}

fn direct2(regs: &Regs) -> Result<DirectMessage2, DecodeError> {
    let (sender, receiver) = pair(regs, 1)?;
    let uuid = Uuid::from_double_words(regs.run(2));
    Ok(DirectMessage2 { sender, receiver, uuid, words: regs.run(4) })
}

fn send(regs: &Regs, kind: Transfer, width: Width) -> Result<Call, DecodeError> {
    Ok(Call::MemSend { kind, lengths: tx_lengths(regs, width)? })
}

/// Reads w1-w4 of a call whose descriptor lies in TX: address and page count are zero.
fn tx_lengths(regs: &Regs, width: Width) -> Result<Lengths, DecodeError> {
    let lengths = Lengths::new(word(regs, 1)?, word(regs, 2)?)
        .ok_or(DecodeError::BadField { register: 2 })?;
    if wide(regs, 3, width)? != 0 || word(regs, 4)? != 0 {
        return Err(DecodeError::OwnBuffer);
    }
    Ok(lengths)
}

fn frag_tx(regs: &Regs) -> Result<Call, DecodeError> {
    let length = word(regs, 3)?;
    if length == 0 {
        return Err(DecodeError::BadField { register: 3 });
    }
    Ok(Call::MemFragTx { handle: handle(regs)?, length, endpoint: high_endpoint(regs, 4)? })
}

fn perm_set(regs: &Regs, width: Width) -> Result<Call, DecodeError> {
    let page_count = word(regs, 2)?;
    if page_count == 0 {
        return Err(DecodeError::BadField { register: 2 });
    }
    let permission =
        PagePermission::from_word(word(regs, 3)?).ok_or(DecodeError::Reserved { register: 3 })?;
    Ok(Call::MemPermSet { page: page(regs, 1, width)?, page_count, permission, width })
}

fn console_log(regs: &Regs, width: Width) -> Result<Call, DecodeError> {
    let [count, ..] = masked(regs, 1, 0xff)?.to_le_bytes();
    let text = match width {
        Width::Bits32 if count > 24 => None,
        Width::Bits32 => {
            let mut words = [0; 6];
            for (slot, register) in words.iter_mut().zip(2u8..) {
                *slot = word(regs, register)?;
            }
            ConsoleText::from_chunks(words.iter().map(|w| w.to_le_bytes()), count)
        }
        Width::Bits64 => {
            ConsoleText::from_chunks(regs.run::<6>(2).iter().map(|x| x.to_le_bytes()), count)
        }
    };
    let text = text.ok_or(DecodeError::BadField { register: 1 })?;
    Ok(Call::ConsoleLog { text, width })
}

fn notification_set(regs: &Regs) -> Result<Call, DecodeError> {
    let (sender, receiver) = pair(regs, 1)?;
    let flags = masked(regs, 2, 0xffff_0003)?;
    let (vcpu, _) = halves(flags);
    let vcpu = if flags & 1 != 0 { Some(vcpu) } else { None };
    if vcpu.is_none() && flags & 0xffff_0000 != 0 {
        return Err(DecodeError::Reserved { register: 2 });
    }
    let signal = if flags & 2 == 0 { Signal::Now } else { Signal::Delayed };
    Ok(Call::NotificationSet { sender, receiver, vcpu, signal, bitmap: double(regs, 3, 4)? })
}
