//! Owns the two event files of a ring. Never blocks its caller: the process at the other end holds the
//! same files, and could make either of them block.
#![expect(
    unsafe_code,
    reason = "vhost takes event files of a type that is made of a bare descriptor"
)]

use super::error::{DoorError, Step};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, ReadWriteFlags, preadv2, write};
use std::io::IoSliceMut;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::string::ToString;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use vmm_sys_util::eventfd::EventFd;

/// Kick (for the process) and call (from it).
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) kick: EventFd,
    pub(super) call: EventFd,
    /// The file of `call`.
    called: OwnedFd,
    ringer: SyncSender<()>,
}

/// An event file, twice: for us, and as `vhost` wants it.
fn event_file() -> Result<(OwnedFd, EventFd), DoorError> {
    let refused = |_| DoorError::System(Step::Events);
    let ours = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(refused)?;
    let theirs = ours.try_clone().map_err(|_| DoorError::System(Step::Events))?;
    // SAFETY: the descriptor is open, is an event file, and belongs to nobody else from here on.
    let theirs = unsafe { EventFd::from_raw_fd(theirs.into_raw_fd()) };
    Ok((ours, theirs))
}

impl Bell {
    pub(super) fn new() -> Result<Self, DoorError> {
        let (rung, kick) = event_file()?;
        let (called, call) = event_file()?;
        // One kick may wait for the one that is under way; more would say nothing new.
        let (ringer, kicks) = sync_channel::<()>(1);
        let name = "causeway-kick".to_string();
        // A process that fills the counter up and takes O_NONBLOCK off blocks this thread only. The
        // thread ends with the bell.
        let spawned = thread::Builder::new().name(name).spawn(move || {
            while kicks.recv().is_ok() {
                match write(&rung, &1u64.to_ne_bytes()) {
                    Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(_) => break,
                }
            }
        });
        spawned.map_err(|_| DoorError::System(Step::Events))?;
        Ok(Self { kick, call, called, ringer })
    }

    /// Tells the process that buffers wait.
    pub(super) fn kick(&self) {
        // Full: a kick is on its way.
        let (Ok(()) | Err(_)) = self.ringer.try_send(());
    }

    /// Takes the process's word that it used buffers.
    pub(super) fn take_call(&self) -> Result<bool, DoorError> {
        let mut count = [0; 8];
        let mut into = [IoSliceMut::new(&mut count)];
        // NOWAIT for this one read: the flag of the file is the process's to change.
        match preadv2(&self.called, &mut into, u64::MAX, ReadWriteFlags::NOWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(_) => Err(DoorError::System(Step::Events)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{OFlags, fcntl_setfl};
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::time::{Duration, Instant};

    /// What the process can do: the flag is the open file's, not the descriptor's.
    fn blocking(file: &EventFd) {
        // SAFETY: the descriptor is open as long as `file` is borrowed.
        let file = unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) };
        fcntl_setfl(file, OFlags::empty()).unwrap();
    }

    #[test]
    fn a_process_that_makes_the_event_files_block_does_not_block_the_caller() {
        let bell = Bell::new().unwrap();
        blocking(&bell.kick);
        blocking(&bell.call);
        bell.kick.write(u64::MAX - 1).unwrap();
        let start = Instant::now();
        for _ in 0..8 {
            bell.kick();
            assert_eq!(bell.take_call(), Ok(false));
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        bell.call.write(3).unwrap();
        assert_eq!((bell.take_call(), bell.take_call()), (Ok(true), Ok(false)));
        // The thread that kicks is freed again.
        assert_eq!(bell.kick.read().unwrap(), u64::MAX - 1);
    }

    #[test]
    fn a_kick_arrives() {
        let bell = Bell::new().unwrap();
        bell.kick();
        blocking(&bell.kick);
        assert!(bell.kick.read().unwrap() >= 1);
    }
}
