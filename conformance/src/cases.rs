//! Owns the cases. Each says which clause it is about; none knows on which SPMC it runs.

use crate::run::word;
use crate::step::{Area, Ask, Case, Handle, Name, Step, VmNews, Weight};
use causeway_abi::Permission::{ReadOnly, ReadWrite};
use causeway_abi::{CallId, JoinState, LedgerScope, Status};
use causeway_ffa::Transfer::{Lend, Share};
use causeway_ffa::{EndpointId, FfaError};

const VM1: EndpointId = EndpointId::from_raw(1);
const VM2: EndpointId = EndpointId::from_raw(2);
/// The hostile one.
const VM3: EndpointId = EndpointId::from_raw(3);
const STRANGER: EndpointId = EndpointId::from_raw(9);
const NOBODY: EndpointId = EndpointId::from_raw(0xffff);

const fn area(of: EndpointId, page: u64, count: u32) -> Area {
    Area { of, page, count }
}

const fn with(peer: EndpointId) -> Name {
    Name { peer, number: 1 }
}

const A: Handle = Handle::At(0);
const B: Handle = Handle::At(1);
/// The first pages of VM 1 and of VM 2.
const ONE: Area = area(VM1, 0, 4);
const TWO: Area = area(VM2, 0, 4);

macro_rules! cases {
    ($($name:literal, $clause:literal, $weight:ident: [$($step:expr,)+];)+) => {
        /// Every case, in the order in which it is run.
        pub const CASES: &[Case] = &[
            $(Case { name: $name, clause: $clause, weight: Weight::$weight, steps: &[$($step,)+] },)+
        ];
    };
}

use Ask::{
    CopyAtMost, CopyTo, Counted, Features, HypUnmapped, Inspect, Join, LedgerRead, ListNothing,
    Offer, Part, Revoke, State,
};
use Step::{
    Discover, Feature, Fill, Garbage, Holds, InPartsOnly, MoveFile, NotTwice, Reclaim,
    ReclaimRefused, Send, Version, Words,
};

cases! {
    "discovery/ffa_version", "DEN0077A 1.1, 13.2", Never: [Version(1, 1),];
    "discovery/rxtx_map_is_a_feature", "DEN0077A 1.1, 13.3", NamedLimit: [Feature(0xc400_0066),];
    "discovery/partition_by_uuid", "DEN0077A 1.1, 13.8", Never: [Discover,];
    "discovery/version", "HI-V2", Never: [
        Step::Ask(VM1, Ask::Version, Status::Ok),
        Step::Ask(VM3, Ask::Version, Status::Ok),
    ];
    "discovery/features", "HI-V3", Never: [
        Step::Ask(VM1, Features(CallId::Offer.number(), true), Status::Ok),
        Step::Ask(VM1, Features(CallId::Copy.number(), true), Status::Ok),
        Step::Ask(VM1, Features(0xfe, false), Status::Ok),
    ];

    "grant/offer_locks_until_revoke", "HI-G1; HI-G10", Never: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, State(A), Status::Ok),
        ReclaimRefused(0, FfaError::Denied),
        Step::Ask(VM1, Revoke(A), Status::Ok),
        Reclaim(0),
    ];
    "grant/same_pages_again", "HI-G10", Never: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, Revoke(A), Status::Ok),
        Reclaim(0),
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
    ];
    "grant/bytes_reach_the_other_vm", "HI-J1; HI-J2; HI-J4", Never: [
        Fill(ONE, 1), Fill(TWO, 2),
        Send(0, Share, ONE, None, ReadWrite),
        Send(1, Share, TWO, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM2, Offer(B, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, Join(A, with(VM2), JoinState::Waiting), Status::Ok),
        Step::Ask(VM2, Join(B, with(VM1), JoinState::Joined), Status::Ok),
        Step::Ask(VM1, CopyTo(with(VM2), [0, 0, 16384]), Status::Ok),
        Holds(TWO, 1),
        Fill(TWO, 3),
        Step::Ask(VM2, CopyTo(with(VM1), [0, 0, 16384]), Status::Ok),
        Holds(ONE, 3),
        Step::Ask(VM1, Part(with(VM2)), Status::Ok),
        Step::Ask(VM1, CopyTo(with(VM2), [0, 0, 1]), Status::NotJoined),
    ];
    "grant/read_only_is_read_and_not_written", "HI-J2; HI-G14", Never: [
        Fill(ONE, 4), Fill(TWO, 5),
        Send(0, Share, ONE, None, ReadOnly),
        Send(1, Share, TWO, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadOnly), Status::Ok),
        Step::Ask(VM2, Offer(B, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, Join(A, with(VM2), JoinState::Waiting), Status::Ok),
        Step::Ask(VM2, Join(B, with(VM1), JoinState::Joined), Status::Ok),
        Step::Ask(VM1, CopyTo(with(VM2), [0, 0, 4096]), Status::Ok),
        Step::Ask(VM2, CopyTo(with(VM1), [0, 0, 4096]), Status::OutsideArea),
        Holds(ONE, 4),
        Holds(area(VM2, 0, 1), 4),
    ];
    "grant/file_of_one_mebibyte", "HI-J3", Never: [
        MoveFile(VM1, VM2, 1 << 20),
        MoveFile(VM2, VM1, 1 << 20),
    ];
    "grant/one_copy_is_bounded_and_counted", "HI-J3; HI-A5", Never: [
        Send(0, Share, area(VM1, 0, 8), None, ReadWrite),
        Send(1, Share, area(VM2, 0, 8), None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM2, Offer(B, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, Join(A, with(VM2), JoinState::Waiting), Status::Ok),
        Step::Ask(VM2, Join(B, with(VM1), JoinState::Joined), Status::Ok),
        Step::Ask(VM1, CopyAtMost(with(VM2), 32768, 16384), Status::Ok),
        Step::Ask(VM1, CopyTo(with(VM2), [4096, 4097, 3]), Status::Ok),
        Step::Ask(VM1, Counted(with(VM2), [16387, 0]), Status::Ok),
        Step::Ask(VM2, Counted(with(VM1), [0, 16387]), Status::Ok),
    ];
    "grant/ledger_is_written_into_the_readers_area", "HI-S3; HI-S4", Never: [
        Fill(ONE, 9),
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, LedgerRead(A, LedgerScope::All), Status::PolicyCaller),
        Holds(ONE, 9),
        Step::LedgerHead(VM1),
        Step::Ask(VM1, LedgerRead(A, LedgerScope::Own), Status::Ok),
        Step::Changed(ONE, 9),
        Step::Ask(VM2, LedgerRead(A, LedgerScope::Own), Status::NoSuchGrant),
    ];
    "grant/to_a_peer", "HI-G6", NamedLimit: [
        Send(0, Share, ONE, Some(VM2), ReadWrite),
        Step::Ask(VM1, Offer(A, Some(VM2), ReadWrite), Status::Ok),
        Step::Ask(VM2, Inspect(A), Status::Ok),
        Step::Ask(VM1, Revoke(A), Status::Ok),
        Reclaim(0),
    ];
    "grant/lend", "DEN0077A 1.1, 16.3", NamedLimit: [
        Send(0, Lend, ONE, None, ReadWrite),
        Reclaim(0),
    ];

    "refused/foreign_handle", "HI-I4; HI-G2", Never: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM3, Offer(A, None, ReadOnly), Status::NoSuchGrant),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM3, State(A), Status::NoSuchGrant),
        Step::Ask(VM3, Revoke(A), Status::NoSuchGrant),
        Step::Ask(VM3, Inspect(A), Status::NoSuchGrant),
        Step::Ask(VM2, Offer(A, None, ReadWrite), Status::NoSuchGrant),
        ReclaimRefused(0, FfaError::Denied),
    ];
    "refused/invented_handle", "HI-I4", Never: [
        Step::Ask(VM1, Offer(Handle::Invented, None, ReadWrite), Status::NoSuchGrant),
        Step::Ask(VM1, State(Handle::Invented), Status::NoSuchGrant),
        Step::Ask(VM1, Revoke(Handle::Invented), Status::NoSuchGrant),
    ];
    "refused/stale_handle", "HI-G10; HI-I4", Never: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, Revoke(A), Status::Ok),
        Step::Ask(VM1, Revoke(A), Status::NoSuchGrant),
        Step::Ask(VM1, State(A), Status::NoSuchGrant),
    ];
    "refused/page_in_two_grants", "HI-G4", Never: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        NotTwice(area(VM1, 3, 2), Status::Overlap),
        NotTwice(ONE, Status::Overlap),
        ReclaimRefused(0, FfaError::Denied),
    ];
    "refused/memory_outside_the_windows", "HI-G3", Never: [
        Send(0, Share, area(NOBODY, 0, 1), None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::OutsideRam),
        Reclaim(0),
    ];
    "refused/more_than_policy_allows", "HI-I6", Never: [
        Send(0, Share, area(VM3, 0, 1), None, ReadWrite),
        Step::Ask(VM3, Offer(A, None, ReadWrite), Status::PolicyPermission),
        Reclaim(0),
        Send(0, Share, area(VM3, 0, 8), None, ReadOnly),
        Step::Ask(VM3, Offer(A, None, ReadOnly), Status::PolicySize),
        Reclaim(0),
        Send(0, Share, area(VM3, 0, 1), None, ReadOnly),
        Step::Ask(VM3, Offer(A, Some(VM1), ReadOnly), Status::PolicyPeer),
    ];
    "refused/more_than_was_sent", "HI-G2", Never: [
        Send(0, Share, ONE, None, ReadOnly),
        Step::Refused(VM1, Offer(A, None, ReadWrite)),
        Reclaim(0),
    ];
    "refused/less_than_was_sent", "HI-G2", NamedLimit: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadOnly), Status::DescriptorMismatch),
        Reclaim(0),
    ];
    "refused/grants_beyond_the_quota", "HI-A6", Never: [
        Send(0, Share, area(VM3, 0, 1), None, ReadOnly),
        Send(1, Share, area(VM3, 1, 1), None, ReadOnly),
        Send(2, Share, area(VM3, 2, 1), None, ReadOnly),
        Step::Ask(VM3, Offer(A, None, ReadOnly), Status::Ok),
        Step::Ask(VM3, Offer(B, None, ReadOnly), Status::Ok),
        Step::Ask(VM3, Offer(Handle::At(2), None, ReadOnly), Status::QuotaGrants),
        Send(3, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(Handle::At(3), None, ReadWrite), Status::Ok),
    ];
    "refused/copy_where_policy_names_nobody", "HI-J2; HI-I6", Never: [
        Send(0, Share, area(VM3, 0, 1), None, ReadOnly),
        Step::Ask(VM3, Offer(A, None, ReadOnly), Status::Ok),
        Step::Ask(VM3, Join(A, with(VM1), JoinState::Waiting), Status::PolicyPeer),
        Step::Ask(VM3, CopyTo(with(VM1), [0, 0, 1]), Status::NotJoined),
    ];
    "refused/copy_beyond_the_area", "HI-J2; HI-A1", Never: [
        Fill(TWO, 6),
        Send(0, Share, ONE, None, ReadWrite),
        Send(1, Share, TWO, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::Ask(VM2, Offer(B, None, ReadWrite), Status::Ok),
        Step::Ask(VM1, Join(A, with(VM2), JoinState::Waiting), Status::Ok),
        Step::Ask(VM2, Join(B, with(VM1), JoinState::Joined), Status::Ok),
        Step::Ask(VM1, CopyTo(with(VM2), [16383, 0, 2]), Status::OutsideArea),
        Step::Ask(VM1, CopyTo(with(VM2), [0, 16383, 2]), Status::OutsideArea),
        Step::Ask(VM1, CopyTo(with(VM2), [u64::MAX, 0, 1]), Status::OutsideArea),
        Holds(TWO, 6),
    ];
    "refused/calls_of_the_hypervisor", "HI-I3", Never: [
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM3, HypUnmapped(A), Status::NotHypervisor),
        Step::Ask(VM1, HypUnmapped(A), Status::NotHypervisor),
    ];
    "refused/a_caller_that_policy_does_not_name", "HI-I2", Never: [
        Step::Ask(STRANGER, ListNothing, Status::UnknownCaller),
        Step::Ask(STRANGER, State(Handle::Invented), Status::UnknownCaller),
    ];
    "refused/words_that_are_no_call", "HI-V4; HI-V1; HI-F4", Never: [
        Step::Frame(VM1, [0xfe, 0, 0, 0, 0], Status::UnknownCall),
        Step::Frame(VM1, [word(CallId::List) | 9 << 16, 0, 0, 0, 0], Status::BadVersion),
        Step::Frame(VM1, [word(CallId::Revoke), 7, 1, 0, 0], Status::ReservedNotZero),
        Step::Frame(VM1, [word(CallId::Offer), 7, 0xff_0000, 0, 0], Status::BadArgument),
        Step::Ask(VM1, ListNothing, Status::Ok),
    ];
    "refused/garbage_of_a_hostile_vm", "HI-F9", Never: [
        Fill(ONE, 8),
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Garbage(VM3, 1, 2000),
        Garbage(STRANGER, 2, 500),
        Step::Ask(VM1, State(A), Status::Ok),
        ReclaimRefused(0, FfaError::Denied),
        Holds(ONE, 8),
        Step::Ask(VM3, ListNothing, Status::Ok),
    ];
    "refused/services_that_are_not_there", "HI-K8", Never: [
        Step::Ask(VM1, Ask::Entropy, Status::PolicyService),
    ];

    "vm/destroyed_lets_go_of_its_grants", "HI-H5; HI-H6", NamedLimit: [
        Send(0, Share, TWO, None, ReadWrite),
        Step::Ask(VM2, Offer(A, None, ReadWrite), Status::Ok),
        ReclaimRefused(0, FfaError::Denied),
        Step::Vm(VmNews::Destroyed, VM2),
        Reclaim(0),
        Step::Ask(VM2, ListNothing, Status::UnknownCaller),
        Step::Vm(VmNews::Created, VM2),
        Step::Ask(VM2, ListNothing, Status::Ok),
    ];

    "contexts/a_second_core_is_served_beside_the_first", "HI-A3", NamedLimit: [
        Step::SecondCore(VM2),
        Send(0, Share, ONE, None, ReadWrite),
        Step::Ask(VM1, Offer(A, None, ReadWrite), Status::Ok),
        Step::SecondCore(VM1),
        Step::Ask(VM1, State(A), Status::Ok),
        Step::SecondCore(VM3),
    ];

    "parts/whole_frame_is_refused", "HI-F10", Never: [
        InPartsOnly,
        Words(VM1, [word(CallId::List), 0, 0, 0, 0], Status::BadArgument),
    ];
    "parts/second_without_first_is_refused", "HI-F10", Never: [
        InPartsOnly,
        Words(VM1, [word(CallId::List) | 2 << 8, 0, 0, 0, 0], Status::BadArgument),
        Words(VM1, [word(CallId::List) | 3 << 8, 0, 0, 0, 0], Status::BadArgument),
        Step::Ask(VM1, ListNothing, Status::Ok),
    ];
}

#[cfg(test)]
mod tests;
