// Owns the world of the examples in the documentation: two virtual machines on a fake platform, with
// the real partition. Never a part of the library. (A documentation example includes this file as the
// body of a module, hence no inner comment.)

#[path = "vm.rs"]
mod vm;

pub(crate) use vm::{Memory, Rest, Vm};

use causeway_fake_spmc::{Personality, Platform, Setup};

/// A platform with two VMs.
pub(crate) fn boot() -> Platform {
    let setup = Setup::new(Personality::EL3);
    Platform::boot(&Setup { vm_count: 2, vm_pages: vm::VM_PAGES, ..setup })
}

/// Boots, and opens the connections of VM 1 and VM 2: the names are those of the platform, the VMs and
/// their connections.
macro_rules! two_vms {
    ($platform:ident, $one:ident, $two:ident, $first:ident, $second:ident) => {
        let $platform = world::boot();
        let ($one, $two) = (world::Vm::new(&$platform, 1), world::Vm::new(&$platform, 2));
        let conduits = ($one.conduit(), $two.conduit());
        let $first = causeway_client::Connection::open(&conduits.0, $one.mailbox()).unwrap();
        let $second = causeway_client::Connection::open(&conduits.1, $two.mailbox()).unwrap();
    };
}
