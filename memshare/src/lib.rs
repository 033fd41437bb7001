//! The broker of brokered memory: decides about grants, policy and quotas. Never acts: no SMC, no
//! MMU, no clock, no heap.
//!
//! [`Broker::step`] takes one [`Event`] and returns a [`Step`]: some [`Notice`]s, to be carried out
//! in order, and one [`Next`]. Either `Next` asks for an action whose result comes back as the next
//! event, or it ends the sequence with an answer. The image holds its one lock over a whole
//! sequence, so that at most one is under way; a second [`Event::Frame`] in between is refused with
//! `Busy`.
//!
//! ```text
//! fn drive(&mut self, first: Event) -> Answer {          // the partition-wide lock is held
//!     let mut step = self.broker.step(now(), first);
//!     loop {
//!         for notice in step.notices() {
//!             match *notice {
//!                 Notice::Ledger(ref record) => self.ledger.append(now(), record),
//!                 Notice::RingHypervisor(d)  => ring(d.sgi, d.core),
//!                 Notice::AreaLost { owner, handle, .. } => self.bus.area_lost(owner, handle), // must not call step
//!             }
//!         }
//!         step = match step.next() {
//!             Next::Retrieve(request) => {
//!                 let result = self.spmc.retrieve(request);   // RETRIEVE_REQ, FRAG_RX, copy, RX_RELEASE
//!                 self.broker.step(now(), Event::Retrieved(result_as_descriptor))
//!             }
//!             Next::Relinquish(handle) => {
//!                 let result = self.spmc.relinquish(handle);
//!                 self.broker.step(now(), Event::Relinquished(result))
//!             }
//!             Next::Map { grant, permission } => {
//!                 let result = self.mmu.map(self.broker.ranges(grant), permission);
//!                 self.broker.step(now(), Event::Mapped(result))
//!             }
//!             Next::Unmap { grant } => {
//!                 let result = self.mmu.unmap(self.broker.ranges(grant));
//!                 self.broker.step(now(), Event::Unmapped(result))
//!             }
//!             Next::Continue          => self.broker.step(now(), Event::Continue),
//!             Next::Reply(frame)      => return Answer::Frame(frame),
//!             Next::VmReply(verdict)  => return Answer::Framework(verdict),
//!             Next::BusKick { vm }    => return Answer::Frame(self.bus.kick(vm)),
//!             Next::LedgerHead { .. } => return Answer::Frame(self.ledger_head(..)),  // Ledger::head
//!             Next::LedgerRead { .. } => return Answer::Frame(self.ledger_read(..)),  // Use, Ledger::page, write, Unuse
//!             Next::Vault { .. }      => return Answer::Frame(self.vault_call(..)),
//!             Next::Used(result)      => return Answer::Used(result),
//!             Next::Idle              => return Answer::Nothing,
//!         };
//!     }
//! }
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(any(test, feature = "explore"))]
extern crate std;

pub mod broker;
mod defect;
pub mod event;
#[cfg(any(test, feature = "explore"))]
pub mod explore;
pub mod grant;
#[cfg(any(test, feature = "explore"))]
pub mod lab;
pub mod ledger;
pub mod policy;
mod shelf;
mod store;
mod table;

pub use broker::{Broker, FullBroker};
#[cfg(any(test, feature = "explore"))]
pub use defect::Defect;
pub use event::{
    Borrower, Caching, Descriptor, Doorbell, Event, MapFailed, Next, Notice, RetrieveRequest,
    Security, Step, VmVerdict,
};
pub use grant::{GrantId, GrantView};
pub use ledger::{Action, Entry, Ledger, Lost, Record};
pub use policy::Policy;
