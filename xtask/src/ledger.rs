//! Owns `cargo xtask ledger verify`: reads a dump and a head, tells what memshare's check found.
//! Never trusts a dump for its head.

use crate::cli::{LedgerAction, LedgerArgs, VerifyArgs};
use crate::json::{self, Fields};
use crate::outcome::{Stop, files};
use crate::text::bytes_of_hex;
use crate::{paths, say};
use causeway_memshare::ledger::verify::{Broken, RecordName, RingKind, verify};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// No partition has room for more.
const MAX_BYTES: u64 = 64 << 20;

pub(crate) fn ledger(args: &LedgerArgs) -> Result<(), Stop> {
    match &args.action {
        LedgerAction::Verify(args) => {
            if args.json.as_deref().is_some_and(|json| paths::is_same_file(json, &args.file)) {
                return Err(Stop::usage("--json and the dump name the same file")
                    .mend("name another file; the dump is never written"));
            }
            json::reported(args.json.as_deref(), |fields| verify_command(args, fields))
        }
    }
}

fn verify_command(args: &VerifyArgs, fields: &mut Fields) -> Result<(), Stop> {
    let head = args.head.as_deref().map(digest).transpose()?;
    let dump = read(&args.file)?;
    fields.insert("file".to_owned(), args.file.display().to_string().into());
    fields.insert("head".to_owned(), args.head.clone().map_or(Value::Null, Value::from));
    let (result, verdict) = check(&dump, head.as_ref());
    fields.extend(result);
    say::line(&format!("  {}", verdict.as_ref().map_or_else(ToString::to_string, Clone::clone)));
    verdict.map(drop)
}

/// Checks a dump; what it says goes into the fields, and one line of it to a person.
pub(crate) fn check(dump: &[u8], head: Option<&[u8; 32]>) -> (Fields, Result<String, Stop>) {
    let mut fields = Fields::new();
    let verdict = match verify(dump, head) {
        Ok(verified) => {
            fields.insert("records".to_owned(), verified.records.into());
            fields.insert("lost".to_owned(), verified.lost.into());
            fields.insert("sequence".to_owned(), verified.sequence.into());
            fields.insert("anchored".to_owned(), verified.anchored.into());
            Ok(verified.to_string())
        }
        Err(broken) => {
            fields.insert("first_broken_record".to_owned(), first(&broken));
            Err(Stop::failed(broken.to_string()))
        }
    };
    (fields, verdict)
}

fn first(broken: &Broken) -> Value {
    match broken {
        Broken::Missing(name)
        | Broken::OutOfOrder(name)
        | Broken::Edited(name)
        | Broken::NotAnchored(Some(name)) => record(name),
        Broken::NoDump | Broken::Head | Broken::Trailing | Broken::NotAnchored(None) => Value::Null,
    }
}

fn record(name: &RecordName) -> Value {
    json!({
        "ordinal": name.ordinal,
        "vm": name.subject,
        "ring": match name.ring {
            RingKind::Moves => "moves",
            RingKind::Refusals => "refusals",
            RingKind::Looks => "looks",
        },
        "sequence": name.sequence,
    })
}

/// The 32 bytes of 64 hexadecimal digits.
pub(crate) fn digest(text: &str) -> Result<[u8; 32], Stop> {
    let wrong = || {
        Stop::usage(format!("the head {text:?} is not 64 hexadecimal digits"))
            .mend("give the digest that LEDGER_HEAD returned, both halves")
    };
    let bytes = bytes_of_hex(text).ok_or_else(wrong)?;
    bytes.try_into().map_err(|_| wrong())
}

fn read(file: &Path) -> Result<Vec<u8>, Stop> {
    let wrong = |why: &str| Stop::usage(format!("{}: {why}", file.display()));
    let meta = fs::metadata(file).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    if !meta.is_file() {
        return Err(wrong("is not a regular file"));
    }
    if meta.len() > MAX_BYTES {
        return Err(wrong("is larger than 64 MiB, and no dump of a ledger"));
    }
    files::read(file)
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn a_head_is_64_digits() {
        assert_eq!(digest(&"aF".repeat(32)).expect("32 bytes"), [0xaf; 32]);
        for text in ["", "00", &"0".repeat(63), &"0".repeat(66), &"0g".repeat(32)] {
            assert!(digest(text).is_err(), "{text}");
        }
    }
}
