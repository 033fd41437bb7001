//! Owns the second core of a laboratory: what it tries in the middle of the first one's sequence,
//! and whether it got in. For tests and walks; never part of the image.

use super::{HYPERVISOR, handle, terms};
use crate::Broker;
use crate::event::{Event, Next};
use causeway_abi::{Call, Reply, Status};
use std::vec::Vec;

/// Tries calls of every VM and of the hypervisor in the middle of a sequence: each must be refused
/// and change nothing. Returns the name of one that got in.
pub(super) fn intrude<const G: usize, const R: usize, const W: usize>(
    broker: &Broker<G, R, W>,
    now: u64,
) -> Option<&'static str> {
    let known = broker.grants().map(|g| (g.id, g.handle));
    let handles: Vec<_> = known.map(|(_, h)| h).chain([handle(0)]).collect();
    let mut calls = Vec::new();
    for vm in broker.policy().vms() {
        for handle in handles.iter().copied() {
            calls.push((vm, Call::Offer { handle, terms: terms(None), tag: 0 }));
            calls.push((vm, Call::Revoke { handle }));
            calls.push((vm, Call::Release { handle }));
            calls.push((vm, Call::Reject { handle, generation: 1 }));
            calls.push((vm, Call::State { handle }));
            let name = causeway_abi::JoinName { peer: vm, number: 1 };
            calls.push((vm, Call::Join { handle, name }));
            calls.push((HYPERVISOR, Call::HypMapping { handle, vm }));
            calls.push((HYPERVISOR, Call::HypUnmapped { handle, vm }));
        }
    }
    for vm in broker.policy().vms() {
        calls.push((vm, Call::Events));
        calls.push((vm, Call::List { cursor: 0 }));
    }
    calls.push((HYPERVISOR, Call::HypPoll));
    for (caller, call) in calls {
        let mut other = broker.clone();
        let step = other.step(now, Event::call(caller, &call));
        let refused = match step.next() {
            Next::Reply(frame) => Reply::decode(&frame).is_some_and(|r| r.status != Status::Ok),
            Next::Retrieve(_)
            | Next::Relinquish(_)
            | Next::Map { .. }
            | Next::Unmap { .. }
            | Next::Copy { .. }
            | Next::Continue
            | Next::VmReply(_)
            | Next::BusKick { .. }
            | Next::BusFrame { .. }
            | Next::Interrupt { .. }
            | Next::LedgerHead { .. }
            | Next::LedgerRead { .. }
            | Next::Vault { .. }
            | Next::Used(_)
            | Next::Idle => false,
        };
        if !refused || other != *broker {
            return Some("a call");
        }
    }
    for id in broker.policy().vms() {
        for event in [
            Event::VmDestroyed { caller: HYPERVISOR, vm: id },
            Event::VmCreated { caller: HYPERVISOR, vm: id },
        ] {
            let mut other = broker.clone();
            let _step = other.step(now, event);
            if other != *broker {
                return Some("a message about a VM");
            }
        }
    }
    for grant in broker.grants() {
        for event in [Event::Use { grant: grant.id }, Event::Unuse { grant: grant.id }] {
            let mut other = broker.clone();
            let _step = other.step(now, event);
            if other != *broker {
                return Some("a use");
            }
        }
    }
    None
}
