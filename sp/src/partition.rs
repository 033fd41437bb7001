//! Owns the partition's one state and lock: broker, tables, mailbox. Carries out what the cores
//! decide; never decides itself.

use crate::arch::entry;
use crate::arch::mailbox::Mailbox;
use crate::crash;
use crate::dispatch::VmEvent;
use crate::lock::{Crashed, OrderedLock};
use crate::stage1::Stage1;
use causeway_abi::{Call as ServiceCall, Frame, Reply, Status, VERSION_MAJOR, VERSION_MINOR};
use causeway_ffa::{EndpointId, FfaError};

/// Bytes of the boot information: header, descriptor and manifest are one page.
const BLOB_BYTES: usize = 4096;
/// Where TF-A keeps it: its own part of secure RAM, below the image.
const BLOB_PLACES: core::ops::Range<u64> = 0x0e00_0000..0x0e10_0000;

/// A private copy of the boot information.
pub(crate) struct BootBlob {
    bytes: [u8; BLOB_BYTES],
    /// Where it was: the addresses in it are absolute.
    address: u64,
}

impl BootBlob {
    /// Copies the blob at `address` while the initial table maps it. All zero if x0 named no place
    /// where TF-A puts it.
    pub(crate) fn read(address: u64) -> Self {
        let mut bytes = [0; BLOB_BYTES];
        let fits = BLOB_PLACES.contains(&address) && address <= BLOB_PLACES.end - 4096;
        if let (true, Ok(start)) = (fits, usize::try_from(address)) {
            // SAFETY: the range lies in TF-A's secure RAM, which the initial table maps; this core
            // alone runs, and EL3 does not touch the blob after it entered us.
            unsafe { entry::read_secure_ram(start, &mut bytes) };
        }
        Self { bytes, address }
    }
}

/// Everything that the calls of all cores share.
pub(crate) struct Partition {
    own_id: EndpointId,
    tables: Stage1,
    mailbox: Mailbox,
}

impl Partition {
    /// Starts with no grant.
    pub(crate) fn new(
        own_id: EndpointId,
        tables: Stage1,
        mailbox: Mailbox,
        _blob: &BootBlob,
    ) -> Self {
        Self { own_id, tables, mailbox }
    }

    /// Answers a frame of `caller`.
    pub(crate) fn frame(&mut self, _caller: EndpointId, frame: Frame) -> Frame {
        let [number, ..] = frame[0].to_le_bytes();
        match ServiceCall::decode(&frame) {
            Ok(ServiceCall::Version { .. }) => {
                let version = u64::from(VERSION_MAJOR) << 16 | u64::from(VERSION_MINOR);
                Reply::ok(number, [version, 0, 0, 0]).encode()
            }
            Ok(_) => Reply::refused(number, Status::UnknownCaller).encode(),
            Err(status) => Reply::refused(number, status).encode(),
        }
    }

    /// Takes a framework message about a VM.
    pub(crate) fn vm_event(&mut self, _from: EndpointId, _event: VmEvent) -> Result<(), FfaError> {
        Err(FfaError::Denied)
    }
}

static STATE: OrderedLock<Option<Partition>> = OrderedLock::new(None);

/// Puts the state in its place, once.
pub(crate) fn install(partition: Partition) {
    let installed = STATE.with(crash::happened, |slot| {
        assert!(slot.is_none(), "two partitions");
        *slot = Some(partition);
    });
    assert!(installed.is_ok(), "crashed before the start");
}

/// Runs `work` alone with the state.
pub(crate) fn with<R>(work: impl FnOnce(&mut Partition) -> R) -> Result<R, Crashed> {
    STATE.with(crash::happened, |slot| match slot {
        Some(partition) => work(partition),
        None => panic!("a call before the start"),
    })
}
