//! Puts virtio rings into brokered memory: the normal-world side of Causeway, for VMs and VMMs.
//! Never decides for the partition, and never trusts a peer.
//!
//! # The picture
//! An **area** is a set of pages that their **owner** VM shares or lends. A **grant** is its life
//! under the care of the Causeway partition, a program in the secure world: it sees every such
//! transaction, checks it, and holds a lock on it, so that the owner can't take pages back while
//! a **peer** VM still maps them. Virtio rings and buffers lie in areas and are used in place.
//!
//! # Where to begin
//!
//! | you are | you need |
//! | --- | --- |
//! | anybody | a [`conduit`] and a [`Connection`] |
//! | an owner | [`grant::Grant`] |
//! | a peer | [`borrow::Offer`] and what follows from it |
//! | a driver | [`bus::Bus`], and with feature `guest` a transport and memory for virtio-drivers |
//! | a device | [`bus::Bus`] and [`backend::Backend`], with feature `vmm` for rust-vmm's queues |
//! | an auditor | [`ledger::Reader`] |
//! | in need of entropy, or of what else the secure world keeps | [`security::Security`] |
//!
//! [`doorbell::Doorbells`] tell one VM that another has something for it, without the partition.
//!
//! # What holds everywhere
//! - Memory that somebody else can write is only ever copied ([`memory::Window`]).
//! - A failure is an [`Error`] that names the rule and who broke it.
//! - What was begun is undone when a later step fails, and when a value is dropped.
//! - Every wait has a [`Bound`].
//!
//! # Examples
//! They run on any host, with the real partition on a fake platform (`cargo run -p causeway-client
//! --example NAME`): `grant` walks through a grant's states, `front_end` runs an unmodified block
//! driver, `block_backend` serves a file with rust-vmm's parts, `hypervisor` is a hypervisor's side.
//!
//! # Features
//! - `guest`: `guest::MsgTransport` and `guest::AreaHal` for
//!   [virtio-drivers](https://docs.rs/virtio-drivers).
//! - `smoltcp`: `stack::Phy`, a network card of a link (or the far end of a cable, in a backend) as a
//!   device of [smoltcp](https://docs.rs/smoltcp)'s TCP/IP.
//! - `vmm`: `vmm::AreaMemory` and `vmm::LazyAreas`, a link's areas as guest memory of
//!   [vm-memory](https://docs.rs/vm-memory), for VMMs on a host. It needs the standard library.
//! - `vhost-user` (Linux only, `vmm` is in it): `vhost_user::FrontDoor`, a device that an existing
//!   vhost-user process serves.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod backend;
pub mod borrow;
pub mod bus;
pub mod conduit;
pub mod connection;
pub mod doorbell;
pub mod error;
pub mod grant;
#[cfg(feature = "guest")]
pub mod guest;
pub mod interrupts;
pub mod ledger;
pub mod memory;
pub mod security;
#[cfg(feature = "smoltcp")]
pub mod stack;
#[cfg(test)]
mod testing;
#[cfg(all(feature = "vhost-user", target_os = "linux"))]
pub mod vhost_user;
#[cfg(feature = "vmm")]
pub mod vmm;
pub mod wait;

// The tests share a file with the examples.
#[cfg(test)]
extern crate self as causeway_client;
#[cfg(feature = "vmm")]
extern crate std;

pub use connection::{Connection, Mailbox};
pub use error::{Error, Party, Rule};
pub use wait::{Bound, Wait};
