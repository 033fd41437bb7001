//! Owns the rows, what each measures, and the running under callgrind. Never lays out memory.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a table for people; it stops at the first surprise"
)]

use super::memory::{Guest, Link};
use causeway_virtio::queue::{Chain, DeviceQueue, DriverQueue, QueueConfig, QueueSize, Segment};
use causeway_virtio::{AreaMap, BusAddr, Features};
use std::hint::black_box;
use std::process::{Command, ExitCode};
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Bytes of each of the four areas of the link.
pub(super) const AREA_BYTES: usize = 0x10_0000;
/// The rings lie in the third area.
const RINGS: u64 = 3 << 48;
/// The request's buffers lie in the second.
const DATA: u64 = 2 << 48;
/// Requests per row: the indices go round the rings several times.
const REQUESTS: u32 = 512;
const SIZE: u16 = 128;

/// Our device side: takes a chain, which copies and checks every descriptor, and returns it.
#[inline(always)]
fn serve_ours<M: AreaMap>(queue: &mut DeviceQueue, mem: &M, chain: &mut Chain<66>) {
    let head = queue.take(mem, chain).expect("an honest driver").expect("a chain");
    black_box(&*chain);
    queue.complete(mem, head, 4097).expect("it was taken");
}

/// One request, and the decision on a notification.
#[inline(never)]
fn cost_device_ours(queue: &mut DeviceQueue, mem: &Link<'_>, chain: &mut Chain<66>) -> bool {
    serve_ours(queue, mem, chain);
    queue.should_notify(mem).expect("an honest driver")
}

/// The same on rust-vmm's memory interface.
#[inline(never)]
fn cost_device_guest_ours(queue: &mut DeviceQueue, mem: &Guest<'_>, chain: &mut Chain<66>) -> bool {
    serve_ours(queue, mem, chain);
    queue.should_notify(mem).expect("an honest driver")
}

/// Many requests, and one decision.
#[inline(never)]
fn cost_device_batch_ours(
    queue: &mut DeviceQueue,
    mem: &Link<'_>,
    chain: &mut Chain<66>,
    batch: u32,
) -> bool {
    for _ in 0..batch {
        serve_ours(queue, mem, chain);
    }
    queue.should_notify(mem).expect("an honest driver")
}

/// The same with rust-vmm's queue: checks happen while the chain is looked at.
#[inline(always)]
fn serve_rust_vmm(queue: &mut Queue, mem: &GuestMemoryMmap) {
    let chain = queue.pop_descriptor_chain(mem).expect("a chain");
    let head = chain.head_index();
    for desc in chain {
        black_box(&desc);
    }
    queue.add_used(mem, head, 4097).expect("it was taken");
}

/// One request with rust-vmm's queue, and the decision.
#[inline(never)]
fn cost_device_rust_vmm(queue: &mut Queue, mem: &GuestMemoryMmap) -> bool {
    serve_rust_vmm(queue, mem);
    queue.needs_notification(mem).expect("an honest driver")
}

/// Many requests with rust-vmm's queue, and one decision.
#[inline(never)]
fn cost_device_batch_rust_vmm(queue: &mut Queue, mem: &GuestMemoryMmap, batch: u32) -> bool {
    for _ in 0..batch {
        serve_rust_vmm(queue, mem);
    }
    queue.needs_notification(mem).expect("an honest driver")
}

/// The measured part of our driver side: offer, decide on a kick.
#[inline(never)]
fn cost_driver_ours<M: AreaMap>(
    queue: &mut DriverQueue<128>,
    mem: &M,
    (table, readable, writable): (Option<BusAddr>, &[Segment], &[Segment]),
    batch: u32,
) -> bool {
    for _ in 0..batch {
        let token = match table {
            Some(table) => queue.submit_indirect(mem, table, readable, writable),
            None => queue.submit(mem, readable, writable),
        };
        black_box(token.expect("there is room"));
    }
    queue.should_kick(mem).expect("an honest device")
}

/// Takes back what the device returned: the other half of the driver side.
#[inline(never)]
fn cost_driver_back_ours<M: AreaMap>(queue: &mut DriverQueue<128>, mem: &M, batch: u32) {
    for _ in 0..batch {
        black_box(queue.pop_used(mem).expect("an honest device").expect("it is back"));
    }
}

/// One row: name, function that is collected, features, whether indirect, requests per decision, goal.
struct Row {
    name: &'static str,
    what: &'static str,
    features: Features,
    indirect: bool,
    batch: u32,
    goal: Option<u64>,
}

const fn row(name: &'static str, what: &'static str, features: Features) -> Row {
    Row { name, what, features, indirect: false, batch: 1, goal: None }
}

const EVENTS: Features = Features::EVENT_IDX;
const PACKED: Features = Features::from_raw(EVENTS.get() | Features::RING_PACKED.get());

const ROWS: &[Row] = &[
    Row { goal: Some(320), ..row("device side, split", "device_ours", EVENTS) },
    row("device side, packed", "device_ours", PACKED),
    Row { indirect: true, ..row("device side, split, indirect", "device_ours", EVENTS) },
    Row { indirect: true, ..row("device side, packed, indirect", "device_ours", PACKED) },
    Row { batch: 32, ..row("device side, split, 32 a decision", "device_batch_ours", EVENTS) },
    Row { batch: 32, ..row("device side, packed, 32 a decision", "device_batch_ours", PACKED) },
    row("device side, split, on GuestMemoryMmap", "device_guest_ours", EVENTS),
    row("rust-vmm device side, split", "device_rust_vmm", EVENTS),
    Row {
        indirect: true,
        ..row("rust-vmm device side, split, indirect", "device_rust_vmm", EVENTS)
    },
    Row {
        batch: 32,
        ..row("rust-vmm device side, split, 32 a decision", "device_batch_rust_vmm", EVENTS)
    },
    row("driver side, split: offer and decide", "driver_ours", EVENTS),
    row("driver side, split: take back", "driver_back_ours", EVENTS),
    Row {
        indirect: true,
        ..row("driver side, split, indirect: offer and decide", "driver_ours", EVENTS)
    },
    row("driver side, packed: offer and decide", "driver_ours", PACKED),
    row("driver side, packed: take back", "driver_back_ours", PACKED),
];

fn config(features: Features) -> QueueConfig {
    QueueConfig {
        size: QueueSize::new(SIZE).expect("a power of two"),
        desc: BusAddr::from_raw(RINGS),
        driver: BusAddr::from_raw(RINGS + 0x1000),
        device: BusAddr::from_raw(RINGS + 0x2000),
        features: features | Features::INDIRECT_DESC,
    }
}

fn rust_vmm_queue(config: &QueueConfig) -> Queue {
    let mut queue = Queue::new(SIZE).expect("a size");
    queue.try_set_desc_table_address(GuestAddress(config.desc.get())).expect("aligned");
    queue.try_set_avail_ring_address(GuestAddress(config.driver.get())).expect("aligned");
    queue.try_set_used_ring_address(GuestAddress(config.device.get())).expect("aligned");
    queue.set_event_idx(true);
    queue.set_ready(true);
    queue
}

/// What runs under callgrind: the whole traffic of one row, of which one function is collected.
fn run(row: &Row) {
    let regions: Vec<_> = (1..=4).map(|id| (GuestAddress(id << 48), AREA_BYTES)).collect();
    let memory = GuestMemoryMmap::from_ranges(&regions).expect("memory");
    let (link, guest) = (Link::new(&memory), Guest(&memory));
    // The compiler must not know what it is asked for: nothing is cut out for one layout.
    let config = black_box(config(row.features));
    let mut driver = DriverQueue::<128>::new(&link, config).expect("good rings");
    let mut device = DeviceQueue::new(&link, config).expect("good rings");
    let mut foreign = rust_vmm_queue(&config);
    let mut chain = Chain::new();
    let at = |offset: u64| BusAddr::from_raw(DATA + offset);
    let readable = [Segment { addr: at(0), len: 16 }];
    let writable = [Segment { addr: at(0x1000), len: 4096 }, Segment { addr: at(16), len: 1 }];
    let table = row.indirect.then_some(BusAddr::from_raw(RINGS + 0x3000));
    for _ in 0..REQUESTS / row.batch {
        black_box(cost_driver_ours(&mut driver, &link, (table, &readable, &writable), row.batch));
        black_box(match row.what {
            "device_rust_vmm" => cost_device_rust_vmm(&mut foreign, &memory),
            "device_batch_rust_vmm" => cost_device_batch_rust_vmm(&mut foreign, &memory, row.batch),
            "device_guest_ours" => cost_device_guest_ours(&mut device, &guest, &mut chain),
            "device_ours" => cost_device_ours(&mut device, &link, &mut chain),
            _ => cost_device_batch_ours(&mut device, &link, &mut chain, row.batch),
        });
        cost_driver_back_ours(&mut driver, &link, row.batch);
    }
}

/// Runs one row under callgrind and returns instructions per request; `None` where that does not
/// work.
fn measure(index: usize, row: &Row) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=cost::table::cost_{}*", row.what))
        .arg(std::env::current_exe().ok()?)
        .args(["run", &index.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "))?.1;
    let all: u64 = collected.split_whitespace().next()?.parse().ok()?;
    Some(all.div_ceil(u64::from(REQUESTS))).filter(|cost| *cost > 0)
}

pub(super) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, index] = args.as_slice()
        && first == "run"
    {
        run(index.parse().ok().and_then(|index: usize| ROWS.get(index)).expect("a row"));
        return ExitCode::SUCCESS;
    }
    let mut missed = 0;
    println!("| one request of 3 buffers | instructions | goal |\n| --- | ---: | ---: |");
    for (index, row) in ROWS.iter().enumerate() {
        let Some(cost) = measure(index, row) else {
            eprintln!("valgrind is missing or cannot run: apt-get install valgrind");
            return ExitCode::from(3);
        };
        let goal = row.goal.map_or_else(|| "-".to_owned(), |goal| goal.to_string());
        missed += u32::from(row.goal.is_some_and(|goal| cost > goal));
        println!("| {} | {cost} | {goal} |", row.name);
    }
    let must_hold = args.iter().any(|arg| arg == "--check");
    if must_hold && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
