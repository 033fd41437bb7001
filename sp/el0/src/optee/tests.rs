//! Holds the adapter to OP-TEE's form, byte by byte.

use super::*;
use causeway_ffa::descriptor::{DataAccess, Dialect, ExactRetrieve, Role, Transaction};
use causeway_ffa::{EndpointId, Transfer, Version};

const OWN: EndpointId = EndpointId::from_raw(0x8002);
const OWNER: EndpointId = EndpointId::from_raw(1);
/// OP-TEE's handles have bit 45 set.
const HANDLE: u64 = 0x2000_0000_0003;
const PAGES: u64 = 0x7000_5000;

fn asked(peer: Option<EndpointId>) -> ExactRetrieve {
    ExactRetrieve {
        owner: OWNER,
        handle: MemHandle::new(HANDLE).unwrap(),
        tag: PAGES,
        kind: Transfer::Share,
        access: DataAccess::ReadWrite,
        own: OWN,
        peer,
    }
}

fn specified(peer: Option<EndpointId>) -> Vec<u8> {
    asked(peer).request().bytes().to_vec()
}

/// What `create_retrieve_response` writes: handle 0, kind "share", the owner's attributes, our virtual
/// address, and stale bytes behind.
fn answered(tag: u64, count: u32) -> [u8; RESPONSE] {
    let mut raw = [0; RESPONSE];
    raw[0..2].copy_from_slice(&1_u16.to_le_bytes());
    raw[2] = 0x2f;
    raw[4] = 0x08;
    put64(&mut raw, 16, tag).unwrap();
    for (at, value) in [(24, 16), (28, 1), (32, 48), (52, 64), (64, count), (68, 1), (88, count)] {
        put32(&mut raw, at, value).unwrap();
    }
    raw[48..51].copy_from_slice(&[0x02, 0x80, 0x06]);
    put64(&mut raw, 80, 0x4000_3000).unwrap();
    put64(&mut raw, 56, u64::MAX).unwrap();
    put32(&mut raw, 92, u32::MAX).unwrap();
    raw
}

#[test]
fn a_request_gets_a_composite_of_zeros_and_keeps_all_else() {
    let ours = specified(None);
    let theirs = request(&ours).unwrap();
    assert_eq!(theirs[..52], ours[..52]);
    assert_eq!(theirs[52..56], [64, 0, 0, 0]);
    assert_eq!(theirs[64..], [0; 32]);
    let read = Transaction::parse_in(Dialect::OpTee, &theirs, Version::V1_1, Role::RetrieveRequest);
    assert_eq!(read.unwrap().header().tag, PAGES);
}

#[test]
fn a_request_for_two_borrowers_has_no_form_here() {
    assert_eq!(request(&specified(Some(EndpointId::from_raw(2)))), None);
    assert_eq!(request(&[]), None);
}

#[test]
fn a_response_becomes_word_for_word_the_specified_one() {
    let handle = MemHandle::new(HANDLE).unwrap();
    let read = response(&answered(PAGES, 3), handle).unwrap();
    let pages = PageRange::new(PageAddr::new(PAGES).unwrap(), 3).unwrap();
    assert_eq!(read.pages, Some(pages));
    assert_eq!((read.mapped_at, read.writable), (0x4000_3000, true));
    let mut found = asked(None).request().pages(&read.response).expect("the short way takes it");
    assert_eq!(found.page_count(), 3);
    assert_eq!(found.next(), Some(Some(pages)));
}

#[test]
fn a_tag_that_is_no_page_leaves_no_pages_and_an_unreadable_response() {
    let handle = MemHandle::new(HANDLE).unwrap();
    let read = response(&answered(PAGES + 1, 3), handle).unwrap();
    assert_eq!(read.pages, None);
    let whole = Transaction::parse(&read.response, Version::V1_1, Role::RetrieveResponse);
    assert!(whole.is_err());
}

#[test]
fn whatever_is_not_the_one_form_is_refused() {
    let handle = MemHandle::new(HANDLE).unwrap();
    let good = answered(PAGES, 3);
    for at in [24, 28, 32, 52, 64, 68, 88] {
        let mut bad = good;
        bad[at] ^= 1;
        assert_eq!(response(&bad, handle), None, "{at}");
    }
    assert_eq!(response(&answered(PAGES, 0), handle), None);
    let mut bad = good;
    put64(&mut bad, 80, u64::MAX << 12).unwrap();
    assert_eq!(response(&bad, handle), None);
}
