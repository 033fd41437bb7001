//! Owns FFA_MEM_SHARE and FFA_MEM_LEND of a VM: from its fragments to one uninterrupted send.
//! Nothing is changed before everything is checked; a refusal below leaves no trace here.

use super::{BUFFER_BYTES, Memory, NO_RANGE, Outcome};
use crate::arch::{spmc_buffers, sysreg};
use crate::hyp::dispatch::Refusal;
use crate::hyp::state::{COUNTERS, stage2};
use crate::hyp::{memory::buffer, partition};
use causeway_ffa::descriptor::{Builder, Flags, Receiver, Role, Spec, Transaction};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageRange, Transfer, Version,
};
use causeway_monitor::book::{MAX_BORROWERS, MAX_RANGES};
use causeway_monitor::fragments::Next;
use causeway_monitor::layout::{PARTITION_ID, VmIndex};
use causeway_monitor::pages::{merge, translate};
use causeway_monitor::rules;
use spin::Mutex;

/// Room for the ranges of one transaction: while it is checked, then as physical ranges.
static SCRATCH: Mutex<[PageRange; MAX_RANGES]> = Mutex::new([NO_RANGE; MAX_RANGES]);

impl Memory {
    /// The first fragment of a share or lend.
    pub(crate) fn send(&mut self, vm: VmIndex, kind: Transfer, lengths: Lengths) -> Outcome {
        if kind == Transfer::Donate {
            return Err(FfaError::NotSupported.into());
        }
        let tx = buffer(vm, self.mailboxes[vm.index()].tx()?)?;
        let next = self.collectors[vm.index()].begin(vm, kind, lengths, |room| tx.read(room))?;
        self.go_on(vm, next)
    }

    /// A further fragment.
    pub(crate) fn send_fragment(
        &mut self,
        vm: VmIndex,
        handle: MemHandle,
        len_bytes: u32,
        endpoint: EndpointId,
    ) -> Outcome {
        // At a virtual instance the field is zero: a VM speaks for itself only.
        if endpoint.get() != 0 {
            return Err(FfaError::InvalidParameters.into());
        }
        let tx = buffer(vm, self.mailboxes[vm.index()].tx()?)?;
        let next = self.collectors[vm.index()].add(handle, len_bytes, |room| tx.read(room))?;
        self.go_on(vm, next)
    }

    fn go_on(&mut self, vm: VmIndex, next: Next) -> Outcome {
        match next {
            Next::More { handle, offset } => {
                Ok(Answer::MemFragRx { handle, offset, endpoint: EndpointId::default() })
            }
            Next::Whole(kind) => {
                let outcome = self.send_whole(vm, kind);
                #[cfg(feature = "raw")]
                let outcome = self.or_unchecked(vm, kind, outcome);
                outcome
            }
        }
    }

    fn send_whole(&mut self, vm: VmIndex, kind: Transfer) -> Outcome {
        let Self { collectors, claims, book, .. } = self;
        let claims = &mut claims[vm.index()];
        let mut scratch = SCRATCH.lock();
        let bytes = collectors[vm.index()].take();
        let wish = Transaction::parse_with_scratch(
            bytes,
            Version::V1_1,
            Role::Send(kind),
            &mut scratch[..],
        )
        .map_err(|error| error.status())?;
        let terms = rules::check_send(vm, kind, &wish)?;
        // Not the VM's own RAM, or spoken for: both say the same, so that nothing is learnt.
        claims.claim(vm, wish.ranges()).map_err(|_| FfaError::Denied)?;

        let mut count = 0;
        merge(wish.ranges(), |range| {
            if let Some(slot) = scratch.get_mut(count) {
                *slot = range;
                count += 1;
            }
        });
        let merged = &mut scratch[..count];
        let reservation = match book.reserve(terms, merged.iter().copied()) {
            Ok(reservation) => reservation,
            Err(error) => {
                claims.release(vm, wish.ranges());
                return Err(error.into());
            }
        };
        for range in merged.iter_mut() {
            // Claimed pages are the VM's own, so each range has a translation.
            *range = translate(vm, *range).unwrap_or(NO_RANGE);
        }
        match forward(vm, kind, &wish, merged) {
            Ok(handle) => {
                let slot = book.fill(reservation, handle);
                if kind == Transfer::Lend {
                    let mut table = stage2(vm);
                    book.ranges(slot).for_each(|range| table.remove_ram(range));
                    sysreg::tlbi_all_guests();
                }
                COUNTERS.shares.count();
                Ok(Answer::handle(handle))
            }
            Err(error) => {
                book.cancel(reservation);
                claims.release(vm, wish.ranges());
                Err(Refusal::Below(error))
            }
        }
    }
}

/// Writes the checked transaction anew, with physical ranges, and sends it.
fn forward(
    vm: VmIndex,
    kind: Transfer,
    wish: &Transaction<'_>,
    ranges: &[PageRange],
) -> Result<MemHandle, FfaError> {
    let mut receivers = [Receiver::read_only(PARTITION_ID); MAX_BORROWERS];
    let mut count = 0;
    for (slot, receiver) in receivers.iter_mut().zip(wish.receivers()) {
        *slot = Receiver { impdef: [0; 16], ..receiver };
        count += 1;
    }
    let spec = Spec {
        version: Version::V1_1,
        role: Role::Send(kind),
        sender: vm.id(),
        attributes: wish.header().attributes,
        flags: Flags::default(),
        handle: None,
        tag: wish.header().tag,
        receivers: receivers.get(..count).unwrap_or_default(),
        ranges,
    };
    let builder = Builder::new(spec).map_err(|error| error.status())?;
    send_in_fragments(vm, kind, builder.total_len(), |offset, out| {
        builder.write(offset, out).map_err(|error| error.status())
    })
}

/// Sends a whole descriptor to the SPMC, back to back. The memory lock keeps every other send out.
pub(super) fn send_in_fragments(
    vm: VmIndex,
    kind: Transfer,
    total: u32,
    write: impl Fn(u32, &mut [u8]) -> Result<usize, FfaError>,
) -> Result<MemHandle, FfaError> {
    let mut page = [0; BUFFER_BYTES];
    let mut put = |offset: u32| -> Result<u32, FfaError> {
        let len = write(offset, &mut page)?;
        spmc_buffers::write_tx(page.get(..len).ok_or(FfaError::NoMemory)?);
        u32::try_from(len).map_err(|_| FfaError::NoMemory)
    };
    let first = put(0)?;
    let lengths = Lengths::new(total, first).ok_or(FfaError::InvalidParameters)?;
    let mut sent = first;
    let mut answer = partition::ffa(&Call::MemSend { kind, lengths })?;
    while sent < total {
        let Answer::MemFragRx { handle, offset, .. } = answer else { return Err(BROKEN) };
        if offset != sent {
            return Err(BROKEN);
        }
        let length = put(sent)?;
        sent += length;
        answer = partition::ffa(&Call::MemFragTx { handle, length, endpoint: vm.id() })?;
    }
    let Answer::Success(success) = answer else { return Err(BROKEN) };
    success.handle().ok_or(BROKEN)
}

/// The SPMC broke the protocol. What it holds cannot be named, so it cannot be freed either.
const BROKEN: FfaError = FfaError::Aborted;
