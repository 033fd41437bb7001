//! Every lie that a driver or a device can tell in split rings: an error of that queue, final, never
//! more.

use super::*;

/// Writes a descriptor as a driver without scruples does.
fn desc(mem: &WordArea<'_>, index: u64, addr: u64, len: u32, flags: u16, next: u16) {
    let base = DESC + 16 * index;
    mem.write_u64(at(base), addr).unwrap();
    mem.write_u32(at(base + 8), len).unwrap();
    mem.write_u16(at(base + 12), flags).unwrap();
    mem.write_u16(at(base + 14), next).unwrap();
}

/// Offers `head` in an otherwise empty queue and takes it.
fn offered<const N: usize>(
    mem: &WordArea<'_>,
    features: Features,
    head: u16,
    chain: &mut Chain<N>,
) -> Result<Option<Head>, QueueError> {
    let mut queue = DeviceQueue::new(mem, config(8, features)).unwrap();
    mem.write_u16(at(AVAIL + 4), head).unwrap();
    mem.write_u16(at(AVAIL + 2), 1).unwrap();
    let result = queue.take(mem, chain);
    if result.is_err() {
        assert_eq!(queue.take(mem, chain), Err(QueueError::Failed), "an error is final");
    }
    result
}

#[test]
fn looping_chains_end_the_queue() {
    let words = large_memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    desc(&mem, 0, at(DATA).get(), 1, 1, 1);
    desc(&mem, 1, at(DATA).get(), 1, 1, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), Err(QueueError::Loop));
    desc(&mem, 2, at(DATA).get(), 1, 1, 2);
    assert_eq!(offered(&mem, Features::NONE, 2, &mut chain), Err(QueueError::Loop));
    // A loop in an indirect table: bounded by the table, or by the room if that is less.
    for (entries, error) in [(10, QueueError::Loop), (100, QueueError::TooLong)] {
        desc(&mem, 0, at(TABLES).get(), 16 * entries, 4, 0);
        mem.write_u64(at(TABLES), at(DATA).get()).unwrap();
        mem.write_u16(at(TABLES + 12), 1).unwrap();
        assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), Err(error));
    }
}

#[test]
fn chains_longer_than_the_room_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    for index in 0..4 {
        desc(
            &mem,
            index,
            at(DATA).get(),
            1,
            u16::from(index < 3),
            u16::try_from(index + 1).unwrap(),
        );
    }
    assert!(offered(&mem, Features::NONE, 0, &mut Chain::<4>::new()).unwrap().is_some());
    let short = offered(&mem, Features::NONE, 0, &mut Chain::<3>::new());
    assert_eq!(short, Err(QueueError::TooLong));
}

#[test]
fn indices_outside_their_table_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let outside = Err(QueueError::DescriptorIndex);
    assert_eq!(offered(&mem, Features::NONE, 8, &mut chain), outside);
    assert_eq!(offered(&mem, Features::NONE, 0xffff, &mut chain), outside);
    desc(&mem, 0, at(DATA).get(), 1, 1, 8);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), outside);
    desc(&mem, 0, at(TABLES).get(), 16, 4, 0);
    mem.write_u64(at(TABLES), at(DATA).get()).unwrap();
    mem.write_u16(at(TABLES + 12), 1).unwrap();
    mem.write_u16(at(TABLES + 14), 1).unwrap();
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), outside);
}

#[test]
fn wild_addresses_and_wrapping_lengths_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let wild = Err(QueueError::WildAddress);
    desc(&mem, 0, at((1 << 48) - 1).get(), 2, 0, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), wild);
    desc(&mem, 0, u64::MAX, u32::MAX, 0, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), wild);
    desc(&mem, 0, u64::MAX, 16, 4, 0);
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), wild);
    // Each fits into its area, both are more than a chain may have.
    desc(&mem, 0, at(0).get(), u32::MAX, 1, 1);
    desc(&mem, 1, at(0).get(), 2, 0, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), Err(QueueError::ChainBytes));
    // An indirect table in no area: the map refuses it.
    desc(&mem, 0, 0x7777_0000_0000_0000, 16, 4, 0);
    let outside = Err(QueueError::Mem(MemError::Outside));
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), outside);
}

#[test]
fn indirect_rules_are_enforced() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<64>::new();
    let broken = Err(QueueError::Indirect);
    desc(&mem, 0, at(TABLES).get(), 16, 4, 0);
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), broken, "not negotiated");
    desc(&mem, 0, at(TABLES).get(), 16, 4 | 1, 1);
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), broken, "chained");
    for len in [0, 15, 17] {
        desc(&mem, 0, at(TABLES).get(), len, 4, 0);
        assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), broken, "{len}");
    }
    desc(&mem, 0, at(TABLES).get(), 16, 4, 0);
    mem.write_u16(at(TABLES + 12), 4).unwrap();
    assert_eq!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain), broken, "nested");
}

#[test]
fn readable_after_writable_ends_the_queue() {
    let words = memory();
    let mem = map(&words);
    desc(&mem, 0, at(DATA).get(), 1, 1 | 2, 1);
    desc(&mem, 1, at(DATA).get(), 1, 0, 0);
    let mut chain = Chain::<8>::new();
    assert_eq!(offered(&mem, Features::NONE, 0, &mut chain), Err(QueueError::Order));
}

#[test]
fn available_index_cannot_jump_or_go_back() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<8>::new();
    for index in [9, 0x8000, 0xffff] {
        let mut queue = DeviceQueue::new(&mem, config(8, Features::NONE)).unwrap();
        mem.write_u16(at(AVAIL + 2), index).unwrap();
        assert_eq!(queue.take(&mem, &mut chain), Err(QueueError::IndexJump), "{index}");
    }
    // Three taken and not completed: only five more can be there.
    desc(&mem, 0, at(DATA).get(), 1, 0, 0);
    mem.write_u16(at(AVAIL + 2), 3).unwrap();
    let mut queue = DeviceQueue::new(&mem, config(8, Features::NONE)).unwrap();
    for _ in 0..3 {
        drop(queue.take(&mem, &mut chain).unwrap().unwrap());
    }
    for index in [2, 9] {
        let mut queue = queue.clone();
        mem.write_u16(at(AVAIL + 2), index).unwrap();
        assert_eq!(queue.take(&mem, &mut chain), Err(QueueError::IndexJump), "{index}");
        assert_eq!(queue.arm(&mem), Err(QueueError::Failed));
    }
}

#[test]
fn descriptors_changed_after_the_walk_are_not_seen() {
    let words = memory();
    let mem = map(&words);
    let mut chain = Chain::<8>::new();
    desc(&mem, 0, at(DATA).get(), 16, 0, 0);
    assert!(offered(&mem, Features::NONE, 0, &mut chain).unwrap().is_some());
    desc(&mem, 0, 0x7777_0000_0000_0000, u32::MAX, 3, 0);
    assert_eq!(chain.readable(), [segment(0, 16)]);
}

#[test]
fn more_completions_than_chains_end_the_queue() {
    let words = memory();
    let mem = map(&words);
    let mut queue = DeviceQueue::new(&mem, config(8, Features::NONE)).unwrap();
    assert_eq!(queue.complete(&mem, Head::new(0, 1, 0), 0), Err(QueueError::Completed));
}

#[test]
fn lying_devices_end_the_driver_side() {
    let words = memory();
    let mem = map(&words);
    let lie = |index: u16, id: u32, written: u32| {
        let (mut driver, _) = pair(&mem, 8, Features::NONE);
        let token = driver.submit(&mem, &[segment(0, 1)], &[segment(8, 4)]).unwrap();
        assert_eq!(token.get(), 0);
        mem.write_u32(at(USED + 4), id).unwrap();
        mem.write_u32(at(USED + 8), written).unwrap();
        mem.write_u16(at(USED + 2), index).unwrap();
        let result = driver.pop_used(&mem);
        if result.is_err() {
            assert_eq!(driver.submit(&mem, &[segment(0, 1)], &[]), Err(QueueError::Failed));
        }
        result.map(|used| used.map(|u| u.written))
    };
    assert_eq!(lie(1, 0, 4), Ok(Some(4)));
    assert_eq!(lie(1, 0, 5), Err(QueueError::Used), "more than there is room for");
    assert_eq!(lie(1, 1, 0), Err(QueueError::Used), "not a head");
    assert_eq!(lie(1, 8, 0), Err(QueueError::Used), "outside");
    assert_eq!(lie(1, 0x1_0000, 0), Err(QueueError::Used), "the upper half counts");
    assert_eq!(lie(2, 0, 0), Err(QueueError::IndexJump));
    assert_eq!(lie(0xffff, 0, 0), Err(QueueError::IndexJump));
}

#[test]
fn a_table_longer_than_the_queue_is_taken_if_there_is_room() {
    let words = large_memory();
    let mem = map(&words);
    desc(&mem, 0, at(TABLES).get(), 16 * 12, 4, 0);
    for index in 0..12_u16 {
        let place = TABLES + 16 * u64::from(index);
        mem.write_u64(at(place), at(DATA).get()).unwrap();
        mem.write_u32(at(place + 8), 1).unwrap();
        mem.write_u16(at(place + 12), u16::from(index < 11)).unwrap();
        mem.write_u16(at(place + 14), index + 1).unwrap();
    }
    let mut chain = Chain::<12>::new();
    assert!(offered(&mem, Features::INDIRECT_DESC, 0, &mut chain).unwrap().is_some());
    assert_eq!(chain.readable().len(), 12);
    let short = offered(&mem, Features::INDIRECT_DESC, 0, &mut Chain::<11>::new());
    assert_eq!(short, Err(QueueError::TooLong));
}
