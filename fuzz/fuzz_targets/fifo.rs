//! Owns the fuzz target of the message FIFO: two ends and somebody who writes into the memory
//! between them. Honest ends lose nothing; a broken FIFO closes and stays closed.
#![no_main]

use arbitrary::{Result, Unstructured};
use causeway_virtio::fifo::{
    self, FIFO_BYTES, Fifo, FifoError, FifoMemory, SLOT_BYTES, Side, Slot,
};
use causeway_virtio::mem::WordArea;
use core::sync::atomic::AtomicU16;
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let words: Vec<AtomicU16> = (0..FIFO_BYTES / 2).map(|_| AtomicU16::new(0)).collect();
    let memory = WordArea::flat(&words);
    fifo::format(&memory).expect("it is large enough");
    let mut ends =
        [Side::Driver, Side::Device].map(|side| Fifo::attach(&memory, side).expect("a fresh FIFO"));
    let mut sent = [VecDeque::new(), VecDeque::new()];
    let mut is_honest = true;
    let mut number = 0u8;
    while !input.is_empty() {
        let side = usize::from(input.arbitrary::<bool>()?);
        let end = &mut ends[side];
        let was_closed = end.is_closed();
        match input.int_in_range(0..=8)? {
            0..=3 => {
                number = number.wrapping_add(1);
                let slot = Slot::from_bytes([number; SLOT_BYTES]);
                match end.push(&memory, &slot) {
                    Ok(()) => sent[side].push_back(number),
                    Err(FifoError::Full) => assert!(!is_honest || sent[side].len() == 29),
                    Err(_) => assert!(!is_honest),
                }
            }
            4..=7 => match end.pop(&memory) {
                Ok(Some(slot)) => {
                    let expected = sent[1 - side].pop_front();
                    assert!(!is_honest || expected == Some(slot.as_bytes()[0]));
                }
                Ok(None) => assert!(!is_honest || sent[1 - side].is_empty()),
                Err(_) => assert!(!is_honest),
            },
            _ => {
                is_honest = false;
                let near = *input.choose(&[0, 0x40, 0x80, 4032, 4032 + 0x40, 4032 + 0x80])?;
                let at = near + usize::from(input.int_in_range(0..=3u8)?);
                let byte: u8 = input.arbitrary()?;
                FifoMemory::write(&memory, at, &[byte]).expect("it is inside");
            }
        }
        assert!(!was_closed || end.is_closed(), "a closed end stays closed");
        assert!(end.unsent() < fifo::DEPTH);
        // Whoever attaches to whatever there is now gets an end or an error.
        let _: core::result::Result<Fifo, FifoError> = Fifo::attach(&memory, Side::Device);
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Running out of input is the usual end.
    let (Ok(()) | Err(_)) = run(&mut Unstructured::new(bytes));
});
