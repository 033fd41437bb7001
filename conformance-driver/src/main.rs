//! The normal world of the conformance suite: BL33 in the hypervisor's place, with the ids of three VMs
//! and no VM. It runs every case of `causeway-conformance` and prints what came of it; it judges
//! nothing about which SPMC it runs on.
//!
//! ```text
//! cargo xtask conformance --spmc optee      builds, boots, and judges the lines
//! ```
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod suite;

#[cfg(not(target_os = "none"))]
fn main() {}
