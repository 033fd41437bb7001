//! Owns where OP-TEE mapped what we retrieved; never maps, and never decides what may be mapped.

use crate::window::Window;
use causeway_abi::Permission;
use causeway_ffa::{MemHandle, PageRange};
use causeway_memshare::MapFailed;
use causeway_service::platform::{MappedBits, MemoryKind};

/// OP-TEE 4.10 keeps no more (`NUM_SHARES` in core/arch/arm/mm/sp_mem.c).
const MOST: usize = 64;

/// One retrieved share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Its handle.
    pub(crate) handle: MemHandle,
    /// Its pages.
    pub(crate) pages: PageRange,
    /// Where they are mapped.
    pub(crate) mapped_at: u64,
    /// Whether they are mapped writable.
    pub(crate) writable: bool,
}

impl Share {
    /// Returns the address of `range`, if all of it is in here.
    fn address(&self, range: PageRange) -> Option<u64> {
        let inside = range.start() >= self.pages.start() && range.end() <= self.pages.end();
        let offset = range.start().get().checked_sub(self.pages.start().get())?;
        self.mapped_at.checked_add(offset).filter(|_| inside)
    }
}

/// What is retrieved at the moment.
#[derive(Debug)]
pub(crate) struct Shares([Option<Share>; MOST]);

impl Shares {
    /// Nothing.
    pub(crate) const fn new() -> Self {
        Self([None; MOST])
    }

    /// Keeps one; false if there is no room.
    pub(crate) fn add(&mut self, share: Share) -> bool {
        match self.0.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(share);
                true
            }
            None => false,
        }
    }

    /// Forgets one: OP-TEE unmapped it.
    pub(crate) fn remove(&mut self, handle: MemHandle) {
        for place in &mut self.0 {
            if place.is_some_and(|share| share.handle == handle) {
                *place = None;
            }
        }
    }

    /// Returns the way into a range that OP-TEE mapped for us. It is there until the share is
    /// relinquished, which the broker does after it gave up every window.
    pub(crate) fn window(
        &self,
        range: PageRange,
        permission: Permission,
    ) -> Result<Window, MapFailed> {
        let (share, address) = self.find(range).ok_or(MapFailed)?;
        if permission == Permission::ReadWrite && !share.writable {
            return Err(MapFailed);
        }
        Ok(Window::of_mapped(range, address, permission))
    }

    /// What OP-TEE maps a range as. It cannot be read back at S-EL0: this is what its source does
    /// (`sp_map_shared`: user, never executable where the share says nothing, cached).
    pub(crate) fn bits(&self, range: PageRange) -> Option<MappedBits> {
        let (share, _) = self.find(range)?;
        Some(MappedBits {
            non_secure: true,
            never_execute: true,
            read_only: !share.writable,
            kind: MemoryKind::WriteBack,
        })
    }

    /// Two shares that name one page are never both in the broker's hands: the second is refused, and
    /// relinquished before the call ends.
    fn find(&self, range: PageRange) -> Option<(Share, u64)> {
        self.0.iter().flatten().find_map(|share| Some((*share, share.address(range)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_ffa::PageAddr;
    use causeway_service::platform::Window as Access;

    fn range(page: u64, count: u32) -> PageRange {
        PageRange::new(PageAddr::new(page << 12).unwrap(), count).unwrap()
    }

    fn share(handle: u64, pages: PageRange, mapped_at: u64, writable: bool) -> Share {
        Share { handle: MemHandle::new(handle).unwrap(), pages, mapped_at, writable }
    }

    #[test]
    fn a_window_leads_to_where_optee_mapped_those_pages() {
        let mut shares = Shares::new();
        assert!(shares.add(share(1, range(0x80000, 4), 0x4000_0000, true)));
        let window = shares.window(range(0x80001, 2), Permission::ReadWrite).unwrap();
        assert_eq!((window.address(), window.range()), (0x4000_1000, range(0x80001, 2)));
        assert!(shares.window(range(0x80003, 2), Permission::ReadOnly).is_err());
        assert!(shares.window(range(0x7ffff, 1), Permission::ReadOnly).is_err());
        shares.remove(MemHandle::new(1).unwrap());
        assert!(shares.window(range(0x80001, 2), Permission::ReadOnly).is_err());
    }

    #[test]
    fn what_is_mapped_read_only_has_no_writable_window() {
        let mut shares = Shares::new();
        assert!(shares.add(share(1, range(5, 1), 0x4000_0000, false)));
        assert!(shares.window(range(5, 1), Permission::ReadWrite).is_err());
        assert!(shares.window(range(5, 1), Permission::ReadOnly).is_ok());
        assert!(shares.bits(range(5, 1)).is_some_and(|bits| bits.read_only));
    }

    #[test]
    fn a_share_too_many_is_not_kept() {
        let mut shares = Shares::new();
        for handle in 0..64 {
            assert!(shares.add(share(handle, range(handle + 1, 1), 0x1000, true)));
        }
        assert!(!shares.add(share(64, range(99, 1), 0x1000, true)));
    }
}
