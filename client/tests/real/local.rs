//! The partition's own devices, driven by virtio-drivers' unmodified entropy, console and block drivers.
#![expect(unsafe_code, reason = "virtio-drivers takes slices of memory that the device writes")]

use super::world::{DRIVER, SOON, Turns, World};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::guest::{
    AreaHal, Bounce, DmaPool, Health, Kick, Limit, Link as PoolLink, MsgTransport, SharedArea,
};
use causeway_fake_spmc::platform::{Setup, standard_policy};
use causeway_fake_spmc::{Personality, Platform};
use causeway_memshare::policy::{Link, Services};
use causeway_virtio::AreaId;
use causeway_virtio::types::{DeviceId, Features};
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::device::rng::VirtIORng;

static POOL: DmaPool = DmaPool::new();

struct Partition;

impl PoolLink for Partition {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}

type Memory = AreaHal<Partition>;

/// The devices that VM 1 sees, by the numbers of the policy below.
const ENTROPY: u16 = 1;
const CONSOLE: u16 = 2;
pub(crate) const DISK: u16 = 3;

pub(crate) fn boot() -> &'static World {
    let mut setup = Setup::new(Personality::EL3);
    let mut policy = standard_policy(setup.vm_count, setup.vm_pages);
    let services = Services { entropy_bytes_per_second: 4096, ..Services::NONE };
    policy.set_services(DRIVER, services).expect("services");
    let kinds = [DeviceId::ENTROPY, DeviceId::CONSOLE, DeviceId::BLOCK];
    for (kind, driver_device) in kinds.into_iter().zip([ENTROPY, CONSOLE, DISK]) {
        let backend_device = u16::try_from(kind.get()).unwrap();
        let link = Link { driver: DRIVER, backend: None, backend_device, driver_device };
        policy.add_link(link).expect("room for the link");
    }
    setup.policy = Some(policy);
    World::new(Platform::boot(&setup), setup.vm_pages)
}

fn transport<'s>(
    bus: &'s Bus<'static>,
    dev_num: u16,
    queue: u16,
    wait: &'s Turns<'_>,
    health: &'s Health,
) -> MsgTransport<'s, 'static> {
    let limit = Limit { pool: &POOL, wait, bound: SOON, queue };
    let transport = MsgTransport::open(bus, dev_num, Kick::Message, health).unwrap();
    transport.without(Features::EVENT_IDX).with_limit(limit)
}

#[test]
fn entropy_console_and_disk_of_the_partition_serve_unmodified_drivers() {
    let world = boot();
    let wait: &'static Turns<'_> = Box::leak(Box::new(Turns::new(&world.platform, || ())));
    let connection = world.connect(DRIVER);
    let bus = Bus::open(connection, world.pages(DRIVER, 2), wait, SOON).map_err(|f| f.error);
    let bus = bus.unwrap();
    assert_eq!(bus.devices().unwrap().as_slice(), [ENTROPY, CONSOLE, DISK]);
    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    let terms = GrantTerms { peer: None, kind, permission };
    let id = AreaId::new(9).unwrap();
    let mut area = SharedArea::new(&POOL, id, terms, world.pages(DRIVER, 32));
    area.share(&bus, wait, SOON).unwrap();
    let health = Health::new();

    let mut rng = VirtIORng::<Memory, _>::new(transport(&bus, ENTROPY, 0, wait, &health)).unwrap();
    let mut buffer = POOL.take(1).unwrap();
    // SAFETY: the device writes the page only in the request below.
    let bytes = unsafe { buffer.slice_mut() };
    assert_eq!(rng.request_entropy(&mut bytes[..300]).unwrap(), 300);
    let mut random = [0; 300];
    buffer.read(0, &mut random).unwrap();
    assert!(random.iter().collect::<std::collections::BTreeSet<_>>().len() > 100);
    assert_eq!(POOL.stats().bounced, 0);
    drop((rng, buffer));

    // virtio-drivers keeps a console's buffers, and a blocking disk request's, on heap and stack.
    POOL.set_bounce(Bounce::Pages(8));
    let console = transport(&bus, CONSOLE, 1, wait, &health);
    let mut console = VirtIOConsole::<Memory, _>::new(console).unwrap();
    console.send_bytes(b"hello from a VM\x1b[2J\n[sp] forged\n").unwrap();
    let log = world.platform.log().join("\n");
    assert!(log.contains("hello from a VM.[2J"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("[sp] forged")), "{log}");
    drop(console);
    assert_eq!(POOL.forget_moved(), 1);

    let mut disk = VirtIOBlk::<Memory, _>::new(transport(&bus, DISK, 0, wait, &health)).unwrap();
    let (written, mut read) = ([0xa5; SECTOR_SIZE], [0; SECTOR_SIZE]);
    disk.write_blocks(3, &written).unwrap();
    disk.read_blocks(3, &mut read).unwrap();
    assert_eq!(read, written);
    disk.read_blocks(4, &mut read).unwrap();
    assert_eq!(read, [0; SECTOR_SIZE]);
    let beyond = usize::try_from(disk.capacity()).unwrap();
    assert!(disk.read_blocks(beyond, &mut read).is_err());
    drop(disk);
    health.check().unwrap();

    assert!(area.take_back(&bus, wait, SOON).unwrap().is_some());
    bus.close().map_err(|failed| failed.error).unwrap();
    let none: [String; 0] = [];
    assert_eq!(world.platform.leftovers(), none, "the partition maps nothing any more");
}
