//! VM 2 of `demo_console`: serves a console that prints each line on this VM's own console and sends
//! every byte back. Never serves anybody but VM 1.

use super::{BOUND, DRIVER, GREETING};
use crate::programs::serving;
use crate::rt::client::{Clock, mailbox, mapper, take_pages};
use crate::rt::{Boot, signal, time};
use crate::{check, say};
use causeway_client::backend::{Backend, Verdict};
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, bit_of};
use causeway_client::{Connection, Error};
use causeway_virtio::device::DeviceServer;
use causeway_virtio::device::console::{
    Console, Echo, LineBuffer, RECEIVE, Size, TRANSMIT, Terminal,
};
use causeway_virtio::msg::{DeviceState, Request};

/// The number of the console on this VM's side of the link.
const DEVICE_NUMBER: u16 = 1;
const SIZE: Size = Size { columns: 80, rows: 25 };
/// How long this VM waits for anything to happen.
const IDLE_MILLIS: u64 = 30_000;

/// Prints lines, and remembers whether the greeting was among them.
#[derive(Default)]
struct Screen {
    lines: LineBuffer<100>,
    greeted: bool,
}

impl Terminal for Screen {
    fn write(&mut self, bytes: &[u8]) {
        let Self { lines, greeted } = self;
        lines.write(bytes, |line| {
            say!("CONSOLE {line}");
            *greeted |= line == GREETING;
        });
    }
}

type Server = DeviceServer<Console<Echo<Screen, 256>>, 2>;

/// VM 2.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(DRIVER).expect("doorbell of the driver");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    bus.announce(DEVICE_NUMBER, DeviceState::Added).expect("announce");
    let mapper = mapper();
    let mut service = Service {
        bus: &bus,
        doorbells: &doorbells,
        backend: Backend::new(&connection, &mapper),
        server: DeviceServer::new(Console::new(Echo::new(Screen::default()), SIZE)),
        used: false,
    };
    let served = service.until_left();
    let printed = service.server.model().terminal().behind().greeted;
    check!("console/vm2_printed_the_greeting", served.is_ok() && printed, "{served:?} {printed}");
    drop(service);
    let gone = bus.announce(DEVICE_NUMBER, DeviceState::Removed).is_ok();
    let closed = bus.close().is_ok();
    let down = gone && closed && connection.stranded() == 0;
    check!("console/backend_torn_down", down);
}

struct Service<'b, 'c> {
    bus: &'b Bus<'c>,
    doorbells: &'b Doorbells<'c>,
    backend: Backend<'c, 4>,
    server: Server,
    /// Whether the driver has bound an area.
    used: bool,
}

impl Service<'_, '_> {
    /// Serves until the driver has unbound its last area, or nothing happened for too long.
    fn until_left(&mut self) -> Result<(), Error> {
        let mut last = time::now_micros();
        while !self.used || self.backend.held() > 0 {
            signal::fetch();
            let mut busy = signal::take_from_vms(bit_of(DRIVER)) != 0;
            let admitted = self.backend.admit(|seen| {
                if seen.owner == DRIVER { Verdict::Accept } else { Verdict::Reject }
            })?;
            busy |= admitted.accepted > 0;
            while let Some(incoming) = self.bus.receive()? {
                serving::take(self.bus, &mut self.backend, &mut self.server, &incoming)?;
                self.used |= self.backend.held() > 0;
                busy = true;
            }
            for index in [RECEIVE, TRANSMIT] {
                busy |= self.serve(index)?;
            }
            let now = time::now_micros();
            if busy {
                last = now;
            } else if now.saturating_sub(last) > IDLE_MILLIS * 1000 {
                return Ok(());
            } else {
                time::rest();
            }
        }
        Ok(())
    }

    /// Serves one queue; returns whether there was anything.
    fn serve(&mut self, index: u16) -> Result<bool, Error> {
        let memory = self.backend.memory(DRIVER);
        let served = self.server.serve(&memory, index, 16);
        if let Some(event) = served.event {
            self.bus.event_to(DEVICE_NUMBER, DRIVER, Request::EventConfig(event))?;
        }
        if served.notify
            && let Err(error) = self.doorbells.ring(DRIVER)
        {
            say!("NOTE doorbell refused: {error}");
        }
        // Receive buffers wait for input: they are no work.
        let wanted = index == TRANSMIT || self.server.model().terminal().has_input();
        let more = self.server.arm(&memory, index) && wanted;
        Ok(served.requests > 0 || more)
    }
}
