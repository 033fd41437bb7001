//! Owns the FF-A calls that the partition makes: typed arguments out, typed answers in. Never
//! decides when to call. The calls on memory are in `transactions`.

use crate::dispatch::VERSION;
use crate::platform::Conduit;
use causeway_ffa::call::{ConsoleText, FeatureQuery, Width};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, FuncId, Lengths, PageAddr, Regs, Success, regs,
};
use core::fmt::{self, Write};

/// Who is who, as the SPMC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The partition.
    pub own: EndpointId,
    /// The SPMC: power messages count from there only.
    pub spmc: EndpointId,
}

/// Makes a call that ends in success or in an error.
pub(crate) fn call(conduit: &mut impl Conduit, call: &Call) -> Result<Answer, FfaError> {
    read(&conduit.call(&call.encode8()))
}

#[inline(never)]
fn read(regs: &Regs) -> Result<Answer, FfaError> {
    match Answer::decode(regs, VERSION) {
        Ok(Answer::Error(error)) => Err(error),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.status()),
    }
}

fn success(conduit: &mut impl Conduit, request: &Call) -> Result<Success, FfaError> {
    if let Answer::Success(success) = call(conduit, request)? {
        Ok(success)
    } else {
        Err(FfaError::NotSupported)
    }
}

/// Makes a call whose success says nothing more. Inlined, and only x0-x7 looked at, which are all
/// that such an answer has: every grant comes by here.
#[inline(always)]
pub(crate) fn call_plain(conduit: &mut impl Conduit, request: &Call) -> Result<(), FfaError> {
    let answer = conduit.call(&request.encode8()).smc8();
    if Answer::is_success32(&answer) {
        return Ok(());
    }
    if let Answer::Success(_) = read(&Regs::from_smc8(answer))? {
        Ok(())
    } else {
        Err(FfaError::NotSupported)
    }
}

/// Makes a retrieve request of this many bytes, all in TX; returns how much came back.
#[inline(always)]
pub(crate) fn retrieve(conduit: &mut impl Conduit, len: u32) -> Result<Lengths, FfaError> {
    let lengths = Lengths::new(len, len).ok_or(FfaError::InvalidParameters)?;
    let answer = conduit.call(&Call::MemRetrieveReq { lengths }.encode8()).smc8();
    if let Some(lengths) = Answer::retrieved(&answer) {
        return Ok(lengths);
    }
    if let Answer::MemRetrieveResp(lengths) = read(&Regs::from_smc8(answer))? {
        Ok(lengths)
    } else {
        Err(FfaError::NotSupported)
    }
}

/// Says which version we speak; the SPMC must speak it too, in whatever version it is itself.
///
/// # Errors
/// NOT_SUPPORTED if it does not.
pub fn negotiate(conduit: &mut impl Conduit) -> Result<(), FfaError> {
    let request = Call::Version { requested: Some(VERSION) };
    let theirs = regs::decode_version_reply(&conduit.call(&request.encode().smc8()))?;
    if theirs.raw() >> 16 == VERSION.raw() >> 16 && theirs.raw() >= VERSION.raw() {
        Ok(())
    } else {
        Err(FfaError::NotSupported)
    }
}

/// Asks for our own id and the SPMC's.
///
/// # Errors
/// What the SPMC answers.
pub fn learn_ids(conduit: &mut impl Conduit) -> Result<Ids, FfaError> {
    let own = success(conduit, &Call::IdGet)?.endpoint();
    let spmc = success(conduit, &Call::SpmIdGet)?.endpoint();
    Ok(Ids { own, spmc })
}

/// Tells the SPMC where our buffers are: one page each.
///
/// # Errors
/// INVALID_PARAMETERS for an address that is no page; what the SPMC answers.
pub fn map_mailbox(conduit: &mut impl Conduit, tx: u64, rx: u64) -> Result<(), FfaError> {
    let page = |address| PageAddr::new(address).ok_or(FfaError::InvalidParameters);
    let (tx, rx) = (page(tx)?, page(rx)?);
    call_plain(conduit, &Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 })
}

/// Tells the SPMC where cores that start later shall enter.
///
/// # Errors
/// What the SPMC answers.
pub fn register_secondary_entry(conduit: &mut impl Conduit, entry: u64) -> Result<(), FfaError> {
    call_plain(conduit, &Call::SecondaryEpRegister { entry, width: Width::Bits64 })
}

/// Asks whether the SPMC has FFA_MEM_DONATE. Hafnium says so to whoever asks; those that have no
/// donations (TF-A's at EL3, OP-TEE) refuse the question.
pub(crate) fn donates(conduit: &mut impl Conduit) -> bool {
    let query = FeatureQuery::Function(FuncId::MemDonate32);
    call_plain(conduit, &Call::Features { query, properties: 0 }).is_ok()
}

/// Prints through the SPMC, on the normal world's UART. For a crash only: it may land in the middle
/// of somebody else's line.
pub fn console_log(conduit: &mut impl Conduit, args: fmt::Arguments<'_>) {
    // Cutting is all that can go wrong, and there is nobody left to tell.
    let sent = ConsoleLog(conduit).write_fmt(args);
    debug_assert!(sent.is_ok());
}

struct ConsoleLog<'a, C>(&'a mut C);

impl<C: Conduit> Write for ConsoleLog<'_, C> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(48) {
            let Some(text) = ConsoleText::new(part) else { return Err(fmt::Error) };
            let request = Call::ConsoleLog { text, width: Width::Bits64 };
            call_plain(self.0, &request).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}
