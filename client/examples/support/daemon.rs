//! Owns a vhost-user process's inside: rust-vmm's `vhost-user-backend` with a disk that is a file.
//! Never knows of areas, grants or FF-A.

#[path = "file_disk.rs"]
#[expect(dead_code, reason = "the daemon's rings are made by vhost-user-backend")]
mod file_disk;

use causeway_virtio::device::DeviceModel;
use file_disk::{FileDisk, serve};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackendMut, VhostUserDaemon, VringMutex, VringT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;

struct Device {
    disk: FileDisk,
    memory: Memory,
    served: Arc<Mutex<u64>>,
}

impl VhostUserBackendMut for Device {
    type Bitmap = ();
    type Vring = VringMutex;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        256
    }

    fn features(&self) -> u64 {
        self.disk.features().get() | VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn set_event_idx(&mut self, _enabled: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let mut space = [0; 256];
        self.disk.read_config(0, &mut space[..8]);
        let from = usize::try_from(offset).unwrap_or(256).min(256);
        let until = from.saturating_add(usize::try_from(size).unwrap_or(256)).min(256);
        space[from..until].to_vec()
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::CLOEXEC | EventFlag::NONBLOCK).ok()
    }

    fn handle_event(
        &mut self,
        _event: u16,
        _set: EventSet,
        vrings: &[VringMutex],
        _thread: usize,
    ) -> io::Result<()> {
        let Some(ring) = vrings.first() else { return Ok(()) };
        let memory = self.memory.memory();
        let mut state = ring.get_mut();
        let served = serve(&*memory, state.get_queue_mut(), &mut self.disk);
        let served = served.map_err(|error| io::Error::other(error.to_string()))?;
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) += served;
        if served > 0 { state.signal_used_queue() } else { Ok(()) }
    }
}

/// The process: here a thread.
pub(crate) struct Daemon {
    thread: JoinHandle<Result<(), String>>,
    served: Arc<Mutex<u64>>,
}

impl Daemon {
    /// Listens at `socket` for one connection, and serves `file` over it.
    pub(crate) fn start(socket: &Path, file: &Path) -> Result<Self, Box<dyn Error>> {
        let memory = Memory::new(GuestMemoryMmap::new());
        let served = Arc::new(Mutex::new(0));
        let disk = FileDisk::open(file)?;
        let device = Device { disk, memory: memory.clone(), served: served.clone() };
        let device = Arc::new(Mutex::new(device));
        let mut daemon = VhostUserDaemon::new("disk".to_owned(), device, memory)
            .map_err(|error| error.to_string())?;
        let socket = socket.to_owned();
        let thread =
            std::thread::spawn(move || daemon.serve(&socket).map_err(|error| error.to_string()));
        Ok(Self { thread, served })
    }

    /// Waits for the end of the connection. Returns how many requests were served.
    pub(crate) fn end(self) -> Result<u64, Box<dyn Error>> {
        self.thread.join().map_err(|_| "the daemon panicked")??;
        Ok(*self.served.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
