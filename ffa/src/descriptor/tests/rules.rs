//! The regression list of peers' bugs (KB-01 to KB-08), each line as tests of the parser.

use super::*;

type E = DescriptorError;

fn error(bytes: &[u8]) -> E {
    error_in(bytes, SHARE)
}

fn error_in(bytes: &[u8], role: Role) -> E {
    Transaction::parse(bytes, Version::V1_1, role).map(|_| ()).unwrap_err()
}

fn bad(at: usize, with: &[u8]) -> E {
    error(&patched(&GOLDEN_SHARE, at, with))
}

/// Offsets in the golden share.
const COUNT: usize = 28;
const ARRAY_OFFSET: usize = 32;
const FIRST: usize = 48;
const SECOND: usize = 64;
const COMPOSITE: usize = 80;
const RANGE_0: usize = 96;
const RANGE_1: usize = 112;

#[test]
fn kb_01_sizes_that_wrap_are_refused() {
    // count * size wraps in 32 bits: 0x1000_0000 * 16 = 2^32, plus one.
    assert_eq!(bad(COUNT, &0x1000_0001u32.to_le_bytes()), E::TooManyReceivers);
    assert_eq!(bad(24, &u32::MAX.to_le_bytes()), E::ReceiverSize);
    assert_eq!(bad(ARRAY_OFFSET, &0xffff_fff0u32.to_le_bytes()), E::ReceiversTruncated);
    // offset + 16 wraps, ranges * 16 wraps to the announced total.
    let wrap = patched(&GOLDEN_SHARE, FIRST + 4, &0xffff_fff0u32.to_le_bytes());
    let wrap = patched(&wrap, SECOND + 4, &0xffff_fff0u32.to_le_bytes());
    assert_eq!(error(&wrap), E::CompositeTruncated);
    assert_eq!(bad(COMPOSITE + 4, &0x1000_0002u32.to_le_bytes()), E::TotalLength);
    // page_count * 4096 wraps in 32 bits; base + length beyond 48 and beyond 64 bits.
    let pages = patched(&GOLDEN_SHARE, RANGE_0 + 8, &0x0010_0004u32.to_le_bytes());
    assert_eq!(error(&pages), E::PageTotal);
    assert_eq!(bad(RANGE_0, &0xffff_ffff_f000u64.to_le_bytes()), E::Range);
    assert_eq!(bad(RANGE_0, &0xffff_ffff_ffff_f000u64.to_le_bytes()), E::Address);
    // Page counts whose sum wraps to the announced total.
    let sum = patched(&GOLDEN_SHARE, RANGE_0 + 8, &u32::MAX.to_le_bytes());
    let sum = patched(&sum, RANGE_1 + 8, &6u32.to_le_bytes());
    assert_eq!(error(&sum), E::PageTotal);
}

#[test]
fn kb_02_truncated_descriptors_are_refused_at_every_length() {
    for len in 0..GOLDEN_SHARE.len() {
        let expected = match len {
            0 => E::Lengths,
            1..48 => E::HeaderTruncated,
            48..80 => E::ReceiversTruncated,
            80..96 => E::CompositeTruncated,
            _ => E::TotalLength,
        };
        assert_eq!(error(&GOLDEN_SHARE[..len]), expected, "{len}");
    }
    assert_eq!(error(&[GOLDEN_SHARE.as_slice(), &[0; 16]].concat()), E::TotalLength);
}

#[test]
fn kb_03_the_receivers_place_is_checked() {
    for size in [0u32, 8, 15, 17, 24, 48, 64] {
        assert_eq!(bad(24, &size.to_le_bytes()), E::ReceiverSize, "{size}");
    }
    // Two receivers of 32 bytes reach into the composite and the first range.
    assert_eq!(bad(24, &[32]), E::ReceiverReserved);
    let long = patched(&patched(&golden_share_1_2(), FIRST + 4, &[96]), FIRST + 36, &[96]);
    assert_eq!(error(&long), E::CompositeOverlaps);
    // A third receiver would be the composite.
    assert_eq!(bad(COUNT, &[3]), E::Permission);
    assert_eq!(bad(COUNT, &[6]), E::ReceiversTruncated);
    let many = [GOLDEN_SHARE.as_slice(), &[0; 512]].concat();
    assert_eq!(error(&patched(&many, COUNT, &[17])), E::TooManyReceivers);
}

#[test]
fn kb_04_structures_that_alias_each_other_are_refused() {
    for offset in [0u32, 16, 32, 47] {
        assert_eq!(bad(ARRAY_OFFSET, &offset.to_le_bytes()), E::ReceiverOffset, "{offset}");
    }
    for offset in [49u32, 52, 56] {
        assert_eq!(bad(ARRAY_OFFSET, &offset.to_le_bytes()), E::ReceiverOffset, "{offset}");
    }
    let composite = |offset: u32| {
        let moved = patched(&GOLDEN_SHARE, FIRST + 4, &offset.to_le_bytes());
        error(&patched(&moved, SECOND + 4, &offset.to_le_bytes()))
    };
    assert_eq!(composite(0), E::NoComposite);
    for offset in [16, 32, 48, 64] {
        assert_eq!(composite(offset), E::CompositeOverlaps, "{offset}");
    }
    for offset in [81, 84, 88] {
        assert_eq!(composite(offset), E::CompositeUnaligned, "{offset}");
    }
    assert_eq!(composite(128), E::CompositeTruncated);
    assert_eq!(bad(SECOND + 4, &[96]), E::CompositeDiffers);
    assert_eq!(bad(SECOND + 4, &[0]), E::CompositeDiffers);
}

#[test]
fn kb_05_receivers_are_real_distinct_and_not_the_sender() {
    assert_eq!(bad(COUNT, &[0]), E::NoReceiver);
    assert_eq!(bad(SECOND, &[0x01, 0x80]), E::DuplicateReceiver);
    assert_eq!(bad(SECOND, &[0x01, 0x00]), E::SenderReceives);
    assert_eq!(bad(FIRST, &[0x01, 0x00]), E::SenderReceives);
    let donate = patched(&GOLDEN_SHARE, 2, &[0]);
    assert_eq!(error_in(&donate, Role::Send(Transfer::Donate)), E::DonateReceivers);
}

#[test]
fn kb_05_every_receiver_is_checked_not_only_the_first() {
    for (at, value, expected) in [
        (2, 0x00, E::Permission),
        (2, 0x03, E::Permission),
        (2, 0x0e, E::Permission),
        (2, 0x12, E::Permission),
        (2, 0x0a, E::ExecutableShare),
        (3, 0x01, E::ReceiverReserved),
        (3, 0x02, E::ReceiverReserved),
        (8, 0x01, E::ReceiverReserved),
        (15, 0x80, E::ReceiverReserved),
    ] {
        assert_eq!(bad(FIRST + at, &[value]), expected);
        assert_eq!(bad(SECOND + at, &[value]), expected);
    }
}

#[test]
fn kb_06_pages_are_real_counted_and_distinct() {
    let empty = patched(&GOLDEN_SHARE[..96], COMPOSITE, &[0, 0, 0, 0, 0]);
    assert_eq!(error(&empty), E::NoPages);
    assert_eq!(bad(COMPOSITE, &[0]), E::NoPages);
    assert_eq!(bad(COMPOSITE + 4, &[0]), E::NoPages);
    assert_eq!(bad(COMPOSITE, &[4]), E::PageTotal);
    assert_eq!(bad(COMPOSITE, &[6]), E::PageTotal);
    assert_eq!(bad(COMPOSITE + 4, &[1]), E::TotalLength);
    assert_eq!(bad(COMPOSITE + 4, &[3]), E::TotalLength);
    let no_page = patched(&GOLDEN_SHARE, RANGE_0 + 8, &[0]);
    assert_eq!(error(&no_page), E::Range);
    assert_eq!(bad(RANGE_0, &[1]), E::Address);
    assert_eq!(bad(RANGE_1 + 1, &[8]), E::Address);
    // The second range begins in the first, in both orders.
    assert_eq!(bad(RANGE_1, &0x8000_3000u64.to_le_bytes()), E::Overlap);
    assert_eq!(bad(RANGE_1, &0x8000_0000u64.to_le_bytes()), E::Overlap);
    let below = patched(&GOLDEN_SHARE, RANGE_1, &0x7fff_f000u64.to_le_bytes());
    assert!(Transaction::parse(&below, Version::V1_1, SHARE).is_ok(), "descending is legal");
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of thousands of steps, none of them unsafe")]
fn kb_06_any_number_of_unsorted_ranges_is_checked_with_scratch() {
    let receivers = receivers();
    let mut many: Vec<PageRange> = (0..300).map(|n| range(0x8000_0000 + n * 0x2000, 1)).collect();
    many.reverse();
    let spec = |list: &[PageRange]| {
        build(Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, list))
    };
    let bytes = spec(&many);
    assert_eq!(error(&bytes), E::TooManyUnsorted);
    let parse = |bytes: &[u8], room: usize| {
        let mut scratch = vec![range(0, 1); room];
        Transaction::parse_with_scratch(bytes, Version::V1_1, SHARE, &mut scratch).map(|_| ())
    };
    assert_eq!(parse(&bytes, 300), Ok(()));
    assert_eq!(parse(&bytes, 400), Ok(()));
    assert_eq!(parse(&bytes, 299), Err(E::NoRoom));
    many[0] = many[299];
    assert_eq!(parse(&spec(&many), 300), Err(E::Overlap));
}

#[test]
fn kb_08_reserved_fields_are_refused() {
    for at in 36..48 {
        assert_eq!(bad(at, &[1]), E::HeaderReserved, "byte {at}");
    }
    for at in COMPOSITE + 8..COMPOSITE + 16 {
        assert_eq!(bad(at, &[1]), E::CompositeReserved, "byte {at}");
    }
    for at in RANGE_1 + 12..RANGE_1 + 16 {
        assert_eq!(bad(at, &[1]), E::ConstituentReserved, "byte {at}");
    }
    assert_eq!(bad(3, &[1]), E::Attributes);
    assert_eq!(bad(2, &[0x3f]), E::Attributes);
    assert_eq!(bad(2, &[0x6f]), E::SecurityBit);
    assert_eq!(bad(4, &[4]), E::Flags);
    assert_eq!(bad(4, &[8]), E::Flags);
    assert_eq!(bad(7, &[0x80]), E::Flags);
    assert_eq!(bad(8, &[1]), E::Handle);
    let old = golden_share_1_0();
    for at in [3, 24, 25, 26, 27] {
        let bytes = patched(&old, at, &[1]);
        let parsed = Transaction::parse(&bytes, Version::V1_0, SHARE);
        assert_eq!(parsed.map(|_| ()), Err(E::HeaderReserved), "byte {at}");
    }
    let long = patched(&golden_share_1_2(), 72, &[1]);
    let parsed = Transaction::parse(&long, Version::V1_2, SHARE);
    assert_eq!(parsed.map(|_| ()), Err(E::ReceiverReserved));
}

#[test]
fn requests_and_responses_have_rules_of_their_own() {
    let receivers = receivers();
    let spec = Spec::retrieve_request(Version::V1_1, id(1), handle(), None, 7, &receivers);
    let request = build(spec);
    let request_error =
        |at, with: &[u8]| error_in(&patched(&request, at, with), Role::RetrieveRequest);
    assert_eq!(request_error(8, &[0xff; 8]), E::Handle);
    assert_eq!(request_error(2, &[0x40]), E::SecurityBit);
    assert_eq!(request_error(5, &[8]), E::Flags);
    let long = [request.as_slice(), &[0; 16]].concat();
    assert_eq!(error_in(&long, Role::RetrieveRequest), E::TotalLength);
    assert_eq!(error_in(&request, SHARE), E::Handle);
    let mut response = patched(&GOLDEN_SHARE, 8, &[9]);
    assert_eq!(error_in(&response, Role::RetrieveResponse), E::Flags);
    response[4] = 8;
    assert!(Transaction::parse(&response, Version::V1_1, Role::RetrieveResponse).is_ok());
    response[COMPOSITE] = 0;
    assert_eq!(error_in(&response, Role::RetrieveResponse), E::NoPages);
}

#[test]
fn a_donation_leaves_the_permission_to_its_receiver() {
    let receivers = [Receiver::new(id(2), DataAccess::NotSpecified)];
    let ranges = ranges();
    let donate = Role::Send(Transfer::Donate);
    let spec = Spec::send(Version::V1_1, Transfer::Donate, id(1), 0, &receivers, &ranges);
    let bytes = build(spec);
    assert!(Transaction::parse(&bytes, Version::V1_1, donate).is_ok());
    assert_eq!(error_in(&patched(&bytes, FIRST + 2, &[2]), donate), E::Permission);
    assert_eq!(error_in(&bytes, Role::Send(Transfer::Lend)), E::Permission);
}

#[test]
fn the_builder_refuses_what_nobody_would_accept() {
    let (receivers, ranges) = (receivers(), ranges());
    let good = Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, &ranges);
    let error = |spec| Builder::new(spec).map(|_| ()).unwrap_err();
    let twice = [receivers[0], receivers[0]];
    let many: Vec<Receiver> = (2..19).map(|n| Receiver::read_write(id(n))).collect();
    assert_eq!(error(Spec { receivers: &[], ..good }), E::NoReceiver);
    assert_eq!(error(Spec { receivers: &many, ..good }), E::TooManyReceivers);
    assert_eq!(error(Spec { receivers: &twice, ..good }), E::DuplicateReceiver);
    assert_eq!(error(Spec { sender: id(2), ..good }), E::SenderReceives);
    assert_eq!(error(Spec { ranges: &[], ..good }), E::NoPages);
    assert_eq!(error(Spec { handle: Some(handle()), ..good }), E::Handle);
    assert_eq!(error(Spec { role: Role::RetrieveResponse, ..good }), E::Handle);
    assert_eq!(error(Spec { flags: Flags::of_kind(Transfer::Share), ..good }), E::Flags);
    assert_eq!(error(Spec { role: Role::Send(Transfer::Donate), ..good }), E::DonateReceivers);
    let request = Spec::retrieve_request(Version::V1_1, id(1), handle(), None, 0, &receivers);
    assert_eq!(error(Spec { ranges: &ranges, ..request }), E::TotalLength);
    assert_eq!(error(Spec { handle: None, ..request }), E::Handle);
    let huge = [range(0, u32::MAX), range(0, u32::MAX)];
    assert_eq!(error(Spec { ranges: &huge, ..good }), E::PageTotal);
}
