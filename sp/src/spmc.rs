//! Owns the FF-A calls that the partition makes: typed arguments out, typed answers in. Never
//! decides when to call. The calls on memory are in `transactions`.

use crate::arch::smc;
use crate::dispatch::VERSION;
use causeway_ffa::call::{ConsoleText, Width};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, PageAddr, Success, regs};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU16, Ordering};

/// The SPMC's id, once asked for; the EL3 SPMC of TF-A says 0x8000 as well.
static SPMC_ID: AtomicU16 = AtomicU16::new(0x8000);

/// Returns the id from which power messages count.
pub(crate) fn spmc_id() -> EndpointId {
    EndpointId::from_raw(SPMC_ID.load(Ordering::Relaxed))
}

/// Makes a call that ends in success or in an error.
pub(crate) fn call(call: &Call) -> Result<Answer, FfaError> {
    match Answer::decode(&smc::call(&call.encode().smc8()), VERSION) {
        Ok(Answer::Error(error)) => Err(error),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.status()),
    }
}

fn success(request: &Call) -> Result<Success, FfaError> {
    if let Answer::Success(success) = call(request)? {
        Ok(success)
    } else {
        Err(FfaError::NotSupported)
    }
}

/// Makes a call whose success says nothing more.
pub(crate) fn call_plain(request: &Call) -> Result<(), FfaError> {
    success(request).map(|_| ())
}

fn endpoint(request: &Call) -> Result<EndpointId, FfaError> {
    Ok(success(request)?.endpoint())
}

/// Says which version we speak; the SPMC must speak it too, in whatever version it is itself.
pub(crate) fn negotiate() -> Result<(), FfaError> {
    let request = Call::Version { requested: Some(VERSION) };
    let theirs = regs::decode_version_reply(&smc::call(&request.encode().smc8()))?;
    if theirs.raw() >> 16 == VERSION.raw() >> 16 && theirs.raw() >= VERSION.raw() {
        Ok(())
    } else {
        Err(FfaError::NotSupported)
    }
}

/// Asks for our own id, and keeps the SPMC's.
pub(crate) fn learn_ids() -> Result<EndpointId, FfaError> {
    let own = endpoint(&Call::IdGet)?;
    let spmc = endpoint(&Call::SpmIdGet)?;
    SPMC_ID.store(spmc.get(), Ordering::Relaxed);
    Ok(own)
}

/// Tells the SPMC where our buffers are: one page each.
pub(crate) fn map_mailbox(tx: u64, rx: u64) -> Result<(), FfaError> {
    let page = |address| PageAddr::new(address).ok_or(FfaError::InvalidParameters);
    call_plain(&Call::RxTxMap { tx: page(tx)?, rx: page(rx)?, page_count: 1, width: Width::Bits64 })
}

/// Tells the SPMC where cores that start later shall enter.
pub(crate) fn register_secondary_entry(entry: u64) -> Result<(), FfaError> {
    call_plain(&Call::SecondaryEpRegister { entry, width: Width::Bits64 })
}

/// Prints through the SPMC, on the normal world's UART. For a crash only: it may land in the middle
/// of somebody else's line.
pub(crate) fn console_log(args: fmt::Arguments<'_>) {
    // Cutting is all that can go wrong, and there is nobody left to tell.
    let sent = ConsoleLog.write_fmt(args);
    debug_assert!(sent.is_ok());
}

struct ConsoleLog;

impl Write for ConsoleLog {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.as_bytes().chunks(48) {
            let Some(text) = ConsoleText::new(part) else { return Err(fmt::Error) };
            let request = Call::ConsoleLog { text, width: Width::Bits64 };
            call_plain(&request).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}
