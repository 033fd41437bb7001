//! Makes the partition map what it maps (a FIFO) and leave alone what it must not map (an area of
//! a remote device), so that its `[sp] MAP` lines can be checked. Never checks those lines: xtask does.

use super::fifo::{self, FifoPages};
use crate::calls::{self, Mailbox, PARTITION, id};
use crate::descriptor::{Descriptor, READ_ONLY};
use crate::rt::{Boot, layout, pages, signal};
use crate::{check, say};
use causeway_abi::{Call, GrantKind, GrantTerms, Permission};
use causeway_virtio::msg::BusResult;

/// Pages of the area of the remote device.
const REMOTE_PAGES: u32 = 2;
/// Where VM 1's RAM begins, as the monitor's map of the machine has it.
const VM1_RAM: u64 = 0x8000_0000;

/// Returns where an address of VM 1 really is.
const fn physical(address: u64) -> u64 {
    address - layout::RAM_START + VM1_RAM
}

/// VM 1.
pub(super) fn owner(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");

    // An area of VM 2: the partition retrieves it and does not map it.
    let area = pages::take(REMOTE_PAGES.into());
    let remote = mailbox.share(area, REMOTE_PAGES, &[PARTITION, 2]).expect("share");
    calls::offer(remote, 2, GrantKind::Share).expect("offer");
    signal::send(2, remote);

    assert!(fifo::greet(), "the bus answers VERSION");
    let (read_only, offered) = read_only_grant(&mailbox);
    let met = fifo::configure(read_only);
    let refused = met == Ok(BusResult::Error);
    check!("mapped_attrs/read_only_fifo_is_refused", offered && refused, "{met:?}");

    let good = FifoPages::grant(&mailbox);
    let (fifo_pa, remote_pa) = (physical(good.address), physical(area));
    say!(
        "NOTE mapped_attrs fifo_pa={fifo_pa:#x} fifo_pages={} remote_pa={remote_pa:#x} \
         remote_pages={REMOTE_PAGES}",
        fifo::PAGES
    );
    let met = good.configure();
    let kicked = calls::partition(&Call::BusKick);
    let mapped = met == Ok(BusResult::Ok) && kicked.is_ok();
    check!("mapped_attrs/fifo_is_mapped", mapped, "{met:?} {kicked:?}");

    assert!(good.take_down(), "the FIFO comes back");
    assert_eq!(signal::receive(2), 1, "VM 2 let go");
    calls::reclaim(remote).expect("reclaim");
}

/// Grants two pages to the partition read-only.
fn read_only_grant(mailbox: &Mailbox) -> (u64, bool) {
    let area = pages::take(2);
    let mut share = Descriptor::send(1, &[PARTITION], &[(area, 2)]);
    share.borrowers = alloc::vec![(PARTITION, READ_ONLY)];
    let handle = mailbox.send(id::SHARE, &share).expect("share read-only");
    let terms = GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadOnly };
    let met = calls::partition(&Call::Offer { handle: calls::name(handle), terms, tag: 0 });
    (handle, met.is_ok())
}

/// VM 2.
pub(super) fn peer(_boot: &Boot) {
    let mailbox = Mailbox::open().expect("mailbox");
    let handle = signal::receive(1);
    let met = calls::accept(handle).map(|_| mailbox.retrieve(1, handle, &[PARTITION, 2]));
    let used = matches!(met, Ok(Ok(_)));
    check!("mapped_attrs/remote_area_is_accepted", used, "{met:?}");
    mailbox.relinquish(handle).expect("relinquish");
    calls::release(handle).expect("release");
    signal::send(1, 1);
}
