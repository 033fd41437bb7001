//! virtio-drivers' entropy and console drivers, whose calls block: bounded by the transport.

use super::*;
use causeway_virtio::device::console::{Console, Echo, Size, Terminal};
use causeway_virtio::device::rng::{EntropySource, NoEntropy, Rng};
use causeway_virtio::types::Features;
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::device::rng::VirtIORng;

/// Bytes 1, 2, 3...; dead after the first request if it is told so.
struct Counter {
    next: u8,
}

impl EntropySource for Counter {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        for byte in into {
            self.next += 1;
            *byte = self.next;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Paper(Vec<u8>);

impl Terminal for Paper {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn transport<'s, 'c>(
    side: &'s DriverSide<'s, 'c>,
    health: &'s Health,
    limit: Limit<'s>,
) -> MsgTransport<'s, 'c> {
    let kick = Kick::Doorbell(side.doorbells, BACKEND);
    MsgTransport::open(side.bus, 0, kick, health)
        .unwrap()
        .without(Features::EVENT_IDX)
        .with_limit(limit)
}

#[test]
fn the_unmodified_entropy_driver_gets_its_bytes_in_place() {
    link!(Entropy, ENTROPY);
    with_device(Rng::new(Counter { next: 0 }), |side| {
        let area = AreaId::new(1).unwrap();
        let grant = granted(side, &ENTROPY, area, 8);
        let health = Health::new();
        let limit = Limit { pool: &ENTROPY, wait: side.wait, bound: SOON, queue: 0 };
        let mut rng =
            VirtIORng::<AreaHal<Entropy>, _>::new(transport(side, &health, limit)).unwrap();
        let mut buffer = ENTROPY.take(1).unwrap();
        // SAFETY: the device writes the page only in the request below.
        let bytes = unsafe { buffer.slice_mut() };
        assert_eq!(rng.request_entropy(&mut bytes[..100]).unwrap(), 100);
        let mut seen = [0; 101];
        buffer.read(0, &mut seen).unwrap();
        assert!(seen[..100].iter().zip(1..).all(|(byte, n)| *byte == n));
        assert_eq!(seen[100], 0);
        health.check().unwrap();
        assert_eq!((ENTROPY.stats().bounced, ENTROPY.stats().refused), (0, 0));
        drop((rng, buffer));
        given_back(side, &ENTROPY, area, grant);
    });
}

#[test]
fn a_blocking_call_ends_with_a_typed_error_when_the_backend_is_gone() {
    link!(Gone, GONE);
    with_device(Rng::new(Counter { next: 0 }), |side| {
        let area = AreaId::new(1).unwrap();
        let grant = granted(side, &GONE, area, 8);
        let health = Health::new();
        // The backend has no turn while this waits: it is gone.
        let alone = FakeWait::idle();
        let limit = Limit { pool: &GONE, wait: &alone, bound: SOON, queue: 0 };
        let mut rng = VirtIORng::<AreaHal<Gone>, _>::new(transport(side, &health, limit)).unwrap();
        let mut buffer = GONE.take(1).unwrap();
        // SAFETY: the device writes the page only in the requests below.
        let bytes = unsafe { buffer.slice_mut() };
        for _ in 0..20 {
            assert_eq!(rng.request_entropy(&mut bytes[..100]).unwrap(), 0, "nothing was written");
        }
        assert_eq!(health.failure(), Some(Error::TimedOut(crate::error::Awaited::Device)));
        drop((rng, buffer));
        given_back(side, &GONE, area, grant);
    });
}

#[test]
fn the_unmodified_console_driver_prints_and_reads_back() {
    link!(Screen, SCREEN);
    let echo = Echo::<_, 64>::new(Paper::default());
    with_device(Console::new(echo, Size { columns: 80, rows: 25 }), |side| {
        let area = AreaId::new(1).unwrap();
        let grant = granted(side, &SCREEN, area, 16);
        // virtio-drivers keeps the console's buffers on the heap and on the stack.
        SCREEN.set_bounce(Bounce::Pages(4));
        let health = Health::new();
        let limit = Limit { pool: &SCREEN, wait: side.wait, bound: SOON, queue: 1 };
        let mut console =
            VirtIOConsole::<AreaHal<Screen>, _>::new(transport(side, &health, limit)).unwrap();
        let size = console.size().unwrap().unwrap();
        assert_eq!((size.columns, size.rows), (80, 25));
        console.send_bytes(b"hello").unwrap();
        health.check().unwrap();
        (side.turn)();
        let mut back = Vec::new();
        while let Some(byte) = console.recv(true).unwrap() {
            back.push(byte);
        }
        assert_eq!(back, b"hello");
        console.emergency_write(b'!').unwrap();
        (side.turn)();
        drop(console);
        assert_eq!(SCREEN.forget_moved(), 1, "the receive buffer was in flight");
        given_back(side, &SCREEN, area, grant);
    });
}
