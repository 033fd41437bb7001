//! A disk that a vhost-user process serves in brokered memory:
//! `cargo run -p causeway-client --example vhost_user [SOCKET FILE]`.
//!
//! VM 2 is a VMM that has no device of its own: `support/door_vm.rs` puts the library's front door
//! before a process. Without a SOCKET that is a daemon made of rust-vmm's `vhost-user-backend`
//! (`support/daemon.rs`, in a thread). With one it is whatever listens there and serves FILE, QEMU's
//! storage daemon for instance:
//!
//! ```text
//! qemu-storage-daemon --blockdev driver=file,node-name=disk,filename=FILE \
//!   --export type=vhost-user-blk,id=disk,node-name=disk,writable=on,addr.type=unix,addr.path=SOCKET
//! ```

#[cfg(target_os = "linux")]
#[path = "support/daemon.rs"]
mod daemon;
#[cfg(target_os = "linux")]
#[path = "support/door_vm.rs"]
mod door_vm;

#[cfg(target_os = "linux")]
pub(crate) use door_vm::run;

/// vhost-user is a protocol of Linux hosts.
#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this example runs on Linux hosts");
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut say = |line: &str| println!("{line}");
    let arguments: Vec<std::path::PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    match arguments.as_slice() {
        [socket, file] => run(socket, file, &mut say),
        [] => with_daemon(&mut say),
        _ => Err("give a socket and the file that is served there, or nothing".into()),
    }
}

/// The same, with a daemon of our own.
#[cfg(target_os = "linux")]
pub(crate) fn with_daemon(say: &mut dyn FnMut(&str)) -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("causeway-door-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let (socket, file) = (dir.join("socket"), dir.join("disk"));
    let sectors: Vec<u8> = (0..64).flat_map(|sector| [sector; 512]).collect();
    std::fs::write(&file, &sectors)?;
    let daemon = daemon::Daemon::start(&socket, &file)?;
    let done = run(&socket, &file, say);
    let served = daemon.end()?;
    let last = std::fs::read(&file)?.split_off(63 * 512);
    std::fs::remove_dir_all(&dir)?;
    done?;
    if last != [0x5a; 512] {
        return Err("the last sector is not what was written".into());
    }
    say(&format!("the daemon has served {served} requests; the last sector is in the file"));
    Ok(())
}
