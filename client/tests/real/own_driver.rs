//! The partition's disk, driven by our own block driver in a VM's own area.

use super::local::{DISK, boot};
use super::world::{DRIVER, SOON, Turns};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::Error;
use causeway_client::bus::Bus;
use causeway_client::error::{Party, Rule};
use causeway_client::grant::Grant;
use causeway_client::memory::OwnAreas;
use causeway_virtio::driver::block::{Block, Geometry};
use causeway_virtio::mem::AreaMap;
use causeway_virtio::msg::Request;
use causeway_virtio::queue::{QueueConfig, QueueSize, Segment};
use causeway_virtio::types::Features;
use causeway_virtio::{AreaId, BusAddr};

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(9).unwrap(), offset).unwrap()
}

#[test]
fn our_driver_leads_a_device_through_its_life() {
    let world = boot();
    let wait: &'static Turns<'_> = Box::leak(Box::new(Turns::new(&world.platform, || ())));
    let connection = world.connect(DRIVER);
    let bus = Bus::open(connection, world.pages(DRIVER, 2), wait, SOON).map_err(|f| f.error);
    let bus = bus.unwrap();
    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    let terms = GrantTerms { peer: None, kind, permission };
    let grant = Grant::offer(connection, world.pages(DRIVER, 3), terms).unwrap();
    bus.share_area(AreaId::new(9).unwrap(), &grant).unwrap();
    let areas = OwnAreas::new([(AreaId::new(9).unwrap(), grant.window().unwrap())]);

    // What the device does not offer is not agreed on; what goes with the bus is.
    let wanted = Features::EVENT_IDX | Features::INDIRECT_DESC | Features::CONSOLE_SIZE;
    let features = bus.begin_device(DISK, wanted).unwrap();
    assert!(features.contains(wanted & Features::from_raw(!1) | Features::VERSION_1));
    assert!(!features.contains(Features::CONSOLE_SIZE));
    let geometry = Geometry::from_config(&bus.device_config(DISK).unwrap(), features);
    let size = QueueSize::new(8).unwrap();
    let [desc, driver, device] = [0, 0x400, 0x800].map(at);
    let config = QueueConfig { size, desc, driver, device, features };
    let mut disk = Block::<8>::new(&areas, config, at(0x1000), geometry).unwrap();
    // A ring that leaves the area is refused, and the queue is as it was.
    let outside = QueueConfig { device: at(0x2ffc), ..config };
    let refused = bus.set_queue(DISK, 0, &outside);
    assert!(matches!(refused, Err(Error::BusError { .. })), "{refused:?}");
    bus.set_queue(DISK, 0, &config).unwrap();
    bus.start_device(DISK).unwrap();

    let buffer = Segment { addr: at(0x2000), len: 512 };
    areas.write(buffer.addr, &[0xa5; 512]).unwrap();
    let carried_out = |disk: &mut Block<8>| {
        if disk.must_kick(&areas).unwrap() {
            bus.event(DISK, Request::EventAvail { index: 0, next_offset: 0 }).unwrap();
        }
        let done = SOON.until(wait, || Ok::<_, Error>(disk.poll(&areas).unwrap())).unwrap();
        done.expect("an answer in time").outcome.is_ok()
    };
    disk.write(&areas, 3, &[buffer]).unwrap();
    assert!(carried_out(&mut disk));
    areas.write(buffer.addr, &[0; 512]).unwrap();
    disk.read(&areas, 3, &[buffer]).unwrap();
    assert!(carried_out(&mut disk));
    let mut bytes = [0; 512];
    areas.read(buffer.addr, &mut bytes).unwrap();
    assert_eq!(bytes, [0xa5; 512]);

    // A status that the device does not take up (DRIVER_OK after its reset) is an error.
    bus.end_device(DISK).unwrap();
    let early = bus.start_device(DISK);
    assert_eq!(early, Err(Error::Broken { by: Party::Peer, rule: Rule::VersionOne }));
    bus.end_device(DISK).unwrap();
    bus.unshare_area(AreaId::new(9).unwrap()).unwrap();
    grant.close(wait, SOON).map_err(|failed| failed.error).unwrap();
    bus.close().map_err(|failed| failed.error).unwrap();
    let none: [String; 0] = [];
    assert_eq!(world.platform.leftovers(), none);
}
