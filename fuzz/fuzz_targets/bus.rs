//! Owns the fuzz target of the virtio-msg bus: four VMs that say anything, in any order, with grants
//! and FIFOs that come and go. One reply a frame, no VM hears of a link that is not its own, every
//! request ends.
#![no_main]

use arbitrary::{Result, Unstructured};
use causeway_ffa::{EndpointId, MemHandle};
use causeway_virtio::bus::{
    Bus, BusConfig, Effect, Event, GrantFacts, GrantView, LinkPolicy, Opened,
};
use causeway_virtio::fifo::{SLOT_BYTES, Slot};
use causeway_virtio::msg::{Body, BusFeatures, Header, Message};
use libfuzzer_sys::fuzz_target;
use std::collections::{BTreeMap, HashMap};

const ANSWER_TICKS: u64 = 100;

fn vm(raw: u16) -> EndpointId {
    EndpointId::from_raw(raw)
}

fn handle(raw: u64) -> MemHandle {
    MemHandle::new(raw).expect("a handle")
}

struct Grants(HashMap<(u16, u64), GrantFacts>);

impl GrantView for Grants {
    fn grant(&self, owner: EndpointId, handle: MemHandle) -> Option<GrantFacts> {
        self.0.get(&(owner.get(), handle.get())).copied()
    }
}

struct World {
    bus: Bus<4, 4, 2, 4, 2>,
    grants: Grants,
    now: u64,
    uses: BTreeMap<(u16, u64), i32>,
    /// The last thing pushed to each VM: what an answer may be made of.
    heard: BTreeMap<u16, Slot>,
    is_full: bool,
}

impl World {
    fn new() -> Self {
        let features = BusFeatures::NOTIF_TX.with(BusFeatures::FIFO);
        let mut bus =
            Bus::new(BusConfig { ffa_version: 0x1_0001, features, answer_ticks: ANSWER_TICKS });
        for id in 1..=4 {
            bus.add_vm(vm(id)).expect("room");
        }
        for (driver, driver_dev, backend) in
            [(1, 0, Some(vm(2))), (4, 5, Some(vm(2))), (1, 3, None)]
        {
            let link = LinkPolicy { driver: vm(driver), backend, backend_dev: 7, driver_dev };
            bus.add_link(link).expect("room");
        }
        let (grants, uses) = (Grants(HashMap::new()), BTreeMap::new());
        Self { bus, grants, now: 0, uses, heard: BTreeMap::new(), is_full: false }
    }

    fn step(&mut self, event: Event) -> usize {
        let (mut todo, mut replies, mut rounds) = (vec![event], 0, 0);
        while let Some(event) = todo.pop() {
            rounds += 1;
            assert!(rounds < 200, "the bus never comes to rest");
            let effects = self.bus.step(self.now, event, &self.grants);
            if effects.more() {
                todo.push(Event::Continue);
            }
            for effect in effects {
                match effect {
                    Effect::Reply { .. } | Effect::LongReply { .. } => replies += 1,
                    // The device of the partition does nothing, and says so: always at once.
                    Effect::CallLocal { driver, message } => {
                        let header = Header::decode(message.bytes()).expect("well formed");
                        if !header.is_event() && header.token != 0 {
                            let message = Message::error_for(&header).encode();
                            todo.push(Event::LocalMessage { driver, message });
                        }
                    }
                    Effect::Push { vm, slot } if self.is_full => {
                        todo.push(Event::PushFailed { vm, slot });
                    }
                    Effect::Push { vm, slot } => {
                        let message = Message::decode(slot.message_bytes()).expect("well formed");
                        let is_own = matches!(message.body, Body::BusResponse(_));
                        assert!(vm.get() != 3 || is_own, "VM 3 has no link: {message:?}");
                        self.heard.insert(vm.get(), slot);
                    }
                    Effect::OpenFifo { vm, .. } => {
                        todo.push(Event::FifoOpened { vm, opened: Opened::Yes });
                    }
                    Effect::AreaInUse { owner, handle } => {
                        *self.uses.entry((owner.get(), handle.get())).or_default() += 1;
                    }
                    Effect::AreaFree { owner, handle } => {
                        let uses = self.uses.entry((owner.get(), handle.get())).or_default();
                        *uses -= 1;
                        assert!(*uses >= 0, "freed before it was used");
                    }
                    Effect::CloseFifo { .. }
                    | Effect::ForgetFifo { .. }
                    | Effect::Notify { .. } => {}
                }
            }
        }
        replies
    }
}

/// Bytes that are often a message, with small numbers in all fields.
fn message_bytes(input: &mut Unstructured<'_>) -> Result<[u8; SLOT_BYTES]> {
    let mut bytes = [0; SLOT_BYTES];
    let id = match input.int_in_range(0..=3)? {
        0 => input.int_in_range(2..=0x0cu8)?,
        1 => input.int_in_range(0x40..=0x42)?,
        2 => input.int_in_range(0x80..=0x87)?,
        _ => 0xc0,
    };
    let size = *input.choose(&[8, 10, 12, 16, 20, 34, 40, 48])?;
    let head = [input.int_in_range(0..=3)?, id, input.int_in_range(0..=8)?, 0];
    bytes[..4].copy_from_slice(&head);
    bytes[4] = input.int_in_range(0..=8)?;
    bytes[6] = size;
    for byte in &mut bytes[8..48] {
        *byte = if input.arbitrary()? { 0 } else { input.int_in_range(0..=16)? };
    }
    bytes[112] = input.int_in_range(0..=4)?;
    Ok(bytes)
}

fn act(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let id = input.int_in_range(1..=4u16)?;
    match input.int_in_range(0..=11)? {
        0 => {
            let bytes = message_bytes(input)?;
            let words = core::array::from_fn(|n| {
                u64::from_le_bytes(bytes[8 * n..8 * n + 8].try_into().expect("eight"))
            });
            assert_eq!(world.step(Event::LongFrame { vm: vm(id), words }), 1, "one reply a frame");
        }
        1 => {
            let bytes = message_bytes(input)?;
            let words = core::array::from_fn(|n| {
                u64::from_le_bytes(bytes[8 * n..8 * n + 8].try_into().expect("eight"))
            });
            assert_eq!(world.step(Event::Frame { vm: vm(id), words }), 1, "one reply a frame");
        }
        2..=4 => {
            let slot = Slot::from_bytes(message_bytes(input)?);
            assert_eq!(world.step(Event::FifoMessage { vm: vm(id), slot }), 0);
        }
        5 | 6 => {
            // An answer to what the VM heard last, with a patched payload.
            let Some(slot) = world.heard.get(&id) else { return Ok(()) };
            let mut bytes = *slot.as_bytes();
            bytes[0] |= 1;
            let at = 8 + input.choose_index(40)?;
            bytes[at] = input.int_in_range(0..=16)?;
            world.step(Event::FifoMessage { vm: vm(id), slot: Slot::from_bytes(bytes) });
        }
        7 => {
            let raw = u64::from(input.int_in_range(0..=16u8)?);
            let generation = input.int_in_range(1..=3)?;
            let peer = *input.choose(&[None, Some(vm(2))])?;
            let page_count = *input.choose(&[2, 16])?;
            let facts = GrantFacts { peer, generation, page_count, writable: true, usable: true };
            world.grants.0.entry((id, raw)).or_insert(facts);
        }
        8 => {
            let raw = u64::from(input.int_in_range(0..=16u8)?);
            if world.grants.0.remove(&(id, raw)).is_some() {
                world.uses.remove(&(id, raw));
                world.step(Event::GrantGone { owner: vm(id), handle: handle(raw) });
            }
        }
        9 => {
            let event = match input.int_in_range(0..=2)? {
                0 => Event::VmGone { vm: vm(id) },
                1 => Event::FifoBroken { vm: vm(id) },
                _ => Event::Kick { vm: vm(id) },
            };
            world.step(event);
        }
        10 => world.is_full = input.ratio(1, 4)?,
        _ => {
            world.now += 60;
            world.step(Event::Tick);
        }
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let mut world = World::new();
    while !input.is_empty() && act(&mut world, &mut input).is_ok() {}
    world.now += 10 * ANSWER_TICKS;
    world.step(Event::Tick);
    assert_eq!(world.bus.next_deadline(), None, "nobody waits for ever");
});
