//! Holds each personality to what its SPMC does where others do something else: one test for each
//! difference, which names it. Never tests what all have in common.

#[path = "side_by_side/memory.rs"]
mod memory;
#[path = "side_by_side/messages.rs"]
mod messages;

use causeway_fake_spmc::probe::Probe;
use causeway_fake_spmc::{Personality, layout, range};
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{EndpointId, FfaError, MemHandle, PageRange, Transfer};

const A: EndpointId = EndpointId::from_raw(1);
const B: EndpointId = EndpointId::from_raw(2);
const SP: EndpointId = layout::PARTITION;
const SHARE: Transfer = Transfer::Share;
const LEND: Transfer = Transfer::Lend;

fn page(number: u64) -> PageRange {
    range(layout::vm_ram(1, 1).start().get() + number * 4096, 1)
}

/// What the columns say, in their order: EL3, Hafnium, OP-TEE.
#[track_caller]
fn columns<T: PartialEq + core::fmt::Debug>(expected: [T; 3], row: impl Fn(&mut Probe) -> T) {
    for (personality, expected) in Personality::HONEST.into_iter().zip(expected) {
        let name = personality.quirks.name;
        assert_eq!(row(&mut Probe::new(personality)), expected, "{name}");
    }
}

fn share(probe: &mut Probe, number: u64) -> Result<MemHandle, FfaError> {
    probe.send(SHARE, A, &[Receiver::read_write(SP)], &[page(number)])
}

fn both() -> [Receiver; 2] {
    [Receiver::read_write(SP), Receiver::read_write(B)]
}
