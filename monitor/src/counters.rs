//! Owns the figures of a run; never prints them.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// Counters that any core may raise.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)+
            /// Whether the transfer phase runs (MARK).
            pub in_transfer: AtomicBool,
        }

        impl Counters {
            /// All zero.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($name: Counter::new(),)+ in_transfer: AtomicBool::new(false) }
            }
        }

        impl fmt::Display for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut separator = "";
                $(
                    write!(f, concat!("{}", stringify!($name), "={}"), separator, self.$name.get())?;
                    separator = " ";
                )+
                let _last = separator;
                Ok(())
            }
        }
    };
}

counters! {
    /// Calls that reached the partition while the transfer phase ran, from whomever.
    partition_calls_during_transfer;
    /// Calls that reached the partition.
    partition_calls;
    /// Calls that VMs made.
    vm_calls;
    /// Doorbells rung, between VMs and from the partition.
    doorbells;
    /// Memory transactions that VMs began with success.
    shares;
    /// Retrieves by VMs that were mapped.
    retrieves;
    /// Transactions that were reclaimed.
    reclaims;
    /// Accesses that stage 2 refused.
    faults;
    /// Unmappings that the partition asked for.
    forced_unmaps;
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Counts a call that goes to the partition.
    pub fn count_partition_call(&self) {
        self.partition_calls.count();
        if self.in_transfer.load(Ordering::SeqCst) {
            self.partition_calls_during_transfer.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_calls_count_for_the_transfer_only_while_it_runs() {
        let counters = Counters::new();
        counters.count_partition_call();
        counters.in_transfer.store(true, Ordering::SeqCst);
        counters.count_partition_call();
        counters.in_transfer.store(false, Ordering::SeqCst);
        counters.count_partition_call();
        assert!(counters.to_string().starts_with(
            "partition_calls_during_transfer=1 partition_calls=3 vm_calls=0 doorbells=0"
        ));
    }
}
