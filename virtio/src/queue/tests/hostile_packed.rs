//! Every lie that a driver or a device can tell in a packed ring: an error of that queue, final, never
//! more.

use super::*;

const AVAILABLE: u16 = 1 << 7;
const USED_TOO: u16 = 1 << 15;
const PACKED: Features = Features::RING_PACKED;

/// Writes a descriptor as a driver without scruples does.
fn desc(mem: &WordArea<'_>, base: u64, addr: u64, len: u32, id: u16, flags: u16) {
    mem.write_u64(at(base), addr).unwrap();
    mem.write_u32(at(base + 8), len).unwrap();
    mem.write_u16(at(base + 12), id).unwrap();
    mem.write_u16(at(base + 14), flags).unwrap();
}

/// Takes from a new queue what lies at its head, and nothing after an error.
fn taken<const N: usize>(
    mem: &WordArea<'_>,
    features: Features,
    chain: &mut Chain<N>,
) -> Result<Option<Head>, QueueError> {
    let mut queue = DeviceQueue::new(mem, config(8, features | PACKED)).unwrap();
    let result = queue.take(mem, chain);
    if result.is_err() {
        assert_eq!(queue.take(mem, chain), Err(QueueError::Failed), "an error is final");
    }
    result
}

fn buffer() -> u64 {
    at(DATA).get()
}

#[test]
fn chains_without_end_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    for slot in 0..8 {
        desc(&mem, DESC + 16 * slot, buffer(), 1, 0, AVAILABLE | 1);
    }
    assert_eq!(taken(&mem, Features::NONE, &mut Chain::<64>::new()), Err(QueueError::Loop));
    assert_eq!(taken(&mem, Features::NONE, &mut Chain::<7>::new()), Err(QueueError::TooLong));
    mem.write_u16(at(DESC + 16 * 7 + 14), AVAILABLE).unwrap();
    assert!(taken(&mem, Features::NONE, &mut Chain::<8>::new()).unwrap().is_some());
}

#[test]
fn more_than_the_ring_holds_ends_the_queue() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 8, PACKED);
    let mut chain = Chain::<8>::new();
    for _ in 0..6 {
        driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
        drop(device.take(&mem, &mut chain).unwrap().unwrap());
    }
    // Two slots are free: a chain of three begins in slots that the device still has.
    let mut greedy = device.clone();
    desc(&mem, DESC + 16 * 6, buffer(), 1, 0, AVAILABLE | 1);
    desc(&mem, DESC + 16 * 7, buffer(), 1, 0, AVAILABLE | 1);
    desc(&mem, DESC, buffer(), 1, 0, USED_TOO);
    assert_eq!(greedy.take(&mem, &mut chain), Err(QueueError::Loop));
    // All slots taken, and the first is offered again in the next lap.
    mem.write_u16(at(DESC + 16 * 6 + 14), AVAILABLE).unwrap();
    mem.write_u16(at(DESC + 16 * 7 + 14), AVAILABLE).unwrap();
    for _ in 0..2 {
        drop(device.take(&mem, &mut chain).unwrap().unwrap());
    }
    assert_eq!(device.in_flight(), 8);
    assert_eq!(device.take(&mem, &mut chain), Err(QueueError::IndexJump));
}

#[test]
fn only_the_flags_of_this_lap_hand_a_chain_over() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<8>::new();
    for (flags, is_there) in
        [(0, false), (AVAILABLE | USED_TOO, false), (USED_TOO, false), (AVAILABLE, true)]
    {
        desc(&mem, DESC, buffer(), 1, 0, flags);
        assert_eq!(taken(&mem, Features::NONE, &mut chain).unwrap().is_some(), is_there);
    }
}

#[test]
fn wild_addresses_and_wrapping_lengths_end_the_queue() {
    let words = large_memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let wild = Err(QueueError::WildAddress);
    desc(&mem, DESC, at((1 << 48) - 1).get(), 2, 0, AVAILABLE);
    assert_eq!(taken(&mem, Features::NONE, &mut chain), wild);
    desc(&mem, DESC, u64::MAX, u32::MAX, 0, AVAILABLE);
    assert_eq!(taken(&mem, Features::NONE, &mut chain), wild);
    desc(&mem, DESC, u64::MAX, 16, 0, AVAILABLE | 4);
    assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), wild);
    desc(&mem, DESC, 0x7777_0000_0000_0000, 16, 0, AVAILABLE | 4);
    let outside = Err(QueueError::Mem(MemError::Outside));
    assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), outside);
    // Each fits into its area, both are more than a chain may have.
    desc(&mem, DESC, at(0).get(), u32::MAX, 0, AVAILABLE | 1);
    desc(&mem, DESC + 16, at(0).get(), 2, 0, AVAILABLE);
    assert_eq!(taken(&mem, Features::NONE, &mut chain), Err(QueueError::ChainBytes));
    desc(&mem, DESC + 16, at(0).get(), 1, 0, AVAILABLE);
    assert!(taken(&mem, Features::NONE, &mut chain).unwrap().is_some());
}

#[test]
fn indirect_rules_are_enforced() {
    let words = large_memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let broken = Err(QueueError::Indirect);
    let table = at(TABLES).get();
    desc(&mem, DESC, table, 16, 0, AVAILABLE | 4);
    assert_eq!(taken(&mem, Features::NONE, &mut chain), broken, "not negotiated");
    desc(&mem, DESC, table, 16, 0, AVAILABLE | 4 | 1);
    assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), broken, "goes on");
    for len in [0, 15, 17] {
        desc(&mem, DESC, table, len, 0, AVAILABLE | 4);
        assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), broken, "{len}");
    }
    desc(&mem, DESC, table, 16, 0, AVAILABLE | 4);
    desc(&mem, TABLES, table, 16, 0, 4);
    assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), broken, "nested");
    desc(&mem, DESC, buffer(), 1, 0, AVAILABLE | 1);
    desc(&mem, DESC + 16, table, 16, 0, AVAILABLE | 4);
    assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), broken, "in a list");
    desc(&mem, DESC, table, 16 * 65, 0, AVAILABLE | 4);
    for index in 0..65 {
        desc(&mem, TABLES + 16 * index, buffer(), 1, 0, 0);
    }
    assert_eq!(taken(&mem, Features::INDIRECT_DESC, &mut chain), Err(QueueError::TooLong));
    // NEXT means nothing in a table: all of its entries belong to the chain.
    desc(&mem, DESC, table, 16 * 3, 9, AVAILABLE | 4);
    let head = taken(&mem, Features::INDIRECT_DESC, &mut chain).unwrap().unwrap();
    assert_eq!((head.index(), chain.readable().len()), (9, 3));
}

#[test]
fn readable_after_writable_ends_the_queue() {
    let words = memory();
    let mem = map(&words);
    desc(&mem, DESC, buffer(), 1, 0, AVAILABLE | 1 | 2);
    desc(&mem, DESC + 16, buffer(), 1, 0, AVAILABLE);
    assert_eq!(taken(&mem, Features::NONE, &mut Chain::<8>::new()), Err(QueueError::Order));
}

#[test]
fn descriptors_changed_after_the_walk_are_not_seen() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<8>::new();
    let (mut driver, mut device) = pair(&mem, 8, PACKED);
    let token = driver.submit(&mem, &[segment(0, 16)], &[segment(16, 4)]).unwrap();
    let head = device.take(&mem, &mut chain).unwrap().unwrap();
    for slot in 0..8 {
        desc(&mem, DESC + 16 * slot, 0x7777_0000_0000_0000, u32::MAX, 77, 0);
    }
    assert_eq!(
        (chain.readable(), chain.writable()),
        (&[segment(0, 16)][..], &[segment(16, 4)][..])
    );
    device.complete(&mem, head, 4).unwrap();
    assert_eq!(driver.pop_used(&mem), Ok(Some(Used { token, written: 4 })));
}

#[test]
fn more_completions_than_chains_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 8, PACKED);
    assert_eq!(device.clone().complete(&mem, Head::new(0, 1, 0), 0), Err(QueueError::Completed));
    driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
    assert!(device.take(&mem, &mut Chain::<1>::new()).unwrap().is_some());
    assert_eq!(device.complete(&mem, Head::new(0, 2, 0), 0), Err(QueueError::Completed));
}

#[test]
fn lying_devices_end_the_driver_side() {
    let words = memory();
    let mem = map(&words);
    let lie = |id: u16, written: u32, flags: u16| {
        let (mut driver, _) = pair(&mem, 8, PACKED);
        let token = driver.submit(&mem, &[segment(0, 1)], &[segment(8, 4)]).unwrap();
        assert_eq!(token.get(), 0);
        mem.write_u32(at(DESC + 8), written).unwrap();
        mem.write_u16(at(DESC + 12), id).unwrap();
        mem.write_u16(at(DESC + 14), flags).unwrap();
        let result = driver.pop_used(&mem);
        if result.is_err() {
            assert_eq!(driver.submit(&mem, &[segment(0, 1)], &[]), Err(QueueError::Failed));
        }
        result.map(|used| used.map(|u| u.written))
    };
    let used = AVAILABLE | USED_TOO;
    assert_eq!(lie(0, 4, used | 2), Ok(Some(4)));
    assert_eq!(lie(0, 4, used), Ok(Some(4)), "QEMU never says that something was written");
    assert_eq!(lie(0, 5, used), Ok(Some(0)), "a length without WRITE means nothing");
    assert_eq!(lie(0, 4, USED_TOO), Ok(None), "not of this lap");
    assert_eq!(lie(0, 4, 0), Ok(None), "not of this lap");
    assert_eq!(lie(0, 5, used | 2), Err(QueueError::Used), "more than there is room for");
    assert_eq!(lie(1, 0, used), Err(QueueError::Used), "not in flight");
    for id in [8, 15, 16, 0xffff] {
        assert_eq!(lie(id, 0, used), Err(QueueError::Used), "outside");
    }
}

#[test]
fn a_ring_wholly_used_again_is_no_answer() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 4, PACKED);
    let mut chain = Chain::<1>::new();
    for _ in 0..9 {
        driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
        let head = device.take(&mem, &mut chain).unwrap().unwrap();
        device.complete(&mem, head, 0).unwrap();
        driver.pop_used(&mem).unwrap().unwrap();
    }
    // Every slot claims to be used, in either lap, while nothing is in flight.
    for flags in [0, AVAILABLE | USED_TOO] {
        let mut driver = driver.clone();
        for slot in 0..4 {
            mem.write_u16(at(DESC + 16 * slot + 14), flags).unwrap();
        }
        let result = driver.pop_used(&mem);
        assert!(matches!(result, Ok(None) | Err(QueueError::Used)), "{result:?}");
    }
}

#[test]
fn event_areas_full_of_nonsense_only_cost_notifications() {
    let words = memory();
    let mem = map(&words);
    for nonsense in [3, 0xffff, 0x8002, 0xfffe] {
        let (mut driver, mut device) = pair(&mem, 8, PACKED | Features::EVENT_IDX);
        let mut chain = Chain::<1>::new();
        for place in [AVAIL, AVAIL + 2, USED, USED + 2] {
            mem.write_u16(at(place), nonsense).unwrap();
        }
        for _ in 0..20 {
            let token = driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
            driver.should_kick(&mem).unwrap();
            let head = device.take(&mem, &mut chain).unwrap().unwrap();
            device.complete(&mem, head, 0).unwrap();
            device.should_notify(&mem).unwrap();
            assert_eq!(driver.pop_used(&mem).unwrap().unwrap().token, token);
        }
    }
}
