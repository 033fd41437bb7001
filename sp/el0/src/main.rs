//! The Causeway secure partition at S-EL0: an image for OP-TEE as SPMC. Owns the order of start-up;
//! decides nothing about grants or devices, and carries nothing out by itself, as `causeway-sp`.
//!
//! # Building
//! ```text
//! cargo xtask conformance --spmc optee     builds it, OP-TEE around it and TF-A, and boots them
//! ```
//! By hand: release, `--target aarch64-unknown-none-softfloat`, with `-C relocation-model=pie`. The flat
//! binary is entered at its first byte, at any address. OP-TEE embeds it with the manifest of
//! `manifests/conformance/optee.dts`, to which the memory regions of this ELF file are added.
//!
//! # What is different from S-EL1
//! The conduit is SVC; OP-TEE maps shared memory when it is retrieved and unmaps it when it is
//! relinquished (`optee` turns its messages into the specified ones and back, `shares` knows where
//! things are); there is one execution context; calls come in two parts (`causeway_abi::parts`).
//! There is no GIC, no flash and no entropy, which the services say by their status. Every limit has
//! a name in `docs/spmc-facts.md`.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]
#![cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "the host compiles only what it can test")
)]

mod optee;
mod shares;
#[path = "../../src/window.rs"]
mod window;

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod crash;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod nothing;
#[cfg(target_os = "none")]
mod serve;

#[cfg(not(target_os = "none"))]
fn main() {}
