//! The life of an area that is mapped when it is touched, with each call of either VM failing in turn:
//! whatever came of it, the platform's books are empty once both have let go.

use super::*;
use crate::borrow::Offer;
use crate::connection::Connection;
use crate::grant::Grant;
use crate::testing::{FakeWait, FakeWorld, Memory};
use crate::wait::Bound;
use causeway_abi::{GrantKind, GrantTerms};
use causeway_ffa::EndpointId;
use vm_memory::Bytes;

const PEER: EndpointId = EndpointId::from_raw(2);
const TERMS: GrantTerms =
    GrantTerms { peer: Some(PEER), kind: GrantKind::Share, permission: Permission::ReadWrite };
const SOON: Bound = Bound::millis(30);

fn offer<'c>(world: &FakeWorld, owner: &'c Connection<'c>) -> Result<Grant<'c>, Error> {
    Grant::offer(owner, world.pages(1, 2), TERMS).map_err(|failed| failed.error)
}

/// Two areas: one that is touched, and one that never is.
fn both<'c>(
    world: &FakeWorld,
    mapper: &'c Memory,
    owner: &'c Connection<'c>,
    peer: &'c Connection<'c>,
) -> Result<(), Error> {
    let (touched, idle) = (offer(world, owner)?, offer(world, owner)?);
    let mut lazy = LazyAreas::new(mapper);
    let ids = [7, 8].map(|id| AreaId::new(id).unwrap());
    for (id, grant) in ids.into_iter().zip([&touched, &idle]) {
        let accepted = Offer::inspect(peer, grant.handle())?.accept()?;
        lazy.bind(id, accepted).map_err(|not_bound| not_bound.error)?;
    }
    let written = lazy.memory().write_slice(b"hello", start_of(ids[0]));
    assert_eq!(written.is_ok(), lazy.failure(ids[0]).is_none());
    if written.is_ok() {
        let mut seen = [0; 5];
        touched.window().unwrap().read(0, &mut seen).unwrap();
        assert_eq!(&seen, b"hello");
    }
    // Both are let go, whatever the first met with.
    let ended = ids.map(|id| lazy.unbind(id).map(|_| ()));
    assert_eq!(lazy.counts(), (0, 0));
    ended.into_iter().collect::<Result<(), Error>>()?;
    for grant in [touched, idle] {
        grant.close(&FakeWait::idle(), SOON).map_err(|failed| failed.error)?;
    }
    Ok(())
}

fn whole_life(world: &FakeWorld, mapper: &Memory) -> Result<(), Error> {
    let (conduit_1, conduit_2) = (world.vm(1), world.vm(2));
    let owner = Connection::open(&conduit_1, world.mailbox(1)).map_err(|f| f.error)?;
    let peer = Connection::open(&conduit_2, world.mailbox(2)).map_err(|f| f.error)?;
    let lived = both(world, mapper, &owner, &peer);
    world.stop_failing();
    // What the peer still mapped when the owner let go waits to be reclaimed.
    assert_eq!((owner.sweep(), peer.sweep()), (0, 0));
    lived
}

#[test]
fn whichever_call_of_a_lazily_mapped_area_fails_nothing_stays_behind() {
    FakeWorld::whichever_call_fails_nothing_stays_behind(25, |world| {
        whole_life(world, &world.mapper())
    });
}
