//! Holds OFFER to its order of checks: each test breaks one rule, most of them also a later one.

use super::*;
use crate::Action;
use crate::event::{Borrower, Caching, Security};
use causeway_abi::{PackedRange, RangeFold};
use causeway_ffa::FfaError;

#[test]
fn an_offer_is_retrieved_and_kept_as_a_lock() {
    let mut lab = Small::offered(7);
    assert_eq!(lab.locks(7), 1);
    assert_eq!(lab.reclaim(7), Err(FfaError::Denied));
    lab.state_is(1, 7, LifeState::Offered);
    assert_eq!(lab.last_move(), Some(LifeState::Offered));
    assert!(lab.mapped.is_empty(), "retrieve is not map");
}

#[test]
fn the_answer_to_an_offer_is_what_the_peer_inspects() {
    let mut lab = lab();
    let ranges = [pages(0x110, 1), pages(0x104, 3)];
    lab.send(7, 1, terms(Some(2)), &ranges);
    let [counts, fold, ..] = lab.granted(1, offer(7, terms(Some(2))));
    let expected = RangeFold::new().with(ranges[0]).with(ranges[1]).get();
    assert_eq!((counts, fold), (1 | 4 << 32, expected));
    let seen = lab.summary(2, 7);
    assert_eq!((seen.owner.get(), seen.page_count, seen.range_count), (1, 4, 2));
    assert_eq!((seen.fold, seen.generation), (expected, 1));
    for (index, range) in ranges.iter().enumerate() {
        let range_index = index.try_into().unwrap();
        let [.., packed] = lab.granted(2, Call::Inspect { handle: handle(7), range_index });
        assert_eq!(PackedRange::unpack(packed), Some(*range));
    }
    let beyond = Call::Inspect { handle: handle(7), range_index: 2 };
    lab.refused(2, beyond, Status::BadArgument);
}

#[test]
fn an_unknown_caller_gets_nothing() {
    let mut lab = Small::offered(7);
    for caller in [5, 63, 0x8001, 0xffff] {
        for call in [offer(7, terms(Some(2))), revoke(7), Call::Version { minor: 0 }, Call::HypPoll]
        {
            lab.refused(caller, call, Status::UnknownCaller);
        }
    }
    lab.refused(0, offer(7, terms(Some(2))), Status::UnknownCaller);
}

#[test]
fn policy_is_asked_in_the_order_peer_kind_permission() {
    let mut lab = lab();
    let donate = GrantTerms { kind: GrantKind::Donate, ..terms(None) };
    for peer in [0, 1, 3, 9, 0x8001] {
        let terms = GrantTerms { peer: Some(EndpointId::from_raw(peer)), ..donate };
        lab.refused(1, offer(1, terms), Status::PolicyPeer);
    }
    lab.refused(3, offer(1, terms(Some(1))), Status::PolicyPeer);
    let to = |peer: u16, terms: GrantTerms| GrantTerms {
        peer: Some(EndpointId::from_raw(peer)),
        ..terms
    };
    lab.refused(2, offer(1, to(1, donate)), Status::PolicyKind);
    lab.refused(1, offer(1, terms(Some(4))), Status::PolicyKind);
    lab.refused(
        3,
        offer(1, GrantTerms { kind: GrantKind::Lend, ..terms(None) }),
        Status::PolicyKind,
    );
    lab.refused(2, offer(1, terms(Some(1))), Status::PolicyPermission);
}

#[test]
fn an_offer_to_a_dead_peer_is_refused() {
    let mut lab = lab();
    lab.send(1, 1, terms(Some(2)), &[pages(0x100, 1)]);
    lab.destroyed(2);
    lab.refused(1, offer(1, terms(Some(2))), Status::PeerNotLive);
    lab.created(2);
    lab.granted(1, offer(1, terms(Some(2))));
}

#[test]
fn the_quota_of_grants_is_kept_per_pair() {
    let mut lab = lab();
    for n in 0..4 {
        lab.send(n, 1, terms(Some(2)), &[pages(0x100 + n, 1)]);
        lab.send(n + 10, 1, terms(None), &[pages(0x110 + n, 1)]);
    }
    for n in 0..3 {
        lab.granted(1, offer(n, terms(Some(2))));
    }
    lab.refused(1, offer(3, terms(Some(2))), Status::QuotaGrants);
    lab.granted(1, offer(10, terms(None)));
    lab.granted(1, revoke(0));
    lab.granted(1, offer(3, terms(Some(2))));
}

#[test]
fn a_handle_is_offered_once() {
    let mut lab = Small::offered(7);
    lab.refused(1, offer(7, terms(Some(2))), Status::WrongState);
    lab.refused(1, offer(7, terms(None)), Status::WrongState);
}

#[test]
fn foreign_stale_and_invented_handles_look_alike() {
    let mut lab = Small::active(7);
    lab.send(8, 1, terms(None), &[pages(0x120, 1)]);
    lab.granted(1, offer(8, terms(None)));
    lab.granted(1, revoke(8));
    let seen = lab.summary(2, 7);
    // 7 is foreign to VM 3, 8 is stale, 99 was never there.
    for number in [7, 8, 99] {
        let handle = handle(number);
        for call in [
            offer(number, terms(None)),
            revoke(number),
            Call::State { handle },
            Call::Inspect { handle, range_index: 0 },
            Call::Accept { handle, seen },
            Call::Reject { handle, generation: 1 },
            release(number),
        ] {
            let records = lab.records.len();
            lab.refused(3, call, Status::NoSuchGrant);
            assert_eq!(lab.records.len(), records + 1);
        }
    }
    assert_eq!(lab.locks(7), 1, "a guess must not touch the owner's lock");
}

#[test]
fn a_careless_spmc_gives_nobody_anothers_memory() {
    let mut lab = lab();
    lab.send(7, 1, terms(Some(2)), &[pages(0x110, 1)]);
    lab.faults.careless = true;
    lab.refused(3, offer(7, terms(None)), Status::NoSuchGrant);
    lab.granted(1, offer(7, terms(Some(2))));
    lab.refused(3, offer(7, terms(None)), Status::NoSuchGrant);
    assert_eq!(lab.locks(7), 1);
}

#[test]
fn a_failing_spmc_is_told_from_a_bad_handle() {
    let mut lab = lab();
    lab.send(7, 1, terms(None), &[pages(0x110, 1)]);
    for (error, status) in [
        (FfaError::InvalidParameters, Status::NoSuchGrant),
        (FfaError::Denied, Status::NoSuchGrant),
        (FfaError::Aborted, Status::NoSuchGrant),
        (FfaError::NoMemory, Status::SpmcFailure),
        (FfaError::Busy, Status::SpmcFailure),
        (FfaError::Retry, Status::SpmcFailure),
        (FfaError::Unknown(-99), Status::SpmcFailure),
    ] {
        lab.faults.retrieve = Some(error);
        lab.refused(1, offer(7, terms(None)), status);
    }
}

#[test]
fn a_transaction_must_be_what_the_offer_says() {
    let lend = GrantTerms { kind: GrantKind::Lend, ..terms(Some(2)) };
    let change: [fn(&mut crate::lab::Share); 8] = [
        |s| s.kind = GrantKind::Share,
        |s| s.borrowers.truncate(1),
        |s| s.borrowers.push(Borrower { id: EndpointId::from_raw(3), ..s.borrowers[0] }),
        |s| s.borrowers[1].id = EndpointId::from_raw(3),
        |s| s.borrowers[1].id = PARTITION,
        |s| s.borrowers[0].permission = Some(Permission::ReadOnly),
        |s| s.borrowers[1].permission = Some(Permission::ReadOnly),
        |s| s.borrowers[1].permission = None,
    ];
    for change in change {
        let mut lab = lab();
        lab.send(7, 1, lend, &[pages(0x110, 1)]);
        lab.granted(1, offer(7, lend));
        lab.granted(1, revoke(7));
        let share = lab.shares.get_mut(&handle(7)).unwrap();
        change(share);
        // The mismatch is found before anything that the pages break.
        share.caching = Caching::Other;
        share.ranges = vec![None];
        lab.refused(1, offer(7, lend), Status::DescriptorMismatch);
    }
}

#[test]
fn a_wrong_tag_finds_nothing() {
    let mut lab = lab();
    lab.send(7, 1, terms(None), &[pages(0x110, 1)]);
    let call = Call::Offer { handle: handle(7), terms: terms(None), tag: 5 };
    lab.refused(1, call, Status::NoSuchGrant);
    lab.faults.careless = true;
    lab.refused(1, call, Status::DescriptorMismatch);
}

#[test]
fn only_normal_non_secure_memory_that_nobody_executes_is_taken() {
    let change: [fn(&mut crate::lab::Share); 3] = [
        |s| s.caching = Caching::Other,
        |s| s.security = Security::Secure,
        |s| s.borrowers[0].executable = true,
    ];
    for change in change {
        let mut lab = lab();
        lab.send(7, 1, terms(None), &[pages(0x110, 1)]);
        change(lab.shares.get_mut(&handle(7)).unwrap());
        lab.shares.get_mut(&handle(7)).unwrap().ranges = vec![None];
        lab.refused(1, offer(7, terms(None)), Status::BadAttributes);
    }
}

#[test]
fn a_malformed_list_of_ranges_is_refused_before_its_size() {
    let good = Some(pages(0x110, 1));
    let many = vec![Some(pages(0x110, 9)); 9];
    for (ranges, total) in [
        (vec![], 0),
        (vec![None], 1),
        (vec![good, None], 1),
        (vec![good], 2),
        (vec![good], 0),
        (many.iter().copied().chain([None]).collect(), 81),
    ] {
        let mut lab = lab();
        lab.send(7, 1, terms(None), &[]);
        let share = lab.shares.get_mut(&handle(7)).unwrap();
        (share.ranges, share.total_page_count) = (ranges, total);
        lab.refused(1, offer(7, terms(None)), Status::DescriptorMalformed);
    }
}

#[test]
fn sizes_are_checked_in_the_order_area_ranges_pages() {
    let mut lab = lab();
    // Nine pages, nine ranges, none in RAM.
    let list: Vec<_> = (0..9).map(|n| pages(0x900 + n * 2, 1)).collect();
    lab.send(7, 1, terms(None), &list);
    lab.refused(1, offer(7, terms(None)), Status::PolicySize);
    lab.send(1, 1, terms(None), &[pages(0x100, 8)]);
    lab.granted(1, offer(1, terms(None)));
    lab.send(2, 1, terms(None), &[pages(0x108, 7)]);
    lab.granted(1, offer(2, terms(None)));
    lab.send(3, 1, terms(None), &list[..7]);
    lab.refused(1, offer(3, terms(None)), Status::QuotaRanges);
    lab.send(4, 1, terms(None), &list[..6]);
    lab.refused(1, offer(4, terms(None)), Status::QuotaPages);
    lab.granted(1, revoke(2));
    lab.refused(1, offer(4, terms(None)), Status::OutsideRam);
}

#[test]
fn every_page_lies_in_a_ram_window() {
    for range in
        [pages(0xff, 1), pages(0xff, 2), pages(0x1ff, 2), pages(0x2ff, 2), pages(0xe100, 1)]
    {
        let mut lab = lab();
        lab.send(7, 1, terms(None), &[pages(0x110, 1), range, pages(0x110, 1)]);
        lab.refused(1, offer(7, terms(None)), Status::OutsideRam);
    }
    let mut lab = lab();
    lab.send(7, 1, terms(None), &[pages(0x1ff, 1), pages(0x300, 1), pages(0x100, 1)]);
    lab.granted(1, offer(7, terms(None)));
}

#[test]
fn a_page_is_in_one_live_grant_once() {
    let mut lab = lab();
    for list in [[pages(0x110, 2), pages(0x111, 1)], [pages(0x111, 1), pages(0x110, 2)]] {
        lab.send(7, 1, terms(None), &list);
        lab.refused(1, offer(7, terms(None)), Status::Overlap);
    }
    lab.send(8, 1, terms(Some(2)), &[pages(0x130, 2), pages(0x120, 2)]);
    lab.granted(1, offer(8, terms(Some(2))));
    for range in [pages(0x11f, 2), pages(0x121, 1), pages(0x121, 2), pages(0x12e, 8)] {
        lab.send(9, 3, terms(None), &[range]);
        lab.refused(3, offer(9, terms(None)), Status::Overlap);
    }
    lab.send(9, 3, terms(None), &[pages(0x122, 7), pages(0x132, 1)]);
    lab.granted(3, offer(9, terms(None)));
}

#[test]
fn a_retrieve_that_cannot_be_given_back_is_in_the_ledger() {
    let mut lab = lab();
    lab.send(7, 1, terms(None), &[pages(0xe100, 1)]);
    lab.faults.relinquish = Some(FfaError::Denied);
    let before = lab.broker.clone();
    let reply = lab.call(1, offer(7, terms(None)));
    assert_eq!(reply, Reply::refused(CallId::Offer.number(), Status::SpmcFailure));
    assert!(lab.broker == before);
    assert!(lab.records.iter().any(|r| r.action == Action::LockLeft));
}

#[test]
fn a_local_area_is_active_at_once() {
    let mut lab = lab();
    lab.send(7, 3, terms(None), &[pages(0x110, 1)]);
    lab.granted(3, offer(7, terms(None)));
    lab.state_is(3, 7, LifeState::Active);
    lab.refused(0, mapping(7, 3), Status::NoSuchGrant);
    lab.refused(0, unmapped(7, 3), Status::NoSuchGrant);
}

#[test]
fn a_call_within_a_sequence_is_busy() {
    use crate::event::{Event, Next};
    let mut lab = lab();
    lab.send(7, 1, terms(None), &[pages(0x110, 1)]);
    let call = offer(7, terms(None));
    let first = lab.broker.step(0, Event::call(EndpointId::from_raw(1), &call));
    assert!(matches!(first.next(), Next::Retrieve(_)));
    lab.refused(3, Call::Events, Status::Busy);
    lab.refused(1, call, Status::Busy);
}
