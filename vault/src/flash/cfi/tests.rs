//! Drives the sequences against two chips that behave as NOR flash does, and that notice what real
//! ones don't forgive.

#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

use super::*;
use crate::flash::at_once;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec::Vec;

const RANGE: Range<u32> = 4 * SECTOR..8 * SECTOR;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Array,
    Identity,
    Status,
    EraseConfirm,
    Count,
    Data { left: u32 },
    BufferConfirm,
}

#[derive(Debug)]
struct State {
    words: BTreeMap<u32, u32>,
    mode: Mode,
    buffer: Vec<(u32, u32)>,
    status: u32,
    /// Looks at the status until it is ready.
    busy: u32,
    writes: Vec<(u32, u32)>,
    stuck: bool,
    /// The first status after the next operation.
    fails_with: Option<u32>,
    cores_seen: bool,
    times_left_array: u32,
}

/// The two chips; clones are the same ones.
#[derive(Clone, Debug)]
struct Chips(Rc<RefCell<State>>);

impl Chips {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(State {
            words: BTreeMap::new(),
            mode: Mode::Array,
            buffer: Vec::new(),
            status: READY,
            busy: 0,
            writes: Vec::new(),
            stuck: false,
            fails_with: None,
            cores_seen: true,
            times_left_array: 0,
        })))
    }

    fn flash(&self) -> Cfi<Self> {
        Cfi::new(self.clone(), RANGE).unwrap()
    }

    fn word(&self, at: u32) -> u32 {
        *self.0.borrow().words.get(&at).unwrap_or(&u32::MAX)
    }

    fn mode(&self) -> Mode {
        self.0.borrow().mode
    }
}

impl State {
    fn finish(&mut self, work: impl FnOnce(&mut Self)) {
        self.busy = 3;
        match self.fails_with.take() {
            Some(status) => self.status |= status,
            None => work(self),
        }
        self.mode = Mode::Status;
    }

    fn look(&mut self) -> u32 {
        if self.stuck {
            return both(0);
        }
        if self.busy > 0 {
            self.busy -= 1;
            // One chip is ready before the other.
            return 0x80;
        }
        self.status
    }

    fn command(&mut self, at: u32, word: u32) {
        if self.mode == Mode::Array && word != READ_ARRAY && word != CLEAR_STATUS {
            self.times_left_array += 1;
        }
        self.mode = match word {
            READ_ARRAY => Mode::Array,
            READ_IDENTITY => Mode::Identity,
            CLEAR_STATUS => {
                self.status = READY;
                self.mode
            }
            ERASE => Mode::EraseConfirm,
            TO_BUFFER => {
                self.busy = 1;
                Mode::Count
            }
            other => panic!("{other:#x} at {at:#x} is no command"),
        };
    }
}

impl Bank for Chips {
    fn read(&self, offset: u32) -> u32 {
        let mut state = self.0.borrow_mut();
        match state.mode {
            Mode::Array => *state.words.get(&offset).unwrap_or(&u32::MAX),
            Mode::Identity => IDENTITY[usize::try_from(offset % SECTOR / 4).unwrap()],
            Mode::Status
            | Mode::EraseConfirm
            | Mode::Count
            | Mode::Data { .. }
            | Mode::BufferConfirm => state.look(),
        }
    }

    fn write(&mut self, offset: u32, word: u32) {
        let mut state = self.0.borrow_mut();
        state.writes.push((offset, word));
        match state.mode {
            Mode::Array | Mode::Identity | Mode::Status => state.command(offset, word),
            Mode::EraseConfirm => {
                assert_eq!(word, CONFIRM);
                let sector = offset / SECTOR * SECTOR;
                state.finish(|s| s.words.retain(|at, _| !(sector..sector + SECTOR).contains(at)));
            }
            Mode::Count => {
                assert_eq!(word >> 16, word & 0xffff);
                state.buffer.clear();
                state.mode = Mode::Data { left: (word & 0xffff) + 1 };
            }
            Mode::Data { left } => {
                let block = state.buffer.first().map_or(offset, |(at, _)| *at) / BUFFER;
                assert_eq!(offset / BUFFER, block, "a buffer crossed its block");
                state.buffer.push((offset, word));
                state.mode =
                    if left == 1 { Mode::BufferConfirm } else { Mode::Data { left: left - 1 } };
            }
            Mode::BufferConfirm => {
                assert_eq!(word, CONFIRM);
                let buffer = std::mem::take(&mut state.buffer);
                state.finish(|s| {
                    for (at, word) in buffer {
                        *s.words.entry(at).or_insert(u32::MAX) &= word;
                    }
                });
            }
        }
    }

    fn may_leave_array(&self) -> bool {
        self.0.borrow().cores_seen
    }
}

fn write(flash: &mut Cfi<Chips>, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
    at_once(flash.write(at, bytes)).unwrap()
}

fn erase(flash: &mut Cfi<Chips>, from: u32, to: u32) -> Result<(), FlashError> {
    at_once(flash.erase(from, to)).unwrap()
}

#[test]
fn what_is_written_reads_back_across_blocks_and_the_bank_is_left_once() {
    let chips = Chips::new();
    let mut flash = chips.flash();
    let bytes: Vec<u8> = (0..9000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let at = RANGE.start + BUFFER - 8;
    write(&mut flash, at, &bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    at_once(flash.read(at, &mut back)).unwrap().unwrap();
    assert!(back == bytes);
    assert_eq!((chips.mode(), chips.0.borrow().times_left_array), (Mode::Array, 1));
}

#[test]
fn an_erase_takes_whole_sectors_and_no_neighbour() {
    let chips = Chips::new();
    let mut flash = chips.flash();
    for sector in 4..7 {
        write(&mut flash, sector * SECTOR, &[0; 4]).unwrap();
    }
    erase(&mut flash, 5 * SECTOR, 6 * SECTOR).unwrap();
    let found = [4, 5, 6].map(|sector| chips.word(sector * SECTOR));
    assert_eq!(found, [0, u32::MAX, 0]);
    assert_eq!(erase(&mut flash, 5 * SECTOR + 4, 6 * SECTOR), Err(FlashError::NotAligned));
    assert_eq!(erase(&mut flash, 6 * SECTOR, 5 * SECTOR), Err(FlashError::OutOfRange));
}

#[test]
fn the_firmwares_sectors_are_never_touched() {
    let chips = Chips::new();
    let mut flash = chips.flash();
    for at in [0, 4, RANGE.start - 4, RANGE.end, RANGE.end + 64, 0x0400_0000, u32::MAX - 3] {
        assert_eq!(write(&mut flash, at, &[0; 4]), Err(FlashError::OutOfRange), "{at:#x}");
        assert_eq!(at_once(flash.read(at, &mut [0; 4])), Some(Err(FlashError::OutOfRange)));
    }
    assert_eq!(write(&mut flash, RANGE.end - 4, &[0; 8]), Err(FlashError::OutOfRange));
    for (from, to) in [(0, SECTOR), (3 * SECTOR, 5 * SECTOR), (7 * SECTOR, 9 * SECTOR)] {
        assert_eq!(erase(&mut flash, from, to), Err(FlashError::OutOfRange));
    }
    assert_eq!(Cfi::new(chips.clone(), 4..SECTOR).err(), Some(FlashError::NotAligned));
    assert!(chips.0.borrow().writes.is_empty(), "not even a command");
}

#[test]
fn no_command_is_sent_before_every_core_was_seen() {
    let chips = Chips::new();
    chips.0.borrow_mut().cores_seen = false;
    let mut flash = chips.flash();
    assert_eq!(write(&mut flash, RANGE.start, &[0; 4]), Err(FlashError::CoresNotSeen));
    assert_eq!(erase(&mut flash, RANGE.start, RANGE.start + SECTOR), Err(FlashError::CoresNotSeen));
    assert_eq!(flash.identify(), Err(FlashError::CoresNotSeen));
    assert_eq!(
        at_once(flash.read(RANGE.start, &mut [0; 4])),
        Some(Ok(())),
        "reading is no command"
    );
    assert!(chips.0.borrow().writes.is_empty());
    chips.0.borrow_mut().cores_seen = true;
    assert_eq!(flash.identify(), Ok(()));
    assert_eq!(chips.mode(), Mode::Array);
}

#[test]
fn a_status_of_one_chip_with_an_error_is_refused_and_the_array_reads_again() {
    for failure in [both(0x20), both(0x10), 0x10, 0x0020_0000] {
        let chips = Chips::new();
        let mut flash = chips.flash();
        chips.0.borrow_mut().fails_with = Some(failure);
        let met = erase(&mut flash, RANGE.start, RANGE.start + SECTOR);
        assert_eq!(met, Err(FlashError::Status(READY | failure)));
        chips.0.borrow_mut().fails_with = Some(failure);
        let met = write(&mut flash, RANGE.start, &[0; 8]);
        assert_eq!(met, Err(FlashError::Status(READY | failure)));
        assert_eq!(chips.mode(), Mode::Array);
        assert_eq!(write(&mut flash, RANGE.start, &[0; 8]), Ok(()), "the error was cleared");
    }
}

#[test]
fn chips_that_never_become_ready_end_in_a_time_out() {
    let chips = Chips::new();
    let mut flash = chips.flash();
    chips.0.borrow_mut().stuck = true;
    let met = erase(&mut flash, RANGE.start, RANGE.start + SECTOR);
    assert_eq!(met, Err(FlashError::TimedOut));
}

#[test]
fn a_forgotten_erase_is_an_error_and_changes_nothing() {
    let chips = Chips::new();
    let mut flash = chips.flash();
    write(&mut flash, RANGE.start, &[0xf0; 4]).unwrap();
    assert_eq!(write(&mut flash, RANGE.start, &[0x0f; 4]), Err(FlashError::BitSet));
    assert_eq!(chips.word(RANGE.start), 0xf0f0_f0f0);
    assert_eq!(write(&mut flash, RANGE.start, &[0x30; 4]), Ok(()));
    assert_eq!(write(&mut flash, RANGE.start + 2, &[0; 4]), Err(FlashError::NotAligned));
    assert_eq!(write(&mut flash, RANGE.start, &[0; 3]), Err(FlashError::NotAligned));
}
