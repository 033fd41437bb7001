//! Shares whose descriptors break one rule each. Where one gets through (the raw monitor and an
//! SPMC that does not check it), it is offered, so that the partition must refuse it.

use super::{Attacker, outcome};
use crate::calls::{self, Met, PARTITION, id};
use crate::cases::{self, Case};
use crate::descriptor::{Descriptor, READ_WRITE};
use crate::rt::pages;
use causeway_abi::GrantKind;

/// Secure RAM: where the partition itself lies.
const SECURE: u64 = 0x0e10_0000;
/// The non-secure UART.
const DEVICE: u64 = 0x0900_0000;

impl Attacker {
    /// Shares, and if that works offers; what was let through is taken back, and must come back.
    pub(super) fn share_case(&self, case: &Case, descriptor: &Descriptor) {
        let mut back = true;
        let met = match self.mailbox.send(id::SHARE, descriptor) {
            Err(refused) => Err(Met::Ffa(refused)),
            Ok(handle) => {
                let peer =
                    descriptor.borrowers.iter().map(|(id, _)| *id).find(|id| *id != PARTITION);
                let met = calls::offer(handle, peer.unwrap_or(0), GrantKind::Share);
                back = met.is_err() && calls::reclaim(handle).is_ok();
                met
            }
        };
        self.report(case, outcome(met), back && self.is_unchanged());
    }

    fn honest(&self, ranges: &[(u64, u32)]) -> Descriptor {
        Descriptor::send(3, &[PARTITION], ranges)
    }

    pub(super) fn descriptors(&self) {
        let page = self.page;
        self.share_case(&cases::SECURE_ADDRESS, &self.honest(&[(SECURE, 1)]));
        self.share_case(&cases::DEVICE_ADDRESS, &self.honest(&[(DEVICE, 1)]));
        self.share_case(&cases::OTHER_VM_MEMORY, &self.honest(&[(self.foreign_pages, 1)]));
        self.share_case(&cases::UNALIGNED_ADDRESS, &self.honest(&[(page + 0x800, 1)]));
        self.share_case(&cases::OVERLAPPING_RANGES, &self.honest(&[(page, 1), (page, 1)]));
        self.share_case(&cases::EMPTY_RANGE, &self.honest(&[(page, 1), (page + 0x1000, 0)]));
        self.share_case(&cases::NO_RANGE, &self.honest(&[]));
        let wrapping = self.honest(&[(page, 1), (0xffff_ffff_ffff_f000, 2)]);
        self.share_case(&cases::WRAPPING_RANGE, &wrapping);
        let total = Descriptor { total_pages: Some(2), ..self.honest(&[(page, 1)]) };
        self.share_case(&cases::WRONG_TOTAL, &total);
        self.borrowers();
        let device = Descriptor { attributes: 0x10, ..self.honest(&[(page, 1)]) };
        self.share_case(&cases::DEVICE_ATTRIBUTES, &device);
        self.shared_twice();
        let donate = self.mailbox.send(id::DONATE, &self.honest(&[(page, 1)]));
        self.ffa(&cases::DONATE, donate);
        self.fragment_overrun();
    }

    fn borrowers(&self) {
        let ranges = [(self.page, 1)];
        self.share_case(&cases::NO_BORROWER, &Descriptor::send(3, &[], &ranges));
        self.share_case(&cases::SELF_BORROWER, &Descriptor::send(3, &[PARTITION, 3], &ranges));
        self.share_case(&cases::UNKNOWN_BORROWER, &Descriptor::send(3, &[PARTITION, 77], &ranges));
        let mut executable = self.honest(&ranges);
        executable.borrowers = alloc::vec![(PARTITION, READ_WRITE | 0b1000)];
        self.share_case(&cases::EXECUTABLE, &executable);
    }

    fn shared_twice(&self) {
        let page = pages::take(1);
        let first = self.mailbox.share(page, 1, &[PARTITION]).expect("share");
        let second = self.mailbox.share(page, 1, &[PARTITION]);
        let unchanged = calls::reclaim(first).is_ok() && self.is_unchanged();
        self.report(&cases::SHARED_TWICE, outcome(second.map_err(Met::Ffa)), unchanged);
    }

    fn fragment_overrun(&self) {
        let bytes = self.honest(&[(self.page, 1)]).bytes();
        self.mailbox.write(&bytes);
        let len = u64::try_from(bytes.len()).unwrap_or(0);
        let met = calls::ffa([id::SHARE, len - 16, len, 0, 0, 0, 0, 0]);
        self.ffa(&cases::FRAGMENT_OVERRUN, met);
    }
}
