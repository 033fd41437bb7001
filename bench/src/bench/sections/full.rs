//! Owns the calls while many grants live, and the end of all of them with their peer. Never leaves
//! one behind.

use super::idle::{calls, refused_offer};
use super::{LIVES, RAM, RAM_END};
use crate::arch::{Regs, smc};
use crate::calls::{HYPERVISOR, framework, message, must, reply};
use crate::lives::{Steps, WAYS, live, named, seen, terms};
use crate::measure::{Clock, Sample};
use crate::spmc::{Area, Borrowers, OWNER, PEER, reclaim, share};
use causeway_abi::join::COPY_MAX_BYTES;
use causeway_abi::{Call, CopyDirection, JoinName, Status};
use causeway_bench::line::Partition;
use causeway_bench::plan::MAX_LIVE;
use causeway_ffa::MemHandle;
use causeway_ffa::call::FrameworkMessage;

/// Where the background lies: below and above it are pages for the grant that is measured.
const BACKGROUND: u64 = RAM + 0x100_0000;
/// From one area to the next: the hole between them takes one more in the middle.
const STRIDE: u64 = 0x2000;

/// Measures with `size` grants alive meanwhile.
pub(super) fn live_grants(clock: &mut Clock, size: u64) {
    let mut handles = [0; MAX_LIVE as usize];
    let handles = &mut handles[..usize::try_from(size).expect("few grants")];
    for (index, handle) in (0..).zip(handles.iter_mut()) {
        *handle = share(clock, &Area::page(BACKGROUND + index * STRIDE)).0;
        place(clock, named(*handle), index);
    }
    single_calls(clock, size, handles);
    let middle = BACKGROUND + (size / 2) * STRIDE + 0x1000;
    let mut worst = Steps::default();
    for base in [RAM, middle, RAM_END] {
        let mut steps = Steps::default();
        for way in WAYS {
            for _ in 0..LIVES {
                live(clock, &Area::page(base), way, &mut steps);
            }
        }
        worst = worst.worse(steps);
    }
    worst.print(clock, "live", size);
    if size == MAX_LIVE && clock.partition == Partition::Causeway {
        calls(clock, "full");
        joins(clock, size);
        // The last that is measured: afterwards nothing new can be offered.
        let mut sample = Sample::default();
        while timed(clock, &mut sample, &message(HYPERVISOR, &Call::Seal))[1] > 0 {}
        clock.print("full", size, "seal", sample);
    }
    match clock.partition {
        Partition::Causeway => destroy_peer(clock, size),
        Partition::Empty => {
            if size == MAX_LIVE {
                refused_offer(clock, "full");
            }
            for handle in handles.iter() {
                let call = Call::Revoke { handle: named(*handle) };
                must(clock.partition, "revoke", &smc(&message(OWNER, &call)));
            }
        }
    }
    for handle in handles.iter() {
        reclaim(clock, *handle);
    }
}

/// Two areas of five pages, joined and parted over and over, with counted copies in between.
fn joins(clock: &mut Clock, size: u64) {
    let sides = [(OWNER, PEER, RAM), (PEER, OWNER, RAM + 0x10_0000)];
    let handles = sides.map(|(owner, _, base)| {
        let area = Area { pages: 5, borrowers: Borrowers::Partition, owner, ..Area::page(base) };
        let (handle, _) = share(clock, &area);
        let offer = Call::Offer { handle: named(handle), terms: terms(None), tag: 0 };
        must(clock.partition, "offer", &smc(&message(owner, &offer)));
        handle
    });
    let name = |peer| JoinName { peer, number: 1 };
    let copy = |length| Call::Copy {
        name: name(PEER),
        direction: CopyDirection::ToPeer,
        from_offset: 64,
        to_offset: 128,
        length,
    };
    let [mut join, mut joined, mut part, mut short, mut long] = [Sample::default(); 5];
    for _ in 0..LIVES {
        for ((owner, peer, _), handle) in sides.into_iter().zip(handles) {
            let call = Call::Join { handle: named(handle), name: name(peer) };
            timed(clock, &mut join, &message(owner, &call));
        }
        timed(clock, &mut joined, &message(OWNER, &Call::Joined { name: name(PEER) }));
        timed(clock, &mut short, &message(OWNER, &copy(64)));
        timed(clock, &mut long, &message(OWNER, &copy(u64::from(COPY_MAX_BYTES))));
        for (owner, peer, _) in sides {
            timed(clock, &mut part, &message(owner, &Call::Part { name: name(peer) }));
        }
    }
    let all = [
        ("join", join),
        ("joined", joined),
        ("copy_64", short),
        ("copy_16k", long),
        ("part", part),
    ];
    for (call, sample) in all {
        clock.print("full", size, call, sample);
    }
    for ((owner, ..), handle) in sides.into_iter().zip(handles) {
        let revoke = Call::Revoke { handle: named(handle) };
        must(clock.partition, "revoke", &smc(&message(owner, &revoke)));
        reclaim(clock, handle);
    }
}

/// One third of the background is offered, one accepted, one mapped.
fn place(clock: &Clock, handle: MemHandle, index: u64) {
    let ask = |from, call: &Call| must(clock.partition, "background", &smc(&message(from, call)));
    ask(OWNER, &Call::Offer { handle, terms: terms(Some(PEER)), tag: 0 });
    // Bells of its own are not what is measured.
    ask(HYPERVISOR, &Call::HypPoll);
    if !index.is_multiple_of(3) {
        let results = ask(PEER, &Call::Inspect { handle, range_index: 0 });
        let seen = seen(clock.partition, results);
        ask(PEER, &Call::Accept { handle, seen });
    }
    if index % 3 == 2 {
        ask(HYPERVISOR, &Call::HypMapping { handle, vm: PEER });
    }
}

/// STATE and INSPECT of each grant, LIST from each of its answers on.
fn single_calls(clock: &mut Clock, size: u64, handles: &[u64]) {
    if clock.partition == Partition::Empty {
        return;
    }
    let mut states = Sample::default();
    let mut inspects = Sample::default();
    for (index, handle) in handles.iter().enumerate() {
        let handle = named(*handle);
        timed(clock, &mut states, &message(OWNER, &Call::State { handle }));
        if index.is_multiple_of(3) {
            let call = Call::Inspect { handle, range_index: 0 };
            timed(clock, &mut inspects, &message(PEER, &call));
        }
    }
    clock.print("live", size, "state_of_each", states);
    clock.print("live", size, "inspect_of_each", inspects);
    let mut lists = Sample::default();
    let mut cursor = 0;
    for _ in 0..=size {
        let results = timed(clock, &mut lists, &message(PEER, &Call::List { cursor }));
        cursor = u32::try_from(results[1]).unwrap_or_default();
        if cursor == 0 {
            break;
        }
    }
    clock.print("live", size, "list_of_each", lists);
}

fn timed(clock: &mut Clock, sample: &mut Sample, regs: &Regs) -> [u64; 4] {
    let (ticks, answer) = clock.time(|| smc(regs));
    sample.add(ticks, 1);
    must(clock.partition, "look", &answer)
}

/// The peer is destroyed: each message lets a bounded number of grants go.
fn destroy_peer(clock: &mut Clock, size: u64) {
    let destroyed = framework(FrameworkMessage::VmDestroyed { info: None, vm: PEER });
    let mut sample = Sample::default();
    loop {
        let (ticks, answer) = clock.time(|| smc(&destroyed));
        sample.add(ticks, 1);
        let status = answer[3] as u32 as i32;
        match status {
            0 => break,
            // RETRY: in progress.
            -7 if sample.count() <= size + 2 => {}
            _ => panic!("VM_DESTROYED: {answer:x?}"),
        }
    }
    clock.print("live", size, "vm_destroyed", sample);
    let created = framework(FrameworkMessage::VmCreated { info: None, vm: PEER });
    let answer = smc(&created);
    assert!(answer[3] as u32 == 0, "VM_CREATED: {answer:x?}");
    // What lived is forgotten, whatever it was.
    let state = Call::State { handle: named(1) };
    assert!(reply(&smc(&message(OWNER, &state))).status == Status::NoSuchGrant);
}
