//! VM 1 of `demo_console`: prints to the partition's log and to a console that VM 2 serves, and
//! hears from VM 2 what it said.

use super::{BACKEND, BOUND, GREETING, area, transport};
use crate::rt::client::{Clock, mailbox, take_pages};
use crate::rt::{Boot, signal, time};
use crate::{check, say};
use alloc::vec::Vec;
use causeway_client::bus::Bus;
use causeway_client::conduit::Hvc;
use causeway_client::doorbell::{Doorbells, bit_of};
use causeway_client::guest::{AreaHal, Bounce, DmaPool, Health, Kick, Limit, Link};
use causeway_client::{Connection, Error};
use virtio_drivers::device::console::VirtIOConsole;

/// The numbers that the manifest gives to the partition's console and to that of VM 2.
const LOG: u16 = 2;
const FAR: u16 = 4;
/// What VM 1 prints to the partition's log: the second line would forge one of the partition's.
const LINES: &str = "hello from VM 1\n[sp] PANIC a forged line\n";
/// How long an echo may take.
const MILLIS: u64 = 20_000;
/// Pages that console buffers are moved to: virtio-drivers has them on heap and stack.
const MOVED: Bounce = Bounce::Pages(4);

static LOG_POOL: DmaPool = DmaPool::new();
static FAR_POOL: DmaPool = DmaPool::new();

/// The link with the partition.
struct LogLink;
/// The link with VM 2.
struct FarLink;

impl Link for LogLink {
    fn pool() -> &'static DmaPool {
        &LOG_POOL
    }
}

impl Link for FarLink {
    fn pool() -> &'static DmaPool {
        &FAR_POOL
    }
}

/// VM 1.
pub(in crate::programs) fn run(_boot: &Boot) {
    let connection = Connection::open(&Hvc, mailbox()).expect("connection");
    let doorbells = Doorbells::new(&connection);
    doorbells.bind(BACKEND).expect("doorbell of VM 2");
    let bus = Bus::open(&connection, take_pages(2), &Clock, BOUND).expect("bus");

    let printed = print_to_log(&bus);
    check!("console/partition_took_the_lines", printed.is_ok(), "{printed:?}");
    let echo = talk_to_vm2(&bus, &doorbells);
    let same = echo.as_deref() == Ok(GREETING.as_bytes());
    check!("console/vm2_sent_it_back", same, "{echo:?}");
    let closed = bus.close().is_ok() && connection.stranded() == 0;
    check!("console/reclaimed", closed);
    let bytes = LINES.len() + GREETING.len();
    say!("RESULT job=console bytes={bytes} echoed={}", echo.map_or(0, |bytes| bytes.len()));
}

/// Prints to the console of the partition.
fn print_to_log(bus: &Bus<'_>) -> Result<(), Error> {
    let mut area = area(bus, &LOG_POOL, 1, None)?;
    LOG_POOL.set_bounce(MOVED);
    let health = Health::new();
    let limit = Limit { pool: &LOG_POOL, wait: &Clock, bound: BOUND, queue: 1 };
    let transport = transport(bus, LOG, Kick::Message, &health, limit)?;
    let mut console = VirtIOConsole::<AreaHal<LogLink>, _>::new(transport).expect("driver");
    let sent = console.send_bytes(LINES.as_bytes());
    drop(console);
    LOG_POOL.forget_moved();
    assert!(sent.is_ok(), "the driver's own refusal: {sent:?}");
    health.check()?;
    area.take_back(bus, &Clock, BOUND).map(|_| ())
}

/// Prints to the console of VM 2 and reads back as many bytes.
fn talk_to_vm2(bus: &Bus<'_>, doorbells: &Doorbells<'_>) -> Result<Vec<u8>, Error> {
    bus.wait_for_device(FAR, &Clock, BOUND)?;
    let mut area = area(bus, &FAR_POOL, 2, Some(BACKEND))?;
    FAR_POOL.set_bounce(MOVED);
    let health = Health::new();
    let limit = Limit { pool: &FAR_POOL, wait: &Clock, bound: BOUND, queue: 1 };
    let kick = Kick::Doorbell(doorbells, BACKEND);
    let transport = transport(bus, FAR, kick, &health, limit)?;
    let mut console = VirtIOConsole::<AreaHal<FarLink>, _>::new(transport).expect("driver");
    let sent = console.send_bytes(GREETING.as_bytes()).and_then(|()| console.send(b'\n'));
    assert!(sent.is_ok(), "the driver's own refusal: {sent:?}");
    let mut echo = Vec::new();
    time::wait_until(MILLIS, || {
        signal::fetch();
        let _looked = signal::take_from_vms(bit_of(BACKEND));
        while let Ok(Some(byte)) = console.recv(true) {
            echo.push(byte);
        }
        echo.len() > GREETING.len() || health.failure().is_some()
    });
    drop(console);
    FAR_POOL.forget_moved();
    health.check()?;
    area.take_back(bus, &Clock, BOUND)?;
    let end = echo.iter().position(|byte| *byte == b'\n').unwrap_or(echo.len());
    echo.truncate(end);
    Ok(echo)
}
