//! Owns the figures of a run; never prints them.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// Counters that any core may raise.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)+
            /// What VM 1 marked off as the transfer.
            transfer: Transfer,
            /// Messages of VMs that are in the partition now, and the most that ever were.
            inside: [AtomicU64; 2],
        }

        impl Counters {
            /// All zero.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($name: Counter::new(),)+ transfer: Transfer::new(), inside: [const { AtomicU64::new(0) }; 2] }
            }
        }

        impl fmt::Display for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.transfer)?;
                $(write!(f, concat!(" ", stringify!($name), "={}"), self.$name.get())?;)+
                write!(f, " most_calls_at_once={}", self.inside[1].load(Ordering::SeqCst))
            }
        }
    };
}

counters! {
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

/// The phase that VM 1 marks off (MARK), and what happened in it. Figures that would be zero if
/// the phase never was are shown only if it was begun and ended.
#[derive(Debug, Default)]
struct Transfer {
    runs: AtomicBool,
    marks: Counter,
    partition_calls: Counter,
    doorbells: Counter,
    medium_mapped: AtomicUsize,
}

impl Transfer {
    const fn new() -> Self {
        Self {
            runs: AtomicBool::new(false),
            marks: Counter::new(),
            partition_calls: Counter::new(),
            doorbells: Counter::new(),
            medium_mapped: AtomicUsize::new(0),
        }
    }

    fn runs(&self) -> bool {
        self.runs.load(Ordering::SeqCst)
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (marks, calls) = (self.marks.get(), self.partition_calls.get());
        write!(f, "transfer_marks={marks} doorbells_during_transfer={}", self.doorbells.get())?;
        if marks == 0 || self.runs() {
            return Ok(());
        }
        let mapped = self.medium_mapped.load(Ordering::SeqCst);
        write!(f, " partition_calls_during_transfer={calls} medium_mapped_by_vm1={mapped}")
    }
}

/// MARK came out of turn: a begin within the transfer, or an end outside it. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfTurn;

impl Counters {
    /// VM 1 says that the transfer begins.
    ///
    /// # Errors
    /// [`OutOfTurn`] while it runs.
    pub fn begin_transfer(&self) -> Result<(), OutOfTurn> {
        if self.transfer.runs.swap(true, Ordering::SeqCst) { Err(OutOfTurn) } else { Ok(()) }
    }

    /// VM 1 says that the transfer is over.
    ///
    /// # Errors
    /// [`OutOfTurn`] unless it runs.
    pub fn end_transfer(&self) -> Result<(), OutOfTurn> {
        if !self.transfer.runs.swap(false, Ordering::SeqCst) {
            return Err(OutOfTurn);
        }
        self.transfer.marks.count();
        Ok(())
    }

    /// Counts a call that goes to the partition.
    pub fn count_partition_call(&self) {
        self.partition_calls.count();
        if self.transfer.runs() {
            self.transfer.partition_calls.count();
        }
    }

    /// Counts a VM's message while it is in the partition.
    pub fn inside_partition<T>(&self, call: impl FnOnce() -> T) -> T {
        let [now, most] = &self.inside;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let answer = call();
        now.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    /// Counts a doorbell.
    pub fn count_doorbell(&self) {
        self.doorbells.count();
        if self.transfer.runs() {
            self.transfer.doorbells.count();
        }
    }

    /// Keeps the largest number of entries that were seen to map the medium for VM 1.
    pub fn note_medium_mapped(&self, entries: usize) {
        self.transfer.medium_mapped.fetch_max(entries, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(counters: &Counters) {
        counters.count_partition_call();
        counters.count_doorbell();
        counters.count_doorbell();
    }

    #[test]
    fn calls_and_doorbells_count_for_the_transfer_only_while_it_runs() {
        let counters = Counters::new();
        work(&counters);
        assert_eq!(counters.begin_transfer(), Ok(()));
        work(&counters);
        assert_eq!(counters.end_transfer(), Ok(()));
        work(&counters);
        counters.note_medium_mapped(2);
        counters.note_medium_mapped(1);
        let line = counters.to_string();
        let expected = "transfer_marks=1 doorbells_during_transfer=2 \
                        partition_calls_during_transfer=1 medium_mapped_by_vm1=2 \
                        partition_calls=3 vm_calls=0 doorbells=6 ";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn calls_that_are_under_way_at_once_are_counted() {
        let counters = Counters::new();
        assert!(counters.to_string().ends_with(" most_calls_at_once=0"));
        assert_eq!(counters.inside_partition(|| counters.inside_partition(|| 7)), 7);
        assert_eq!(counters.inside_partition(|| 8), 8);
        assert!(counters.to_string().ends_with(" most_calls_at_once=2"));
    }

    #[test]
    fn a_transfer_that_was_not_marked_off_proves_nothing() {
        let counters = Counters::new();
        counters.note_medium_mapped(0);
        let silent = |line: String| {
            let proofs = ["partition_calls_during_transfer", "medium_mapped_by_vm1"];
            line.starts_with("transfer_marks=") && !proofs.iter().any(|name| line.contains(name))
        };
        assert!(silent(counters.to_string()));
        assert_eq!(counters.end_transfer(), Err(OutOfTurn));
        assert!(silent(counters.to_string()));
        assert_eq!(counters.begin_transfer(), Ok(()));
        assert_eq!(counters.begin_transfer(), Err(OutOfTurn));
        assert!(silent(counters.to_string()));
        assert_eq!(counters.end_transfer(), Ok(()));
        assert!(!silent(counters.to_string()));
    }
}
