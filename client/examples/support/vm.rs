//! Owns the virtual machines of the examples and tests: each is a set of pages of the fake platform,
//! a conduit into its hypervisor, and a clock. Never a part of the library.
//!
//! On a real target all this comes from the environment: pages from an allocator, `Hvc` or `Smc` as
//! conduit, the hypervisor's window as mapper, a counter and WFI as wait.
#![expect(unsafe_code, reason = "pages of the fake platform are memory of this process")]

use causeway_abi::Permission;
use causeway_client::conduit::InProcess;
use causeway_client::memory::{Mapper, Pages, Window};
use causeway_client::{Mailbox, Wait};
use causeway_fake_spmc::{Machine, Platform, layout, range};
use causeway_ffa::{PageRange, Regs};
use std::cell::Cell;
use std::sync::Arc;

/// Pages of each VM.
pub(crate) const VM_PAGES: u32 = 1024;

/// One VM of a platform that was booted with [`VM_PAGES`] pages a VM.
pub(crate) struct Vm {
    platform: Platform,
    memory: Memory,
    id: u16,
    next_page: Cell<u32>,
    page_count: u32,
}

impl Vm {
    /// VM `id` of a platform. Make one only: it hands out each page once.
    pub(crate) fn new(platform: &Platform, id: u16) -> Self {
        Self::with_pages(platform, id, VM_PAGES)
    }

    /// The same of a platform with another number of pages a VM.
    pub(crate) fn with_pages(platform: &Platform, id: u16, page_count: u32) -> Self {
        let (platform, memory) = (platform.clone(), Memory::of(platform));
        Self { platform, memory, id, next_page: Cell::new(0), page_count }
    }

    /// The way into the hypervisor.
    pub(crate) fn conduit(&self) -> InProcess<impl Fn(&mut Regs) + Send + Sync + use<>> {
        InProcess::new(self.platform.conduit(self.id))
    }

    fn take(&self, count: u32) -> PageRange {
        let first = self.next_page.replace(self.next_page.get() + count);
        assert!(first + count <= self.page_count, "this VM has no more pages");
        range(layout::vm_ram(self.id, 1).start().get() + u64::from(first) * 4096, count)
    }

    /// Fresh pages in one range.
    pub(crate) fn pages(&self, count: u32) -> Pages<'static> {
        let range = self.take(count);
        Pages::contiguous(range, self.memory.window(range)).expect("the window is as long")
    }

    /// Two fresh pages.
    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.pages(1), self.pages(1)).expect("a page each")
    }
}

/// The platform's memory as this process sees it, for ever: windows may outlive the platform.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(&'static Machine);

impl Memory {
    /// The memory of a platform.
    pub(crate) fn of(platform: &Platform) -> Self {
        let kept: &'static Arc<Machine> = Box::leak(Box::new(platform.shared_machine()));
        Self(kept)
    }

    fn window(self, range: PageRange) -> Window {
        let base = self.0.ram().pointer(range).expect("the range is RAM");
        let len_bytes = usize::try_from(range.len_bytes()).expect("it fits");
        // SAFETY: the machine is kept for ever, so the bytes stay. They are atomics, which nobody
        // refers to but the machine, by shared references, for atomic accesses of its own.
        unsafe { Window::new(base, len_bytes) }
    }
}

/// The hypervisor shows borrowed memory at its owner's addresses.
impl Mapper for Memory {
    fn map(&self, ranges: &[PageRange], _permission: Permission) -> Option<Window> {
        let [range] = ranges else { return None };
        self.0.ram().holds(*range).then(|| self.window(*range))
    }

    fn unmap(&self, _window: Window) {
        // Nothing of this process changes: the page model is what knows who maps.
    }
}

/// A wait in which the platform's clock moves, and others get their turn.
pub(crate) struct Rest<'t> {
    platform: &'t Platform,
    turn: &'t dyn Fn(),
}

impl<'t> Rest<'t> {
    /// While somebody waits, `turn` is called once a millisecond.
    pub(crate) fn new(platform: &'t Platform, turn: &'t dyn Fn()) -> Self {
        Self { platform, turn }
    }
}

impl Wait for Rest<'_> {
    fn now_micros(&self) -> u64 {
        // A tick of the fake machine is a microsecond.
        self.platform.machine().now()
    }

    fn rest(&self) {
        self.platform.pass(1);
        (self.turn)();
    }
}
