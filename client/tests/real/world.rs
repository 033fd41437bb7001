//! Owns the platform of these tests: memory of its VMs as pages and windows, time, one life of a
//! backend VM. Never models anything that exists for real.
#![expect(unsafe_code, reason = "the VMs' memory is this process's own")]

use causeway_abi::Permission;
use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::Bus;
use causeway_client::conduit::InProcess;
use causeway_client::connection::{Connection, Mailbox};
use causeway_client::doorbell::Doorbells;
use causeway_client::memory::{Mapper, Pages, Window};
use causeway_client::{Bound, Wait};
use causeway_fake_spmc::{Platform, layout};
use causeway_ffa::{EndpointId, PAGE_SIZE, PageAddr, PageRange};
use causeway_virtio::device::{DeviceModel, Host, News, Taken};
use causeway_virtio::msg::{Body, BusRequest, DeviceState, Message, Request};
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU32, Ordering};

pub(crate) const DRIVER: EndpointId = EndpointId::from_raw(1);
pub(crate) const BACKEND: EndpointId = EndpointId::from_raw(2);
pub(crate) const SOON: Bound = Bound::millis(5000);

/// The platform, and which pages of each VM are free. It lives for ever, as machines do.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) platform: Platform,
    vm_pages: u32,
    next_page: [AtomicU32; 4],
}

impl World {
    pub(crate) fn new(platform: Platform, vm_pages: u32) -> &'static Self {
        Box::leak(Box::new(Self { platform, vm_pages, next_page: Default::default() }))
    }

    fn window(&'static self, range: PageRange) -> Window {
        let base = self.platform.machine().ram().pointer(range).expect("memory of a VM");
        let len = usize::try_from(range.len_bytes()).unwrap();
        // SAFETY: the machine's memory is made of atomics and lives as long as the world, which is
        // leaked; all access to it is by copies.
        unsafe { Window::new(base, len) }
    }

    /// Fresh pages of a VM.
    pub(crate) fn pages(&'static self, vm: EndpointId, count: u32) -> Pages<'static> {
        let next = &self.next_page[usize::from(vm.get())];
        let first = next.fetch_add(count, Ordering::Relaxed);
        let ram = layout::vm_ram(vm.get(), self.vm_pages);
        assert!(first + count <= self.vm_pages, "the VM has no more pages");
        let start = PageAddr::new(ram.start().get() + u64::from(first) * PAGE_SIZE).unwrap();
        let range = PageRange::new(start, count).unwrap();
        Pages::contiguous(range, self.window(range)).unwrap()
    }

    /// A VM has just started: all its pages are free.
    pub(crate) fn forget_pages(&self, vm: EndpointId) {
        self.next_page[usize::from(vm.get())].store(0, Ordering::Relaxed);
    }

    pub(crate) fn connect(&'static self, vm: EndpointId) -> &'static Connection<'static> {
        let conduit = Box::leak(Box::new(InProcess::new(self.platform.conduit(vm.get()))));
        let mailbox = Mailbox::new(self.pages(vm, 1), self.pages(vm, 1)).unwrap();
        Box::leak(Box::new(Connection::open(conduit, mailbox).map_err(|f| f.error).unwrap()))
    }
}

impl Mapper for World {
    fn map(&self, ranges: &[PageRange], _: Permission) -> Option<Window> {
        let [range] = ranges else { return None };
        let base = self.platform.machine().ram().pointer(*range)?;
        let len = usize::try_from(range.len_bytes()).ok()?;
        // SAFETY: as in `window`; a `World` is only made by `new`, which leaks it.
        Some(unsafe { Window::new(base, len) })
    }

    fn unmap(&self, _: Window) {}
}

/// Time that passes while somebody waits, and others work meanwhile.
pub(crate) struct Turns<'w> {
    platform: &'w Platform,
    now: Cell<u64>,
    meanwhile: Box<dyn Fn() + 'w>,
}

impl<'w> Turns<'w> {
    pub(crate) fn new(platform: &'w Platform, meanwhile: impl Fn() + 'w) -> Self {
        Self { platform, now: Cell::new(0), meanwhile: Box::new(meanwhile) }
    }
}

impl Turns<'_> {
    /// Microseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }
}

impl Wait for Turns<'_> {
    fn now_micros(&self) -> u64 {
        self.now.get()
    }

    fn rest(&self) {
        self.now.set(self.now.get() + 1000);
        self.platform.pass(1);
        (self.meanwhile)();
    }
}

/// One life of the backend VM, from its boot to its death.
pub(crate) struct Life<D> {
    bus: Bus<'static>,
    doorbells: Doorbells<'static>,
    memory: Backend<'static, 8>,
    devices: Host<D, 1, 2>,
}

impl<D: DeviceModel> Life<D> {
    /// Boots: connects, opens its bus, announces its device 0.
    pub(crate) fn begin(world: &'static World, device: D) -> Self {
        world.forget_pages(BACKEND);
        let connection = world.connect(BACKEND);
        let wait = Box::leak(Box::new(Turns::new(&world.platform, || ())));
        let doorbells = Doorbells::new(connection);
        doorbells.bind(DRIVER).unwrap();
        let pages = world.pages(BACKEND, 2);
        let bus = Bus::open(connection, pages, wait, SOON).map_err(|f| f.error).unwrap();
        bus.announce(0, DeviceState::Added).unwrap();
        let mut devices = Host::new();
        devices.add(DRIVER, 0, device).unwrap();
        Self { bus, doorbells, memory: Backend::new(connection, world), devices }
    }

    /// Withdraws its device, or offers it again.
    pub(crate) fn announce(&self, state: DeviceState) {
        self.bus.announce(0, state).unwrap();
    }

    /// The device crashes: it says so, and does nothing more until it is reset.
    pub(crate) fn crash(&mut self) {
        let event = self.devices.device_mut(DRIVER, 0).unwrap().fail();
        self.bus.event_to(0, DRIVER, Request::EventConfig(event)).unwrap();
    }

    /// Its device, which is served at the next turn.
    pub(crate) fn device(&mut self) -> &mut D {
        self.devices.device_mut(DRIVER, 0).unwrap().model_mut()
    }

    /// What its loop does once.
    pub(crate) fn turn(&mut self) {
        self.memory.admit(|_| Verdict::Accept).unwrap();
        while let Some(incoming) = self.bus.receive().unwrap() {
            if let Some(response) = self.memory.answer(&incoming) {
                self.bus.respond(&incoming, Body::BusResponse(response)).unwrap();
                continue;
            }
            let is_reset = incoming.message.body == Body::BusRequest(BusRequest::Reset);
            let far = if is_reset { DRIVER } else { incoming.far };
            let memory = self.memory.memory(far);
            if let Taken::Answer(Message { body, .. }) =
                self.devices.take(&memory, far, &incoming.message)
            {
                self.bus.respond(&incoming, body).unwrap();
            }
        }
        if self.doorbells.poll().unwrap().by(DRIVER) {
            self.devices.kick(DRIVER);
        }
        let (bus, doorbells) = (&self.bus, &self.doorbells);
        let memory = self.memory.memory(DRIVER);
        let _progress = self.devices.work(&memory, DRIVER, 16, |news| match news {
            News::Used { .. } => doorbells.ring(DRIVER).unwrap(),
            News::Config { .. } => {
                let Message { dev_num, body: Body::Request(event), .. } = news.message() else {
                    panic!("news are events")
                };
                bus.event_to(dev_num, DRIVER, event).unwrap();
            }
        });
    }
}

/// The backend VM: alive, or not.
pub(crate) type Vm<D> = RefCell<Option<Life<D>>>;

/// Kills the backend VM where it stands: its program does nothing any more, not even tidy up.
pub(crate) fn kill<D: 'static>(world: &World, vm: &Vm<D>) {
    if let Some(life) = vm.take() {
        Box::leak(Box::new(life));
    }
    for _ in 0..5000 {
        if world.platform.kill(BACKEND.get()) {
            return;
        }
        world.platform.pass(1);
    }
    panic!("the VM cannot be killed");
}
