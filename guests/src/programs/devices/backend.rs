//! VM 2 of `demo_console`: serves a console that prints each line on this VM's own console and sends
//! every byte back. Never serves anybody but VM 1.

use super::{BOUND, DRIVER, GREETING};
use crate::programs::serving::Serving;
use crate::rt::Boot;
use crate::rt::client::{Clock, mailbox, mapper, take_pages};
use crate::{check, say};
use causeway_client::backend::Backend;
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::Doorbells;
use causeway_client::{Connection, Error};
use causeway_virtio::device::console::{
    Console, Echo, LineBuffer, RECEIVE, Size, TRANSMIT, Terminal,
};
use causeway_virtio::msg::DeviceState;

/// The number of the console on this VM's side of the link.
const DEVICE_NUMBER: u16 = 1;
const SIZE: Size = Size { columns: 80, rows: 25 };

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

type Device = Console<Echo<Screen, 256>>;

/// VM 2.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(DRIVER).expect("doorbell of the driver");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");
    bus.announce(DEVICE_NUMBER, DeviceState::Added).expect("announce");
    let mapper = mapper();
    let backend = Backend::new(&connection, &mapper);
    let console = Console::new(Echo::new(Screen::default()), SIZE);
    let mut service = Serving::<_, 2>::new(&bus, &doorbells, backend, console, DEVICE_NUMBER);
    let served =
        service.until_left(|service| Ok(turn(service, RECEIVE)? | turn(service, TRANSMIT)?));
    let printed = service.model().terminal().behind().greeted;
    check!("console/vm2_printed_the_greeting", served.is_ok() && printed, "{served:?} {printed}");
    drop(service);
    let gone = bus.announce(DEVICE_NUMBER, DeviceState::Removed).is_ok();
    let closed = bus.close().is_ok();
    let down = gone && closed && connection.stranded() == 0;
    check!("console/backend_torn_down", down);
}

/// Serves one queue; returns whether there was anything.
fn turn(service: &mut Serving<'_, '_, Device, 2>, index: u16) -> Result<bool, Error> {
    let served = service.serve(index, 16)?;
    if served.notify {
        service.ring();
    }
    // Receive buffers wait for input: they are no work.
    Ok(service.arm(index) || served.requests > 0)
}
