//! Owns the fake SPMC under the hypervisor that `c/hypervisor.c` is: `cargo run -p
//! causeway-c-example`. Never makes one of its calls.
#![expect(unsafe_code, reason = "C calls, and is called")]

use causeway_fake_spmc::platform::standard_policy;
use causeway_fake_spmc::{Floor, Machine, Personality, layout};
use causeway_ffa::{PAGE_SIZE, Regs};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::process::ExitCode;
use std::sync::Arc;

/// `struct platform` of `c/platform.h`.
#[repr(C)]
struct CPlatform {
    context: *mut c_void,
    tx_address: u64,
    rx_address: u64,
    vm_address: u64,
    partition: u16,
    call: unsafe extern "C" fn(*mut c_void, *mut [u64; 18]),
    take_bell: unsafe extern "C" fn(*mut c_void) -> c_int,
    pass: unsafe extern "C" fn(*mut c_void, u64),
    write_tx: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int,
    say: unsafe extern "C" fn(*mut c_void, *const c_char),
}

// `c/platform.h` declares it like this.
unsafe extern "C" {
    fn hypervisor_run(platform: *const CPlatform) -> c_int;
}

/// What the C program runs on.
struct Below {
    floor: Floor,
    machine: Arc<Machine>,
    said: Vec<String>,
}

impl Below {
    fn new() -> Self {
        let machine = Arc::new(layout::machine(2, 256));
        let floor = Floor::boot(Personality::EL3, machine.clone(), standard_policy(2, 256));
        Self { floor: floor.expect("the partition starts"), machine, said: Vec::new() }
    }
}

/// Takes a context back.
///
/// # Safety
/// `context` is the one of the [`CPlatform`] that [`run`] made, during the call that it makes, and the
/// result is gone before the next callback.
unsafe fn below<'b>(context: *mut c_void) -> &'b mut Below {
    // SAFETY: the caller says that this is `run`'s `Below`, which lives longer than its call of C, and
    // that no other reference is used meanwhile: callbacks do not call C.
    unsafe { &mut *context.cast::<Below>() }
}

unsafe extern "C" fn call(context: *mut c_void, regs: *mut [u64; 18]) {
    // SAFETY: C hands the context on as it got it.
    let below = unsafe { below(context) };
    // SAFETY: C hands a `struct causeway_regs` of its own, eighteen words.
    let regs = unsafe { &mut *regs };
    *regs = below.floor.call(&Regs(*regs)).0;
}

unsafe extern "C" fn take_bell(context: *mut c_void) -> c_int {
    // SAFETY: as in `call`.
    let below = unsafe { below(context) };
    c_int::from(below.floor.take_bell())
}

unsafe extern "C" fn pass(context: *mut c_void, milliseconds: u64) {
    // SAFETY: as in `call`.
    let below = unsafe { below(context) };
    below.machine.pass(milliseconds);
}

unsafe extern "C" fn write_tx(context: *mut c_void, bytes: *const u8, length: usize) -> c_int {
    // SAFETY: as in `call`.
    let below = unsafe { below(context) };
    if u64::try_from(length).is_ok_and(|length| length > PAGE_SIZE) {
        return -1;
    }
    // SAFETY: C hands an array of its own of at least `length` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, length) };
    let tx = layout::hypervisor_ram().start().get();
    if below.machine.ram().write(tx, bytes).is_some() { 0 } else { -1 }
}

unsafe extern "C" fn say(context: *mut c_void, line: *const c_char) {
    // SAFETY: as in `call`.
    let below = unsafe { below(context) };
    // SAFETY: C hands a string that ends with a zero, and it lives as long as this call.
    let line = unsafe { CStr::from_ptr(line) };
    below.said.push(line.to_string_lossy().into_owned());
}

/// Runs the C program. What it said, and whether it came through.
fn run() -> (Vec<String>, bool) {
    let mut below = Below::new();
    let (ram, vm) = (layout::hypervisor_ram(), layout::vm_ram(1, 4));
    let context: *mut Below = &raw mut below;
    let platform = CPlatform {
        context: context.cast(),
        tx_address: ram.start().get(),
        rx_address: ram.start().get() + PAGE_SIZE,
        vm_address: vm.start().get(),
        partition: layout::PARTITION.get(),
        call,
        take_bell,
        pass,
        write_tx,
        say,
    };
    // SAFETY: the pointer is good for the call, which is all that C needs it for; `below` is reached
    // through `context` alone meanwhile.
    let result = unsafe { hypervisor_run(&raw const platform) };
    (below.said, result == 0)
}

fn main() -> ExitCode {
    let (said, well) = run();
    for line in said {
        println!("{line}");
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
#[path = "../../client/examples/hypervisor.rs"]
#[expect(dead_code, reason = "main is the example's own")]
mod in_rust;

#[cfg(test)]
mod tests {
    use super::{in_rust, run};

    #[test]
    fn the_hypervisor_in_c_goes_the_way_of_the_one_in_rust() {
        let (said, well) = run();
        assert!(well, "{said:?}");
        let mut expected = Vec::new();
        in_rust::run(&mut |line| expected.push(line.to_owned())).expect("it comes through");
        let bell = expected.iter_mut().find(|line| line.starts_with("the partition rang"));
        *bell.expect("a line") = "the partition rang: doorbell of VM 2".to_owned();
        assert_eq!(said, expected);
    }
}
