//! Owns the answers to LEDGER_HEAD and LEDGER_READ: what the ledger says, carried into registers or
//! into the reader's area. Never decides who may read: the broker did.

use crate::partition::{Outcome, Partition};
use crate::platform::Platform;
use causeway_abi::{CallId, DigestHalf, Frame, LedgerScope, Reply, Status};
use causeway_ffa::EndpointId;
use causeway_memshare::{Event, GrantId};
use causeway_virtio::fifo::FifoMemory;

/// A call on the ledger that the broker allowed.
#[derive(Clone, Copy)]
pub(crate) enum LedgerTask {
    Head { vm: EndpointId, scope: LedgerScope, half: DigestHalf },
    Read { vm: EndpointId, grant: GrantId, scope: LedgerScope, cursor: u64 },
}

impl<P: Platform> Partition<P> {
    /// Answers a call on the ledger.
    #[inline(never)]
    pub(crate) fn ledger_task(&mut self, task: LedgerTask) -> Frame {
        match task {
            LedgerTask::Head { vm, scope, half } => self.ledger_head(vm, scope, half),
            LedgerTask::Read { vm, grant, scope, cursor } => {
                let number = CallId::LedgerRead.number();
                let reply = match self.ledger_read(vm, grant, scope, cursor) {
                    Ok(results) => Reply::ok(number, results),
                    Err(status) => Reply::refused(number, status),
                };
                reply.encode()
            }
        }
    }

    fn ledger_head(&mut self, vm: EndpointId, scope: LedgerScope, half: DigestHalf) -> Frame {
        let head = match half {
            DigestHalf::First => self.ledger.head(vm, scope),
            DigestHalf::Second => self.ledger.kept_head(vm, scope),
        };
        let (words, _) = head.digest.as_chunks::<8>();
        let from = match half {
            DigestHalf::First => 0,
            DigestHalf::Second => 2,
        };
        let word = |at: usize| words.get(at).copied().map_or(0, u64::from_le_bytes);
        let results = [head.sequence, word(from), word(from + 1), head.unchained];
        Reply::ok(CallId::LedgerHead.number(), results).encode()
    }

    /// Maps the area, writes one page of the dump, unmaps it.
    fn ledger_read(
        &mut self,
        vm: EndpointId,
        grant: GrantId,
        scope: LedgerScope,
        cursor: u64,
    ) -> Result<[u64; 4], Status> {
        let page = self.ledger.page(vm, scope, cursor)?;
        self.use_area(Event::Use { grant })?;
        let area = self.areas.get(grant);
        let written = area.is_some_and(|area| area.write(0, page.bytes()).is_ok());
        self.use_area(Event::Unuse { grant })?;
        if !written {
            return Err(Status::BadArgument);
        }
        let bytes = u64::try_from(page.bytes().len()).unwrap_or(u64::MAX);
        Ok([bytes, page.next_cursor, 0, 0])
    }

    /// Begins or ends a use of an area.
    pub(crate) fn use_area(&mut self, event: Event<'_>) -> Result<(), Status> {
        match self.drive(event) {
            Outcome::Used(result) => result.map(|_| ()),
            Outcome::Frame(_)
            | Outcome::Vm(_)
            | Outcome::Kick(_)
            | Outcome::Bus(_)
            | Outcome::Ledger(_)
            | Outcome::Vault(..)
            | Outcome::Interrupt(..)
            | Outcome::Nothing => Err(Status::PartitionFailed),
        }
    }
}
