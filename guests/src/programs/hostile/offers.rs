//! Offers that break one rule of the policy each, or say another thing than what was shared. What is
//! refused must come back from the SPMC at once: nothing of it stays locked.

use super::{Attacker, outcome};
use crate::calls::{self, Met, PARTITION, id};
use crate::cases::{self, Case};
use crate::descriptor::{Descriptor, READ_ONLY};
use crate::rt::{layout, pages};
use causeway_abi::{Call, GrantKind, GrantTerms, Permission, features};
use causeway_ffa::EndpointId;

/// What policy says of VM 3's areas for the partition alone (manifests/qemu-el3.dts).
const MAX_AREA_PAGES: u32 = 16;
const QUOTA_GRANTS: usize = 4;
const QUOTA_RANGES: u64 = 8;

const LOCAL: GrantTerms =
    GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };

const fn to(peer: u16, permission: Permission) -> GrantTerms {
    GrantTerms { peer: Some(EndpointId::from_raw(peer)), kind: GrantKind::Share, permission }
}

impl Attacker {
    pub(super) fn offers(&self) {
        self.words();
        let page = [(self.page, 1)];
        let local = Descriptor::send(3, &[PARTITION], &page);
        let read_only = GrantTerms { permission: Permission::ReadOnly, ..LOCAL };
        self.offer_case(&cases::OFFER_OTHER_TERMS, id::SHARE, &local, read_only);
        let with_2 = to(2, Permission::ReadOnly);
        self.offer_case(&cases::OFFER_OTHER_BORROWERS, id::SHARE, &local, with_2);
        let donation = GrantTerms { kind: GrantKind::Donate, ..LOCAL };
        self.offer_case(&cases::OFFER_DONATION, id::SHARE, &local, donation);
        let lent = GrantTerms { kind: GrantKind::Lend, ..LOCAL };
        self.offer_case(&cases::OFFER_KIND, id::LEND, &local, lent);
        for (case, peer) in [(&cases::OFFER_TO_PEER, 1), (&cases::OFFER_PERMISSION, 2)] {
            let with = Descriptor::send(3, &[PARTITION, peer], &page);
            self.offer_case(case, id::SHARE, &with, to(peer, Permission::ReadWrite));
        }
        self.quotas();
    }

    /// What is wrong in the words of OFFER alone.
    fn words(&self) {
        let mut no_kind =
            Call::Offer { handle: calls::name(self.own), terms: LOCAL, tag: 0 }.encode();
        // The kind is in bits 23:16 of x5.
        no_kind[2] |= 0xff << 16;
        self.call(&cases::OFFER_OF_NO_KIND, calls::frame(no_kind));
        self.call(&cases::OFFER_TWICE, calls::offer_on(self.own, LOCAL));
        let asked = calls::ffa([id::FEATURES, id::DONATE, 0, 0, 0, 0, 0, 0]);
        let found = calls::partition(&Call::Version { minor: 0 });
        let announced = found.is_ok_and(|[_, word, ..]| word & features::DONATE != 0);
        let unchanged = self.is_unchanged() && found.is_ok() && !announced;
        self.report(&cases::DONATE_UNKNOWN, outcome(asked.map_err(Met::Ffa)), unchanged);
    }

    /// Sends and offers on these terms; what was refused must come back.
    fn offer_case(&self, case: &Case, function: u64, sent: &Descriptor, terms: GrantTerms) {
        let handle = self.mailbox.send(function, sent).expect("an honest send");
        let met = calls::offer_on(handle, terms);
        let back = met.is_err() && calls::reclaim(handle).is_ok();
        self.report(case, outcome(met), back && self.is_unchanged());
    }

    /// Offers one area too many, or too large: what fits before it is taken back after it.
    fn quotas(&self) {
        let room = pages::take(40);
        let page = |index: u64| room + index * layout::PAGE_LEN;
        let area = |ranges: &[(u64, u32)]| Descriptor::send(3, &[PARTITION], ranges);
        let offer = |case: &Case, sent: &Descriptor| self.offer_case(case, id::SHARE, sent, LOCAL);
        offer(&cases::OFFER_TOO_LARGE, &area(&[(room, MAX_AREA_PAGES + 1)]));
        // With the range of the VM's own grant these are one too many.
        let scattered: alloc::vec::Vec<_> =
            (0..QUOTA_RANGES).map(|index| (page(2 * index), 1)).collect();
        offer(&cases::OFFER_RANGES, &area(&scattered));
        // With its one page, so are two areas of the largest size.
        let first = self.give(&area(&[(room, MAX_AREA_PAGES)]));
        let second = area(&[(page(u64::from(MAX_AREA_PAGES)), MAX_AREA_PAGES)]);
        offer(&cases::OFFER_PAGES, &second);
        self.take_back(first);
        let all: alloc::vec::Vec<_> =
            (1..QUOTA_GRANTS).zip(1..).map(|(_, at)| self.give(&area(&[(page(at), 1)]))).collect();
        offer(&cases::OFFER_GRANTS, &area(&[(room, 1)]));
        all.into_iter().for_each(|handle| self.take_back(handle));
    }

    /// An honest grant to the partition alone.
    pub(super) fn give(&self, sent: &Descriptor) -> u64 {
        let permission = match sent.borrowers.first() {
            Some((_, READ_ONLY)) => Permission::ReadOnly,
            Some(_) | None => Permission::ReadWrite,
        };
        let handle = self.mailbox.send(id::SHARE, sent).expect("an honest share");
        calls::offer_on(handle, GrantTerms { permission, ..LOCAL }).expect("an honest offer");
        handle
    }

    /// Ends an honest grant.
    pub(super) fn take_back(&self, handle: u64) {
        calls::revoke(handle).expect("revoke");
        calls::reclaim(handle).expect("reclaim");
    }
}
