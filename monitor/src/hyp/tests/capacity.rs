//! Full stores: what does not fit changes nothing, and one release mends it.

use super::machine::{Refused, TO_PEER, on_el3, owner_and_peer, pages};
use crate::arch::world;
use crate::hyp::memory::MEMORY;
use causeway_ffa::FfaError;
use causeway_monitor::config::BootConfig;
use causeway_monitor::layout::FRONTEND;

const ALL_TO_VM_1: BootConfig<'_> = BootConfig {
    cores: 1,
    disk: causeway_monitor::layout::PhysRange { base: 0x5000_0000, len_bytes: 0 },
    end: causeway_monitor::config::EndRule::All,
    controller: FRONTEND,
    confirm: causeway_monitor::config::Confirm::Always,
    store_check: causeway_monitor::config::StoreCheck::Quota,
    trace: causeway_monitor::config::Trace::Nothing,
    store_quota: [64 << 10, 0, 0],
    vcpus: [1; 3],
    commands: [""; 3],
};

#[test]
fn four_hundred_fifty_grants_live_at_once_and_the_one_that_does_not_fit_changes_nothing() {
    on_el3(|| {
        MEMORY.lock().configure(&ALL_TO_VM_1);
        let (owner, peer) = owner_and_peer();
        let page = |index: u32| [pages(2 * index, 1)];
        let mut handles: Vec<_> =
            (0..450).map(|index| owner.grant(TO_PEER, &page(index)).unwrap()).collect();
        for handle in &handles {
            peer.accept(*handle).unwrap();
            peer.retrieve(*handle, &TO_PEER).unwrap();
        }
        // What is left of the store, without offers.
        let more: Vec<_> =
            (450..481).map(|index| owner.send(&TO_PEER, &page(index)).unwrap()).collect();
        let full = MEMORY.lock().holdings(FRONTEND);
        assert_eq!((full.shares, full.mapped), (481, 450));
        let sent = world(|world| world.floor.spmc().transactions());
        let refused = owner.send(&TO_PEER, &page(481));
        let wanted = if cfg!(feature = "raw") { Refused::Below } else { Refused::Here };
        assert_eq!(refused, Err(wanted(FfaError::NoMemory)));
        assert_eq!(MEMORY.lock().holdings(FRONTEND), full);
        assert_eq!(world(|world| world.floor.spmc().transactions()), sent);
        owner.reclaim(more[0]).unwrap();
        handles.push(owner.send(&TO_PEER, &page(481)).unwrap());
        for handle in more.into_iter().skip(1).chain(handles.pop()) {
            owner.reclaim(handle).unwrap();
        }
        for handle in handles {
            peer.relinquish(handle).unwrap();
            peer.release(handle).unwrap();
            owner.reclaim(handle).unwrap();
        }
    });
}

#[test]
fn an_area_of_512_mib_and_one_of_2048_ranges_live_beside_others() {
    on_el3(|| {
        MEMORY.lock().configure(&ALL_TO_VM_1);
        let (owner, peer) = owner_and_peer();
        let many: Vec<_> = (0..2048).map(|index| pages(2 * index, 1)).collect();
        let areas = [vec![pages(8192, 131_072)], many, vec![pages(7000, 1)]];
        let handles = areas.map(|ranges| {
            let handle = owner.grant(TO_PEER, &ranges).unwrap();
            peer.accept(handle).unwrap();
            handle
        });
        let at = peer.retrieve(handles[0], &TO_PEER).unwrap();
        assert!(peer.may_write(at) && peer.may_write(at + (512 << 20) - 1));
        assert!(!peer.may_write(at + (512 << 20)));
        peer.relinquish(handles[0]).unwrap();
        for handle in handles {
            peer.release(handle).unwrap();
            owner.reclaim(handle).unwrap();
        }
    });
}

// The raw build puts what is over quota to the SPMC.
#[cfg(not(feature = "raw"))]
#[test]
fn a_vm_at_its_quota_changes_nothing_for_another() {
    on_el3(|| {
        let (owner, peer) = owner_and_peer();
        let local = causeway_abi::GrantTerms { peer: None, ..TO_PEER };
        let mut handles = Vec::new();
        let refused = loop {
            match peer.send(&local, &[pages(2 * handles.len() as u32, 1)]) {
                Ok(handle) => handles.push(handle),
                Err(refused) => break refused,
            }
            assert!(handles.len() < 1000, "there is no quota");
        };
        assert_eq!((refused, handles.len()), (Refused::Here(FfaError::NoMemory), 68));
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        owner.revoke(handle).unwrap();
        owner.reclaim(handle).unwrap();
        for handle in handles {
            peer.reclaim(handle).unwrap();
        }
    });
}
