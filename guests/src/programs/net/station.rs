//! Owns one end's TCP/IP: smoltcp's interface with one socket, and its meter. Never knows what is said.

use crate::rt::time;
use alloc::vec;
use causeway_client::stack::{Meter, Phy, Port};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

/// The port of the file server.
pub(super) const FILE_PORT: u16 = 80;
/// The port of its client.
const CLIENT_PORT: u16 = 50_000;

/// Who an end is: the last number of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// VM 1.
    Client,
    /// VM 2.
    Server,
}

impl End {
    const fn number(self) -> u8 {
        match self {
            Self::Client => 1,
            Self::Server => 2,
        }
    }

    /// A local unicast address.
    pub(super) const fn mac(self) -> [u8; 6] {
        [2, 0, 0, 0, 0, self.number()]
    }

    /// An address for documentation (RFC 5737): it is on no other net.
    fn ip(self) -> IpAddress {
        IpAddress::v4(192, 0, 2, self.number())
    }
}

/// One end.
pub(super) struct Station {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    meter: Meter,
}

fn now() -> Instant {
    Instant::from_micros(i64::try_from(time::now_micros()).unwrap_or(i64::MAX))
}

impl Station {
    /// Makes an end at a port; its socket has so many bytes to receive into and to send from.
    pub(super) fn new(port: &mut impl Port, end: End, receive: usize, send: usize) -> Self {
        let mut meter = Meter::default();
        let mut config = Config::new(EthernetAddress(end.mac()).into());
        config.random_seed = time::ticks();
        let mut interface = Interface::new(config, &mut Phy::new(port, &mut meter), now());
        interface.update_ip_addrs(|all| {
            let full = all.push(IpCidr::new(end.ip(), 24));
            assert!(full.is_ok(), "room for one address");
        });
        let buffer = |bytes| SocketBuffer::new(vec![0; bytes]);
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(Socket::new(buffer(receive), buffer(send)));
        Self { interface, sockets, handle, meter }
    }

    /// Moves frames between port and socket; true if the socket has something new to say.
    pub(super) fn poll(&mut self, port: &mut impl Port) -> bool {
        let mut phy = Phy::new(port, &mut self.meter);
        let result = self.interface.poll(now(), &mut phy, &mut self.sockets);
        result == PollResult::SocketStateChanged
    }

    /// Returns the socket.
    pub(super) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Begins a connection with the file server; false if the socket is in use.
    #[must_use]
    pub(super) fn connect(&mut self) -> bool {
        let remote = (End::Server.ip(), FILE_PORT);
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        socket.connect(self.interface.context(), remote, CLIENT_PORT).is_ok()
    }

    /// Returns what went through.
    pub(super) const fn meter(&self) -> Meter {
        self.meter
    }
}
