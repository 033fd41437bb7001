//! Owns an area of this VM for the partition alone, of ranges with gaps between, and the bytes in it
//! by their offset. Never reads what lies in the gaps.

use crate::calls::{self, Mailbox, PARTITION, id};
use crate::descriptor::{Descriptor, READ_ONLY};
use crate::rt::{access, layout, pages, signal};
use alloc::vec::Vec;
use causeway_abi::{GrantKind, GrantTerms, Permission};

/// The area.
pub(in crate::programs) struct Area {
    ranges: Vec<(u64, u32)>,
    pub(super) handle: u64,
}

impl Area {
    /// Grants ranges of so many pages each, read-write.
    pub(in crate::programs) fn share(mailbox: &Mailbox, page_counts: &[u32]) -> Self {
        Self::with(mailbox, page_counts, Permission::ReadWrite)
    }

    /// Grants a page that the partition may only read.
    pub(super) fn share_read_only(mailbox: &Mailbox) -> Self {
        Self::with(mailbox, &[1], Permission::ReadOnly)
    }

    fn with(mailbox: &Mailbox, page_counts: &[u32], permission: Permission) -> Self {
        // A page between two ranges keeps them apart.
        let taken = page_counts.iter().map(|count| (*count, pages::take(u64::from(*count) + 1)));
        let ranges: Vec<_> = taken.map(|(count, address)| (address, count)).collect();
        let mut sent = Descriptor::send(signal::own_id(), &[PARTITION], &ranges);
        if permission == Permission::ReadOnly {
            sent.borrowers = alloc::vec![(PARTITION, READ_ONLY)];
        }
        let handle = mailbox.send(id::SHARE, &sent).expect("share");
        let terms = GrantTerms { peer: None, kind: GrantKind::Share, permission };
        calls::offer_on(handle, terms).expect("offer");
        Self { ranges, handle }
    }

    /// Ends the grant.
    pub(super) fn take_back(&self) {
        calls::revoke(self.handle).expect("revoke");
        calls::reclaim(self.handle).expect("reclaim");
    }

    /// The address of every byte, in order of the offsets.
    fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        let bytes =
            |(start, count): &(u64, u32)| *start..*start + u64::from(*count) * layout::PAGE_LEN;
        self.ranges.iter().flat_map(bytes)
    }

    /// Writes each byte by its offset.
    pub(super) fn fill(&self, byte: impl Fn(u64) -> u8) {
        for (offset, address) in (0..).zip(self.addresses()) {
            access::write_u8(address, byte(offset));
        }
    }

    /// The bytes with their offsets.
    pub(super) fn bytes(&self) -> impl Iterator<Item = (u64, u8)> + '_ {
        (0..).zip(self.addresses()).map(|(offset, address)| (offset, access::read_u8(address)))
    }
}
