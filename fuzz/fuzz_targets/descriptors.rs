//! Owns the fuzz target of memory descriptors: all versions, roles and dialects, whole and in
//! fragments, against arm-ffa. What arm-ffa takes and we refuse needs a reason in `arm_ffa_skips`.
#![no_main]

use arbitrary::{Result, Unstructured};
use arm_ffa::memory_management as mm;
use causeway_ffa::descriptor::{
    Builder, DescriptorError, Dialect, FirstFragment, Receiver, Role, Spec, Transaction,
};
use causeway_ffa::relinquish::Relinquish;
use causeway_ffa::{EndpointId, MemHandle, PageAddr, PageRange, Transfer, Version};
use libfuzzer_sys::fuzz_target;

const VERSIONS: [Version; 4] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3];
const ROLES: [Role; 5] = [
    Role::Send(Transfer::Share),
    Role::Send(Transfer::Lend),
    Role::Send(Transfer::Donate),
    Role::RetrieveRequest,
    Role::RetrieveResponse,
];

/// Bytes as they come, or a descriptor of ours with some bytes changed.
fn bytes(input: &mut Unstructured<'_>, version: Version, role: Role) -> Result<Vec<u8>> {
    if input.ratio(1, 4)? {
        let len = input.len().min(1024);
        return Ok(input.bytes(len)?.to_vec());
    }
    let id = EndpointId::from_raw;
    let count = input.int_in_range(1..=4)?;
    let receivers: Vec<Receiver> = (0..count).map(|n| Receiver::read_write(id(2 + n))).collect();
    let count = input.int_in_range(1..=12u64)?;
    let mut ranges = Vec::new();
    for n in 0..count {
        let page = 0x8_0000 + 16 * n + u64::from(input.int_in_range(0..=20u8)?);
        let start = PageAddr::new(page << 12).expect("a page");
        ranges.push(PageRange::new(start, input.int_in_range(1..=16)?).expect("a range"));
    }
    let handle = MemHandle::new(9).expect("a handle");
    let ranges = if role == Role::RetrieveRequest { &[] } else { ranges.as_slice() };
    let spec = match role {
        Role::Send(Transfer::Donate) => {
            let spec = Spec::send(version, Transfer::Donate, id(1), 7, &receivers[..1], ranges);
            return patched(input, spec);
        }
        Role::Send(kind) => Spec::send(version, kind, id(1), 7, &receivers, ranges),
        Role::RetrieveRequest => {
            Spec::retrieve_request(version, id(1), handle, None, 7, &receivers)
        }
        Role::RetrieveResponse => {
            let kind = Transfer::Share;
            Spec::retrieve_response(version, id(1), handle, kind, 7, &receivers, ranges)
        }
    };
    patched(input, spec)
}

fn patched(input: &mut Unstructured<'_>, spec: Spec<'_>) -> Result<Vec<u8>> {
    let builder = Builder::new(spec).expect("a good descriptor");
    let mut bytes = vec![0; builder.total_len() as usize];
    builder.write(0, &mut bytes).expect("it fits");
    for _ in 0..input.int_in_range(0..=4)? {
        let at = input.choose_index(bytes.len())?;
        bytes[at] = input.arbitrary()?;
    }
    if input.ratio(1, 8)? {
        let keep = input.choose_index(bytes.len())?;
        bytes.truncate(keep);
    }
    Ok(bytes)
}

/// Why arm-ffa takes what breaks this rule; `None` where it ought to refuse it, too.
fn arm_ffa_skips(rule: DescriptorError) -> Option<&'static str> {
    use DescriptorError as E;
    match rule {
        E::HeaderReserved => Some("does not look at the reserved fields of the header"),
        E::SecurityBit => Some("does not know the message"),
        E::Flags | E::ZeroOnShare => Some("keeps flags as a raw word"),
        E::Handle => Some("does not know the message, and takes the invalid handle"),
        E::ReceiverOffset => Some("takes receivers that lie in the header"),
        E::TooManyReceivers => Some("has no bound on receivers"),
        E::DonateReceivers => Some("does not know the message"),
        E::DuplicateReceiver | E::SenderReceives => Some("does not compare endpoints"),
        E::ReceiverReserved => Some("does not look at reserved fields and flags of receivers"),
        E::Permission => Some("ignores bits 7:4 of permissions, and does not know the message"),
        E::ExecutableShare => Some("does not know the message"),
        E::CompositeDiffers => Some("uses the first receiver's composite for all"),
        E::NoComposite => Some("does not know the message"),
        E::CompositeUnaligned | E::CompositeOverlaps => Some("takes a composite anywhere"),
        E::CompositeReserved => Some("does not look at the reserved field of the composite"),
        E::NoPages => Some("takes an empty composite"),
        E::TotalLength => Some("does not compare the announced length with the described one"),
        E::ConstituentReserved => Some("does not look at the reserved field of a constituent"),
        E::Address | E::Range => Some("takes any address and any count"),
        E::Overlap | E::TooManyUnsorted => Some("does not compare constituents"),
        E::Attributes => Some("ignores bits that the memory type does not use"),
        E::UnsupportedVersion
        | E::Lengths
        | E::HeaderTruncated
        | E::ReceiverSize
        | E::ReceiversTruncated
        | E::NoReceiver
        | E::CompositeTruncated
        | E::PageTotal
        | E::FragmentOffset
        | E::ConstituentSplit
        | E::FragmentExcess
        | E::Incomplete
        | E::NoRoom => None,
    }
}

type Read = (u16, u64, Vec<u16>, Vec<(u64, u32)>);

/// What arm-ffa makes of the bytes; it knows the layout of 1.1 with short receivers alone.
fn arm_ffa(bytes: &[u8]) -> Option<Read> {
    let (header, receivers, ranges) = mm::MemTransactionDesc::unpack(bytes).ok()?;
    let receivers = receivers.map(|one| one.map(|one| one.endpoint_id));
    let receivers = receivers.collect::<core::result::Result<_, _>>().ok()?;
    let ranges = ranges.into_iter().flatten().map(|one| one.map(|one| (one.address, one.page_cnt)));
    let ranges = ranges.collect::<core::result::Result<_, _>>().ok()?;
    Some((header.sender_id, header.tag, receivers, ranges))
}

fn ours(whole: &Transaction<'_>) -> Read {
    let header = whole.header();
    let ids = whole.receivers().map(|one| one.endpoint.get()).collect();
    let ranges = whole.ranges().map(|range| (range.start().get(), range.page_count())).collect();
    (header.sender.get(), header.tag, ids, ranges)
}

/// What every accepted descriptor keeps.
fn check(whole: &Transaction<'_>) {
    let all: Vec<PageRange> = whole.ranges().collect();
    assert_eq!(all.len(), whole.range_count() as usize);
    let pages: u64 = all.iter().map(|range| u64::from(range.page_count())).sum();
    assert_eq!(pages, u64::from(whole.page_count()), "KB-06");
    for (n, range) in all.iter().enumerate() {
        assert!(all[..n].iter().all(|other| !other.overlaps(*range)), "KB-06");
    }
    let ids: Vec<EndpointId> = whole.receivers().map(|one| one.endpoint).collect();
    assert!(!ids.is_empty() && ids.len() == whole.receivers().len(), "KB-05");
    for (n, id) in ids.iter().enumerate() {
        assert!(*id != whole.header().sender && !ids[..n].contains(id), "KB-05");
    }
}

/// The same bytes in two fragments are read as in one, or refused.
fn in_fragments(bytes: &[u8], version: Version, role: Role, cut: usize, is_good: bool) {
    let Ok(total) = u32::try_from(bytes.len()) else { return };
    let (head, tail) = bytes.split_at(cut.min(bytes.len()));
    let Ok(first) = FirstFragment::parse(head, total, version, role) else { return };
    let (mut stream, ranges) = first.stream();
    let mut count = ranges.count();
    let before = stream.clone();
    assert!(stream.feed(stream.next_offset().wrapping_add(16), tail).is_err(), "KB-02");
    assert_eq!(stream, before, "a refused fragment changes nothing");
    match stream.feed(stream.next_offset(), tail) {
        Ok(ranges) => count += ranges.count(),
        Err(_) => assert_eq!(stream, before, "a refused fragment changes nothing"),
    }
    if stream.is_complete() {
        assert_eq!(count, first.range_count() as usize);
        assert!(is_good || !stream.is_ascending(), "the whole was refused");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let (Ok(version), Ok(role), Ok(cut)) =
        (input.choose(&VERSIONS), input.choose(&ROLES), input.int_in_range(0..=40usize))
    else {
        return;
    };
    let (version, role) = (*version, *role);
    let Ok(bytes) = bytes(&mut input, version, role) else { return };
    let read = Transaction::parse(&bytes, version, role);
    if let Ok(whole) = &read {
        check(whole);
    }
    in_fragments(&bytes, version, role, cut * 16, read.is_ok());
    let mut scratch = [PageRange::new(PageAddr::new(0).expect("0"), 1).expect("a page"); 64];
    if let Ok(whole) = Transaction::parse_with_scratch(&bytes, version, role, &mut scratch) {
        check(&whole);
        assert!(read.is_ok());
    }
    if let Ok(whole) = Transaction::parse_in(Dialect::OpTee, &bytes, version, role) {
        check(&whole);
    } else {
        assert!(read.is_err(), "a dialect takes what is as specified");
    }
    if let Ok(gone) = Relinquish::parse(&bytes) {
        assert!(gone.endpoints().count() > 0);
    }
    if version == Version::V1_0 {
        return;
    }
    match (&read, arm_ffa(&bytes)) {
        (Ok(whole), Some(theirs)) => assert_eq!(ours(whole), theirs),
        (Ok(whole), None) => assert_eq!(bytes[24], 32, "they refuse {whole:?}"),
        (Err(rule), Some(_)) => assert!(arm_ffa_skips(*rule).is_some(), "they take {rule:?}"),
        (Err(_), None) => {}
    }
});
