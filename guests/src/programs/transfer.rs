//! The first user story: a whole disk image moves from VM 2 to VM 1 through a brokered ring.
//! Never touches FF-A itself: the client library does.

pub(super) mod backend;
mod digest;
mod disk;
mod figures;
pub(super) mod frontend;
pub(super) mod killer;
mod link;
mod own_disk;
mod payload;
mod sectors;
mod successor;

use causeway_client::Bound;
use causeway_client::guest::{AreaHal, DmaPool, Link};
use causeway_ffa::EndpointId;

/// VM 1, the driver.
const DRIVER: EndpointId = EndpointId::from_raw(1);
/// VM 2, the device.
const DEVICE: EndpointId = EndpointId::from_raw(2);
/// How long either side waits for an answer.
const BOUND: Bound = Bound::millis(10_000);

/// The memory of VM 1's link with VM 2.
static POOL: DmaPool = DmaPool::new();

/// Names [`POOL`] to virtio-drivers' `Hal`.
struct DiskLink;

impl Link for DiskLink {
    fn pool() -> &'static DmaPool {
        &POOL
    }
}

/// What the block driver takes for its memory.
type DiskHal = AreaHal<DiskLink>;
