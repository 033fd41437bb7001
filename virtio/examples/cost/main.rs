//! The cost table of the queues: instructions under callgrind, beside rust-vmm's virtio-queue and
//! virtio-drivers. Never measures time: under emulation it says nothing.
//!
//! `cargo run --release -p causeway-virtio --example cost` runs itself once per row under
//! `valgrind --tool=callgrind`, collecting inside one function only, and prints docs/queue-cost.md's
//! table. `--check` ends with status 1 where a goal is missed, with 3 where valgrind is missing.

#[cfg(not(windows))]
mod memory;
#[cfg(not(windows))]
mod table;

#[cfg(not(windows))]
fn main() -> std::process::ExitCode {
    table::main()
}

/// rust-vmm's queue needs file descriptors.
#[cfg(windows)]
fn main() {
    println!("this example runs on Unix hosts");
}
