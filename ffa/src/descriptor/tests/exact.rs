//! The short way against the long one: the same bytes out, and never a response taken for exact that
//! `parse` reads differently.

use super::super::{
    Builder, DataAccess, ExactRetrieve, FirstFragment, Receiver, Role, Security, Spec,
};
use crate::{EndpointId, MemHandle, PageAddr, PageRange, Transfer, Version};

const V1_1: Version = Version::V1_1;
const OWNER: EndpointId = EndpointId::from_raw(1);
const PEER: EndpointId = EndpointId::from_raw(2);
const OWN: EndpointId = EndpointId::from_raw(0x8001);

fn every_retrieve() -> Vec<ExactRetrieve> {
    let mut all = Vec::new();
    for kind in [Transfer::Share, Transfer::Lend, Transfer::Donate] {
        for access in [DataAccess::ReadOnly, DataAccess::ReadWrite] {
            for peer in [None, Some(PEER)] {
                for tag in [0, 9, u64::MAX] {
                    let handle = MemHandle::new(0xffff_ffc0).unwrap();
                    let owner = OWNER;
                    all.push(ExactRetrieve { owner, handle, tag, kind, access, own: OWN, peer });
                }
            }
        }
    }
    all
}

fn receivers(exact: &ExactRetrieve) -> Vec<Receiver> {
    [Some(exact.own), exact.peer]
        .into_iter()
        .flatten()
        .map(|id| Receiver::new(id, exact.access))
        .collect()
}

fn range(page: u64, count: u32) -> PageRange {
    PageRange::new(PageAddr::new(page << 12).unwrap(), count).unwrap()
}

fn response(exact: &ExactRetrieve, receivers: &[Receiver], ranges: &[PageRange]) -> Vec<u8> {
    let ExactRetrieve { owner, handle, kind, tag, .. } = *exact;
    let spec = Spec::retrieve_response(V1_1, owner, handle, kind, tag, receivers, ranges);
    let builder = Builder::new(spec).unwrap();
    let mut bytes = vec![0; usize::try_from(builder.total_len()).unwrap()];
    builder.write(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_request_is_that_of_the_builder() {
    for exact in every_retrieve() {
        let ExactRetrieve { owner, handle, kind, tag, .. } = exact;
        let alone = kind != Transfer::Share && exact.peer.is_none();
        let own = Receiver::new(exact.own, DataAccess::NotSpecified);
        let peer = exact.peer.map(|peer| Receiver::new(peer, exact.access));
        let receivers: Vec<_> = [Some(own), peer]
            .into_iter()
            .flatten()
            .map(|open| if alone { open.not_executable() } else { open })
            .collect();
        let spec = Spec::retrieve_request(V1_1, owner, handle, Some(kind), tag, &receivers);
        let builder = Builder::new(spec).unwrap();
        let mut theirs = [0xaa; 80];
        let len = builder.write(0, &mut theirs).unwrap();
        assert_eq!(exact.request().bytes(), &theirs[..len], "{exact:?}");
    }
}

#[test]
fn the_response_that_was_hoped_for_is_exact_with_its_borrowers_in_either_order() {
    let ranges = [range(0x80000, 3), range(0x90000, 1)];
    for exact in every_retrieve() {
        let mut receivers = receivers(&exact);
        for _ in 0..2 {
            let bytes = response(&exact, &receivers, &ranges);
            let pages = exact.request().pages(&bytes).unwrap();
            assert_eq!(pages.page_count(), 4);
            assert_eq!(pages.collect::<Vec<_>>(), ranges.map(Some));
            receivers.reverse();
        }
    }
}

#[test]
fn one_range_that_breaks_no_rule_is_the_only_one() {
    let exact = every_retrieve()[0];
    let of = |ranges: &[PageRange]| response(&exact, &receivers(&exact), ranges);
    let (one, other) = (range(0x80000, 3), range(0x90000, 1));
    assert_eq!(exact.request().pages(&of(&[one])).unwrap().only(), Some(one));
    assert_eq!(exact.request().pages(&of(&[one, other])).unwrap().only(), None);
    let mut odd = of(&[one]);
    // The page count, then the address of the last constituent.
    for back in [8, 16] {
        let at = odd.len() - back;
        odd[at] = if back == 8 { 0 } else { 1 };
        assert_eq!(exact.request().pages(&odd).unwrap().only(), None);
    }
}

#[test]
fn no_flipped_bit_makes_a_response_exact_that_parse_reads_differently() {
    let ranges = [range(0x80000, 3), range(0x90000, 1)];
    for exact in every_retrieve().into_iter().filter(|exact| exact.tag == 9) {
        let bytes = response(&exact, &receivers(&exact), &ranges);
        let bits = (0..bytes.len() * 8).step_by(if cfg!(miri) { 13 } else { 1 });
        for bit in bits {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Some(pages) = exact.request().pages(&flipped) else { continue };
            let count = pages.page_count();
            let short: Vec<_> = pages.collect();
            let len = u32::try_from(flipped.len()).unwrap();
            let parsed = FirstFragment::parse(&flipped, len, V1_1, Role::RetrieveResponse);
            let Ok(first) = parsed else {
                // Only the pages can be at fault, and then the short way shows it.
                let sum: u64 = short.iter().flatten().map(|r| u64::from(r.page_count())).sum();
                assert!(short.contains(&None) || sum != u64::from(count), "bit {bit}: {parsed:?}");
                continue;
            };
            let header = first.header();
            assert_eq!(
                (header.sender, header.handle, header.tag, header.flags.kind),
                (exact.owner, Some(exact.handle), exact.tag, Some(exact.kind)),
                "bit {bit}"
            );
            assert_eq!(header.attributes.security, Security::NonSecure, "bit {bit}");
            let mut ids: Vec<_> = first.receivers().map(|r| r.endpoint).collect();
            ids.sort_unstable();
            let mut wanted: Vec<_> = [Some(exact.own), exact.peer].into_iter().flatten().collect();
            wanted.sort_unstable();
            assert_eq!(ids, wanted, "bit {bit}");
            assert!(first.receivers().all(|r| r.access.data == exact.access), "bit {bit}");
            let (_, parsed_ranges) = first.stream();
            assert_eq!(short, parsed_ranges.map(Some).collect::<Vec<_>>(), "bit {bit}");
        }
    }
}

#[test]
fn a_borrower_that_is_the_asker_itself_is_no_exact_response() {
    let mut exact = every_retrieve()[1];
    exact.peer = Some(exact.own);
    let bytes = response(&exact, &receivers(&exact)[..1], &[range(1, 1)]);
    assert!(exact.request().pages(&bytes).is_none());
    for len in 0..bytes.len() {
        assert!(every_retrieve()[0].request().pages(&bytes[..len]).is_none());
    }
}
