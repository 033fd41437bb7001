//! Owns the partition's machine: its calls go to the fake SPMC, its windows into the fake memory,
//! where the page model watches. Never decides.

use super::RandomSource;
use super::parts::{Disk, Numbers};
use crate::flash::FlashOf;
use crate::layout::{self, PARTITION};
use crate::machine::{Machine, TICKS_PER_MS};
use crate::personality::{Controlling, Response};
use crate::spmc::Spmc;
use causeway_abi::Permission;
use causeway_ffa::{EndpointId, FfaError, PageRange, Regs};
use causeway_memshare::{Doorbell, MapFailed, Policy};
use causeway_service::lines::Said;
use causeway_service::platform::{
    self, Clock, Conduit, Log, Mailbox, MappedBits, Mapper, MemoryKind, Outgoing, OutsideWindow,
    Parts, Secured, Shown,
};
use causeway_service::safe::Safe;
use causeway_service::{Partition, spmc as calls};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The interrupt at the hypervisor.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell(Arc<AtomicBool>);

impl Bell {
    /// Reports whether it rang since the last look.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// What the partition printed: the last thousand lines.
#[derive(Clone, Debug, Default)]
pub struct Logged(Arc<Mutex<Vec<String>>>);

impl Logged {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == 1000 {
            lines.remove(0);
        }
        lines.push(line);
    }
}

/// What the partition runs on.
#[derive(Debug)]
pub struct Secure {
    spmc: Arc<Mutex<Spmc>>,
    pub(super) machine: Arc<Machine>,
    pub(super) controlling: Controlling,
    shown: Shown,
    bell: Bell,
    logged: Logged,
    safe: Arc<Safe<FlashOf>>,
    random: RandomSource,
}

impl Secure {
    pub(super) fn new(
        spmc: Arc<Mutex<Spmc>>,
        machine: Arc<Machine>,
        bell: Bell,
        logged: Logged,
    ) -> Self {
        let safe = Arc::new(Safe::new(FlashOf(machine.clone())));
        let (controlling, response) = {
            let spmc = spmc.lock().unwrap_or_else(PoisonError::into_inner);
            (spmc.quirks().controlling, spmc.quirks().response)
        };
        let shown = match response {
            Response::OwnEntry => Shown::OwnEntry,
            Response::AsSent | Response::OpTee => Shown::All,
        };
        let random = RandomSource::Seeded;
        Self { spmc, machine, controlling, shown, bell, logged, safe, random }
    }

    pub(super) fn with_random(self, random: RandomSource) -> Self {
        Self { random, ..self }
    }

    fn buffers() -> (u64, u64) {
        let tx = layout::partition_ram().start().get();
        (tx, tx + 4096)
    }
}

/// Starts the partition as the image does. The state is megabytes large and is made on a stack before
/// it is boxed, so that is done on a stack of its own.
pub(super) fn start(secure: Secure, policy: Policy) -> Result<Box<Partition<Secure>>, FfaError> {
    let make = move || {
        let mut partition = Box::new(Partition::new(secure));
        calls::negotiate(partition.platform_mut())?;
        let ids = calls::learn_ids(partition.platform_mut())?;
        let (tx, rx) = Secure::buffers();
        calls::map_mailbox(partition.platform_mut(), tx, rx)?;
        partition.start(ids.own, &policy);
        Ok(partition)
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(make);
    thread.map_err(|_| FfaError::NoMemory)?.join().map_err(|_| FfaError::Aborted)?
}

impl Conduit for Secure {
    fn call(&mut self, out: &Outgoing) -> Regs {
        let mut spmc = self.spmc.lock().unwrap_or_else(PoisonError::into_inner);
        spmc.partition_call(PARTITION, &Regs::from_smc8(*out))
    }

    fn shows(&self) -> Shown {
        self.shown
    }
}

impl Mailbox for Secure {
    fn write_tx(&mut self, bytes: &[u8]) -> bool {
        bytes.len() <= 4096 && self.machine.ram().write(Self::buffers().0, bytes).is_some()
    }

    fn read_rx(&mut self, into: &mut [u8]) -> bool {
        into.len() <= 4096 && self.machine.ram().read(Self::buffers().1, into).is_some()
    }
}

/// A mapped range. Every access is held against the page model.
#[derive(Debug)]
pub struct Window {
    machine: Arc<Machine>,
    range: PageRange,
    permission: Permission,
}

impl Window {
    fn at(&self, offset: u64, len: usize) -> Result<u64, OutsideWindow> {
        let len = u64::try_from(len).map_err(|_| OutsideWindow)?;
        let end = offset.checked_add(len).filter(|end| *end <= self.range.len_bytes());
        end.map(|_| self.range.start().get() + offset).ok_or(OutsideWindow)
    }
}

impl platform::Window for Window {
    fn range(&self) -> PageRange {
        self.range
    }

    fn is_writable(&self) -> bool {
        self.permission == Permission::ReadWrite
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), OutsideWindow> {
        let address = self.at(offset, into.len())?;
        let done = self.machine.read(PARTITION, address, into);
        done.then_some(()).ok_or(OutsideWindow)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), OutsideWindow> {
        let address = self.at(offset, from.len())?;
        let allowed = self.permission == Permission::ReadWrite;
        let done = allowed && self.machine.write(PARTITION, address, from);
        done.then_some(()).ok_or(OutsideWindow)
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

/// No fence: whatever the partition asks for is mapped, so that the page model sees a wrong wish.
impl Mapper for Secure {
    type Window = Window;

    fn map(&mut self, range: PageRange, permission: Permission) -> Result<Window, MapFailed> {
        self.machine.pages(|pages| pages.map(PARTITION, range, permission));
        Ok(Window { machine: self.machine.clone(), range, permission })
    }

    fn unmap(&mut self, window: Window) -> Result<(), MapFailed> {
        self.machine.pages(|pages| pages.unmap(PARTITION, window.range));
        Ok(())
    }

    fn mapped_bits(&self, range: PageRange) -> Option<MappedBits> {
        let maps = |as_what| self.machine.pages(|pages| pages.maps(PARTITION, range, as_what));
        maps(Permission::ReadOnly).then(|| MappedBits {
            non_secure: true,
            never_execute: true,
            read_only: !maps(Permission::ReadWrite),
            kind: MemoryKind::WriteBack,
        })
    }
}

impl Clock for Secure {
    fn now(&self) -> u64 {
        self.machine.now()
    }

    fn ticks_per_second(&self) -> u64 {
        TICKS_PER_MS * 1000
    }
}

impl platform::Bell for Secure {
    fn ring(&mut self, _doorbell: Doorbell) {
        self.bell.0.store(true, Ordering::Release);
    }
}

impl Log for Secure {
    fn line(&self, line: fmt::Arguments<'_>) {
        self.logged.line(line);
    }

    fn tell(&self, owner: Option<EndpointId>, said: Said) {
        self.logged.tell(owner, said);
    }
}

impl Log for Logged {
    fn line(&self, line: fmt::Arguments<'_>) {
        self.push(line.to_string());
    }

    fn tell(&self, _owner: Option<EndpointId>, said: Said) {
        self.push(said.to_string());
    }
}

impl Secured for Secure {
    type Flash = FlashOf;
    type Safe = Arc<Safe<FlashOf>>;

    fn safe(&self) -> Option<Self::Safe> {
        Some(self.safe.clone())
    }

    fn reset(&mut self) {
        self.logged.push("reset".to_owned());
    }
}

impl Parts for Secure {
    type Entropy = Numbers;
    type Disk = Disk;
    type Console = Logged;

    fn entropy(&self) -> Option<Numbers> {
        match self.random {
            RandomSource::Seeded => Some(Numbers::default()),
            RandomSource::None => None,
        }
    }

    fn disk(&mut self, _driver: EndpointId) -> Option<Self::Disk> {
        Some(Disk::default())
    }

    fn console(&self) -> Logged {
        self.logged.clone()
    }
}
