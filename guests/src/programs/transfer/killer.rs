//! VM 3 of `demo_restart`: kills the backend half-way and has it started anew. Never tells anybody
//! but by what that does.

use crate::check;
use crate::programs::control;
use crate::rt::{Boot, signal};

/// The frontend, and the backend.
const FRONTEND: u16 = 1;
const BACKEND: u16 = 2;
/// How long the first half of a large disk may take.
const MILLIS: u64 = 600_000;

/// VM 1: says that half of the disk is read, and goes on when the backend is dead. It learns by its
/// driver alone that its requests come to nothing.
pub(super) fn tell_half() {
    signal::send(3, 1);
    assert_eq!(signal::receive(3), 1, "VM 3 killed the backend");
}

/// VM 1: says that the transfer is over.
pub(super) fn tell_end() {
    signal::send(3, 2);
}

/// VM 3.
pub(in crate::programs) fn run(_boot: &Boot) {
    assert_eq!(signal::receive_within(FRONTEND, MILLIS), 1, "half of the disk is read");
    let killed = control::kill(BACKEND);
    signal::send(FRONTEND, 1);
    let started = control::restart(BACKEND);
    let done = (killed, started) == (0, 0);
    check!("transfer/backend_is_killed_and_started_anew", done, "{killed:#x} {started:#x}");
    // Its own end would be a call of the partition in the middle of the transfer.
    assert_eq!(signal::receive_within(FRONTEND, MILLIS), 2, "the transfer is over");
}
