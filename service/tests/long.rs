//! Holds DIRECT_REQ2 to its promises against the fake Hafnium: the same frames, and messages of the
//! bus that five words cannot hold. No real SPMC that we run in CI delivers it.

use causeway_abi::{Call as Service, SERVICE_UUID, Status};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::call::DirectMessage2;
use causeway_ffa::{Call, EndpointId, FfaError, Regs, Uuid, Version};
use causeway_virtio::msg::dialect::DEVICE_ROLE_UUID;
use causeway_virtio::msg::{Body, BusRequest, BusResponse, Message};

const PARTITION: EndpointId = EndpointId::from_raw(0x8001);

fn boot(personality: Personality) -> Platform {
    Platform::boot(&Setup { vm_pages: 64, ..Setup::new(personality) })
}

fn ask(platform: &Platform, vm: u16, uuid: [u8; 16], words: [u64; 14]) -> Regs {
    let sender = EndpointId::from_raw(vm);
    let uuid = Uuid::from_bytes(uuid);
    let message = DirectMessage2 { sender, receiver: PARTITION, uuid, words };
    let mut regs = Call::DirectReq2(message).encode();
    platform.call(vm, &mut regs);
    regs
}

fn answer(regs: &Regs) -> [u64; 14] {
    match Call::decode(regs, Version::V1_2) {
        Ok(Call::DirectResp2(message)) => {
            assert!(message.uuid.is_nil());
            assert_eq!(message.sender, PARTITION);
            message.words
        }
        other => panic!("{other:?}"),
    }
}

fn words(start: &[u64]) -> [u64; 14] {
    core::array::from_fn(|at| start.get(at).copied().unwrap_or(0))
}

#[test]
fn a_frame_is_answered_as_in_five_words() {
    let platform = boot(Personality::HAFNIUM);
    for call in [Service::Events, Service::HypPoll] {
        let short = platform.frame(1, call.encode()).unwrap();
        let long = answer(&ask(&platform, 1, SERVICE_UUID, words(&call.encode())));
        assert_eq!(long, words(&short));
    }
}

#[test]
fn words_behind_a_frame_and_unknown_services_are_refused() {
    let platform = boot(Personality::HAFNIUM);
    let status = |long: [u64; 14]| u16::try_from(long[0] >> 16 & 0xffff).unwrap();
    let mut more = words(&Service::Events.encode());
    more[13] = 1;
    let refused = answer(&ask(&platform, 1, SERVICE_UUID, more));
    assert_eq!(status(refused), Status::ReservedNotZero.code());
    let refused = answer(&ask(&platform, 1, [7; 16], words(&Service::Events.encode())));
    assert_eq!(status(refused), Status::BadArgument.code());
    // A caller that no policy names is refused as in five words.
    let stranger = answer(&ask(&platform, 3, DEVICE_ROLE_UUID, words(&[])));
    assert_ne!(stranger, words(&[]));
}

#[test]
fn a_message_of_the_bus_may_be_longer_than_five_words() {
    let platform = boot(Personality::HAFNIUM);
    let ping = Body::BusRequest(BusRequest::Ping { echo: 0xfeed_f00d });
    let message = Message { dev_num: 0, token: 9, body: ping };
    let mut bytes = [0; 112];
    let encoded = message.encode();
    bytes[..encoded.bytes().len()].copy_from_slice(encoded.bytes());
    let (chunks, _) = bytes.as_chunks::<8>();
    let sent: [u64; 14] = core::array::from_fn(|at| u64::from_le_bytes(chunks[at]));
    let got = answer(&ask(&platform, 1, DEVICE_ROLE_UUID, sent));
    let back: Vec<u8> = got.iter().flat_map(|word| word.to_le_bytes()).collect();
    let decoded = Message::decode(&back).unwrap();
    assert_eq!(decoded.token, 9);
    assert_eq!(decoded.body, Body::BusResponse(BusResponse::Ping { echo: 0xfeed_f00d }));
}

#[test]
fn an_spmc_without_it_never_lets_it_through() {
    let platform = boot(Personality::EL3);
    let regs = ask(&platform, 1, SERVICE_UUID, words(&Service::Events.encode()));
    let refused = Call::decode(&regs, Version::V1_2);
    assert_eq!(refused, Ok(Call::Error(FfaError::NotSupported)));
}
