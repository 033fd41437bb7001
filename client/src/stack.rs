//! Owns what smoltcp needs to run its TCP/IP over a network card of a link, or over the far end of a
//! cable; never a protocol's logic.
//!
//! A guest has a [`NetPort`](crate::guest::NetPort), a backend the [`FarEnd`] of a cable; both are a
//! [`Port`], and [`Phy`] shows a port to smoltcp:
//!
//! ```
//! use causeway_client::stack::{Meter, Phy, Port};
//! use smoltcp::iface::{Config, Interface, SocketSet};
//! use smoltcp::time::Instant;
//! use smoltcp::wire::{EthernetAddress, IpCidr};
//!
//! fn interface(port: &mut impl Port, mac: [u8; 6], address: IpCidr) -> Interface {
//!     let config = Config::new(EthernetAddress(mac).into());
//!     let mut meter = Meter::default();
//!     let mut interface = Interface::new(config, &mut Phy::new(port, &mut meter), Instant::ZERO);
//!     interface.update_ip_addrs(|all| all.push(address).unwrap());
//!     interface
//! }
//!
//! fn turn(
//!     interface: &mut Interface,
//!     sockets: &mut SocketSet<'_>,
//!     port: &mut impl Port,
//!     meter: &mut Meter,
//!     micros: i64,
//! ) {
//!     interface.poll(Instant::from_micros(micros), &mut Phy::new(port, meter), sockets);
//! }
//! ```
//!
//! TCP/IP copies by its nature: out of a buffer of the link into private memory once (nothing in
//! shared memory is ever looked at twice), from there into a socket's buffer, and the same in the
//! other direction.

use causeway_virtio::device::net::{Cable, FRAME_BYTES, Frame};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet};
use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// What carries frames, without blocking.
pub trait Port {
    /// Reports whether a frame can be sent now.
    fn has_room(&mut self) -> bool;

    /// Copies out the next frame; false if none has come.
    fn receive(&mut self, into: &mut Frame) -> bool;

    /// Sends a frame. Without room it is lost, as on any wire.
    fn send(&mut self, frame: &Frame);
}

/// The far end of a cable, where a backend's own stack is plugged in.
///
/// ```
/// use causeway_client::stack::{FarEnd, Meter, Phy, Received, Room};
/// use causeway_virtio::device::net::Cable;
/// use smoltcp::phy::{Device, RxToken};
/// use smoltcp::time::Instant;
///
/// /// The length of the next frame, as smoltcp would take it.
/// fn next_len(cable: &mut Cable<'_>, meter: &mut Meter) -> Option<usize> {
///     let mut end = FarEnd::of(cable);
///     let mut phy = Phy::new(&mut end, meter);
///     let (frame, _answer): (Received, Room<'_, _>) = phy.receive(Instant::ZERO)?;
///     Some(frame.consume(|bytes| bytes.len()))
/// }
/// ```
#[derive(Debug)]
pub struct FarEnd<'a, 'f>(&'a mut Cable<'f>);

impl<'a, 'f> FarEnd<'a, 'f> {
    /// Takes hold of it.
    pub const fn of(cable: &'a mut Cable<'f>) -> Self {
        Self(cable)
    }
}

impl Port for FarEnd<'_, '_> {
    fn has_room(&mut self) -> bool {
        self.0.far_has_room()
    }

    fn receive(&mut self, into: &mut Frame) -> bool {
        let Some(frame) = self.0.far_waiting() else { return false };
        // A whole frame, so there is room; only its bytes need to move.
        let copied = into.room(frame.bytes().len()).map(|to| to.copy_from_slice(frame.bytes()));
        self.0.far_taken();
        copied.is_some()
    }

    fn send(&mut self, frame: &Frame) {
        self.0.far_send(frame);
    }
}

/// What a stack has sent and received, counted at the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Frames received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// TCP segments sent with data in them.
    pub segments: u64,
    /// Those among them that began before the end of what had been sent already: sent again.
    pub retransmits: u64,
    /// The end of what was sent on the connection that was opened last.
    end: Option<TcpSeqNumber>,
}

impl Meter {
    fn count_received(&mut self, frame: &Frame) {
        self.received = self.received.saturating_add(1);
        self.received_bytes = self.received_bytes.saturating_add(frame.len_bytes());
    }

    fn count_sent(&mut self, frame: &Frame) {
        self.sent = self.sent.saturating_add(1);
        self.sent_bytes = self.sent_bytes.saturating_add(frame.len_bytes());
        let Some((first, len, opens)) = segment(frame) else { return };
        if opens {
            self.end = None;
        }
        if len == 0 {
            return;
        }
        self.segments = self.segments.saturating_add(1);
        if self.end.is_some_and(|end| first < end) {
            self.retransmits = self.retransmits.saturating_add(1);
        }
        #[expect(clippy::arithmetic_side_effects, reason = "sequence numbers wrap, and so does it")]
        let last = first + len;
        if self.end.is_none_or(|end| last > end) {
            self.end = Some(last);
        }
    }
}

/// The first sequence number, bytes of data, and whether it opens a connection; `None` for what is
/// no TCP.
fn segment(frame: &Frame) -> Option<(TcpSeqNumber, usize, bool)> {
    let ethernet = EthernetFrame::new_checked(frame.bytes()).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    Some((tcp.seq_number(), tcp.payload().len(), tcp.syn()))
}

/// A port as smoltcp sees it, while it polls.
#[derive(Debug)]
pub struct Phy<'p, P> {
    port: &'p mut P,
    meter: &'p mut Meter,
}

impl<'p, P: Port> Phy<'p, P> {
    /// Shows a port to smoltcp; what goes through is counted in `meter`.
    pub const fn new(port: &'p mut P, meter: &'p mut Meter) -> Self {
        Self { port, meter }
    }
}

impl<P: Port> Device for Phy<'_, P> {
    type RxToken<'a>
        = Received
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a, P>
    where
        Self: 'a;

    /// Nothing comes in while there is no room for an answer: it waits where it is.
    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let mut frame = Frame::BLANK;
        if !self.port.has_room() || !self.port.receive(&mut frame) {
            return None;
        }
        self.meter.count_received(&frame);
        Some((Received(frame), Room { port: self.port, meter: self.meter }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        self.port.has_room().then_some(Room { port: self.port, meter: self.meter })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }
}

/// A frame that has come.
#[derive(Debug)]
pub struct Received(Frame);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(self.0.bytes())
    }
}

/// Room for a frame to send.
#[derive(Debug)]
pub struct Room<'a, P> {
    port: &'a mut P,
    meter: &'a mut Meter,
}

impl<P: Port> phy::TxToken for Room<'_, P> {
    /// smoltcp keeps to the length that [`Phy`] told it; anything longer would go nowhere.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, make: F) -> R {
        let mut frame = Frame::BLANK;
        match frame.room(len) {
            Some(room) => {
                let made = make(room);
                self.meter.count_sent(&frame);
                self.port.send(&frame);
                made
            }
            None => make(&mut []),
        }
    }
}

#[cfg(test)]
mod tests;
