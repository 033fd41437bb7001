//! Sealing, the ledger and joins as one may not use them. Never reads a record.

use super::Attacker;
use crate::calls::{self, Met, PARTITION};
use crate::cases;
use crate::descriptor::{Descriptor, READ_ONLY};
use crate::rt::{layout, pages};
use causeway_abi::{Call, CopyDirection, DigestHalf, JoinName, LedgerScope};
use causeway_ffa::EndpointId;

/// More than the partition maps of one area.
const PIECES: u64 = 5;

/// Has all of this VM's records chained, as LEDGER_READ wants it.
fn head() {
    let call = Call::LedgerHead { scope: LedgerScope::Own, half: DigestHalf::First };
    for _ in 0..1000 {
        let [_, _, _, waiting] = calls::partition(&call).expect("LEDGER_HEAD");
        if waiting == 0 {
            return;
        }
    }
    panic!("the ledger is never chained");
}

fn read(handle: u64, scope: LedgerScope, cursor: u64) -> Result<[u64; 4], Met> {
    calls::partition(&Call::LedgerRead { handle: calls::name(handle), scope, cursor })
}

impl Attacker {
    pub(super) fn ledger(&self) {
        self.call(&cases::SEAL, calls::partition(&Call::Seal));
        let all = Call::LedgerHead { scope: LedgerScope::All, half: DigestHalf::First };
        self.call(&cases::WHOLE_LEDGER, calls::partition(&all));
        self.call(&cases::LEDGER_OF_ALL, read(self.own, LedgerScope::All, 0));
        self.call(&cases::LEDGER_FOREIGN, read(self.foreign, LedgerScope::Own, 0));
        self.call(&cases::LEDGER_NO_HEAD, read(self.own, LedgerScope::Own, 0));

        let room = pages::take(2 * PIECES);
        let mut read_only = Descriptor::send(3, &[PARTITION], &[(room, 1)]);
        read_only.borrowers = alloc::vec![(PARTITION, READ_ONLY)];
        let handle = self.give(&read_only);
        head();
        self.call(&cases::LEDGER_READ_ONLY, read(handle, LedgerScope::Own, 0));
        self.take_back(handle);

        head();
        // A refusal is a record, too.
        calls::state(self.foreign).expect_err("another's grant");
        self.call(&cases::LEDGER_STALE, read(self.own, LedgerScope::Own, 0));
        head();
        self.call(&cases::LEDGER_CURSOR, read(self.own, LedgerScope::Own, 99 << 48));

        let piece = |index: u64| (room + 2 * index * layout::PAGE_LEN, 1);
        let pieces: alloc::vec::Vec<_> = (0..PIECES).map(piece).collect();
        let handle = self.give(&Descriptor::send(3, &[PARTITION], &pieces));
        head();
        self.call(&cases::LEDGER_IN_PIECES, read(handle, LedgerScope::Own, 0));
        self.take_back(handle);
    }

    pub(super) fn joins(&self) {
        let join = |handle: u64, peer: u16| {
            let name = JoinName { peer: EndpointId::from_raw(peer), number: 1 };
            calls::partition(&Call::Join { handle: calls::name(handle), name })
        };
        self.call(&cases::JOIN_FOREIGN, join(self.foreign, 2));
        self.call(&cases::JOIN_PEER, join(self.own, 1));
        let name = JoinName { peer: EndpointId::from_raw(2), number: 1 };
        self.call(&cases::PART_UNJOINED, calls::partition(&Call::Part { name }));
        self.call(&cases::JOINED_UNJOINED, calls::partition(&Call::Joined { name }));
        let direction = CopyDirection::ToPeer;
        let copy = Call::Copy { name, direction, from_offset: 0, to_offset: 0, length: 16 };
        self.call(&cases::COPY_UNJOINED, calls::partition(&copy));
    }

    /// The area of the FIFO is used: it is neither taken back nor joined.
    pub(super) fn used_area(&self, handle: u64) {
        self.call(&cases::REVOKE_USED, calls::revoke(handle));
        let name = JoinName { peer: EndpointId::from_raw(2), number: 1 };
        let join = Call::Join { handle: calls::name(handle), name };
        self.call(&cases::JOIN_USED, calls::partition(&join));
    }
}
