//! Spoofed senders, and handles that are stale, foreign or invented. Never a malformed descriptor.

use super::Attacker;
use crate::calls::{self, PARTITION};
use crate::cases;
use crate::descriptor::Descriptor;
use crate::rt::{hvc, layout, pages, signal};
use causeway_abi::{Call, GrantKind, Reply, Status};

/// The id of no VM.
const STRANGER: u16 = 9;

impl Attacker {
    /// A handle that the SPMC does not give out.
    fn invented(&self) -> u64 {
        self.foreign ^ (1 << 40)
    }

    pub(super) fn messages(&self) {
        // As VM 1, STATE of its grant would be answered; the vouched sender is VM 3.
        let state = Call::State { handle: calls::name(self.foreign) }.encode();
        self.call(&cases::SPOOFED_MESSAGE, answered(calls::message(1, PARTITION, state)));
        let events = Call::Events.encode();
        self.call(&cases::STRANGER, answered(calls::message(STRANGER, PARTITION, events)));
        let poll = Call::HypPoll.encode();
        self.call(&cases::SPOOFED_HYPERVISOR, answered(calls::message(0, PARTITION, poll)));
        let own = signal::own_id();
        self.call(&cases::WRONG_RECEIVER, calls::message(own, 1, Call::Events.encode()));
        let share = Descriptor::send(1, &[PARTITION], &[(self.page, 1)]);
        self.share_case(&cases::SPOOFED_SHARE, &share);
    }

    pub(super) fn handles(&self) {
        let stale = self.mailbox.share(self.page, 1, &[PARTITION]).expect("share");
        calls::offer(stale, 0, GrantKind::Share).expect("offer");
        calls::revoke(stale).expect("revoke");
        calls::reclaim(stale).expect("reclaim");
        self.call(&cases::STALE_HANDLE, calls::state(stale));
        self.ffa(&cases::STALE_RECLAIM, calls::reclaim(stale));
        self.call(&cases::FOREIGN_HANDLE, calls::state(self.foreign));
        self.ffa(&cases::FOREIGN_RECLAIM, calls::reclaim(self.foreign));
        let offer = calls::offer(self.foreign, 0, GrantKind::Share);
        self.call(&cases::FOREIGN_OFFER, offer);
        self.call(&cases::INVENTED_HANDLE, calls::state(self.invented()));
        self.ffa(&cases::INVENTED_RECLAIM, calls::reclaim(self.invented()));
        let offer = calls::offer(self.invented(), 0, GrantKind::Share);
        self.call(&cases::OFFER_WITHOUT_SHARE, offer);
        let retrieve = self.mailbox.retrieve(1, self.foreign, &[PARTITION, 2]);
        self.ffa(&cases::RETRIEVE_FOREIGN, retrieve);
        let fragment = [calls::id::FRAG_TX, self.invented() & 0xffff_ffff, self.invented() >> 32];
        let [f, low, high] = fragment;
        self.ffa(&cases::STRAY_FRAGMENT, calls::ffa([f, low, high, 64, 0, 0, 0, 0]));
        let (low, high) = (self.foreign & 0xffff_ffff, self.foreign >> 32);
        let asked = calls::ffa([calls::id::FRAG_RX, low, high, 0, 0, 0, 0, 0]);
        self.ffa(&cases::FRAGMENT_ASKED, asked);
        let parts = calls::ffa([calls::id::RETRIEVE, 96, 48, 0, 0, 0, 0, 0]);
        self.ffa(&cases::RETRIEVE_IN_PARTS, parts);
        self.rxtx_of_other_memory();
        let set = [0x8400_0081, (3 << 16) | 1, 0, 0, 1 << 31, 0, 0, 0];
        self.ffa(&cases::NOTIFY_UNBOUND, calls::ffa(set));
    }

    /// Gives up the buffers, asks for ones that lie elsewhere, and takes the own ones again.
    fn rxtx_of_other_memory(&self) {
        calls::ffa([calls::id::RXTX_UNMAP, 0, 0, 0, 0, 0, 0, 0]).expect("unmap");
        let elsewhere = pages::end() + 16 * layout::PAGE_LEN;
        let met = calls::ffa([
            calls::id::RXTX_MAP,
            elsewhere,
            elsewhere + layout::PAGE_LEN,
            1,
            0,
            0,
            0,
            0,
        ]);
        self.map_own_buffers();
        self.ffa(&cases::RXTX_FOREIGN, met);
    }

    /// Maps this VM's message buffers, whether they are mapped or not.
    pub(super) fn map_own_buffers(&self) {
        let regs = [calls::id::RXTX_MAP, self.mailbox.tx, self.mailbox.rx, 1, 0, 0, 0, 0];
        hvc::call(regs);
    }
}

/// Reads a frame's answer as the answer to a call.
fn answered(answer: Result<causeway_abi::Frame, calls::Met>) -> Result<(), calls::Met> {
    let reply = Reply::decode(&answer?).ok_or(calls::Met::Malformed)?;
    if reply.status == Status::Ok { Ok(()) } else { Err(calls::Met::Status(reply.status)) }
}
