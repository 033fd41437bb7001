//! Completion in order (VIRTIO_F_IN_ORDER): what a device may leave out, and what it may not claim.

use super::*;

const BOTH: [Features; 2] = [
    Features::IN_ORDER,
    Features::from_raw(Features::IN_ORDER.get() | Features::RING_PACKED.get()),
];

#[test]
fn names_go_round_the_ring_in_order() {
    let words = memory();
    let mem = map(&words);
    for features in BOTH {
        let (mut driver, mut device) = pair(&mem, 8, features);
        let mut chain = Chain::<4>::new();
        let mut expected = 0;
        for round in 0..40 {
            let len = 1 + round % 3;
            let token = driver.submit(&mem, &vec![segment(0, 1); len], &[]).unwrap();
            assert_eq!(token.get(), expected, "{features:?}");
            let step = if features.contains(Features::RING_PACKED) { 1 } else { len };
            expected = (expected + u16::try_from(step).unwrap()) % 8;
            let head = device.take(&mem, &mut chain).unwrap().unwrap();
            device.complete(&mem, head, 0).unwrap();
            assert_eq!(driver.pop_used(&mem).unwrap().unwrap().token, token);
        }
    }
}

#[test]
fn chained_descriptors_of_a_split_ring_lie_side_by_side() {
    let words = memory();
    let mem = map(&words);
    let (mut driver, mut device) = pair(&mem, 4, Features::IN_ORDER);
    for _ in 0..5 {
        driver.submit(&mem, &[segment(0, 1); 3], &[]).unwrap();
        let head = device.take(&mem, &mut Chain::<4>::new()).unwrap().unwrap();
        device.complete(&mem, head, 0).unwrap();
        driver.pop_used(&mem).unwrap().unwrap();
    }
    // Virtio 1.3, 2.7.5.1: next is 0 in the table's last descriptor and one more in all others.
    for index in 0..4_u64 {
        let next = mem.read_u16(at(DESC + 16 * index + 14)).unwrap();
        assert_eq!(u64::from(next), (index + 1) % 4);
    }
}

#[test]
fn our_device_cannot_leave_the_order() {
    let words = memory();
    let mem = map(&words);
    for features in BOTH {
        let (mut driver, mut device) = pair(&mem, 8, features);
        let mut chain = Chain::<4>::new();
        driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
        driver.submit(&mem, &[segment(0, 1)], &[]).unwrap();
        let _first = device.take(&mem, &mut chain).unwrap().unwrap();
        let second = device.take(&mem, &mut chain).unwrap().unwrap();
        assert_eq!(device.complete(&mem, second, 0), Err(QueueError::OutOfOrder));
        assert_eq!(driver.pop_used(&mem), Ok(None), "nothing was written");
    }
}

/// Offers `count` chains of one readable and one writable buffer of 4 bytes.
fn offered(mem: &WordArea<'_>, driver: &mut DriverQueue<16>, count: usize) -> Vec<Token> {
    let mut offer = || driver.submit(mem, &[segment(0, 1)], &[segment(8, 4)]).unwrap();
    (0..count).map(|_| offer()).collect()
}

/// Says, as a device that batches, that all chains up to `last` are used.
fn claim(mem: &WordArea<'_>, features: Features, next: u64, last: u32, count: u16, written: u32) {
    if features.contains(Features::RING_PACKED) {
        // One used descriptor at the batch's first slot; each chain fills two.
        let slot = 2 * next;
        mem.write_u32(at(DESC + 16 * (slot % 8) + 8), written).unwrap();
        mem.write_u16(at(DESC + 16 * (slot % 8) + 12), u16::try_from(last).unwrap()).unwrap();
        let flags = if (slot / 8).is_multiple_of(2) { 0x8082 } else { 2 };
        mem.write_u16(at(DESC + 16 * (slot % 8) + 14), flags).unwrap();
    } else {
        mem.write_u32(at(USED + 4 + 8 * (next % 8)), last).unwrap();
        mem.write_u32(at(USED + 8 + 8 * (next % 8)), written).unwrap();
        let index = mem.read_u16(at(USED + 2)).unwrap();
        mem.write_u16(at(USED + 2), index.wrapping_add(count)).unwrap();
    }
}

#[test]
fn one_used_entry_may_stand_for_a_batch() {
    let words = memory();
    let mem = map(&words);
    for features in BOTH {
        let (mut driver, _) = pair(&mem, 8, features);
        let mut next = 0;
        for count in [3_u16, 1, 4, 2, 3] {
            let tokens = offered(&mem, &mut driver, usize::from(count));
            let last = tokens.last().unwrap().get();
            claim(&mem, features, next, u32::from(last), count, 2);
            next += u64::from(count);
            for token in &tokens {
                // Those that were left out count as filled (virtio 1.3, 2.7.9 and 2.8.9).
                let written = if token.get() == last { 2 } else { 4 };
                let used = driver.pop_used(&mem).unwrap().unwrap();
                assert_eq!(used, Used { token: *token, written }, "{features:?}");
            }
            assert_eq!(driver.pop_used(&mem), Ok(None));
            assert_eq!(driver.arm(&mem, 1), Ok(false));
        }
    }
}

#[test]
fn a_batch_that_is_half_handed_out_still_waits() {
    let words = memory();
    let mem = map(&words);
    for features in BOTH {
        let (mut driver, _) = pair(&mem, 8, features);
        let tokens = offered(&mem, &mut driver, 2);
        claim(&mem, features, 0, u32::from(tokens[1].get()), 2, 4);
        driver.pop_used(&mem).unwrap().unwrap();
        assert_eq!(driver.arm(&mem, 1), Ok(true));
        assert_eq!(driver.in_flight(), 1);
    }
}

#[test]
fn false_batches_end_the_driver_side() {
    let words = memory();
    let mem = map(&words);
    for features in BOTH {
        let refused = |last: u32, count: u16, written: u32| {
            let (mut driver, _) = pair(&mem, 8, features);
            offered(&mem, &mut driver, 3);
            claim(&mem, features, 0, last, count, written);
            let result = driver.pop_used(&mem);
            assert!(result.is_ok() || driver.pop_used(&mem) == Err(QueueError::Failed));
            result.map(|_| ())
        };
        assert_eq!(refused(7, 3, 0), Err(QueueError::Used), "not in flight");
        assert_eq!(refused(100, 3, 0), Err(QueueError::Used), "no such name");
        assert_eq!(refused(0, 1, 5), Err(QueueError::Used), "more than there is room for");
        if features.contains(Features::RING_PACKED) {
            assert_eq!(refused(2, 3, 4), Ok(()));
            continue;
        }
        assert_eq!(refused(4, 3, 4), Ok(()), "the third chain begins at descriptor 4");
        assert_eq!(refused(1, 3, 0), Err(QueueError::Used), "no chain begins there");
        assert_eq!(refused(4, 2, 0), Err(QueueError::Used), "further than the index");
        assert_eq!(refused(4, 4, 0), Err(QueueError::IndexJump));
    }
}
