//! Holds the image's own tables, under the shipped manifest, to what the EL3 SPMC's store can hold.

use super::*;
use crate::FullBroker;

type Full = Lab<1152, 6144, 18>;

/// The tables are too large for a test thread's stack.
fn on_a_large_stack(test: fn(&mut Full)) {
    let run = move || {
        let manifest = include_bytes!("../../../tests/data/qemu-el3.dtb");
        let policy = Policy::from_manifest(manifest).unwrap();
        test(&mut Box::new(Full::new(&policy)));
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(run).unwrap().join().unwrap();
}

fn grant(
    lab: &mut Full,
    number: u64,
    peer: Option<u16>,
    ranges: &[causeway_ffa::PageRange],
) -> Status {
    lab.send(number, 1, terms(peer), ranges);
    lab.call(1, offer(number, terms(peer))).status
}

#[test]
fn the_tables_leave_room_in_the_partitions_memory() {
    let bytes = size_of::<FullBroker>() + size_of::<crate::Ledger<256>>();
    println!("{} KiB of tables", bytes >> 10);
    assert!(bytes < 2 << 20);
}

#[test]
#[cfg_attr(miri, ignore = "large tables")]
fn as_many_grants_as_the_spmc_holds_fit_at_once_and_one_release_mends_a_full_table() {
    on_a_large_stack(|lab| {
        for n in 0..546 {
            assert_eq!(grant(lab, n, None, &[pages(0x8_0000 + n * 2, 1)]), Status::Ok);
        }
        for n in 1000..1456 {
            assert_eq!(grant(lab, n, Some(2), &[pages(0x9_0000 + n * 2, 1)]), Status::Ok);
        }
        assert_eq!(grant(lab, 5000, None, &[pages(0xa_0000, 1)]), Status::QuotaGrants);
        assert_eq!(lab.call(1, revoke(300)).status, Status::Ok);
        assert_eq!(lab.call(1, offer(5000, terms(None))).status, Status::Ok);
    });
}

#[test]
#[cfg_attr(miri, ignore = "large tables")]
fn long_lists_of_ranges_fit_beside_others_and_leave_no_trace() {
    on_a_large_stack(|lab| {
        assert_eq!(grant(lab, 1, Some(2), &[pages(0x8_0000, 1), pages(0x8_4000, 2)]), Status::Ok);
        let scattered = |count: u64, step: u64| -> Vec<_> {
            // Neither sorted nor contiguous.
            (0..count).map(|n| pages(0x8_8000 + (n * step % count) * 2, 1)).collect()
        };
        assert_eq!(grant(lab, 2, Some(2), &scattered(2048, 79)), Status::Ok);
        assert_eq!(grant(lab, 3, Some(2), &[pages(0x8_2000, 1), pages(0x8_5000, 2)]), Status::Ok);
        assert_eq!(grant(lab, 4, None, &[pages(0x8_8800, 1)]), Status::Overlap);
        assert_eq!(grant(lab, 5, None, &[pages(0x8_8801, 1)]), Status::Ok);
        assert_eq!(grant(lab, 6, Some(2), &scattered(4088, 79)), Status::QuotaRanges);
        for n in [2, 3, 5] {
            assert_eq!(lab.call(1, revoke(n)).status, Status::Ok);
        }
        let held = lab.broker.grants().next().unwrap();
        let ranges: Vec<_> = lab.broker.ranges(held.id).collect();
        assert_eq!(ranges, [pages(0x8_0000, 1), pages(0x8_4000, 2)]);
        assert_eq!(grant(lab, 7, Some(2), &scattered(4088, 79)), Status::Ok);
        assert_eq!(grant(lab, 8, None, &[pages(0x8_8800, 1)]), Status::Overlap);
    });
}
