//! A hostile SPMC. What can be asked of a partition: it never panics, never loops, maps nothing outside
//! the RAM windows, and refuses what it can see to be wrong.

use super::random::{Step, run};
use super::{boot, shared_with};
use causeway_abi::{Call, DigestHalf, LedgerScope, Permission, Status};
use causeway_fake_spmc::{Guest, Lie, Lies, Personality, Platform, Refusal, Violation};
use proptest::prelude::*;

const RW: Permission = Permission::ReadWrite;

/// What the partition says to an offer with a peer, and to the next one, without a peer, under each lie;
/// `None`: it cannot see the lie, and need not. (NO_SUCH_GRANT: the SPMC refused; after some lies it
/// does because RX was never given back.)
const SEEN: &[(Lie, Option<Status>, Option<Status>)] = &[
    (Lie::Handle, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::Tag, Some(Status::DescriptorMismatch), Some(Status::DescriptorMismatch)),
    (Lie::Sender, Some(Status::NoSuchGrant), Some(Status::NoSuchGrant)),
    (Lie::Receiver, Some(Status::DescriptorMalformed), Some(Status::DescriptorMismatch)),
    (Lie::Permission, None, None), // of a read-write area; see the test on read-only ones
    (Lie::Executable, Some(Status::BadAttributes), Some(Status::BadAttributes)),
    (Lie::SecureMemory, Some(Status::BadAttributes), Some(Status::BadAttributes)),
    (Lie::DeviceMemory, Some(Status::BadAttributes), Some(Status::BadAttributes)),
    (Lie::Kind, Some(Status::DescriptorMismatch), Some(Status::DescriptorMismatch)),
    (Lie::SecureRange, Some(Status::OutsideRam), Some(Status::OutsideRam)),
    (Lie::UnalignedRange, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::EndlessRange, Some(Status::PolicySize), Some(Status::PolicySize)),
    (Lie::PageTotal, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::RangeCount, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::SameRangeTwice, Some(Status::Overlap), Some(Status::Overlap)),
    (Lie::LongTotal, Some(Status::NoSuchGrant), Some(Status::NoSuchGrant)),
    (Lie::HugeTotal, Some(Status::SpmcFailure), Some(Status::SpmcFailure)),
    (Lie::LongFragment, Some(Status::SpmcFailure), Some(Status::SpmcFailure)),
    (Lie::Truncated, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::EndlessFragments, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::FragmentHandle, Some(Status::NoSuchGrant), Some(Status::NoSuchGrant)),
    (Lie::NoFragment, Some(Status::SpmcFailure), Some(Status::NoSuchGrant)),
    (Lie::ReceiverOffset, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::Ones, Some(Status::DescriptorMalformed), Some(Status::DescriptorMalformed)),
    (Lie::WrongAnswer, Some(Status::SpmcFailure), Some(Status::NoSuchGrant)),
    (Lie::GarbageRegisters, Some(Status::SpmcFailure), Some(Status::NoSuchGrant)),
    (Lie::BusyForRetrieve, Some(Status::SpmcFailure), Some(Status::SpmcFailure)),
    (Lie::RelinquishRefused, None, None),
    (Lie::ReleaseRefused, Some(Status::NoSuchGrant), Some(Status::NoSuchGrant)),
    (Lie::ReclaimThoughLocked, None, None),
    (Lie::ForgedVm, Some(Status::PolicyPeer), Some(Status::NoSuchGrant)),
    (Lie::ForgedHypervisor, Some(Status::UnknownCaller), Some(Status::UnknownCaller)),
    (Lie::ForgedSelf, Some(Status::UnknownCaller), Some(Status::UnknownCaller)),
];

fn verdict<T>(result: Result<T, Refusal>) -> Option<Status> {
    match result {
        Ok(_) => None,
        Err(Refusal::Service(status)) => Some(status),
        Err(Refusal::Ffa(code)) => panic!("{code:?}"),
    }
}

fn outside(platform: &Platform) -> usize {
    let is_outside = |violation: &&Violation| matches!(violation, Violation::OutsideRam { .. });
    platform.machine().pages(|pages| pages.violations().iter().filter(is_outside).count())
}

#[test]
fn each_lie_that_can_be_seen_is_refused_with_its_rule() {
    assert_eq!(SEEN.iter().map(|(lie, ..)| *lie).collect::<Vec<_>>(), Lie::ALL);
    for (lie, with_peer, alone) in SEEN {
        let (platform, [a, b, _]) = boot(Personality::hostile(Lies::one(*lie)));
        let two = verdict(a.grant(shared_with(Some(&b), RW), &[a.pages(0, 2)]));
        let one = verdict(a.grant(shared_with(None, RW), &[a.pages(4, 2)]));
        assert_eq!((two, one), (*with_peer, *alone), "{lie:?}");
        assert_eq!(outside(&platform), 0, "{lie:?}");
    }
}

/// KB-24: receiver permissions overwritten.
#[test]
fn kb_24_more_than_the_owner_said_is_not_believed() {
    let (_, [a, ..]) = boot(Personality::hostile(Lies::one(Lie::Permission)));
    let offered = a.grant(shared_with(None, Permission::ReadOnly), &[a.pages(0, 1)]);
    assert_eq!(verdict(offered), Some(Status::DescriptorMismatch));
}

/// Has the partition map an area and write into it.
pub(crate) fn dump_into(guest: &Guest, area: causeway_ffa::MemHandle) -> Result<[u64; 4], Refusal> {
    let scope = LedgerScope::Own;
    guest.ask(Call::LedgerHead { scope, half: DigestHalf::First })?;
    guest.ask(Call::LedgerRead { handle: area, scope, cursor: 0 })
}

#[test]
fn an_honest_spmc_lets_the_partition_map_an_area_and_write_into_it() {
    for personality in [Personality::EL3, Personality::HAFNIUM] {
        let (platform, [a, ..]) = boot(personality);
        let area = a.grant(shared_with(None, RW), &[a.pages(4, 2)]).unwrap();
        let [bytes, ..] = dump_into(&a, area).unwrap();
        let written = a.read(a.pages(4, 1).start().get(), 64).unwrap();
        assert!(bytes > 0 && written.iter().any(|byte| *byte != 0));
        assert_eq!(platform.machine().pages(|pages| pages.violations().to_vec()), []);
    }
}

/// The SPMC lets the owner reclaim what the partition holds: the partition cannot know, and the page
/// model sees whose fault it is.
#[test]
fn a_reclaim_that_ignores_the_lock_is_seen_by_the_page_model() {
    let (platform, [a, ..]) = boot(Personality::hostile(Lies::one(Lie::ReclaimThoughLocked)));
    let area = a.grant(shared_with(None, RW), &[a.pages(4, 2)]).unwrap();
    a.reclaim(area).unwrap();
    let violations = platform.machine().pages(|pages| pages.violations().to_vec());
    assert!(matches!(violations[..], [Violation::ReclaimedWhileRetrieved { .. }]));
}

/// RELINQUISH refused for ever: the pages stay locked and the call still ends.
#[test]
fn a_relinquish_that_is_refused_for_ever_ends_every_call() {
    let (platform, [a, b, _]) = boot(Personality::hostile(Lies::one(Lie::RelinquishRefused)));
    let handle = a.grant(shared_with(Some(&b), RW), &[a.pages(0, 2)]).unwrap();
    let revoked = a.revoke(handle);
    assert_ne!(revoked, Ok(causeway_abi::LifeState::Released));
    platform.pass(1000);
    assert!(a.reclaim(handle).is_err(), "the SPMC still holds the partition's retrieve");
    // Others are served.
    assert!(b.grant(shared_with(Some(&a), RW), &[b.pages(0, 1)]).is_ok());
    assert_eq!(outside(&platform), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 0 } else { 40 }))]

    /// Any lies, any steps: no panic, no end without an answer, nothing mapped outside RAM.
    #[test]
    fn prop_whatever_the_spmc_says_nothing_outside_ram_is_mapped(
        lies in prop::collection::vec(prop::sample::select(Lie::ALL), 0..3),
        steps in prop::collection::vec(any::<Step>(), 1..40),
    ) {
        let lies = lies.into_iter().fold(Lies::NONE, Lies::and);
        let (platform, guests) = boot(Personality::hostile(lies));
        let _tally = run(&platform, &guests, &steps);
        prop_assert_eq!(outside(&platform), 0);
    }
}
