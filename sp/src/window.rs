//! Owns the access to mapped shared memory: bytes are copied in and out by volatile accesses,
//! inside the mapped range only. Never makes a reference to it, never trusts what it reads.

use causeway_abi::Permission;
use causeway_ffa::PageRange;

/// The access did not lie inside the window, or wrote where only reading is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutsideWindow;

/// The right to reach one mapped range. Made by the tables that map it, and given back to them.
#[derive(Debug)]
pub(crate) struct Window {
    range: PageRange,
    permission: Permission,
}

impl Window {
    /// To be called by `Stage1` alone, for a range that it maps until it gets the window back.
    pub(crate) const fn of_mapped(range: PageRange, permission: Permission) -> Self {
        Self { range, permission }
    }

    /// Returns the mapped range.
    pub(crate) const fn range(&self) -> PageRange {
        self.range
    }

    /// Returns the address of `len` bytes at `offset`, if they lie inside.
    fn locate(&self, offset: u64, len: usize) -> Result<usize, OutsideWindow> {
        let len = u64::try_from(len).map_err(|_| OutsideWindow)?;
        let end = offset.checked_add(len).ok_or(OutsideWindow)?;
        if end > self.range.len_bytes() {
            return Err(OutsideWindow);
        }
        let address = self.range.start().get().checked_add(offset).ok_or(OutsideWindow)?;
        usize::try_from(address).map_err(|_| OutsideWindow)
    }
}

#[cfg(target_os = "none")]
impl Window {
    /// Copies bytes out of the window.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), OutsideWindow> {
        let base = self.locate(offset, out.len())?;
        for (at, byte) in out.iter_mut().enumerate() {
            let source = (base + at) as *const u8;
            // SAFETY: `locate` put every byte inside the range that the tables map readable until
            // they get this window back. It is normal-world memory that no Rust object occupies;
            // a concurrent writer only makes the value arbitrary, and every u8 is valid.
            *byte = unsafe { source.read_volatile() };
        }
        Ok(())
    }

    /// Copies bytes into the window.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), OutsideWindow> {
        if self.permission != Permission::ReadWrite {
            return Err(OutsideWindow);
        }
        let base = self.locate(offset, bytes.len())?;
        for (at, byte) in bytes.iter().enumerate() {
            let target = (base + at) as *mut u8;
            // SAFETY: as in `read`; the permission says that the range is mapped writable.
            unsafe { target.write_volatile(*byte) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_ffa::PageAddr;

    fn window() -> Window {
        let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 2).unwrap();
        Window::of_mapped(range, Permission::ReadOnly)
    }

    #[test]
    fn nothing_outside_the_window_has_an_address() {
        assert_eq!(window().locate(0, 8192), Ok(0x8000_0000));
        assert_eq!(window().locate(8191, 1), Ok(0x8000_1fff));
        assert_eq!(window().locate(8191, 2), Err(OutsideWindow));
        assert_eq!(window().locate(8193, 0), Err(OutsideWindow));
        assert_eq!(window().locate(u64::MAX, 1), Err(OutsideWindow));
    }
}
