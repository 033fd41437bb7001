//! Owns what VMs share, lend and borrow, and the message buffers that carry it: one lock over all
//! of it, so that each call is whole. Never decides whether a peer may map: the partition does.
//!
//! The lock is held over calls to the SPMC and the partition. Both answer without waiting for the
//! normal world, so it is never held over an unbounded wait; and no two memory sends can interleave
//! (KB-09).

mod borrow;
#[cfg(feature = "raw")]
mod raw;
mod reclaim;
mod send;

pub(crate) use reclaim::Estate;

use super::dispatch::Refusal;
use super::{partition, state};
use crate::arch::phys::GuestBytes;
use crate::arch::spmc_buffers;
use causeway_ffa::call::InfoForm;
use causeway_ffa::partition_info::{LEN_V1_1, PartitionInfo, PartitionInfos, Properties};
use causeway_ffa::{Answer, Call, FfaError, PageAddr, PageRange, Uuid, Version, Width};
use causeway_monitor::book::{Book, Holdings, STORE_BYTES};
use causeway_monitor::config::{BootConfig, StoreCheck};
use causeway_monitor::fragments::Collector;
use causeway_monitor::layout::{VM_COUNT, VmIndex};
use causeway_monitor::mailbox::{Mailbox, Pair};
use causeway_monitor::pages::{Claims, translate_page};
use causeway_monitor::window::Window;
use spin::Mutex;

/// Bytes in a message buffer.
const BUFFER_BYTES: usize = spmc_buffers::BUFFER_BYTES;

/// Everything about memory that VMs handed out or borrowed.
pub(crate) struct Memory {
    mailboxes: [Mailbox; VM_COUNT],
    claims: [Claims; VM_COUNT],
    windows: [Window; VM_COUNT],
    collectors: [Collector; VM_COUNT],
    book: Book,
    /// Private copy of one message, in or out.
    message: [u8; BUFFER_BYTES],
    #[cfg(feature = "raw")]
    unchecked: raw::Unchecked,
}

/// The memory of all VMs.
pub(crate) static MEMORY: Mutex<Memory> = Mutex::new(Memory::new());

/// The result of a VM's call.
pub(crate) type Outcome = Result<Answer, Refusal>;

impl Memory {
    pub(crate) const fn new() -> Self {
        Self {
            mailboxes: [const { Mailbox::new() }; VM_COUNT],
            claims: [const { Claims::new() }; VM_COUNT],
            windows: [const { Window::new() }; VM_COUNT],
            collectors: [const { Collector::new() }; VM_COUNT],
            book: Book::new(),
            message: [0; BUFFER_BYTES],
            #[cfg(feature = "raw")]
            unchecked: raw::Unchecked::new(),
        }
    }

    /// Divides the SPMC's store, before any VM lives.
    pub(crate) fn configure(&mut self, config: &BootConfig<'_>) {
        self.book.set_quota(match config.store_check {
            StoreCheck::Quota => config.store_quota,
            // Each VM may ask for more than there is.
            StoreCheck::Spmc => [2 * STORE_BYTES; VM_COUNT],
        });
    }

    /// What a VM owns.
    pub(crate) fn holdings(&self, vm: VmIndex) -> Holdings {
        self.book.holdings(vm)
    }

    /// FFA_RXTX_MAP of a VM: one page each, its own, in no live transaction.
    pub(crate) fn rxtx_map(&mut self, vm: VmIndex, pair: Pair, page_count: u32) -> Outcome {
        if page_count != 1 {
            return Err(FfaError::InvalidParameters.into());
        }
        let pages = [pair.tx, pair.rx].map(single_page);
        let [Some(tx), Some(rx)] = pages else { return Err(FfaError::InvalidParameters.into()) };
        // A second pair is refused before anything is claimed for it.
        let mut mailbox = self.mailboxes[vm.index()];
        mailbox.map(pair)?;
        self.claims[vm.index()]
            .claim(vm, [tx, rx].into_iter())
            .map_err(|_| FfaError::InvalidParameters)?;
        self.mailboxes[vm.index()] = mailbox;
        Ok(Answer::success())
    }

    /// FFA_RXTX_UNMAP of a VM.
    pub(crate) fn rxtx_unmap(&mut self, vm: VmIndex) -> Outcome {
        let pair = self.mailboxes[vm.index()].unmap()?;
        self.collectors[vm.index()].forget();
        self.release_pair(vm, pair);
        Ok(Answer::success())
    }

    /// FFA_RX_RELEASE of a VM.
    pub(crate) fn rx_release(&mut self, vm: VmIndex) -> Outcome {
        self.mailboxes[vm.index()].release()?;
        Ok(Answer::success())
    }

    fn release_pair(&mut self, vm: VmIndex, pair: Pair) {
        let pages = [pair.tx, pair.rx].into_iter().filter_map(single_page);
        self.claims[vm.index()].release(vm, pages);
    }

    /// Copies the first bytes of a VM's TX into `self.message`, once.
    fn copy_tx(&mut self, vm: VmIndex, len_bytes: usize) -> Result<(), FfaError> {
        let tx = self.mailboxes[vm.index()].tx()?;
        let out = self.message.get_mut(..len_bytes).ok_or(FfaError::InvalidParameters)?;
        buffer(vm, tx)?.read(out);
        Ok(())
    }

    /// Copies the first bytes of `self.message` into a VM's RX and hands RX to it.
    fn fill_rx(&mut self, vm: VmIndex, len_bytes: usize) -> Result<(), FfaError> {
        let rx = self.mailboxes[vm.index()].rx_to_fill()?;
        buffer(vm, rx)?.write(&self.message[..len_bytes]);
        self.mailboxes[vm.index()].filled();
        Ok(())
    }

    /// FFA_PARTITION_INFO_GET of a VM: the SPMC's partitions, then the VMs.
    pub(crate) fn partition_info(&mut self, vm: VmIndex, uuid: Uuid, form: InfoForm) -> Outcome {
        if form == InfoForm::Descriptors {
            // RX must be free before the SPMC is troubled.
            self.mailboxes[vm.index()].rx_to_fill()?;
        }
        // VMs have no protocol, hence no UUID: they are listed only where all are asked for.
        let vms = if uuid.is_nil() { VM_COUNT } else { 0 };
        let secure = self.secure_partitions(uuid, form)?;
        let count = secure + vms;
        if count == 0 {
            return Err(FfaError::InvalidParameters.into());
        }
        let words = u32::try_from(count).map_err(|_| FfaError::NoMemory)?;
        if form == InfoForm::CountOnly {
            return Ok(Answer::two_words(words, 0));
        }
        for (index, vm) in VmIndex::ALL.into_iter().take(vms).enumerate() {
            let info = PartitionInfo {
                id: vm.id(),
                contexts: state::config().vcpus[vm.index()] as u16,
                properties: Properties::NOTIFICATIONS
                    .and(Properties::AARCH64)
                    .and(Properties::DIRECT_REQ_SEND),
                uuid: Uuid::NIL,
            };
            let at = (secure + index) * LEN_V1_1;
            let room = self.message.get_mut(at..).ok_or(FfaError::NoMemory)?;
            info.write(Version::V1_1, room)?;
        }
        self.fill_rx(vm, count * LEN_V1_1)?;
        Ok(Answer::two_words(words, LEN_V1_1 as u32))
    }

    /// Asks the SPMC; leaves its descriptors in `self.message`, each [`LEN_V1_1`] long.
    fn secure_partitions(&mut self, uuid: Uuid, form: InfoForm) -> Result<usize, Refusal> {
        let answer = match partition::ffa(&Call::PartitionInfoGet { uuid, form }) {
            Ok(answer) => answer,
            // No partition has this UUID: no error as long as a VM is listed.
            Err(FfaError::InvalidParameters) => return Ok(0),
            Err(error) => return Err(Refusal::Below(error)),
        };
        let Answer::Success(success) = answer else {
            return Err(Refusal::Below(FfaError::Aborted));
        };
        let (count, stride) = (success.w(2), success.w(3));
        if form == InfoForm::CountOnly {
            return Ok(count as usize);
        }
        spmc_buffers::read_rx(&mut self.message);
        let released = partition::ffa(&Call::RxRelease { vm: Default::default() });
        released.map_err(Refusal::Below)?;
        let listed = PartitionInfos::parse(&self.message, count, stride, Version::V1_1);
        let listed = listed.map_err(|_| Refusal::Below(FfaError::Aborted))?;
        // A later SPMC's descriptors are longer: pack the part that version 1.1 has. Where a UUID
        // was asked for, the field is zero; TF-A 2.12 leaves stale bytes of EL3 there (KB-12).
        let mut packed = [0; BUFFER_BYTES];
        let mut end = 0;
        for info in listed.iter() {
            let room = packed.get_mut(end..).ok_or(FfaError::NoMemory)?;
            let listed = if uuid.is_nil() { info.uuid } else { Uuid::NIL };
            end += PartitionInfo { uuid: listed, ..info }.write(Version::V1_1, room)?;
        }
        self.message = packed;
        Ok(count as usize)
    }
}

/// Registers the monitor's own pair with the SPMC.
pub(crate) fn connect() -> Result<(), FfaError> {
    let (tx, rx) = spmc_buffers::addresses();
    let page = |raw| PageAddr::new(raw).ok_or(FfaError::InvalidParameters);
    let map = Call::RxTxMap { tx: page(tx)?, rx: page(rx)?, page_count: 1, width: Width::Bits64 };
    partition::ffa(&map).map(|_| ())
}

fn single_page(page: PageAddr) -> Option<PageRange> {
    PageRange::new(page, 1)
}

/// The physical memory of a VM's message buffer.
fn buffer(vm: VmIndex, page: PageAddr) -> Result<GuestBytes, FfaError> {
    let memory = translate_page(vm, page).ok_or(FfaError::InvalidParameters)?;
    GuestBytes::of_vm(vm, memory).ok_or(FfaError::InvalidParameters)
}

/// A range list with nothing in it.
const NO_RANGE: PageRange = match PageAddr::new(0) {
    Some(page) => match PageRange::new(page, 1) {
        Some(range) => range,
        None => unreachable!(),
    },
    None => unreachable!(),
};
