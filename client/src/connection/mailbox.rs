//! Owns the RX and TX pages and who may touch them when; never knows what lies in them.
//!
//! The rules of FF-A (DEN0077A 1.2, buffer states) are types here: whoever holds a [`Turn`] owns
//! TX, and RX is read through a [`Received`], which gives RX back when it goes.

use super::exchange;
use crate::conduit::Conduit;
use crate::error::{Error, Rule, unheard};
use crate::memory::{Pages, Window};
use causeway_ffa::{Answer, Call, EndpointId, PAGE_SIZE, Width};
use spin::mutex::SpinMutexGuard;

/// Bytes in each buffer.
pub(super) const PAGE: usize = 4096;

/// The two pages through which a VM exchanges descriptors with its hypervisor.
#[derive(Debug)]
pub struct Mailbox {
    tx: Pages<'static>,
    rx: Pages<'static>,
}

impl Mailbox {
    /// Takes two pages; `None` unless each is exactly one 4 KiB page.
    #[must_use]
    pub fn new(tx: Pages<'static>, rx: Pages<'static>) -> Option<Self> {
        let one = |pages: &Pages<'_>| pages.ranges().len() == 1 && pages.len_bytes() == PAGE_SIZE;
        (one(&tx) && one(&rx)).then_some(Self { tx, rx })
    }

    /// Gives the pages back: TX and RX.
    #[must_use]
    pub fn into_pages(self) -> (Pages<'static>, Pages<'static>) {
        (self.tx, self.rx)
    }

    pub(super) fn map(&self, conduit: &dyn Conduit) -> Result<(), Error> {
        let start = |pages: &Pages<'_>| pages.ranges().first().map(|range| range.start());
        let (Some(tx), Some(rx)) = (start(&self.tx), start(&self.rx)) else {
            return Err(Error::caller(Rule::TooSmall));
        };
        exchange::plain(conduit, &Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 })
    }

    pub(super) fn unmap(&self, conduit: &dyn Conduit) -> Result<(), Error> {
        exchange::plain(conduit, &Call::RxTxUnmap { endpoint: EndpointId::default() })
    }
}

/// One sequence of calls that uses the buffers; nobody else uses them meanwhile.
pub(super) struct Turn<'c> {
    conduit: &'c dyn Conduit,
    mailbox: SpinMutexGuard<'c, Option<Mailbox>>,
}

impl<'c> Turn<'c> {
    pub(super) fn take(
        conduit: &'c dyn Conduit,
        mailbox: SpinMutexGuard<'c, Option<Mailbox>>,
    ) -> Result<Self, Error> {
        if mailbox.is_none() {
            return Err(Error::caller(Rule::TooSmall));
        }
        Ok(Self { conduit, mailbox })
    }

    /// Makes a call.
    pub(super) fn call(&mut self, call: &Call) -> Result<Answer, Error> {
        exchange::once(self.conduit, call)
    }

    /// Fills the start of TX.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let tx = self.mailbox.as_ref().map(|mailbox| mailbox.tx.window());
        let tx = tx.ok_or(Error::caller(Rule::TooSmall))?;
        tx.write(0, bytes).map_err(|_| Error::caller(Rule::TooSmall))
    }

    /// Says that the last call has filled RX.
    pub(super) fn received(&mut self) -> Received<'_> {
        Received {
            conduit: self.conduit,
            rx: self.mailbox.as_ref().map(|mailbox| mailbox.rx.window()),
        }
    }
}

/// RX while it is ours. It is given back on drop.
pub(super) struct Received<'t> {
    conduit: &'t dyn Conduit,
    rx: Option<&'t Window>,
}

impl Received<'_> {
    /// Takes a private copy of the whole buffer.
    pub(super) fn copy(&self, into: &mut [u8; PAGE]) {
        // Both are one page (`Mailbox::new`), so the copy can't leave the window.
        let (Some(Ok(()) | Err(_)) | None) = self.rx.map(|rx| rx.read(0, into));
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        // A hypervisor that refuses to take RX back refuses the next call that fills it: that
        // call reports the fault.
        let release = Call::RxRelease { vm: EndpointId::default() };
        unheard(exchange::once(self.conduit, &release));
    }
}
