//! Random steps of VMs, hostile ones too, against the page model: no forbidden step succeeds, nothing
//! panics, and when everybody has died nothing is left.

use super::hostile::dump_into;
use super::{NOTHING, boot, boot_with, vm};
use causeway_abi::{Call, GrantKind, GrantTerms, Permission};
use causeway_fake_spmc::guest::transfer;
use causeway_fake_spmc::{Guest, Mediation, Personality, Platform, Setup, layout};
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{MemHandle, Regs};
use proptest::prelude::*;

/// What is done to a grant that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Offer {
        peer: Option<usize>,
        lend: bool,
        write: bool,
    },
    Accept,
    /// With what another grant's INSPECT said.
    AcceptStale,
    Retrieve,
    Relinquish,
    Release,
    Revoke,
    Reject,
    Reclaim,
    Dump,
}

/// One step. VMs are counted from 0.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Grant {
        who: usize,
        peer: Option<usize>,
        lend: bool,
        write: bool,
        page: u32,
        count: u32,
    },
    SendToStrangers {
        who: usize,
        to: Vec<u16>,
        page: u32,
        count: u32,
    },
    /// `who` does it, or whoever's business it is, to the newest grant but `which`.
    Do {
        who: Option<usize>,
        which: usize,
        deed: Deed,
    },
    Kill {
        who: usize,
    },
    Restart {
        who: usize,
    },
    Pass {
        milliseconds: u64,
    },
    Frame {
        who: usize,
        words: [u64; 5],
    },
    Registers {
        who: usize,
        func: u32,
        words: [u64; 7],
    },
}

fn deed() -> impl Strategy<Value = Deed> {
    let peer = prop_oneof![1 => Just(None), 4 => (0..3usize).prop_map(Some)];
    let offer = (peer, any::<bool>(), any::<bool>()).prop_map(|(peer, lend, write)| Deed::Offer {
        peer,
        lend,
        write,
    });
    prop_oneof![
        1 => offer,
        8 => Just(Deed::Accept),
        1 => Just(Deed::AcceptStale),
        10 => Just(Deed::Retrieve),
        6 => Just(Deed::Relinquish),
        4 => Just(Deed::Release),
        3 => Just(Deed::Revoke),
        1 => Just(Deed::Reject),
        5 => Just(Deed::Reclaim),
        4 => Just(Deed::Dump),
    ]
}

impl Arbitrary for Step {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> BoxedStrategy<Self> {
        let who = 0..3usize;
        let peer = prop_oneof![1 => Just(None), 3 => (0..3usize).prop_map(Some)];
        let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.8));
        let area = (0..62u32, 1..4u32);
        let word = prop_oneof![
            3 => 0..0x70u64,
            2 => (0x10..0x70u64).prop_map(|number| number | 1 << 16),
            2 => (0..8u64).prop_map(|index| 0xffff_ffc0 + index),
            1 => any::<u64>(),
        ];
        let doer = prop_oneof![4 => Just(None), 1 => who.clone().prop_map(Some)];
        let stranger = prop_oneof![1..4u16, 0x8000..0x8003u16];
        prop_oneof![
            3 => (who.clone(), peer, flags, area.clone()).prop_map(
                |(who, peer, (lend, write), (page, count))| {
                    Self::Grant { who, peer, lend, write, page, count }
                }
            ),
            1 => (who.clone(), prop::collection::vec(stranger, 1..4), area).prop_map(
                |(who, to, (page, count))| Self::SendToStrangers { who, to, page, count }
            ),
            24 => (doer, prop_oneof![4 => Just(0), 2 => Just(1), 1 => Just(2usize)], deed())
                .prop_map(|(who, which, deed)| Self::Do { who, which, deed }),
            1 => who.clone().prop_map(|who| Self::Kill { who }),
            3 => who.clone().prop_map(|who| Self::Restart { who }),
            2 => (1..150u64).prop_map(|milliseconds| Self::Pass { milliseconds }),
            2 => (who.clone(), prop::array::uniform5(word.clone()))
                .prop_map(|(who, words)| Self::Frame { who, words }),
            1 => (who, 0x60..0x90u32, any::<bool>(), prop::array::uniform7(word)).prop_map(
                |(who, func, wide, words)| {
                    let func = 0x8400_0000 | u32::from(wide) << 30 | func;
                    Self::Registers { who, func, words }
                }
            ),
        ]
        .boxed()
    }
}

/// Whatever a step returns is not looked at: the models judge, afterwards.
fn unheard<T>(_: T) {}

/// How often the calls of each part of a life were carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    offered: u32,
    accepted: u32,
    mapped: u32,
    unmapped: u32,
    released: u32,
    revoked: u32,
    reclaimed: u32,
    restarted: u32,
    dumped: u32,
}

fn note<T, E>(tally: &mut u32, result: Result<T, E>) {
    *tally += u32::from(result.is_ok());
}

/// A transaction that somebody began.
#[derive(Clone, Copy)]
struct Known {
    handle: MemHandle,
    owner: usize,
    peer: Option<usize>,
}

struct Run<'a> {
    platform: &'a Platform,
    guests: &'a [Guest; 3],
    known: Vec<Known>,
    tally: Tally,
}

/// Takes the steps, one after the other.
pub(crate) fn run(platform: &Platform, guests: &[Guest; 3], steps: &[Step]) -> Tally {
    let mut run = Run { platform, guests, known: Vec::new(), tally: Tally::default() };
    for step in steps {
        run.take(step);
    }
    run.tally
}

fn terms(peer: Option<&Guest>, lend: bool, write: bool) -> GrantTerms {
    let kind = if lend { GrantKind::Lend } else { GrantKind::Share };
    let permission = if write { Permission::ReadWrite } else { Permission::ReadOnly };
    GrantTerms { peer: peer.map(Guest::id), kind, permission }
}

impl Run<'_> {
    fn name(&self, which: usize) -> Known {
        let newest = self.known.len().checked_sub(1 + which);
        let nothing = Known { handle: MemHandle::new(9).unwrap(), owner: 0, peer: Some(1) };
        newest.and_then(|at| self.known.get(at)).copied().unwrap_or(nothing)
    }

    fn take(&mut self, step: &Step) {
        let id = |who: &usize| self.guests[*who].id().get();
        match step {
            Step::Grant { who, peer, lend, write, page, count } => {
                let guest = &self.guests[*who];
                let terms = terms(peer.map(|peer| &self.guests[peer]), *lend, *write);
                if let Ok(handle) = guest.send_for(&terms, &[guest.pages(*page, *count)]) {
                    note(&mut self.tally.offered, guest.offer(handle, terms));
                    self.known.push(Known { handle, owner: *who, peer: *peer });
                }
            }
            Step::SendToStrangers { who, to, page, count } => {
                let to: Vec<_> = to.iter().map(|id| Receiver::read_write(vm(*id))).collect();
                let range = self.guests[(*who + 1) % 3].pages(*page, *count);
                let sent = self.guests[*who].send(transfer(GrantKind::Share), &to, &[range]);
                self.known.extend(sent.map(|handle| Known { handle, owner: *who, peer: None }));
            }
            Step::Do { who, which, deed } => self.act(*who, *which, *deed),
            Step::Kill { who } => unheard(self.platform.kill(id(who))),
            Step::Restart { who } => {
                if self.platform.restart(id(who)) {
                    self.tally.restarted += 1;
                    assert!(self.guests[*who].map_buffers());
                }
            }
            Step::Pass { milliseconds } => self.platform.pass(*milliseconds),
            Step::Frame { who, words } => unheard(self.platform.frame(id(who), *words)),
            Step::Registers { who, func, words } => {
                let mut regs = Regs::ZERO;
                regs.0[0] = u64::from(*func);
                regs.0[1..8].copy_from_slice(words);
                self.platform.call(id(who), &mut regs);
            }
        }
    }

    fn act(&mut self, who: Option<usize>, which: usize, deed: Deed) {
        let Known { handle, owner, peer } = self.name(which);
        let owner = &self.guests[who.unwrap_or(owner)];
        let peer = &self.guests[who.or(peer).unwrap_or(0)];
        let tally = &mut self.tally;
        match deed {
            Deed::Offer { peer, lend, write } => {
                let terms = terms(peer.map(|peer| &self.guests[peer]), lend, write);
                unheard(owner.offer(handle, terms));
            }
            Deed::Accept => note(&mut tally.accepted, peer.accept(handle)),
            Deed::AcceptStale => {
                if let Ok(seen) = peer.inspect(handle) {
                    let handle = self.name(which + 1).handle;
                    unheard(peer.ask(Call::Accept { handle, seen }));
                }
            }
            Deed::Retrieve => {
                // As whoever can see the terms would write it.
                let seen = self.guests.iter().find_map(|guest| guest.inspect(handle).ok());
                if let Some(seen) = seen {
                    note(&mut tally.mapped, peer.retrieve(handle, &seen));
                }
            }
            Deed::Relinquish => note(&mut tally.unmapped, peer.relinquish(handle)),
            Deed::Release => note(&mut tally.released, peer.release(handle)),
            Deed::Revoke => note(&mut tally.revoked, owner.revoke(handle)),
            Deed::Reject => unheard(peer.ask(Call::Reject { handle, generation: 1 })),
            Deed::Reclaim => note(&mut tally.reclaimed, owner.reclaim(handle)),
            Deed::Dump => {
                note(&mut tally.dumped, dump_into(owner, handle));
            }
        }
    }
}

/// Everybody dies; what is left then was lost.
fn end(platform: &Platform) -> Vec<String> {
    for _ in 0..4 {
        for id in 1..=3 {
            unheard(platform.kill(id));
        }
        platform.pass(200);
    }
    platform.leftovers()
}

/// The random tests would prove nothing if their steps were always refused.
#[test]
#[cfg_attr(miri, ignore = "the partition's tables are too large")]
fn random_steps_reach_every_part_of_a_grants_life() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = prop::collection::vec(any::<Step>(), 80);
    let mut sum = [0; 9];
    for _ in 0..20 {
        let (platform, guests) = boot(Personality::EL3);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let t = run(&platform, &guests, &steps);
        let reached = [
            t.offered,
            t.accepted,
            t.mapped,
            t.unmapped,
            t.released,
            t.revoked,
            t.reclaimed,
            t.restarted,
            t.dumped,
        ];
        sum.iter_mut().zip(reached).for_each(|(sum, one)| *sum += one);
    }
    assert!(sum.iter().all(|reached| *reached >= 5), "{sum:?}");
}

fn honest() -> impl Strategy<Value = Personality> {
    prop::sample::select(Personality::HONEST.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 0 } else { 100 }))]

    /// I1 to I4 and I6, with a hypervisor that does its part.
    #[test]
    fn prop_no_vm_breaks_the_ownership_of_pages_and_nothing_is_lost(
        personality in honest(),
        steps in prop::collection::vec(any::<Step>(), 1..80),
    ) {
        let (platform, guests) = boot(personality);
        unheard(run(&platform, &guests, &steps));
        prop_assert_eq!(platform.machine().pages(|pages| pages.violations().to_vec()), []);
        prop_assert_eq!(platform.spmc(|spmc| spmc.crash()), None);
        prop_assert_eq!(end(&platform), NOTHING);
    }

    /// A hypervisor that forwards everything: the partition still maps nothing outside RAM, and the
    /// SPMC's locks are not lost.
    #[test]
    fn prop_with_a_hypervisor_that_checks_nothing_the_partition_maps_ram_only(
        personality in honest(),
        steps in prop::collection::vec(any::<Step>(), 1..40),
    ) {
        let setup = Setup { vm_pages: 64, mediation: Mediation::Raw, ..Setup::new(personality) };
        let (platform, guests) = boot_with(setup);
        unheard(run(&platform, &guests, &steps));
        let mapped = platform.machine().pages(|pages| pages.mapped_pages(layout::PARTITION));
        prop_assert_eq!(mapped, 0, "no FIFO is open: nothing stays mapped");
        let outside = platform.machine().pages(|pages| {
            let outside = |v: &&causeway_fake_spmc::Violation| {
                matches!(v, causeway_fake_spmc::Violation::OutsideRam { .. })
            };
            pages.violations().iter().filter(outside).count()
        });
        prop_assert_eq!(outside, 0);
    }
}
