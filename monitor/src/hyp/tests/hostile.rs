//! Hostile VMs above and a lying SPMC below: no panic, and nothing mapped that the partition has not
//! agreed to.

use super::machine::{ALL, After, TO_PEER, on_a_machine, on_el3, owner_and_peer, pages, pass};
use crate::arch::world;
use crate::hyp::dispatch::{Reaction, call};
use causeway_fake_spmc::{Lie, Lies, Personality};
use causeway_monitor::layout::{Processor, RAM_IPA};

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Mostly numbers that mean something.
    fn word(&mut self) -> u64 {
        let pick = self.next();
        match pick % 12 {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << (pick >> 8 & 63),
            3 => RAM_IPA + (pick >> 8) % 64 * 4096,
            4 => 0xffff_ffc0 + (pick >> 8) % 8,
            5 => (((pick >> 8) % 4) << 16) | 0x8001,
            6 => (pick >> 8) % 4,
            7 => (pick >> 8) % 300,
            8 => (1 << 63) | ((pick >> 8) % 16),
            _ => self.next(),
        }
    }
}

/// The calls that garbage is put into.
const FUNCTIONS: [u64; 34] = [
    0x8400_0000,
    0x8400_0003,
    0xc400_0003,
    0xc400_0004,
    0x8400_0060,
    0x8400_0061,
    0x8400_0063,
    0x8400_0064,
    0x8400_0065,
    0xc400_0066,
    0x8400_0067,
    0x8400_0068,
    0x8400_0069,
    0x8400_006d,
    0x8400_006f,
    0xc400_006f,
    0xc400_0071,
    0xc400_0072,
    0xc400_0073,
    0xc400_0074,
    0x8400_0075,
    0x8400_0076,
    0x8400_0077,
    0x8400_007a,
    0x8400_007b,
    0x8400_007f,
    0x8400_0080,
    0x8400_0081,
    0x8400_0082,
    0x8400_0083,
    0xc600_0004,
    0xc600_0005,
    0xc600_0007,
    0x8400_008a,
];

#[test]
fn garbage_in_every_register_never_ends_the_monitor_nor_maps_anything() {
    on_a_machine(Personality::EL3, After::Mess, || {
        let (owner, peer) = owner_and_peer();
        let handle = owner.grant(TO_PEER, &[pages(0, 1)]).unwrap();
        let mut numbers = Numbers(0x1234_5678_9abc_def1);
        for round in 0..30_000_u32 {
            let vm = ALL[1 + round as usize % 2];
            let mut regs = [0; 8].map(|_: u64| numbers.word());
            regs[0] = FUNCTIONS[numbers.next() as usize % FUNCTIONS.len()];
            if round % 3 == 0 {
                let bytes = [0; 16].map(|_: u64| numbers.word().to_le_bytes());
                vm.put(bytes.as_flattened());
            }
            let processor = Processor { vm: vm.0, number: round as usize % 2 };
            let _off = matches!(call(processor, &regs), Reaction::Off | Reaction::ProcessorOff);
        }
        // Only what the peer accepted could be mapped, and it never accepted.
        assert!(ALL.iter().all(|vm| !vm.borrows()));
        owner.revoke(handle).unwrap();
        owner.reclaim(handle).unwrap();
        assert!(peer.0 != owner.0);
    });
}

#[test]
fn no_single_lie_of_the_spmc_ends_the_monitor_or_leaves_a_peer_mapped_after_relinquish() {
    for lie in Lie::ALL {
        on_a_machine(Personality::hostile(Lies::one(*lie)), After::Mess, || {
            let (owner, peer) = owner_and_peer();
            let Ok(handle) = owner.grant(TO_PEER, &[pages(0, 2)]) else { return };
            if peer.accept(handle).is_ok() && peer.retrieve(handle, &TO_PEER).is_ok() {
                let _relinquished = peer.relinquish(handle);
                let _released = peer.release(handle);
            }
            assert!(!peer.borrows());
            let _reclaimed = owner.reclaim(handle);
            let _end = owner.die();
            pass(2_100);
        });
    }
}

#[test]
fn a_vm_forges_no_line_of_another() {
    on_el3(|| {
        let text = u64::from_le_bytes(*b"\n[mon] x");
        ALL[2].raw(&[0xc400_008a, 8, text, 0, 0, 0, 0, 0]);
        ALL[2].raw(&[0xc400_008a, 1, 0x0a, 0, 0, 0, 0, 0]);
        let lines = world(|world| world.lines.clone());
        assert!(lines.ends_with(&["[vm3] ".to_owned(), "[vm3] [mon] x".to_owned()]), "{lines:?}");
    });
}
