//! Owns the reading of the partition's ledger and the freezing of grants; never judges a record.
//!
//! The partition notes each move of a grant, each refusal and each life of a VM. A VM may read its
//! own records, and the VM that policy names as auditor everybody's. What [`Reader::dump`] yields is
//! a file for `cargo xtask ledger verify FILE --head DIGEST`; docs/ledger.md has its bytes. Keep the
//! [`Head`] apart from the dump: only a head that came another way shows that a dump was replaced.
//!
//! ```
//! # #[macro_use] mod world { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/support/world.rs")); }
//! # two_vms!(platform, one, two, connection, other);
//! # use causeway_client::{Bound, Error};
//! # let idle = || ();
//! # let wait = world::Rest::new(&platform, &idle);
//! use causeway_abi::{CallId, LedgerScope};
//! use causeway_client::ledger::{Head, PAGE_BYTES, Page, Reader, has_call, head, seal};
//!
//! assert!(has_call(&connection, CallId::LedgerRead)?);
//! let reader = Reader::open(&connection, one.pages(1)).map_err(|failed| failed.error)?;
//! println!("the reader's area is {:?}", reader.state()?);
//!
//! // All of this VM's records. An empty page says: forget what came so far.
//! let mut dump = Vec::new();
//! let anchor: Head = reader.dump(LedgerScope::Own, |page| match page {
//!     [] => dump.clear(),
//!     bytes => dump.extend_from_slice(bytes),
//! })?;
//! assert!(!dump.is_empty() && anchor.sequence > 0);
//!
//! // Or page by page, after a head.
//! assert!(head(&connection, LedgerScope::Own)?.sequence >= anchor.sequence);
//! let mut bytes = [0; PAGE_BYTES];
//! let Page { len_bytes, next_cursor } = reader.page(LedgerScope::Own, 0, &mut bytes)?;
//! assert!(len_bytes > 0 && next_cursor.is_none());
//! reader.close(&wait, Bound::millis(100)).map_err(|failed| failed.error)?;
//!
//! // Freezing the set of grants is for the VM that policy names.
//! assert!(seal(&connection).is_err());
//! # Ok::<(), Error>(())
//! ```

use crate::connection::Connection;
use crate::error::{Awaited, Error, Rule};
use crate::grant::{Grant, NotClosed, NotGranted};
use crate::memory::Pages;
use crate::wait::{Bound, Wait};
use causeway_abi::{Call, CallId, DigestHalf, GrantKind, GrantTerms, LedgerScope, Permission};
use causeway_abi::{LifeState, Status};

/// Most bytes that one LEDGER_READ writes.
pub const PAGE_BYTES: usize = 4096;
/// How often LEDGER_HEAD is repeated while records wait to be chained: far more than any table has.
const HEAD_TRIES: u32 = 1024;
/// How often a dump is begun anew because something happened in between.
const DUMP_TRIES: u32 = 16;
/// Most pages of a dump: a partition that never ends it can't keep a caller busy.
const MAX_PAGES: u32 = 4096;

/// What all records of a scope lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Records made so far, lost ones included.
    pub sequence: u64,
    /// SHA-256 over the ends of all chains.
    pub digest: [u8; 32],
}

/// Freezes the set of grants until the platform is reset (SEAL, repeated until the partition has no
/// work left with it); returns how many are in the set.
///
/// # Errors
/// The partition's refusal: [`Status::PolicyCaller`] unless policy names this VM.
pub fn seal(connection: &Connection<'_>) -> Result<u64, Error> {
    let [count, mut left, ..] = connection.call(Call::Seal)?;
    // The set is frozen; who stops here only leaves work to others.
    for _ in 0..SEAL_CALLS {
        if left == 0 {
            break;
        }
        [_, left, ..] = connection.call(Call::Seal)?;
    }
    Ok(count)
}

/// Far more calls than a partition with full tables needs.
const SEAL_CALLS: u32 = 1000;

/// Reports whether the partition has a call.
///
/// # Errors
/// What went wrong with the call.
pub fn has_call(connection: &Connection<'_>, id: CallId) -> Result<bool, Error> {
    let [exists, ..] = connection.call(Call::Features { call_number: id.number() })?;
    Ok(exists == 1)
}

/// Has what waits chained, and returns the head.
///
/// # Errors
/// The partition's refusal, [`Status::PolicyCaller`] for a scope that is not the caller's;
/// [`Rule::EndlessList`] if the partition never comes to an end.
pub fn head(connection: &Connection<'_>, scope: LedgerScope) -> Result<Head, Error> {
    for _ in 0..HEAD_TRIES {
        let half = DigestHalf::First;
        let [sequence, a, b, waiting] = connection.call(Call::LedgerHead { scope, half })?;
        if waiting == 0 {
            let half = DigestHalf::Second;
            let [_, c, d, _] = connection.call(Call::LedgerHead { scope, half })?;
            let mut digest = [0; 32];
            for (bytes, word) in digest.as_chunks_mut::<8>().0.iter_mut().zip([a, b, c, d]) {
                *bytes = word.to_le_bytes();
            }
            return Ok(Head { sequence, digest });
        }
    }
    Err(Error::partition(Rule::EndlessList))
}

/// One page of a dump, as the partition wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Bytes at the start of the buffer that are the dump's.
    pub len_bytes: usize,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<u64>,
}

/// An area of this VM into which the partition writes pages of the ledger.
#[derive(Debug)]
pub struct Reader<'c> {
    connection: &'c Connection<'c>,
    area: Grant<'c>,
}

impl<'c> Reader<'c> {
    /// Shares `pages` (one is enough) with the partition alone.
    ///
    /// # Errors
    /// [`NotGranted`] with the pages.
    pub fn open(connection: &'c Connection<'c>, pages: Pages<'c>) -> Result<Self, NotGranted<'c>> {
        let terms =
            GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
        Ok(Self { connection, area: Grant::offer(connection, pages, terms)? })
    }

    /// Reads one page. `cursor` is 0 to begin, then what the last page said. A head of this scope
    /// must have been taken before.
    ///
    /// # Errors
    /// The partition's refusal; [`Rule::AnswerValues`] for a length beyond a page.
    pub fn page(
        &self,
        scope: LedgerScope,
        cursor: u64,
        into: &mut [u8; PAGE_BYTES],
    ) -> Result<Page, Error> {
        let handle = self.area.handle();
        let [written, next, ..] =
            self.connection.call(Call::LedgerRead { handle, scope, cursor })?;
        let bad = Error::partition(Rule::AnswerValues);
        let len_bytes = usize::try_from(written).map_err(|_| bad)?;
        let bytes = into.get_mut(..len_bytes).ok_or(bad)?;
        let window = self.area.window().ok_or(bad)?;
        window.read(0, bytes).map_err(|_| Error::caller(Rule::TooSmall))?;
        Ok(Page { len_bytes, next_cursor: (next != 0).then_some(next) })
    }

    /// Takes a head and hands every page up to it to `sink`, in order. Where records are made
    /// meanwhile it begins anew: `sink` is told so by an empty page, and forgets what it has.
    ///
    /// # Errors
    /// As [`head`] and [`Reader::page`]; [`Error::TimedOut`] if others never gave it a chance.
    pub fn dump(&self, scope: LedgerScope, mut sink: impl FnMut(&[u8])) -> Result<Head, Error> {
        for _ in 0..DUMP_TRIES {
            sink(&[]);
            let head = head(self.connection, scope)?;
            match self.pages(scope, &mut sink) {
                Ok(()) => return Ok(head),
                Err(Error::Refused { status: Status::Busy | Status::WrongState, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::TimedOut(Awaited::LedgerAtRest))
    }

    fn pages(&self, scope: LedgerScope, sink: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        let mut bytes = [0; PAGE_BYTES];
        let mut cursor = 0;
        for _ in 0..MAX_PAGES {
            let page = self.page(scope, cursor, &mut bytes)?;
            sink(bytes.get(..page.len_bytes).unwrap_or(&[]));
            match page.next_cursor {
                None => return Ok(()),
                Some(next) => cursor = next,
            }
        }
        Err(Error::partition(Rule::EndlessList))
    }

    /// Takes the pages back.
    ///
    /// # Errors
    /// [`NotClosed`] with the grant.
    pub fn close(self, wait: &dyn Wait, bound: Bound) -> Result<Pages<'c>, NotClosed<'c>> {
        self.area.close(wait, bound)
    }

    /// Asks where the area stands.
    ///
    /// # Errors
    /// What went wrong with the call.
    pub fn state(&self) -> Result<LifeState, Error> {
        self.area.state()
    }
}

#[cfg(test)]
mod tests;
