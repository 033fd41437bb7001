//! Owns the proofs about attribute bits: they are read back from the descriptors.

use super::*;
use crate::arch::tables::{POOL_TABLES, TableStore};
use causeway_ffa::PageAddr;
use causeway_service::platform::Window as _;

/// Never dropped: live tables must not be.
fn tables() -> &'static mut Stage1 {
    // A megabyte, which an unoptimised build makes on the stack first.
    let made = std::thread::Builder::new().stack_size(16 << 20);
    let made = made.spawn(|| Box::leak(Box::new(TableStore::new()))).unwrap();
    let store: &'static TableStore = made.join().unwrap();
    Box::leak(Box::new(Stage1::new(store.take().unwrap())))
}

fn range(start: u64, pages: u32) -> PageRange {
    PageRange::new(PageAddr::new(start).unwrap(), pages).unwrap()
}

fn free(tables: &Stage1) -> u32 {
    tables.mapping.translation().free_tables()
}

#[test]
fn shared_memory_is_non_secure_never_executable_and_no_more_than_granted() {
    let tables = tables();
    tables.mark_live();
    for (start, permission, read_only) in [
        (0x8000_0000, Permission::ReadWrite, false),
        (0x8000_2000, Permission::ReadOnly, true),
        (0x9000_0000, Permission::ReadWrite, false),
    ] {
        let area = range(start, 2);
        let window = tables.map_shared(area, permission).unwrap();
        assert_eq!(
            tables.mapped_bits(area),
            Some(MappedBits {
                non_secure: true,
                never_execute: true,
                read_only,
                kind: MemoryKind::WriteBack
            })
        );
        assert_eq!(window.range(), area);
    }
}

#[test]
fn blocks_carry_the_same_bits_as_pages() {
    let tables = tables();
    tables.mark_live();
    let area = range(0x8000_1000, 1024);
    let _window = tables.map_shared(area, Permission::ReadOnly).unwrap();
    let bits = tables.mapped_bits(area).unwrap();
    assert!(bits.non_secure && bits.never_execute && bits.read_only);
    assert_eq!(bits.kind, MemoryKind::WriteBack);
}

#[test]
fn what_was_unmapped_is_not_mapped_and_can_be_mapped_again() {
    let tables = tables();
    tables.mark_live();
    let area = range(0x8000_0000, 3);
    let window = tables.map_shared(area, Permission::ReadWrite).unwrap();
    tables.unmap_shared(window).unwrap();
    assert_eq!(tables.mapped_bits(area), None);
    assert!(tables.map_shared(area, Permission::ReadOnly).is_ok());
}

#[test]
fn empty_tables_are_given_back_when_tables_run_out() {
    let tables = tables();
    tables.mark_live();
    for index in 0..4 * POOL_TABLES as u64 {
        let area = range(0x4000_0000 + index % 1500 * 0x20_0000, 1);
        let window = tables.map_shared(area, Permission::ReadWrite);
        let window = window.unwrap_or_else(|refusal| panic!("{index}: {refusal:?}"));
        tables.unmap_shared(window).unwrap();
        assert_eq!(tables.mapped_bits(area), None);
    }
}

#[test]
fn a_block_is_one_entry_whatever_was_mapped_there_before() {
    let tables = tables();
    tables.mark_live();
    let page = tables.map_shared(range(0x8000_0000, 1), Permission::ReadWrite).unwrap();
    tables.unmap_shared(page).unwrap();
    let before = free(tables);
    let _block = tables.map_shared(range(0x8000_0000, 512), Permission::ReadWrite).unwrap();
    assert!(free(tables) > before, "the page's table is gone");
}

#[test]
fn secure_memory_and_devices_are_never_mapped_as_shared() {
    let tables = tables();
    for start in [0x0e10_0000, 0x0904_0000, 0, 0x3fff_f000, 0xffff_f000] {
        let pages = if start == 0xffff_f000 { 2 } else { 1 };
        let refused = tables.map_shared(range(start, pages), Permission::ReadWrite);
        assert_eq!(refused.err(), Some(MapRefusal::NotNormalRam), "{start:#x}");
    }
}

#[test]
fn a_mapped_page_is_not_mapped_again() {
    let tables = tables();
    tables.mark_live();
    let _window = tables.map_shared(range(0x8000_1000, 1), Permission::ReadOnly).unwrap();
    let second = tables.map_shared(range(0x8000_0000, 4), Permission::ReadWrite);
    assert_eq!(second.err(), Some(MapRefusal::AlreadyMapped));
    assert_eq!(tables.mapped_bits(range(0x8000_0000, 1)), None);
}

#[test]
fn scattered_ranges_end_in_a_refusal_and_never_in_a_panic() {
    let tables = tables();
    tables.mark_live();
    let mut mapped = 0;
    let refusal = loop {
        let start = 0x4000_0000 + mapped * 0x20_0000;
        match tables.map_shared(range(start, 1), Permission::ReadOnly) {
            Ok(window) => assert_eq!(window.range().start().get(), start),
            Err(refusal) => break refusal,
        }
        mapped += 1;
    };
    assert_eq!(refusal, MapRefusal::NoTables);
    assert!(usize::try_from(mapped).unwrap() > POOL_TABLES / 2);
}

#[test]
fn every_vm_can_map_its_areas_however_scattered_those_of_the_others_are() {
    let tables = tables();
    tables.mark_live();
    // As much as the image itself takes, and more.
    for index in 0..10 {
        let start = 0x0e10_0000 + index * 0x20_0000;
        tables.map_own(start..start + 0x1000, Use::Variables).unwrap();
    }
    // Each range lies across two tables of level 3, in every gigabyte.
    let ranges = (causeway_service::MAX_AREAS * causeway_service::MAX_PIECES) as u64;
    let step = (0xbf00_0000 / ranges) & !0x1f_ffff;
    for index in 0..ranges {
        let start = 0x4040_0000 + index * step - 0x1000;
        assert!(tables.map_shared(range(start, 2), Permission::ReadWrite).is_ok(), "{index}");
    }
}

#[test]
fn no_part_of_the_image_is_both_written_and_executed() {
    for usage in [Use::Code, Use::Constants, Use::Variables, Use::Registers] {
        let flags = usage.attributes();
        assert!(flags.contains(A::READ_ONLY) || flags.contains(A::PXN), "{usage:?}");
        assert!(flags.contains(A::UXN) && !flags.contains(A::NS), "{usage:?}");
    }
}
