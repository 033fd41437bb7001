//! Owns stand-ins for a machine in this crate's own tests. Never part of a build that is used.

use crate::platform::{OutsideWindow, Window};
use causeway_abi::Permission;
use causeway_ffa::{PageAddr, PageRange};
use std::cell::RefCell;
use std::rc::Rc;

/// Pages from page number `page` on.
pub(crate) fn page_range(page: u64, count: u32) -> PageRange {
    PageRange::new(PageAddr::new(page << 12).unwrap(), count).unwrap()
}

/// A window onto bytes of the test; clones see the same bytes.
#[derive(Clone, Debug)]
pub(crate) struct TestWindow {
    range: PageRange,
    permission: Permission,
    memory: Rc<RefCell<Vec<u8>>>,
}

impl TestWindow {
    pub(crate) fn new(range: PageRange, permission: Permission) -> Self {
        let len = usize::try_from(range.len_bytes()).unwrap();
        Self { range, permission, memory: Rc::new(RefCell::new(vec![0; len])) }
    }

    /// Looks at some of the bytes.
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> Vec<u8> {
        self.memory.borrow()[offset..offset + len].to_vec()
    }

    fn place(&self, offset: u64, len: usize) -> Result<std::ops::Range<usize>, OutsideWindow> {
        let start = usize::try_from(offset).map_err(|_| OutsideWindow)?;
        let end = start.checked_add(len).ok_or(OutsideWindow)?;
        if end <= self.memory.borrow().len() { Ok(start..end) } else { Err(OutsideWindow) }
    }
}

impl Window for TestWindow {
    fn range(&self) -> PageRange {
        self.range
    }

    fn is_writable(&self) -> bool {
        self.permission == Permission::ReadWrite
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), OutsideWindow> {
        let place = self.place(offset, into.len())?;
        into.copy_from_slice(&self.memory.borrow()[place]);
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), OutsideWindow> {
        if self.permission == Permission::ReadOnly {
            return Err(OutsideWindow);
        }
        let place = self.place(offset, from.len())?;
        self.memory.borrow_mut()[place].copy_from_slice(from);
        Ok(())
    }

    fn load_acquire_u16(&self, offset: u64) -> Result<u16, OutsideWindow> {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes)?;
        if offset.is_multiple_of(2) { Ok(u16::from_le_bytes(bytes)) } else { Err(OutsideWindow) }
    }

    fn store_release_u16(&self, offset: u64, value: u16) -> Result<(), OutsideWindow> {
        if !offset.is_multiple_of(2) {
            return Err(OutsideWindow);
        }
        self.write(offset, &value.to_le_bytes())
    }
}
