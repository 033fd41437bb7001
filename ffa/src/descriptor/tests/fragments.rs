//! Fragments (KB-02, KB-07, KB-09) and rewritten ranges.

use super::*;

type E = DescriptorError;

fn many(count: u64) -> Vec<PageRange> {
    (0..count).map(|n| range(0x8000_0000 + n * 0x4000, 2)).collect()
}

/// Cuts a descriptor into fragments of at most `room` bytes.
fn cut(
    total: u32,
    room: usize,
    write: impl Fn(u32, &mut [u8]) -> Result<usize, E>,
) -> Vec<Vec<u8>> {
    let mut fragments = Vec::new();
    let mut offset = 0;
    while offset < total {
        let mut out = vec![0xaa; room];
        let len = write(offset, &mut out).unwrap();
        assert!(len > 0 && out[len..].iter().all(|byte| *byte == 0xaa));
        out.truncate(len);
        fragments.push(out);
        offset += len as u32;
    }
    fragments
}

fn first(bytes: &[u8], total: u32) -> Result<FirstFragment<'_>, E> {
    FirstFragment::parse(bytes, total, Version::V1_1, SHARE)
}

#[test]
fn kb_07_a_share_bigger_than_a_page_of_descriptors_survives_its_fragments() {
    // Miri is slow: fewer ranges, and smaller buffers do the cutting.
    let count: u32 = if cfg!(miri) { 20 } else { 1000 };
    let (receivers, ranges) = (receivers(), many(u64::from(count)));
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, &ranges);
    let whole = build(spec);
    let builder = Builder::new(spec).unwrap();
    assert_eq!((builder.total_len(), builder.page_count()), (96 + 16 * count, 2 * count));
    let rooms: &[usize] = if cfg!(miri) { &[112, 400] } else { &[4096, 8192, 112, 100, 1 << 16] };
    for room in rooms.iter().copied() {
        let fragments = cut(builder.total_len(), room, |at, out| builder.write(at, out));
        assert_eq!(fragments.concat(), whole, "{room}");
        let head = first(&fragments[0], builder.total_len()).unwrap();
        let (mut stream, found) = head.stream();
        let mut seen: Vec<PageRange> = found.collect();
        for fragment in &fragments[1..] {
            let offset = stream.next_offset();
            seen.extend(stream.feed(offset, fragment).unwrap());
        }
        assert!(stream.is_complete() && stream.is_ascending() && stream.missing() == 0);
        assert_eq!(stream.finish(), Ok(()));
        assert_eq!(seen, ranges);
    }
}

#[test]
fn kb_02_fragments_that_do_not_fit_change_nothing() {
    let (receivers, ranges) = (receivers(), many(4));
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, &ranges);
    let whole = build(spec);
    let total = u32::try_from(whole.len()).unwrap();
    let head = first(&whole[..112], total).unwrap();
    let (mut stream, found) = head.stream();
    assert_eq!((found.len(), stream.next_offset(), stream.missing()), (1, 112, 48));
    let before = stream.clone();
    let bad_page = patched(&whole[112..], 8, &[9]);
    let reserved = patched(&whole[112..], 44, &[1]);
    let unaligned = patched(&whole[112..], 33, &[1]);
    let excess = [&whole[112..], &whole[112..128]].concat();
    for (offset, fragment, error) in [
        (0, &whole[112..], E::FragmentOffset),
        (96, &whole[112..], E::FragmentOffset),
        (128, &whole[112..], E::FragmentOffset),
        (u32::MAX, &whole[112..], E::FragmentOffset),
        (112, &[], E::Lengths),
        (112, &whole[112..120], E::ConstituentSplit),
        (112, &whole[112..159], E::ConstituentSplit),
        (112, &excess, E::FragmentExcess),
        (112, &bad_page, E::PageTotal),
        (112, &reserved, E::ConstituentReserved),
        (112, &unaligned, E::Address),
    ] {
        assert_eq!(stream.feed(offset, fragment).map(|_| ()), Err(error));
        assert_eq!(stream, before, "{error:?} changed the stream");
    }
    assert_eq!(stream.clone().finish(), Err(E::Incomplete));
    assert_eq!(stream.feed(112, &whole[112..]).unwrap().len(), 3);
    assert_eq!(stream.feed(160, &whole[144..]).map(|_| ()), Err(E::FragmentExcess));
}

#[test]
fn kb_02_the_first_fragment_holds_the_composite() {
    let total = 128;
    for len in [48, 64, 79] {
        assert_eq!(first(&GOLDEN_SHARE[..len], total).map(|_| ()), Err(E::ReceiversTruncated));
    }
    for len in [80, 95] {
        assert_eq!(first(&GOLDEN_SHARE[..len], total).map(|_| ()), Err(E::CompositeTruncated));
    }
    for len in [97, 111, 113] {
        assert_eq!(first(&GOLDEN_SHARE[..len], total).map(|_| ()), Err(E::ConstituentSplit));
    }
    let bare = first(&GOLDEN_SHARE[..96], total).unwrap();
    assert_eq!(bare.stream().1.len(), 0);
    assert_eq!((bare.page_count(), bare.range_count(), bare.total_len()), (5, 2, 128));
    assert_eq!(first(&GOLDEN_SHARE, 112).map(|_| ()), Err(E::Lengths));
    assert_eq!(first(&GOLDEN_SHARE[..96], 144).map(|_| ()), Err(E::TotalLength));
    assert_eq!(first(&GOLDEN_SHARE[..96], u32::MAX).map(|_| ()), Err(E::TotalLength));
}

#[test]
fn mixed_order_is_noticed_across_fragments() {
    let receivers = receivers();
    let ranges = [range(0x9000_0000, 1), range(0x8000_0000, 1)];
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, &ranges);
    let whole = build(spec);
    let (mut stream, _) = first(&whole[..112], 128).unwrap().stream();
    assert!(stream.is_ascending());
    stream.feed(112, &whole[112..]).map(|_| ()).unwrap();
    assert!(stream.is_complete() && !stream.is_ascending());
}

#[test]
fn ranges_that_touch_are_in_order() {
    let receivers = receivers();
    let ranges = [range(0x8000_0000, 2), range(0x8000_2000, 1), range(0x8000_3000, 1)];
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, &ranges);
    let whole = build(spec);
    let (stream, _) = first(&whole, 144).unwrap().stream();
    assert!(stream.is_complete() && stream.is_ascending());
}

#[test]
fn the_builder_refuses_offsets_and_buffers_that_make_no_fragment() {
    let (receivers, ranges) = (receivers(), many(4));
    let spec = Spec::send(Version::V1_1, Transfer::Share, id(1), 0, &receivers, &ranges);
    let builder = Builder::new(spec).unwrap();
    let mut out = [0; 4096];
    for offset in [16, 80, 97, 160, 176, u32::MAX] {
        assert_eq!(builder.write(offset, &mut out), Err(E::FragmentOffset), "{offset}");
    }
    assert_eq!(builder.write(0, &mut out[..95]), Err(E::NoRoom));
    assert_eq!(builder.write(96, &mut out[..15]), Err(E::NoRoom));
    assert_eq!(builder.write(0, &mut out[..96]), Ok(96));
    assert_eq!(builder.write(144, &mut out), Ok(16));
}

#[test]
fn ranges_are_rewritten_and_the_rest_stays_as_it_is() {
    let whole = Transaction::parse(&GOLDEN_SHARE, Version::V1_1, SHARE).unwrap();
    for physical in [
        vec![range(0x7000_0000, 5)],
        vec![range(0x7000_0000, 3), range(0x7100_0000, 2)],
        (0..5).map(|n| range(0x7000_0000 + n * 0x10_0000, 1)).collect(),
    ] {
        let rewrite = Rewrite::new(whole.first(), &physical).unwrap();
        let expected = 96 + 16 * physical.len();
        let one = cut(rewrite.total_len(), 4096, |at, out| rewrite.write(at, out)).concat();
        let split = cut(rewrite.total_len(), 96, |at, out| rewrite.write(at, out));
        assert_eq!(split.concat(), one);
        assert_eq!((one.len(), &one[..80]), (expected, &GOLDEN_SHARE[..80]));
        let read = Transaction::parse(&one, Version::V1_1, SHARE).unwrap();
        assert!(read.ranges().eq(physical.iter().copied()));
        assert_eq!(read.page_count(), 5);
        let mut buffer = [0; 4096];
        buffer[..128].copy_from_slice(&GOLDEN_SHARE);
        let len = rewrite_in_place(&mut buffer, 128, Version::V1_1, SHARE, &physical);
        assert_eq!((len, &buffer[..expected]), (Ok(expected), one.as_slice()));
    }
}

#[test]
fn a_rewrite_keeps_the_number_of_pages_and_fits_or_changes_nothing() {
    let whole = Transaction::parse(&GOLDEN_SHARE, Version::V1_1, SHARE).unwrap();
    let error = |list: &[PageRange]| Rewrite::new(whole.first(), list).map(|_| ()).unwrap_err();
    assert_eq!(error(&[range(0x7000_0000, 4)]), E::PageTotal);
    assert_eq!(error(&[]), E::NoPages);
    let singles: Vec<PageRange> = (0..5).map(|n| range(0x7000_0000 + n * 0x2000, 1)).collect();
    let mut buffer = [GOLDEN_SHARE.as_slice(), &[0xaa; 16]].concat();
    let before = buffer.clone();
    let result = rewrite_in_place(&mut buffer, 128, Version::V1_1, SHARE, &singles);
    assert_eq!((result, buffer), (Err(E::NoRoom), before));
    let receivers = receivers();
    let spec = Spec::retrieve_request(Version::V1_1, id(1), handle(), None, 0, &receivers);
    let bytes = build(spec);
    let request = Transaction::parse(&bytes, Version::V1_1, Role::RetrieveRequest).unwrap();
    let none = Rewrite::new(request.first(), &singles).map(|_| ());
    assert_eq!(none, Err(E::NoComposite));
}
