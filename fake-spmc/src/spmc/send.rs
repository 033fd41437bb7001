//! Owns what happens to memory that the normal world sends: taken or refused, and the end of it.
//! Never looks at who really owns the pages: only the page model does.
//!
//! Two readings stand side by side. The EL3 SPMC's is lax and is followed step by step; Hafnium and
//! OP-TEE check at least what `causeway_ffa` checks, so that its parser stands for theirs.

use super::raw::{RawComposite, RawHead, RawReceiver, header_len};
use super::store::Sent;
use super::{Caller, Outcome, Spmc, success};
use crate::personality::{Capacity, Lie, MemoryVersions, Response, Verdict};
use causeway_abi::Permission;
use causeway_ffa::call::{ReclaimFlags, Zero};
use causeway_ffa::descriptor::{DataAccess, Role, Transaction};
use causeway_ffa::{
    Answer, EndpointId, FfaError, Lengths, MemHandle, PageRange, Transfer, Version,
};

const INVALID: FfaError = FfaError::InvalidParameters;
/// NS bit of the attributes.
const NS: u16 = 1 << 6;

/// The transaction type in bits 4:3 of the flags.
pub(super) const fn kind_flag(kind: Transfer) -> u32 {
    match kind {
        Transfer::Share => 1 << 3,
        Transfer::Lend => 2 << 3,
        Transfer::Donate => 3 << 3,
    }
}

impl Spmc {
    pub(super) fn takes_version(&self, version: Version) -> Verdict {
        match self.quirks().memory_versions {
            MemoryVersions::UpTo1_1 if version > Version::V1_1 => Err(INVALID),
            MemoryVersions::UpTo1_1 | MemoryVersions::Any => Ok(()),
        }
    }

    /// FFA_MEM_SHARE, LEND and DONATE: the first fragment.
    pub(super) fn send(&mut self, caller: Caller, kind: Transfer, lengths: Lengths) -> Outcome {
        let q = self.quirks();
        match kind {
            Transfer::Share => q.share?,
            Transfer::Lend => q.lend?,
            Transfer::Donate => q.donate?,
        }
        if let Caller::Partition(_) = caller {
            // No SPMC here lets a partition give memory to the normal world.
            return Err(if q.response == Response::AsSent { INVALID } else { FfaError::Denied });
        }
        let version = self.normal_version;
        self.takes_version(version)?;
        if !lengths.is_whole() {
            self.quirks().fragmented_send?;
        }
        let total = usize::try_from(lengths.total()).map_err(|_| FfaError::NoMemory)?;
        let fragment = usize::try_from(lengths.fragment()).map_err(|_| INVALID)?;
        if fragment < header_len(version) {
            return Err(INVALID);
        }
        // The store is asked before anything is read (TF-A 2.12.1, `spmc_ffa_mem_send`).
        let by_bytes = matches!(self.quirks().capacity, Capacity::Bytes { .. });
        if (by_bytes && !total.is_multiple_of(16)) || !self.store.has_room(total) {
            return Err(FfaError::NoMemory);
        }
        let bytes = self.normal.read_tx(self.machine.ram(), fragment)?;
        let head = self.check_head(&bytes, kind, version, total)?;
        let handle = self.store.next_handle().ok_or(FfaError::NoMemory)?;
        self.store.insert(Sent {
            handle,
            kind,
            version,
            sender: head.sender,
            bytes: vec![0; total],
            filled: 0,
            fragments: 0,
            ranges: Vec::new(),
            retrieved: Vec::new(),
        });
        self.fill(handle, &bytes)
    }

    /// FFA_MEM_FRAG_TX.
    pub(super) fn send_more(
        &mut self,
        caller: Caller,
        handle: MemHandle,
        length: u32,
        endpoint: EndpointId,
    ) -> Outcome {
        self.quirks().fragmented_send?;
        let sent = self.store.find(handle).ok_or(self.quirks().no_such_handle)?;
        if caller.is_secure() || sent.sender != endpoint || sent.is_whole() {
            return Err(INVALID);
        }
        let bytes = usize::try_from(length)
            .map_err(|_| INVALID)
            .and_then(|length| self.normal.read_tx(self.machine.ram(), length));
        let fits = |bytes: &Vec<u8>| bytes.len() <= sent.bytes.len() - sent.filled;
        match bytes {
            Ok(bytes) if fits(&bytes) => self.fill(handle, &bytes),
            // The half-sent transaction is lost with it.
            Ok(_) | Err(_) => {
                self.store.remove(handle);
                Err(INVALID)
            }
        }
    }

    /// Source: TF-A 2.12.1, `spmc_ffa_fill_desc` and `spmc_validate_mtd_start`.
    fn check_head(
        &self,
        bytes: &[u8],
        kind: Transfer,
        version: Version,
        total: usize,
    ) -> Result<RawHead, FfaError> {
        let head = RawHead::read(bytes, version).ok_or(INVALID)?;
        if head.sender.is_secure() {
            return Err(FfaError::Denied);
        }
        if head.attributes & NS != 0 {
            return Err(INVALID);
        }
        if head.flags != 0 && head.flags != kind_flag(kind) {
            // Zero (bit 0) is all that anybody takes, and not for shared memory.
            if head.flags & !1 != 0 || kind == Transfer::Share {
                return Err(INVALID);
            }
            self.quirks().zero?;
        }
        let end = head.stride.checked_mul(head.receivers.len());
        let end = end.and_then(|len| len.checked_add(head.first_receiver + 16));
        let is_apart = head.first_receiver >= header_len(version) && head.stride >= 16;
        let is_aligned = head.first_receiver.is_multiple_of(16) && head.stride.is_multiple_of(16);
        if head.receivers.is_empty() || !is_apart || !is_aligned || end.is_none_or(|e| e > total) {
            return Err(INVALID);
        }
        Ok(head)
    }

    fn fill(&mut self, handle: MemHandle, fragment: &[u8]) -> Outcome {
        let limit = |store: &super::Store, fragments| store.takes_fragments(fragments);
        let sent = self.store.find_mut(handle).ok_or(INVALID)?;
        let end = sent.filled + fragment.len();
        let room = sent.bytes.get_mut(sent.filled..end).ok_or(INVALID)?;
        room.copy_from_slice(fragment);
        sent.filled = end;
        sent.fragments += 1;
        let (whole, fragments, endpoint) = (sent.is_whole(), sent.fragments, sent.sender);
        if !limit(&self.store, fragments) {
            self.store.remove(handle);
            return Err(FfaError::NoMemory);
        }
        if !whole {
            let offset = u32::try_from(end).map_err(|_| INVALID)?;
            return Ok(Answer::MemFragRx { handle, offset, endpoint }.encode());
        }
        match self.check_whole(handle) {
            Ok(composite) => {
                self.begin(handle, &composite);
                Ok(Answer::handle(handle).encode())
            }
            Err(code) => {
                self.store.remove(handle);
                Err(code)
            }
        }
    }

    /// Everything that is checked once the last byte is there.
    fn check_whole(&self, handle: MemHandle) -> Result<RawComposite, FfaError> {
        let sent = self.store.find(handle).ok_or(INVALID)?;
        let head = sent.head().ok_or(INVALID)?;
        let composite = match self.quirks().response {
            Response::AsSent => lax(sent, &head)?,
            Response::OwnEntry | Response::OpTee => strict(sent)?,
        };
        self.check_receivers(sent, &head)?;
        let ranges = composite.page_ranges();
        let pages = |range: &PageRange| self.machine.pages(|pages| pages.is_normal_ram(*range));
        if !ranges.iter().all(pages) {
            self.quirks().secure_address?;
        }
        let others = self.store.iter().filter(|other| other.handle != handle && other.is_whole());
        for other in others {
            let is_twice = |range: &PageRange| other.ranges.iter().any(|o| o.overlaps(*range));
            if ranges.iter().any(is_twice) {
                self.quirks().overlap?;
            }
        }
        Ok(composite)
    }

    fn check_receivers(&self, sent: &Sent, head: &RawHead) -> Verdict {
        let (secure, normal): (Vec<&RawReceiver>, Vec<&RawReceiver>) =
            head.receivers.iter().partition(|receiver| receiver.id.is_secure());
        if !secure.iter().all(|receiver| self.is_partition(receiver.id)) {
            return Err(INVALID);
        }
        if !normal.is_empty() {
            match sent.kind {
                Transfer::Share => self.quirks().share_with_vm?,
                Transfer::Lend => self.quirks().lend_with_vm?,
                Transfer::Donate => return Err(INVALID),
            }
        }
        if sent.kind == Transfer::Donate && head.receivers.len() != 1 {
            return Err(INVALID);
        }
        // Whoever is sent nothing for a partition has no business here; the EL3 SPMC does not look.
        let is_lax = self.quirks().response == Response::AsSent;
        if secure.is_empty() && !is_lax { Err(FfaError::Denied) } else { Ok(()) }
    }

    /// Tells the page model.
    fn begin(&mut self, handle: MemHandle, composite: &RawComposite) {
        let Some(sent) = self.store.find(handle) else { return };
        let receivers = sent.head().map(|head| head.receivers).unwrap_or_default();
        let writes = |access: u8| access & 3 == 2 || sent.kind == Transfer::Donate;
        let permission = |access| match writes(access) {
            true => Permission::ReadWrite,
            false => Permission::ReadOnly,
        };
        let borrowers = receivers.iter().map(|r| (r.id, permission(r.access))).collect();
        let (owner, kind, ranges) = (sent.sender, sent.kind, composite.page_ranges());
        if let Some(sent) = self.store.find_mut(handle) {
            sent.ranges.clone_from(&ranges);
        }
        self.machine.pages(|pages| pages.sent(handle, owner, kind, borrowers, ranges));
    }

    /// FFA_MEM_RECLAIM.
    pub(super) fn reclaim(
        &mut self,
        caller: Caller,
        handle: MemHandle,
        flags: ReclaimFlags,
    ) -> Outcome {
        if caller.is_secure() {
            return Err(INVALID);
        }
        if flags.zero == Zero::Zero {
            self.quirks().zero?;
        } else if flags != ReclaimFlags::default() {
            return Err(INVALID);
        }
        let sent = self.store.find(handle).ok_or(self.quirks().no_such_handle)?;
        if !sent.retrieved.is_empty() && !self.lies(Lie::ReclaimThoughLocked) {
            return Err(FfaError::Denied);
        }
        // A half-sent one stays for good (KB-09).
        if !sent.is_whole() {
            return Err(INVALID);
        }
        self.store.remove(handle);
        self.machine.pages(|pages| pages.reclaimed(handle));
        Ok(success())
    }
}

/// Source: TF-A 2.12.1, `spmc_shmem_check_obj`. Addresses may be unaligned, ranges may be empty and
/// lie upon each other: nothing looks.
fn lax(sent: &Sent, head: &RawHead) -> Result<RawComposite, FfaError> {
    let first = head.receivers.first().ok_or(INVALID)?;
    let is_twice = |at: usize| {
        let id = head.receivers.get(at).map(|receiver| receiver.id);
        head.receivers.iter().skip(at + 1).any(|other| Some(other.id) == id)
    };
    let differs = head.receivers.iter().any(|receiver| receiver.composite != first.composite);
    let end = head.first_receiver + head.stride * head.receivers.len();
    let at = usize::try_from(first.composite).map_err(|_| INVALID)?;
    if differs || (0..head.receivers.len()).any(is_twice) || at < end || !at.is_multiple_of(16) {
        return Err(INVALID);
    }
    let composite = RawComposite::read(&sent.bytes, at).ok_or(INVALID)?;
    let count = u64::from(composite.range_count);
    let pages: u64 = composite.ranges.iter().map(|(_, pages)| u64::from(*pages)).sum();
    let is_exact = u64::try_from(composite.ranges.len()).is_ok_and(|found| found == count)
        && sent.bytes.len().is_multiple_of(16);
    if !is_exact || pages != u64::from(composite.total_pages) {
        return Err(INVALID);
    }
    Ok(composite)
}

fn strict(sent: &Sent) -> Result<RawComposite, FfaError> {
    let placeholder = crate::ram::range(0, 1);
    let mut scratch = vec![placeholder; sent.bytes.len() / 16];
    let (version, role) = (sent.version, Role::Send(sent.kind));
    let whole = Transaction::parse_with_scratch(&sent.bytes, version, role, &mut scratch)
        .map_err(|rule| rule.status())?;
    let vague = |access| access == DataAccess::NotSpecified;
    if sent.kind != Transfer::Donate && whole.receivers().any(|r| vague(r.access.data)) {
        return Err(INVALID);
    }
    sent.composite().ok_or(INVALID)
}
