//! Holds descriptors to their bytes: golden bytes and helpers here, the regression list in `rules`,
//! fragments in `fragments`.

mod dialect;
mod exact;
mod fragments;
mod rules;

use super::*;
use crate::{EndpointId, MemHandle, PageAddr, PageRange};

pub(super) fn id(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

pub(super) fn range(address: u64, pages: u32) -> PageRange {
    PageRange::new(PageAddr::new(address).unwrap(), pages).unwrap()
}

pub(super) fn handle() -> MemHandle {
    MemHandle::new(0xffff_ffc0).unwrap()
}

pub(super) const SHARE: Role = Role::Send(Transfer::Share);

/// DEN0077A 1.1, tables 10.20, 10.16, 10.13, 10.14: VM 1 shares five pages in two ranges with the
/// partition (read-write) and VM 2 (read only).
pub(super) const GOLDEN_SHARE: [u8; 128] = [
    0x01, 0x00, 0x2f, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, // sender, attributes, flags, handle
    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 16, 0, 0, 0, 2, 0, 0,
    0, // tag, size, count
    48, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // offset, reserved
    0x01, 0x80, 0x02, 0x00, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // id, permission, composite
    0x02, 0x00, 0x01, 0x00, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // id, permission, composite
    5, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // pages, ranges, reserved
    0x00, 0x00, 0x00, 0x80, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, // address, pages, reserved
    0x00, 0x10, 0x01, 0x80, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // address, pages, reserved
];

pub(super) fn receivers() -> [Receiver; 2] {
    [Receiver::read_write(id(0x8001)), Receiver::read_only(id(2))]
}

pub(super) fn ranges() -> [PageRange; 2] {
    [range(0x8000_0000, 4), range(0x1_8001_1000, 1)]
}

pub(super) fn build(spec: Spec<'_>) -> Vec<u8> {
    let builder = Builder::new(spec).unwrap();
    let mut out = vec![0xaa; builder.total_len() as usize];
    assert_eq!(builder.write(0, &mut out), Ok(out.len()));
    out
}

/// `bytes` with some replaced.
pub(super) fn patched(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[at..at + with.len()].copy_from_slice(with);
    copy
}

/// The golden share in the 32-byte header of 1.0 (table 5.19 of DEN0077A 1.0).
fn golden_share_1_0() -> Vec<u8> {
    let mut bytes = [&GOLDEN_SHARE[..32], &GOLDEN_SHARE[48..]].concat();
    bytes[24..28].fill(0);
    bytes[36] = 64;
    bytes[52] = 64;
    bytes
}

/// The golden share with the 32-byte receivers of 1.2 (DEN0140 1.2, table 1.16).
fn golden_share_1_2() -> Vec<u8> {
    let mut bytes = patched(&GOLDEN_SHARE, 24, &[32]);
    bytes[52] = 112;
    bytes[68] = 112;
    let impdef = [7u8; 16];
    [&bytes[..56], &impdef, &[0; 8], &bytes[64..72], &impdef, &[0; 8], &bytes[80..]].concat()
}

fn check_golden(bytes: &[u8], version: Version, impdef: u8) {
    let whole = Transaction::parse(bytes, version, SHARE).unwrap();
    let header = whole.header();
    assert_eq!((header.sender, header.tag), (id(1), 0x1122_3344_5566_7788));
    assert_eq!((header.attributes, header.flags), (Attributes::NORMAL, Flags::default()));
    assert_eq!(header.handle, None);
    assert!(whole.receivers().eq(receivers().map(|r| Receiver { impdef: [impdef; 16], ..r })));
    assert_eq!(whole.receiver(id(2)).unwrap().access.data, DataAccess::ReadOnly);
    assert_eq!(whole.receiver(id(3)), None);
    assert!(whole.ranges().eq(ranges()));
    assert_eq!((whole.page_count(), whole.range_count()), (5, 2));
    assert_eq!((whole.receivers().len(), whole.ranges().len()), (2, 2));
}

#[test]
fn a_descriptor_of_1_2_is_written_as_it_is_read() {
    let receivers = receivers().map(|r| Receiver { impdef: [7; 16], ..r });
    let ranges = ranges();
    for (version, golden) in
        [(Version::V1_1, GOLDEN_SHARE.to_vec()), (Version::V1_2, golden_share_1_2())]
    {
        let tag = 0x1122_3344_5566_7788;
        let spec = Spec::send(version, Transfer::Share, id(1), tag, &receivers, &ranges);
        let builder = Builder::new(spec).unwrap();
        let mut bytes = vec![0xee; golden.len()];
        assert_eq!(builder.write(0, &mut bytes), Ok(golden.len()));
        assert_eq!(bytes, golden, "{version:?}");
    }
}

#[test]
fn kb_03_all_three_layouts_are_read() {
    check_golden(&GOLDEN_SHARE, Version::V1_1, 0);
    check_golden(&GOLDEN_SHARE, Version::V1_2, 0);
    check_golden(&golden_share_1_0(), Version::V1_0, 0);
    check_golden(&golden_share_1_2(), Version::V1_1, 7);
    check_golden(&golden_share_1_2(), Version::V1_2, 7);
}

#[test]
fn kb_03_a_layout_of_another_version_is_refused() {
    let parse = |bytes: &[u8], version| Transaction::parse(bytes, version, SHARE).map(|_| ());
    assert!(parse(&GOLDEN_SHARE, Version::V1_0).is_err());
    assert!(parse(&golden_share_1_0(), Version::V1_1).is_err());
    let major_2 = Version::new(2, 0).unwrap();
    assert_eq!(parse(&GOLDEN_SHARE, major_2), Err(DescriptorError::UnsupportedVersion));
}

#[test]
fn golden_bytes_are_written() {
    let (receivers, ranges) = (receivers(), ranges());
    let spec = Spec::send(
        Version::V1_1,
        Transfer::Share,
        id(1),
        0x1122_3344_5566_7788,
        &receivers,
        &ranges,
    );
    assert_eq!(build(spec), GOLDEN_SHARE);
    assert_eq!(build(Spec { version: Version::V1_0, ..spec }), golden_share_1_0());
}

/// The partition's request to the EL3 SPMC (reference/spmc-behaviour.md): every borrower listed,
/// owner and tag as in the send, no composite, flags 0.
#[test]
fn a_retrieve_request_is_what_the_el3_spmc_takes() {
    let receivers = receivers();
    let spec = Spec::retrieve_request(Version::V1_1, id(1), handle(), None, 7, &receivers);
    let bytes = build(spec);
    let mut expected = GOLDEN_SHARE[..80].to_vec();
    expected[2] = 0; // attributes: NS must be 0, the rest is left to the SPMC
    expected[8..16].copy_from_slice(&0xffff_ffc0u64.to_le_bytes());
    expected[16..24].copy_from_slice(&7u64.to_le_bytes());
    expected[52] = 0; // no composite
    expected[68] = 0;
    assert_eq!(bytes, expected);
    let whole = Transaction::parse(&bytes, Version::V1_1, Role::RetrieveRequest).unwrap();
    assert_eq!((whole.header().handle, whole.ranges().len()), (Some(handle()), 0));
    let stated = Spec { flags: Flags::of_kind(Transfer::Lend), ..spec };
    assert_eq!(build(stated)[4], 2 << 3);
}

/// OP-TEE wants a composite in the request, all zero.
#[test]
fn a_retrieve_request_may_have_an_empty_composite() {
    let receivers = receivers();
    let spec = Spec::retrieve_request(Version::V1_1, id(1), handle(), None, 7, &receivers);
    let bytes = [build(spec), vec![0; 16]].concat();
    let bytes = patched(&patched(&bytes, 52, &[80]), 68, &[80]);
    let whole = Transaction::parse(&bytes, Version::V1_1, Role::RetrieveRequest).unwrap();
    assert_eq!((whole.page_count(), whole.ranges().len()), (0, 0));
}

/// The EL3 SPMC answers with what the sender wrote, plus handle, kind and the NS bit.
#[test]
fn the_response_of_the_el3_spmc_is_read() {
    let bytes = patched(&GOLDEN_SHARE, 2, &[0x6f, 0, 8]);
    let bytes = patched(&bytes, 8, &0xffff_ffc0u64.to_le_bytes());
    let whole = Transaction::parse(&bytes, Version::V1_1, Role::RetrieveResponse).unwrap();
    assert_eq!(whole.header().attributes.security, Security::NonSecure);
    assert_eq!(whole.header().flags, Flags::of_kind(Transfer::Share));
    let (receivers, ranges) = (receivers(), ranges());
    let built = build(Spec::retrieve_response(
        Version::V1_1,
        id(1),
        handle(),
        Transfer::Share,
        0x1122_3344_5566_7788,
        &receivers,
        &ranges,
    ));
    assert_eq!(built, bytes);
}

#[test]
fn every_defined_attribute_and_permission_survives_and_no_other() {
    let highest = if cfg!(miri) { 0xff } else { u16::MAX };
    let attributes = (0..=highest).filter(|word| Attributes::from_word(*word).is_some());
    let words: Vec<u16> = attributes.collect();
    assert_eq!(words.len(), 2 * (1 + 4 + 6));
    for word in words {
        assert_eq!(Attributes::from_word(word).unwrap().word(), word);
    }
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| Access::from_byte(*byte).is_some()).collect();
    assert_eq!(bytes, [0, 1, 2, 4, 5, 6, 8, 9, 10]);
    for byte in bytes {
        assert_eq!(Access::from_byte(byte).unwrap().byte(), byte);
    }
    assert_eq!(Attributes::NORMAL.word(), 0x2f);
}

#[test]
fn flags_survive_and_reserved_ones_are_refused() {
    let bits = if cfg!(miri) { 6 } else { 12 };
    for role in [SHARE, Role::Send(Transfer::Lend), Role::RetrieveRequest, Role::RetrieveResponse] {
        let allowed: Vec<u32> =
            (0..1 << bits).filter(|word| Flags::check_word(*word, role).is_ok()).collect();
        assert!(!allowed.is_empty());
        for word in allowed {
            assert_eq!(Flags::from_word(word).word(), word);
        }
        assert!(Flags::check_word(1 << 11, role).is_err());
        assert!(Flags::check_word(1 << 31, role).is_err());
    }
    let error = |word, role| Flags::check_word(word, role).unwrap_err();
    assert_eq!(error(1, SHARE), DescriptorError::ZeroOnShare);
    assert_eq!(error(8 | 4, Role::RetrieveRequest), DescriptorError::ZeroOnShare);
    assert_eq!(error(0, Role::RetrieveResponse), DescriptorError::Flags);
    assert_eq!(error(1 << 5, Role::RetrieveRequest), DescriptorError::Flags);
}

/// DEN0140 1.2, table 1.22: which flags each descriptor may have, each alone with the kind LEND.
#[test]
fn each_flag_is_taken_where_the_table_has_it() {
    let lend = 2 << 3;
    let cases = [
        (Role::Send(Transfer::Lend), 0, 0b0000_0000_0011),
        (Role::Send(Transfer::Share), 0, 0b0000_0000_0010),
        (Role::RetrieveResponse, lend, 0b0000_0000_0111),
        (Role::RetrieveRequest, lend, 0b0110_0000_0111),
    ];
    for (role, kind, expected) in cases {
        let taken = (0..12)
            .map(|bit| 1 << bit)
            .filter(|flag| lend & flag == 0 && (1 << 3) & flag == 0)
            .filter(|flag| Flags::check_word(kind | flag, role).is_ok())
            .fold(0, |all, flag| all | flag);
        assert_eq!(taken, expected, "{role:?}");
    }
    // The alignment hint goes with the bit that says that it is valid.
    for hint in 0..16_u32 {
        assert_eq!(Flags::check_word(lend | 1 << 9 | hint << 5, Role::RetrieveRequest), Ok(()));
        assert!(Flags::check_word(lend | 1 << 9 | hint << 5, Role::RetrieveResponse).is_err());
    }
}

#[test]
fn every_rule_has_a_sentence_and_a_status() {
    for error in DescriptorError::ALL {
        assert!(error.rule().ends_with('.'), "{error:?}");
        assert!(matches!(
            error.status(),
            crate::FfaError::InvalidParameters
                | crate::FfaError::NoMemory
                | crate::FfaError::NotSupported
        ));
    }
}
