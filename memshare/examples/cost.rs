//! Owns the cost table of the broker's decisions: instructions under callgrind, with the image's
//! tables and the ledger, at empty and at full tables. Never measures time, nor the SPMC's work.
//!
//! `cargo run --release -p causeway-memshare --example cost` runs itself once per row under
//! `valgrind --tool=callgrind`, collecting inside one call only, and prints docs/bounds.md's table.
//! `--check` ends with status 1 where a goal is missed, with 3 where valgrind is missing. `run ROW
//! LIVE` is one row without valgrind.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a table for people; it stops at the first surprise"
)]

use causeway_abi::{Call, GrantKind, GrantSummary, GrantTerms, Permission};
use causeway_ffa::{EndpointId, MemHandle, PageAddr, PageRange};
use causeway_memshare::policy::{CopyRule, PairRule, Quota};
use causeway_memshare::{
    Borrower, Caching, Descriptor, Event, FullBroker, Ledger, Next, Notice, Policy, Security, Step,
};
use std::hint::black_box;
use std::process::{Command, ExitCode};

const OWNER: EndpointId = EndpointId::from_raw(1);
const PEER: EndpointId = EndpointId::from_raw(2);
const HYPERVISOR: EndpointId = EndpointId::from_raw(0);
const PARTITION: EndpointId = EndpointId::from_raw(0x8001);

/// What the image keeps: the tables, the ledger, one step.
struct Image {
    broker: Box<FullBroker>,
    ledger: Box<Ledger<128>>,
    step: Box<Step>,
}

fn policy() -> Policy {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR);
    for id in 1..=3 {
        policy.add_vm(EndpointId::from_raw(id)).expect("a VM");
    }
    let window = PageAddr::new(0x8000_0000).and_then(|s| PageRange::new(s, 0x40000));
    policy.add_window(window.expect("a window")).expect("it fits");
    let quota = Quota { grants: 500, pages: 0x10000, ranges: 2500 };
    for (owner, peer) in [(OWNER, None), (OWNER, Some(PEER)), (PEER, None)] {
        let rule = PairRule {
            owner,
            peer,
            share: true,
            lend: true,
            donate: false,
            widest: Permission::ReadWrite,
            max_area_pages: 0x10000,
            quota: if owner == OWNER { quota } else { Quota { grants: 8, pages: 64, ranges: 64 } },
        };
        policy.add_pair(rule).expect("a pair");
    }
    policy.add_copy(CopyRule { from: OWNER, to: PEER, joins: 2 }).expect("a rule");
    policy
}

/// Where the pages of a handle lie: far apart, so that no two touch.
fn range_of(handle: MemHandle, ordinal: u64) -> Option<PageRange> {
    let frame = handle.get() * 2 + ordinal * 0x4000;
    PageAddr::new(0x8000_0000 + frame * 4096).and_then(|start| PageRange::new(start, 1))
}

impl Image {
    fn new() -> Self {
        let (mut broker, mut ledger) = (Box::new(FullBroker::new()), Box::new(Ledger::new()));
        broker.configure(&policy(), PARTITION, 62_500).expect("a policy that fits");
        ledger.configure(&policy());
        Self { broker, ledger, step: Box::new(Step::new()) }
    }

    /// One sequence, as the image drives it, but for what SPMC and MMU do. `ranges`: of an offer.
    fn drive(&mut self, first: Event<'_>, ranges: u64) -> [u64; 4] {
        let Self { broker, ledger, step, .. } = self;
        broker.step_into(1, first, step);
        loop {
            for notice in step.notices() {
                if let Notice::Ledger(record) = notice {
                    ledger.append(1, record);
                }
            }
            match step.next() {
                Next::Retrieve(request) => {
                    let permission = Some(request.permission);
                    let borrower = |id| Borrower { id, permission, executable: false };
                    let borrowers = [borrower(PARTITION), borrower(PEER)];
                    let count = if request.peer.is_some() { 2 } else { 1 };
                    let descriptor = Descriptor {
                        sender: request.owner,
                        tag: 0,
                        kind: Some(request.kind),
                        caching: Caching::NormalWriteBackInner,
                        security: Security::NonSecure,
                        borrowers: borrowers.get(..count).unwrap_or_default(),
                        total_page_count: u32::try_from(ranges).unwrap_or(0),
                        ranges: &mut (0..ranges).map(|n| range_of(request.handle, n)),
                    };
                    broker.step_into(1, Event::Retrieved(Ok(descriptor)), step);
                }
                Next::Relinquish(_) => broker.step_into(1, Event::Relinquished(Ok(())), step),
                Next::Copy { len, .. } => broker.step_into(1, Event::Copied(Ok(len)), step),
                Next::Map { .. } => broker.step_into(1, Event::Mapped(Ok(())), step),
                Next::Unmap { .. } => broker.step_into(1, Event::Unmapped(Ok(())), step),
                Next::Continue => broker.step_into(1, Event::Continue, step),
                Next::Reply([_, results @ ..]) => return results,
                Next::VmReply(_)
                | Next::BusKick { .. }
                | Next::BusFrame { .. }
                | Next::Interrupt { .. }
                | Next::LedgerHead { .. }
                | Next::LedgerRead { .. }
                | Next::Vault { .. }
                | Next::Used(_)
                | Next::Idle => return [0; 4],
            }
        }
    }

    fn call(&mut self, caller: EndpointId, call: Call) -> [u64; 4] {
        self.drive(Event::Frame { caller, frame: call.encode() }, 1)
    }
}

/// What is collected: one call and all that follows from it.
#[inline(never)]
fn cost_call(image: &mut Image, caller: EndpointId, frame: &[u64; 5], ranges: u64) -> [u64; 4] {
    image.drive(Event::Frame { caller, frame: *frame }, ranges)
}

/// What a row needs before its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nothing,
    Offered,
    Accepted,
    Mapped,
    Unmapped,
    Local,
    Joined,
}

/// One row: name, stage, goal at empty tables.
struct Row(&'static str, Stage, Option<u64>);

/// The goal for a call is 1,200 instructions of the partition on the target; what the image adds to
/// a decision (entry, decoding and encoding of registers, the bus's tick) takes 550 of them.
const GOAL: Option<u64> = Some(650);

const ROWS: &[Row] = &[
    Row("VERSION", Stage::Nothing, GOAL),
    Row("FEATURES", Stage::Nothing, GOAL),
    Row("EVENTS", Stage::Nothing, GOAL),
    Row("STATS", Stage::Nothing, GOAL),
    Row("OFFER", Stage::Nothing, None),
    Row("OFFER, local", Stage::Nothing, None),
    Row("OFFER of 15 ranges", Stage::Nothing, None),
    Row("STATE", Stage::Offered, GOAL),
    Row("STATE, unknown handle", Stage::Nothing, GOAL),
    Row("LIST", Stage::Offered, GOAL),
    Row("LIST, nothing there", Stage::Nothing, GOAL),
    Row("INSPECT", Stage::Offered, GOAL),
    Row("ACCEPT", Stage::Offered, GOAL),
    Row("REJECT", Stage::Offered, None),
    Row("HYP_MAPPING", Stage::Accepted, GOAL),
    Row("HYP_UNMAPPED", Stage::Mapped, GOAL),
    Row("RELEASE", Stage::Unmapped, None),
    Row("REVOKE", Stage::Accepted, None),
    Row("REVOKE, local", Stage::Local, None),
    Row("HYP_REGISTER", Stage::Nothing, GOAL),
    Row("HYP_POLL", Stage::Mapped, GOAL),
    Row("BUS_KICK", Stage::Nothing, GOAL),
    Row("JOIN", Stage::Local, GOAL),
    Row("PART", Stage::Joined, GOAL),
    Row("JOINED", Stage::Joined, GOAL),
    Row("COPY", Stage::Joined, None),
];

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).expect("a handle")
}

fn offer(handle: MemHandle, peer: Option<EndpointId>) -> Call {
    let terms = GrantTerms { peer, kind: GrantKind::Share, permission: Permission::ReadWrite };
    Call::Offer { handle, terms, tag: 0 }
}

fn seen(image: &mut Image, handle: MemHandle) -> GrantSummary {
    let [a, b, c, _] = image.call(PEER, Call::Inspect { handle, range_index: 0 });
    GrantSummary::from_words([a, b, c]).expect("a summary")
}

/// Brings the row's grant, handle 1, to its stage.
fn prepare(image: &mut Image, stage: Stage) {
    let mine = handle(1);
    if stage == Stage::Local || stage == Stage::Joined {
        image.call(OWNER, offer(mine, None));
        image.call(PEER, offer(handle(0x3000), None));
        if stage == Stage::Joined {
            let name = |peer| causeway_abi::JoinName { peer, number: 1 };
            image.call(OWNER, Call::Join { handle: mine, name: name(PEER) });
            image.call(PEER, Call::Join { handle: handle(0x3000), name: name(OWNER) });
        }
        return;
    }
    if stage >= Stage::Offered {
        image.call(OWNER, offer(mine, Some(PEER)));
    }
    if stage >= Stage::Accepted {
        let seen = seen(image, mine);
        image.call(PEER, Call::Accept { handle: mine, seen });
    }
    if stage >= Stage::Mapped {
        image.call(HYPERVISOR, Call::HypMapping { handle: mine, vm: PEER });
    }
    if stage == Stage::Unmapped {
        image.call(HYPERVISOR, Call::HypUnmapped { handle: mine, vm: PEER });
    }
}

fn call_of(image: &mut Image, row: &str) -> (EndpointId, Call) {
    let mine = handle(1);
    let name = |peer| causeway_abi::JoinName { peer, number: 1 };
    match row {
        "VERSION" => (OWNER, Call::Version { minor: 1 }),
        "FEATURES" => (OWNER, Call::Features { call_number: 0x20 }),
        "EVENTS" => (PEER, Call::Events),
        "STATS" => (HYPERVISOR, Call::Stats { page: 16 }),
        "OFFER" | "OFFER of 15 ranges" => (OWNER, offer(mine, Some(PEER))),
        "OFFER, local" => (OWNER, offer(mine, None)),
        "STATE" => (OWNER, Call::State { handle: mine }),
        "STATE, unknown handle" => (OWNER, Call::State { handle: handle(0x7777) }),
        "LIST" | "LIST, nothing there" => (PEER, Call::List { cursor: 0 }),
        "INSPECT" => (PEER, Call::Inspect { handle: mine, range_index: 0 }),
        "ACCEPT" => (PEER, Call::Accept { handle: mine, seen: seen(image, mine) }),
        "REJECT" => {
            let generation = seen(image, mine).generation;
            (PEER, Call::Reject { handle: mine, generation })
        }
        "HYP_MAPPING" => (HYPERVISOR, Call::HypMapping { handle: mine, vm: PEER }),
        "HYP_UNMAPPED" => (HYPERVISOR, Call::HypUnmapped { handle: mine, vm: PEER }),
        "RELEASE" => (PEER, Call::Release { handle: mine }),
        "REVOKE" | "REVOKE, local" => (OWNER, Call::Revoke { handle: mine }),
        "HYP_REGISTER" => (HYPERVISOR, Call::HypRegister { sgi: 5, core: 0 }),
        "HYP_POLL" => (HYPERVISOR, Call::HypPoll),
        "BUS_KICK" => (OWNER, Call::BusKick),
        "JOIN" => (OWNER, Call::Join { handle: mine, name: name(PEER) }),
        "PART" => (OWNER, Call::Part { name: name(PEER) }),
        "JOINED" => (OWNER, Call::Joined { name: name(PEER) }),
        _ => {
            let direction = causeway_abi::CopyDirection::ToPeer;
            let (from_offset, to_offset, length) = (0, 0, 4096);
            let name = name(PEER);
            (OWNER, Call::Copy { name, direction, from_offset, to_offset, length })
        }
    }
}

/// What runs under callgrind: a row among `live` other grants, at the worst place: its handle and
/// its page lie before all others.
fn run(row: &Row, live: u64) {
    let mut image = Image::new();
    for other in 0..live {
        image.call(OWNER, offer(handle(0x100 + other), Some(PEER)));
        let seen = seen(&mut image, handle(0x100 + other));
        image.call(PEER, Call::Accept { handle: handle(0x100 + other), seen });
    }
    prepare(&mut image, row.1);
    let (caller, call) = call_of(&mut image, row.0);
    let ranges = if row.0 == "OFFER of 15 ranges" { 15 } else { 1 };
    let frame = black_box(call.encode());
    black_box(cost_call(&mut image, black_box(caller), &frame, black_box(ranges)));
}

/// Runs one row under callgrind; `None` where that does not work.
fn measure(row: &Row, live: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=cost::cost_call*")
        .arg(std::env::current_exe().ok()?)
        .args(["run", row.0, &live.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "))?.1;
    collected.split_whitespace().next()?.parse().ok().filter(|cost| *cost > 0)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, live] = args.as_slice()
        && first == "run"
    {
        let row = ROWS.iter().find(|row| row.0 == name).expect("a row of the table");
        run(row, live.parse().unwrap_or(0));
        return ExitCode::SUCCESS;
    }
    let mut missed = 0;
    println!("| call | alone | among 300 grants | goal, alone |\n| --- | ---: | ---: | ---: |");
    for row in ROWS {
        let (Some(alone), Some(among)) = (measure(row, 0), measure(row, 300)) else {
            eprintln!("valgrind is missing or cannot run: apt-get install valgrind");
            return ExitCode::from(3);
        };
        let goal = row.2.map_or_else(|| "-".to_owned(), |goal| goal.to_string());
        missed += u32::from(row.2.is_some_and(|goal| alone > goal));
        println!("| {} | {alone} | {among} | {goal} |", row.0);
    }
    let must_hold = args.iter().any(|arg| arg == "--check");
    if must_hold && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
