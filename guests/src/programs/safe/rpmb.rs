//! `demo_rpmb`: VM 1's replay-protected area and counter, across a power-off; VM 2 has its own, VM 3 none.

use super::device::{self, BOUND, Device};
use super::frames::{self, COUNTER, GENERAL, KEY, NO_KEY, NOT_AUTHENTIC, OK};
use super::{connect, status_of, until_ready};
use crate::rt::Boot;
use crate::rt::client::{Clock, take_pages};
use crate::{check, say};
use causeway_abi::Status;
use causeway_client::bus::Bus;
use causeway_client::security::{RpmbArea, Security};
use causeway_client::{Connection, Error};

/// The block that is read after the power was off.
const KEPT: u16 = 40;
/// The block of the other tests.
const BLOCK: u16 = 511;
/// The block that is written through the device.
const OTHER: u16 = 100;
/// The numbers that the manifest gives to VM 1's and VM 2's devices.
const DEVICES: [u16; 2] = [5, 2];

/// VM 1. The job is booted twice on one flash; each time all of this must hold.
pub(in crate::programs) fn owner(_boot: &Boot) {
    let connection = connect();
    let security = Security::of(connection);
    check!("rpmb/flash_is_ready_when_every_core_was_seen", until_ready(security));
    let area = RpmbArea::open(connection, take_pages(3)).expect("a local area");
    let begin = frames::ask(&area, &frames::read_counter()).expect("an answer");
    let again = begin.result != NO_KEY;
    let boot = if again { 2 } else { 1 };

    let programmed = frames::order(&area, &frames::program(&KEY));
    let first = programmed.is_some_and(|a| a.result == if again { GENERAL } else { OK });
    let second = frames::order(&area, &frames::program(&[9; 32]));
    let once = first && second.is_some_and(|a| a.result == GENERAL);
    check!("rpmb/key_is_programmed_once", once, "{programmed:?} {second:?}");

    let kept = frames::ask(&area, &frames::read(KEPT)).expect("an answer");
    let outlived = if again {
        begin.authentic && begin.counter == 3 && kept.data == [0xc3; 256]
    } else {
        kept.data == [0; 256] && begin.counter == 0
    };
    check!("rpmb/contents_and_counter_outlive_power_off", outlived && kept.authentic, "{begin:?}");

    let from = frames::ask(&area, &frames::read_counter()).expect("an answer").counter;
    let frame = frames::write(from, KEPT, &[0xc3; 256]);
    let written = frames::order(&area, &frame);
    let counted = written.is_some_and(|a| a.result == OK && a.counter == from + 1);
    check!("rpmb/a_write_that_proves_the_key_is_counted", counted, "{written:?}");
    let replayed = frames::order(&area, &frame);
    let refused = replayed.is_some_and(|a| a.result == COUNTER && a.counter == from + 1);
    check!("rpmb/a_replay_is_refused", refused, "{replayed:?}");
    let mut forged = frames::write(from + 1, BLOCK, &[1; 256]);
    forged[300] ^= 1;
    let met = frames::order(&area, &forged);
    check!("rpmb/a_forged_write_is_refused", met.is_some_and(|a| a.result == NOT_AUTHENTIC));
    let data = core::array::from_fn(|n| u8::try_from(n).unwrap_or(0));
    let written = frames::order(&area, &frames::write(from + 1, BLOCK, &data));
    let read = frames::ask(&area, &frames::read(BLOCK)).expect("an answer");
    let same = written.is_some_and(|a| a.result == OK) && read.authentic && read.data == data;
    check!("rpmb/what_was_written_reads_back_authentic", same, "{written:?}");

    let met = through_device(connection, &area, from + 2);
    check!("rpmb/device_driven_and_reset", met.is_ok(), "{met:?}");

    let counter = security.increment(0);
    check!("rpmb/counter_goes_up_by_one_at_each_boot", counter == Ok(boot), "{counter:?} {boot}");
    let beyond = security.increment(4);
    let named = status_of(&beyond) == Some(Status::NoSuchNumber);
    check!("rpmb/a_counter_beyond_policy_is_refused", named, "{beyond:?}");
    let counter = counter.unwrap_or(0);
    say!("RESULT job=rpmb boot={boot} counter={counter} write_counter={}", from + 3);
}

/// The same memory through the virtio device: what it writes the call reads.
fn through_device(
    connection: &Connection<'_>,
    area: &RpmbArea<'_>,
    counter: u32,
) -> Result<(), Error> {
    let bus = Bus::open(connection, take_pages(2), &Clock, BOUND).map_err(|no| no.error)?;
    let grant = device::grant(&bus)?;
    let mut device = Device::open(&bus, DEVICES[0], &grant)?;
    let limits = device.limits;
    check!("rpmb/device_tells_its_limits", limits == [1, 1, 16], "{limits:?}");
    let data = core::array::from_fn(|n| u8::try_from(n ^ 0x5a).unwrap_or(0));
    let frame = frames::write(counter, OTHER, &data);
    let result = frames::read_result();
    let written = device.ask(&[&frame, &result]).map(|answer| frames::answer(&answer));
    let read = frames::ask(area, &frames::read(OTHER));
    let same = written.is_some_and(|a| a.result == OK && a.counter == counter + 1)
        && read.is_some_and(|a| a.authentic && a.data == data);
    check!("rpmb/what_the_device_wrote_the_call_reads", same, "{written:?} {read:?}");
    let replayed = device.ask(&[&frame, &result]).map(|answer| frames::answer(&answer));
    let refused = replayed.is_some_and(|a| a.result == COUNTER && a.counter == counter + 1);
    check!("rpmb/device_refuses_a_replay", refused, "{replayed:?}");
    let read = device.ask(&[&frames::read(BLOCK)]).map(|answer| frames::answer(&answer));
    let whole = read.is_some_and(|a| a.authentic && a.result == OK);
    check!("rpmb/device_reads_authentic", whole, "{read:?}");
    device.close()?;
    device::take_back(&bus, grant)?;
    bus.close().map_err(|no| no.error)?;
    Ok(())
}

/// VM 2: has an area of its own, without a key, by call and by device.
pub(in crate::programs) fn other(_boot: &Boot) {
    let connection = connect();
    until_ready(Security::of(connection));
    let area = RpmbArea::open(connection, take_pages(3)).expect("a local area");
    let met = frames::ask(&area, &frames::read_counter());
    let own = met.is_some_and(|a| a.result == NO_KEY);
    check!("rpmb/vm2_has_an_area_of_its_own", own, "{met:?}");
    let met = device_of_its_own(connection);
    check!("rpmb/vm2_has_a_device_of_its_own", met == Ok(Some(NO_KEY)), "{met:?}");
}

fn device_of_its_own(connection: &Connection<'_>) -> Result<Option<u16>, Error> {
    let bus = Bus::open(connection, take_pages(2), &Clock, BOUND).map_err(|no| no.error)?;
    let grant = device::grant(&bus)?;
    let mut device = Device::open(&bus, DEVICES[1], &grant)?;
    let met = device.ask(&[&frames::read_counter()]).map(|answer| frames::answer(&answer).result);
    device.close()?;
    device::take_back(&bus, grant)?;
    bus.close().map_err(|no| no.error)?;
    Ok(met)
}

/// VM 3: policy gives it nothing.
pub(in crate::programs) fn stranger(_boot: &Boot) {
    let security = Security::of(connect());
    let met = security.counter(0);
    let refused = status_of(&met) == Some(Status::PolicyService);
    check!("rpmb/nothing_for_vm3", refused, "{met:?}");
}
