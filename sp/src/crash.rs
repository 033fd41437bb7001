//! Owns what happens after a panic or an exception: a record is kept, a line is printed, and the
//! partition answers every further call with a refusal. Never touches the broker's state again.
//!
//! Why so: the EL3 SPMC of TF-A 2.12 does not know FFA_ABORT (it answers NOT_SUPPORTED), takes
//! FFA_ERROR only while a partition initialises, and never takes a core back from a partition that
//! stays silent: the caller's CPU would be lost for good. So the crashed core answers the request
//! that it was serving, and all cores go on answering. What was retrieved stays locked: the SPMC
//! refuses its reclaim, which is the safe side of invariant I2.

use crate::arch::{gic, regs, smc, uart};
use crate::console::log;
use crate::core_id::{CORES, CoreId};
use crate::ids;
use crate::partition::Smc;
use causeway_ffa::{Call, FfaError, Regs};
use causeway_service::{dispatch, spmc};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use spin::mutex::SpinMutex;

/// Bytes of the message that the record keeps.
const MESSAGE_BYTES: usize = 200;

/// The first crash, for a debugger or a memory dump.
struct Record {
    /// Linear number of the core; all ones until something crashed.
    core: usize,
    /// Number of the exception vector; all ones for a panic.
    vector: u64,
    esr: u64,
    far: u64,
    elr: u64,
    stack_pointer: u64,
    link: u64,
    message: [u8; MESSAGE_BYTES],
    message_bytes: usize,
}

static RECORD: SpinMutex<Record> = SpinMutex::new(Record {
    core: usize::MAX,
    vector: u64::MAX,
    esr: 0,
    far: 0,
    elr: 0,
    stack_pointer: 0,
    link: 0,
    message: [0; MESSAGE_BYTES],
    message_bytes: 0,
});

static CRASHED: AtomicBool = AtomicBool::new(false);

/// How often each core crashed.
static DEPTH: [AtomicU8; CORES] = [const { AtomicU8::new(0) }; CORES];

/// The request that each core is serving: x0 to x3, x0 = 0 for none.
static SERVING: [[AtomicU64; 4]; CORES] = [const { [const { AtomicU64::new(0) }; 4] }; CORES];

impl Write for Record {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            let Some(slot) = self.message.get_mut(self.message_bytes) else { return Ok(()) };
            *slot = byte;
            self.message_bytes += 1;
        }
        Ok(())
    }
}

/// Reports whether any core crashed.
pub(crate) fn happened() -> bool {
    CRASHED.load(Ordering::Acquire)
}

/// Notes what `core` serves, so that somebody waiting is answered even after a crash.
pub(crate) fn serving(core: CoreId, request: &Regs) {
    for (slot, value) in SERVING[core.get()].iter().zip(request.0) {
        slot.store(value, Ordering::Relaxed);
    }
}

/// Notes that `core` answered.
pub(crate) fn answered(core: CoreId) {
    SERVING[core.get()][0].store(0, Ordering::Relaxed);
}

/// What `core` serves, as far as it was noted: x0 to x3, of which a refusal is made.
pub(crate) fn request_of(core: CoreId) -> Regs {
    let mut request = Regs::ZERO;
    for (value, slot) in request.0.iter_mut().zip(&SERVING[core.get()]) {
        *value = slot.load(Ordering::Relaxed);
    }
    request
}

/// Serves for ever after a crash of this or of another core, beginning with `answer`.
pub(crate) fn serve_refusals(answer: &Regs) -> ! {
    let mut send = answer.smc8();
    loop {
        let received = smc::call(&send);
        let answer = dispatch::answer_of_crashed(&received, ids::spmc());
        let answer = answer.unwrap_or_else(|| {
            // Nobody is left to deal with an interrupt: it would bring us back at once, for ever.
            gic::silence_core();
            Call::MsgWait.encode()
        });
        send = answer.smc8();
    }
}

/// Reports an exception. Runs on the core's crash stack.
pub(crate) fn on_exception(vector: u64, stack_pointer: u64, link: u64) -> ! {
    let core = regs::this_core();
    let (esr, far, elr) = (regs::esr(), regs::far(), regs::elr());
    if first_time(core) {
        let mut record = RECORD.lock();
        if record.core == usize::MAX {
            record.core = core.get();
            (record.vector, record.esr, record.far, record.elr) = (vector, esr, far, elr);
            (record.stack_pointer, record.link) = (stack_pointer, link);
        }
        drop(record);
        say(format_args!(
            "core={} exception={vector} esr={esr:#x} far={far:#x} elr={elr:#x} sp={stack_pointer:#x} lr={link:#x}",
            core.get()
        ));
    }
    after_crash(core)
}

/// Reports a panic. Runs on the stack of the code that panicked.
pub(crate) fn on_panic(info: &PanicInfo<'_>) -> ! {
    let core = regs::this_core();
    if first_time(core) {
        let mut record = RECORD.lock();
        if record.core == usize::MAX {
            record.core = core.get();
            // Never fails: what does not fit is cut.
            let cut = write!(record, "{}", info.message());
            debug_assert!(cut.is_ok());
        }
        drop(record);
        // One line, so that whoever reads the log finds all of it.
        match info.location() {
            Some(at) => say(format_args!(
                "core={} at={}:{} {}",
                core.get(),
                at.file(),
                at.line(),
                info.message()
            )),
            None => say(format_args!("core={} {}", core.get(), info.message())),
        }
    }
    after_crash(core)
}

/// Counts the crash; false if the report of an earlier one crashed itself.
fn first_time(core: CoreId) -> bool {
    CRASHED.store(true, Ordering::Release);
    DEPTH[core.get()].fetch_add(1, Ordering::AcqRel) == 0
}

fn say(what: core::fmt::Arguments<'_>) {
    if uart::print(format_args!("[sp] PANIC {what}\n")).is_err() {
        log!("PANIC");
    }
    spmc::console_log(&mut Smc, format_args!("\n[sp] PANIC {what}\n"));
}

fn after_crash(core: CoreId) -> ! {
    if DEPTH[core.get()].load(Ordering::Acquire) > 2 {
        // Even answering crashes. Nothing is left to try.
        loop {
            core::hint::spin_loop();
        }
    }
    let request = request_of(core);
    answered(core);
    // Without a request this core was initialising, where FFA_ERROR tells the SPMC that it failed.
    let answer = dispatch::answer_of_crashed(&request, ids::spmc())
        .unwrap_or_else(|| Call::Error(FfaError::Aborted).encode());
    serve_refusals(&answer)
}
