//! The life of a grant through the monitor: who may map when, and what ends it.

use super::machine::{
    ALL, After, Refused, TO_PEER, Vm, look, on_a_machine, on_el3, owner_and_peer, pages, pass,
};
use crate::arch::world;
use crate::hyp::state::COUNTERS;
use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
use causeway_fake_spmc::Personality;
use causeway_ffa::{FfaError, Transfer};
use causeway_monitor::layout::{BACKEND, RAM_IPA};
use causeway_monitor::lifecycle::{Outcome, Step};

#[test]
fn a_peer_sees_the_memory_from_retrieve_to_relinquish_and_no_longer() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 3), pages(5, 1)]).unwrap();
        peer.accept(handle).unwrap();
        assert!(!peer.borrows());
        let at = peer.retrieve(handle, &TO_PEER).unwrap();
        assert!(peer.may_write(at) && peer.may_write(at + 3 * 4096));
        assert!(!peer.may_write(at + 4 * 4096));
        let invalidations = world(|world| world.invalidations);
        peer.relinquish(handle).unwrap();
        assert!(!peer.borrows());
        assert_eq!(world(|world| world.invalidations), invalidations + 1);
        assert_eq!(peer.release(handle), Ok(LifeState::Released));
        owner.reclaim(handle).unwrap();
    });
}

#[test]
fn nothing_is_reclaimed_while_the_peer_maps_or_the_partition_holds() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        assert_eq!(owner.reclaim(handle), Err(Refused::Below(FfaError::Denied)));
        peer.accept(handle).unwrap();
        peer.retrieve(handle, &TO_PEER).unwrap();
        // The raw build lets the SPMC refuse this one: the partition's lock alone holds.
        let denied = if cfg!(feature = "raw") { Refused::Below } else { Refused::Here };
        assert_eq!(owner.reclaim(handle), Err(denied(FfaError::Denied)));
        // The peer's word is not enough.
        assert_eq!(peer.release(handle), Ok(LifeState::Releasing));
        assert_eq!(owner.reclaim(handle), Err(denied(FfaError::Denied)));
        peer.relinquish(handle).unwrap();
        owner.reclaim(handle).unwrap();
    });
}

#[test]
fn a_retrieve_that_the_partition_has_not_seen_accepted_maps_nothing() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.send(&TO_PEER, &[pages(0, 1)]).unwrap();
        let denied = Err(Refused::Here(FfaError::Denied));
        let refused = |met| {
            if cfg!(feature = "raw") {
                matches!(met, Err(Refused::Below(_)))
            } else {
                met == denied
            }
        };
        assert!(refused(peer.retrieve(handle, &TO_PEER)));
        owner.ask(causeway_abi::Call::Offer { handle, terms: TO_PEER, tag: 0 }).unwrap();
        assert!(refused(peer.retrieve(handle, &TO_PEER)));
        assert!(!peer.borrows());
        owner.revoke(handle).unwrap();
        assert!(refused(peer.retrieve(handle, &TO_PEER)));
        owner.reclaim(handle).unwrap();
    });
}

#[test]
fn what_is_lent_the_owner_cannot_touch_until_it_reclaims() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let terms = GrantTerms { kind: GrantKind::Lend, ..TO_PEER };
        let page = RAM_IPA + 0x1_0000;
        let handle = owner.grant(terms, &[pages(0, 2)]).unwrap();
        assert!(!owner.may_write(page) && !owner.may_write(page + 4096));
        assert!(owner.may_write(page - 1) && owner.may_write(page + 8192));
        peer.accept(handle).unwrap();
        let at = peer.retrieve(handle, &terms).unwrap();
        assert!(peer.may_write(at));
        peer.relinquish(handle).unwrap();
        peer.release(handle).unwrap();
        assert!(!owner.may_write(page));
        owner.reclaim(handle).unwrap();
        assert!(owner.may_write(page) && owner.may_write(page + 4096));
    });
}

#[test]
fn nobody_gets_more_than_was_granted() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let terms = GrantTerms { permission: Permission::ReadOnly, ..TO_PEER };
        let handle = owner.grant(terms, &[pages(0, 1)]).unwrap();
        peer.accept(handle).unwrap();
        assert!(peer.retrieve(handle, &TO_PEER).is_err());
        assert!(!peer.borrows());
        let at = peer.retrieve(handle, &terms).unwrap();
        assert!(peer.borrows() && !peer.may_write(at));
        peer.relinquish(handle).unwrap();
        peer.release(handle).unwrap();
        owner.reclaim(handle).unwrap();
    });
}

#[test]
fn fragments_of_two_vms_interleave_and_reach_the_spmc_whole() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let own = |count| -> Vec<_> { (0..count).map(|index| pages(2 * index, 1)).collect() };
        let local = GrantTerms { peer: None, ..TO_PEER };
        let bytes = [owner, peer].map(|vm| vm.descriptor(&local, &own(100)));
        let shares = world(|world| world.floor.spmc().transactions());
        // Each first fragment, then the rest of each: the SPMC has seen nothing in between.
        let begun = [owner, peer].map(|vm| {
            let bytes = &bytes[vm.0.index()];
            vm.put(&bytes[..512]);
            let lengths = causeway_ffa::Lengths::new(bytes.len() as u32, 512).unwrap();
            let send = causeway_ffa::Call::MemSend { kind: Transfer::Share, lengths };
            let answer = vm.call(&send).unwrap();
            let causeway_ffa::Answer::MemFragRx { handle, offset, .. } = answer else { panic!() };
            assert_eq!(offset, 512);
            handle
        });
        assert_eq!(world(|world| world.floor.spmc().transactions()), shares);
        let handles = [owner, peer].map(|vm| {
            let rest = &bytes[vm.0.index()][512..];
            vm.put(rest);
            let call = causeway_ffa::Call::MemFragTx {
                handle: begun[vm.0.index()],
                length: rest.len() as u32,
                endpoint: Default::default(),
            };
            let causeway_ffa::Answer::Success(success) = vm.call(&call).unwrap() else { panic!() };
            success.handle().unwrap()
        });
        assert_eq!(world(|world| world.floor.spmc().transactions()), shares + 2);
        owner.reclaim(handles[0]).unwrap();
        peer.reclaim(handles[1]).unwrap();
    });
}

#[test]
fn a_dead_peer_maps_nothing_and_its_owner_reclaims() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        peer.accept(handle).unwrap();
        peer.retrieve(handle, &TO_PEER).unwrap();
        assert_eq!(peer.die(), Outcome::Done);
        assert!(!peer.borrows());
        owner.reclaim(handle).unwrap();
    });
}

#[test]
fn a_dead_owners_pages_wait_until_the_peer_is_unmapped_at_the_deadline() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        peer.accept(handle).unwrap();
        let at = peer.retrieve(handle, &TO_PEER).unwrap();
        assert_eq!(owner.die(), Outcome::Again { in_ms: 2 });
        look();
        assert!(peer.may_write(at), "the peer has until the deadline");
        let forced = COUNTERS.forced_unmaps.get();
        pass(2_100);
        assert!(!peer.borrows());
        assert_eq!(COUNTERS.forced_unmaps.get(), forced + 1);
        assert_eq!(owner.step(Step::Reclaim), Outcome::Done);
    });
}

#[test]
fn a_killed_owner_in_each_phase_leaves_nothing_behind() {
    for phase in 0..5 {
        static PHASE: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
        PHASE.store(phase, core::sync::atomic::Ordering::SeqCst);
        on_a_machine(Personality::EL3, After::Clean, || {
            let phase = PHASE.load(core::sync::atomic::Ordering::SeqCst);
            let (owner, peer) = owner_and_peer();
            let handle = owner.send(&TO_PEER, &[pages(0, 1)]).unwrap();
            if phase >= 1 {
                owner.ask(causeway_abi::Call::Offer { handle, terms: TO_PEER, tag: 0 }).unwrap();
            }
            if phase >= 2 {
                peer.accept(handle).unwrap();
            }
            if phase >= 3 {
                peer.retrieve(handle, &TO_PEER).unwrap();
            }
            if phase >= 4 {
                peer.relinquish(handle).unwrap();
            }
            let mut end = owner.die();
            for _ in 0..3 {
                if end == Outcome::Done {
                    break;
                }
                pass(2_100);
                end = owner.step(Step::Reclaim);
            }
            assert_eq!(end, Outcome::Done, "phase {phase}");
            // The dead owner's handle is nobody's: the peer can do nothing with it.
            assert!(peer.retrieve(handle, &TO_PEER).is_err());
            assert!(peer.release(handle).is_err());
        });
    }
}

#[test]
fn both_may_die_in_either_order() {
    for order in [[0, 1], [1, 0]] {
        static FIRST: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
        FIRST.store(order[0], core::sync::atomic::Ordering::SeqCst);
        on_el3(|| {
            let first = FIRST.load(core::sync::atomic::Ordering::SeqCst);
            let (owner, peer) = owner_and_peer();
            let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
            peer.accept(handle).unwrap();
            peer.retrieve(handle, &TO_PEER).unwrap();
            let _first = ALL[first].die();
            assert_eq!(ALL[1 - first].die(), Outcome::Done);
            assert_eq!(ALL[first].step(Step::Reclaim), Outcome::Done);
        });
    }
}

#[test]
fn a_vm_that_was_killed_cannot_be_taken_for_its_successor() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        peer.accept(handle).unwrap();
        assert_eq!(peer.die(), Outcome::Done);
        assert_eq!(
            crate::hyp::partition::announce_created(BACKEND),
            causeway_monitor::lifecycle::Verdict::Agreed
        );
        peer.map_buffers();
        assert!(peer.retrieve(handle, &TO_PEER).is_err());
        assert!(peer.accept(handle).is_err());
        owner.reclaim(handle).unwrap();
        // The new one is granted to anew.
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        peer.accept(handle).unwrap();
        peer.retrieve(handle, &TO_PEER).unwrap();
        peer.relinquish(handle).unwrap();
        peer.release(handle).unwrap();
        owner.reclaim(handle).unwrap();
    });
}

#[test]
fn a_vms_own_name_is_the_only_one_it_can_speak_in() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        let third = Vm(causeway_monitor::layout::VmIndex::ALL[2]);
        third.map_buffers();
        assert!(third.retrieve(handle, &TO_PEER).is_err());
        assert!(third.reclaim(handle).is_err());
        assert!(peer.reclaim(handle).is_err());
        for sender in [0, 1, 2, 0x8001] {
            let regs = [0xc400_006f, sender << 16 | 0x8001, 0, 0x21, handle.get(), 0, 0, 0];
            let before = world(|world| world.floor.partition_calls());
            let answer = third.raw(&regs);
            if cfg!(feature = "raw") {
                assert_ne!(answer[3], 0x21, "it was answered as VM {sender}");
            } else {
                assert_eq!(answer[0], 0x8400_0060);
                assert_eq!(world(|world| world.floor.partition_calls()), before);
            }
        }
        owner.revoke(handle).unwrap();
        owner.reclaim(handle).unwrap();
    });
}
