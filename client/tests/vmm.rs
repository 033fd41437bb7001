//! rust-vmm's own queue on brokered memory, from the real partition code on a fake SPMC: areas as
//! regions, areas mapped when they are touched. Never tests our own device models.
#![cfg(not(windows))]

#[path = "../examples/support/vm.rs"]
mod vm;

use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::backend::{Backend, Verdict};
use causeway_client::borrow::Offer;
use causeway_client::conduit::Conduit;
use causeway_client::error::{Error, Rule};
use causeway_client::grant::Grant;
use causeway_client::memory::{Mapper, Window};
use causeway_client::vmm::{LazyAreas, area_of, start_of};
use causeway_client::{Bound, Connection};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::{EndpointId, PageRange};
use causeway_virtio::msg::{AreaAttrs, AreaShare, BusResult};
use causeway_virtio::{AreaId, BusAddr};
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm::{Memory, Rest, VM_PAGES, Vm};
use vm_memory::{
    Bytes, GuestAddress, GuestMemory, GuestMemoryBackend, GuestMemoryRegion, Permissions,
};

const DRIVER: EndpointId = EndpointId::from_raw(1);
const BACKEND: EndpointId = EndpointId::from_raw(2);
const NOTHING: [String; 0] = [];

fn terms(permission: Permission) -> GrantTerms {
    GrantTerms { peer: Some(BACKEND), kind: GrantKind::Share, permission }
}

fn area(id: u16) -> AreaId {
    AreaId::new(id).unwrap()
}

/// Two VMs with connections.
fn with_two(test: impl for<'c> FnOnce(&Platform, &Vm, &'c Connection<'c>, &'c Connection<'c>)) {
    let setup = Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let (a, b) = (Vm::new(&platform, 1), Vm::new(&platform, 2));
    let (conduit_a, conduit_b) = (a.conduit(), b.conduit());
    fn open<'c>(conduit: &'c dyn Conduit, vm: &Vm) -> Connection<'c> {
        Connection::open(conduit, vm.mailbox()).unwrap()
    }
    let (owner, peer) = (open(&conduit_a, &a), open(&conduit_b, &b));
    test(&platform, &a, &owner, &peer);
    drop((owner, peer));
    assert_eq!(platform.leftovers(), NOTHING);
}

fn offer<'c>(vm: &Vm, owner: &'c Connection<'c>, pages: u32, permission: Permission) -> Grant<'c> {
    Grant::offer(owner, vm.pages(pages), terms(permission)).unwrap()
}

fn share(id: u16, grant: &Grant<'_>) -> AreaShare {
    let attrs = match grant.terms().permission {
        Permission::ReadOnly => AreaAttrs::SHARED_READ_ONLY,
        Permission::ReadWrite => AreaAttrs::SHARED_READ_WRITE,
    };
    let page_count = u32::try_from(grant.page_count()).unwrap();
    AreaShare { area: area(id), handle: grant.handle(), tag: 0, page_count, attrs }
}

/// Lays a split ring of 8 out at the start of a window, and one chain in it: 11 readable bytes at
/// offset 0x800, 512 writable ones at `to`.
fn one_chain(window: &Window, ring: u64, to: u64) {
    let descriptor = |addr: u64, len: u32, flags: u16, next: u16| {
        let parts = (addr.to_le_bytes(), len.to_le_bytes(), flags.to_le_bytes());
        [&parts.0[..], &parts.1, &parts.2, &next.to_le_bytes()].concat()
    };
    window.write(0, &descriptor(ring + 0x800, 11, 1, 1)).unwrap();
    window.write(16, &descriptor(to, 512, 2, 0)).unwrap();
    window.write(0x800, b"hello queue").unwrap();
    // Available ring at 0x100: flags, index 1, entry 0.
    window.write(0x100, &[0, 0, 1, 0, 0, 0]).unwrap();
}

fn queue(ring: u64) -> Queue {
    let mut queue = Queue::new(8).unwrap();
    let halves = |at: u64| (u32::try_from(at & 0xffff_ffff).ok(), u32::try_from(at >> 32).ok());
    let (low, high) = halves(ring);
    queue.set_desc_table_address(low, high);
    let (low, high) = halves(ring + 0x100);
    queue.set_avail_ring_address(low, high);
    let (low, high) = halves(ring + 0x200);
    queue.set_used_ring_address(low, high);
    queue.set_size(8);
    queue.set_ready(true);
    queue
}

/// A device as rust-vmm's are written: generic over guest memory, with rust-vmm's queue. It answers
/// each request with its readable bytes in capitals.
fn shout<M: GuestMemory>(memory: &M, queue: &mut Queue) -> Result<u32, String> {
    if !queue.is_valid(memory) {
        return Err("the queue is not where it may be".to_owned());
    }
    let mut served = 0;
    while let Some(chain) = queue.pop_descriptor_chain(memory) {
        let head = chain.head_index();
        let descriptors: Vec<Descriptor> = chain.clone().collect();
        let mut text = Vec::new();
        let mut written = 0;
        for one in descriptors {
            let len = usize::try_from(one.len()).unwrap();
            if one.is_write_only() {
                text.truncate(len);
                memory.write_slice(&text, one.addr()).map_err(|e| e.to_string())?;
                written += u32::try_from(text.len()).unwrap();
            } else {
                let mut bytes = vec![0; len];
                memory.read_slice(&mut bytes, one.addr()).map_err(|e| e.to_string())?;
                text.extend(bytes.to_ascii_uppercase());
            }
        }
        queue.add_used(memory, head, written).map_err(|e| e.to_string())?;
        served += 1;
    }
    Ok(served)
}

#[test]
fn an_area_is_a_region_at_its_bus_address() {
    assert_eq!(start_of(area(7)).0, 7 << 48);
    assert_eq!(start_of(area(7)).0, BusAddr::new(area(7), 0).unwrap().get());
    assert_eq!(area_of(GuestAddress(7 << 48 | 5)), Some(area(7)));
    assert_eq!(area_of(GuestAddress(5)), None);
}

#[test]
fn a_rust_vmm_queue_runs_unchanged_on_the_areas_of_a_link() {
    with_two(|platform, vm, owner, peer| {
        let mapper = Memory::of(platform);
        let mut backend: Backend<'_, 4> = Backend::new(peer, &mapper);
        let ring = offer(vm, owner, 2, Permission::ReadWrite);
        let data = offer(vm, owner, 1, Permission::ReadWrite);
        let fixed = offer(vm, owner, 1, Permission::ReadOnly);
        assert_eq!(backend.admit(|_| Verdict::Accept).unwrap().accepted, 3);
        assert!(backend.regions(DRIVER).iter().next().is_none(), "no area has an id yet");
        for (id, grant) in [(9, &ring), (3, &data), (4, &fixed)] {
            assert_eq!(backend.bind(DRIVER, &share(id, grant)), BusResult::Ok);
        }
        one_chain(ring.window().unwrap(), 9 << 48, (3 << 48) + 0x400);
        let memory = backend.regions(DRIVER);
        let starts: Vec<u64> = memory.iter().map(|region| region.start_addr().0 >> 48).collect();
        assert_eq!(starts, [3, 9], "areas that may only be read are not shown");
        assert_eq!(shout(&memory, &mut queue(9 << 48)), Ok(1));
        let mut seen = [0; 12];
        data.window().unwrap().read(0x400, &mut seen).unwrap();
        assert_eq!(&seen, b"HELLO QUEUE\0");
        // Each link has a map of its own.
        assert_eq!(backend.regions(EndpointId::from_raw(3)).num_regions(), 0);
        drop(backend);
        drop((ring, data, fixed));
        assert_eq!(owner.sweep(), 0);
    });
}

#[test]
fn an_area_is_mapped_when_a_device_first_touches_it() {
    with_two(|platform, vm, owner, peer| {
        let mapper = Memory::of(platform);
        let ring = offer(vm, owner, 2, Permission::ReadWrite);
        let data = offer(vm, owner, 1, Permission::ReadWrite);
        let spare = offer(vm, owner, 1, Permission::ReadWrite);
        let mut areas = LazyAreas::new(&mapper);
        for (id, grant) in [(1, &ring), (2, &data), (3, &spare)] {
            let accepted = Offer::inspect(peer, grant.handle()).unwrap().accept().unwrap();
            areas.bind(area(id), accepted).unwrap();
        }
        assert_eq!(areas.counts(), (3, 0));
        assert_eq!(ring.state(), Ok(LifeState::Accepted), "nothing is retrieved yet");
        one_chain(ring.window().unwrap(), 1 << 48, 2 << 48);
        let memory = areas.memory();
        assert_eq!(shout(&memory, &mut queue(1 << 48)), Ok(1));
        drop(memory);
        assert_eq!(areas.counts(), (3, 2), "nobody touched the third");
        assert_eq!((ring.state(), spare.state()), (Ok(LifeState::Active), Ok(LifeState::Accepted)));
        let mut seen = [0; 11];
        data.window().unwrap().read(0, &mut seen).unwrap();
        assert_eq!(&seen, b"HELLO QUEUE");
        for id in 1..=3 {
            assert_eq!(areas.unbind(area(id)), Ok(LifeState::Released));
        }
        let unknown = areas.unbind(area(1)).unwrap_err();
        assert!(matches!(unknown, Error::Broken { rule: Rule::AreaIdUnknown, .. }));
        let idle = || ();
        for grant in [ring, data, spare] {
            grant.close(&Rest::new(platform, &idle), Bound::NONE).unwrap();
        }
    });
}

#[test]
fn what_a_driver_lays_out_of_bounds_is_an_error_and_never_a_panic() {
    with_two(|platform, vm, owner, peer| {
        let mapper = Memory::of(platform);
        let fixed = offer(vm, owner, 1, Permission::ReadOnly);
        let mut areas = LazyAreas::new(&mapper);
        let accepted = Offer::inspect(peer, fixed.handle()).unwrap().accept().unwrap();
        areas.bind(area(5), accepted).unwrap();
        let memory = areas.memory();
        let start = GuestAddress(5 << 48);
        assert!(memory.read_slice(&mut [0; 16], start).is_ok());
        assert!(memory.write_slice(&[0; 16], start).is_err(), "it may only be read");
        assert!(memory.check_range(start, 4096, Permissions::Read));
        for (at, len) in [
            (start.0, 4097),
            (start.0 + 4090, 16),
            (start.0 - 8, 16),
            (6 << 48, 1),
            (0, 1),
            (u64::MAX, 1),
            (u64::MAX - 4, 16),
            (start.0, usize::MAX),
        ] {
            let range = memory.check_range(GuestAddress(at), len, Permissions::Read);
            assert!(!range, "{at:#x} {len:#x}");
        }
        drop(memory);
        drop(areas);
        drop(fixed);
        assert_eq!(owner.sweep(), 0);
    });
}

#[derive(Debug)]
struct FakeMapperThatCannot;

impl Mapper for FakeMapperThatCannot {
    fn map(&self, _: &[PageRange], _: Permission) -> Option<Window> {
        None
    }
    fn unmap(&self, _: Window) {}
}

#[test]
fn an_area_that_cannot_be_mapped_is_let_go_and_says_why() {
    with_two(|_, vm, owner, peer| {
        let grant = offer(vm, owner, 1, Permission::ReadWrite);
        let mut areas = LazyAreas::new(&FakeMapperThatCannot);
        let accepted = Offer::inspect(peer, grant.handle()).unwrap().accept().unwrap();
        areas.bind(area(5), accepted).unwrap();
        let twice = areas.memory();
        for _ in 0..2 {
            assert!(twice.read_slice(&mut [0; 1], GuestAddress(5 << 48)).is_err());
        }
        drop(twice);
        let why = areas.failure(area(5)).unwrap();
        assert!(matches!(why, Error::Broken { rule: Rule::Mappable, .. }), "{why}");
        assert_eq!(areas.counts(), (1, 0));
        drop(areas);
        drop(grant);
        assert_eq!(owner.sweep(), 0);
    });
}
