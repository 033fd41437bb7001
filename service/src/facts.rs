//! Owns the reading of a retrieve response into the facts that the broker judges. Never judges,
//! never looks at anything but a private copy.

use crate::dispatch::VERSION;
use crate::platform::Shown;
use causeway_abi::{GrantKind, Permission};
use causeway_ffa::descriptor::{
    Attributes, Cacheability, DataAccess, ExactRequest, ExactRetrieve, FirstFragment, Header,
    InstructionAccess, MAX_RECEIVERS, MemoryType, Receiver, Role, Security as NsBit, Shareability,
};
use causeway_ffa::{EndpointId, MemHandle, PageRange, Transfer};
use causeway_memshare::{Borrower, Caching, Descriptor, RetrieveRequest, Security};

/// The most receivers of a grant: the partition and one peer.
const RECEIVERS: usize = 2;

/// The retrieve request: every borrower listed, sender and tag as the owner said, flags the expected kind.
/// [`ExactRequest::pages`] has the pages of a response in which all else is word for word as asked for:
/// nearly always. What all others say instead is for [`with_descriptor`] to find out.
#[inline(always)]
pub(crate) fn request(request: &RetrieveRequest, own: EndpointId) -> ExactRequest {
    let exact = ExactRetrieve {
        owner: request.owner,
        handle: request.handle,
        tag: request.tag,
        kind: match request.kind {
            GrantKind::Share => Transfer::Share,
            GrantKind::Lend => Transfer::Lend,
            GrantKind::Donate => Transfer::Donate,
        },
        access: match request.permission {
            Permission::ReadOnly => DataAccess::ReadOnly,
            Permission::ReadWrite => DataAccess::ReadWrite,
        },
        own,
        peer: request.peer,
    };
    exact.request()
}

/// Hands the facts of a whole response to `judge`. A response that cannot be read, or speaks of
/// another handle, is handed on as one with an unreadable range: the broker then refuses it and
/// lets go of it.
#[inline(never)]
pub(crate) fn with_descriptor<R>(
    bytes: &[u8],
    request: &RetrieveRequest,
    own_id: EndpointId,
    shown: Shown,
    judge: impl FnOnce(Descriptor<'_>) -> R,
) -> R {
    match read(bytes, request.handle) {
        Some((first, header)) => {
            let (mut tag, mut peer) = (header.tag, None);
            if shown == Shown::OwnEntry && header.tag == 0 {
                (tag, peer) = (request.tag, request.peer);
            }
            let mut borrowers = [NOBODY; MAX_RECEIVERS];
            let mut count = 0;
            for (slot, receiver) in borrowers.iter_mut().zip(first.receivers()) {
                *slot = borrower(receiver);
                count += 1;
            }
            if let (1, [_, second, ..], Some(id)) = (count, &mut borrowers, peer) {
                let permission = Some(request.permission);
                *second = Borrower { id, permission, executable: false };
                count = RECEIVERS;
            }
            let (_, ranges) = first.stream();
            judge(Descriptor {
                sender: header.sender,
                tag,
                kind: header.flags.kind.map(grant_kind),
                caching: caching(header.attributes, request.kind),
                security: match header.attributes.security {
                    NsBit::NonSecure => Security::NonSecure,
                    NsBit::Clear => Security::Secure,
                },
                borrowers: borrowers.get(..count).unwrap_or(&[]),
                total_page_count: first.page_count(),
                ranges: &mut ranges.map(Some),
            })
        }
        None => {
            let both = both(request, own_id);
            let count = if request.peer.is_some() { RECEIVERS } else { 1 };
            let borrowers = both.get(..count).unwrap_or(&[]);
            // One range that cannot be read: so that this is the rule that the broker names.
            judge(as_asked(request, borrowers, &mut core::iter::once(None)))
        }
    }
}

/// The borrowers that were asked for; of the second there may be none.
fn both(request: &RetrieveRequest, own_id: EndpointId) -> [Borrower; RECEIVERS] {
    let permission = Some(request.permission);
    let borrower = |id| Borrower { id, permission, executable: false };
    [borrower(own_id), borrower(request.peer.unwrap_or(own_id))]
}

const NOBODY: Borrower =
    Borrower { id: EndpointId::from_raw(0), permission: None, executable: true };

fn read(bytes: &[u8], asked: MemHandle) -> Option<(FirstFragment<'_>, Header)> {
    let total = u32::try_from(bytes.len()).ok()?;
    let first = FirstFragment::parse(bytes, total, VERSION, Role::RetrieveResponse).ok()?;
    let (stream, _) = first.stream();
    stream.finish().ok()?;
    let header = first.header();
    (header.handle == Some(asked)).then_some((first, header))
}

/// All that was asked for, and these ranges.
fn as_asked<'a>(
    request: &RetrieveRequest,
    borrowers: &'a [Borrower],
    ranges: &'a mut dyn Iterator<Item = Option<PageRange>>,
) -> Descriptor<'a> {
    Descriptor {
        sender: request.owner,
        tag: request.tag,
        kind: Some(request.kind),
        caching: Caching::NormalWriteBackInner,
        security: Security::NonSecure,
        borrowers,
        total_page_count: 1,
        ranges,
    }
}

fn borrower(receiver: Receiver) -> Borrower {
    Borrower {
        id: receiver.endpoint,
        permission: match receiver.access.data {
            DataAccess::ReadOnly => Some(Permission::ReadOnly),
            DataAccess::ReadWrite => Some(Permission::ReadWrite),
            DataAccess::NotSpecified => None,
        },
        executable: match receiver.access.instruction {
            InstructionAccess::NotSpecified | InstructionAccess::NotExecutable => false,
            InstructionAccess::Executable => true,
        },
    }
}

const fn grant_kind(kind: Transfer) -> GrantKind {
    match kind {
        Transfer::Share => GrantKind::Share,
        Transfer::Lend => GrantKind::Lend,
        Transfer::Donate => GrantKind::Donate,
    }
}

/// Lent memory may carry no attributes: the borrower chooses, and we choose normal write-back. The
/// owner of shared memory goes on using it and has to say how, or the two would use it differently.
/// TF-A's EL3 SPMC hands on what the owner wrote and fills in nothing (2.12: spmc_shared_mem.c
/// changes no more than the NS bit).
fn caching(attributes: Attributes, kind: GrantKind) -> Caching {
    match (attributes.memory, kind) {
        (MemoryType::NotSpecified, GrantKind::Lend | GrantKind::Donate)
        | (MemoryType::Normal(Cacheability::WriteBack, Shareability::Inner), _) => {
            Caching::NormalWriteBackInner
        }
        (MemoryType::NotSpecified, GrantKind::Share)
        | (MemoryType::Normal(..) | MemoryType::Device(_), _) => Caching::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_ffa::PageAddr;
    use causeway_ffa::descriptor::{Builder, Spec};

    const OWN: EndpointId = EndpointId::from_raw(0x8001);

    fn offered() -> RetrieveRequest {
        RetrieveRequest {
            handle: MemHandle::new(7).unwrap(),
            owner: EndpointId::from_raw(1),
            peer: Some(EndpointId::from_raw(2)),
            tag: 9,
            kind: GrantKind::Share,
            permission: Permission::ReadWrite,
        }
    }

    #[test]
    fn the_request_lists_every_borrower_and_no_range() {
        let request = request(&offered(), OWN);
        let bytes = request.bytes();
        let len = u32::try_from(bytes.len()).unwrap();
        let first = FirstFragment::parse(bytes, len, VERSION, Role::RetrieveRequest).unwrap();
        let ids: Vec<_> = first.receivers().map(|receiver| receiver.endpoint.get()).collect();
        assert_eq!(ids, [0x8001, 2]);
        assert_eq!(first.header().tag, 9);
        assert_eq!(first.header().flags.kind, Some(Transfer::Share));
    }

    fn response(handle: MemHandle, bytes: &mut [u8]) -> usize {
        let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 3).unwrap();
        let receivers = [Receiver::read_write(OWN), Receiver::read_only(EndpointId::from_raw(2))];
        let (owner, kind, ranges) = (offered().owner, Transfer::Share, [range]);
        let spec = Spec::retrieve_response(VERSION, owner, handle, kind, 9, &receivers, &ranges);
        Builder::new(spec).unwrap().write(0, bytes).unwrap()
    }

    #[test]
    fn a_response_about_another_handle_is_unreadable() {
        let mut bytes = [0; 256];
        let len = response(MemHandle::new(8).unwrap(), &mut bytes);
        with_descriptor(&bytes[..len], &offered(), OWN, Shown::All, |facts| {
            assert_eq!(facts.ranges.collect::<Vec<_>>(), [None]);
        });
    }

    #[test]
    fn a_share_must_say_how_it_is_cached_and_a_loan_need_not() {
        let mut bytes = [0; 256];
        let len = response(offered().handle, &mut bytes);
        // Memory attributes: bytes 2-3 (DEN0140: memory region descriptor). Left: the NS bit.
        bytes[2..4].copy_from_slice(&0x40_u16.to_le_bytes());
        let caching_as = |kind| {
            let request = RetrieveRequest { kind, ..offered() };
            with_descriptor(&bytes[..len], &request, OWN, Shown::All, |facts| {
                assert_eq!(facts.security, Security::NonSecure);
                facts.caching
            })
        };
        assert_eq!(caching_as(GrantKind::Share), Caching::Other);
        assert_eq!(caching_as(GrantKind::Lend), Caching::NormalWriteBackInner);
    }

    #[test]
    fn the_facts_are_those_of_the_response() {
        let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 3).unwrap();
        let owner = offered().owner;
        let mut bytes = [0; 256];
        let len = response(offered().handle, &mut bytes);
        with_descriptor(&bytes[..len], &offered(), OWN, Shown::All, |facts| {
            assert_eq!((facts.sender, facts.tag, facts.kind), (owner, 9, Some(GrantKind::Share)));
            assert_eq!(facts.security, Security::NonSecure);
            assert_eq!(facts.caching, Caching::NormalWriteBackInner);
            assert_eq!(facts.borrowers[1].permission, Some(Permission::ReadOnly));
            assert_eq!(facts.total_page_count, 3);
            assert_eq!(facts.ranges.collect::<Vec<_>>(), [Some(range)]);
        });
        // Cut short: handed on as unreadable, never as fewer pages.
        with_descriptor(&bytes[..len - 16], &offered(), OWN, Shown::All, |facts| {
            assert_eq!(facts.borrowers.len(), 2);
            assert_eq!(facts.ranges.collect::<Vec<_>>(), [None]);
        });
    }

    #[test]
    fn what_the_spmc_compared_itself_is_taken_from_the_request_and_nothing_else_is() {
        let range = PageRange::new(PageAddr::new(0x8000_0000).unwrap(), 3).unwrap();
        let mut bytes = [0; 256];
        let mut told = |own: Receiver, tag, shown| {
            let (owner, handle) = (offered().owner, offered().handle);
            let (kind, ranges, entries) = (Transfer::Share, [range], [own]);
            let spec =
                Spec::retrieve_response(VERSION, owner, handle, kind, tag, &entries, &ranges);
            let len = Builder::new(spec).unwrap().write(0, &mut bytes).unwrap();
            with_descriptor(&bytes[..len], &offered(), OWN, shown, |facts| {
                (facts.tag, facts.borrowers.iter().map(|b| (b.id, b.permission)).collect())
            })
        };
        let (read_only, read_write) = (Some(Permission::ReadOnly), Some(Permission::ReadWrite));
        let peer = (EndpointId::from_raw(2), read_write);
        let all: Vec<(EndpointId, Option<Permission>)> = vec![(OWN, read_write)];
        assert_eq!(told(Receiver::read_write(OWN), 0, Shown::All), (0, all.clone()));
        assert_eq!(told(Receiver::read_write(OWN), 5, Shown::OwnEntry), (5, all));
        let own = Receiver::read_only(OWN);
        assert_eq!(told(own, 0, Shown::OwnEntry), (9, vec![(OWN, read_only), peer]));
    }

    /// The facts as text, by the short way (if it is open) or by the long one.
    fn told(bytes: &[u8], request: &RetrieveRequest, short: bool) -> String {
        let tell = |facts: Descriptor<'_>| {
            let Descriptor { sender, tag, kind, caching, security, total_page_count, .. } = facts;
            let mut borrowers: Vec<_> = facts.borrowers.iter().map(|b| format!("{b:?}")).collect();
            borrowers.sort();
            let ranges: Vec<_> = facts.ranges.collect();
            format!(
                "{sender:?} {tag} {kind:?} {caching:?} {security:?} {borrowers:?} \
                 {total_page_count} {ranges:?}"
            )
        };
        let Some(mut pages) = super::request(request, OWN).pages(bytes).filter(|_| short) else {
            return with_descriptor(bytes, request, OWN, Shown::All, tell);
        };
        let total_page_count = pages.page_count();
        let both = both(request, OWN);
        tell(Descriptor { total_page_count, ..as_asked(request, &both, &mut pages) })
    }

    #[test]
    fn the_short_way_says_what_the_long_way_says_whatever_bit_is_flipped() {
        let mut bytes = [0; 256];
        let range = |page: u64| PageRange::new(PageAddr::new(page << 12).unwrap(), 2).unwrap();
        let ranges = [range(0x80010), range(0x80020)];
        for kind in [GrantKind::Share, GrantKind::Lend] {
            let request = RetrieveRequest { kind, ..offered() };
            let receivers =
                [Receiver::read_write(OWN), Receiver::read_write(request.peer.unwrap())];
            let transfer = match kind {
                GrantKind::Lend => Transfer::Lend,
                GrantKind::Share | GrantKind::Donate => Transfer::Share,
            };
            let (owner, handle) = (request.owner, request.handle);
            let spec =
                Spec::retrieve_response(VERSION, owner, handle, transfer, 9, &receivers, &ranges);
            let len = Builder::new(spec).unwrap().write(0, &mut bytes).unwrap();
            assert!(super::request(&request, OWN).pages(&bytes[..len]).is_some());
            for bit in 0..len * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                let flipped = &flipped[..len];
                let short = told(flipped, &request, true);
                let long = told(flipped, &request, false);
                // Of pages that break a rule, or don't come to the total, the short way tells the
                // others as well; one way or the other the broker finds the descriptor malformed.
                let malformed = super::request(&request, OWN).pages(flipped).is_some_and(|pages| {
                    let total = u64::from(pages.page_count());
                    let counts = pages.map(|r| r.map_or(1 << 40, |r| u64::from(r.page_count())));
                    counts.sum::<u64>() != total
                });
                assert!(
                    short == long || malformed && long.contains("[None]"),
                    "bit {bit}: {short}"
                );
            }
        }
    }
}
