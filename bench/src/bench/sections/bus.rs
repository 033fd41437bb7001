//! Owns the calls of the virtio-msg bus: a FIFO that is empty, and one message at a time. Never
//! leaves a FIFO behind.

use super::idle::repeated;
use super::{CALLS, RAM};
use crate::arch::{read_ram, smc, write_ram};
use crate::calls::{framed, message, must};
use crate::lives::{named, terms};
use crate::measure::{Clock, Sample};
use crate::spmc::{Area, Borrowers, OWNER, reclaim, share};
use causeway_abi::Call;
use causeway_ffa::EndpointId;
use causeway_virtio::fifo::{Fifo, FifoMemory, OutOfFifo, Side, Slot, format};
use causeway_virtio::msg::{Body, BusRequest, Encoded, Message};

/// The FIFO's two pages in the owner's RAM.
struct Memory {
    base: u64,
    pages: u64,
}

impl FifoMemory for Memory {
    fn len_bytes(&self) -> usize {
        usize::try_from(self.pages * 4096).expect("a few MiB")
    }

    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfFifo> {
        for (address, byte) in (self.base + offset as u64..).zip(into) {
            *byte = read_ram(address);
        }
        Ok(())
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfFifo> {
        for (address, byte) in (self.base + offset as u64..).zip(from) {
            write_ram(address, *byte);
        }
        Ok(())
    }

    // The partition runs only inside our calls: the order needs no barrier.
    fn load_acquire_u16(&self, offset: usize) -> Result<u16, OutOfFifo> {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_release_u16(&self, offset: usize, value: u16) -> Result<(), OutOfFifo> {
        self.write(offset, &value.to_le_bytes())
    }
}

/// BUS_KICK of an empty FIFO, and with one request that the partition answers itself.
pub(super) fn fifo(clock: &mut Clock) {
    let memory = Memory { base: RAM, pages: 2 };
    format(&memory).expect("two pages hold a FIFO");
    let area = Area { pages: 2, borrowers: Borrowers::Partition, ..Area::page(RAM) };
    let (raw, _) = share(clock, &area);
    let handle = named(raw);
    let offer = Call::Offer { handle, terms: terms(None), tag: 0 };
    must(clock.partition, "offer", &smc(&message(OWNER, &offer)));
    let configure = BusRequest::FifoConfigure { handle, page_count: 2, driver_notif_id: 0 };
    let configured = smc(&framed(OWNER, frame(configure)));
    assert!(configured[3] != 0, "FIFO_CONFIGURE: {configured:x?}");
    let kick = message(OWNER, &Call::BusKick);
    let answer = repeated(clock, "bus", "bus_kick_empty", &kick);
    must(clock.partition, "bus_kick", &answer);

    let mut ends = Fifo::attach(&memory, Side::Driver).expect("we formatted it");
    let mut sample = Sample::default();
    for token in 0..CALLS {
        let ping = BusRequest::Ping { echo: token };
        let slot = Slot::new(&encoded(ping, token as u16), EndpointId::from_raw(0));
        ends.push(&memory, &slot).expect("the partition empties the FIFO");
        let (ticks, answer) = clock.time(|| smc(&kick));
        let results = must(clock.partition, "bus_kick", &answer);
        assert!(results[0] == 1, "the message was not taken: {results:x?}");
        ends.pop(&memory).expect("a whole FIFO").expect("an answer to each PING");
        sample.add(ticks, 1);
    }
    clock.print("bus", 0, "bus_kick_ping", sample);
    repeated(clock, "bus", "ping_by_frame", &framed(OWNER, frame(BusRequest::Ping { echo: 1 })));
    // The FIFO is the partition's to use until the bus forgets its owner.
    smc(&framed(OWNER, frame(BusRequest::Reset)));
    must(clock.partition, "revoke", &smc(&message(OWNER, &Call::Revoke { handle })));
    reclaim(clock, raw);
}

/// What it takes the partition to map an area and to unmap it: an area becomes a FIFO and is none any
/// more.
pub(super) fn mapped(clock: &mut Clock, pages: u64) {
    format(&Memory { base: RAM, pages }).expect("the pages hold a FIFO");
    let area = Area { pages, borrowers: Borrowers::Partition, ..Area::page(RAM) };
    let (raw, _) = share(clock, &area);
    let handle = named(raw);
    let offer = Call::Offer { handle, terms: terms(None), tag: 0 };
    must(clock.partition, "offer", &smc(&message(OWNER, &offer)));
    let page_count = u16::try_from(pages).expect("at most 4,096");
    let configure =
        framed(OWNER, frame(BusRequest::FifoConfigure { handle, page_count, driver_notif_id: 0 }));
    let reset = framed(OWNER, frame(BusRequest::Reset));
    let [mut map, mut unmap] = [Sample::default(); 2];
    // The partition prints a line for the first few; those are not what is measured.
    for _ in 0..CALLS / 2 {
        smc(&configure);
        smc(&reset);
    }
    for _ in 0..CALLS {
        let (ticks, answer) = clock.time(|| smc(&configure));
        assert!(answer[3] != 0, "FIFO_CONFIGURE: {answer:x?}");
        map.add(ticks, 1);
        let (ticks, _) = clock.time(|| smc(&reset));
        unmap.add(ticks, 1);
    }
    clock.print("mapped", pages, "map", map);
    clock.print("mapped", pages, "unmap", unmap);
    must(clock.partition, "revoke", &smc(&message(OWNER, &Call::Revoke { handle })));
    reclaim(clock, raw);
}

fn encoded(request: BusRequest, token: u16) -> Encoded {
    Message { dev_num: 0, token, body: Body::BusRequest(request) }.encode()
}

fn frame(request: BusRequest) -> [u64; 5] {
    encoded(request, 0).to_frame().expect("bus requests are short")
}
