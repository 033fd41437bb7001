//! Owns what happens after a panic: a line is printed, and every further call is answered by a refusal.
//! What was retrieved stays locked, which is the safe side. Never touches the state again.
//!
//! A fault (not a panic) is OP-TEE's to see: it declares the partition dead, and callers get
//! FFA_ERROR BUSY or ABORTED; its own bookkeeping keeps the shares as they are.

use crate::machine::{Svc, log};
use causeway_ffa::{Call, EndpointId, FfaError, Regs};
use causeway_service::dispatch;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// The request that is being served: x0 to x3, x0 = 0 for none.
static SERVING: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static SPMC: AtomicU16 = AtomicU16::new(0x8000);

/// Keeps the SPMC's id.
pub(crate) fn keep_spmc(id: EndpointId) {
    SPMC.store(id.get(), Ordering::Relaxed);
}

/// Notes what is served, so that somebody waiting is answered even after a crash.
pub(crate) fn serving(request: &Regs) {
    for (slot, value) in SERVING.iter().zip(request.0) {
        slot.store(value, Ordering::Relaxed);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    log!("PANIC at={}:{} {}", place.0, place.1, info.message());
    let spmc = EndpointId::from_raw(SPMC.load(Ordering::Relaxed));
    let mut request = Regs::ZERO;
    for (value, slot) in request.0.iter_mut().zip(&SERVING) {
        *value = slot.swap(0, Ordering::Relaxed);
    }
    // Without a request we were initialising, where FFA_ERROR tells the SPMC that it failed.
    let answer = dispatch::answer_of_crashed(&request, spmc);
    let mut send = answer.unwrap_or_else(|| Call::Error(FfaError::Aborted).encode());
    loop {
        let received = causeway_service::platform::Conduit::call(&mut Svc, &send.smc8());
        let answer = dispatch::answer_of_crashed(&received, spmc);
        send = answer.unwrap_or_else(|| Call::MsgWait.encode());
    }
}
