//! The measuring program: BL33 in the hypervisor's place, with several VMs' ids and no VM.
//!
//! ```text
//! cargo build --release -p causeway-bench --target aarch64-unknown-none-softfloat
//! qemu-system-aarch64 ... -cpu max -smp 1 -icount shift=0,sleep=off
//! ```
//!
//! `cargo xtask bench` builds both programs, boots both times and prints the report.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod lives;
#[cfg(target_os = "none")]
mod measure;
#[cfg(target_os = "none")]
mod sections;
#[cfg(target_os = "none")]
mod spmc;

#[cfg(not(target_os = "none"))]
fn main() {}
