//! Owns the console device (virtio 1.3, 5.3) with its one port; never knows where the text goes.
//!
//! The second file to read on the way to a device of one's own (docs/how-to-write-a-device.md):
//! two queues that run in opposite directions, a configuration space, and a queue of buffers that
//! the device keeps until it has something to put into them ([`DeviceModel::wants`]).
//!
//! ```
//! use causeway_virtio::device::console::{Console, Echo, LineBuffer, Size, Terminal};
//!
//! /// Prints whole lines.
//! struct Log(LineBuffer<80>, Vec<String>);
//! impl Terminal for Log {
//!     fn write(&mut self, bytes: &[u8]) {
//!         let lines = &mut self.1;
//!         self.0.write(bytes, |line| lines.push(line.to_owned()));
//!     }
//! }
//! let log = Log(LineBuffer::new(), Vec::new());
//! let mut console = Console::new(Echo::<_, 16>::new(log), Size { columns: 80, rows: 25 });
//! console.terminal_mut().write(b"hello\nwor");
//! assert_eq!(console.terminal().behind().1, ["hello"]);
//! // What was written comes back as input.
//! let mut input = [0; 16];
//! assert!(console.terminal().has_input());
//! let len = console.terminal_mut().read(&mut input);
//! assert_eq!(&input[..len], b"hello\nwor");
//! ```

use super::{Applied, Cursor, DeviceModel, Identity, copy_config};
use crate::mem::AreaMap;
use crate::queue::{Chain, DeviceQueue, QueueError, QueueSize};
use crate::types::{DeviceId, Features};

mod lines;

pub use lines::{Echo, LineBuffer};

/// What is on the other end of the console.
pub trait Terminal {
    /// Takes what the driver wrote, at most 64 bytes at a time. They are the driver's and may be
    /// anything: a terminal that prints them filters them ([`LineBuffer`]).
    fn write(&mut self, bytes: &[u8]);

    /// Reports whether there is input.
    fn has_input(&self) -> bool {
        false
    }

    /// Takes input; returns how many bytes there were. Not asked unless [`Terminal::has_input`].
    fn read(&mut self, into: &mut [u8]) -> usize {
        let _: &mut [u8] = into;
        0
    }
}

/// The receive queue: the driver's empty buffers, for our input.
pub const RECEIVE: u16 = 0;
/// The transmit queue: what the driver writes.
pub const TRANSMIT: u16 = 1;

/// Columns and rows of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Buffers of one request that are looked at; a driver uses one.
const SEGMENTS: usize = 8;
/// Most bytes of one request, so that a request is bounded. A driver hears from the used length how
/// much of a receive buffer was filled; text beyond the bound in a transmit buffer is dropped.
const MOST_BYTES: u64 = 4096;
/// Bytes of the configuration space: le16 cols, rows; le32 max_nr_ports, emerg_wr.
const CONFIG_BYTES: u32 = 12;
/// Where `emerg_wr` lies.
const EMERG_WR: u32 = 8;

/// A console with one port.
#[derive(Debug)]
pub struct Console<T> {
    terminal: T,
    size: Size,
    chain: Chain<SEGMENTS>,
}

impl<T: Terminal> Console<T> {
    /// Makes a console in front of a terminal.
    pub const fn new(terminal: T, size: Size) -> Self {
        Self { terminal, size, chain: Chain::new() }
    }

    /// Returns the terminal.
    pub const fn terminal(&self) -> &T {
        &self.terminal
    }

    /// Returns the terminal.
    pub const fn terminal_mut(&mut self) -> &mut T {
        &mut self.terminal
    }

    /// Fills the receive buffer in `self.chain` with what input there is; returns the bytes.
    fn fill<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<u32, QueueError> {
        let mut room = Cursor::new(self.chain.writable());
        let mut wanted = self.chain.writable_bytes().min(MOST_BYTES);
        let mut written: u32 = 0;
        while self.terminal.has_input()
            && let Some(run) = room.run(wanted.min(64))
        {
            let mut bytes = [0; 64];
            let len = usize::try_from(run.len).unwrap_or(0);
            let Some(piece) = bytes.get_mut(..len) else { break };
            let count = self.terminal.read(piece).min(len);
            mem.write(run.at, piece.get(..count).unwrap_or(&[]))?;
            written = written.saturating_add(u32::try_from(count).unwrap_or(0));
            wanted = wanted.saturating_sub(u64::from(run.len));
            if count < len {
                break; // a gap in the buffer would look like input
            }
        }
        Ok(written)
    }

    /// Hands the text in `self.chain` to the terminal.
    fn print<M: AreaMap + ?Sized>(&mut self, mem: &M) -> Result<(), QueueError> {
        let mut text = Cursor::new(self.chain.readable());
        let mut left = MOST_BYTES;
        while let Some(run) = text.run(left.min(64)) {
            let mut bytes = [0; 64];
            let len = usize::try_from(run.len).unwrap_or(0);
            let Some(piece) = bytes.get_mut(..len) else { break };
            mem.read(run.at, piece)?;
            self.terminal.write(piece);
            left = left.saturating_sub(u64::from(run.len));
        }
        Ok(())
    }
}

impl<T: Terminal> DeviceModel for Console<T> {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::CONSOLE, vendor: 0, uuid: [0; 16] }
    }

    fn features(&self) -> Features {
        Features::CONSOLE_SIZE | Features::CONSOLE_EMERG_WRITE
    }

    fn config_len(&self) -> u32 {
        CONFIG_BYTES
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let [c0, c1] = self.size.columns.to_le_bytes();
        let [r0, r1] = self.size.rows.to_le_bytes();
        let config = [c0, c1, r0, r1, 1, 0, 0, 0, 0, 0, 0, 0];
        copy_config(&config, offset, into);
    }

    /// A byte written to `emerg_wr` is printed even before the queues are set up (5.3.4).
    fn write_config(&mut self, offset: u32, from: &[u8]) -> Applied {
        match from.first() {
            Some(byte) if offset == EMERG_WR => {
                self.terminal.write(&[*byte]);
                Applied::Yes
            }
            Some(_) | None => Applied::No,
        }
    }

    fn queue_count(&self) -> u16 {
        2
    }

    fn max_queue_size(&self, _index: u16) -> QueueSize {
        const { QueueSize::new(64).unwrap() }
    }

    /// The receive buffers stay where they are until there is input: one that came back empty would
    /// be an end of file to a driver, and virtio-drivers panics on it.
    fn wants(&self, index: u16) -> bool {
        index != RECEIVE || self.terminal.has_input()
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        index: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError> {
        let mut served: u32 = 0;
        while served < budget && self.wants(index) {
            let Some(head) = queue.take(mem, &mut self.chain)? else { break };
            let written = if index == RECEIVE {
                self.fill(mem)?
            } else {
                self.print(mem)?;
                0
            };
            queue.complete(mem, head, written)?;
            served = served.saturating_add(1);
        }
        Ok(served)
    }
}

// Safe code without a pointer: nothing for Miri to find, and too slow under it.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;
