//! Many processors at once, and kills among them: no deadlock, and true books afterwards.

use super::machine::{ALL, TO_PEER, Vm, look, on_el3, owner_and_peer, pages, pass};
use crate::arch::world;
use crate::hyp::dispatch::call;
use crate::hyp::lives::carry_out;
use crate::hyp::state;
use causeway_abi::{Call as Service, GrantTerms, NO_HANDLE};
use causeway_ffa::MemHandle;
use causeway_monitor::layout::{Processor, VmIndex};
use causeway_monitor::lifecycle::{Outcome, Step};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

const ROUNDS: u32 = 150;

/// Works as a processor does: each turn under its lock, and only while its VM may run.
fn while_it_runs(
    processor: Processor,
    mut goes_on: impl FnMut(u32) -> bool,
    mut turn: impl FnMut(),
) {
    for round in 0.. {
        if !goes_on(round) {
            return;
        }
        let _vcpu = state::vcpu(processor).lock();
        if !state::LIVES[processor.vm.index()].lock().may_run() {
            return;
        }
        turn();
    }
}

/// VM 1 grants, and takes back what it can; at least until so many retrieves were seen.
fn own(owner: Vm, done: &AtomicBool, retrieves: u64) {
    let mut live: Vec<MemHandle> = Vec::new();
    let mut next = 0;
    let goes_on = |round| round < ROUNDS || state::COUNTERS.retrieves.get() < retrieves;
    while_it_runs(Processor { vm: owner.0, number: 0 }, goes_on, || {
        next = (next + 2) % 400;
        live.extend(owner.grant(TO_PEER, &[pages(next, 1)]));
        if next % 3 == 0 {
            for handle in &live {
                let _refused_or_not = owner.revoke(*handle);
            }
        }
        live.retain(|handle| owner.reclaim(*handle).is_err());
        std::thread::yield_now();
    });
    done.store(true, Ordering::SeqCst);
}

/// VM 2 takes up what it is offered, and lets go of it, until VM 1 is done.
fn borrow(peer: Vm, done: &AtomicBool) {
    let goes_on = |_| !done.load(Ordering::SeqCst);
    while_it_runs(Processor { vm: peer.0, number: 0 }, goes_on, || {
        let Ok([offer, ..]) = peer.ask(Service::List { cursor: 0 }) else { return };
        let handle = MemHandle::new(offer).filter(|_| offer != NO_HANDLE);
        let Some(handle) = handle else { return };
        if peer.accept(handle).is_ok() && peer.retrieve(handle, &TO_PEER).is_ok() {
            let _refused_or_not = peer.relinquish(handle);
            let _refused_or_not = peer.release(handle);
        }
    });
}

/// A processor of VM 3 that keeps the partition and the monitor busy.
fn disturb(number: usize) {
    let processor = Processor { vm: ALL[2].0, number };
    let mut word = 1_u64;
    while_it_runs(
        processor,
        |round| round < ROUNDS,
        || {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(7);
            for function in [0xc400_006f, 0xc400_0073, 0x8400_0077, 0x8400_0082, 0xc600_0004] {
                let parties = 3 << 16 | 0x8001;
                call(processor, &[function, parties, 0, 0x22, word, 0, 0, 0]);
            }
        },
    );
}

/// Kills a VM as its home core does.
fn kill(vm: VmIndex) {
    state::LIVES[vm.index()].lock().kill();
    for _ in 0..10_000 {
        let step = state::LIVES[vm.index()].lock().next_step();
        let Some(step) = step else { return };
        match carry_out(vm, step, 0) {
            Outcome::Done => state::LIVES[vm.index()].lock().completed(),
            Outcome::Again { .. } if step == Step::Reclaim => return,
            Outcome::Again { .. } => std::thread::yield_now(),
            Outcome::Impossible => panic!("{step:?} is impossible"),
        }
    }
    panic!("the end of vm {} does not come", vm.id().get());
}

#[test]
fn five_processors_and_a_poll_at_once_neither_block_each_other_nor_lose_anything() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        ALL[2].map_buffers();
        let [granted, done] = [const { AtomicBool::new(false) }; 2];
        let retrieves = state::COUNTERS.retrieves.get() + 3;
        scope(|threads| {
            let poller = threads.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    look();
                    std::thread::yield_now();
                }
            });
            let all = [
                threads.spawn(|| own(owner, &granted, retrieves)),
                threads.spawn(|| borrow(peer, &granted)),
                threads.spawn(|| disturb(0)),
                threads.spawn(|| disturb(1)),
            ];
            all.into_iter().for_each(|thread| thread.join().expect("no panic"));
            done.store(true, Ordering::SeqCst);
            poller.join().expect("no panic");
        });
        assert!(state::COUNTERS.retrieves.get() >= retrieves, "nothing was borrowed");
        end_all();
    });
}

#[test]
fn a_vm_that_is_killed_in_the_middle_of_its_calls_takes_nothing_with_it() {
    for victim in [0, 1] {
        static VICTIM: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        VICTIM.store(victim, Ordering::SeqCst);
        on_el3(|| {
            let victim = ALL[VICTIM.load(Ordering::SeqCst)];
            let (owner, peer) = owner_and_peer();
            let granted = AtomicBool::new(false);
            scope(|threads| {
                let all = [
                    threads.spawn(|| own(owner, &granted, 0)),
                    threads.spawn(|| borrow(peer, &granted)),
                ];
                let reclaims = || state::COUNTERS.reclaims.get();
                let begun = reclaims();
                while reclaims() < begun + 5 && !all.iter().all(|thread| thread.is_finished()) {
                    std::thread::yield_now();
                }
                kill(victim.0);
                all.into_iter().for_each(|thread| thread.join().expect("no panic"));
            });
            assert!(!victim.borrows());
            end_all();
        });
    }
}

/// Ends every VM, as often as deadlines make it necessary.
fn end_all() {
    for _ in 0..4 {
        VmIndex::ALL.into_iter().for_each(kill);
        pass(2_100);
    }
    let held = VmIndex::ALL.map(|vm| state::LIVES[vm.index()].lock().next_step());
    assert_eq!(held, [None; 3]);
    assert_eq!(world(|world| world.floor.spmc().transactions()), 0);
}

/// An area of VM 3's own, so that its processors have something to lose.
#[test]
fn two_processors_of_a_vm_share_its_buffers_one_call_at_a_time() {
    on_el3(|| {
        let vm = ALL[2];
        vm.map_buffers();
        let local = GrantTerms { peer: None, ..TO_PEER };
        let handle = vm.grant(local, &[pages(0, 1)]).unwrap();
        scope(|threads| {
            let busy = threads.spawn(|| disturb(1));
            for _ in 0..ROUNDS {
                vm.ask(Service::State { handle }).unwrap();
            }
            busy.join().expect("no panic");
        });
        vm.revoke(handle).unwrap();
        vm.reclaim(handle).unwrap();
    });
}
