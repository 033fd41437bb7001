//! Owns the single calls: those that change nothing, and refusals. Never leaves a grant behind.

use super::{CALLS, RAM};
use crate::arch::{Regs, smc};
use crate::calls::{HYPERVISOR, framed, message, must};
use crate::lives::{Step, Steps, Way, chain, life, named, terms};
use crate::measure::{Clock, Sample};
use crate::spmc::{Area, Borrowers, OWNER, PEER, reclaim, share};
use causeway_abi::{Call, DigestHalf, LedgerScope};
use causeway_ffa::EndpointId;

/// A VM that no policy names.
const STRANGER: EndpointId = EndpointId::from_raw(9);
/// A handle that the SPMC never gave.
const INVENTED: u64 = 77;

/// Makes a call as often as a figure needs it, and prints the figure.
pub(super) fn repeated(clock: &mut Clock, section: &str, name: &str, regs: &Regs) -> Regs {
    let mut sample = Sample::default();
    let mut last = [0; 8];
    for _ in 0..CALLS {
        let (ticks, answer) = clock.time(|| smc(regs));
        sample.add(ticks, 1);
        last = answer;
    }
    clock.print(section, 0, name, sample);
    last
}

/// What a call costs before it is one of ours.
pub(super) fn floor(clock: &mut Clock) {
    repeated(clock, "floor", "psci_version", &[0x8400_0000, 0, 0, 0, 0, 0, 0, 0]);
    repeated(clock, "floor", "ffa_id_get", &[0x8400_0069, 0, 0, 0, 0, 0, 0, 0]);
    repeated(clock, "floor", "message", &message(OWNER, &Call::Version { minor: 0 }));
}

/// OFFER of a handle that never was: the one refusal for which the SPMC must be asked, so that its
/// share is measured too.
pub(super) fn refused_offer(clock: &mut Clock, section: &str) {
    let offer = Call::Offer { handle: named(INVENTED), terms: terms(Some(PEER)), tag: 0 };
    repeated(clock, section, "refused_offer", &message(OWNER, &offer));
}

/// Each call that changes nothing, at whatever tables there are.
pub(super) fn calls(clock: &mut Clock, section: &str) {
    let handle = named(INVENTED);
    let inspect = Call::Inspect { handle, range_index: 0 };
    let mapping = Call::HypMapping { handle, vm: PEER };
    let unmapped = Call::HypUnmapped { handle, vm: PEER };
    let list = [
        ("version", OWNER, Call::Version { minor: 1 }),
        ("features", OWNER, Call::Features { call_number: 0x22 }),
        ("events", OWNER, Call::Events),
        ("stats_grants", HYPERVISOR, Call::Stats { page: 0 }),
        ("stats_states", HYPERVISOR, Call::Stats { page: 1 }),
        ("stats_vm", HYPERVISOR, Call::Stats { page: 16 }),
        ("list", PEER, Call::List { cursor: 0 }),
        ("hyp_poll", HYPERVISOR, Call::HypPoll),
        ("bus_kick_no_bus", EndpointId::from_raw(3), Call::BusKick),
        ("refused_state", OWNER, Call::State { handle }),
        ("refused_inspect", PEER, inspect),
        ("refused_release", PEER, Call::Release { handle }),
        ("refused_revoke", OWNER, Call::Revoke { handle }),
        ("refused_mapping", HYPERVISOR, mapping),
        ("refused_unmapped", HYPERVISOR, unmapped),
        ("refused_poll_of_a_vm", OWNER, Call::HypPoll),
        ("refused_stranger", STRANGER, Call::Events),
    ];
    for (name, from, call) in list {
        repeated(clock, section, name, &message(from, &call));
    }
    refused_offer(clock, section);
    repeated(clock, section, "refused_garbage", &framed(OWNER, [u64::MAX, 1, 2, 3, 4]));
    let register = Call::HypRegister { sgi: 3, core: 0 };
    let answer = repeated(clock, section, "hyp_register", &message(HYPERVISOR, &register));
    must(clock.partition, "hyp_register", &answer);
}

/// The ledger's calls: a long class of their own (each chains a bounded number of records).
pub(super) fn ledger(clock: &mut Clock) {
    let head = Call::LedgerHead { scope: LedgerScope::Own, half: DigestHalf::First };
    let mut sample = Sample::default();
    for _ in 0..CALLS {
        // One record to chain: a refusal.
        smc(&message(OWNER, &Call::State { handle: named(INVENTED) }));
        let (ticks, answer) = clock.time(|| smc(&message(OWNER, &head)));
        must(clock.partition, "ledger_head", &answer);
        sample.add(ticks, 1);
    }
    clock.print("ledger", 0, "ledger_head_of_one", sample);
    repeated(clock, "ledger", "ledger_head_of_none", &message(OWNER, &head));
    let area = Area { borrowers: Borrowers::Partition, ..Area::page(RAM) };
    let (raw, _) = share(clock, &area);
    let handle = named(raw);
    let offer = Call::Offer { handle, terms: terms(None), tag: 0 };
    must(clock.partition, "offer", &smc(&message(OWNER, &offer)));
    let read = Call::LedgerRead { handle, scope: LedgerScope::Own, cursor: 0 };
    let mut sample = Sample::default();
    for _ in 0..CALLS {
        // What was recorded since, also by the reading, must be chained before it can be read.
        chain(clock, OWNER);
        let (ticks, answer) = clock.time(|| smc(&message(OWNER, &read)));
        must(clock.partition, "ledger_read", &answer);
        sample.add(ticks, 1);
    }
    clock.print("ledger", 0, "ledger_read_page", sample);
    must(clock.partition, "revoke", &smc(&message(OWNER, &Call::Revoke { handle })));
    reclaim(clock, raw);

    // Nobody asks for the head: once a ring is three quarters full, a poll chains a part of it.
    let mut steps = Steps::default();
    for _ in 0..4 * CALLS {
        life(clock, &Area::page(RAM), Way::Released, &mut steps);
    }
    clock.print("ledger", 0, "hyp_poll_that_chains_at_times", steps.of(Step::Poll));
}
