//! Owns the touch with the machine: entry, registers, page-table memory, mailbox, UART. All
//! `unsafe` of the partition is here and in `window`; nothing here decides anything.

pub(crate) mod lock;
pub(crate) mod tables;

#[cfg(target_os = "none")]
mod bounded;
#[cfg(target_os = "none")]
mod copy;
#[cfg(target_os = "none")]
pub(crate) mod entry;
#[cfg(all(target_os = "none", not(feature = "minimal")))]
pub(crate) mod flash;
#[cfg(all(target_os = "none", not(feature = "hafnium")))]
pub(crate) mod gic;
#[cfg(target_os = "none")]
pub(crate) mod image;
#[cfg(target_os = "none")]
pub(crate) mod lines;
#[cfg(target_os = "none")]
pub(crate) mod mailbox;
#[cfg(all(target_os = "none", feature = "selftest"))]
pub(crate) mod provoke;
#[cfg(target_os = "none")]
pub(crate) mod regs;
#[cfg(target_os = "none")]
pub(crate) mod smc;
#[cfg(target_os = "none")]
pub(crate) mod uart;
#[cfg(target_os = "none")]
pub(crate) mod vectors;
#[cfg(all(target_os = "none", feature = "hafnium"))]
pub(crate) mod virtual_gic;

/// The interrupt controller, whichever this image has.
#[cfg(all(target_os = "none", feature = "hafnium"))]
pub(crate) use virtual_gic as gic;
