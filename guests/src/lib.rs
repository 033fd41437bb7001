//! Owns what the three virtual machines of the tests and demos have in common: the table of jobs,
//! the runtime under EL1, and the programs themselves. Never decides whether a run has passed:
//! xtask compares the printed lines with [`jobs`].
//!
//! Build (the images land in `target/aarch64-unknown-none-softfloat/release/`):
//! ```text
//! cargo build --release -p causeway-guests --target aarch64-unknown-none-softfloat
//! ```
//! Test of the host-testable part, and the lints:
//! ```text
//! cargo test -p causeway-guests
//! cargo clippy -p causeway-guests --all-targets -- -D warnings
//! ```
//! On the host the binaries are empty; [`jobs`], [`cases`] and [`cmdline`] compile everywhere.
//! docs/qemu-tests.md explains the jobs.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod cases;
pub mod cmdline;
pub mod deaths;
pub mod descriptor;
pub mod jobs;
pub mod linear;
pub mod prng;
pub mod records;

#[cfg(target_os = "none")]
pub mod calls;
#[cfg(target_os = "none")]
pub mod programs;
#[cfg(target_os = "none")]
pub mod report;
#[cfg(target_os = "none")]
pub mod rt;
