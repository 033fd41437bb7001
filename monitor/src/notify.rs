//! Owns the doorbells: FF-A notifications between VMs and the partition's doorbell to each VM.
//! Never wakes a VM by itself: it says who is to be woken.
//!
//! Source: DEN0077A 1.1, "Notification interfaces". Doorbells are level state: a second ring
//! before the first was read changes nothing, so no sender can flood a receiver.

use crate::layout::{VM_COUNT, VmIndex};
use causeway_ffa::FfaError;

/// The partition's doorbell in the bitmap of notifications from secure partitions.
pub const PARTITION_BELL: u64 = 1;

/// One VM's notifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Inbox {
    /// Which bits each sender may set.
    bound: [u64; VM_COUNT],
    /// What was set and not yet fetched.
    pending: u64,
    /// The partition's doorbell.
    partition_bell: bool,
    /// Whether the pending state was reported by INFO_GET since it was last fetched.
    reported: bool,
}

impl Inbox {
    fn is_pending(&self) -> bool {
        self.pending != 0 || self.partition_bell
    }
}

/// What a VM fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bits set by secure partitions.
    pub from_partitions: u64,
    /// Bits set by VMs.
    pub from_vms: u64,
}

/// What a receiver wants to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Bits from secure partitions.
    pub partitions: bool,
    /// Bits from VMs.
    pub vms: bool,
}

/// Whether a ring made an idle receiver pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ring {
    /// The receiver had nothing pending: wake it.
    Wake,
    /// It was pending already.
    Already,
}

/// The doorbells of all VMs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    inboxes: [Inbox; VM_COUNT],
}

impl Notifications {
    /// No bit bound, nothing pending.
    #[must_use]
    pub const fn new() -> Self {
        const EMPTY: Inbox =
            Inbox { bound: [0; VM_COUNT], pending: 0, partition_bell: false, reported: false };
        Self { inboxes: [EMPTY; VM_COUNT] }
    }

    /// `receiver` lets `sender` set the bits of `bitmap`. Saying so twice changes nothing. Bits that
    /// were free begin with nothing pending.
    ///
    /// # Errors
    /// `InvalidParameters` for an empty bitmap or the VM itself; `Denied` where a bit is bound to
    /// another sender.
    pub fn bind(
        &mut self,
        receiver: VmIndex,
        sender: VmIndex,
        bitmap: u64,
    ) -> Result<(), FfaError> {
        if bitmap == 0 || receiver == sender {
            return Err(FfaError::InvalidParameters);
        }
        let inbox = &mut self.inboxes[receiver.index()];
        let others = VmIndex::ALL.into_iter().filter(|other| *other != sender);
        if others.map(|other| inbox.bound[other.index()]).any(|bits| bits & bitmap != 0) {
            return Err(FfaError::Denied);
        }
        // What is pending in a bit that nobody may set was rung by a VM that is gone: it must not be
        // read as a ring of the new sender.
        inbox.pending &= !bitmap | inbox.bound[sender.index()];
        inbox.reported &= inbox.is_pending();
        inbox.bound[sender.index()] |= bitmap;
        Ok(())
    }

    /// `receiver` takes the leave back.
    ///
    /// # Errors
    /// `InvalidParameters` for an empty bitmap; `Denied` where a bit is not bound to `sender`, or
    /// is pending.
    pub fn unbind(
        &mut self,
        receiver: VmIndex,
        sender: VmIndex,
        bitmap: u64,
    ) -> Result<(), FfaError> {
        if bitmap == 0 {
            return Err(FfaError::InvalidParameters);
        }
        let inbox = &mut self.inboxes[receiver.index()];
        let bound = &mut inbox.bound[sender.index()];
        if *bound & bitmap != bitmap || inbox.pending & bitmap != 0 {
            return Err(FfaError::Denied);
        }
        *bound &= !bitmap;
        Ok(())
    }

    /// `sender` rings `receiver`.
    ///
    /// # Errors
    /// `InvalidParameters` for an empty bitmap; `Denied` where a bit is not bound to `sender`.
    pub fn set(
        &mut self,
        sender: VmIndex,
        receiver: VmIndex,
        bitmap: u64,
    ) -> Result<Ring, FfaError> {
        if bitmap == 0 {
            return Err(FfaError::InvalidParameters);
        }
        let inbox = &mut self.inboxes[receiver.index()];
        if inbox.bound[sender.index()] & bitmap != bitmap {
            return Err(FfaError::Denied);
        }
        let ring = if inbox.is_pending() { Ring::Already } else { Ring::Wake };
        inbox.pending |= bitmap;
        Ok(ring)
    }

    /// The partition rings `receiver`.
    pub fn ring_from_partition(&mut self, receiver: VmIndex) -> Ring {
        let inbox = &mut self.inboxes[receiver.index()];
        let ring = if inbox.is_pending() { Ring::Already } else { Ring::Wake };
        inbox.partition_bell = true;
        ring
    }

    /// `receiver` fetches what it wants; that is cleared.
    pub fn get(&mut self, receiver: VmIndex, want: Want) -> Fetched {
        let inbox = &mut self.inboxes[receiver.index()];
        let mut fetched = Fetched::default();
        if want.vms {
            fetched.from_vms = core::mem::take(&mut inbox.pending);
        }
        if want.partitions && core::mem::take(&mut inbox.partition_bell) {
            fetched.from_partitions = PARTITION_BELL;
        }
        if !inbox.is_pending() {
            inbox.reported = false;
        }
        fetched
    }

    /// Reports once whether something is pending for the VM (NOTIFICATION_INFO_GET).
    pub fn info(&mut self, receiver: VmIndex) -> bool {
        let inbox = &mut self.inboxes[receiver.index()];
        let fresh = inbox.is_pending() && !inbox.reported;
        inbox.reported |= fresh;
        fresh
    }

    /// Reports whether the VM has something to fetch.
    #[must_use]
    pub fn is_pending(&self, receiver: VmIndex) -> bool {
        self.inboxes[receiver.index()].is_pending()
    }

    /// Forgets a VM that was destroyed: its inbox, and what it was allowed to set.
    ///
    /// What it had rung stays pending (a VM may ring for the last time and switch itself off), but
    /// only until the bit is bound anew: see [`Notifications::bind`].
    pub fn forget(&mut self, vm: VmIndex) {
        self.inboxes[vm.index()] = Inbox::default();
        for inbox in &mut self.inboxes {
            inbox.bound[vm.index()] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: VmIndex = VmIndex::ALL[0];
    const B: VmIndex = VmIndex::ALL[1];
    const C: VmIndex = VmIndex::ALL[2];
    const BOTH: Want = Want { partitions: true, vms: true };

    #[test]
    fn a_bound_bit_rings_once_until_it_is_fetched() {
        let mut all = Notifications::new();
        all.bind(A, B, 0b11).unwrap();
        assert_eq!(all.set(B, A, 0b01), Ok(Ring::Wake));
        assert_eq!(all.set(B, A, 0b10), Ok(Ring::Already));
        assert!(all.is_pending(A) && !all.is_pending(B));
        assert_eq!(all.get(A, BOTH), Fetched { from_partitions: 0, from_vms: 0b11 });
        assert!(!all.is_pending(A));
        assert_eq!(all.set(B, A, 0b01), Ok(Ring::Wake));
    }

    #[test]
    fn unbound_bits_and_foreign_senders_are_denied_and_change_nothing() {
        let mut all = Notifications::new();
        all.bind(A, B, 0b01).unwrap();
        let before = all.clone();
        assert_eq!(all.set(B, A, 0b11), Err(FfaError::Denied));
        assert_eq!(all.set(C, A, 0b01), Err(FfaError::Denied));
        assert_eq!(all.set(A, B, 0b01), Err(FfaError::Denied));
        assert_eq!(all.set(B, A, 0), Err(FfaError::InvalidParameters));
        assert_eq!(all.bind(A, C, 0b01), Err(FfaError::Denied));
        assert_eq!(all.bind(A, A, 0b10), Err(FfaError::InvalidParameters));
        assert_eq!(all.unbind(A, C, 0b01), Err(FfaError::Denied));
        assert_eq!(all, before);
    }

    #[test]
    fn binding_twice_is_binding_once() {
        let mut all = Notifications::new();
        all.bind(A, B, 0b01).unwrap();
        all.bind(A, B, 0b11).unwrap();
        assert_eq!(all.bind(A, C, 0b10), Err(FfaError::Denied));
        assert_eq!(all.set(B, A, 0b11), Ok(Ring::Wake));
    }

    #[test]
    fn a_pending_bit_cannot_be_unbound() {
        let mut all = Notifications::new();
        all.bind(A, B, 1).unwrap();
        assert_eq!(all.set(B, A, 1), Ok(Ring::Wake));
        assert_eq!(all.unbind(A, B, 1), Err(FfaError::Denied));
        let _fetched = all.get(A, BOTH);
        assert_eq!(all.unbind(A, B, 1), Ok(()));
        assert_eq!(all.set(B, A, 1), Err(FfaError::Denied));
    }

    #[test]
    fn the_partitions_bell_needs_no_binding() {
        let mut all = Notifications::new();
        assert_eq!(all.ring_from_partition(C), Ring::Wake);
        assert_eq!(all.ring_from_partition(C), Ring::Already);
        assert_eq!(all.get(C, Want { partitions: false, vms: true }), Fetched::default());
        assert_eq!(all.get(C, BOTH).from_partitions, PARTITION_BELL);
        assert_eq!(all.get(C, BOTH), Fetched::default());
    }

    #[test]
    fn information_is_reported_once() {
        let mut all = Notifications::new();
        assert!(!all.info(A));
        let _ring = all.ring_from_partition(A);
        assert!(all.info(A));
        assert!(!all.info(A));
        let _fetched = all.get(A, BOTH);
        let _ring = all.ring_from_partition(A);
        assert!(all.info(A));
    }

    #[test]
    fn a_destroyed_vm_can_ring_nobody() {
        let mut all = Notifications::new();
        all.bind(A, B, 1).unwrap();
        all.bind(B, A, 1).unwrap();
        assert_eq!(all.set(B, A, 1), Ok(Ring::Wake));
        all.forget(B);
        assert_eq!(all.set(B, A, 1), Err(FfaError::Denied));
        assert_eq!(all.set(A, B, 1), Err(FfaError::Denied));
        assert_eq!(all.bind(A, C, 1), Ok(()));
    }

    #[test]
    fn a_dead_vms_ring_is_not_anothers() {
        for heir in [B, C] {
            let mut all = Notifications::new();
            all.bind(A, B, 0b01).unwrap();
            assert_eq!(all.set(B, A, 0b01), Ok(Ring::Wake));
            assert!(all.info(A));
            all.forget(B);
            all.bind(A, heir, 0b01).unwrap();
            assert!(!all.is_pending(A));
            assert_eq!(all.get(A, BOTH), Fetched::default());
            assert_eq!(all.set(heir, A, 0b01), Ok(Ring::Wake));
            assert!(all.info(A));
            // What a living sender rang outlasts another bind.
            all.bind(A, heir, 0b11).unwrap();
            assert_eq!(all.get(A, BOTH).from_vms, 0b01);
        }
    }

    #[test]
    fn the_last_ring_of_a_vm_that_switched_itself_off_is_heard() {
        let mut all = Notifications::new();
        all.bind(A, B, 0b01).unwrap();
        all.bind(A, C, 0b10).unwrap();
        assert_eq!(all.set(B, A, 0b01), Ok(Ring::Wake));
        all.forget(B);
        all.bind(A, C, 0b110).unwrap();
        assert_eq!(all.get(A, BOTH).from_vms, 0b01);
    }
}
