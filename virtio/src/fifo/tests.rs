//! Tests of the FIFO: the layout, honest traffic, and every way in which the other side can lie.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

use super::*;
use crate::mem::WordArea;
use crate::msg::{Body, BusRequest, Message};
use core::sync::atomic::AtomicU16;
use proptest::prelude::*;

fn memory() -> Vec<AtomicU16> {
    (0..FIFO_BYTES / 2).map(|_| AtomicU16::new(0)).collect()
}

fn slot(echo: u32) -> Slot {
    let body = Body::BusRequest(BusRequest::Ping { echo });
    let message = Message { dev_num: 0, token: 0, body };
    Slot::new(&message.encode(), EndpointId::from_raw(2))
}

fn pair<'a>(words: &'a [AtomicU16]) -> (WordArea<'a>, Fifo, Fifo) {
    let mem = WordArea::flat(words);
    format(&mem).unwrap();
    let vm = Fifo::attach(&mem, Side::Driver).unwrap();
    let partition = Fifo::attach(&mem, Side::Device).unwrap();
    (mem, vm, partition)
}

fn poke(mem: &WordArea<'_>, offset: usize, value: u16) {
    FifoMemory::store_release_u16(mem, offset, value).unwrap();
}

#[test]
fn headers_lie_as_in_alp2() {
    // Source: virtio_msg_ffa_fifo_hdr in "FIFO" of the reference.
    let words = memory();
    let (mem, mut vm, mut partition) = pair(&words);
    let mut bytes = [0; FIFO_BYTES];
    FifoMemory::read(&mem, 0, &mut bytes).unwrap();
    for (base, next_offset) in [(0, 4032_u32), (4032, 0)] {
        assert_eq!(&bytes[base..base + 10], b"VFFAFIFO\0\0");
        assert_eq!(&bytes[base + 0x10..base + 0x14], [128, 0, 30, 0]);
        assert_eq!(bytes[base + 0x18..base + 0x1c], next_offset.to_le_bytes());
        assert_eq!(&bytes[base + 0x40..base + 0xc0], [0; 0x80]);
    }
    vm.push(&mem, &slot(1)).unwrap();
    partition.push(&mem, &slot(2)).unwrap();
    FifoMemory::read(&mem, 0, &mut bytes).unwrap();
    for base in [0, 4032] {
        assert_eq!(&bytes[base + 0x80..base + 0x82], [1, 0], "write index");
        assert_eq!(&bytes[base + 0xc0 + 112..base + 0xc0 + 114], [2, 0], "trailer");
    }
    assert_eq!(bytes[0xc0 + 8], 1, "the driver side sends on the first ring");
    assert_eq!(bytes[4032 + 0xc0 + 8], 2);
    assert_eq!(partition.pop(&mem).unwrap(), Some(slot(1)));
    FifoMemory::read(&mem, 0, &mut bytes).unwrap();
    assert_eq!(&bytes[0x40..0x42], [1, 0], "read index");
}

#[test]
fn slots_arrive_in_order_both_ways_and_wrap() {
    let words = memory();
    let (mem, mut vm, mut partition) = pair(&words);
    for round in 0..100 {
        for n in 0..3 {
            vm.push(&mem, &slot(round * 3 + n)).unwrap();
            partition.push(&mem, &slot(1000 + round * 3 + n)).unwrap();
        }
        for n in 0..3 {
            assert_eq!(partition.pop(&mem).unwrap(), Some(slot(round * 3 + n)));
            assert_eq!(vm.pop(&mem).unwrap(), Some(slot(1000 + round * 3 + n)));
        }
        assert_eq!(vm.pop(&mem).unwrap(), None);
    }
}

#[test]
fn full_fifo_refuses_and_goes_on() {
    let words = memory();
    let (mem, mut vm, mut partition) = pair(&words);
    for n in 0..29 {
        vm.push(&mem, &slot(n)).unwrap();
    }
    let before = vm.clone();
    assert_eq!(vm.push(&mem, &slot(99)), Err(FifoError::Full));
    assert_eq!(vm, before);
    assert_eq!(vm.unsent(), 29);
    assert_eq!(partition.pop(&mem).unwrap(), Some(slot(0)));
    assert_eq!((vm.unsent(), vm.refresh_unsent(&mem)), (29, Ok(28)));
    vm.push(&mem, &slot(29)).unwrap();
    for n in 1..30 {
        assert_eq!(partition.pop(&mem).unwrap(), Some(slot(n)));
    }
}

#[test]
fn trailer_names_the_far_side() {
    assert_eq!(slot(0).far(), EndpointId::from_raw(2));
    assert_eq!(slot(0).message_bytes().len(), 112);
}

#[test]
fn short_memory_and_foreign_headers_are_refused() {
    let words = memory();
    let short = WordArea::flat(&words[1..]);
    assert_eq!(format(&short), Err(FifoError::TooSmall));
    assert_eq!(Fifo::attach(&short, Side::Device), Err(FifoError::TooSmall));
    let mem = WordArea::flat(&words);
    assert_eq!(Fifo::attach(&mem, Side::Device), Err(FifoError::Header));
    // Magic, version, message size, depth, next offset: each is looked at, in both rings.
    for base in [0, 4032] {
        for (offset, value) in [(0, 0), (8, 1), (0x10, 64), (0x12, 31), (0x18, 8)] {
            format(&mem).unwrap();
            poke(&mem, base + offset, value);
            assert_eq!(Fifo::attach(&mem, Side::Device), Err(FifoError::Header), "{offset:#x}");
        }
        for index in [READ_INDEX, WRITE_INDEX] {
            format(&mem).unwrap();
            poke(&mem, base + index, 30);
            assert_eq!(Fifo::attach(&mem, Side::Device), Err(FifoError::Index));
        }
    }
    format(&mem).unwrap();
    poke(&mem, 4032 + WRITE_INDEX, 1);
    assert_eq!(Fifo::attach(&mem, Side::Device), Err(FifoError::Index), "our ring is not empty");
}

/// What a lie does: the error named, then closed for good.
fn lie(offset: usize, value: u16, pop: bool, expected: FifoError) {
    let words = memory();
    let (mem, mut vm, mut partition) = pair(&words);
    for n in 0..5 {
        vm.push(&mem, &slot(n)).unwrap();
        partition.push(&mem, &slot(n)).unwrap();
    }
    partition.pop(&mem).unwrap();
    partition.pop(&mem).unwrap();
    poke(&mem, offset, value);
    let result = if pop { partition.pop(&mem).map(|_| ()) } else { partition.push(&mem, &slot(9)) };
    assert_eq!(result, Err(expected));
    assert!(partition.is_closed());
    assert_eq!(partition.pop(&mem), Err(FifoError::Closed));
    assert_eq!(partition.push(&mem, &slot(9)), Err(FifoError::Closed));
}

#[test]
fn jumping_indices_close_the_fifo() {
    // The VM's ring: read 2, write 5. The partition's ring: read 0, write 5.
    lie(WRITE_INDEX, 30, true, FifoError::Index); // outside
    lie(WRITE_INDEX, 0xffff, true, FifoError::Index);
    lie(WRITE_INDEX, 4, true, FifoError::Index); // takes a message back
    lie(WRITE_INDEX, 2, true, FifoError::Index); // takes all back
    lie(READ_INDEX, 3, true, FifoError::Index); // our own index
    lie(4032 + READ_INDEX, 30, false, FifoError::Index);
    lie(4032 + READ_INDEX, 6, false, FifoError::Index); // reads what was never written
    lie(4032 + READ_INDEX, 29, false, FifoError::Index);
    lie(4032 + WRITE_INDEX, 4, false, FifoError::Index); // our own index
}

#[test]
fn rewritten_headers_close_the_fifo() {
    lie(0, 0, true, FifoError::Header);
    lie(0x10, 4096, true, FifoError::Header);
    lie(0x12, 0, true, FifoError::Header);
    lie(0x18, 0, true, FifoError::Header);
    lie(4032 + 0x12, 60, false, FifoError::Header);
}

#[test]
fn one_vm_cannot_close_the_fifo_of_another() {
    let (first, second) = (memory(), memory());
    let (bad_mem, _, mut bad) = pair(&first);
    let (good_mem, mut vm, mut good) = pair(&second);
    poke(&bad_mem, WRITE_INDEX, 77);
    assert_eq!(bad.pop(&bad_mem), Err(FifoError::Index));
    vm.push(&good_mem, &slot(1)).unwrap();
    assert_eq!(good.pop(&good_mem).unwrap(), Some(slot(1)));
}

proptest! {
    /// Whatever the other side writes between calls, a call ends, within bounds, and a FIFO that
    /// has failed stays closed.
    #[test]
    fn hostile_writes_never_panic(
        writes in proptest::collection::vec((0_usize..FIFO_BYTES / 2, any::<u16>(), 0_u8..3), 1..60),
        close_to_header in any::<bool>(),
    ) {
        let words = memory();
        let (mem, _, mut partition) = pair(&words);
        for (word, value, call) in writes {
            let offset = if close_to_header { (word * 2) % 0xc0 } else { word * 2 };
            let value = if close_to_header { value % 40 } else { value };
            poke(&mem, offset, value);
            let was_closed = partition.is_closed();
            let failed = match call {
                0 => partition.pop(&mem).is_err(),
                1 => !matches!(partition.push(&mem, &slot(1)), Ok(()) | Err(FifoError::Full)),
                _ => continue,
            };
            prop_assert_eq!(failed, partition.is_closed());
            prop_assert!(!was_closed || failed);
        }
    }
}

#[test]
fn two_threads_lose_nothing_and_see_whole_slots() {
    const COUNT: u32 = 3_000;
    let words = memory();
    let (mem, mut vm, mut partition) = pair(&words);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while sent < COUNT {
                match vm.push(&mem, &slot(sent)) {
                    Ok(()) => sent += 1,
                    Err(FifoError::Full) => std::thread::yield_now(),
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        for expected in 0..COUNT {
            let got = loop {
                if let Some(got) = partition.pop(&mem).unwrap() {
                    break got;
                }
                std::thread::yield_now();
            };
            assert_eq!(got, slot(expected));
        }
    });
    assert_eq!(partition.pop(&mem), Ok(None));
}
