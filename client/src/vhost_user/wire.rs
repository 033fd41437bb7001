//! Owns the exchanges with the process: in order, each within its time, none after the first that went
//! wrong. Never interprets a ring.

use super::bell::Bell;
use super::error::{DoorError, Step};
use super::{AreaFile, start_of};
use causeway_virtio::AreaId;
use core::fmt;
use core::time::Duration;
use rustix::fs::{FileType, SealFlags, fcntl_get_seals, fstat};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::string::ToString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::vec;
use std::vec::Vec;
use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures,
};
use vhost::vhost_user::{Error as VhostUserError, Frontend, VhostUserFrontend};
use vhost::{Error as VhostError, VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};

/// VHOST_USER_F_PROTOCOL_FEATURES.
pub(super) const PROTOCOL_BIT: u64 = 1 << 30;

/// An area that the process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) area: AreaId,
    pub(super) len_bytes: usize,
}

/// What the process said of itself.
pub(super) struct Met {
    pub(super) offered: u64,
    pub(super) queues: u16,
    pub(super) config: Vec<u8>,
}

/// Cuts the socket when an exchange takes too long: whatever the process does, and whatever the
/// protocol's library waits for, the exchange ends then.
#[derive(Debug)]
struct Watch {
    /// True: an exchange begins; false: it ended.
    to: Sender<bool>,
    cut: Arc<AtomicBool>,
}

impl Watch {
    fn new(stream: UnixStream, patience: Duration) -> Result<Self, DoorError> {
        let (to, from) = channel::<bool>();
        let cut = Arc::new(AtomicBool::new(false));
        let told = cut.clone();
        let name = "causeway-watch".to_string();
        let spawned = thread::Builder::new().name(name).spawn(move || {
            while let Ok(begins) = from.recv() {
                if begins && from.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                    told.store(true, Ordering::Release);
                    // A socket that is gone already needs no cutting.
                    drop(stream.shutdown(Shutdown::Both));
                    return;
                }
            }
        });
        spawned.map_err(|_| DoorError::System(Step::Owner))?;
        Ok(Self { to, cut })
    }

    fn say(&self, begins: bool) {
        // Once the thread has cut the socket it listens no more, and is not needed.
        let (Ok(()) | Err(_)) = self.to.send(begins);
    }
}

/// The connection to the process.
pub(super) struct Wire {
    frontend: Frontend,
    stream: UnixStream,
    watch: Watch,
    is_open: bool,
}

impl Wire {
    pub(super) fn new(
        stream: UnixStream,
        queues: u16,
        patience: Duration,
    ) -> Result<Self, DoorError> {
        let clone = || stream.try_clone().map_err(|_| DoorError::System(Step::Owner));
        let watch = Watch::new(clone()?, patience)?;
        let frontend = Frontend::from_stream(clone()?, u64::from(queues));
        Ok(Self { frontend, stream, watch, is_open: true })
    }

    /// One exchange.
    fn ask<T>(
        &mut self,
        step: Step,
        exchange: impl FnOnce(&mut Frontend) -> vhost::Result<T>,
    ) -> Result<T, DoorError> {
        if !self.is_open {
            return Err(DoorError::Over);
        }
        self.watch.say(true);
        let result = exchange(&mut self.frontend);
        self.watch.say(false);
        let is_cut = self.watch.cut.load(Ordering::Acquire);
        result.map_err(|error| {
            self.hang_up();
            if is_cut { DoorError::TimedOut(step) } else { told(step, &error) }
        })
    }

    /// The first exchanges.
    pub(super) fn meet(&mut self, queues: u16, config_len: u32) -> Result<Met, DoorError> {
        self.ask(Step::Owner, |process| process.set_owner())?;
        let offered = self.ask(Step::Offered, |process| process.get_features())?;
        let mut has = VhostUserProtocolFeatures::empty();
        if offered & PROTOCOL_BIT != 0 {
            has = self.ask(Step::ProtocolOffered, VhostUserFrontend::get_protocol_features)?;
            has &= VhostUserProtocolFeatures::CONFIG
                | VhostUserProtocolFeatures::MQ
                | VhostUserProtocolFeatures::REPLY_ACK;
            self.ask(Step::Protocol, |process| process.set_protocol_features(has))?;
        }
        if has.contains(VhostUserProtocolFeatures::REPLY_ACK) {
            // Refusals are heard at once.
            self.frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        }
        let mut count = queues;
        if has.contains(VhostUserProtocolFeatures::MQ) {
            let has = self.ask(Step::Queues, VhostUserFrontend::get_queue_num)?;
            count = u16::try_from(has).map_or(queues, |has| has.min(queues));
        }
        if count == 0 {
            self.hang_up();
            return Err(DoorError::Lacks("a queue"));
        }
        let config = self.config(config_len, has)?;
        Ok(Met { offered, queues: count, config })
    }

    fn config(
        &mut self,
        config_len: u32,
        has: VhostUserProtocolFeatures,
    ) -> Result<Vec<u8>, DoorError> {
        if config_len == 0 {
            return Ok(Vec::new());
        }
        if !has.contains(VhostUserProtocolFeatures::CONFIG) {
            self.hang_up();
            return Err(DoorError::Lacks("VHOST_USER_PROTOCOL_F_CONFIG"));
        }
        let blank = vec![0; usize::try_from(config_len).unwrap_or(0)];
        let flags = VhostUserConfigFlags::empty();
        let config =
            self.ask(Step::Config, |process| process.get_config(0, config_len, flags, &blank));
        config.map(|(_, bytes)| bytes)
    }

    pub(super) fn features(&mut self, accepted: u64) -> Result<(), DoorError> {
        self.ask(Step::Accepted, |process| process.set_features(accepted))
    }

    pub(super) fn table(&mut self, table: &[VhostUserMemoryRegionInfo]) -> Result<(), DoorError> {
        self.ask(Step::Areas, |process| process.set_mem_table(table)).map(|_| ())
    }

    pub(super) fn start(
        &mut self,
        index: u16,
        ring: &VringConfigData,
        bell: &Bell,
        offered: u64,
    ) -> Result<(), DoorError> {
        let at = usize::from(index);
        self.ask(Step::RingSize, |process| process.set_vring_num(at, ring.queue_size))?;
        self.ask(Step::RingBase, |process| process.set_vring_base(at, 0))?;
        self.ask(Step::RingAddress, |process| process.set_vring_addr(at, ring))?;
        self.ask(Step::RingCall, |process| process.set_vring_call(at, &bell.call))?;
        self.ask(Step::RingKick, |process| process.set_vring_kick(at, &bell.kick))?;
        self.enable(at, true, offered)
    }

    pub(super) fn stop(&mut self, index: u16, offered: u64) -> Result<(), DoorError> {
        let at = usize::from(index);
        self.enable(at, false, offered)?;
        // Where the process got to matters to nobody: a ring begins anew after a stop.
        self.ask(Step::RingStop, |process| process.get_vring_base(at)).map(|_| ())
    }

    /// Without the protocol's features a ring is on from its kick file to its stop.
    fn enable(&mut self, at: usize, is_on: bool, offered: u64) -> Result<(), DoorError> {
        if offered & PROTOCOL_BIT == 0 {
            return Ok(());
        }
        self.ask(Step::RingEnable, |process| process.set_vring_enable(at, is_on))
    }

    /// Looks whether the process has hung up, or says what nobody asked for.
    pub(super) fn is_there(&mut self) -> Result<(), DoorError> {
        if !self.is_open {
            return Err(DoorError::Over);
        }
        let mut byte = [0];
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.read(&mut byte));
        let back = self.stream.set_nonblocking(false);
        let verdict = match (looked, back) {
            (Err(error), Ok(())) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            (Err(error), Ok(())) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            (Ok(0), _) => DoorError::Disconnected(Step::Idle),
            (Ok(_), _) => DoorError::Malformed(Step::Idle),
            (Err(_), _) => DoorError::Disconnected(Step::Idle),
        };
        self.hang_up();
        Err(verdict)
    }

    /// Ends it.
    pub(super) fn hang_up(&mut self) {
        self.is_open = false;
        // A socket that is gone already is as good.
        drop(self.stream.shutdown(Shutdown::Both));
    }

    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({:?}, open: {})", self.stream, self.is_open)
    }
}

/// What a failure of the protocol's library means here.
fn told(step: Step, error: &VhostError) -> DoorError {
    let VhostError::VhostUserProtocol(error) = error else { return DoorError::System(step) };
    match error {
        VhostUserError::Disconnected
        | VhostUserError::PartialMessage
        | VhostUserError::SocketBroken(_)
        | VhostUserError::SocketError(_)
        | VhostUserError::SocketConnect(_) => DoorError::Disconnected(step),
        VhostUserError::BackendInternalError => DoorError::Refused(step),
        VhostUserError::InvalidMessage
        | VhostUserError::OversizedMsg
        | VhostUserError::IncorrectFds
        | VhostUserError::FeatureMismatch
        | VhostUserError::InvalidOperation(_)
        | VhostUserError::InactiveFeature(_)
        | VhostUserError::InactiveOperation(_) => DoorError::Malformed(step),
        VhostUserError::InvalidParam
        | VhostUserError::SocketRetry(_)
        | VhostUserError::InvalidSocketFd(_)
        | VhostUserError::NotUnixSocket
        | VhostUserError::NotStreamSocket
        | VhostUserError::FrontendInternalError
        | VhostUserError::ReqHandlerError(_)
        | VhostUserError::MemFdCreateError
        | VhostUserError::FileTruncateError
        | VhostUserError::MemFdSealError => DoorError::System(step),
    }
}

/// A regular file that the process could cut short would end this program, which maps it too.
pub(super) fn check_file(area: AreaId, file: &AreaFile<'_>) -> Result<(), DoorError> {
    let kind = fstat(file.file).map_err(|_| DoorError::NoFile(area))?;
    if !FileType::from_raw_mode(kind.st_mode).is_file() {
        return Ok(());
    }
    match fcntl_get_seals(file.file) {
        Ok(seals) if seals.contains(SealFlags::SHRINK) => Ok(()),
        Ok(_) | Err(_) => Err(DoorError::Unsealed(area)),
    }
}

/// An area as the protocol describes memory: its bus address is guest address and user address.
pub(super) fn region(
    area: AreaId,
    len_bytes: usize,
    file: &AreaFile<'_>,
) -> Result<VhostUserMemoryRegionInfo, DoorError> {
    let len_bytes = u64::try_from(len_bytes).map_err(|_| DoorError::NoFile(area))?;
    let start = start_of(area).0;
    Ok(VhostUserMemoryRegionInfo {
        guest_phys_addr: start,
        memory_size: len_bytes,
        userspace_addr: start,
        mmap_offset: file.offset_bytes,
        mmap_handle: file.file.as_raw_fd(),
    })
}
