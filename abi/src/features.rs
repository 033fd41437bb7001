//! Owns the bits of the features word that VERSION returns in x5; never says who has which.
//!
//! ```
//! use causeway_abi::features;
//!
//! // The second result of VERSION, of a partition that knows its hypervisor.
//! let word = features::GRANTS_TO_VMS | features::HYPERVISOR;
//! assert!(word & features::HYPERVISOR != 0 && word & features::JOINS == 0);
//! ```

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)+) => {
        $($(#[$doc])* pub const $name: u64 = 1 << $bit;)+

        /// Every feature with its name, in the order of their bits.
        pub const ALL: &[(&str, u64)] = &[$((stringify!($name), $name),)+];
    };
}

features! {
    /// The caller may grant to another VM.
    GRANTS_TO_VMS = 0;
    /// The caller may give the partition local areas.
    LOCAL_AREAS = 1;
    /// The partition knows a hypervisor that speaks for VMs.
    HYPERVISOR = 2;
    /// The caller may donate memory to the partition: policy allows it, and the SPMC has it.
    DONATE = 3;
    /// The caller may join areas with other VMs'.
    JOINS = 4;
    /// Interrupts of a secure device are, or may be, bound to the caller.
    INTERRUPTS = 5;
    /// Policy gives the caller ENTROPY. For this bit and the next four VAULT_STATE says whether the machine
    /// has the service as well.
    ENTROPY = 6;
    /// Policy gives the caller counters.
    COUNTERS = 7;
    /// Policy gives the caller replay-protected memory.
    RPMB = 8;
    /// Policy gives the caller slots for keys.
    KEYS = 9;
    /// Policy gives the caller a watchdog.
    WATCHDOG = 10;
}
