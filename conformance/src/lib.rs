//! The conformance cases of the partition as data, and the running of them. Never touches a machine:
//! whoever has one (a bare-metal driver in the hypervisor's place, a host process with the fake SPMC)
//! implements [`Machine`], on which the [`Hypervisor`] stands, or a [`World`] of its own.
//!
//! A [`Case`] names the clause that it is about and its [`Step`]s. [`run`] carries them out one after
//! the other, stops at the first that does not end as the case says, and afterwards takes back what
//! the case left, so that cases do not lean on each other.
//!
//! Which cases an SPMC is excused from, and for which named limit of `docs/spmc-facts.md`, stands
//! beside the set-up of that SPMC (`optee-test/expected.txt`); never here.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod cases;
mod file;
mod hypervisor;
mod run;
mod step;
mod world;

pub use cases::CASES;
pub use hypervisor::{Hypervisor, Machine};
pub use run::{Done, Failure, run};
pub use step::{Area, Ask, Case, Handle, Name, Step, VmNews, Weight};
pub use world::{Shared, World};
