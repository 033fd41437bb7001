//! The only room for unsafe code: registers, page tables, physical memory, world switches.
//! Never decides anything about a VM, a share or a call.

pub(crate) mod boot;
pub(crate) mod clock;
pub(crate) mod gic;
pub(crate) mod mmu;
pub(crate) mod phys;
pub(crate) mod pool;
pub(crate) mod smc;
pub(crate) mod spmc_buffers;
pub(crate) mod sysreg;
pub(crate) mod timer;
pub(crate) mod uart;
pub(crate) mod vcpu;
