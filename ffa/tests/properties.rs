//! Properties over random registers and bytes: nothing panics, and what we write we read back.
#![cfg(not(miri))]

use causeway_ffa::boot_info::{BootInfo, blob_len};
use causeway_ffa::call::ReclaimFlags;
use causeway_ffa::descriptor::{
    Builder, DescriptorError, FirstFragment, Receiver, Rewrite, Role, Spec, Transaction, disjoint,
};
use causeway_ffa::partition_info::PartitionInfos;
use causeway_ffa::relinquish::{self, Relinquish};
use causeway_ffa::{
    Answer, Call, EndpointId, FuncId, MemHandle, PageAddr, PageRange, Regs, Transfer, Version,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

const VERSIONS: [Version; 4] = [Version::V1_0, Version::V1_1, Version::V1_2, Version::V1_3];

fn version() -> impl Strategy<Value = Version> {
    proptest::sample::select(&VERSIONS[..])
}

fn transfer() -> impl Strategy<Value = Transfer> {
    prop_oneof![Just(Transfer::Share), Just(Transfer::Lend)]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Send(Transfer::Share)),
        Just(Role::Send(Transfer::Lend)),
        Just(Role::Send(Transfer::Donate)),
        Just(Role::RetrieveRequest),
        Just(Role::RetrieveResponse),
    ]
}

/// A function id that exists, and registers that are often small, aligned or all ones.
fn regs() -> impl Strategy<Value = Regs> {
    let register = prop_oneof![
        any::<u64>(),
        any::<u32>().prop_map(u64::from),
        0..128u64,
        (0..1u64 << 36).prop_map(|page| page << 12),
        Just(u64::MAX),
        Just(0),
    ];
    let func = prop_oneof![
        8 => proptest::sample::select(FuncId::ALL).prop_map(|func| u64::from(func.raw())),
        1 => any::<u64>(),
    ];
    (func, vec(register, 17)).prop_map(|(func, rest)| {
        let mut regs = [func; 18];
        regs[1..].copy_from_slice(&rest);
        Regs(regs)
    })
}

fn range() -> impl Strategy<Value = PageRange> {
    (0..(1u64 << 36) - 0x1000, 1..0x1000u32).prop_map(|(page, count)| {
        PageRange::new(PageAddr::new(page << 12).unwrap(), count).unwrap()
    })
}

fn receivers() -> impl Strategy<Value = Vec<Receiver>> {
    btree_set(2..0xffffu16, 1..8).prop_map(|ids| {
        let id = |raw: u16| EndpointId::from_raw(raw);
        let one = |raw: u16| match raw % 2 {
            0 => Receiver::read_only(id(raw)),
            _ => Receiver::read_write(id(raw)),
        };
        ids.into_iter().map(one).collect()
    })
}

/// Bytes of a valid send with a few of them changed: gets past the first checks.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let change = (0..200usize, prop_oneof![any::<u8>(), 0..32u8, Just(0xff)]);
    (receivers(), vec(range(), 1..6), vec(change, 0..4), 0..40usize).prop_map(
        |(receivers, ranges, changes, cut)| {
            let sender = EndpointId::from_raw(1);
            let spec = Spec::send(Version::V1_1, Transfer::Share, sender, 0, &receivers, &ranges);
            let builder = Builder::new(spec).unwrap();
            let mut bytes = vec![0; builder.total_len() as usize];
            builder.write(0, &mut bytes).unwrap();
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(20)));
            bytes
        },
    )
}

/// Reads everything that a parsed descriptor offers.
fn use_it(bytes: &[u8], total: u32, version: Version, role: Role) {
    if let Ok(first) = FirstFragment::parse(bytes, total, version, role) {
        assert!(first.receivers().len() > 0);
        assert_eq!(first.receivers().count(), first.receivers().len());
        let (stream, ranges) = first.stream();
        assert_eq!(ranges.clone().count(), ranges.len(), "every checked range is handed out");
        assert!(stream.next_offset() as usize == bytes.len() && stream.next_offset() <= total);
    }
    if let Ok(whole) = Transaction::parse(bytes, version, role) {
        let pages: u64 = whole.ranges().map(|range| u64::from(range.page_count())).sum();
        assert_eq!(pages, u64::from(whole.page_count()));
        assert_eq!(whole.ranges().len(), whole.range_count() as usize);
        let all: Vec<PageRange> = whole.ranges().collect();
        for (index, range) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| !other.overlaps(*range)));
        }
        let sender = whole.header().sender;
        assert!(whole.receivers().all(|receiver| receiver.endpoint != sender));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn registers_never_panic_and_what_is_read_is_written_back(regs in regs(), version in version()) {
        if let Ok(call) = Call::decode(&regs, version) {
            prop_assert_eq!(Call::decode(&call.encode(), version), Ok(call));
        }
        if let Ok(answer) = Answer::decode(&regs, version) {
            prop_assert_eq!(Answer::decode(&answer.encode(), version), Ok(answer));
            if let Answer::Success(success) = answer {
                prop_assert!(success.pending().count() <= 31);
            }
        }
        if let Some((sender, receiver, _)) = Call::direct_parties(&regs) {
            let both = u32::from(sender.get()) << 16 | u32::from(receiver.get());
            prop_assert_eq!(both, regs.w(1));
        }
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in vec(any::<u8>(), 0..300), total in any::<u32>(), version in version(), role in role(),
    ) {
        use_it(&bytes, total, version, role);
        prop_assert!(blob_len(&bytes).is_err() || bytes.len() >= 12);
        if let Ok(info) = BootInfo::parse(&bytes, 0) {
            let _ = (info.items().count(), info.manifest());
        }
        if let Ok(gone) = Relinquish::parse(&bytes) {
            prop_assert!(gone.endpoints().count() > 0);
        }
        if let Ok(list) = PartitionInfos::parse(&bytes, total % 16, total >> 24, version) {
            prop_assert_eq!(list.iter().count(), (total % 16) as usize);
        }
    }

    #[test]
    fn nearly_valid_descriptors_never_panic(
        bytes in nearly_valid(), more in 0..64u32, version in version(), role in role(),
    ) {
        let total = bytes.len() as u32 + more;
        use_it(&bytes, total, version, role);
        use_it(&bytes, bytes.len() as u32, Version::V1_1, Role::Send(Transfer::Share));
    }

    #[test]
    fn nearly_valid_boot_information_never_panics(
        at in 0..64usize, value in any::<u32>(), address in any::<u64>(),
    ) {
        let words: [u32; 17] =
            [0x0ffa, 0x1_0001, 68, 32, 1, 32, 0, 0, 0, 0, 0, 0, 0, 4, 64, 0, 0x1234_5678];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        prop_assert!(BootInfo::parse(&bytes, 0).unwrap().manifest().is_some());
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        if let Ok(info) = BootInfo::parse(&bytes, address) {
            let _ = (info.items().count(), info.manifest());
        }
    }

    #[test]
    fn sends_survive_their_fragments(
        kind in transfer(), receivers in receivers(), tag in any::<u64>(), version in version(),
        ranges in vec(range(), 1..400), room in 512..5000usize,
    ) {
        let sender = EndpointId::from_raw(1);
        let spec = Spec::send(version, kind, sender, tag, &receivers, &ranges);
        let builder = Builder::new(spec).unwrap();
        let mut buffer = vec![0; room];
        let len = builder.write(0, &mut buffer).unwrap();
        let role = Role::Send(kind);
        let first = FirstFragment::parse(&buffer[..len], builder.total_len(), version, role).unwrap();
        prop_assert_eq!(first.header().tag, tag);
        prop_assert!(first.receivers().eq(receivers.iter().copied()));
        let (mut stream, found) = first.stream();
        let mut seen: Vec<PageRange> = found.collect();
        while !stream.is_complete() {
            let offset = stream.next_offset();
            let len = builder.write(offset, &mut buffer).unwrap();
            seen.extend(stream.feed(offset, &buffer[..len]).unwrap());
        }
        prop_assert_eq!(&seen, &ranges);
        prop_assert_eq!(stream.finish(), Ok(()));
    }

    #[test]
    fn a_rewrite_is_read_back(
        receivers in receivers(), counts in vec(1..9u32, 1..40), room in 300..4096usize,
    ) {
        let pages: u32 = counts.iter().sum();
        let at = |page: u64| PageAddr::new(page << 12).unwrap();
        let one = [PageRange::new(at(0x80000), pages).unwrap()];
        let spec = Spec::send(
            Version::V1_1, Transfer::Lend, EndpointId::from_raw(1), 3, &receivers, &one,
        );
        let builder = Builder::new(spec).unwrap();
        let mut bytes = vec![0; builder.total_len() as usize];
        builder.write(0, &mut bytes).unwrap();
        let whole = Transaction::parse(&bytes, Version::V1_1, spec.role).unwrap();
        let physical: Vec<PageRange> = counts.iter().enumerate()
            .map(|(n, count)| PageRange::new(at(0x9_0000 + 16 * n as u64), *count).unwrap())
            .collect();
        let rewrite = Rewrite::new(whole.first(), &physical).unwrap();
        let mut out = Vec::new();
        while out.len() < rewrite.total_len() as usize {
            let mut buffer = vec![0; room];
            let len = rewrite.write(out.len() as u32, &mut buffer).unwrap();
            out.extend_from_slice(&buffer[..len]);
        }
        let read = Transaction::parse(&out, Version::V1_1, spec.role).unwrap();
        prop_assert!(read.ranges().eq(physical.iter().copied()));
        prop_assert!(read.receivers().eq(receivers.iter().copied()));
    }

    #[test]
    fn overlaps_are_found_as_by_comparing_all_pairs(
        pages in vec((0..400u64, 1..6u32), 1..60),
    ) {
        let ranges: Vec<PageRange> = pages.iter()
            .map(|(page, count)| PageRange::new(PageAddr::new(page << 12).unwrap(), *count).unwrap())
            .collect();
        let overlap = ranges.iter().enumerate()
            .any(|(n, range)| ranges[..n].iter().any(|other| other.overlaps(*range)));
        let expected = if overlap { Err(DescriptorError::Overlap) } else { Ok(()) };
        prop_assert_eq!(disjoint::check(ranges.iter().copied()), expected);
        prop_assert_eq!(disjoint::sort_and_check(&mut ranges.clone()), expected);
    }

    #[test]
    fn relinquish_survives(handle in 0..u64::MAX, ids in btree_set(any::<u16>(), 1..16), flags in 0..4u32) {
        let handle = MemHandle::new(handle).unwrap();
        let flags = ReclaimFlags::from_word(flags).unwrap();
        let ids: Vec<EndpointId> = ids.into_iter().map(EndpointId::from_raw).collect();
        let mut out = [0; 64];
        relinquish::write(handle, flags, &ids, &mut out).unwrap();
        let read = Relinquish::parse(&out).unwrap();
        prop_assert_eq!((read.handle(), read.flags()), (handle, flags));
        prop_assert!(read.endpoints().eq(ids.iter().copied()));
    }
}
