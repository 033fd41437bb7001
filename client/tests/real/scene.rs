//! Owns what tests of a backend's device begin and end with: the backend VM with its device, a driver VM
//! with its bus, and everything taken back. Never drives the device.

use super::world::{BACKEND, DRIVER, Life, SOON, Turns, Vm, World, kill};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::doorbell::Doorbells;
use causeway_client::guest::{DmaPool, SharedArea};
use causeway_fake_spmc::platform::Setup;
use causeway_fake_spmc::{Personality, Platform};
use causeway_virtio::AreaId;
use causeway_virtio::device::DeviceModel;
use core::cell::RefCell;

const TERMS: GrantTerms =
    GrantTerms { peer: Some(BACKEND), kind: GrantKind::Share, permission: Permission::ReadWrite };

/// A backend with its device, and a driver VM with its bus; the VM and its turns live for ever.
pub(crate) struct Scene<D: 'static> {
    pub(crate) world: &'static World,
    pub(crate) vm: &'static Vm<D>,
    pub(crate) wait: &'static Turns<'static>,
    pub(crate) doorbells: Doorbells<'static>,
    pub(crate) bus: Bus<'static>,
}

impl<D: DeviceModel> Scene<D> {
    /// Boots both. `program` is what the backend VM does besides serving its device, at each turn.
    pub(crate) fn new(device: D, program: impl FnMut(&mut Life<D>) + 'static) -> Self {
        let setup = Setup::new(Personality::EL3);
        let world = World::new(Platform::boot(&setup), setup.vm_pages);
        let vm: &'static Vm<_> = Box::leak(Box::new(Vm::new(Some(Life::begin(world, device)))));
        let program = RefCell::new(program);
        let wait: &'static Turns<'_> =
            Box::leak(Box::new(Turns::new(&world.platform, move || {
                if let Some(alive) = vm.borrow_mut().as_mut() {
                    alive.turn();
                    (program.borrow_mut())(alive);
                }
            })));
        let connection = world.connect(DRIVER);
        let doorbells = Doorbells::new(connection);
        doorbells.bind(BACKEND).unwrap();
        let bus = Bus::open(connection, world.pages(DRIVER, 2), wait, SOON).map_err(|f| f.error);
        Self { world, vm, wait, doorbells, bus: bus.unwrap() }
    }

    /// An area of the driver for this link, not yet shared.
    pub(crate) fn area(&self, pool: &'static DmaPool, id: u16, pages: u32) -> SharedArea<'static> {
        SharedArea::new(pool, AreaId::new(id).unwrap(), TERMS, self.world.pages(DRIVER, pages))
    }

    /// Takes everything back, kills the backend, and looks for what is left behind.
    pub(crate) fn end<const N: usize>(self, mut areas: [SharedArea<'static>; N]) {
        for area in &mut areas {
            assert!(area.take_back(&self.bus, self.wait, SOON).unwrap().is_some());
        }
        assert_eq!(self.bus.connection().stranded(), 0);
        self.bus.close().map_err(|failed| failed.error).unwrap();
        kill(self.world, self.vm);
        let none: [String; 0] = [];
        assert_eq!(self.world.platform.leftovers(), none);
    }
}
