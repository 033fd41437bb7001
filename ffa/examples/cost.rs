//! Owns the cost table of the descriptor parser: instructions under callgrind, beside arm-ffa.
//! Never measures time: under emulation it says nothing.
//!
//! `cargo run --release -p causeway-ffa --example cost` runs itself once per row under
//! `valgrind --tool=callgrind`, collecting inside one function only, and prints docs/ffa-cost.md's
//! table. `--check` ends with status 1 where a goal is missed, with 3 where valgrind is missing.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a table for people; it stops at the first surprise"
)]

use arm_ffa::memory_management::MemTransactionDesc;
use causeway_ffa::descriptor::{Builder, FirstFragment, Receiver, Role, Spec, Transaction};
use causeway_ffa::{EndpointId, PageAddr, PageRange, Transfer, Version};
use std::hint::black_box;
use std::process::{Command, ExitCode};

/// Header, two receivers and composite: a first fragment without constituents.
#[inline(never)]
fn cost_header(bytes: &[u8], total_len: u32, (version, role): (Version, Role)) -> u32 {
    let first = FirstFragment::parse(bytes, total_len, version, role);
    first.map_or(0, |first| first.page_count())
}

/// A whole descriptor: every rule is checked.
#[inline(never)]
fn cost_parse(bytes: &[u8], (version, role): (Version, Role)) -> u32 {
    let whole = Transaction::parse(bytes, version, role);
    whole.map_or(0, |whole| whole.page_count())
}

/// A whole descriptor, of which every range is looked at: what arm-ffa's iterators do in one.
#[inline(never)]
fn cost_walk(bytes: &[u8], (version, role): (Version, Role)) -> u32 {
    let whole = Transaction::parse(bytes, version, role);
    whole
        .map_or(0, |whole| whole.ranges().fold(0, |sum, range| sum ^ black_box(range).page_count()))
}

/// arm-ffa reads header and receivers.
#[inline(never)]
fn cost_arm_header(bytes: &[u8]) -> u32 {
    let Ok((_, receivers, _)) = MemTransactionDesc::unpack(bytes) else { return 0 };
    receivers.flatten().fold(0, |sum, one| sum ^ u32::from(black_box(one).endpoint_id))
}

/// arm-ffa reads everything.
#[inline(never)]
fn cost_arm_walk(bytes: &[u8]) -> u32 {
    let Ok((_, receivers, Some(ranges))) = MemTransactionDesc::unpack(bytes) else {
        return 0;
    };
    let ids = receivers.flatten().fold(0, |sum, one| sum ^ u32::from(one.endpoint_id));
    ranges.flatten().fold(ids, |sum, range| sum ^ black_box(range).page_cnt)
}

/// A share of `count` one-page ranges in ascending order with {partition, VM 2}.
fn share(count: u64) -> Vec<u8> {
    let id = EndpointId::from_raw;
    let receivers = [Receiver::read_write(id(0x8001)), Receiver::read_write(id(2))];
    let at = |n: u64| PageAddr::new(0x8000_0000 + n * 0x2000).expect("a page");
    let ranges: Vec<PageRange> =
        (0..count).map(|n| PageRange::new(at(n), 1).expect("a range")).collect();
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 7, &receivers, &ranges);
    let builder = Builder::new(spec).expect("a good descriptor");
    let mut bytes = vec![0; usize::try_from(builder.total_len()).expect("it is small")];
    builder.write(0, &mut bytes).expect("it fits");
    bytes
}

/// One row: name, function in the trace, ranges, goal.
struct Row(&'static str, &'static str, u64, Option<u64>);

const ROWS: &[Row] = &[
    Row("header and 2 receivers", "header", 0, Some(250)),
    Row("whole, 128 ranges", "parse", 128, Some(3000)),
    Row("whole, 256 ranges", "parse", 256, None),
    Row("whole, 512 ranges", "parse", 512, None),
    Row("whole and walk, 128 ranges", "walk", 128, None),
    Row("arm-ffa 0.5: header and 2 receivers", "arm_header", 0, None),
    Row("arm-ffa 0.5: whole and walk, 128 ranges", "arm_walk", 128, None),
    Row("arm-ffa 0.5: whole and walk, 256 ranges", "arm_walk", 256, None),
    Row("arm-ffa 0.5: whole and walk, 512 ranges", "arm_walk", 512, None),
];

/// What runs under callgrind.
fn run(what: &str, count: u64) {
    // One range more than none, so that there is a composite; the first fragment ends before it.
    let bytes = share(count.max(1));
    let total_len = u32::try_from(bytes.len()).expect("it is small");
    let prefix = bytes.get(..bytes.len() - 16).expect("it has a range");
    // The compiler must not know what it is asked for: nothing is cut out for one version and role.
    let how = black_box((Version::V1_1, Role::Send(Transfer::Share)));
    let (bytes, prefix) = black_box((bytes.as_slice(), prefix));
    let result = match what {
        "header" => cost_header(prefix, total_len, how),
        "parse" => cost_parse(bytes, how),
        "walk" => cost_walk(bytes, how),
        "arm_header" => cost_arm_header(bytes),
        _ => cost_arm_walk(bytes),
    };
    black_box(result);
}

/// Runs one row under callgrind; `None` where that does not work.
fn measure(row: &Row) -> Option<u64> {
    let Row(_, what, count, _) = row;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=cost::cost_{what}*"))
        .arg(std::env::current_exe().ok()?)
        .args(["run", what, &count.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "))?.1;
    collected.split_whitespace().next()?.parse().ok().filter(|cost| *cost > 0)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, what, count] = args.as_slice()
        && first == "run"
    {
        run(what, count.parse().unwrap_or(0));
        return ExitCode::SUCCESS;
    }
    let mut missed = 0;
    println!("| what | instructions | goal |\n| --- | ---: | ---: |");
    for row in ROWS {
        let Some(cost) = measure(row) else {
            eprintln!("valgrind is missing or cannot run: apt-get install valgrind");
            return ExitCode::from(3);
        };
        let goal = row.3.map_or_else(|| "-".to_owned(), |goal| goal.to_string());
        missed += u32::from(row.3.is_some_and(|goal| cost > goal));
        println!("| {} | {cost} | {goal} |", row.0);
    }
    let must_hold = args.iter().any(|arg| arg == "--check");
    if must_hold && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
