//! A doorbell's life with each call of either VM failing in turn: what failed half-way is bound by nobody,
//! and can be had again.

use super::*;
use crate::testing::{FakeWorld, Fault};

const ME: EndpointId = EndpointId::from_raw(1);
const PEER: EndpointId = EndpointId::from_raw(2);

/// Binds, is rung, looks, unbinds.
fn life(mine: &Doorbells<'_>, theirs: &Doorbells<'_>) -> Result<Rung, Error> {
    mine.bind(PEER)?;
    theirs.ring(ME)?;
    let rung = mine.poll()?;
    mine.unbind(PEER)?;
    Ok(rung)
}

/// Lives one with the call after the next `skip` ones failing, then lets go and lives another.
fn with_failure(skip: usize, fault: Fault) -> Option<Error> {
    let world = FakeWorld::new();
    let (conduit_1, conduit_2) = (world.vm(1), world.vm(2));
    let first = Connection::open(&conduit_1, world.mailbox(1)).unwrap();
    let second = Connection::open(&conduit_2, world.mailbox(2)).unwrap();
    let (mine, theirs) = (Doorbells::new(&first), Doorbells::new(&second));
    world.fail_after(skip, fault);
    let failed = life(&mine, &theirs).err();
    world.stop_failing();
    if skip > 0 && failed.is_some() {
        // It was bound by then; a bind that failed leaves nothing to be let go.
        mine.unbind(PEER).unwrap();
        mine.poll().unwrap();
    }
    assert!(theirs.ring(ME).is_err(), "{fault:?} at call {skip}: still bound");
    assert!(mine.poll().unwrap().is_silent(), "{fault:?} at call {skip}: still rung");
    let again = life(&mine, &theirs).unwrap();
    assert!(again.by(PEER) && !again.partition, "{fault:?} at call {skip}: {again:?}");
    drop((first, second));
    world.assert_clean(&format!("{fault:?} at call {skip}"));
    failed
}

#[test]
fn whichever_call_of_a_doorbells_life_fails_it_can_be_bound_anew() {
    const CALLS: usize = 4;
    assert_eq!(with_failure(CALLS, Fault::Refused), None, "nothing failed");
    for fault in [Fault::Refused, Fault::Garbage] {
        for skip in 0..CALLS {
            assert!(with_failure(skip, fault).is_some(), "{fault:?} at call {skip}");
        }
    }
}
