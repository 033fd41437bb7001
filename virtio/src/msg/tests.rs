//! Tests of the codec: golden bytes cite the table that they come from.

use super::*;
use crate::addr::{AreaId, BusAddr};
use crate::types::Status;
use causeway_ffa::MemHandle;
use proptest::prelude::*;

fn message(dev_num: u16, token: u16, body: Body) -> Message {
    Message { dev_num, token, body }
}

/// Encodes to the golden bytes, and back to the message.
fn golden(message: Message, bytes: &[u8]) {
    assert_eq!(message.encode().bytes(), bytes);
    assert_eq!(Message::decode(bytes), Ok(message));
}

fn config(generation: u32, offset: u32, data: &[u8]) -> ConfigData {
    ConfigData { generation, offset, data: ConfigBytes::new(data).unwrap() }
}

fn area(id: u16) -> AreaId {
    AreaId::new(id).unwrap()
}

// Source of all golden bytes below: reference "virtio-msg and its FF-A bus", tables "Transport
// messages" and "Bus messages" (OASIS patch v2, ALP2).

#[test]
fn device_information_has_44_bytes_of_payload() {
    golden(message(3, 0x0102, Body::Request(Request::GetDeviceInfo)), &[0, 2, 3, 0, 2, 1, 8, 0]);
    let info = DeviceInfo {
        device_id: 2,
        vendor_id: 0x1af4,
        uuid: [9; 16],
        num_feature_blocks: 2,
        config_size: 60,
        max_virtqueues: 1,
        admin_vq_start: 0,
        admin_vq_count: 0,
    };
    let mut bytes = vec![1, 2, 3, 0, 2, 1, 52, 0, 2, 0, 0, 0, 0xf4, 0x1a, 0, 0];
    bytes.extend([9; 16]);
    bytes.extend([2, 0, 0, 0, 60, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    golden(message(3, 0x0102, Body::Response(Response::GetDeviceInfo(info))), &bytes);
}

#[test]
fn features_travel_as_index_count_and_blocks() {
    let range = BlockRange { index: 0, count: 2 };
    golden(
        message(1, 7, Body::Request(Request::GetDeviceFeatures(range))),
        &[0, 3, 1, 0, 7, 0, 16, 0, 0, 0, 0, 0, 2, 0, 0, 0],
    );
    let words = FeatureWords::collect([0x200, 1]).unwrap();
    let blocks = FeatureBlocks { index: 0, words };
    let payload = [0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0];
    let mut bytes = vec![1, 3, 1, 0, 7, 0, 24, 0];
    bytes.extend(payload);
    golden(message(1, 7, Body::Response(Response::GetDeviceFeatures(blocks))), &bytes);
    bytes[0] = 0;
    bytes[1] = 4;
    golden(message(1, 7, Body::Request(Request::SetDriverFeatures(blocks))), &bytes);
    golden(message(1, 7, Body::Response(Response::SetDriverFeatures)), &[1, 4, 1, 0, 7, 0, 8, 0]);
}

#[test]
fn configuration_carries_generation_offset_and_length() {
    let range = ConfigRange { offset: 4, len: 2 };
    golden(
        message(0, 1, Body::Request(Request::GetConfig(range))),
        &[0, 5, 0, 0, 1, 0, 16, 0, 4, 0, 0, 0, 2, 0, 0, 0],
    );
    let got = config(6, 4, &[0xaa, 0xbb]);
    let payload = [6, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0xaa, 0xbb];
    let with = |kind: u8, id: u8| {
        let mut bytes = vec![kind, id, 0, 0, 1, 0, 22, 0];
        bytes.extend(payload);
        bytes
    };
    golden(message(0, 1, Body::Response(Response::GetConfig(got))), &with(1, 5));
    golden(message(0, 1, Body::Request(Request::SetConfig(got))), &with(0, 6));
    golden(message(0, 1, Body::Response(Response::SetConfig(got))), &with(1, 6));
    let event = ConfigEvent::new(Status::from_raw(0x4f), got).unwrap();
    let mut bytes = vec![0, 0x40, 0, 0, 1, 0, 26, 0, 0x4f, 0, 0, 0];
    bytes.extend(payload);
    golden(message(0, 1, Body::Request(Request::EventConfig(event))), &bytes);
}

#[test]
fn status_and_queue_numbers_are_one_word() {
    let status = Status::from_raw(0x0f);
    golden(message(2, 1, Body::Request(Request::GetDeviceStatus)), &[0, 7, 2, 0, 1, 0, 8, 0]);
    golden(
        message(2, 1, Body::Response(Response::GetDeviceStatus(status))),
        &[1, 7, 2, 0, 1, 0, 12, 0, 15, 0, 0, 0],
    );
    golden(
        message(2, 1, Body::Request(Request::SetDeviceStatus(status))),
        &[0, 8, 2, 0, 1, 0, 12, 0, 15, 0, 0, 0],
    );
    golden(
        message(2, 1, Body::Response(Response::SetDeviceStatus(Status::RESET))),
        &[1, 8, 2, 0, 1, 0, 12, 0, 0, 0, 0, 0],
    );
    golden(
        message(2, 1, Body::Request(Request::GetVqueue { index: 5 })),
        &[0, 9, 2, 0, 1, 0, 12, 0, 5, 0, 0, 0],
    );
    golden(
        message(2, 1, Body::Request(Request::ResetVqueue { index: 5 })),
        &[0, 11, 2, 0, 1, 0, 12, 0, 5, 0, 0, 0],
    );
    golden(message(2, 1, Body::Response(Response::ResetVqueue)), &[1, 11, 2, 0, 1, 0, 8, 0]);
    golden(
        message(2, 0, Body::Request(Request::EventAvail { index: 5, next_offset: 6 })),
        &[0, 0x41, 2, 0, 0, 0, 16, 0, 5, 0, 0, 0, 6, 0, 0, 0],
    );
    golden(
        message(2, 0, Body::Request(Request::EventUsed { index: 5 })),
        &[0, 0x42, 2, 0, 0, 0, 12, 0, 5, 0, 0, 0],
    );
}

#[test]
fn queues_carry_three_bus_addresses() {
    let at = |offset| BusAddr::new(area(1), offset).unwrap();
    let set = SetVqueue {
        index: 1,
        flags: VqueueFlags::ENABLE,
        size: 256,
        desc: at(0x1000),
        driver: at(0x2000),
        device: at(0x3000),
    };
    let addresses = [0, 16, 0, 0, 0, 0, 1, 0, 0, 32, 0, 0, 0, 0, 1, 0, 0, 48, 0, 0, 0, 0, 1, 0];
    let mut bytes = vec![0, 10, 2, 0, 1, 0, 48, 0];
    bytes.extend([1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(addresses);
    golden(message(2, 1, Body::Request(Request::SetVqueue(set))), &bytes);
    golden(message(2, 1, Body::Response(Response::SetVqueue)), &[1, 10, 2, 0, 1, 0, 8, 0]);
    let queue = Vqueue {
        index: 1,
        max_size: 1024,
        cur_size: 256,
        enabled: true,
        desc: at(0x1000),
        driver: at(0x2000),
        device: at(0x3000),
    };
    let mut bytes = vec![1, 9, 2, 0, 1, 0, 48, 0];
    bytes.extend([1, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]);
    bytes.extend(addresses);
    golden(message(2, 1, Body::Response(Response::GetVqueue(queue))), &bytes);
}

#[test]
fn shared_memory_regions_have_64_bit_fields() {
    golden(
        message(2, 1, Body::Request(Request::GetShm { shmid: 3 })),
        &[0, 12, 2, 0, 1, 0, 12, 0, 3, 0, 0, 0],
    );
    let shm = Shm { shmid: 3, len: 0x1000, address: 0x0002_0000_0000_0000 };
    golden(
        message(2, 1, Body::Response(Response::GetShm(shm))),
        &[
            1, 12, 2, 0, 1, 0, 32, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 2, 0,
        ],
    );
}

#[test]
fn general_bus_messages() {
    golden(
        message(0, 9, Body::BusRequest(BusRequest::GetDevices { offset: 0, count: 16 })),
        &[2, 2, 0, 0, 9, 0, 12, 0, 0, 0, 16, 0],
    );
    let mut map = DeviceBitmap::new(0, 0, 16).unwrap();
    map.insert(1);
    map.insert(9);
    golden(
        message(0, 9, Body::BusResponse(BusResponse::GetDevices(map))),
        &[3, 2, 0, 0, 9, 0, 16, 0, 0, 0, 0, 0, 16, 0, 2, 2],
    );
    golden(
        message(0, 9, Body::BusRequest(BusRequest::Ping { echo: 0x0403_0201 })),
        &[2, 3, 0, 0, 9, 0, 12, 0, 1, 2, 3, 4],
    );
    golden(
        message(0, 9, Body::BusResponse(BusResponse::Ping { echo: 0x0403_0201 })),
        &[3, 3, 0, 0, 9, 0, 12, 0, 1, 2, 3, 4],
    );
    let added = BusRequest::EventDevice { dev_num: 5, state: DeviceState::Added };
    golden(message(0, 0, Body::BusRequest(added)), &[2, 0x40, 0, 0, 0, 0, 12, 0, 5, 0, 1, 0]);
    golden(message(0, 4, Body::BusResponse(BusResponse::EventAck)), &[3, 0, 0, 0, 4, 0, 8, 0]);
}

const FEATURES: BusFeatures = BusFeatures::DIRECT_RX.with(BusFeatures::FIFO);

fn version(ffa_version: Option<u32>) -> VersionResponse {
    VersionResponse {
        bus_version: dialect::BUS_VERSION,
        transport_revision: dialect::TRANSPORT_REVISION,
        ffa_version,
        feature_bits: 0,
        bus_features: FEATURES,
        max_areas: 16,
    }
}

#[test]
fn ffa_version_of_alp2_is_12_bytes_asked_and_22_answered() {
    let ask =
        VersionRequest::Alp2 { bus_version: 0, transport_revision: 0, ffa_version: 0x0001_0001 };
    golden(
        message(0, 1, Body::BusRequest(BusRequest::Version(ask))),
        &[2, 0x80, 0, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0],
    );
    golden(
        message(0, 1, Body::BusResponse(BusResponse::Version(version(Some(0x0001_0001))))),
        &[
            3, 0x80, 0, 0, 1, 0, 30, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0x41, 0, 0,
            0, 16, 0,
        ],
    );
}

#[test]
fn ffa_version_of_the_den0153_era_is_8_bytes_asked_and_18_answered() {
    let ask = VersionRequest::Den0153V1 {
        bus_version: dialect::BUS_VERSION,
        transport_revision: dialect::TRANSPORT_REVISION,
    };
    golden(
        message(0, 1, Body::BusRequest(BusRequest::Version(ask))),
        &[2, 0x80, 0, 0, 1, 0, 16, 0, 0, 0, 1, 0, 1, 0, 0, 0],
    );
    golden(
        message(0, 1, Body::BusResponse(BusResponse::Version(version(None)))),
        &[3, 0x80, 0, 0, 1, 0, 26, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x41, 0, 0, 0, 16, 0],
    );
}

#[test]
fn ffa_version_of_the_rfc_is_18_bytes_both_ways_with_or_without_token() {
    let ask = VersionRequest::Rfc2025 {
        bus_version: dialect::RFC_BUS_VERSION,
        transport_revision: 1,
        feature_bits: 0,
        bus_features: BusFeatures::from_raw(0xf),
        max_areas: 0xffff,
    };
    let mut bytes = vec![2, 0x80, 0, 0, 1, 0, 26, 0];
    let payload = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0xff, 0xff];
    bytes.extend(payload);
    golden(message(0, 1, Body::BusRequest(BusRequest::Version(ask))), &bytes);
    assert!(!dialect::is_tokenless_version(&bytes));

    // Without a token the size stands where it would be, and the message has size 1.
    let mut bytes = vec![2, 0x80, 0, 0, 24, 0];
    bytes.extend(payload);
    assert_eq!(Message::decode(&bytes), Err(MsgError::Size));
    assert!(dialect::is_tokenless_version(&bytes));
    assert_eq!(
        dialect::tokenless_version_answer(&version(Some(7))),
        [3, 0x80, 0, 0, 24, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x41, 0, 0, 0, 16, 0]
    );
    for at in 0..10 {
        bytes[at] ^= 0x80;
        assert!(!dialect::is_tokenless_version(&bytes), "byte {at}");
        bytes[at] ^= 0x80;
    }
}

#[test]
fn a_dialect_is_told_by_the_size_of_its_version_alone() {
    use dialect::Dialect;
    let dialects = [(18, Dialect::Rfc2025), (8, Dialect::Den0153V1), (12, Dialect::Alp2)];
    for (size, dialect) in dialects {
        assert_eq!(Dialect::of_version_request(size), Ok(dialect));
        assert_eq!(dialect.is_served(), dialect != Dialect::Rfc2025);
    }
    for size in [0, 4, 9, 13, 17, 22] {
        assert_eq!(Dialect::of_version_request(size), Err(MsgError::Length));
    }
}

#[test]
fn fourteen_words_carry_the_longest_message_and_a_zero_tail() {
    let data = ConfigBytes::new(&[0x5a; ConfigBytes::MAX]).unwrap();
    let full = ConfigData { generation: 1, offset: 0, data };
    let longest = message(1, 1, Body::Response(Response::GetConfig(full)));
    let words = longest.encode().to_long_frame();
    assert_eq!(words[12], 0x5a5a_5a5a_5a5a_5a5a);
    assert_eq!(words[13], 0);
    assert_eq!(longest.encode().to_frame(), None);
    assert_eq!(Message::decode(&long_frame_bytes(&words)), Ok(longest));
}

#[test]
fn ffa_areas() {
    let share = AreaShare {
        area: area(0x0201),
        handle: MemHandle::new(0x8877_6655_4433_2211).unwrap(),
        tag: 5,
        page_count: 0x100,
        attrs: AreaAttrs::SHARED_READ_WRITE,
    };
    golden(
        message(0, 1, Body::BusRequest(BusRequest::AreaShare(share))),
        &[
            2, 0x81, 0, 0, 1, 0, 34, 0, 1, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 5, 0,
            0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xf4, 6, 0, 0,
        ],
    );
    let id = area(0x0201);
    let shared = BusResponse::AreaShare { area: id, result: BusResult::Busy };
    golden(message(0, 1, Body::BusResponse(shared)), &[3, 0x81, 0, 0, 1, 0, 12, 0, 1, 2, 2, 0]);
    golden(
        message(0, 1, Body::BusRequest(BusRequest::AreaUnshare { area: id })),
        &[2, 0x82, 0, 0, 1, 0, 10, 0, 1, 2],
    );
    let gone = BusResponse::AreaUnshare { area: id, result: BusResult::Ok };
    golden(message(0, 1, Body::BusResponse(gone)), &[3, 0x82, 0, 0, 1, 0, 12, 0, 1, 2, 0, 0]);
    golden(
        message(0, 1, Body::BusRequest(BusRequest::EventAreaRelease { area: id })),
        &[2, 0xc0, 0, 0, 1, 0, 10, 0, 1, 2],
    );
}

#[test]
fn ffa_set_up_messages() {
    golden(message(0, 1, Body::BusRequest(BusRequest::Reset)), &[2, 0x83, 0, 0, 1, 0, 8, 0]);
    golden(
        message(0, 1, Body::BusResponse(BusResponse::Reset { result: BusResult::Error })),
        &[3, 0x83, 0, 0, 1, 0, 10, 0, 1, 0],
    );
    golden(message(0, 1, Body::BusRequest(BusRequest::EventPoll)), &[2, 0x84, 0, 0, 1, 0, 8, 0]);
    golden(message(0, 1, Body::BusResponse(BusResponse::EventPoll)), &[3, 0x84, 0, 0, 1, 0, 8, 0]);
    let events = BusRequest::EventConfigure { method: EventMethod::Fifo, notif_id: 7 };
    golden(message(0, 1, Body::BusRequest(events)), &[2, 0x85, 0, 0, 1, 0, 12, 0, 3, 0, 7, 0]);
    golden(
        message(0, 1, Body::BusResponse(BusResponse::EventConfigure { result: BusResult::Ok })),
        &[3, 0x85, 0, 0, 1, 0, 10, 0, 0, 0],
    );
    let handle = MemHandle::new(0).unwrap();
    let fifo = BusRequest::FifoConfigure { handle, page_count: 2, driver_notif_id: 1 };
    golden(
        message(0, 1, Body::BusRequest(fifo)),
        &[2, 0x86, 0, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0],
    );
    let open = BusResponse::FifoConfigure { result: BusResult::Ok, device_notif_id: 3 };
    golden(message(0, 1, Body::BusResponse(open)), &[3, 0x86, 0, 0, 1, 0, 12, 0, 0, 0, 3, 0]);
    golden(
        message(4, 1, Body::BusResponse(BusResponse::Error { original_msg_id: 0x0a })),
        &[3, 0x87, 4, 0, 1, 0, 10, 0, 10, 0],
    );
}

#[test]
fn longest_messages_lose_nothing() {
    let data = ConfigBytes::new(&[0x5a; ConfigBytes::MAX]).unwrap();
    let full = ConfigData { generation: 1, offset: 0, data };
    let words = FeatureWords::collect(0..22).unwrap();
    let mut map = DeviceBitmap::new(0, 0, DeviceBitmap::MAX_COUNT).unwrap();
    map.insert(719);
    let bodies = [
        Body::Response(Response::GetConfig(full)),
        Body::Request(Request::SetDriverFeatures(FeatureBlocks { index: 0, words })),
        Body::Request(Request::EventConfig(
            ConfigEvent::new(Status::RESET, config(1, 0, &[1; transport::CONFIG_EVENT_MAX]))
                .unwrap(),
        )),
        Body::BusResponse(BusResponse::GetDevices(map)),
    ];
    for body in bodies {
        let dev_num = if matches!(body, Body::BusResponse(_)) { 0 } else { 1 };
        let whole = message(dev_num, 1, body);
        assert_eq!(whole.encode().bytes().len(), MAX_MESSAGE_BYTES);
        assert_eq!(Message::decode(whole.encode().bytes()), Ok(whole));
    }
    assert_eq!(ConfigBytes::new(&[0; 85]), None);
    assert_eq!(FeatureWords::collect(0..23), None);
    assert_eq!(ConfigEvent::new(Status::RESET, config(0, 0, &[0; 81])), None);
    assert_eq!(DeviceBitmap::new(0, 0, 721), None);
}

#[test]
fn malformed_headers_are_told_apart() {
    assert_eq!(Message::decode(&[]), Err(MsgError::Short));
    assert_eq!(Message::decode(&[0, 2, 0, 0, 0, 0, 8]), Err(MsgError::Short));
    assert_eq!(Message::decode(&[4, 2, 0, 0, 0, 0, 8, 0]), Err(MsgError::Type));
    assert_eq!(Message::decode(&[0, 2, 0, 0, 0, 0, 7, 0]), Err(MsgError::Size));
    assert_eq!(Message::decode(&[0, 2, 0, 0, 0, 0, 105, 0]), Err(MsgError::Size));
    assert_eq!(Message::decode(&[0, 8, 0, 0, 0, 0, 12, 0, 1, 0, 0]), Err(MsgError::Short));
    assert_eq!(Message::decode(&[0, 0x0d, 0, 0, 0, 0, 8, 0]), Err(MsgError::Unknown));
    assert_eq!(Message::decode(&[0, 2, 0, 0, 0, 0, 9, 0, 0]), Err(MsgError::Length));
    assert_eq!(Message::decode(&[0, 8, 0, 0, 0, 0, 11, 0, 1, 0, 0]), Err(MsgError::Length));
    assert_eq!(Message::decode(&[2, 0x83, 1, 0, 0, 0, 8, 0]), Err(MsgError::BusDevice));
}

#[test]
fn values_without_meaning_are_refused() {
    // A length beyond the message, reserved bits of SET_VQUEUE, area 0, an unknown event method.
    let mut config = vec![1, 5, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    config.extend(u32::MAX.to_le_bytes());
    assert_eq!(Message::decode(&config), Err(MsgError::Length));
    let mut set = vec![0, 10, 0, 0, 0, 0, 48, 0];
    set.extend([0; 40]);
    assert!(Message::decode(&set).is_ok());
    set[12] = 3;
    assert_eq!(Message::decode(&set), Err(MsgError::Value));
    set[12] = 0x40;
    assert_eq!(Message::decode(&set), Err(MsgError::Value));
    set[12] = 0;
    set[20] = 1;
    assert_eq!(Message::decode(&set), Err(MsgError::Reserved));
    assert_eq!(Message::decode(&[2, 0x82, 0, 0, 0, 0, 10, 0, 0, 0]), Err(MsgError::Value));
    assert_eq!(Message::decode(&[2, 0x85, 0, 0, 0, 0, 12, 0, 4, 0, 0, 0]), Err(MsgError::Value));
    assert_eq!(Message::decode(&[2, 0x85, 0, 0, 0, 0, 12, 0, 0, 1, 0, 0]), Err(MsgError::Reserved));
}

#[test]
fn only_plain_memory_is_plain() {
    assert!(AreaAttrs::SHARED_READ_WRITE.is_plain_memory());
    assert!(AreaAttrs::SHARED_READ_ONLY.is_plain_memory());
    assert!(AreaAttrs::new(0x6f5).unwrap().is_plain_memory(), "lend");
    let others = [(0x6f6, "donate"), (0x6fc, "executable"), (0x2f4, "secure"), (0x5f4, "device")];
    for (raw, why) in others {
        assert!(!AreaAttrs::new(raw).unwrap().is_plain_memory(), "{why}");
    }
    assert_eq!(AreaAttrs::new(3), None);
    assert_eq!(AreaAttrs::new(0x1000), None);
}

#[test]
fn frames_hold_40_bytes_little_endian() {
    let ping = message(0, 9, Body::BusRequest(BusRequest::Ping { echo: 0x0403_0201 })).encode();
    let words = ping.to_frame().unwrap();
    assert_eq!(words, [0x000c_0009_0000_0302, 0x0403_0201, 0, 0, 0]);
    assert_eq!(Message::decode(&frame_bytes(&words)), Message::decode(ping.bytes()));
    let set = message(0, 0, Body::Response(Response::GetVqueue(Vqueue::default())));
    assert_eq!(set.encode().to_frame(), None);
}

proptest! {
    /// Every input is a message or an error, and what is a message is written as it was read.
    #[test]
    #[cfg_attr(miri, ignore = "too slow under Miri")]
    fn decoding_is_total_and_encoding_its_inverse(
        kind in 0_u8..5,
        msg_id in prop_oneof![0_u8..0x10, 0x40_u8..0x44, 0x80_u8..0x90, any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..120),
        size in prop_oneof![8_u16..112, any::<u16>()],
        quiet in any::<bool>(),
    ) {
        let mut bytes = vec![kind, msg_id, 0, 0, 7, 0];
        bytes.extend(size.to_le_bytes());
        bytes.extend(rest.iter().map(|b| if quiet { b & 1 } else { *b }));
        if let Ok(message) = Message::decode(&bytes) {
            let encoded = message.encode();
            prop_assert_eq!(encoded.bytes(), &bytes[..usize::from(size)]);
        }
    }
}
