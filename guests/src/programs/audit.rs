//! Owns the reading and printing of the ledger for tests; never judges what it says.

use crate::records::UNIT_BYTES;
use crate::rt::client::{mailbox, take_pages};
use crate::say;
use alloc::string::String;
use alloc::vec::Vec;
use causeway_abi::LedgerScope;
use causeway_client::conduit::Hvc;
use causeway_client::ledger::{Head, Reader};
use causeway_client::{Connection, Error};
use core::fmt::Write as _;

/// What a dump is, with the number of its pages.
pub(super) struct Read {
    /// The head that was taken before.
    pub(super) head: Head,
    /// The bytes of all pages.
    pub(super) bytes: Vec<u8>,
    /// How many pages there were.
    pub(super) page_count: usize,
}

/// Makes an area for the ledger's pages.
pub(super) fn reader<'c>(connection: &'c Connection<'c>) -> Reader<'c> {
    Reader::open(connection, take_pages(1)).expect("an area for the ledger")
}

/// Reads the whole dump of a scope.
pub(super) fn dump(reader: &Reader<'_>, scope: LedgerScope) -> Result<Read, Error> {
    let (mut bytes, mut page_count) = (Vec::new(), 0);
    let head = reader.dump(scope, |page| {
        if page.is_empty() {
            (bytes, page_count) = (Vec::new(), 0);
        } else {
            page_count += 1;
            bytes.extend_from_slice(page);
        }
    })?;
    Ok(Read { head, bytes, page_count })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string does not fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// Prints a dump for the host to verify, a unit a line, and its head.
pub(super) fn print(read: &Read) {
    for unit in read.bytes.chunks(UNIT_BYTES) {
        say!("LEDGER {}", hex(unit));
    }
    let Head { sequence, digest } = &read.head;
    say!("LEDGER_HEAD scope=all sequence={sequence} digest={}", hex(digest));
}

/// Prints the whole ledger when a job is over, for a report. It is no test: a job that left the
/// message buffers mapped, or sealed the partition, gives none.
pub(super) fn print_at_the_end() {
    let printed = read_all();
    if let Err(error) = printed {
        say!("NOTE ledger is not printed: {error}");
    }
}

fn read_all() -> Result<(), Error> {
    let connection = Connection::open(&Hvc, mailbox()).map_err(|failed| failed.error)?;
    let reader = Reader::open(&connection, take_pages(1)).map_err(|failed| failed.error)?;
    print(&dump(&reader, LedgerScope::All)?);
    Ok(())
}
