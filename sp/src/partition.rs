//! Owns the one partition of this image, its lock, and what the machine is to it. Never decides
//! anything, and never carries out an effect by itself.

#[cfg(feature = "minimal")]
use crate::absent::{disk, safe};
use crate::arch::lock::{Crashed, OrderedLock};
use crate::arch::mailbox::Mailbox;
use crate::arch::{lines, regs, smc};
use crate::console::{self, Console};
#[cfg(not(feature = "hafnium"))]
use crate::core_id::CoreId;
use crate::crash;
use crate::hardware::{self, Rndrrs};
use crate::stage1::Stage1;
use crate::window::Window;
#[cfg(not(feature = "minimal"))]
use crate::{disk, safe};
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, PageRange, Regs};
use causeway_memshare::{Doorbell, MapFailed};
use causeway_service::Partition;
use causeway_service::entropy::Handle;
use causeway_service::lines::Said;
#[cfg(feature = "hafnium")]
use causeway_service::platform::Shown;
use causeway_service::platform::{
    Bell, Clock, Conduit, Log, Mailbox as MailboxAccess, MappedBits, Mapper, Outgoing, Parts,
    Secured,
};
use core::fmt;

/// The machine at S-EL1: SMC, our own tables, the two pages that EL3 knows.
pub(crate) struct Machine {
    started: Option<Started>,
}

/// What is there once the machine has been set up.
pub(crate) struct Started {
    /// Our stage-1 tables.
    pub(crate) tables: Stage1,
    /// RX and TX.
    pub(crate) mailbox: Mailbox,
}

impl Machine {
    /// Takes what was set up.
    pub(crate) fn start(&mut self, started: Started) {
        self.started = Some(started);
    }
}

// Built where it stays: it is too large for a stack, and not all zeros, so that it would lie in the image.
static STATE: OrderedLock<Partition<Machine>> = OrderedLock::closed();

/// Builds the state, which refuses everybody until it is started; nobody gets it before. On a stack with
/// room for all of it, as the compiler builds first and moves then.
pub(crate) extern "C" fn build() {
    STATE.open(|| Partition::new(Machine { started: None }));
    console::build();
    let _built = safe::safe();
}

/// What the state costs, in bytes: all of it, and one more queue, area and device.
pub(crate) fn ram() -> (usize, [(&'static str, usize); 3]) {
    (size_of::<Partition<Machine>>(), causeway_service::ram_of_one::<Machine>())
}

/// Runs `work` alone with the state. Inlined, as nearly every call comes by here.
#[inline(always)]
pub(crate) fn with<R>(work: impl FnOnce(&mut Partition<Machine>) -> R) -> Result<R, Crashed> {
    STATE.with(crash::happened, work)
}

/// The SMC instruction, which every core has.
pub(crate) struct Smc;

impl Conduit for Smc {
    fn call(&mut self, out: &Outgoing) -> Regs {
        smc::call(out)
    }
}

impl Conduit for Machine {
    fn call(&mut self, out: &Outgoing) -> Regs {
        smc::call(out)
    }

    #[cfg(feature = "hafnium")]
    fn shows(&self) -> Shown {
        Shown::OwnEntry
    }
}

impl MailboxAccess for Machine {
    fn write_tx(&mut self, bytes: &[u8]) -> bool {
        self.started.as_mut().is_some_and(|started| started.mailbox.write_tx(bytes))
    }

    #[inline(always)]
    fn read_rx(&mut self, into: &mut [u8]) -> bool {
        self.started.as_mut().is_some_and(|started| started.mailbox.read_rx(into))
    }
}

impl Mapper for Machine {
    type Window = Window;

    fn map(&mut self, range: PageRange, permission: Permission) -> Result<Window, MapFailed> {
        let tables = &mut self.started.as_mut().ok_or(MapFailed)?.tables;
        tables.map_shared(range, permission).map_err(|_refusal| MapFailed)
    }

    fn unmap(&mut self, window: Window) -> Result<(), MapFailed> {
        let tables = &mut self.started.as_mut().ok_or(MapFailed)?.tables;
        tables.unmap_shared(window).map_err(|_refusal| MapFailed)
    }

    fn mapped_bits(&self, range: PageRange) -> Option<MappedBits> {
        self.started.as_ref()?.tables.mapped_bits(range)
    }
}

impl Clock for Machine {
    fn now(&self) -> u64 {
        regs::now()
    }

    fn ticks_per_second(&self) -> u64 {
        regs::counter_frequency()
    }
}

impl Bell for Machine {
    #[cfg(not(feature = "hafnium"))]
    fn ring(&mut self, doorbell: Doorbell) {
        if let Some(core) = CoreId::new(usize::from(doorbell.core)) {
            regs::raise_ns_sgi(core, doorbell.sgi);
        }
    }

    /// Hafnium keeps the normal world's interrupts from a partition: everybody polls.
    #[cfg(feature = "hafnium")]
    fn ring(&mut self, _doorbell: Doorbell) {}
}

impl Log for Machine {
    fn line(&self, line: fmt::Arguments<'_>) {
        console::line(line);
    }

    fn tell(&self, owner: Option<EndpointId>, said: Said) {
        console::tell(owner, said);
    }
}

impl Secured for Machine {
    type Flash = safe::Platform;
    type Safe = safe::Handle;

    fn safe(&self) -> Option<Self::Safe> {
        safe::safe()
    }

    fn reset(&mut self) {
        lines::reset_machine();
    }
}

impl Parts for Machine {
    type Entropy = Handle<Rndrrs>;
    type Disk = disk::Disk;
    type Console = Console;

    fn entropy(&self) -> Option<Handle<Rndrrs>> {
        hardware::entropy()
    }

    fn disk(&mut self, _driver: EndpointId) -> Option<disk::Disk> {
        disk::take()
    }

    fn console(&self) -> Console {
        Console
    }
}
