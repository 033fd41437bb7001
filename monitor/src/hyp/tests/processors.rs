//! A VM's processors, and what a VM may ask of another.

use super::machine::{ALL, on_el3};
use crate::arch::world;
use crate::hyp::dispatch::{Reaction, call};
use crate::hyp::state;
use causeway_monitor::layout::{Processor, RAM_IPA, VmIndex};
use causeway_monitor::lifecycle::{Outcome, Step};
use causeway_monitor::processors::Wake;

const CPU_ON: u64 = 0xc400_0003;
const AFFINITY_INFO: u64 = 0xc400_0004;
const KILL: u64 = 0xc600_0002;
const AUDIT: u64 = 0xc600_0007;

#[test]
fn a_second_processor_starts_on_a_core_of_its_own() {
    on_el3(|| {
        let vm = ALL[2];
        let second = Processor { vm: vm.0, number: 1 };
        assert_eq!(vm.raw(&[AFFINITY_INFO, 1, 0, 0, 0, 0, 0, 0])[0], 1);
        let on = [CPU_ON, 1, RAM_IPA + 0x4000, 77, 0, 0, 0, 0];
        assert_eq!(vm.raw(&on)[0], 0);
        assert_eq!(vm.raw(&[AFFINITY_INFO, 1, 0, 0, 0, 0, 0, 0])[0], 0);
        let kicked = world(|world| world.kicks.clone());
        assert_eq!(kicked, [state::core_of(second)]);
        assert_ne!(state::core_of(second), state::home_core(vm.0));
        let vcpu = state::vcpu(second).lock();
        assert_eq!((vcpu.entry, vcpu.argument), (RAM_IPA + 0x4000, 77));
        drop(vcpu);
        assert_eq!(vm.raw(&on)[0], -4_i64 as u64);
        // VM 1 has one processor here.
        assert_eq!(ALL[0].raw(&on)[0], -2_i64 as u64);
        assert_eq!(call(second, &[0x8400_0002, 0, 0, 0, 0, 0, 0, 0]), Reaction::ProcessorOff);
    });
}

#[test]
fn a_processor_suspends_itself_in_the_two_states_that_there_are() {
    on_el3(|| {
        let processor = Processor { vm: ALL[2].0, number: 0 };
        let suspend = |id, state, entry| call(processor, &[id, state, entry, 5, 0, 0, 0, 0]);
        for id in [0x8400_0001, 0xc400_0001] {
            assert_eq!(suspend(id, 1, 0), Reaction::Suspend(Wake::Behind));
            let at = Wake::At { entry: RAM_IPA, context: 5 };
            assert_eq!(suspend(id, 0x1_0002, RAM_IPA), Reaction::Suspend(at));
            let refused = |code: i64| Reaction::Answer([code as u64, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(suspend(id, 7, RAM_IPA), refused(-2));
            assert_eq!(suspend(id, 0x1_0002, 0), refused(-9));
            assert_eq!(ALL[2].raw(&[0x8400_000a, id, 0, 0, 0, 0, 0, 0])[0], 0, "PSCI_FEATURES");
        }
    });
}

#[test]
fn the_end_of_a_vm_waits_until_its_other_core_has_left_it() {
    on_el3(|| {
        let vm = ALL[2];
        let second = Processor { vm: vm.0, number: 1 };
        let running = state::vcpu(second).lock();
        assert_eq!(vm.step(Step::Unmap), Outcome::Again { in_ms: 1 });
        assert_eq!(world(|world| world.kicks.clone()), [state::core_of(second)]);
        drop(running);
        assert_eq!(vm.step(Step::Unmap), Outcome::Done);
        assert_eq!(vm.step(Step::Announce), Outcome::Done);
    });
}

#[test]
fn only_the_controller_kills_and_nobody_audits_another() {
    on_el3(|| {
        let kill = |vm: usize, target: u64| ALL[vm].raw(&[KILL, target, 0, 0, 0, 0, 0, 0])[0];
        assert_eq!(kill(1, 1), -3_i64 as u64);
        assert_eq!(kill(2, 2), -3_i64 as u64);
        assert_eq!(kill(0, 1), -2_i64 as u64, "not itself");
        assert!(VmIndex::ALL.iter().all(|vm| state::LIVES[vm.index()].lock().may_run()));
        assert_eq!(kill(0, 3), 1);
        assert!(!state::LIVES[2].lock().may_run());
        let audit = |vm: usize, target: u64| ALL[vm].raw(&[AUDIT, target, 0, 0, 0, 0, 0, 0])[0];
        assert_eq!(
            [audit(0, 2), audit(1, 2), audit(1, 1), audit(0, 9)],
            [0, 0, -3_i64 as u64, -2_i64 as u64]
        );
    });
}
