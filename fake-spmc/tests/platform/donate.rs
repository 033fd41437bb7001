//! Donations by the code that the image runs: it asks the SPMC at its start, and tells its callers. Where
//! the SPMC has none they are refused, and nothing changes.

use super::{NOTHING, boot, vm};
use causeway_abi::{
    Call as Service, GrantKind, GrantTerms, LifeState, Permission, Status, features,
};
use causeway_fake_spmc::{Guest, Personality, Platform, Refusal};
use causeway_ffa::call::FeatureQuery;
use causeway_ffa::{Call, FfaError, FuncId};

const RW: Permission = Permission::ReadWrite;
const DONATION: GrantTerms = GrantTerms { peer: None, kind: GrantKind::Donate, permission: RW };
const PARTITION: u16 = 0x8001;

/// What a VM finds by asking: of its hypervisor, and of the partition.
fn found(guest: &Guest) -> [bool; 2] {
    let query = FeatureQuery::Function(FuncId::MemDonate32);
    let ffa = guest.call(&Call::Features { query, properties: 0 }).is_ok();
    let [_, word, ..] = guest.ask(Service::Version { minor: 0 }).unwrap();
    [ffa, word & features::DONATE != 0]
}

fn pages_of_partition(platform: &Platform) -> bool {
    let page = causeway_fake_spmc::layout::vm_ram(1, 1);
    platform.machine().pages(|pages| pages.may(vm(PARTITION), page, RW))
}

fn has_mapped(platform: &Platform, guest: &Guest) -> bool {
    platform.machine().pages(|pages| pages.maps(guest.id(), guest.pages(0, 1), RW))
}

#[test]
fn where_the_spmc_has_no_donations_a_vm_finds_none_and_is_refused() {
    let (platform, [a, _, _]) = boot(Personality::EL3);
    assert_eq!(found(&a), [false, false]);
    let sent = a.send_for(&DONATION, &[a.pages(0, 1)]);
    assert_eq!(sent, Err(FfaError::NotSupported));
    let terms = GrantTerms { kind: GrantKind::Share, ..DONATION };
    let shared = a.send_for(&terms, &[a.pages(0, 1)]).unwrap();
    assert_eq!(a.offer(shared, DONATION), Err(Refusal::Service(Status::SpmcKind)));
    a.reclaim(shared).unwrap();
    assert_eq!(platform.leftovers(), NOTHING);
}

#[test]
fn where_the_spmc_has_donations_a_vm_finds_them_and_gives_for_good() {
    let (platform, [a, b, _]) = boot(Personality::HAFNIUM);
    assert_eq!(found(&a), [true, true]);
    let sent = a.send_for(&DONATION, &[a.pages(0, 1)]).unwrap();
    let [_, _, name, _] = a.offer(sent, DONATION).unwrap();
    let name = causeway_ffa::MemHandle::new(name).unwrap();
    assert_ne!(name, sent);
    assert_eq!(a.state(name), Ok(LifeState::Active));
    let gone = Err(Refusal::Service(Status::NoSuchGrant));
    assert_eq!((a.state(sent), b.state(name)), (gone, gone));
    // The page is the partition's: its giver has it neither mapped nor back.
    assert!(pages_of_partition(&platform));
    assert!(!has_mapped(&platform, &a));
    assert_eq!(a.revoke(name), Err(Refusal::Service(Status::Donated)));
    assert_eq!(a.reclaim(sent), Err(FfaError::InvalidParameters));
    assert_eq!(platform.machine().pages(|pages| pages.violations().to_vec()), []);
}

/// "When the giver dies, the grant stays in the state kept", and its next life does not get the page.
#[test]
fn what_a_dead_vm_had_donated_is_no_page_of_its_next_life() {
    let (platform, [a, _, _]) = boot(Personality::HAFNIUM);
    let sent = a.send_for(&DONATION, &[a.pages(0, 1)]).unwrap();
    a.offer(sent, DONATION).unwrap();
    assert!(platform.kill(1) && platform.restart(1));
    assert!(a.map_buffers());
    let kept = platform.partition(|partition| {
        partition.broker().grants().filter(|grant| grant.state == LifeState::Kept).count()
    });
    assert_eq!(kept, 1);
    assert!(pages_of_partition(&platform));
    assert!(!has_mapped(&platform, &a));
    assert_eq!(platform.machine().pages(|pages| pages.violations().to_vec()), []);
}

/// A donation that the offer does not take was given away all the same; before it is offered it can
/// be taken back like anything else.
#[test]
fn a_donation_that_was_not_offered_comes_back() {
    let (platform, [a, _, _]) = boot(Personality::HAFNIUM);
    let sent = a.send_for(&DONATION, &[a.pages(0, 1)]).unwrap();
    a.reclaim(sent).unwrap();
    assert!(a.write(a.pages(0, 1).start().get(), b"mine"));
    assert_eq!(platform.leftovers(), NOTHING);
}
