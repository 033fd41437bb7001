//! A front end: virtio-drivers' block driver, unmodified, reads and writes a disk that another VM
//! serves: `cargo run -p causeway-client --example front_end`.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/front.rs"]
mod front;
#[path = "support/vm.rs"]
mod vm;

use causeway_client::Connection;
use causeway_fake_spmc::{Personality, Platform, Setup};
use disk::DiskVm;
use front::with_disk;
use std::cell::RefCell;
use std::error::Error;
use vm::{Memory, Rest, VM_PAGES, Vm};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut |line| println!("{line}"))
}

/// Runs both VMs.
pub(crate) fn run(say: &mut dyn FnMut(&str)) -> Result<(), Box<dyn Error>> {
    let setup = Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&setup);
    let mut medium: Vec<u8> = (0..64).flat_map(|sector| [sector; 512]).collect();

    // The other VM: its loop is one turn each time that this program waits.
    let back = Vm::new(&platform, 2);
    let (conduit, mapper) = (back.conduit(), Memory::of(&platform));
    let connection = Connection::open(&conduit, back.mailbox()).map_err(|failed| failed.error)?;
    let idle = || ();
    let alone = Rest::new(&platform, &idle);
    let disk = DiskVm::open(&back, &connection, &mapper, &mut medium, &alone)?;
    let disk = RefCell::new(disk);
    let failure = RefCell::new(None);
    let turn = || {
        let turned = disk.borrow_mut().turn();
        failure.replace(failure.take().or(turned.err()));
    };

    let wait = Rest::new(&platform, &turn);
    let calls = with_disk(&Vm::new(&platform, 1), &wait, |disk| {
        say(&format!("the disk has {} sectors", disk.capacity()));
        let before = platform.partition_calls();
        for sector in 0..64 {
            let bytes = disk.read(sector)?;
            if bytes != [u8::try_from(sector)?; 512] {
                return Err(format!("sector {sector} is wrong").into());
            }
        }
        say("64 sectors read, in place");
        disk.write(9, &[0xab; 512])?;
        if disk.read(9)? != [0xab; 512] {
            return Err("what was written is not there".into());
        }
        say("one sector written and read back");
        Ok(platform.partition_calls() - before)
    })?;
    // The backend looks at its offers each turn, and the hypervisor polls each millisecond: requests
    // themselves need no call.
    say(&format!("{calls} calls of the partition meanwhile, none of them for data"));
    match failure.take() {
        Some(error) => Err(error.into()),
        None => Ok(disk.into_inner().close()?),
    }
}
