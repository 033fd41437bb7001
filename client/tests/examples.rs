//! Runs each example and looks at what it says. Never in a process of its own: an example is a module
//! here, so that one build serves both.

#![expect(clippy::duplicate_mod, reason = "each example is whole by itself")]

// rust-vmm's queue needs file descriptors.
#[cfg(not(windows))]
#[path = "../examples/block_backend.rs"]
#[expect(dead_code, reason = "main is the example's own")]
mod block_backend;
#[path = "../examples/front_end.rs"]
#[expect(dead_code, reason = "main is the example's own")]
mod front_end;
#[path = "../examples/grant.rs"]
#[expect(dead_code, reason = "main is the example's own")]
mod grant;
#[path = "../examples/hypervisor.rs"]
#[expect(dead_code, reason = "main is the example's own")]
mod hypervisor;

#[cfg(target_os = "linux")]
#[path = "../examples/vhost_user.rs"]
#[expect(dead_code, reason = "main is the example's own")]
mod vhost_user;

use std::error::Error;

/// What an example says.
fn said(
    run: impl FnOnce(&mut dyn FnMut(&str)) -> Result<(), Box<dyn Error>>,
) -> Result<Vec<String>, Box<dyn Error>> {
    let mut lines = Vec::new();
    run(&mut |line| lines.push(line.to_owned()))?;
    Ok(lines)
}

#[test]
fn the_walk_through_a_grant_names_each_state() {
    let lines = said(grant::run).unwrap();
    let ends = ["Offered", "4 pages", "Accepted", "Active", "in place", "Denied", "Releasing"];
    for (line, end) in lines.iter().skip(1).zip(ends) {
        assert!(line.ends_with(end), "{line}");
    }
    assert_eq!(lines.last().unwrap(), "VM 1 has its 4 pages back");
}

#[test]
fn the_front_end_reads_and_writes_its_disk() {
    let lines = said(front_end::run).unwrap();
    assert_eq!(
        lines[..3],
        [
            "the disk has 64 sectors",
            "64 sectors read, in place",
            "one sector written and read back",
        ]
    );
}

#[cfg(not(windows))]
#[test]
fn the_block_backend_serves_a_real_file_with_rust_vmm_parts() {
    let path = std::env::temp_dir().join(format!("causeway-test-disk-{}", std::process::id()));
    let bytes: Vec<u8> = (0..40_u8).flat_map(|sector| [sector ^ 0x33; 512]).collect();
    std::fs::write(&path, &bytes).unwrap();
    let lines = said(|say| block_backend::run(&path, say));
    let after = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines = lines.unwrap();
    assert_eq!(lines[0], "the front end sees 40 sectors");
    assert!(lines[2].starts_with("rust-vmm's queue has served 41 requests"), "{lines:?}");
    let (kept, last) = after.split_at(39 * 512);
    assert_eq!((kept, last), (&bytes[..39 * 512], [0x5a; 512].as_slice()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_vhost_user_daemon_of_rust_vmm_serves_a_file_in_brokered_memory() {
    let lines = said(vhost_user::with_daemon).unwrap();
    assert_eq!(lines[0], "the front end sees 64 sectors");
    assert!(lines[3].starts_with("the daemon has served 66 requests"), "{lines:?}");
}

#[test]
fn the_hypervisor_registers_polls_and_kills() {
    let lines = said(hypervisor::run).unwrap();
    assert!(lines.contains(&"the partition rang: doorbells of VMs 0b100".to_owned()), "{lines:?}");
    assert!(lines.contains(&"after the deadline the partition asks: unmap VM 2".to_owned()));
    assert_eq!(lines.last().unwrap(), "a new VM has the id 1");
}
