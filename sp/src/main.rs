//! The Causeway secure partition: an S-EL1 image for the EL3 SPMC of TF-A. Owns the order of
//! start-up; decides nothing about grants (`causeway-memshare`) or devices (`causeway-virtio`), and
//! carries nothing out by itself (`causeway-service` does, on the platform that is here).
//!
//! # Building
//! ```text
//! cargo build --release -p causeway-sp --target aarch64-unknown-none-softfloat
//! rust-objcopy -O binary target/aarch64-unknown-none-softfloat/release/causeway-sp sp.bin
//! ```
//! (`aarch64-linux-gnu-objcopy` does as well.) build.rs passes the linker scripts: `image.ld` of
//! aarch64-rt and `sp.ld`; no RUSTFLAGS and no environment are needed. `sp.bin` is TF-A's BL32,
//! loaded and entered at 0x0e100000. It needs the partition manifest of bring-up.md with our
//! `causeway-policy` node in it, and must be built for softfloat: TF-A traps secure FP.
//!
//! `--features selftest` adds the frames of `selftest`, with which a test makes the partition break
//! its own rules on purpose; never ship such an image.
//! `--features minimal` is the profile for little RAM: two VMs, one device of our own with one queue.
//!
//! # Shape
//! `arch` and `window` hold all `unsafe`. `serve` runs what `causeway-service` finds in a message on
//! each core, `partition` is its state under the one lock, and the machine as its platform. On the host only what needs no
//! machine is compiled, for tests; `main` is empty there.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]
#![cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "the host compiles only what it can test")
)]

mod arch;
mod core_id;
mod cores;
mod memory_map;
mod stage1;
mod window;

#[cfg(all(target_os = "none", feature = "minimal"))]
mod absent;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod crash;
#[cfg(all(target_os = "none", not(feature = "minimal")))]
mod disk;
#[cfg(target_os = "none")]
mod hardware;
#[cfg(target_os = "none")]
mod ids;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod partition;
#[cfg(all(target_os = "none", not(feature = "minimal")))]
mod safe;
#[cfg(all(target_os = "none", feature = "selftest"))]
mod selftest;
#[cfg(target_os = "none")]
mod serve;
#[cfg(target_os = "none")]
mod start;

#[cfg(target_os = "none")]
use start::{main_core, secondary_core};

#[cfg(not(target_os = "none"))]
fn main() {}
