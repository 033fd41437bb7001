//! Owns the tests of `cargo xtask ledger verify` as a user meets it. Never looks at memshare's
//! insides: the dumps are made by its public interface, as the partition makes them.

use causeway_abi::{LedgerScope, LifeState, Status};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::Policy;
use causeway_memshare::ledger::{Action, Ledger, Record};
use std::fs;
use std::path::Path;
use std::process::Command;

const UNIT: usize = 96;
const AUDITOR: EndpointId = EndpointId::from_raw(1);

fn record(subject: u16, action: Action) -> Record {
    Record {
        subject: EndpointId::from_raw(subject),
        owner: None,
        peer: None,
        handle: MemHandle::new(7),
        generation: 1,
        page_count: 1,
        action,
        fold: 0,
    }
}

struct Dump {
    bytes: Vec<u8>,
    head: String,
    /// Where the records begin.
    records: usize,
}

/// A dump as the auditor reads it, after `moves` moves and as many refusals, and a look.
fn dump(moves: u64) -> Dump {
    let mut policy = Policy::new().with_hypervisor(EndpointId::from_raw(0));
    policy.add_vm(EndpointId::from_raw(1)).expect("room");
    let mut ledger = Ledger::<16>::new();
    ledger.configure(&policy);
    for time in 0..moves {
        ledger.append(time, &record(1, Action::Moved(LifeState::Offered)));
        let call_number = u8::try_from(time).expect("few");
        ledger.append(time, &record(1, Action::Refused { call_number, status: Status::Busy }));
    }
    ledger.append(moves, &record(1, Action::Looked { call_number: 0x7d }));
    let mut head = ledger.head(AUDITOR, LedgerScope::All);
    while head.unchained > 0 {
        head = ledger.head(AUDITOR, LedgerScope::All);
    }
    let (mut bytes, mut cursor) = (Vec::new(), 0);
    loop {
        let page = ledger.page(AUDITOR, LedgerScope::All, cursor).expect("a page");
        bytes.extend_from_slice(page.bytes());
        cursor = page.next_cursor;
        if cursor == 0 {
            break;
        }
    }
    let records = bytes.len() - (2 * usize::try_from(moves).expect("few") + 1) * UNIT;
    let head = head.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Dump { bytes, head, records }
}

struct Seen {
    code: Option<i32>,
    stdout: String,
    last: String,
    stderr: String,
    json: serde_json::Value,
}

fn verify(bytes: &[u8], head: Option<&str>) -> Seen {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("ledger.bin"), bytes).expect("written");
    verify_in(dir.path(), "ledger.bin", head)
}

fn verify_in(dir: &Path, file: &str, head: Option<&str>) -> Seen {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(dir)
        .args(["ledger", "verify", file, "--json", "out.json"])
        .args(head.iter().flat_map(|head| ["--head", head]))
        .output()
        .expect("started");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = fs::read(dir.join("out.json")).expect("the JSON file is written");
    Seen {
        code: output.status.code(),
        last: stdout.lines().last().unwrap_or_default().to_owned(),
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        json: serde_json::from_slice(&json).expect("JSON"),
    }
}

/// Refused with status 1; stdout, JSON and the last line name the same record.
fn refused(seen: &Seen, ordinal: u64, words: &str) {
    assert_eq!(seen.code, Some(1), "{}{}", seen.stdout, seen.stderr);
    assert!(seen.last.starts_with("FAIL: ") && seen.last.contains(words), "{}", seen.last);
    assert!(seen.last.contains(&format!("record {ordinal} ")), "{}", seen.last);
    assert_eq!(seen.json["pass"], false);
    assert_eq!(seen.json["first_broken_record"]["ordinal"], ordinal);
    let reason = seen.json["reason"].as_str().expect("a reason");
    assert_eq!(seen.last, format!("FAIL: {reason}"));
}

#[test]
fn a_true_dump_passes_and_without_a_head_is_not_anchored() {
    let dump = dump(5);
    let seen = verify(&dump.bytes, Some(&dump.head));
    assert_eq!((seen.code, seen.last.as_str()), (Some(0), "PASS"), "{}", seen.stderr);
    assert!(seen.stdout.contains("consistent, anchored: 11 records"), "{}", seen.stdout);
    assert_eq!(
        (seen.json["records"].as_u64(), seen.json["anchored"].as_bool()),
        (Some(11), Some(true))
    );
    let loose = verify(&dump.bytes, None);
    assert_eq!(loose.code, Some(0), "{}", loose.stderr);
    assert!(loose.stdout.contains("consistent, not anchored"), "{}", loose.stdout);
    assert_eq!(loose.json["anchored"], false);
}

/// A VM's dump of one move and one refusal, written by the partition before there were rings of looks.
const FIRST_VERSION: [&str; 15] = [
    "43574c4544475231020000000000000002000000000000000000000000000000",
    "bce23c23d47b61ada43ff129fae4cdbd3c307992e63b852eac7d9f3806ff1237",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000010000000000000001000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0ed99757ecf1adfa8c463ed8bce9e23abae931e094c3cd064a3862f749288457",
    "0100010000000000010000000000000001000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "9cbf2f4595c20107f59d3370bb4330ebe4a03384a5b177ea427bb982061b861f",
    "0100000000000000010000000000000001000000000000000100ffffffff0101",
    "0700000000000000000000000000000000000000000000000000000000000000",
    "0ed99757ecf1adfa8c463ed8bce9e23abae931e094c3cd064a3862f749288457",
    "0100000000000000020000000000000001000000000000000100ffffffff0605",
    "ffffffffffffffff0000000000000000000000001a0000000000000000000000",
    "9cbf2f4595c20107f59d3370bb4330ebe4a03384a5b177ea427bb982061b861f",
];

#[test]
fn a_dump_of_the_first_version_is_checked_as_before() {
    let text = FIRST_VERSION.concat();
    let byte = |at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal");
    let mut bytes: Vec<u8> = (0..text.len() / 2).map(byte).collect();
    let head = FIRST_VERSION[1];
    let seen = verify(&bytes, Some(head));
    assert_eq!((seen.code, seen.last.as_str()), (Some(0), "PASS"), "{}", seen.stdout);
    assert!(seen.stdout.contains("consistent, anchored: 2 records"), "{}", seen.stdout);
    // Under another version's name its digest is another.
    bytes[7] = b'2';
    assert_eq!(verify(&bytes, Some(head)).code, Some(1));
}

#[test]
fn a_look_is_named_as_one() {
    let mut dump = dump(1);
    assert_eq!(verify(&dump.bytes, Some(&dump.head)).json["records"], 3);
    let count = dump.bytes.len() - UNIT + 16;
    dump.bytes[count] ^= 1;
    let seen = verify(&dump.bytes, Some(&dump.head));
    refused(&seen, 3, "is not what was chained");
    assert_eq!(seen.json["first_broken_record"]["ring"], "looks");
}

#[test]
fn a_truncated_dump_is_refused_and_the_missing_record_named() {
    let dump = dump(5);
    for head in [Some(dump.head.as_str()), None] {
        let seen = verify(&dump.bytes[..dump.bytes.len() - UNIT], head);
        refused(&seen, 11, "is missing");
    }
    let empty = verify(&[], None);
    assert_eq!((empty.code, empty.json["pass"].as_bool()), (Some(1), Some(false)));
}

#[test]
fn a_reordered_dump_is_refused_and_the_place_named() {
    let mut dump = dump(5);
    let third = dump.records + 2 * UNIT;
    let (a, b) = dump.bytes[third..].split_at_mut(UNIT);
    a.swap_with_slice(&mut b[..UNIT]);
    refused(&verify(&dump.bytes, Some(&dump.head)), 3, "another one stands in the place of");
    refused(&verify(&dump.bytes, None), 3, "another one stands in the place of");
}

#[test]
fn an_edited_dump_is_refused_and_the_record_named() {
    let mut dump = dump(5);
    // The page count of the second record.
    dump.bytes[dump.records + UNIT + 48] ^= 1;
    refused(&verify(&dump.bytes, Some(&dump.head)), 2, "is not what was chained");
    refused(&verify(&dump.bytes, None), 2, "is not what was chained");
}

#[test]
fn a_dump_that_was_hashed_anew_is_refused_by_its_head_only() {
    let (true_one, forged) = (dump(5), dump(4));
    let seen = verify(&forged.bytes, Some(&true_one.head));
    refused(&seen, 1, "hashed anew");
    let loose = verify(&forged.bytes, None);
    assert_eq!(loose.code, Some(0), "nothing in the file itself can tell");
    assert!(loose.stdout.contains("not anchored"));
}

#[test]
fn files_and_heads_that_cannot_be_used_are_wrong_usage() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = verify_in(dir.path(), "none.bin", None);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert!(missing.last.contains("none.bin: cannot be read"), "{}", missing.last);
    let dump = dump(1);
    let odd = verify(&dump.bytes, Some("12"));
    assert_eq!(odd.code, Some(2), "{}", odd.stderr);
    assert!(odd.last.contains("64 hexadecimal digits"), "{}", odd.last);
    assert_eq!(odd.json["pass"], false);
    let folder = verify_in(dir.path(), ".", None);
    assert_eq!(folder.code, Some(2), "{}", folder.stderr);
}
