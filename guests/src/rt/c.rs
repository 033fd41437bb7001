//! Owns the way to the example in C (`c-example/c/services.c`), which is linked into this image: what it is
//! given, and what it calls back. Never one of its calls of the partition.

use super::{hvc, time};

/// `struct vm` of `services.h`.
#[repr(C)]
struct Vm {
    id: u16,
    partition: u16,
    handle: u64,
    area: *mut u8,
    timer: u16,
    call: extern "C" fn(&mut [u64; 18]),
    rest: extern "C" fn(),
}

// `services.h` declares it like this.
unsafe extern "C" {
    fn services_run(vm: *const Vm) -> u32;
}

extern "C" fn call(regs: &mut [u64; 18]) {
    *regs = hvc::call_all(*regs);
}

extern "C" fn rest() {
    time::rest();
}

/// What the example is given: this VM's id and the partition's, a local area of two pages by its handle and
/// address, and a source of interrupts that can tick.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// This VM.
    pub vm: u16,
    /// The partition.
    pub partition: u16,
    /// The area's handle.
    pub handle: u64,
    /// Where it lies.
    pub address: u64,
    /// The source.
    pub timer: u16,
}

/// Runs the example; returns the steps that went as they should, a bit each (`enum services_step`).
///
/// # Panics
/// If the area is not one that [`super::pages`] gave out.
#[must_use]
pub fn services(given: &Given) -> u32 {
    let inside = super::pages::start()..super::pages::end();
    assert!(inside.contains(&given.address), "not a shareable page");
    let address = usize::try_from(given.address).unwrap_or(0);
    let vm = Vm {
        id: given.vm,
        partition: given.partition,
        handle: given.handle,
        area: core::ptr::with_exposed_provenance_mut(address),
        timer: given.timer,
        call,
        rest,
    };
    // SAFETY: `services_run` reads `vm` during the call, calls the two functions with what their types say,
    // and writes the two pages of the area: these lie outside image, stack and heap (checked above for the
    // first), are mapped, and no Rust reference is made to them.
    unsafe { services_run(&raw const vm) }
}
