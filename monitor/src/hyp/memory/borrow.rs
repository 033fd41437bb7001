//! Owns what a VM borrows: retrieve, relinquish, and unmapping by force. Maps nothing that the
//! partition has not agreed to; never wider than granted, never executable.

use super::{BUFFER_BYTES, Memory, Outcome};
use crate::arch::sysreg;
use crate::hyp::partition;
use crate::hyp::state::{COUNTERS, stage2};
use causeway_abi::Status;
use causeway_ffa::descriptor::{Builder, Receiver, Spec};
use causeway_ffa::{Answer, FfaError, Lengths, MemHandle, PAGE_SIZE, PageAddr, PageRange, Version};
use causeway_monitor::book::{Share, Slot};
use causeway_monitor::layout::{PhysRange, VmIndex};
use causeway_monitor::pages::translate;
use causeway_monitor::rules;
use causeway_monitor::stage2::BorrowedAccess;

impl Memory {
    /// FFA_MEM_RETRIEVE_REQ of a VM.
    pub(crate) fn retrieve(&mut self, vm: VmIndex, lengths: Lengths) -> Outcome {
        if !lengths.is_whole() {
            return Err(FfaError::InvalidParameters.into());
        }
        let len = lengths.total() as usize;
        self.copy_tx(vm, len)?;
        let wish = rules::check_retrieve(&self.book, vm, &self.message[..len])?;
        self.mailboxes[vm.index()].rx_to_fill()?;
        let share = wish.share;
        let ipa = self.windows[vm.index()].take(share.page_count).ok_or(FfaError::NoMemory)?;
        // The partition decides, and records the mapping before it exists.
        if let Err(status) = partition::may_map(share.handle, vm) {
            self.windows[vm.index()].give_back(ipa);
            let busy = status == Status::Busy;
            return Err(if busy { FfaError::Busy } else { FfaError::Denied }.into());
        }
        self.map(vm, wish.slot, &share, ipa, wish.access);
        self.book.set_mapping(wish.slot, vm.id(), Some(ipa));
        COUNTERS.retrieves.count();
        match self.respond(vm, &share, ipa, wish.access) {
            Ok(lengths) => Ok(Answer::MemRetrieveResp(lengths)),
            Err(error) => {
                // A response of one range fits RX, whose ownership was checked: our own mistake.
                self.unmap(wish.slot, vm);
                partition::was_unmapped(share.handle, vm);
                Err(error.into())
            }
        }
    }

    fn map(&self, vm: VmIndex, slot: Slot, share: &Share, ipa: u64, access: BorrowedAccess) {
        let mut table = stage2(vm);
        let mut at = ipa;
        for range in self.book.ranges(slot) {
            if let Some(physical) = translate(share.terms.owner, range) {
                let base = physical.start().get();
                let len_bytes = physical.len_bytes();
                table.map_borrowed(at, PhysRange { base, len_bytes }, access);
                at += len_bytes;
            }
        }
        // New entries need no invalidation, but the walkers must see them.
        sysreg::dsb();
        sysreg::isb();
    }

    fn respond(
        &mut self,
        vm: VmIndex,
        share: &Share,
        ipa: u64,
        access: BorrowedAccess,
    ) -> Result<Lengths, FfaError> {
        let receiver = match access {
            BorrowedAccess::ReadOnly => Receiver::read_only(vm.id()),
            BorrowedAccess::ReadWrite => Receiver::read_write(vm.id()),
        };
        let receivers = [receiver.not_executable()];
        let start = PageAddr::new(ipa).ok_or(FfaError::Aborted)?;
        let ranges = [PageRange::new(start, share.page_count).ok_or(FfaError::Aborted)?];
        let terms = &share.terms;
        let spec = Spec::retrieve_response(
            Version::V1_1,
            terms.owner.id(),
            share.handle,
            terms.kind,
            terms.tag,
            &receivers,
            &ranges,
        );
        let builder = Builder::new(spec).map_err(|error| error.status())?;
        let len = builder.write(0, &mut self.message).map_err(|error| error.status())?;
        let lengths = Lengths::new(builder.total_len(), builder.total_len());
        self.fill_rx(vm, len)?;
        lengths.ok_or(FfaError::Aborted)
    }

    /// FFA_MEM_RELINQUISH of a VM.
    pub(crate) fn relinquish(&mut self, vm: VmIndex) -> Outcome {
        self.copy_tx(vm, BUFFER_BYTES)?;
        let (slot, handle) = rules::check_relinquish(&self.book, vm, &self.message)?;
        self.unmap(slot, vm);
        partition::was_unmapped(handle, vm);
        Ok(Answer::success())
    }

    /// Takes a transaction out of a borrower's window, if it is there, on all cores.
    pub(super) fn unmap(&mut self, slot: Slot, vm: VmIndex) {
        let Some(share) = self.book.share(slot) else { return };
        let len_bytes = u64::from(share.page_count) * PAGE_SIZE;
        let Some(ipa) = share.terms.borrower(vm.id()).and_then(|b| b.mapped_at) else { return };
        stage2(vm).remove_borrowed(ipa, len_bytes);
        sysreg::tlbi_all_guests();
        self.windows[vm.index()].give_back(ipa);
        self.book.set_mapping(slot, vm.id(), None);
    }

    /// The partition asks for it: whatever the VM wants, it loses the memory.
    pub(crate) fn unmap_by_force(&mut self, handle: MemHandle, vm: VmIndex) {
        if let Some(slot) = self.book.find(handle) {
            self.unmap(slot, vm);
        }
        COUNTERS.forced_unmaps.count();
        partition::was_unmapped(handle, vm);
    }

    /// A VM is being destroyed: nothing that it borrowed stays mapped, and it has no buffers.
    pub(crate) fn unmap_all(&mut self, vm: VmIndex) {
        loop {
            let mapped = |share: &Share| {
                share.terms.borrower(vm.id()).is_some_and(|b| b.mapped_at.is_some())
            };
            let Some(slot) = self.book.slots(mapped).next() else { break };
            self.unmap(slot, vm);
        }
        self.collectors[vm.index()].forget();
        if let Some(pair) = self.mailboxes[vm.index()].forget() {
            self.release_pair(vm, pair);
        }
    }
}
