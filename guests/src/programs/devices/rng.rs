//! VM 1 of `demo_rng`: reads entropy from the partition's device, where the pages lie.

use super::{BOUND, area, transport};
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::{Boot, time};
use crate::{check, say};
use alloc::vec;
use alloc::vec::Vec;
use causeway_client::Connection;
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::guest::{AreaHal, DmaPool, Health, Kick, Limit, Link};
use virtio_drivers::device::rng::VirtIORng;

/// The number that the manifest gives to the partition's entropy device.
const DEV_NUM: u16 = 1;
/// Bytes of a request.
const BYTES: usize = 4096;
const REQUESTS: usize = 4;

static POOL: DmaPool = DmaPool::new();

struct Entropy;

impl Link for Entropy {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}

/// VM 1.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    let devices = bus.devices();
    let there = devices.as_ref().is_ok_and(|list| list.contains(&DEV_NUM));
    check!("rng/device_found", there, "{devices:?}");
    let mut area = area(&bus, &POOL, 1, None).expect("a local area");
    let health = Health::new();
    let limit = Limit { pool: &POOL, wait: &Clock, bound: BOUND, queue: 0 };
    let transport = transport(&bus, DEV_NUM, Kick::Message, &health, limit).expect("transport");
    let mut rng = VirtIORng::<AreaHal<Entropy>, _>::new(transport).expect("entropy driver");

    let begin = time::now_micros();
    let read = read(&mut rng);
    let elapsed = time::now_micros().saturating_sub(begin);
    let whole = read.iter().all(|bytes| bytes.len() == BYTES);
    let met = health.check();
    let stats = POOL.stats();
    let in_place = whole && met.is_ok() && (stats.bounced, stats.refused) == (0, 0);
    check!("rng/every_byte_came_in_place", in_place, "{whole} {met:?} {stats:?}");
    let differ = (1..read.len()).all(|index| !read[..index].contains(&read[index]));
    check!("rng/no_two_requests_are_alike", differ);
    let all: Vec<u8> = read.concat();
    let (kinds, ones) = measure(&all);
    // A fair source misses these once in far more runs than anybody makes.
    let bits = u32::try_from(8 * all.len()).unwrap_or(0);
    let fair = kinds > 250 && ones.abs_diff(bits / 2) < bits / 50;
    check!("rng/bytes_look_fair", fair, "{kinds} kinds, {ones} ones of {bits} bits");
    drop(rng);
    let back = area.take_back(&bus, &Clock, BOUND).is_ok_and(|pages| pages.is_some());
    let closed = bus.close().is_ok() && connection.stranded() == 0;
    check!("rng/reclaimed", back && closed, "{back} {closed}");
    let bounced = stats.bounced_bytes;
    say!(
        "RESULT job=rng bytes={} requests={REQUESTS} kinds={kinds} ones={ones} \
         bounced_bytes={bounced} elapsed_us={elapsed}",
        all.len()
    );
}

/// Makes the requests, each into pages of the area, and copies out what came.
fn read<T: virtio_drivers::transport::Transport>(
    rng: &mut VirtIORng<AreaHal<Entropy>, T>,
) -> Vec<Vec<u8>> {
    let mut buffer = POOL.take(BYTES.div_ceil(4096)).expect("pages");
    let mut all = Vec::new();
    for _ in 0..REQUESTS {
        // SAFETY: the device writes the page only in the request below, and what it wrote is read
        // through the buffer.
        let bytes = unsafe { buffer.slice_mut() };
        let len = rng.request_entropy(&mut bytes[..BYTES]).unwrap_or(0);
        let mut copy = vec![0; len.min(BYTES)];
        let read = buffer.read(0, &mut copy);
        all.push(if read.is_ok() { copy } else { Vec::new() });
    }
    all
}

/// How many different bytes there are, and how many bits are set.
fn measure(bytes: &[u8]) -> (usize, u32) {
    let mut seen = [false; 256];
    let mut ones = 0;
    for byte in bytes {
        seen[usize::from(*byte)] = true;
        ones += byte.count_ones();
    }
    (seen.iter().filter(|seen| **seen).count(), ones)
}
