//! Runs the library against the real partition code on each fake SPMC: discover, offer, accept, bus,
//! a block driver and a block device; and a backend that dies. Never against a made-up partition.

#[path = "../examples/support/disk.rs"]
mod disk;
#[path = "../examples/support/front.rs"]
mod front;
#[path = "../examples/support/vm.rs"]
mod vm;

use causeway_abi::{GrantKind, GrantTerms, LifeState, Permission};
use causeway_client::borrow::{Offer, offered};
use causeway_client::error::Error;
use causeway_client::grant::Grant;
use causeway_client::{Bound, Connection};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use vm::{Memory, Rest, VM_PAGES, Vm};

const SOON: Bound = Bound::millis(500);
/// Those SPMCs whose direct messages carry a frame whole.
const WHOLE: [Personality; 2] = [Personality::EL3, Personality::HAFNIUM];
const NOTHING: [String; 0] = [];

fn boot(personality: Personality) -> Platform {
    Platform::boot(&Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(personality) })
}

fn terms(kind: GrantKind) -> GrantTerms {
    let peer = Some(EndpointId::from_raw(2));
    GrantTerms { peer, kind, permission: Permission::ReadWrite }
}

fn one_grant(platform: &Platform, kind: GrantKind) -> Result<(), Error> {
    let (a, b, mapper) = (Vm::new(platform, 1), Vm::new(platform, 2), Memory::of(platform));
    let (conduit_a, conduit_b) = (a.conduit(), b.conduit());
    let owner = Connection::open(&conduit_a, a.mailbox()).map_err(|failed| failed.error)?;
    let peer = Connection::open(&conduit_b, b.mailbox()).map_err(|failed| failed.error)?;
    let idle = || ();
    let wait = Rest::new(platform, &idle);
    let grant = Grant::offer(&owner, a.pages(3), terms(kind)).map_err(|failed| failed.error)?;
    let handles: Result<Vec<_>, _> = offered(&peer).collect();
    assert_eq!(handles?, [grant.handle()]);
    let accepted = Offer::inspect(&peer, grant.handle())?.accept()?;
    let borrowed = accepted.map(&mapper).map_err(|failed| failed.error)?;
    borrowed.window().unwrap().write(0x1234, b"shared").unwrap();
    assert_eq!(grant.wait_for(&[LifeState::Active], &wait, Bound::NONE), Ok(LifeState::Active));
    assert_eq!(borrowed.release(), Ok(LifeState::Released));
    let back = grant.close(&wait, SOON).map_err(|failed| failed.error)?;
    let mut seen = [0; 6];
    back.window().read(0x1234, &mut seen).unwrap();
    assert_eq!(&seen, b"shared");
    Ok(())
}

#[test]
fn a_grant_lives_through_the_library_on_each_spmc() {
    for personality in WHOLE {
        let platform = boot(personality);
        assert_eq!(one_grant(&platform, GrantKind::Share), Ok(()));
        assert_eq!(platform.leftovers(), NOTHING);
    }
    let platform = boot(Personality::EL3);
    assert_eq!(one_grant(&platform, GrantKind::Lend), Ok(()));
    assert_eq!(platform.leftovers(), NOTHING);
}

/// Row "{SP, VM} lend" of Hafnium, and OP-TEE's rows: what is refused leaves nothing behind.
#[test]
fn what_an_spmc_does_not_have_is_a_typed_error_and_leaves_nothing() {
    for (personality, kind) in [
        (Personality::HAFNIUM, GrantKind::Lend),
        (Personality::OPTEE, GrantKind::Share),
        (Personality::OPTEE, GrantKind::Lend),
    ] {
        let platform = boot(personality);
        let refused = one_grant(&platform, kind).unwrap_err();
        assert!(matches!(refused, Error::Ffa { .. }), "{refused}");
        assert_eq!(platform.leftovers(), NOTHING);
    }
}

mod disks {
    use super::{NOTHING, WHOLE, boot};
    use crate::disk::DiskVm;
    use crate::front::{with_disk, with_front};
    use crate::vm::{Memory, Rest, Vm};
    use causeway_client::Connection;
    use causeway_client::conduit::Conduit;
    use causeway_fake_spmc::Platform;
    use std::cell::RefCell;
    use std::sync::Mutex;

    /// The front end's pool is one for the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    const SECTORS: usize = 64;

    fn medium(fill: u8) -> Vec<u8> {
        let sector = |number: usize| [u8::try_from(number).unwrap() ^ fill; 512];
        (0..SECTORS).flat_map(sector).collect()
    }

    #[test]
    fn a_disk_is_read_and_written_over_the_bus_on_each_spmc() {
        let _alone = ONE_AT_A_TIME.lock();
        for personality in WHOLE {
            let platform = boot(personality);
            let mut bytes = medium(0);
            serve_once(&platform, &mut bytes);
            assert_eq!((bytes[7 * 512], bytes[63 * 512 + 511]), (0xee, 63));
            assert_eq!(platform.leftovers(), NOTHING);
            let maps = platform.log().iter().filter(|line| line.starts_with("MAP")).count();
            assert_eq!(maps, 2, "the partition maps the two FIFOs and no data");
        }
    }

    fn serve_once(platform: &Platform, bytes: &mut [u8]) {
        let (front, back) = (Vm::new(platform, 1), Vm::new(platform, 2));
        let (conduit, mapper) = (back.conduit(), Memory::of(platform));
        let connection = Connection::open(&conduit, back.mailbox()).unwrap();
        let idle = || ();
        let alone = Rest::new(platform, &idle);
        let disk = DiskVm::open(&back, &connection, &mapper, bytes, &alone).unwrap();
        let disk = RefCell::new(disk);
        let turn = || disk.borrow_mut().turn().unwrap();
        let wait = Rest::new(platform, &turn);
        let calls = with_disk(&front, &wait, |disk| {
            assert_eq!(disk.capacity(), 64);
            for sector in 0..SECTORS {
                assert_eq!(disk.read(sector)?, [u8::try_from(sector)?; 512]);
            }
            disk.write(7, &[0xee; 512])?;
            assert_eq!(disk.read(7)?, [0xee; 512]);
            Ok(())
        });
        calls.unwrap();
        disk.into_inner().close().unwrap();
    }

    /// A disk VM that is never tidied up: what a dead VM had, nobody drops.
    fn born(platform: &'static Platform, fill: u8) -> DiskVm<'static, 'static> {
        let vm = Vm::new(platform, 2);
        let mapper: &'static Memory = Box::leak(Box::new(Memory::of(platform)));
        let conduit: &'static dyn Conduit = Box::leak(Box::new(vm.conduit()));
        let connection = Connection::open(conduit, vm.mailbox()).unwrap();
        let connection: &'static Connection<'static> = Box::leak(Box::new(connection));
        let alone: &'static Rest<'static> = Box::leak(Box::new(Rest::new(platform, &|| ())));
        DiskVm::open(&vm, connection, mapper, medium(fill).leak(), alone).unwrap()
    }

    /// The order of a kill in architecture.md, with the real partition: VM 2 dies with its disk in use,
    /// and its successor serves the driver's area again.
    #[test]
    fn a_backend_dies_and_its_successor_is_used_on_each_spmc() {
        let _alone = ONE_AT_A_TIME.lock();
        for personality in WHOLE {
            let platform: &'static Platform = Box::leak(Box::new(boot(personality)));
            let disk_vm = RefCell::new(Some(born(platform, 0x80)));
            let turn = || {
                if let Some(alive) = disk_vm.borrow_mut().as_mut() {
                    alive.turn().unwrap();
                }
            };
            let wait = Rest::new(platform, &turn);
            let lived = with_front(&Vm::new(platform, 1), &wait, |front| {
                let failed = front.with_disk(|disk| {
                    assert_eq!(disk.read(1)?, [0x81; 512]);
                    assert!(platform.kill(2));
                    Box::leak(Box::new(disk_vm.take()));
                    disk.read(2).map(|_| ())
                });
                assert!(failed.is_err(), "the disk is gone");
                assert!(platform.restart(2));
                disk_vm.replace(Some(born(platform, 0x40)));
                front.share()?;
                front.with_disk(|disk| {
                    assert_eq!(disk.read(1)?, [0x41; 512]);
                    Ok(())
                })
            });
            lived.unwrap();
            let alive = disk_vm.take().unwrap();
            alive.close().unwrap();
            assert_eq!(platform.leftovers(), NOTHING);
        }
    }
}
