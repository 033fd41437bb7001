//! Owns the unchecked way of the `raw` test build: descriptors that the monitor's checks refuse
//! reach the SPMC, with the VM's true id in the call and its own pages translated. For tests only.

use super::reclaim::Estate;
use super::send::send_in_fragments;
use super::{BUFFER_BYTES, Memory, Outcome};
use crate::arch::spmc_buffers;
use crate::arch::uart::say;
use crate::hyp::dispatch::Refusal;
use crate::hyp::partition;
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::{Answer, Call, FfaError, MemHandle, PageAddr, PageRange, Transfer};
use causeway_monitor::layout::VmIndex;
use causeway_monitor::pages::translate;

/// Most unchecked transactions at a time.
const MAX_UNCHECKED: usize = 64;

/// The transactions that the SPMC took although the monitor would not have.
pub(super) struct Unchecked([Option<(MemHandle, VmIndex)>; MAX_UNCHECKED]);

impl Unchecked {
    pub(super) const fn new() -> Self {
        Self([None; MAX_UNCHECKED])
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?) as usize)
}

/// Finds the constituents as far as the descriptor lets itself be followed.
fn constituents(bytes: &[u8]) -> Option<core::ops::Range<usize>> {
    let receivers = le32(bytes, 32)?;
    let composite = le32(bytes, receivers.checked_add(4)?)?;
    let count = le32(bytes, composite.checked_add(4)?)?;
    let start = composite.checked_add(16)?;
    let end = count.checked_mul(16)?.checked_add(start)?.min(bytes.len());
    (start <= end).then_some(start..end)
}

/// Puts physical addresses where a range is the VM's own; others pass as they are.
fn translate_own(vm: VmIndex, bytes: &mut [u8]) {
    let Some(place) = constituents(bytes) else { return };
    for one in bytes[place].chunks_exact_mut(16) {
        let (address, rest) = one.split_at_mut(8);
        let raw = u64::from_le_bytes(address.try_into().unwrap_or_default());
        let pages = le32(rest, 0).unwrap_or_default() as u32;
        let range = PageAddr::new(raw).and_then(|page| PageRange::new(page, pages));
        if let Some(own) = range.and_then(|range| translate(vm, range)) {
            address.copy_from_slice(&own.start().get().to_le_bytes());
        }
    }
}

impl Memory {
    /// Where the monitor itself refused, asks the SPMC nevertheless.
    pub(super) fn or_unchecked(
        &mut self,
        vm: VmIndex,
        kind: Transfer,
        outcome: Outcome,
    ) -> Outcome {
        let Err(Refusal::Here(_)) = outcome else { return outcome };
        let bytes = self.collectors[vm.index()].last();
        translate_own(vm, bytes);
        let total = u32::try_from(bytes.len()).map_err(|_| FfaError::NoMemory)?;
        let free = self.unchecked.0.iter_mut().find(|slot| slot.is_none());
        let free = free.ok_or(FfaError::NoMemory)?;
        let write = |offset: u32, out: &mut [u8]| {
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(out.len());
            out[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        };
        let handle = send_in_fragments(vm, kind, total, write).map_err(Refusal::Below)?;
        *free = Some((handle, vm));
        Ok(Answer::handle(handle))
    }

    /// Puts a reclaim to the SPMC, whatever its flags, and although a VM may map the memory: the
    /// partition's lock must then hold it back. `None` for another VM's transaction: below, nobody
    /// knows whose it is, so the monitor's refusal stands.
    pub(super) fn reclaim_below(
        &mut self,
        vm: VmIndex,
        handle: MemHandle,
        flags: ReclaimFlags,
    ) -> Option<Outcome> {
        let of_another = |entry: &(MemHandle, VmIndex)| entry.0 == handle && entry.1 != vm;
        if self.unchecked.0.iter().flatten().any(of_another) {
            return None;
        }
        if let Some(outcome) = self.reclaim_unchecked(vm, handle, flags) {
            return Some(outcome);
        }
        let known = self.book.find(handle).and_then(|slot| Some((slot, *self.book.share(slot)?)));
        if known.is_some_and(|(_, share)| share.terms.owner != vm) {
            return None;
        }
        let answer = partition::ffa(&Call::MemReclaim { handle, flags });
        if let (Ok(_), Some((slot, share))) = (&answer, known) {
            if share.terms.is_mapped() {
                // I2 is broken: the SPMC let go what a VM maps. Nothing may stay mapped.
                say!("BREACH reclaim of {handle} succeeded while a VM maps it");
                VmIndex::ALL.into_iter().for_each(|borrower| self.unmap(slot, borrower));
            }
            self.close(slot, &share);
        }
        Some(answer.map(|_| Answer::success()).map_err(Refusal::Below))
    }

    /// Copies a VM's TX into the monitor's own.
    pub(crate) fn show_tx_below(&mut self, vm: VmIndex) -> Result<(), FfaError> {
        self.copy_tx(vm, BUFFER_BYTES)?;
        spmc_buffers::write_tx(&self.message);
        Ok(())
    }

    /// Reclaims an unchecked transaction of the VM's own, if the handle names one.
    fn reclaim_unchecked(
        &mut self,
        vm: VmIndex,
        handle: MemHandle,
        flags: ReclaimFlags,
    ) -> Option<Outcome> {
        let slot = self.unchecked.0.iter_mut().find(|slot| **slot == Some((handle, vm)))?;
        Some(match partition::ffa(&Call::MemReclaim { handle, flags }) {
            Ok(_) => {
                *slot = None;
                Ok(Answer::success())
            }
            Err(error) => Err(Refusal::Below(error)),
        })
    }

    /// Reclaims what a dead VM had sent unchecked.
    pub(super) fn settle_unchecked(&mut self, vm: VmIndex) -> Estate {
        let mut estate = Estate::Settled;
        for index in 0..MAX_UNCHECKED {
            if let Some((handle, owner)) = self.unchecked.0[index]
                && owner == vm
                && !matches!(
                    self.reclaim_unchecked(vm, handle, ReclaimFlags::default()),
                    Some(Ok(_))
                )
            {
                estate = Estate::Held;
            }
        }
        estate
    }
}
