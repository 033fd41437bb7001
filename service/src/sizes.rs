//! Owns how much of everything a build holds: the one place where the profiles differ.

use causeway_memshare::FullBroker;
use causeway_virtio::bus::Bus;

/// The grants.
pub(crate) type Broker = FullBroker;
/// The bus: 8 VMs, 8 links of 4 devices with 4 queues each, 16 areas a link.
pub(crate) type ServiceBus = Bus<8, 8, 4, 16, 4>;
/// Ledger entries for each VM.
pub const LEDGER_ROOM: usize = 128;
/// VMs that a policy can name.
pub(crate) const VMS: usize = 8;
/// Devices of the partition's own, over all drivers.
pub(crate) const LOCAL_DEVICES: usize = 8;
/// Queues of one of them.
pub(crate) const LOCAL_QUEUES: usize = 2;
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
