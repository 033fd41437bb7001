//! Old and new callers before this partition, and this library before old and new partitions: what
//! docs/versions.md promises. Never uses the library's codec for the old caller's frames: they are
//! written down as version 0.2 had them.

#[path = "../examples/support/vm.rs"]
mod vm;

use causeway_abi::{
    Call, CallId, Frame, GrantKind, GrantTerms, Permission, Reply, Status, VERSION_MAJOR,
    VERSION_MINOR,
};
use causeway_client::borrow::Offer;
use causeway_client::conduit::{Conduit, InProcess};
use causeway_client::error::{Error, Party, Rule};
use causeway_client::grant::Grant;
use causeway_client::{Bound, Connection, Mailbox};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::descriptor::Receiver;
use causeway_ffa::{FfaError, FuncId, Regs, Transfer, Version, regs};
use vm::{Memory, Rest, VM_PAGES, Vm};

fn boot() -> Platform {
    Platform::boot(&Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) })
}

/// The status and the results of a frame that VM `vm` sends.
fn ask(platform: &Platform, vm: u16, frame: Frame) -> (u64, [u64; 4]) {
    let [word, results @ ..] = platform.frame(vm, frame).unwrap();
    (word >> 16, results)
}

const OK: u64 = 0;

/// A grant's whole life in frames of version 0.2, word by word.
#[test]
fn a_caller_of_an_older_minor_version_lives_through_a_grant() {
    let platform = boot();
    let (one, two) = (Vm::new(&platform, 1), Vm::new(&platform, 2));
    let (conduit_1, conduit_2) = (one.conduit(), two.conduit());
    let owner = Connection::open(&conduit_1, one.mailbox()).unwrap();
    let peer = Connection::open(&conduit_2, two.mailbox()).unwrap();
    for minor in 0..VERSION_MINOR {
        let (status, [version, ..]) = ask(&platform, 1, [0x10, u64::from(minor), 0, 0, 0]);
        let ours = u64::from(VERSION_MAJOR) << 16 | u64::from(VERSION_MINOR);
        assert_eq!((status, version), (OK, ours));
    }
    let pages = one.pages(2);
    let receivers = [owner.partition(), peer.id()].map(Receiver::read_write);
    let handle = owner.send_memory(Transfer::Share, &receivers, pages.ranges(), 0).unwrap();
    let name = handle.get();
    // OFFER to VM 2, shared, read-write; STATE.
    let (status, [counts, fold, ..]) = ask(&platform, 1, [0x20, name, 0x0200_0002, 0, 0]);
    assert_eq!((status, counts >> 32), (OK, 2));
    assert_eq!(ask(&platform, 1, [0x22, name, 0, 0, 0]).1[0], 1, "offered");
    // LIST, INSPECT, ACCEPT, RELEASE.
    assert_eq!(ask(&platform, 2, [0x30, 0, 0, 0, 0]).1[0], name);
    let (status, [who, sizes, same_fold, _]) = ask(&platform, 2, [0x31, name, 0, 0, 0]);
    assert_eq!((status, who & 0xffff, sizes, same_fold), (OK, 1, 1 << 32 | 2, fold));
    assert_eq!(ask(&platform, 2, [0x32, name, who, sizes, fold]).0, OK);
    assert_eq!(ask(&platform, 2, [0x34, name, 0, 0, 0]), (OK, [6, 0, 0, 0]), "released");
    owner.reclaim(handle).unwrap();
    assert_eq!(platform.leftovers(), [""; 0]);
}

#[test]
fn a_caller_of_a_newer_minor_version_is_told_ours_and_which_calls_there_are() {
    let platform = boot();
    let (status, [version, ..]) = ask(&platform, 1, [0x10, 0xffff, 0, 0, 0]);
    assert_eq!((status, version & 0xffff), (OK, u64::from(VERSION_MINOR)));
    // A call that only its version has.
    let unknown = u64::from(Status::UnknownCall.code());
    assert_eq!(ask(&platform, 1, [0xfe, 0, 0, 0, 0]), (unknown, [0; 4]));
    for (number, exists) in [(0xfe, 0), (u64::from(CallId::Offer.number()), 1)] {
        assert_eq!(ask(&platform, 1, [0x11, number, 0, 0, 0]), (OK, [exists, 0, 0, 0]));
    }
}

#[test]
fn a_caller_of_another_major_version_is_refused_whatever_it_asks() {
    let platform = boot();
    let refused = u64::from(Status::BadVersion.code());
    for call in CallId::ALL {
        for major in [1, 2, 0xffff] {
            let word = u64::from(call.number()) | major << 16;
            assert_eq!(ask(&platform, 1, [word, 0, 0, 0, 0]), (refused, [0; 4]), "{call:?}");
        }
    }
    assert_eq!(platform.leftovers(), [""; 0]);
}

/// A way to the platform that changes what the partition says of its version.
fn partition_of(platform: &Platform, version: u32) -> impl Conduit {
    let call = platform.conduit(1);
    InProcess::new(move |regs: &mut Regs| {
        let asked = *regs;
        call(regs);
        let is_version = asked.func() == Some(FuncId::DirectReq64)
            && Call::decode(&[3, 4, 5, 6, 7].map(|n| asked.x(n)))
                == Ok(Call::Version { minor: VERSION_MINOR });
        if is_version {
            let [_, _, features, pages, ranges] = [3, 4, 5, 6, 7].map(|n| regs.x(n));
            let results = [u64::from(version), features, pages, ranges];
            let number = CallId::Version.number();
            regs.0[3..8].copy_from_slice(&Reply::ok(number, results).encode());
        }
    })
}

fn open_with(conduit: &dyn Conduit, mailbox: Mailbox) -> Result<u16, Error> {
    let connection = Connection::open(conduit, mailbox).map_err(|failed| failed.error)?;
    Ok(connection.service().minor)
}

#[test]
fn this_library_takes_any_minor_version_of_its_major_one() {
    let platform = boot();
    let vm = Vm::new(&platform, 1);
    let major = u32::from(VERSION_MAJOR) << 16;
    for minor in [0, VERSION_MINOR, 0xffff] {
        let conduit = partition_of(&platform, major | u32::from(minor));
        assert_eq!(open_with(&conduit, vm.mailbox()), Ok(minor));
    }
    let conduit = partition_of(&platform, major + (1 << 16));
    let refused = open_with(&conduit, vm.mailbox());
    let (by, rule) = (Party::Partition, Rule::InterfaceVersion);
    assert_eq!(refused, Err(Error::Broken { by, rule }));
    assert!(!platform.has_buffers(1), "the buffers came back");
}

/// A hypervisor that has another version of FF-A.
fn hypervisor_of(platform: &Platform, version: Option<Version>) -> impl Conduit {
    let call = platform.conduit(1);
    InProcess::new(move |regs: &mut Regs| {
        if regs.func() == Some(FuncId::Version) {
            *regs = regs::version_reply(version);
        } else {
            call(regs);
        }
    })
}

#[test]
fn this_library_takes_ff_a_1_1_and_later_and_nothing_else() {
    let platform = boot();
    let vm = Vm::new(&platform, 1);
    let other = Version::new(2, 0);
    for (version, serves) in [
        (Some(Version::V1_1), true),
        (Some(Version::V1_2), true),
        (Some(Version::V1_3), true),
        (Some(Version::V1_0), false),
        (other, false),
    ] {
        let opened = open_with(&hypervisor_of(&platform, version), vm.mailbox());
        let (by, rule) = (Party::Hypervisor, Rule::FfaVersion);
        let expected = if serves { Ok(VERSION_MINOR) } else { Err(Error::Broken { by, rule }) };
        assert_eq!(opened, expected, "{version:?}");
    }
    let opened = open_with(&hypervisor_of(&platform, None), vm.mailbox());
    let (call, error) = (FuncId::Version, FfaError::NotSupported);
    assert_eq!(opened, Err(Error::Ffa { call, error }));
}

/// Header, entries and size of the descriptor of a memory call in a VM's TX page.
fn entry_bytes(platform: &Platform, tx: u64) -> u32 {
    let mut bytes = [0; 4];
    platform.machine().ram().read(tx + 24, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

/// A grant from offer to reclaim, with descriptors of each version on either side.
#[test]
fn callers_of_ff_a_1_1_and_1_2_grant_to_each_other() {
    let (kind, permission) = (GrantKind::Share, Permission::ReadWrite);
    for (owner_speaks, peer_speaks) in [
        (Version::V1_1, Version::V1_2),
        (Version::V1_2, Version::V1_1),
        (Version::V1_2, Version::V1_2),
    ] {
        let platform = boot();
        let (one, two, mapper) =
            (Vm::new(&platform, 1), Vm::new(&platform, 2), Memory::of(&platform));
        let (conduit_1, conduit_2) = (one.conduit(), two.conduit());
        let (tx, rx) = (one.pages(1), one.pages(1));
        let tx_address = tx.ranges()[0].start().get();
        let mailbox = Mailbox::new(tx, rx).unwrap();
        let owner = Connection::open_as(&conduit_1, mailbox, owner_speaks).unwrap();
        let peer = Connection::open_as(&conduit_2, two.mailbox(), peer_speaks).unwrap();
        let terms = GrantTerms { peer: Some(peer.id()), kind, permission };
        let grant = Grant::offer(&owner, one.pages(300), terms).unwrap();
        let expected = if owner_speaks == Version::V1_2 { 32 } else { 16 };
        assert_eq!(entry_bytes(&platform, tx_address), expected, "bytes of an access descriptor");
        let accepted = Offer::inspect(&peer, grant.handle()).unwrap().accept().unwrap();
        let borrowed = accepted.map(&mapper).unwrap();
        borrowed.window().unwrap().write(7, b"across").unwrap();
        let mut bytes = [0; 6];
        grant.window().unwrap().read(7, &mut bytes).unwrap();
        assert_eq!(&bytes, b"across");
        borrowed.release().unwrap();
        let idle = || ();
        grant.close(&Rest::new(&platform, &idle), Bound::millis(10)).unwrap();
        drop((owner, peer));
        assert_eq!(platform.leftovers(), [""; 0]);
    }
    let platform = boot();
    let vm = Vm::new(&platform, 1);
    let conduit = vm.conduit();
    for version in [Version::V1_0, Version::V1_3] {
        let refused = Connection::open_as(&conduit, vm.mailbox(), version).unwrap_err();
        let (by, rule) = (Party::Caller, Rule::FfaVersion);
        assert_eq!(refused.error, Error::Broken { by, rule });
    }
}
