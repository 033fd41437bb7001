//! `entropy_device`: VM 1 asks its entropy device for far more than its rate, VM 3 for less than its own,
//! both with the unmodified driver, which kicks once for each request and then only looks at its ring.

use super::{BOUND, area, transport};
use crate::calls::{self, Met};
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::{Boot, signal, time};
use crate::{check, say};
use causeway_abi::{Call, Status, VaultCall};
use causeway_client::Connection;
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::guest::{AreaHal, DmaBuffer, DmaPool, Health, Kick, Limit, Link};
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::Transport;

/// The numbers that the manifest gives to the partition's entropy device, and the rates.
const DEVICE_OF_VM1: u16 = 1;
const DEVICE_OF_VM3: u16 = 0;
const RATE_OF_VM1: u64 = 32_768;
/// Bytes of a request of VM 1: eleven are more than a second's.
const FLOOD_BYTES: usize = 3000;
/// Requests that are answered short, or wait, before VM 1 has enough.
const SECONDS: usize = 2;
/// Requests that VM 1 makes at most.
const REQUESTS: usize = 200;
/// VM 3's requests: half of its rate.
const CALM_BYTES: usize = 256;
const CALM_REQUESTS: usize = 8;
/// How long all of VM 3's may take: a device without a rate left would need longer for one.
const CALM_MICROS: u64 = 900_000;

static POOL: DmaPool = DmaPool::new();

struct Entropy;

impl Link for Entropy {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}

type Rng<T> = VirtIORng<AreaHal<Entropy>, T>;

/// Runs `work` with the driver of a device of this VM.
fn with_driver<R>(
    dev_num: u16,
    work: impl FnOnce(&mut dyn FnMut(usize) -> Option<usize>) -> R,
) -> R {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    let mut area = area(&bus, &POOL, 1, None).expect("a local area");
    let health = Health::new();
    let limit = Limit { pool: &POOL, wait: &Clock, bound: BOUND, queue: 0 };
    let transport = transport(&bus, dev_num, Kick::Message, &health, limit).expect("transport");
    let mut rng = Rng::new(transport).expect("entropy driver");
    let mut buffer = POOL.take(1).expect("a page");
    let done = work(&mut |bytes| request(&mut rng, &mut buffer, bytes));
    drop(rng);
    drop(buffer);
    let back = area.take_back(&bus, &Clock, BOUND).is_ok_and(|pages| pages.is_some());
    let closed = bus.close().is_ok() && connection.stranded() == 0;
    assert!(back && closed && health.check().is_ok(), "everything is given back");
    done
}

/// One request: how many bytes came, of which some are not zero.
fn request<T: Transport>(rng: &mut Rng<T>, buffer: &mut DmaBuffer, bytes: usize) -> Option<usize> {
    // SAFETY: the device writes the page only in the request below, and what it wrote is read
    // through the buffer.
    let room = unsafe { buffer.slice_mut() };
    let came = rng.request_entropy(room.get_mut(..bytes)?).ok()?;
    let mut first = [0; 32];
    buffer.read(0, &mut first).ok()?;
    (came > 0 && (came < first.len() || first != [0; 32])).then_some(came)
}

/// VM 1: the flood.
pub(in crate::programs) fn flood(_boot: &Boot) {
    let spent = || {
        let met = calls::partition(&Call::Vault(VaultCall::Entropy { count: 24 }));
        met == Err(Met::Status(Status::QuotaRate))
    };
    let mut bytes = 0;
    let (mut requests, mut short, mut lost, mut spent_for_the_call) = (0, 0, 0, 0);
    let mut longest = 0;
    let begin = time::now_micros();
    with_driver(DEVICE_OF_VM1, |ask| {
        while short < SECONDS && requests < REQUESTS {
            let asked = time::now_micros();
            let came = ask(FLOOD_BYTES);
            longest = longest.max(time::now_micros().saturating_sub(asked));
            requests += 1;
            lost += usize::from(came.is_none());
            let came = came.unwrap_or(0);
            bytes += u64::try_from(came).unwrap_or(0);
            if came < FLOOD_BYTES {
                // The device has just given the last that there was: nothing is left for the call.
                short += 1;
                spent_for_the_call += usize::from(spent());
                if short == 1 {
                    signal::send(3, 1);
                }
            }
        }
    });
    let elapsed = time::now_micros().saturating_sub(begin);
    let all = lost == 0 && short == SECONDS;
    check!(
        "entropy_device/requests_beyond_the_rate_come_later_and_without_another_kick",
        all && longest > 10_000,
        "{requests} requests, {lost} lost, {short} short, longest {longest} us"
    );
    let most = RATE_OF_VM1 * (elapsed / 1_000_000 + 1);
    check!(
        "entropy_device/the_rate_holds",
        bytes <= most && bytes > RATE_OF_VM1,
        "{bytes} bytes in {elapsed} us"
    );
    check!(
        "entropy_device/device_and_call_share_it",
        spent_for_the_call == SECONDS,
        "{spent_for_the_call} of {short}"
    );
    say!(
        "RESULT job=entropy_device bytes={bytes} requests={requests} elapsed_us={elapsed} \
         longest_us={longest}"
    );
    signal::send_within(3, 1, 60_000);
}

/// VM 3, while VM 1 floods.
pub(in crate::programs) fn calm(_boot: &Boot) {
    assert_eq!(signal::receive_within(1, 60_000), 1, "VM 1 has nothing left");
    let (whole, elapsed) = with_driver(DEVICE_OF_VM3, |ask| {
        let begin = time::now_micros();
        let whole = (0..CALM_REQUESTS).filter(|_| ask(CALM_BYTES) == Some(CALM_BYTES)).count();
        (whole, time::now_micros().saturating_sub(begin))
    });
    check!(
        "entropy_device/another_vm_has_its_own",
        whole == CALM_REQUESTS && elapsed < CALM_MICROS,
        "{whole} of {CALM_REQUESTS} in {elapsed} us"
    );
    assert_eq!(signal::receive_within(1, 60_000), 1, "VM 1 is through");
}
