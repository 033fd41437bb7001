//! Holds the broker to its transitions and statuses; the names are rows of docs/error-precedence.md.

mod area;
mod bell;
mod bounds;
mod donate;
mod full;
mod hypervisor;
mod join;
mod life;
mod model;
mod names;
mod offer;
mod query;
mod seal;
mod vcpus;
mod vm;

use crate::lab::{HYPERVISOR, Lab, PARTITION, handle, pages, terms};
use crate::policy::{PairRule, Policy, Quota};
use causeway_abi::{
    Call, CallId, GrantKind, GrantSummary, GrantTerms, LifeState, Permission, Reply, Status,
};
use causeway_ffa::EndpointId;

type Small = Lab<12, 40, 1>;

/// VM 1 may grant to 2, to 4 (lend only) and to the partition; 2 read-only to 1; 3 to the partition.
fn policy() -> Policy {
    let mut policy = Policy::new().with_hypervisor(HYPERVISOR).with_unmap_deadline_ms(100);
    for id in [1, 2, 3, 4] {
        policy.add_vm(EndpointId::from_raw(id)).unwrap();
    }
    policy.add_window(pages(0x100, 0x100)).unwrap();
    policy.add_window(pages(0x300, 0x10)).unwrap();
    let rule = |owner, peer: Option<u16>, grants| PairRule {
        owner: EndpointId::from_raw(owner),
        peer: peer.map(EndpointId::from_raw),
        share: true,
        lend: true,
        donate: false,
        widest: Permission::ReadWrite,
        max_area_pages: 8,
        quota: Quota { grants, pages: 16, ranges: 8 },
    };
    policy.add_pair(rule(1, Some(2), 3)).unwrap();
    policy.add_pair(rule(1, None, 3)).unwrap();
    policy.add_pair(PairRule { share: false, ..rule(1, Some(4), 2) }).unwrap();
    policy.add_pair(PairRule { widest: Permission::ReadOnly, ..rule(2, Some(1), 2) }).unwrap();
    policy.add_pair(PairRule { lend: false, ..rule(3, None, 2) }).unwrap();
    policy
}

fn lab() -> Small {
    Lab::new(&policy())
}

fn offer(number: u64, terms: GrantTerms) -> Call {
    Call::Offer { handle: handle(number), terms, tag: 0 }
}

impl<const G: usize, const R: usize, const W: usize> Lab<G, R, W> {
    /// The call succeeds.
    #[track_caller]
    fn granted(&mut self, caller: u16, call: Call) -> [u64; 4] {
        let reply = self.call(caller, call);
        assert_eq!(reply.status, Status::Ok, "{call:?}");
        reply.results
    }

    /// The call is refused with this status, and nothing changed: neither broker nor locks.
    #[track_caller]
    fn refused(&mut self, caller: u16, call: Call, status: Status) {
        let before = (self.broker.clone(), self.shares.clone(), self.mapped.clone());
        let rings = self.rings;
        let reply = self.call(caller, call);
        assert_eq!(reply, Reply::refused(call.id().number(), status), "{call:?}");
        let after = (self.broker.clone(), self.shares.clone(), self.mapped.clone());
        assert!(before == after, "the refusal of {call:?} changed something");
        assert_eq!(self.rings, rings, "a refusal rang");
    }
}

impl Small {
    /// VM 1 has offered two pages in two ranges to VM 2.
    fn offered(number: u64) -> Self {
        let mut lab = lab();
        lab.send(number, 1, terms(Some(2)), &[pages(0x110, 1), pages(0x104, 1)]);
        lab.granted(1, offer(number, terms(Some(2))));
        lab
    }

    fn summary(&mut self, caller: u16, number: u64) -> GrantSummary {
        let call = Call::Inspect { handle: handle(number), range_index: 0 };
        let [a, b, c, _] = self.granted(caller, call);
        GrantSummary::from_words([a, b, c]).unwrap()
    }

    fn accepted(number: u64) -> Self {
        let mut lab = Self::offered(number);
        let seen = lab.summary(2, number);
        lab.granted(2, Call::Accept { handle: handle(number), seen });
        lab
    }

    fn active(number: u64) -> Self {
        let mut lab = Self::accepted(number);
        lab.granted(0, mapping(number, 2));
        lab
    }

    #[track_caller]
    fn state_is(&mut self, caller: u16, number: u64, state: LifeState) {
        let [code, ..] = self.granted(caller, Call::State { handle: handle(number) });
        assert_eq!(LifeState::from_code(code.try_into().unwrap()), Some(state));
    }

    #[track_caller]
    fn is_gone(&mut self, caller: u16, number: u64) {
        self.refused(caller, Call::State { handle: handle(number) }, Status::NoSuchGrant);
    }

    fn events(&mut self, caller: u16) -> u64 {
        self.granted(caller, Call::Events)[0]
    }
}

fn mapping(number: u64, vm: u16) -> Call {
    Call::HypMapping { handle: handle(number), vm: EndpointId::from_raw(vm) }
}

fn unmapped(number: u64, vm: u16) -> Call {
    Call::HypUnmapped { handle: handle(number), vm: EndpointId::from_raw(vm) }
}

fn revoke(number: u64) -> Call {
    Call::Revoke { handle: handle(number) }
}

fn release(number: u64) -> Call {
    Call::Release { handle: handle(number) }
}

const RELEASED: u64 = 6;
const RELEASING: u64 = 4;
const AWAITING: u64 = 5;
