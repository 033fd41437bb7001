//! Tests of a device's virtio life: status, features, queues, configuration.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one variant")]

use super::*;
use crate::addr::{AreaId, BusAddr};
use crate::device::rng::{EntropySource, NoEntropy, Rng};
use crate::device::{Applied, DeviceModel, Identity};
use crate::mem::WordArea;
use crate::queue::{Chain, DriverQueue, Segment};
use crate::types::DeviceId;
use core::sync::atomic::AtomicU16;

/// A device with one queue and eight bytes of configuration, of which the last four can be written.
struct Echo {
    config: [u8; 8],
    started: Option<Features>,
    resets: u32,
}

impl DeviceModel for Echo {
    fn identity(&self) -> Identity {
        Identity { device: DeviceId::from_raw(99), vendor: 5, uuid: [7; 16] }
    }

    fn features(&self) -> Features {
        Features::from_raw(1)
    }

    fn config_len(&self) -> u32 {
        8
    }

    fn read_config(&self, offset: u32, into: &mut [u8]) {
        let start = usize::try_from(offset).unwrap();
        into.copy_from_slice(&self.config[start..start + into.len()]);
    }

    fn write_config(&mut self, offset: u32, from: &[u8]) -> Applied {
        if offset < 4 {
            return Applied::No;
        }
        let start = usize::try_from(offset).unwrap();
        self.config[start..start + from.len()].copy_from_slice(from);
        Applied::Yes
    }

    fn queue_count(&self) -> u16 {
        1
    }

    fn max_queue_size(&self, _: u16) -> QueueSize {
        QueueSize::new(32).unwrap()
    }

    fn start(&mut self, features: Features) {
        self.started = Some(features);
    }

    fn serve<M: AreaMap + ?Sized>(
        &mut self,
        mem: &M,
        _: u16,
        queue: &mut DeviceQueue,
        budget: u32,
    ) -> Result<u32, QueueError> {
        let mut chain = Chain::<4>::new();
        let mut count = 0;
        while count < budget {
            let Some(head) = queue.take(mem, &mut chain)? else { break };
            queue.complete(mem, head, 0)?;
            count += 1;
        }
        Ok(count)
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}

type Server = DeviceServer<Echo, 2>;

fn server() -> Server {
    DeviceServer::new(Echo { config: [1, 2, 3, 4, 5, 6, 7, 8], started: None, resets: 0 })
}

fn words() -> Vec<AtomicU16> {
    (0..0x4000).map(|_| AtomicU16::new(0)).collect()
}

fn map(words: &[AtomicU16]) -> WordArea<'_> {
    WordArea::new(AreaId::new(1).unwrap(), words)
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn ask(server: &mut Server, mem: &WordArea<'_>, request: Request) -> Option<Response> {
    let message = Message { dev_num: 3, token: 9, body: Body::Request(request) };
    let answer = server.answer(mem, &message)?;
    assert_eq!((answer.dev_num, answer.token), (3, 9));
    match answer.body {
        Body::Response(response) => Some(response),
        other => panic!("{other:?}"),
    }
}

fn set_status(server: &mut Server, mem: &WordArea<'_>, raw: u32) -> u32 {
    match ask(server, mem, Request::SetDeviceStatus(Status::from_raw(raw))) {
        Some(Response::SetDeviceStatus(status)) => status.get(),
        other => panic!("{other:?}"),
    }
}

fn set_features(server: &mut Server, mem: &WordArea<'_>, words: [u32; 2]) -> Option<Response> {
    let words = FeatureWords::collect(words).unwrap();
    ask(server, mem, Request::SetDriverFeatures(FeatureBlocks { index: 0, words }))
}

fn queue(flags: VqueueFlags) -> SetVqueue {
    let (desc, driver, device) = (at(0), at(0x1000), at(0x2000));
    SetVqueue { index: 0, flags, size: 16, desc, driver, device }
}

#[test]
fn device_tells_what_it_is() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    let Some(Response::GetDeviceInfo(info)) = ask(&mut server, &mem, Request::GetDeviceInfo) else {
        panic!()
    };
    assert_eq!((info.device_id, info.vendor_id, info.uuid), (99, 5, [7; 16]));
    assert_eq!((info.config_size, info.max_virtqueues, info.num_feature_blocks), (8, 1, 2));
    let range = BlockRange { index: 0, count: 3 };
    let Some(Response::GetDeviceFeatures(blocks)) =
        ask(&mut server, &mem, Request::GetDeviceFeatures(range))
    else {
        panic!()
    };
    assert_eq!(blocks.words.as_slice(), [0x3000_0001, 0x10f, 0]);
    for range in [BlockRange { index: 0, count: 23 }, BlockRange { index: u32::MAX, count: 2 }] {
        assert_eq!(ask(&mut server, &mem, Request::GetDeviceFeatures(range)), None);
    }
}

#[test]
fn features_must_suit_before_the_driver_goes_on() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    assert_eq!(set_status(&mut server, &mem, 0x3), 0x3);
    assert!(set_features(&mut server, &mem, [1, 0]).is_some());
    assert_eq!(set_status(&mut server, &mem, 0xb), 0x3, "VERSION_1 is demanded");
    assert!(set_features(&mut server, &mem, [2, 1]).is_some());
    assert_eq!(set_status(&mut server, &mem, 0xb), 0x3, "bit 1 is not offered");
    assert_eq!(set_status(&mut server, &mem, 0x7), 0x3, "DRIVER_OK needs FEATURES_OK");
    assert!(set_features(&mut server, &mem, [1, 1]).is_some());
    assert_eq!(set_status(&mut server, &mem, 0xb), 0xb);
    assert_eq!(server.model().started, Some(Features::from_raw(0x1_0000_0001)));
    assert_eq!(set_features(&mut server, &mem, [0, 1]), None, "too late");
    assert_eq!(set_status(&mut server, &mem, 0x1), 0xb, "bits are not cleared");
    assert_eq!(set_status(&mut server, &mem, 0x40), 0xb, "the driver cannot set NEEDS_RESET");
    assert_eq!(set_status(&mut server, &mem, 0xf), 0xf);
    assert_eq!(set_status(&mut server, &mem, 0), 0);
    assert_eq!(server.model().resets, 1);
    let words = FeatureWords::collect([0, 0, 1]).unwrap();
    let beyond = Request::SetDriverFeatures(FeatureBlocks { index: 0, words });
    assert_eq!(ask(&mut server, &mem, beyond), None, "bits that cannot exist");
}

#[test]
fn configuration_is_bounded_and_has_a_generation() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    let read = |server: &mut Server, offset, len| match ask(
        server,
        &mem,
        Request::GetConfig(ConfigRange { offset, len }),
    ) {
        Some(Response::GetConfig(config)) => Some((config.generation, config.data)),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(read(&mut server, 2, 3).unwrap().1.as_slice(), [3, 4, 5]);
    assert_eq!(read(&mut server, 8, 0).unwrap().1.as_slice(), [0; 0]);
    for (offset, len) in [(8, 1), (0, 9), (u32::MAX, 1), (0, u32::MAX)] {
        assert_eq!(read(&mut server, offset, len), None);
    }
    assert_eq!(server.config_changed(), None, "no driver to tell");
    assert_eq!(read(&mut server, 0, 1).unwrap().0, 1);
    let write = |server: &mut Server, generation, offset| {
        let data = ConfigBytes::new(&[0xaa]).unwrap();
        match ask(server, &mem, Request::SetConfig(ConfigData { generation, offset, data })) {
            Some(Response::SetConfig(config)) => config.data.as_slice().len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(write(&mut server, 0, 5), 0, "an old generation");
    assert_eq!(write(&mut server, 1, 0), 0, "read-only");
    assert_eq!(write(&mut server, 1, 5), 1);
    assert_eq!(server.model().config, [1, 2, 3, 4, 5, 0xaa, 7, 8]);
}

#[test]
fn queues_are_set_up_whole_or_not_at_all() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    let enable = Request::SetVqueue(queue(VqueueFlags::ENABLE));
    assert_eq!(ask(&mut server, &mem, enable), None, "not before the features");
    set_features(&mut server, &mem, [0, 1]);
    set_status(&mut server, &mem, 0xb);
    let good = queue(VqueueFlags::ENABLE);
    let refused = [
        SetVqueue { size: 64, ..good },
        SetVqueue { size: 3, ..good },
        SetVqueue { size: 0, ..good },
        SetVqueue { index: 1, ..good },
        SetVqueue { index: u32::MAX, ..good },
        SetVqueue { desc: at(0x7ff0), ..good },
        SetVqueue { device: BusAddr::from_raw(0), ..good },
        SetVqueue { flags: VqueueFlags::new(1 | 8).unwrap(), desc: at(0), ..good },
    ];
    for (n, set) in refused.into_iter().enumerate() {
        // Ignoring the descriptor address means address 0, which lies in no area.
        assert_eq!(ask(&mut server, &mem, Request::SetVqueue(set)), None, "{n}");
    }
    let state = |server: &mut Server, index| match ask(server, &mem, Request::GetVqueue { index }) {
        Some(Response::GetVqueue(queue)) => queue,
        other => panic!("{other:?}"),
    };
    let empty = Vqueue { max_size: 32, ..Vqueue::default() };
    assert_eq!(state(&mut server, 0), empty);
    assert_eq!(state(&mut server, 1), Vqueue { index: 1, ..Vqueue::default() });
    let prepared = Request::SetVqueue(queue(VqueueFlags::DISABLED));
    assert_eq!(ask(&mut server, &mem, prepared), Some(Response::SetVqueue));
    assert!(!state(&mut server, 0).enabled);
    let only_enable = VqueueFlags::new(1 | 4 | 8 | 16 | 32).unwrap();
    let set = SetVqueue { size: 0, ..queue(only_enable) };
    assert_eq!(ask(&mut server, &mem, Request::SetVqueue(set)), Some(Response::SetVqueue));
    let full = state(&mut server, 0);
    assert_eq!((full.enabled, full.cur_size, full.driver), (true, 16, at(0x1000)));
    let moved = SetVqueue { desc: at(0x400), ..good };
    assert_eq!(ask(&mut server, &mem, Request::SetVqueue(moved)), None, "in use");
    assert_eq!(ask(&mut server, &mem, Request::SetVqueue(good)), Some(Response::SetVqueue));
    let reset = Request::ResetVqueue { index: 0 };
    assert_eq!(ask(&mut server, &mem, reset), Some(Response::ResetVqueue));
    assert_eq!(state(&mut server, 0), empty);
    assert_eq!(ask(&mut server, &mem, Request::ResetVqueue { index: 1 }), None);
}

#[test]
fn nothing_is_served_before_driver_ok() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    set_features(&mut server, &mem, [0, 1]);
    set_status(&mut server, &mem, 0xb);
    ask(&mut server, &mem, Request::SetVqueue(queue(VqueueFlags::ENABLE)));
    let config = QueueConfig {
        size: QueueSize::new(16).unwrap(),
        desc: at(0),
        driver: at(0x1000),
        device: at(0x2000),
        features: Features::VERSION_1,
    };
    let mut driver = DriverQueue::<16>::new(&mem, config).unwrap();
    driver.submit(&mem, &[Segment { addr: at(0x3000), len: 1 }], &[]).unwrap();
    assert_eq!(server.serve(&mem, 0, 9), Served::NOTHING);
    set_status(&mut server, &mem, 0xf);
    assert_eq!(server.serve(&mem, 7, 9), Served::NOTHING, "no such queue");
    assert_eq!(server.serve(&mem, 0, 9), Served { requests: 1, notify: true, event: None });
    mem.write_u16(at(0x1002), 999).unwrap();
    let served = server.serve(&mem, 0, 9);
    assert_eq!(served.event.unwrap().status(), Status::from_raw(0x4f));
    assert_eq!(server.config_changed().unwrap().status(), Status::from_raw(0x4f));
    assert_eq!(set_status(&mut server, &mem, 0), 0);
    assert_eq!(server.serve(&mem, 0, 9), Served::NOTHING, "a reset takes the queues away");
}

#[test]
fn events_and_answers_have_no_answer() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    assert_eq!(ask(&mut server, &mem, Request::EventAvail { index: 0, next_offset: 0 }), None);
    let answer = Message { dev_num: 0, token: 0, body: Body::Response(Response::SetVqueue) };
    assert_eq!(server.answer(&mem, &answer), None);
}

#[test]
fn entropy_fills_what_is_asked_for_and_no_more() {
    struct Source(u8);
    impl EntropySource for Source {
        fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
            self.0 = self.0.checked_sub(1).ok_or(NoEntropy)?;
            into.fill(0xaa);
            Ok(())
        }
    }
    let words = words();
    let mem = map(&words);
    let config = QueueConfig {
        size: QueueSize::new(16).unwrap(),
        desc: at(0),
        driver: at(0x1000),
        device: at(0x2000),
        features: Features::NONE,
    };
    let mut driver = DriverQueue::<16>::new(&mem, config).unwrap();
    let mut queue = DeviceQueue::new(&mem, config).unwrap();
    let mut rng = Rng::new(Source(3));
    for (len, written) in [(100, 100), (100, 64), (100, 0)] {
        driver.submit(&mem, &[], &[Segment { addr: at(0x3000), len }]).unwrap();
        assert_eq!(rng.serve(&mem, 0, &mut queue, 4), Ok(1));
        assert_eq!(driver.pop_used(&mem).unwrap().unwrap().written, written);
    }
    let mut bytes = [0; 101];
    mem.read(at(0x3000), &mut bytes).unwrap();
    assert_eq!((&bytes[..100], bytes[100]), (&[0xaa; 100][..], 0));
}

#[test]
fn a_device_whose_ring_has_gone_needs_a_reset() {
    let (words, mut server) = (words(), server());
    let mem = map(&words);
    let nowhere = WordArea::new(AreaId::new(2).unwrap(), &words);
    assert_eq!(server.lost_areas(&nowhere), None, "no queue, nothing lost");
    set_features(&mut server, &mem, [0, 1]);
    set_status(&mut server, &mem, 0x0b);
    ask(&mut server, &mem, Request::SetVqueue(queue(VqueueFlags::ENABLE))).unwrap();
    set_status(&mut server, &mem, 0x0f);
    assert_eq!(server.lost_areas(&mem), None, "another area went");
    assert!(server.lost_areas(&nowhere).is_some());
    assert!(server.status().contains(Status::NEEDS_RESET));
    assert_eq!(server.serve(&mem, 0, 8).requests, 0);
}
