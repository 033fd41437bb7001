//! virtio-drivers' unmodified entropy and console drivers: with the partition's own devices, and
//! with a console that VM 2 serves. Never touches a ring itself.

pub(super) mod backend;
pub(super) mod console;
pub(super) mod entropy;
pub(super) mod rng;

use crate::rt::client::{Clock, take_pages};
use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::bus::Bus;
use causeway_client::guest::{DmaPool, Health, Kick, Limit, MsgTransport, SharedArea};
use causeway_client::{Bound, Error};
use causeway_ffa::EndpointId;
use causeway_virtio::AreaId;
use causeway_virtio::types::Features;

/// VM 1, the driver.
const DRIVER: EndpointId = EndpointId::from_raw(1);
/// VM 2, the device side of the second console.
const BACKEND: EndpointId = EndpointId::from_raw(2);
/// How long anybody waits for an answer.
const BOUND: Bound = Bound::millis(20_000);
/// Pages of a link's only area.
const AREA_PAGES: u32 = 16;

/// What VM 1 says to the console of VM 2, which sends it back.
const GREETING: &str = "hello from VM 1 to the console of VM 2";

/// Grants an area to the device side and gives it to the pool; `peer` is none for the partition.
fn area<'c>(
    bus: &Bus<'c>,
    pool: &'static DmaPool,
    id: u16,
    peer: Option<EndpointId>,
) -> Result<SharedArea<'c>, Error> {
    let terms = GrantTerms { peer, kind: GrantKind::Share, permission: Permission::ReadWrite };
    let id = AreaId::new(id).expect("ids begin at 1");
    let mut area = SharedArea::new(pool, id, terms, take_pages(AREA_PAGES));
    area.share(bus, &Clock, BOUND)?;
    Ok(area)
}

/// Opens a device whose driver blocks on one queue.
fn transport<'b, 'c>(
    bus: &'b Bus<'c>,
    dev_num: u16,
    kick: Kick<'b>,
    health: &'b Health,
    limit: Limit<'b>,
) -> Result<MsgTransport<'b, 'c>, Error> {
    // virtio-drivers 0.13 compares the event index without wrapping, and would leave out a kick.
    let transport = MsgTransport::open(bus, dev_num, kick, health)?.without(Features::EVENT_IDX);
    Ok(transport.with_limit(limit))
}
