//! Holds the backend's table to its rules: ids per driver, permissions, release before the answer.

mod each_failure;

use super::*;
use crate::Mailbox;
use crate::conduit::Conduit;
use crate::grant::Grant;
use crate::testing::FakeWorld;
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_virtio::msg::AreaAttrs;

const BACKEND: EndpointId = EndpointId::from_raw(2);
const VM1: EndpointId = EndpointId::from_raw(1);
const VM3: EndpointId = EndpointId::from_raw(3);

fn terms(permission: Permission) -> GrantTerms {
    GrantTerms { peer: Some(BACKEND), kind: GrantKind::Share, permission }
}

fn share(area: AreaId, grant: &Grant<'_>) -> AreaShare {
    AreaShare {
        area,
        handle: grant.handle(),
        tag: 0,
        page_count: u32::try_from(grant.page_count()).unwrap(),
        attrs: AreaAttrs::SHARED_READ_WRITE,
    }
}

/// Three VMs: 1 and 3 grant to 2.
fn with_three(
    test: impl for<'c> FnOnce(&'c Connection<'c>, &'c Connection<'c>, Backend<'c, 3>, &'c FakeWorld),
) {
    let world = FakeWorld::new();
    let (conduit1, conduit2, conduit3) = (world.vm(1), world.vm(2), world.vm(3));
    let mapper = world.mapper();
    fn open(conduit: &dyn Conduit, mailbox: Mailbox) -> Connection<'_> {
        Connection::open(conduit, mailbox).unwrap()
    }
    let one = open(&conduit1, world.mailbox(1));
    let two = open(&conduit2, world.mailbox(2));
    let three = open(&conduit3, world.mailbox(3));
    test(&one, &three, Backend::new(&two, &mapper), &world);
    world.assert_clean("three VMs");
}

#[test]
fn two_drivers_may_use_the_same_area_id() {
    with_three(|one, three, mut backend, world| {
        let (a, b) = (
            Grant::offer(one, world.pages(1, 1), terms(Permission::ReadWrite)).unwrap(),
            Grant::offer(three, world.pages(3, 1), terms(Permission::ReadWrite)).unwrap(),
        );
        let admitted = backend.admit(|_| Verdict::Accept).unwrap();
        assert_eq!((admitted.accepted, backend.held()), (2, 2));
        let area = AreaId::new(1).unwrap();
        // Nobody can bind what another one granted.
        assert_eq!(backend.bind(VM3, &share(area, &a)), BusResult::Error);
        assert_eq!(backend.bind(VM1, &share(area, &a)), BusResult::Ok);
        assert_eq!(backend.bind(VM3, &share(area, &b)), BusResult::Ok);
        let at = BusAddr::new(area, 8).unwrap();
        backend.memory(VM1).write(at, b"one").unwrap();
        backend.memory(VM3).write(at, b"three").unwrap();
        let mut seen = [0; 3];
        a.window().unwrap().read(8, &mut seen).unwrap();
        assert_eq!(&seen, b"one");
        // An id that is bound, and a grant that has an id, are taken.
        assert_eq!(backend.bind(VM1, &share(area, &a)), BusResult::Error);
        let other = AreaId::new(2).unwrap();
        assert_eq!(backend.bind(VM1, &share(other, &a)), BusResult::Error);
        assert_eq!(backend.let_go_of(VM1), 1);
        let gone = backend.memory(VM1).read(at, &mut seen);
        assert_eq!(gone, Err(MemError::Outside));
        assert!(backend.memory(VM3).read(at, &mut seen).is_ok());
        drop(backend);
    });
}

#[test]
fn an_unshared_area_is_released_before_it_is_answered() {
    with_three(|one, _, mut backend, world| {
        let grant = Grant::offer(one, world.pages(1, 1), terms(Permission::ReadWrite)).unwrap();
        backend.admit(|_| Verdict::Accept).unwrap();
        let area = AreaId::new(5).unwrap();
        backend.bind(VM1, &share(area, &grant));
        assert!(one.reclaim(grant.handle()).is_err());
        assert_eq!(backend.unbind(VM3, area), BusResult::Error);
        assert_eq!(backend.unbind(VM1, area), BusResult::Ok);
        assert_eq!(backend.held(), 0);
        assert!(one.reclaim(grant.handle()).is_ok());
    });
}

#[test]
fn no_access_leaves_an_area_or_its_permission() {
    with_three(|one, _, mut backend, world| {
        let grant = Grant::offer(one, world.pages(1, 1), terms(Permission::ReadOnly)).unwrap();
        backend.admit(|_| Verdict::Accept).unwrap();
        let area = AreaId::new(5).unwrap();
        backend.bind(VM1, &share(area, &grant));
        let memory = backend.memory(VM1);
        let at = |offset| BusAddr::new(area, offset).unwrap();
        assert_eq!(memory.check(at(0), 4096, Access::Read), Ok(()));
        assert_eq!(memory.check(at(1), 4096, Access::Read), Err(MemError::Outside));
        assert_eq!(memory.check(at(1), u64::MAX, Access::Read), Err(MemError::Outside));
        assert_eq!(memory.check(at(0), 1, Access::Write), Err(MemError::Permission));
        assert_eq!(memory.write(at(0), &[1]), Err(MemError::Permission));
        assert_eq!(memory.store_release_u16(at(0), 1), Err(MemError::Permission));
        assert_eq!(memory.load_acquire_u16(at(4095)), Err(MemError::Unaligned));
        assert_eq!(memory.load_acquire_u16(at(4096)), Err(MemError::Outside));
        assert_eq!(memory.read(BusAddr::from_raw(0), &mut [0]), Err(MemError::Outside));
        drop(backend);
    });
}

#[test]
fn what_policy_or_room_refuses_is_rejected_and_the_rest_is_taken() {
    with_three(|one, three, mut backend, world| {
        let offers: Vec<_> = [one, one, three, one, one]
            .iter()
            .map(|owner| {
                Grant::offer(owner, world.pages(owner.id().get(), 1), terms(Permission::ReadWrite))
                    .unwrap()
            })
            .collect();
        let policy = |seen: &GrantSummary| {
            if seen.owner == VM3 { Verdict::Reject } else { Verdict::Accept }
        };
        let outcome = backend.admit(policy).unwrap();
        assert_eq!((outcome.accepted, outcome.rejected, outcome.failed), (3, 2, 0));
        drop(backend);
        drop(offers);
        world.assert_clean("rejected and released");
    });
}

#[test]
fn admit_lets_go_of_what_was_revoked() {
    with_three(|one, _, mut backend, world| {
        let kept = Grant::offer(one, world.pages(1, 1), terms(Permission::ReadWrite)).unwrap();
        let grant = Grant::offer(one, world.pages(1, 1), terms(Permission::ReadWrite)).unwrap();
        backend.admit(|_| Verdict::Accept).unwrap();
        let area = AreaId::new(5).unwrap();
        assert_eq!(backend.bind(VM1, &share(area, &grant)), BusResult::Ok);
        let handle = grant.handle();
        one.call(Call::Revoke { handle }).unwrap();
        assert!(one.reclaim(handle).is_err(), "locked as long as the peer maps it");
        let admitted = backend.admit(|_| Verdict::Accept).unwrap();
        assert_eq!((admitted.revoked, admitted.accepted, backend.held()), (1, 0, 1));
        let at = BusAddr::new(area, 0).unwrap();
        assert_eq!(backend.memory(VM1).read(at, &mut [0]), Err(MemError::Outside));
        assert!(one.reclaim(handle).is_ok());
        assert_eq!(backend.admit(|_| Verdict::Accept).unwrap(), Admitted::default());
        drop(backend);
        drop(kept);
    });
}
