//! Owns how much of everything a build holds: the one place where the profiles differ. Never anything
//! that a policy decides.
//!
//! The **full** profile holds whatever a policy can name. The **minimal** one (feature `minimal`) is for
//! a partition with two VMs, one device of its own with one queue, and few grants; a policy that
//! promises more is refused at the start, and a device for which there is no room is not offered.
//! The image says what it costs when it starts, `cargo xtask run --demo minimal` shows it; on a host
//! `cargo run -p causeway-fake-spmc --example sizes`, with and without `--features minimal`, does.

use crate::areas::Areas;
use crate::bus::BusGlue;
use crate::devices::{self, Devices};
use crate::partition::Partition;
use crate::platform::Platform;
use crate::transactions::Response;
use causeway_memshare::Ledger;
use causeway_virtio::bus::Bus;

#[cfg(not(feature = "minimal"))]
mod profile {
    use super::Bus;
    use causeway_memshare::FullBroker;

    pub(super) const NAME: &str = "full";
    pub(crate) type Broker = FullBroker;
    pub(super) const GRANTS: usize = 1152;
    /// 8 VMs, 8 links of 4 devices with 4 queues each, 16 areas a link.
    pub(crate) type ServiceBus = Bus<8, 8, 4, 16, 4>;
    pub(super) const LEDGER_ROOM: usize = 128;
    pub(super) const VMS: usize = 8;
    pub(super) const LOCAL_DEVICES: usize = 8;
    pub(super) const LOCAL_QUEUES: usize = 2;
}

#[cfg(feature = "minimal")]
mod profile {
    use super::Bus;

    pub(super) const NAME: &str = "minimal";
    /// 64 grants with 256 ranges.
    pub(crate) type Broker = causeway_memshare::Broker<64, 256, 1>;
    pub(super) const GRANTS: usize = 64;
    /// 2 VMs, 2 links (to each other, or to the partition) of one device with one queue, 4 areas a link.
    pub(crate) type ServiceBus = Bus<2, 2, 1, 4, 1>;
    pub(super) const LEDGER_ROOM: usize = 32;
    pub(super) const VMS: usize = 2;
    pub(super) const LOCAL_DEVICES: usize = 1;
    pub(super) const LOCAL_QUEUES: usize = 1;
}

/// The profile of this build.
pub const PROFILE: &str = profile::NAME;
/// Ledger entries for each VM.
pub const LEDGER_ROOM: usize = profile::LEDGER_ROOM;
/// Words of a set of grants.
pub(crate) const GRANT_WORDS: usize = profile::GRANTS.div_ceil(64);
/// VMs that have a message FIFO.
pub(crate) const VMS: usize = profile::VMS;
/// Devices of the partition's own, over all drivers.
pub(crate) const LOCAL_DEVICES: usize = profile::LOCAL_DEVICES;
/// Queues of one of them.
pub(crate) const LOCAL_QUEUES: usize = profile::LOCAL_QUEUES;
/// The grants, and the bus.
pub(crate) use profile::{Broker, ServiceBus};

/// Areas that one VM can have mapped: its message FIFO, and two for the partition's devices.
pub(crate) const AREAS_OF_A_VM: usize = 3;
/// Areas in which devices of the partition work, over all drivers.
pub(crate) const LOCAL_AREAS: usize = VMS * (AREAS_OF_A_VM - 1);
/// Areas mapped at once: no VM can take another's share.
pub const MAX_AREAS: usize = VMS * AREAS_OF_A_VM;
/// Ranges that one mapped area can have. A FIFO has one or two.
pub const MAX_PIECES: usize = 4;
/// Pages of one mapped area: bounds the work of mapping and invalidating.
pub const MAX_AREA_PAGES: u32 = 4096;

/// What the parts of a partition cost in RAM, in bytes; the last is all of it.
#[must_use]
pub const fn ram<P: Platform>() -> [(&'static str, usize); 7] {
    [
        ("grants", size_of::<Broker>()),
        ("ledger", size_of::<Ledger<LEDGER_ROOM>>()),
        ("bus and message FIFOs", size_of::<BusGlue>()),
        ("mapped areas", size_of::<Areas<P::Window>>()),
        ("devices", size_of::<Devices<P>>()),
        ("retrieve response", size_of::<Response>()),
        ("partition", size_of::<Partition<P>>()),
    ]
}

/// The bus of one driver with one link and one device: areas and queues vary.
type Small<const AREAS: usize, const QUEUES: usize> = Bus<1, 1, 1, AREAS, QUEUES>;

/// What one more of each costs in RAM, in bytes: a queue of a device of the partition's own, an area
/// in which it works (its place in the mapped areas included), a device with one queue.
#[must_use]
pub const fn ram_of_one<P: Platform>() -> [(&'static str, usize); 3] {
    let queue_of_bus = size_of::<Small<1, 2>>() - size_of::<Small<1, 1>>();
    let queue = queue_of_bus + devices::host_bytes::<P, 2>() - devices::host_bytes::<P, 1>();
    let area = size_of::<Small<2, 1>>() - size_of::<Small<1, 1>>();
    let mapped = size_of::<Areas<P::Window>>() / MAX_AREAS;
    let area = area + mapped + devices::area_bytes();
    let device = size_of::<Bus<1, 1, 2, 1, 1>>() - size_of::<Small<1, 1>>();
    [("queue", queue), ("area", area), ("device", device + devices::host_bytes::<P, 1>())]
}
