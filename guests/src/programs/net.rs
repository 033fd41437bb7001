//! VM 1 downloads the disk image from VM 2 over TCP: smoltcp at both ends, virtio-drivers' unmodified
//! network driver in VM 1, our network card in VM 2, their rings and buffers in a brokered area. Never
//! touches FF-A itself: the client library does.

pub(super) mod backend;
mod file_server;
pub(super) mod frontend;
mod station;

use causeway_client::Bound;
use causeway_client::guest::{DmaPool, Link};
use causeway_ffa::EndpointId;

/// VM 1, the driver.
const DRIVER: EndpointId = EndpointId::from_raw(1);
/// VM 2, which serves the card and is at the other end of its cable.
const BACKEND: EndpointId = EndpointId::from_raw(2);
/// The number by which VM 1 knows VM 2's first device, and VM 2 itself: the manifest's link-0 says
/// the numbers, not the kind of device.
const DEVICE_NUMBER: u16 = 0;
/// How long either side waits for an answer.
const BOUND: Bound = Bound::millis(20_000);

/// What VM 1 says to have the file, and then the end of the stream is the end of the file.
const REQUEST: &[u8] = b"GET\n";
/// Bytes of a socket's buffer where the file passes; elsewhere a page does.
const WINDOW: usize = 256 << 10;
const SMALL: usize = 4096;

/// The memory of VM 1's link with VM 2.
static POOL: DmaPool = DmaPool::new();

/// Names [`POOL`] to virtio-drivers' `Hal`.
struct CardLink;

impl Link for CardLink {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}
