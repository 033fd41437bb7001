//! Owns the writing of requests; never reads one. Registers without a value are zero (KB-12).

use super::message::with_parties;
use super::types::{FeatureQuery, InfoForm, Scope, Signal, Transfer, Width};
use super::{Call, ConsoleText, DirectMessage, DirectMessage2, Framework};
use crate::regs::{high, join, low};
use crate::{EndpointId, FfaError, FuncId, MemHandle, Regs, Version};

fn choose(width: Width, narrow: FuncId, wide: FuncId) -> Regs {
    Regs::of(match width {
        Width::Bits32 => narrow,
        Width::Bits64 => wide,
    })
}

fn with_double(regs: Regs, first: usize, second: usize, value: u64) -> Regs {
    regs.with_w(first, low(value)).with_w(second, high(value))
}

fn with_id(regs: Regs, id: EndpointId) -> Regs {
    regs.with_w(1, u32::from(id.get()))
}

/// Writes w3 and w4 of the fragment calls.
fn fragment(func: FuncId, handle: MemHandle, word: u32, endpoint: EndpointId) -> Regs {
    with_double(Regs::of(func), 1, 2, handle.get())
        .with_w(3, word)
        .with_w(4, join(endpoint.get(), 0))
}

/// See [`Call::encode8`]: `None` for all that takes the long way.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others take the long way")]
#[inline]
pub(super) fn short(call: &Call) -> Option<[u64; 8]> {
    let (func, w1, w2) = match call {
        Call::RxRelease { vm } => (FuncId::RxRelease, u32::from(vm.get()), 0),
        Call::MemRetrieveReq { lengths } => {
            (FuncId::MemRetrieveReq32, lengths.total(), lengths.fragment())
        }
        Call::MemRelinquish => (FuncId::MemRelinquish, 0, 0),
        _ => return None,
    };
    Some([u64::from(func.raw()), u64::from(w1), u64::from(w2), 0, 0, 0, 0, 0])
}

/// See [`Call::encode`].
#[expect(clippy::too_many_lines, reason = "one table over all calls is clearer whole")]
pub(super) fn encode(call: &Call) -> Regs {
    match *call {
        Call::Version { requested } => {
            Regs::of(FuncId::Version).with_w(1, requested.map_or(1 << 31, Version::raw))
        }
        Call::Features { query, properties } => {
            let word = match query {
                FeatureQuery::Function(func) => func.raw(),
                FeatureQuery::Feature(feature) => u32::from(feature),
                FeatureQuery::Unknown(raw) => raw,
            };
            Regs::of(FuncId::Features).with_w(1, word).with_w(2, properties)
        }
        Call::RxAcquire { vm } => with_id(Regs::of(FuncId::RxAcquire), vm),
        Call::RxRelease { vm } => with_id(Regs::of(FuncId::RxRelease), vm),
        Call::RxTxMap { tx, rx, page_count, width } => {
            choose(width, FuncId::RxTxMap32, FuncId::RxTxMap64)
                .with(1, tx.get())
                .with(2, rx.get())
                .with_w(3, page_count)
        }
        Call::RxTxUnmap { endpoint } => {
            Regs::of(FuncId::RxTxUnmap).with_w(1, join(endpoint.get(), 0))
        }
        Call::PartitionInfoGet { uuid, form } => {
            let flags = match form {
                InfoForm::Descriptors => 0,
                InfoForm::CountOnly => 1,
            };
            Regs::of(FuncId::PartitionInfoGet)
                .with_run(1, &uuid.words().map(u64::from))
                .with_w(5, flags)
        }
        Call::IdGet => Regs::of(FuncId::IdGet),
        Call::SpmIdGet => Regs::of(FuncId::SpmIdGet),
        Call::MsgWait => Regs::of(FuncId::MsgWait),
        Call::Yield => Regs::of(FuncId::MsgYield),
        Call::Run { target } => Regs::of(FuncId::Run).with_w(1, target.word()),
        Call::Interrupt { target, interrupt } => {
            Regs::of(FuncId::Interrupt).with_w(1, target.word()).with_w(2, interrupt)
        }
        Call::DirectReq(message) => direct(&message, FuncId::DirectReq32, FuncId::DirectReq64),
        Call::DirectResp(message) => direct(&message, FuncId::DirectResp32, FuncId::DirectResp64),
        Call::DirectReq2(message) => direct2(&message, FuncId::DirectReq2),
        Call::DirectResp2(message) => direct2(&message, FuncId::DirectResp2),
        Call::FrameworkReq(message) => {
            framework(&message, FuncId::DirectReq32, FuncId::DirectReq64)
        }
        Call::FrameworkResp(message) => {
            framework(&message, FuncId::DirectResp32, FuncId::DirectResp64)
        }
        Call::MemSend { kind, lengths } => {
            let func = match kind {
                Transfer::Share => FuncId::MemShare32,
                Transfer::Lend => FuncId::MemLend32,
                Transfer::Donate => FuncId::MemDonate32,
            };
            Regs::of(func).with_w(1, lengths.total()).with_w(2, lengths.fragment())
        }
        Call::MemRetrieveReq { lengths } => Regs::of(FuncId::MemRetrieveReq32)
            .with_w(1, lengths.total())
            .with_w(2, lengths.fragment()),
        Call::MemRelinquish => Regs::of(FuncId::MemRelinquish),
        Call::MemReclaim { handle, flags } => {
            with_double(Regs::of(FuncId::MemReclaim), 1, 2, handle.get()).with_w(3, flags.word())
        }
        Call::MemFragRx { handle, offset, endpoint } => {
            fragment(FuncId::MemFragRx, handle, offset, endpoint)
        }
        Call::MemFragTx { handle, length, endpoint } => {
            fragment(FuncId::MemFragTx, handle, length, endpoint)
        }
        Call::MemPermGet { page, width } => {
            choose(width, FuncId::MemPermGet32, FuncId::MemPermGet64).with(1, page.get())
        }
        Call::MemPermSet { page, page_count, permission, width } => {
            choose(width, FuncId::MemPermSet32, FuncId::MemPermSet64)
                .with(1, page.get())
                .with_w(2, page_count)
                .with_w(3, permission.word())
        }
        Call::ConsoleLog { text, width } => console_log(&text, width),
        Call::NotificationBitmapCreate { vm, vcpu_count } => {
            with_id(Regs::of(FuncId::NotificationBitmapCreate), vm).with_w(2, vcpu_count)
        }
        Call::NotificationBitmapDestroy { vm } => {
            with_id(Regs::of(FuncId::NotificationBitmapDestroy), vm)
        }
        Call::NotificationBind { sender, receiver, scope, bitmap } => {
            let flags = match scope {
                Scope::Global => 0,
                Scope::PerVcpu => 1,
            };
            let regs = with_parties(Regs::of(FuncId::NotificationBind), sender, receiver);
            with_double(regs.with_w(2, flags), 3, 4, bitmap)
        }
        Call::NotificationUnbind { sender, receiver, bitmap } => {
            let regs = with_parties(Regs::of(FuncId::NotificationUnbind), sender, receiver);
            with_double(regs, 3, 4, bitmap)
        }
        Call::NotificationSet { sender, receiver, vcpu, signal, bitmap } => {
            let signal = match signal {
                Signal::Now => 0,
                Signal::Delayed => 2,
            };
            let flags = vcpu.map_or(signal, |vcpu| join(vcpu, 1) | signal);
            let regs = with_parties(Regs::of(FuncId::NotificationSet), sender, receiver);
            with_double(regs.with_w(2, flags), 3, 4, bitmap)
        }
        Call::NotificationGet { receiver, vcpu, wanted } => Regs::of(FuncId::NotificationGet)
            .with_w(1, join(vcpu, receiver.get()))
            .with_w(2, wanted.word()),
        Call::NotificationInfoGet { width } => {
            choose(width, FuncId::NotificationInfoGet32, FuncId::NotificationInfoGet64)
        }
        Call::SecondaryEpRegister { entry, width } => {
            choose(width, FuncId::SecondaryEpRegister32, FuncId::SecondaryEpRegister64)
                .with(1, entry)
        }
        Call::Error(code) => error(code),
    }
}

/// Writes an FFA_ERROR; the code is a 32-bit value in w2.
pub(crate) fn error(code: FfaError) -> Regs {
    Regs::of(FuncId::Error).with_w(2, u32::from_le_bytes(code.code().to_le_bytes()))
}

fn console_log(text: &ConsoleText, width: Width) -> Regs {
    let count = u64::try_from(text.as_bytes().len()).unwrap_or(0);
    let regs = choose(width, FuncId::ConsoleLog32, FuncId::ConsoleLog64).with(1, count);
    match width {
        Width::Bits32 => {
            regs.with_run(2, &text.chunks::<4>().map(|c| u64::from(u32::from_le_bytes(c))))
        }
        Width::Bits64 => regs.with_run(2, &text.chunks::<8>().map(u64::from_le_bytes)),
    }
}

fn direct(message: &DirectMessage, narrow: FuncId, wide: FuncId) -> Regs {
    let regs = choose(message.width, narrow, wide);
    let regs = with_parties(regs, message.sender, message.receiver);
    match message.width {
        Width::Bits32 => regs.with_run(3, &message.words.map(|word| u64::from(low(word)))),
        Width::Bits64 => regs.with_run(3, &message.words),
    }
}

fn direct2(message: &DirectMessage2, func: FuncId) -> Regs {
    with_parties(Regs::of(func), message.sender, message.receiver)
        .with_run(2, &message.uuid.double_words())
        .with_run(4, &message.words)
}

fn framework(message: &Framework, narrow: FuncId, wide: FuncId) -> Regs {
    let regs = choose(message.message.width(), narrow, wide);
    message.message.encode(with_parties(regs, message.sender, message.receiver))
}
