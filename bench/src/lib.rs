//! What a call into the partition costs: the figures' form, what is measured, and what they must
//! not exceed. Never measures: the program for that is `src/bench`.
//!
//! Two boots make a report. In both, `causeway-bench` stands in the hypervisor's place (BL33, EL2),
//! speaks for several VMs and counts guest instructions. In the first the partition is ours; in the
//! second it is `causeway-empty`, which does nothing but what the SPMC must be asked for: an answer
//! to each message, a retrieve where an offer comes, a relinquish where something is let go. The
//! difference is the partition's own share; the second figure is TF-A's.
//!
//! The machine must count instructions: `-icount shift=0,sleep=off -smp 1`.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

pub mod line;
pub mod plan;
#[cfg(not(target_os = "none"))]
pub mod report;
