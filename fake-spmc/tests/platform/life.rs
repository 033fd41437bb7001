//! The life of grants, step by step, on every SPMC that lets it be lived.

use super::{NOTHING, boot, boot_with, shared_with, vm};
use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission, Status};
use causeway_fake_spmc::{Guest, Mediation, Personality, Platform, Refusal, Setup};
use causeway_ffa::{FfaError, MemHandle};

const RW: Permission = Permission::ReadWrite;
/// Those SPMCs whose direct messages carry a frame whole.
const WHOLE: [Personality; 2] = [Personality::EL3, Personality::HAFNIUM];

/// Steps 1 to 4 of architecture.md: B maps what A granted.
fn mapped(a: &Guest, b: &Guest, kind: GrantKind) -> MemHandle {
    let terms = GrantTerms { kind, ..shared_with(Some(b), RW) };
    let handle = a.grant(terms, &[a.pages(0, 2), a.pages(4, 1)]).unwrap();
    assert_eq!(b.first_offer(), Some(handle));
    let seen = b.accept(handle).unwrap();
    b.retrieve(handle, &seen).unwrap();
    handle
}

fn given_back(platform: &Platform, a: &Guest, b: &Guest, handle: MemHandle) {
    b.relinquish(handle).unwrap();
    assert_eq!(b.release(handle), Ok(LifeState::Released));
    a.reclaim(handle).unwrap();
    assert_eq!(platform.leftovers(), NOTHING);
}

#[test]
fn a_grant_is_offered_accepted_used_and_given_back() {
    for personality in WHOLE {
        let (platform, [a, b, _]) = boot(personality);
        let handle = mapped(&a, &b, GrantKind::Share);
        let address = a.pages(1, 1).start().get();
        assert!(a.write(address, b"over the fence"));
        assert_eq!(b.read(address, 14).unwrap(), b"over the fence");
        assert_eq!(a.reclaim(handle), Err(FfaError::Denied), "B maps, and the partition holds");
        given_back(&platform, &a, &b, handle);
        assert_eq!(platform.machine().pages(|pages| pages.mapped_pages(b.id())), 64);
    }
}

/// Row "{SP, VM} lend": accepted | denied | denied.
#[test]
fn lent_memory_is_the_borrowers_alone_where_the_spmc_takes_it() {
    let (platform, [a, b, _]) = boot(Personality::EL3);
    let handle = mapped(&a, &b, GrantKind::Lend);
    let address = a.pages(0, 1).start().get();
    let rights = |guest: &Guest| {
        platform.machine().pages(|pages| pages.maps(guest.id(), guest_page(address), RW))
    };
    assert_eq!((rights(&a), rights(&b)), (false, true));
    given_back(&platform, &a, &b, handle);
    assert_eq!((rights(&a), rights(&b)), (true, false));
    let (platform, [a, b, _]) = boot(Personality::HAFNIUM);
    let terms = GrantTerms { kind: GrantKind::Lend, ..shared_with(Some(&b), RW) };
    assert_eq!(a.grant(terms, &[a.pages(0, 1)]), Err(Refusal::Ffa(FfaError::Denied)));
    assert_eq!(platform.leftovers(), NOTHING);
}

fn guest_page(address: u64) -> causeway_ffa::PageRange {
    causeway_fake_spmc::range(address, 1)
}

/// "Where the hypervisor mediates one secure borrower only, the same area API serves local devices."
#[test]
fn a_local_area_is_active_at_once_and_not_mapped_until_it_is_used() {
    for personality in WHOLE {
        let (platform, [a, _, _]) = boot(personality);
        let handle = a.grant(shared_with(None, RW), &[a.pages(0, 2)]).unwrap();
        assert_eq!(a.state(handle), Ok(LifeState::Active));
        let mapped = platform.machine().pages(|pages| pages.mapped_pages(vm(0x8001)));
        assert_eq!(mapped, 0);
        assert_eq!(a.revoke(handle), Ok(LifeState::Released));
        a.reclaim(handle).unwrap();
        assert_eq!(platform.leftovers(), NOTHING);
    }
}

/// Row "direct messages": OP-TEE hands the lower 32 bits of each argument to the partition. Its handles
/// have bit 45, so that no OFFER names one, and no frame that needs an upper half means what its sender
/// meant. Until frames travel in parts, an area can be shared on OP-TEE and taken back, and nothing
/// more: it is refused, not misread.
#[test]
fn under_optee_no_frame_with_an_upper_half_comes_through_and_none_is_misread() {
    let (platform, [a, b, _]) = boot(Personality::OPTEE);
    let version = a.ask(causeway_abi::Call::Version { minor: 0 });
    assert!(version.is_ok(), "a frame of 32-bit words is the same in both forms");
    let handle = a.send_for(&shared_with(None, RW), &[a.pages(0, 1)]).unwrap();
    assert!(handle.get() >> 32 != 0);
    let offered = a.offer(handle, shared_with(None, RW));
    assert!(matches!(offered, Err(Refusal::Service(_))), "{offered:?}");
    assert_eq!(platform.partition(|partition| partition.broker().grants().count()), 0);
    a.reclaim(handle).unwrap();
    // Row "{SP, VM} share": denied.
    let both = a.grant(shared_with(Some(&b), RW), &[a.pages(0, 1)]);
    assert_eq!(both, Err(Refusal::Ffa(FfaError::Denied)));
    assert_eq!(platform.leftovers(), NOTHING);
}

#[test]
fn a_vm_maps_nothing_before_it_has_accepted() {
    for personality in WHOLE {
        let (platform, [a, b, c]) = boot(personality);
        let handle = a.grant(shared_with(Some(&b), RW), &[a.pages(0, 1)]).unwrap();
        let seen = b.inspect(handle).unwrap();
        assert_eq!(b.retrieve(handle, &seen), Err(FfaError::Denied));
        assert!(c.retrieve(handle, &seen).is_err());
        assert_eq!(c.inspect(handle), Err(Refusal::Service(Status::NoSuchGrant)));
        assert_eq!(platform.machine().pages(|pages| pages.violations().to_vec()), []);
    }
}

/// KB-22: a borrower's unverified word is no release.
#[test]
fn kb_22_the_lock_stays_while_the_hypervisor_maps_the_peer() {
    for personality in WHOLE {
        let (platform, [a, b, _]) = boot(personality);
        let handle = mapped(&a, &b, GrantKind::Share);
        assert_eq!(b.release(handle), Ok(LifeState::Releasing), "it says so, and still maps");
        assert_eq!(a.reclaim(handle), Err(FfaError::Denied));
        b.relinquish(handle).unwrap();
        a.reclaim(handle).unwrap();
        assert_eq!(platform.leftovers(), NOTHING);
    }
}

/// I6: a peer that does not let go is unmapped at the deadline.
#[test]
fn a_peer_that_keeps_a_revoked_grant_is_unmapped_at_the_deadline() {
    for personality in WHOLE {
        let (platform, [a, b, _]) = boot(personality);
        let handle = mapped(&a, &b, GrantKind::Share);
        assert_eq!(a.revoke(handle), Ok(LifeState::Releasing));
        platform.pass(50);
        assert_eq!(a.reclaim(handle), Err(FfaError::Denied));
        platform.pass(100);
        a.reclaim(handle).unwrap();
        assert_eq!(platform.leftovers(), NOTHING);
    }
}

#[test]
fn whoever_dies_at_whichever_step_nothing_is_left_and_the_id_can_be_used_again() {
    for personality in WHOLE {
        for (victim, steps) in (0..2).flat_map(|victim| (0..4).map(move |steps| (victim, steps))) {
            let (platform, [a, b, _]) = boot(personality.clone());
            let terms = shared_with(Some(&b), RW);
            let handle = a.send_for(&terms, &[a.pages(0, 2)]).unwrap();
            let mut seen = None;
            for step in 0..steps {
                match step {
                    0 => assert!(a.offer(handle, terms).is_ok()),
                    1 => seen = b.accept(handle).ok(),
                    _ => b.retrieve(handle, &seen.unwrap()).unwrap(),
                }
            }
            let id = [1, 2][victim];
            let context = format!("{} VM {id} after {steps}", platform.spmc(|s| s.quirks().name));
            let mut dead = platform.kill(id);
            for _ in 0..10 {
                platform.pass(100);
                dead = dead || platform.kill(id);
            }
            assert!(dead, "{context}");
            // The survivor takes back its own.
            if victim == 1 {
                a.reclaim(handle).unwrap();
            }
            assert_eq!(platform.leftovers(), NOTHING, "{context}");
            assert!(platform.restart(id), "{context}");
            let again = [&a, &b][victim];
            assert!(again.map_buffers());
            assert!(again.state(handle).is_err(), "{context}: old handles are dead");
            let handle = mapped(&a, &b, GrantKind::Share);
            given_back(&platform, &a, &b, handle);
        }
    }
}

/// KB-25, KB-14: what the hypervisor does not check, the partition does.
#[test]
fn with_a_hypervisor_that_forwards_everything_the_partition_refuses() {
    for personality in WHOLE {
        let mediation = Mediation::Raw;
        let setup = Setup { vm_pages: 64, mediation, ..Setup::new(personality) };
        let name = setup.personality.quirks.name;
        let (platform, [a, b, c]) = boot_with(setup);
        let secure = causeway_fake_spmc::layout::partition_ram();
        let terms = shared_with(Some(&b), RW);
        match a.send_for(&terms, &[secure]) {
            // Row "address check": none | stage 2.
            Ok(handle) => {
                assert_eq!(name, "el3");
                let offered = a.offer(handle, terms);
                assert_eq!(offered, Err(Refusal::Service(Status::OutsideRam)));
                a.reclaim(handle).unwrap();
            }
            Err(code) => assert_eq!((name, code), ("hafnium", FfaError::Denied)),
        }
        // Somebody else's handle is as good as none (I3).
        let handle = a.send_for(&shared_with(None, RW), &[a.pages(0, 1)]).unwrap();
        let stolen = c.offer(handle, shared_with(None, RW));
        assert_eq!(stolen, Err(Refusal::Service(Status::NoSuchGrant)));
        a.reclaim(handle).unwrap();
        assert_eq!(platform.leftovers(), NOTHING);
    }
}
