//! Owns the memory calls of FF-A as an owner and as a borrower makes them; never decides when.

use super::mailbox::{PAGE, Turn};
use super::{Connection, exchange};
use crate::error::{Error, Rule, unheard};
use arrayvec::ArrayVec;
use causeway_abi::Permission;
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::descriptor::{
    Builder, ConstituentStream, Constituents, FirstFragment, Receiver, Role, Spec,
};
use causeway_ffa::{
    Answer, Call, EndpointId, Lengths, MemHandle, PageRange, Transfer, Version, relinquish,
};

/// Most ranges that a retrieve can return here, after neighbours have been joined.
pub const MAX_RANGES: usize = 16;

/// Addresses at which a borrower finds the memory.
pub type Retrieved = ArrayVec<PageRange, MAX_RANGES>;

/// What a borrower asks for when it retrieves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrieveTerms {
    /// The VM that shared or lent the memory.
    pub owner: EndpointId,
    /// The transaction.
    pub handle: MemHandle,
    /// How it was sent.
    pub kind: Transfer,
    /// What the borrower wants to do.
    pub permission: Permission,
    /// The transaction's tag.
    pub tag: u64,
}

impl Connection<'_> {
    /// FFA_MEM_SHARE or FFA_MEM_LEND of `ranges` with `receivers`, in as many fragments as it takes.
    ///
    /// # Errors
    /// [`Error::Ffa`]: nothing is shared then.
    pub fn send_memory(
        &self,
        kind: Transfer,
        receivers: &[Receiver],
        ranges: &[PageRange],
        tag: u64,
    ) -> Result<MemHandle, Error> {
        let spec = Spec::send(self.version, kind, self.id, tag, receivers, ranges);
        let builder = Builder::new(spec).map_err(|_| Error::caller(Rule::AreaShape))?;
        let total = builder.total_len();
        let mut turn = self.turn()?;
        let mut sent = fill(&mut turn, &builder, 0)?;
        let mut answer = turn.call(&Call::MemSend { kind, lengths: lengths(total, sent)? })?;
        loop {
            if let Answer::Success(success) = answer {
                let handle = success.handle().ok_or(Error::hypervisor(Rule::AnswerValues))?;
                if sent == total {
                    return Ok(handle);
                }
                self.abandon(handle);
            }
            let Answer::MemFragRx { handle, offset, .. } = answer else {
                return Err(Error::hypervisor(Rule::AnswerForm));
            };
            let next = next_fragment(&mut turn, &builder, handle, (offset, sent));
            (sent, answer) = next.inspect_err(|_| self.abandon(handle))?;
        }
    }

    /// FFA_MEM_RECLAIM.
    ///
    /// # Errors
    /// [`Error::Ffa`], DENIED while a borrower still holds the memory.
    pub fn reclaim(&self, handle: MemHandle) -> Result<(), Error> {
        let flags = ReclaimFlags::default();
        exchange::plain(self.conduit, &Call::MemReclaim { handle, flags })
    }

    /// FFA_MEM_RETRIEVE_REQ, naming both borrowers: the partition and this VM. Returns where the
    /// memory is mapped, with neighbouring ranges joined. If the answer is malformed, the memory
    /// is relinquished again.
    ///
    /// # Errors
    /// [`Error::Ffa`], or what was wrong with the answer.
    pub fn retrieve(&self, terms: &RetrieveTerms) -> Result<Retrieved, Error> {
        let receivers =
            [receiver(self.partition, terms.permission), receiver(self.id, terms.permission)];
        let spec = Spec::retrieve_request(
            self.version,
            terms.owner,
            terms.handle,
            Some(terms.kind),
            terms.tag,
            &receivers,
        );
        let builder = Builder::new(spec).map_err(|_| Error::caller(Rule::AreaShape))?;
        let mut turn = self.turn()?;
        let total = builder.total_len();
        let fragment = fill(&mut turn, &builder, 0)?;
        let answer = turn.call(&Call::MemRetrieveReq { lengths: lengths(total, fragment)? })?;
        let Answer::MemRetrieveResp(lengths) = answer else {
            return Err(Error::hypervisor(Rule::AnswerForm));
        };
        let taken = take_response(&mut turn, terms.handle, lengths, (self.id, self.version));
        drop(turn);
        taken.inspect_err(|_| unheard(self.relinquish(terms.handle)))
    }

    /// FFA_MEM_RELINQUISH.
    ///
    /// # Errors
    /// [`Error::Ffa`].
    pub fn relinquish(&self, handle: MemHandle) -> Result<(), Error> {
        let mut bytes = [0; 64];
        let length = relinquish::write(handle, Default::default(), &[self.id], &mut bytes)
            .map_err(|_| Error::caller(Rule::AreaShape))?;
        let mut turn = self.turn()?;
        turn.fill(bytes.get(..length).unwrap_or(&bytes))?;
        let Answer::Success(_) = turn.call(&Call::MemRelinquish)? else {
            return Err(Error::hypervisor(Rule::AnswerForm));
        };
        Ok(())
    }

    /// Tries to make the receiver forget a half-sent transaction.
    fn abandon(&self, handle: MemHandle) {
        unheard(self.reclaim(handle));
    }
}

/// An entry of a descriptor: what one borrower may do.
pub(crate) fn receiver(id: EndpointId, permission: Permission) -> Receiver {
    match permission {
        Permission::ReadOnly => Receiver::read_only(id),
        Permission::ReadWrite => Receiver::read_write(id),
    }
}

fn lengths(total: u32, fragment: u32) -> Result<Lengths, Error> {
    Lengths::new(total, fragment).ok_or(Error::caller(Rule::AreaShape))
}

/// Writes the part of a descriptor from `offset` on into TX; returns how much that was.
fn fill(turn: &mut Turn<'_>, builder: &Builder<'_>, offset: u32) -> Result<u32, Error> {
    let mut page = [0; PAGE];
    let length = builder.write(offset, &mut page).map_err(|_| Error::caller(Rule::AreaShape))?;
    turn.fill(page.get(..length).unwrap_or(&page))?;
    u32::try_from(length).map_err(|_| Error::caller(Rule::AreaShape))
}

/// Sends the fragment at `wanted`, which must be all that was `sent` so far. Returns the new sum.
fn next_fragment(
    turn: &mut Turn<'_>,
    builder: &Builder<'_>,
    handle: MemHandle,
    (wanted, sent): (u32, u32),
) -> Result<(u32, Answer), Error> {
    if wanted != sent || sent >= builder.total_len() {
        return Err(Error::hypervisor(Rule::AnswerValues));
    }
    let length = fill(turn, builder, sent)?;
    let endpoint = EndpointId::default();
    let answer = turn.call(&Call::MemFragTx { handle, length, endpoint })?;
    Ok((sent.saturating_add(length), answer))
}

/// Copies and checks a retrieve response, fragment by fragment.
fn take_response(
    turn: &mut Turn<'_>,
    handle: MemHandle,
    lengths: Lengths,
    (me, version): (EndpointId, Version),
) -> Result<Retrieved, Error> {
    let bad = Error::hypervisor(Rule::RetrieveResponse);
    let mut page = [0; PAGE];
    turn.received().copy(&mut page);
    let first = part(&page, lengths.fragment())?;
    let first = FirstFragment::parse(first, lengths.total(), version, Role::RetrieveResponse)
        .map_err(|_| bad)?;
    if first.header().handle != Some(handle) || !first.receivers().any(|r| r.endpoint == me) {
        return Err(bad);
    }
    let mut found = Retrieved::new();
    let (mut stream, ranges) = first.stream();
    join(&mut found, ranges)?;
    while !stream.is_complete() {
        take_fragment(turn, handle, &mut stream, &mut found)?;
    }
    stream.finish().map_err(|_| bad)?;
    Ok(found)
}

fn take_fragment(
    turn: &mut Turn<'_>,
    handle: MemHandle,
    stream: &mut ConstituentStream,
    found: &mut Retrieved,
) -> Result<(), Error> {
    let offset = stream.next_offset();
    let ask = Call::MemFragRx { handle, offset, endpoint: EndpointId::default() };
    let Answer::MemFragTx { handle: theirs, length, .. } = turn.call(&ask)? else {
        return Err(Error::hypervisor(Rule::AnswerForm));
    };
    let mut page = [0; PAGE];
    turn.received().copy(&mut page);
    if theirs != handle {
        return Err(Error::hypervisor(Rule::RetrieveResponse));
    }
    let ranges = stream
        .feed(offset, part(&page, length)?)
        .map_err(|_| Error::hypervisor(Rule::RetrieveResponse))?;
    join(found, ranges)
}

fn part(page: &[u8; PAGE], length: u32) -> Result<&[u8], Error> {
    let length = usize::try_from(length).ok();
    length.and_then(|n| page.get(..n)).ok_or(Error::hypervisor(Rule::RetrieveResponse))
}

/// Adds ranges, each to its predecessor's end where it follows it.
fn join(found: &mut Retrieved, ranges: Constituents<'_>) -> Result<(), Error> {
    for range in ranges {
        let joined =
            found.last().filter(|last| last.end() == range.start().get()).and_then(|last| {
                PageRange::new(last.start(), last.page_count().checked_add(range.page_count())?)
            });
        match (joined, found.last_mut()) {
            (Some(longer), Some(last)) => *last = longer,
            (Some(_) | None, Some(_) | None) => {
                found.try_push(range).map_err(|_| Error::caller(Rule::NoRoom))?;
            }
        }
    }
    Ok(())
}
