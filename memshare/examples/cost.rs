//! Owns a fixed run of calls over the image's tables, for callgrind: each call in a function of its
//! own, so that its instructions can be read off. Never judges.
//!
//! `valgrind --tool=callgrind target/release/examples/cost`, then `callgrind_annotate
//! --inclusive=yes`; divide by [`ROUNDS`].

use causeway_abi::{Call, GrantKind, GrantSummary, GrantTerms, Permission, Reply};
use causeway_ffa::{EndpointId, MemHandle, PageAddr, PageRange};
use causeway_memshare::policy::{PairRule, Quota};
use causeway_memshare::{
    Borrower, Caching, Descriptor, Event, FullBroker, Ledger, Next, Notice, Policy, Security,
};
use std::hint::black_box;

const OWNER: EndpointId = EndpointId::from_raw(1);
const PEER: EndpointId = EndpointId::from_raw(2);
const PARTITION: EndpointId = EndpointId::from_raw(0x8001);
const ROUNDS: u64 = 1000;

struct Image {
    broker: Box<FullBroker>,
    ledger: Box<Ledger<128>>,
}

fn image() -> Option<Image> {
    let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
    for id in 1..=3 {
        policy.add_vm(EndpointId::from_raw(id)).ok()?;
    }
    policy.add_window(PageRange::new(PageAddr::new(0x8000_0000)?, 0x10000)?).ok()?;
    let quota = Quota { grants: 500, pages: 0x10000, ranges: 4000 };
    let rule = PairRule {
        owner: OWNER,
        peer: Some(PEER),
        share: true,
        lend: true,
        donate: false,
        widest: Permission::ReadWrite,
        max_area_pages: 0x10000,
        quota,
    };
    policy.add_pair(rule).ok()?;
    let (mut broker, mut ledger) = (Box::new(FullBroker::new()), Box::new(Ledger::new()));
    broker.configure(&policy, PARTITION, 62_500).ok()?;
    ledger.configure(&policy);
    Some(Image { broker, ledger })
}

impl Image {
    fn call(&mut self, caller: EndpointId, call: Call) -> Reply {
        let frame = call.encode();
        let mut step = self.broker.step(1, Event::Frame { caller, frame });
        loop {
            for notice in step.notices() {
                if let Notice::Ledger(record) = notice {
                    self.ledger.append(1, record);
                }
            }
            step = match step.next() {
                Next::Retrieve(request) => {
                    let borrower = |id| Borrower {
                        id,
                        permission: Some(request.permission),
                        executable: false,
                    };
                    let page = request.handle.get();
                    let start = PageAddr::new(0x8000_0000 + page * 4096);
                    let ranges = [start.and_then(|s| PageRange::new(s, 1))];
                    let descriptor = Descriptor {
                        sender: OWNER,
                        tag: 0,
                        kind: Some(request.kind),
                        caching: Caching::NormalWriteBackInner,
                        security: Security::NonSecure,
                        borrowers: &[borrower(PARTITION), borrower(PEER)],
                        total_page_count: 1,
                        ranges: &mut ranges.into_iter(),
                    };
                    self.broker.step(1, Event::Retrieved(Ok(descriptor)))
                }
                Next::Relinquish(_) => self.broker.step(1, Event::Relinquished(Ok(()))),
                Next::Reply(frame) => return Reply::decode(&frame).unwrap_or(Reply::ok(0, [0; 4])),
                Next::Map { .. }
                | Next::Unmap { .. }
                | Next::Copy { .. }
                | Next::Continue
                | Next::VmReply(_)
                | Next::BusKick { .. }
                | Next::BusFrame { .. }
                | Next::LedgerHead { .. }
                | Next::LedgerRead { .. }
                | Next::Used(_)
                | Next::Idle => return Reply::ok(0, [0; 4]),
            };
        }
    }
}

#[inline(never)]
fn version(image: &mut Image) -> Reply {
    image.call(OWNER, Call::Version { minor: 1 })
}

#[inline(never)]
fn offer(image: &mut Image, handle: MemHandle) -> Reply {
    let terms =
        GrantTerms { peer: Some(PEER), kind: GrantKind::Share, permission: Permission::ReadWrite };
    image.call(OWNER, Call::Offer { handle, terms, tag: 0 })
}

#[inline(never)]
fn inspect(image: &mut Image, handle: MemHandle) -> Reply {
    image.call(PEER, Call::Inspect { handle, range_index: 0 })
}

#[inline(never)]
fn accept(image: &mut Image, handle: MemHandle, seen: GrantSummary) -> Reply {
    image.call(PEER, Call::Accept { handle, seen })
}

#[inline(never)]
fn release(image: &mut Image, handle: MemHandle) -> Reply {
    image.call(PEER, Call::Release { handle })
}

fn main() {
    let Some(mut image) = image() else { return };
    for round in 0..ROUNDS {
        let Some(handle) = MemHandle::new(round % 400) else { return };
        black_box(version(&mut image));
        black_box(offer(&mut image, handle));
        let [a, b, c, _] = inspect(&mut image, handle).results;
        let Some(seen) = GrantSummary::from_words([a, b, c]) else { return };
        black_box(accept(&mut image, handle, seen));
        black_box(release(&mut image, handle));
    }
    println!("{ROUNDS} rounds");
}
