//! Owns the hypervisor's own calls: version, message pages, share and reclaim in a VM's name. Never
//! speaks to the partition.

use crate::arch::{PAGE_BYTES, Regs, message_pages, say, smc, write_tx};
use crate::measure::Clock;
use causeway_ffa::descriptor::{Builder, Receiver, Spec};
use causeway_ffa::{EndpointId, PageAddr, PageRange, Transfer, Version};

const SUCCESS: u64 = 0x8400_0061;
const MEM_SHARE: u64 = 0xc400_0073;
const MEM_RECLAIM: u64 = 0x8400_0077;
const FRAG_RX: u64 = 0x8400_007a;
const FRAG_TX: u64 = 0x8400_007b;

/// The partition's id.
pub(crate) const PARTITION: EndpointId = EndpointId::from_raw(0x8001);
/// The owner in every section.
pub(crate) const OWNER: EndpointId = EndpointId::from_raw(1);
/// The peer in every section.
pub(crate) const PEER: EndpointId = EndpointId::from_raw(2);

/// Agrees on FF-A 1.1 and registers the message pages.
pub(crate) fn connect() {
    let version = smc(&[0x8400_0063, 0x1_0001, 0, 0, 0, 0, 0, 0]);
    let (tx, rx) = message_pages();
    let mapped = smc(&[0xc400_0066, tx, rx, 1, 0, 0, 0, 0]);
    assert!(mapped[0] == SUCCESS, "RXTX_MAP refused: {mapped:x?}");
    say(format_args!("SPMC version={:#x}", version[0]));
}

/// Who borrows an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Borrowers {
    /// The partition and the peer.
    Both,
    /// The partition alone.
    Partition,
}

/// Pages that one VM shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    /// First byte.
    pub(crate) base: u64,
    /// Ranges, each behind a hole of one page.
    pub(crate) ranges: u64,
    /// Pages of each range.
    pub(crate) pages: u64,
    /// Who borrows it.
    pub(crate) borrowers: Borrowers,
    /// Who owns it.
    pub(crate) owner: EndpointId,
}

impl Area {
    /// One page, shared by the owner with partition and peer.
    pub(crate) const fn page(base: u64) -> Self {
        Self { base, ranges: 1, pages: 1, borrowers: Borrowers::Both, owner: OWNER }
    }

    fn range(&self, index: u64) -> PageRange {
        let start = PageAddr::new(self.base + index * (self.pages + 1) * 4096);
        let pages = u32::try_from(self.pages).expect("areas are below 2^32 pages");
        let range = start.and_then(|start| PageRange::new(start, pages));
        range.expect("areas begin on a page and are not empty")
    }
}

/// Most ranges of an area.
const MAX_RANGES: usize = causeway_bench::plan::MAX_RANGES as usize;

/// FFA_MEM_SHARE in the owner's name. Returns the handle and the ticks in the SPMC.
pub(crate) fn share(clock: &mut Clock, area: &Area) -> (u64, Counted) {
    let mut ranges = [area.range(0); MAX_RANGES];
    let count = usize::try_from(area.ranges).expect("few ranges");
    for (index, range) in (0..).zip(ranges[..count].iter_mut()) {
        *range = area.range(index);
    }
    let both = [Receiver::read_write(PARTITION), Receiver::read_write(PEER)];
    let receivers = match area.borrowers {
        Borrowers::Both => &both[..],
        Borrowers::Partition => &both[..1],
    };
    let spec =
        Spec::send(Version::V1_1, Transfer::Share, area.owner, 0, receivers, &ranges[..count]);
    let builder = Builder::new(spec).expect("our own descriptor is well formed");
    let mut page = [0; PAGE_BYTES];
    let mut put = |offset: u32| {
        let len = builder.write(offset, &mut page).expect("the page is long enough");
        write_tx(&page[..len]);
        u32::try_from(len).expect("at most a page")
    };
    let total = builder.total_len();
    let mut sent = put(0);
    let mut counted = Counted::default();
    let regs = [MEM_SHARE, u64::from(total), u64::from(sent), 0, 0, 0, 0, 0];
    let mut answer = counted.call(clock, &regs);
    while sent < total {
        assert!(answer[0] == FRAG_RX, "share refused: {answer:x?}");
        let (low, high) = (answer[1], answer[2]);
        let len = put(sent);
        sent += len;
        let owner = u64::from(area.owner.get()) << 16;
        answer = counted.call(clock, &[FRAG_TX, low, high, u64::from(len), owner, 0, 0, 0]);
    }
    assert!(answer[0] == SUCCESS, "share refused: {answer:x?}");
    (answer[2] & 0xffff_ffff | answer[3] << 32, counted)
}

/// FFA_MEM_RECLAIM.
pub(crate) fn reclaim(clock: &mut Clock, handle: u64) -> Counted {
    let mut counted = Counted::default();
    let regs = [MEM_RECLAIM, handle & 0xffff_ffff, handle >> 32, 0, 0, 0, 0, 0];
    let answer = counted.call(clock, &regs);
    assert!(answer[0] == SUCCESS, "reclaim of {handle:#x} refused: {answer:x?}");
    counted
}

/// Ticks of several calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) ticks: u64,
    pub(crate) pairs: u64,
}

impl Counted {
    /// Makes a call and counts it.
    pub(crate) fn call(&mut self, clock: &mut Clock, regs: &Regs) -> Regs {
        let (ticks, answer) = clock.time(|| smc(regs));
        self.ticks += ticks;
        self.pairs += 1;
        answer
    }

    /// Adds another count.
    pub(crate) fn and(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.pairs += other.pairs;
    }
}
