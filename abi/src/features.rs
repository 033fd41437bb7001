//! Owns the bits of the features word that VERSION returns in x5; never says who has which.
//!
//! ```
//! use causeway_abi::features;
//!
//! // The second result of VERSION, of a partition that knows its hypervisor.
//! let word = features::GRANTS_TO_VMS | features::HYPERVISOR;
//! assert!(word & features::HYPERVISOR != 0 && word & features::JOINS == 0);
//! ```

/// The caller may grant to another VM.
pub const GRANTS_TO_VMS: u64 = 1 << 0;
/// The caller may give the partition local areas.
pub const LOCAL_AREAS: u64 = 1 << 1;
/// The partition knows a hypervisor that speaks for VMs.
pub const HYPERVISOR: u64 = 1 << 2;
/// The caller may donate memory to the partition: policy allows it, and the SPMC has it.
pub const DONATE: u64 = 1 << 3;
/// The caller may join areas with other VMs'.
pub const JOINS: u64 = 1 << 4;
/// Interrupts of a secure device are, or may be, bound to the caller.
pub const INTERRUPTS: u64 = 1 << 5;
