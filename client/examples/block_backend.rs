//! A block backend out of rust-vmm's parts that serves a real file:
//! `cargo run -p causeway-client --example block_backend [FILE]`.
//!
//! rust-vmm's are the memory (`vm-memory`, by the feature `vmm`) and the ring (`virtio-queue`). The
//! device in `support/file_disk.rs` knows neither FF-A nor grants: it is generic over guest memory, as
//! devices of rust-vmm are. Ours are offers, area ids and control messages, in `support/file_vm.rs`. A front end in the
//! same process reads all of the file through it, and writes one sector.

#[cfg(not(windows))]
#[path = "support/file_vm.rs"]
mod file_vm;

#[cfg(not(windows))]
pub(crate) use file_vm::run;

/// rust-vmm's queue needs file descriptors.
#[cfg(windows)]
fn main() {
    println!("this example runs on Unix hosts");
}

#[cfg(not(windows))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut say = |line: &str| println!("{line}");
    if let Some(file) = std::env::args_os().nth(1) {
        return run(std::path::Path::new(&file), &mut say);
    }
    let path = std::env::temp_dir().join(format!("causeway-disk-{}", std::process::id()));
    let sectors: Vec<u8> = (0..128).flat_map(|sector| [sector; 512]).collect();
    std::fs::write(&path, &sectors)?;
    let done = run(&path, &mut say);
    std::fs::remove_file(&path)?;
    done
}
