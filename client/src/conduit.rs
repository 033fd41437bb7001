//! Owns how a call leaves this program: one trait, one instruction each; never knows what a call means.
//!
//! On bare-metal AArch64, a virtual machine under a hypervisor takes `Hvc`; a kernel without one
//! takes `Smc`; a partition at S-EL0 takes `Svc`. Tests and tools on a laptop take [`InProcess`], and a host
//! kernel's own path (a character device, say) is a type that implements [`Conduit`].

use causeway_ffa::Regs;
use core::fmt;

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod aarch64;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use aarch64::{Hvc, Smc, Svc};

/// A way to make a call. It returns when the call has returned.
///
/// The registers carry the arguments on entry and the results on return. Implementations neither
/// look at them nor repeat a call.
pub trait Conduit: Send + Sync {
    /// Makes one call.
    fn call(&self, regs: &mut Regs);
}

impl<C: Conduit + ?Sized> Conduit for &C {
    fn call(&self, regs: &mut Regs) {
        (**self).call(regs);
    }
}

/// A conduit that is a function in this process: an emulated hypervisor, a recorder, a test.
///
/// ```
/// use causeway_client::conduit::{Conduit, InProcess};
/// use causeway_ffa::{Answer, FfaError, Regs};
///
/// // A hypervisor that knows nothing.
/// let nothing = InProcess::new(|regs| *regs = Answer::Error(FfaError::NotSupported).encode());
/// let mut regs = Regs::ZERO;
/// nothing.call(&mut regs);
/// assert_eq!(regs.w(0), 0x8400_0060);
/// ```
pub struct InProcess<F>(F);

impl<F: Fn(&mut Regs) + Send + Sync> InProcess<F> {
    /// Wraps a function.
    pub const fn new(function: F) -> Self {
        Self(function)
    }
}

impl<F: Fn(&mut Regs) + Send + Sync> Conduit for InProcess<F> {
    fn call(&self, regs: &mut Regs) {
        (self.0)(regs);
    }
}

impl<F> fmt::Debug for InProcess<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}
