//! Owns how a borrower reaches memory that its hypervisor has given it; never retrieves anything.
#![expect(unsafe_code, reason = "shared memory is reached through raw pointers only")]

use super::Window;
use causeway_abi::Permission;
use causeway_ffa::PageRange;
use core::fmt;
use core::ptr::{self, NonNull};

/// Makes retrieved memory accessible to this program.
///
/// It may be asked by any thread: a VMM's devices map areas when they first touch them.
pub trait Mapper: fmt::Debug + Send + Sync {
    /// Maps ranges of the caller's (intermediate physical) address space next to each other, with
    /// no more than `permission`. `None` if this mapper can't.
    fn map(&self, ranges: &[PageRange], permission: Permission) -> Option<Window>;

    /// Takes a mapping away. It is called before the memory is relinquished.
    fn unmap(&self, window: Window);
}

/// For a program whose address space shows the hypervisor's window unchanged: bare-metal guests.
#[derive(Debug)]
pub struct IdentityMapper {
    limits: PageRange,
}

impl IdentityMapper {
    /// Answers for addresses inside `limits`.
    ///
    /// # Safety
    /// Whatever the hypervisor maps at addresses inside `limits` must be reachable by this program
    /// at the same virtual addresses, as normal memory, and nothing else of this program may lie
    /// there (no Rust object, stack or code).
    #[must_use]
    pub const unsafe fn new(limits: PageRange) -> Self {
        Self { limits }
    }
}

impl Mapper for IdentityMapper {
    fn map(&self, ranges: &[PageRange], _permission: Permission) -> Option<Window> {
        let [range] = ranges else { return None };
        if !self.limits.contains(*range) {
            return None;
        }
        let address = usize::try_from(range.start().get()).ok()?;
        let len_bytes = usize::try_from(range.len_bytes()).ok()?;
        let base = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(address))?;
        // SAFETY:
        // 1. The hypervisor has just said that it mapped this range, and `new`'s caller that the
        //    same virtual addresses reach it. A hypervisor that lies can only cause an abort.
        // 2. Nothing else of this program lies inside `limits` (`new`).
        // 3. A `PageRange` neither wraps nor passes 2^48.
        Some(unsafe { Window::new(base, len_bytes) })
    }

    fn unmap(&self, _window: Window) {
        // The stage-1 tables stay; the hypervisor takes the stage-2 mapping away.
    }
}
