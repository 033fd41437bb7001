//! Owns a disk that is a file, served by rust-vmm's queue over any guest memory. Never knows where
//! the memory comes from.

use causeway_virtio::device::{DeviceModel, Identity};
use causeway_virtio::queue::{DeviceQueue, QueueError, QueueSize};
use causeway_virtio::{AreaMap, DeviceId, Features};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestMemory};

/// Bytes of a sector, and of a request's header (virtio 1.3, 5.2.6).
const SECTOR: u64 = 512;
const HEADER: usize = 16;
/// Types of requests that we serve: read, write, flush.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
/// VIRTIO_BLK_F_FLUSH.
const F_FLUSH: u64 = 1 << 9;
/// Longest piece that one descriptor may have here.
const MAX_PIECE: u32 = 1 << 20;

/// The file.
pub(crate) struct FileDisk {
    file: File,
    sectors: u64,
}

impl FileDisk {
    /// Opens a file of whole sectors for reading and writing.
    pub(crate) fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let sectors = file.metadata()?.len() / SECTOR;
        Ok(Self { file, sectors })
    }

    fn seek(&mut self, sector: u64, len: u64) -> Option<()> {
        let end = sector.checked_add(len.div_ceil(SECTOR))?;
        let at = sector.checked_mul(SECTOR).filter(|_| end <= self.sectors)?;
        self.file.seek(SeekFrom::Start(at)).ok().map(|_| ())
    }
}

/// What the device is, for control messages. Requests do not come this way.
impl DeviceModel for FileDisk {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::BLOCK, vendor: 0, uuid: [0; 16] }
    }

    fn features(&self) -> Features {
        Features::from_raw(F_FLUSH)
    }

    fn config_len(&self) -> u32 {
        8
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let capacity = self.sectors.to_le_bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (byte, value) in into.iter_mut().zip(capacity.iter().skip(from)) {
            *byte = *value;
        }
    }

    fn queue_count(&self) -> u16 {
        1
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        QueueSize::new(128).expect("a power of two")
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        _memory: &M,
        _index: u16,
        _queue: &mut DeviceQueue,
        _budget: u32,
    ) -> Result<u32, QueueError> {
        Ok(0)
    }
}

/// Where a driver has put its ring: descriptors, available, used; guest addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) size: u16,
    pub(crate) parts: [u64; 3],
}

impl Ring {
    /// Makes rust-vmm's queue of it.
    pub(crate) fn queue(self) -> Result<Queue, Box<dyn Error>> {
        let mut queue = Queue::new(self.size)?;
        let half = |at: u64| u32::try_from(at & 0xffff_ffff).ok();
        let [desc, avail, used] = self.parts;
        queue.set_desc_table_address(half(desc), half(desc >> 32));
        queue.set_avail_ring_address(half(avail), half(avail >> 32));
        queue.set_used_ring_address(half(used), half(used >> 32));
        queue.set_size(self.size);
        queue.set_ready(true);
        Ok(queue)
    }
}

/// Serves what is in the queue; returns how many requests that were.
pub(crate) fn serve<M: GuestMemory>(
    memory: &M,
    queue: &mut Queue,
    disk: &mut FileDisk,
) -> Result<u64, Box<dyn Error>> {
    let mut served = 0;
    if !queue.is_valid(memory) {
        return Err("the ring does not lie in the link's areas".into());
    }
    while let Some(chain) = queue.pop_descriptor_chain(memory) {
        let head = chain.head_index();
        let pieces: Vec<Descriptor> = chain.collect();
        let written = request(memory, &pieces, disk).unwrap_or(0);
        queue.add_used(memory, head, written)?;
        served += 1;
    }
    Ok(served)
}

/// Carries one request out. `None` if it is none; nothing is told to the driver then.
fn request<M: GuestMemory>(memory: &M, pieces: &[Descriptor], disk: &mut FileDisk) -> Option<u32> {
    let [header, data @ .., status] = pieces else { return None };
    let mut bytes = [0; HEADER];
    if header.len() != 16 || status.len() != 1 || !status.is_write_only() {
        return None;
    }
    memory.read_slice(&mut bytes, header.addr()).ok()?;
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let sector = u64::from_le_bytes(*rest.last_chunk()?);
    let done = carry_out(memory, u32::from_le_bytes(*kind), sector, data, disk);
    memory.write_slice(&[u8::from(done.is_none())], status.addr()).ok()?;
    Some(done.unwrap_or(0) + 1)
}

/// Returns the bytes written to memory; `None`: VIRTIO_BLK_S_IOERR.
fn carry_out<M: GuestMemory>(
    memory: &M,
    kind: u32,
    sector: u64,
    data: &[Descriptor],
    disk: &mut FileDisk,
) -> Option<u32> {
    let total: u64 = data.iter().map(|piece| u64::from(piece.len())).sum();
    if kind == FLUSH {
        return disk.file.sync_all().ok().map(|()| 0);
    }
    disk.seek(sector, total)?;
    for piece in data {
        if piece.len() > MAX_PIECE {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(piece.len()).ok()?];
        match (kind, piece.is_write_only()) {
            (IN, true) => {
                disk.file.read_exact(&mut bytes).ok()?;
                memory.write_slice(&bytes, piece.addr()).ok()?;
            }
            (OUT, false) => {
                memory.read_slice(&mut bytes, piece.addr()).ok()?;
                disk.file.write_all(&bytes).ok()?;
            }
            _ => return None,
        }
    }
    if kind == IN { u32::try_from(total).ok() } else { Some(0) }
}
