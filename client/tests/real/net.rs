//! virtio-drivers' unmodified network driver under smoltcp's TCP/IP in VM 1; our network card and another
//! smoltcp at the far end of its cable in VM 2. A file goes over TCP, on a good cable and on bad ones.

use super::scene::Scene;
use super::world::{BACKEND, Life, SOON};
use causeway_client::doorbell::Gathered;
use causeway_client::guest::{DmaPool, Health, Kick, Link, MsgTransport, NetPort};
use causeway_client::stack::{FarEnd, Meter, Phy, Port};
use causeway_client::{Error, Party, Rule, Wait};
use causeway_virtio::AreaMap;
use causeway_virtio::device::net::{Cable, Faults, Frame, Lane, LaneCounts, Net, RECEIVE};
use causeway_virtio::device::{DeviceModel, Identity};
use causeway_virtio::queue::{Chain, DeviceQueue, QueueError, QueueSize};
use causeway_virtio::types::{DeviceId, Features};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

const CARD: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PORT: u16 = 80;
/// Frames that a lane of the cable holds.
const LANE: usize = 32;
/// Buffers of the driver in each direction.
const SIZE: usize = 16;
const FILE_BYTES: usize = 300_000;
/// Turns of a millisecond that a download may take.
const TURNS: u32 = 200_000;

fn address(number: u8) -> IpAddress {
    IpAddress::v4(192, 0, 2, number)
}

/// One end: an interface and its only socket.
struct Station {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    meter: Meter,
    micros: i64,
}

impl Station {
    fn new(port: &mut impl Port, mac: [u8; 6], number: u8) -> Self {
        let mut meter = Meter::default();
        let mut config = Config::new(EthernetAddress(mac).into());
        config.random_seed = u64::from(number);
        let mut interface = Interface::new(config, &mut Phy::new(port, &mut meter), Instant::ZERO);
        interface.update_ip_addrs(|all| all.push(IpCidr::new(address(number), 24)).unwrap());
        let buffer = || SocketBuffer::new(vec![0; 65_536]);
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(Socket::new(buffer(), buffer()));
        Self { interface, sockets, handle, meter, micros: 0 }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn connect(&mut self) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.connect(self.interface.context(), (address(2), PORT), 50_000).unwrap();
    }

    fn turn(&mut self, port: &mut impl Port) {
        self.micros += 1000;
        let now = Instant::from_micros(self.micros);
        self.interface.poll(now, &mut Phy::new(port, &mut self.meter), &mut self.sockets);
    }
}

fn file() -> Vec<u8> {
    (0..FILE_BYTES).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

type Card = Net<Cable<'static>>;

fn lane(faults: Faults) -> Lane<'static> {
    Lane::new(vec![Frame::BLANK; LANE].leak(), faults)
}

/// What VM 2 does at each turn besides serving its card: it sends the file to whoever connects.
fn file_server() -> impl FnMut(&mut Life<Card>) {
    let (mut station, mut sent, bytes) = (None, 0, file());
    move |life| {
        let cable = &mut FarEnd::of(life.device().wire_mut());
        let station = station.get_or_insert_with(|| {
            let mut station = Station::new(cable, FAR, 2);
            station.socket().listen(PORT).unwrap();
            station
        });
        station.turn(cable);
        let socket = station.socket();
        if socket.may_send() && sent < bytes.len() {
            sent += socket.send_slice(&bytes[sent..]).unwrap();
        } else if socket.may_send() {
            socket.close();
        }
        station.turn(cable);
    }
}

/// What came of a download.
struct Outcome {
    bytes: Vec<u8>,
    to_driver: LaneCounts,
    to_far: LaneCounts,
    driver: Meter,
    doorbells: u64,
}

fn download<L: Link>(pool: &'static DmaPool, down: Faults, up: Faults) -> Outcome {
    let card = Net::new(Cable::new(lane(down), lane(up)), CARD);
    let scene = Scene::new(card, file_server());
    scene.bus.wait_for_device(0, scene.wait, SOON).unwrap();
    let mut area = scene.area(pool, 1, 24);
    area.share(&scene.bus, scene.wait, SOON).unwrap();
    let health = Health::new();
    let kicks = Gathered::new(&scene.doorbells, BACKEND);
    let transport = MsgTransport::open(&scene.bus, 0, Kick::Gathered(&kicks), &health).unwrap();
    let mut port: NetPort<'_, '_, L, SIZE> =
        NetPort::open(transport.without(Features::EVENT_IDX), &health).unwrap();
    assert_eq!(port.mac(), CARD);

    let mut station = Station::new(&mut port, CARD, 1);
    station.connect();
    let mut bytes = vec![];
    for _ in 0..TURNS {
        station.turn(&mut port);
        let socket = station.socket();
        while socket.can_recv() {
            let taken = |part: &mut [u8]| (part.len(), bytes.extend_from_slice(part));
            socket.recv(taken).unwrap();
        }
        if socket.recv(|_| (0, ())) == Err(tcp::RecvError::Finished) {
            break;
        }
        kicks.ring_due().unwrap();
        port.take_events();
        health.check().unwrap();
        scene.wait.rest();
    }
    drop(port);
    let stats = pool.stats();
    assert_eq!((stats.bounced, stats.refused, stats.mismatched), (0, 0, 0));
    let headers = 12 * station.meter.sent;
    let through = station.meter.sent_bytes + station.meter.received_bytes;
    assert_eq!(stats.copied_bytes, headers + through, "each frame is copied once");
    let (to_driver, to_far) = {
        let mut vm = scene.vm.borrow_mut();
        let cable = vm.as_mut().unwrap().device().wire();
        (cable.to_driver().counts(), cable.to_far().counts())
    };
    let doorbells = scene.doorbells.ring_count();
    scene.end([area]);
    Outcome { bytes, to_driver, to_far, driver: station.meter, doorbells }
}

macro_rules! link {
    ($name:ident, $pool:ident) => {
        static $pool: DmaPool = DmaPool::new();
        struct $name;
        impl Link for $name {
            fn pool() -> &'static DmaPool {
                &$pool
            }
        }
    };
}

#[test]
fn a_file_comes_over_tcp_through_the_unmodified_network_driver() {
    link!(Good, GOOD);
    let got = download::<Good>(&GOOD, Faults::NONE, Faults::NONE);
    assert!(got.bytes == file(), "{} bytes", got.bytes.len());
    assert_eq!(got.to_driver.frames, got.driver.received);
    assert_eq!(got.to_far.frames, got.driver.sent);
    assert!(got.doorbells < got.driver.received / 4, "{} doorbells", got.doorbells);
}

#[test]
fn the_file_arrives_whole_although_frames_are_lost_doubled_and_out_of_order() {
    link!(Bad, BAD);
    let down = Faults { seed: 11, drop: 25, twice: 30, ahead: 12 };
    let up = Faults { seed: 12, drop: 20, twice: 30, ahead: 12 };
    let got = download::<Bad>(&BAD, down, up);
    assert!(got.bytes == file(), "{} bytes", got.bytes.len());
    for lane in [got.to_driver, got.to_far] {
        assert!(lane.dropped > 0 && lane.doubled > 0, "{lane:?}");
    }
    assert!(got.to_driver.overtook > 0);
}

/// A card that says it has written so many bytes, and writes none.
struct Liar {
    says: u32,
    chain: Chain<8>,
}

impl DeviceModel for Liar {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::NET, vendor: 0, uuid: [0; 16] }
    }

    fn features(&self) -> Features {
        Features::NET_MAC
    }

    fn config_len(&self) -> u32 {
        8
    }

    fn queue_count(&self) -> u16 {
        2
    }

    fn max_queue_size(&self, _: u16) -> QueueSize {
        QueueSize::new(16).unwrap()
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        index: u16,
        queue: &mut DeviceQueue,
        _: u32,
    ) -> Result<u32, QueueError> {
        if index != RECEIVE {
            return Ok(0);
        }
        let Some(head) = queue.take(mem, &mut self.chain)? else { return Ok(0) };
        queue.complete(mem, head, self.says)?;
        Ok(1)
    }
}

#[test]
fn a_device_that_gives_back_no_whole_frame_is_a_typed_error_and_nothing_is_read() {
    link!(Lies, LIES);
    for says in [0, 11, 12, 25, 1527, 4096, u32::MAX] {
        let scene = Scene::new(Liar { says, chain: Chain::new() }, |_| ());
        scene.bus.wait_for_device(0, scene.wait, SOON).unwrap();
        let mut area = scene.area(&LIES, 1, 24);
        area.share(&scene.bus, scene.wait, SOON).unwrap();
        let health = Health::new();
        let kick = Kick::Doorbell(&scene.doorbells, BACKEND);
        let transport = MsgTransport::open(&scene.bus, 0, kick, &health).unwrap();
        let transport = transport.without(Features::EVENT_IDX);
        let mut port: NetPort<'_, '_, Lies, SIZE> = NetPort::open(transport, &health).unwrap();
        scene.wait.rest();
        assert!(port.has_frame());
        let copied = LIES.stats().copied_bytes;
        let mut frame = Frame::BLANK;
        let told = port.receive(&mut frame);
        assert_eq!(told, Err(Error::Broken { by: Party::Peer, rule: Rule::Frame }), "{says}");
        assert_eq!(LIES.stats().copied_bytes, copied);
        drop(port);
        scene.end([area]);
    }
}
