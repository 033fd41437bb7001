//! Owns VM 2's TCP server: whoever connects and asks gets the file. Never knows of cards and cables.

use super::station::{End, FILE_PORT, Station};
use super::{REQUEST, SMALL, WINDOW};
use causeway_client::stack::{Meter, Port};

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has asked.
    Waiting,
    /// So many bytes are in the socket's hands, or gone.
    Sending(usize),
    /// All are, and the stream is closed.
    Closed,
}

/// The server.
pub(super) struct FileServer {
    station: Station,
    file: &'static [u8],
    stage: Stage,
}

impl FileServer {
    /// Listens at a port.
    pub(super) fn new(port: &mut impl Port, file: &'static [u8]) -> Self {
        let mut station = Station::new(port, End::Server, SMALL, WINDOW);
        let listens = station.socket().listen(FILE_PORT);
        assert!(listens.is_ok(), "a new socket listens");
        Self { station, file, stage: Stage::Waiting }
    }

    /// Moves on as far as frames and buffers allow; true if something moved.
    pub(super) fn turn(&mut self, port: &mut impl Port) -> bool {
        let mut moved = self.station.poll(port);
        if self.answer() {
            moved = true;
            self.station.poll(port);
        }
        moved
    }

    /// Does what the socket is ready for; true if there was something.
    fn answer(&mut self) -> bool {
        let socket = self.station.socket();
        match self.stage {
            Stage::Waiting if socket.recv_queue() >= REQUEST.len() => {
                let mut asked = [0; REQUEST.len()];
                let read = socket.recv_slice(&mut asked);
                if read == Ok(REQUEST.len()) && asked == REQUEST {
                    self.stage = Stage::Sending(0);
                } else {
                    socket.abort();
                    self.stage = Stage::Closed;
                }
                true
            }
            Stage::Sending(sent) if sent == self.file.len() => {
                socket.close();
                self.stage = Stage::Closed;
                true
            }
            Stage::Sending(sent) if socket.can_send() => {
                let rest = self.file.get(sent..).unwrap_or(&[]);
                let more = socket.send_slice(rest).unwrap_or(0);
                self.stage = Stage::Sending(sent.saturating_add(more));
                more > 0
            }
            Stage::Waiting | Stage::Sending(_) | Stage::Closed => false,
        }
    }

    /// Returns how many bytes of the file the socket took; all of them if it is closed in order.
    pub(super) const fn sent_bytes(&self) -> usize {
        match self.stage {
            Stage::Waiting => 0,
            Stage::Sending(sent) => sent,
            Stage::Closed => self.file.len(),
        }
    }

    /// Reports whether the whole file was given to the socket.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// Returns what went through its port.
    pub(super) const fn meter(&self) -> Meter {
        self.station.meter()
    }
}
