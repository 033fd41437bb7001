//! Owns how a call leaves this program: one trait, one instruction each; never knows what a call means.
//!
//! On bare-metal AArch64, a virtual machine under a hypervisor takes `Hvc`; a kernel without one
//! takes `Smc`; a partition at S-EL0 takes `Svc`. On QEMU the guests call by `Hvc`, and one by `Smc`, which
//! its hypervisor traps; `Svc` is compiled and run by nothing yet, since there is no caller at S-EL0. Tests and tools on a laptop take [`InProcess`], and a host
//! kernel's own path (a character device, say) is a type that implements [`Conduit`].
//!
//! What such a type sees to: one call at a time (an SPMC that can be pre-empted answers BUSY to a second
//! one, and the caller must not migrate meanwhile), and an FFA_ERROR where the path itself fails. Calls that
//! come back interrupted are resumed by this library, one FFA_RUN after the other; where several threads
//! call, the kernel resumes them itself, so that no other call comes between. A kernel that has negotiated
//! FF-A 1.2 for itself wants [`Connection::open_as`](crate::Connection::open_as).
//!
//! ```
//! use causeway_client::conduit::Conduit;
//! use causeway_ffa::{Answer, FfaError, Regs};
//! use std::fs::File;
//! use std::io::{Read, Write};
//! use std::sync::{Mutex, PoisonError};
//!
//! /// A character device that takes eighteen registers and gives eighteen back.
//! struct Device(Mutex<File>);
//!
//! impl Device {
//!     fn exchange(&self, regs: &Regs) -> std::io::Result<Regs> {
//!         let mut device = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         device.write_all(&regs.0.map(u64::to_le_bytes).concat())?;
//!         let mut bytes = [0; 144];
//!         device.read_exact(&mut bytes)?;
//!         let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
//!         let mut answer = Regs::ZERO;
//!         answer.0.iter_mut().zip(words).for_each(|(to, word)| *to = word);
//!         Ok(answer)
//!     }
//! }
//!
//! impl Conduit for Device {
//!     fn call(&self, regs: &mut Regs) {
//!         let failed = Answer::Error(FfaError::Aborted).encode();
//!         *regs = self.exchange(regs).unwrap_or(failed);
//!     }
//! }
//! ```

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
