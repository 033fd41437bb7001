//! The monitor: a small EL2 hypervisor in the FF-A hypervisor role, booted by TF-A as BL33.
//!
//! Build (the image is the ELF's loadable part from 0x60000000 on; the guest pack follows at
//! offset 0x200000, so pad the image to that):
//!
//! ```text
//! cargo build --release -p causeway-monitor --target aarch64-unknown-none-softfloat
//! cargo build --release -p causeway-monitor --target aarch64-unknown-none-softfloat --features raw
//! objcopy -O binary --pad-to 0x60200000 causeway-monitor monitor.bin && cat guests.pack >> monitor.bin
//! ```
//!
//! What decides is in the library of the same package and is tested on the host; `hyp` carries
//! decisions out; `arch` is the only place with unsafe code. docs/monitor.md tells the whole story.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod arch;
#[cfg(all(test, not(target_os = "none")))]
#[expect(dead_code, reason = "the fake knows causes that no test brings about")]
mod fake_arch;
#[cfg(all(test, not(target_os = "none")))]
use fake_arch as arch;
#[cfg(any(test, target_os = "none"))]
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "tests on the host boot no machine and run no core")
)]
mod hyp;

#[cfg(not(target_os = "none"))]
fn main() {}
