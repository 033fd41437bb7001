//! Owns how the steps of a VM's life are carried out; their order is `causeway_monitor::lifecycle`'s.

use super::memory::{Estate, MEMORY};
use super::{INCOMPLETE, partition, state};
use crate::arch::phys::{GuestBytes, guest_pack};
use crate::arch::uart::say;
use causeway_monitor::command_line::{CommandLine, PAGE_BYTES};
use causeway_monitor::layout::{PhysRange, Processor, RAM_IPA, VmIndex};
use causeway_monitor::lifecycle::{Outcome, Step, after_creation, after_destruction};
use causeway_monitor::pack::Pack;
use causeway_monitor::processors::Processors;
use causeway_monitor::skips::Skips;
use core::sync::atomic::Ordering;

/// Bytes zeroed in one go.
const SCRUB_BYTES: u64 = 4 << 20;

/// Carries out one step of a VM's life, on its home core, after so many unfinished tries.
pub(crate) fn carry_out(vm: VmIndex, step: Step, tries: u32) -> Outcome {
    match step {
        Step::Create => create(vm),
        Step::Unmap if !state::has_left_its_cores(vm) => Outcome::Again { in_ms: 1 },
        Step::Unmap => {
            state::finish_console(vm);
            MEMORY.lock().unmap_all(vm);
            state::NOTIFY.lock().forget(vm);
            Outcome::Done
        }
        Step::Announce => after_destruction(partition::announce_destroyed(vm), tries),
        Step::Reclaim => match MEMORY.lock().settle(vm) {
            Estate::Settled => {
                say!("DOWN vm={}", vm.id().get());
                Outcome::Done
            }
            Estate::Held => Outcome::Again { in_ms: 2 },
        },
        Step::Scrub => scrub(vm),
    }
}

/// Zeroes a part of a VM's RAM, so that the other VMs of the core are not kept waiting for all.
fn scrub(vm: VmIndex) -> Outcome {
    let (ram, scrubbed) = (vm.ram(), &state::SCRUBBED[vm.index()]);
    let done = scrubbed.load(Ordering::Relaxed);
    let len_bytes = SCRUB_BYTES.min(ram.len_bytes - done);
    let part = GuestBytes::of_vm(vm, PhysRange { base: ram.base + done, len_bytes });
    if let Some(part) = part {
        part.zero();
        part.clean_for_guest();
    }
    if done + len_bytes < ram.len_bytes {
        scrubbed.store(done + len_bytes, Ordering::Relaxed);
        return Outcome::Again { in_ms: 0 };
    }
    scrubbed.store(0, Ordering::Relaxed);
    Outcome::Done
}

fn create(vm: VmIndex) -> Outcome {
    let told = |argument| match after_creation(partition::announce_created(vm)) {
        Outcome::Done => Ok(argument),
        Outcome::Again { .. } | Outcome::Impossible => Err("refused_by_partition"),
    };
    match load(vm).and_then(told) {
        Ok(argument) => {
            *state::FAULT_SKIPS[vm.index()].lock() = Skips::new();
            for processor in state::processors_of(vm) {
                state::LAST_REFUSAL[processor.index()].store(0, Ordering::Relaxed);
            }
            let count = state::config().vcpus[vm.index()];
            *state::PROCESSORS[vm.index()].lock() = Processors::at_start(count);
            state::vcpu(Processor { vm, number: 0 }).lock().reset(RAM_IPA, argument);
            say!("UP vm={} core={}", vm.id().get(), state::home_core(vm));
            Outcome::Done
        }
        Err(why) => {
            say!("NOT STARTED vm={} why={why}", vm.id().get());
            INCOMPLETE.store(true, Ordering::SeqCst);
            Outcome::Impossible
        }
    }
}

/// Loads a VM's image and command line; returns the guest-physical address of the latter.
fn load(vm: VmIndex) -> Result<u64, &'static str> {
    let ram = vm.ram();
    let pack = Pack::parse(guest_pack()).map_err(|_| "no_guest_pack")?;
    let image = pack.image(vm.name()).map_err(|_| "no_image")?;
    let text_at = ram.len_bytes - PAGE_BYTES as u64;
    let text = CommandLine::new(vm, state::config()).map_err(|_| "command_line_too_long")?;
    let place = |offset: u64, bytes: &[u8]| {
        let len_bytes = (bytes.len() as u64).next_multiple_of(8);
        let window = (offset + len_bytes <= text_at + PAGE_BYTES as u64)
            .then(|| GuestBytes::of_vm(vm, PhysRange { base: ram.base + offset, len_bytes }))
            .flatten()
            .ok_or("image_too_long")?;
        window.write(bytes);
        window.clean_for_guest();
        Ok(())
    };
    place(0, image)?;
    place(text_at, text.page())?;
    Ok(RAM_IPA + text_at)
}
