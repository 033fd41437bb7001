//! Tests of the console: configuration, emergency writes, buffers in pieces, lines.

use super::*;
use crate::addr::{AreaId, BusAddr};
use crate::mem::WordArea;
use crate::queue::{DriverQueue, QueueConfig, Segment};
use core::sync::atomic::AtomicU16;

/// A terminal with a script.
#[derive(Default)]
struct Typist {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Terminal for Typist {
    fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.input.len());
        into[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        count
    }
}

fn console() -> Console<Typist> {
    Console::new(Typist::default(), Size { columns: 132, rows: 43 })
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn pair(mem: &WordArea<'_>) -> (DriverQueue<8>, DeviceQueue) {
    let config = QueueConfig {
        size: QueueSize::new(8).unwrap(),
        desc: at(0),
        driver: at(0x1000),
        device: at(0x2000),
        features: Features::NONE,
    };
    (DriverQueue::new(mem, config).unwrap(), DeviceQueue::new(mem, config).unwrap())
}

#[test]
fn configuration_is_the_one_of_the_standard() {
    // virtio 1.3, 5.3.4: le16 cols, le16 rows, le32 max_nr_ports, le32 emerg_wr.
    let console = console();
    let mut config = [0xff; 12];
    console.read_config(0, &mut config);
    assert_eq!(config, [132, 0, 43, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let mut rows = [0; 2];
    console.read_config(2, &mut rows);
    assert_eq!(rows, [43, 0]);
}

#[test]
fn an_emergency_byte_is_printed_without_a_queue() {
    let mut console = console();
    assert_eq!(console.write_config(8, &[b'!', 0, 0, 0]), Applied::Yes);
    assert_eq!(console.write_config(0, b"x"), Applied::No);
    assert_eq!(console.write_config(8, &[]), Applied::No);
    assert_eq!(console.terminal().output, b"!");
}

#[test]
fn input_fills_the_buffers_in_order_and_no_buffer_comes_back_empty() {
    let words: Vec<_> = (0..0x2000).map(|_| AtomicU16::new(0)).collect();
    let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
    let ((mut driver, mut queue), mut console) = (pair(&mem), console());
    let piece = |n: u64, len| Segment { addr: at(0x3000 + n), len };
    driver.submit(&mem, &[], &[piece(0, 2), piece(0x10, 3)]).unwrap();
    driver.submit(&mem, &[], &[piece(0x20, 100)]).unwrap();
    driver.submit(&mem, &[], &[piece(0x100, 100)]).unwrap();
    assert_eq!(console.serve(&mem, RECEIVE, &mut queue, 8), Ok(0));
    console.terminal_mut().input.extend_from_slice(b"abcdefgh");
    assert_eq!(console.serve(&mem, RECEIVE, &mut queue, 8), Ok(2));
    let used: Vec<_> = core::iter::from_fn(|| driver.pop_used(&mem).unwrap()).collect();
    assert_eq!(used.iter().map(|u| u.written).collect::<Vec<_>>(), [5, 3]);
    let read = |n: u64, len| {
        let mut bytes = vec![0; len];
        mem.read(at(0x3000 + n), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(
        (read(0, 2), read(0x10, 3), read(0x20, 4)),
        (b"ab".into(), b"cde".into(), b"fgh\0".into())
    );
    assert!(!console.wants(RECEIVE));
    assert!(console.wants(TRANSMIT));
}

#[test]
fn long_text_is_cut_at_the_bound_and_text_in_pieces_is_joined() {
    let words: Vec<_> = (0..0x4000).map(|_| AtomicU16::new(0x2e2e)).collect();
    let mem = WordArea::new(AreaId::new(1).unwrap(), &words);
    mem.write(at(0), &[0; 0x3000]).unwrap();
    let ((mut driver, mut queue), mut console) = (pair(&mem), console());
    let text = |n: u64, len| Segment { addr: at(0x3000 + n), len };
    driver.submit(&mem, &[text(0, 3), text(7, 4)], &[]).unwrap();
    assert_eq!(console.serve(&mem, TRANSMIT, &mut queue, 8), Ok(1));
    assert_eq!(console.terminal().output, b".......");
    driver.submit(&mem, &[text(0, 0x1100)], &[]).unwrap();
    assert_eq!(console.serve(&mem, TRANSMIT, &mut queue, 8), Ok(1));
    assert_eq!(console.terminal().output.len(), 7 + 4096);
    assert_eq!(driver.pop_used(&mem).unwrap().unwrap().written, 0);
}

#[test]
fn a_line_holds_printable_ascii_only_and_has_a_bounded_length() {
    let mut lines = vec![];
    let mut buffer = LineBuffer::<8>::new();
    buffer.write(b"one\r\ntwo\x1b[2J\xff", |line| lines.push(line.to_string()));
    assert!(!buffer.is_empty());
    buffer.write(b"345678", |line| lines.push(line.to_string()));
    buffer.flush(|line| lines.push(line.to_string()));
    assert_eq!(lines, ["one", "two.[2J.", "345678"]);
    assert!(buffer.is_empty());
}

#[test]
fn an_echo_keeps_only_what_it_has_room_for() {
    let mut echo = Echo::<_, 4>::new(Typist::default());
    for round in 0..3 {
        echo.write(b"abcdef");
        assert_eq!(echo.behind().output.len(), 6 * (round + 1), "all of it is passed on");
        let mut back = [0; 3];
        assert_eq!((echo.read(&mut back), &back), (3, b"abc"));
        assert!(echo.has_input());
        assert_eq!((echo.read(&mut back), back[0]), (1, b'd'));
        assert!(!echo.has_input());
    }
}
