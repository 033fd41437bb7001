//! The lives of the areas of the security services, with each call failing in turn: whatever came of it,
//! the platform's books are empty once the VM has let go.

use super::*;
use crate::testing::FakeWait;
use crate::wait::Bound;
use causeway_abi::vault::KeyPurpose;

const SOON: Bound = Bound::millis(30);

/// Keys: an area, a key of this VM's, a tag, and the area back.
fn keys(world: &FakeWorld, connection: &Connection<'_>) -> Result<(), Error> {
    let area = KeyArea::open(connection, world.pages(1, 2)).map_err(|failed| failed.error)?;
    area.import(0, KeyPurpose::Mac, &[5; 32])?;
    let tag = area.mac(0, b"a message")?;
    area.verify(0, b"a message", &tag)?;
    Security::of(connection).delete_key(0)?;
    let pages = area.close(&FakeWait::idle(), SOON).map_err(|failed| failed.error)?;
    assert_eq!(pages.page_count(), 2);
    Ok(())
}

/// Replay-protected memory: an area, a frame that asks for the write counter, and the area back.
fn rpmb(world: &FakeWorld, connection: &Connection<'_>) -> Result<(), Error> {
    let area = RpmbArea::open(connection, world.pages(1, 2)).map_err(|failed| failed.error)?;
    let mut request = [0; FRAME_BYTES];
    // The request's type is its last word, big-endian: 2 reads the write counter.
    request[FRAME_BYTES - 1] = 2;
    let mut answers = [[0; FRAME_BYTES]; 1];
    assert_eq!(area.request(&request, &mut answers)?, 1);
    let pages = area.close(&FakeWait::idle(), SOON).map_err(|failed| failed.error)?;
    assert_eq!(pages.page_count(), 2);
    Ok(())
}

type Life = fn(&FakeWorld, &Connection<'_>) -> Result<(), Error>;

fn lived(world: &FakeWorld, life: Life) -> Result<(), Error> {
    let conduit = world.vm(1);
    let opened = Connection::open(&conduit, world.mailbox(1));
    let connection = opened.map_err(|failed| failed.error)?;
    let lived = life(world, &connection);
    world.stop_failing();
    assert_eq!(connection.sweep(), 0);
    lived
}

#[test]
fn whichever_call_of_a_key_areas_life_fails_nothing_stays_behind() {
    FakeWorld::whichever_call_fails_nothing_stays_behind(0, |world| lived(world, keys));
}

#[test]
fn whichever_call_of_an_rpmb_areas_life_fails_nothing_stays_behind() {
    FakeWorld::whichever_call_fails_nothing_stays_behind(0, |world| lived(world, rpmb));
}
