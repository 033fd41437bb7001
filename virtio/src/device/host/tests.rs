//! Tests of a host's table, with an entropy source, a console and a RAM disk behind it, driven by
//! messages and our own driver side.
#![expect(clippy::arithmetic_side_effects, reason = "tests compute with small constants")]

use super::*;
use crate::addr::BusAddr;
use crate::device::AnyDevice;
use crate::device::block::{Block, RamDisk};
use crate::device::console::{Console, Echo, RECEIVE, Size, TRANSMIT, Terminal};
use crate::device::rng::{EntropySource, NoEntropy, Rng};
use crate::device::rpmb::{Frame, Limits, Protected};
use crate::mem::WordArea;
use crate::msg::{AreaAttrs, FeatureBlocks, FeatureWords, Kind, Response, SetVqueue, VqueueFlags};
use crate::queue::{DriverQueue, QueueConfig, QueueSize, Segment};
use crate::types::{Features, Status};
use core::sync::atomic::AtomicU16;

const VM: EndpointId = EndpointId::from_raw(1);
const OTHER: EndpointId = EndpointId::from_raw(2);

/// So many ones.
struct Ones(u64);

impl EntropySource for Ones {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), NoEntropy> {
        into.fill(1);
        self.0 -= u64::try_from(into.len()).unwrap();
        Ok(())
    }

    fn left(&self) -> u64 {
        self.0
    }
}

#[derive(Default)]
struct Paper(Vec<u8>);

impl Terminal for Paper {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

struct Nothing;

impl Protected for Nothing {
    fn limits(&self) -> Limits {
        Limits { capacity: 1, max_write_blocks: 1, max_read_blocks: 1 }
    }

    fn request(&mut self, _: &Frame, _: usize, _: &mut dyn FnMut(&Frame)) {}
}

type Device = AnyDevice<Ones, Echo<Paper, 8>, RamDisk<1024>, Nothing>;
type Devices = Host<Device, 3, 2>;

const ENTROPY: u16 = 4;
const CONSOLE: u16 = 3;
const BLOCK: u16 = 2;

fn devices() -> Devices {
    let mut host = Devices::new();
    host.add(VM, ENTROPY, AnyDevice::Rng(Rng::new(Ones(u64::MAX)))).unwrap();
    let size = Size { columns: 80, rows: 25 };
    let console = Console::new(Echo::new(Paper::default()), size);
    host.add(VM, CONSOLE, AnyDevice::Console(console)).unwrap();
    let disk = Block::new(RamDisk::new(), [0; 20]);
    host.add(VM, BLOCK, AnyDevice::Block(disk)).unwrap();
    host
}

fn words() -> Vec<AtomicU16> {
    (0..0x8000).map(|_| AtomicU16::new(0)).collect()
}

fn map(words: &[AtomicU16]) -> WordArea<'_> {
    WordArea::new(AreaId::new(1).unwrap(), words)
}

fn at(offset: u64) -> BusAddr {
    BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap()
}

fn ask(host: &mut Devices, mem: &WordArea<'_>, dev_num: u16, request: Request) -> Option<Response> {
    let message = Message { dev_num, token: 9, body: Body::Request(request) };
    let Taken::Answer(answer) = host.take(mem, VM, &message) else { panic!("{request:?}") };
    assert_eq!(answer.token, 9);
    match answer.body {
        Body::Response(response) => Some(response),
        Body::Request(_) | Body::BusRequest(_) | Body::BusResponse(_) => None,
    }
}

/// Where the rings of a queue lie: three pages each.
fn config(index: u16) -> QueueConfig {
    config_with(index, Features::VERSION_1)
}

fn config_with(index: u16, features: Features) -> QueueConfig {
    let base = u64::from(index) * 0x3000;
    QueueConfig {
        size: QueueSize::new(8).unwrap(),
        desc: at(base),
        driver: at(base + 0x1000),
        device: at(base + 0x2000),
        features,
    }
}

/// Brings a device to DRIVER_OK and returns the driver's end of its queues.
fn drive(host: &mut Devices, mem: &WordArea<'_>, dev_num: u16, queues: u16) -> Vec<DriverQueue<8>> {
    drive_with(host, mem, dev_num, queues, Features::VERSION_1)
}

fn drive_with(
    host: &mut Devices,
    mem: &WordArea<'_>,
    dev_num: u16,
    queues: u16,
    features: Features,
) -> Vec<DriverQueue<8>> {
    let words = FeatureWords::collect([features.block(0), features.block(1)]).unwrap();
    ask(host, mem, dev_num, Request::SetDriverFeatures(FeatureBlocks { index: 0, words })).unwrap();
    ask(host, mem, dev_num, Request::SetDeviceStatus(Status::from_raw(0xb))).unwrap();
    for index in 0..queues {
        let QueueConfig { desc, driver, device, .. } = config(index);
        let flags = VqueueFlags::ENABLE;
        let set = SetVqueue { index: index.into(), flags, size: 8, desc, driver, device };
        ask(host, mem, dev_num, Request::SetVqueue(set)).unwrap();
    }
    let queue = |index| DriverQueue::new(mem, config_with(index, features)).unwrap();
    let drivers = (0..queues).map(queue).collect();
    ask(host, mem, dev_num, Request::SetDeviceStatus(Status::from_raw(0xf))).unwrap();
    drivers
}

fn kick(host: &mut Devices, mem: &WordArea<'_>, dev_num: u16, index: u16) {
    let request = Request::EventAvail { index: index.into(), next_offset: 0 };
    let message = Message { dev_num, token: 0, body: Body::Request(request) };
    assert_eq!(host.take(mem, VM, &message), Taken::Work);
}

fn work(host: &mut Devices, mem: &WordArea<'_>, budget: u32) -> (Vec<News>, Progress) {
    let mut news = vec![];
    let progress = host.work(mem, VM, budget, |item| news.push(item));
    (news, progress)
}

#[test]
fn entropy_comes_after_a_kick_and_not_before() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    let mut queues = drive(&mut host, &mem, ENTROPY, 1);
    queues[0].submit(&mem, &[], &[Segment { addr: at(0x7000), len: 4 }]).unwrap();
    assert_eq!(work(&mut host, &mem, 8), (vec![], Progress::Done), "nobody has kicked");
    kick(&mut host, &mem, ENTROPY, 0);
    assert!(host.has_work(VM));
    let used = News::Used { dev_num: ENTROPY, index: 0 };
    assert_eq!(work(&mut host, &mem, 8), (vec![used], Progress::Done));
    assert_eq!(queues[0].pop_used(&mem).unwrap().unwrap().written, 4);
    assert_eq!(mem.read_u32(at(0x7000)), Ok(0x0101_0101));
}

fn lend(host: &mut Devices, bytes: u64) -> usize {
    let mut lent = 0;
    for model in host.models_to_work(VM) {
        let AnyDevice::Rng(rng) = model else { continue };
        rng.source_mut().0 = bytes;
        assert_eq!(rng.source().left(), bytes);
        lent += 1;
    }
    lent
}

#[test]
fn a_limited_source_answers_short_and_requests_beyond_it_wait_for_more() {
    for layout in [Features::NONE, Features::EVENT_IDX, Features::RING_PACKED] {
        let (words, mut host) = (words(), devices());
        let mem = map(&words);
        let features = Features::VERSION_1 | layout;
        let mut queues = drive_with(&mut host, &mem, ENTROPY, 1, features);
        for n in 0..4 {
            queues[0].submit(&mem, &[], &[Segment { addr: at(0x7000 + n * 8), len: 8 }]).unwrap();
        }
        assert_eq!(lend(&mut host, 20), 0, "only what is to be worked is lent anything");
        kick(&mut host, &mem, ENTROPY, 0);
        assert_eq!(lend(&mut host, 20), 1);
        assert_eq!(work(&mut host, &mem, 8).1, Progress::Done, "nothing can be done now");
        let mut used = || queues[0].pop_used(&mem).unwrap().map(|used| used.written);
        assert_eq!([used(), used(), used(), used()], [Some(8), Some(8), Some(4), None]);
        assert_eq!(work(&mut host, &mem, 8), (vec![], Progress::Done));
        assert!(host.device_mut(VM, ENTROPY).is_some());
        assert_eq!(lend(&mut host, 100), 1);
        assert_eq!(work(&mut host, &mem, 8).1, Progress::Done);
        assert_eq!([used(), used()], [Some(8), None]);
    }
}

#[test]
fn a_device_serves_every_layout_that_it_offers() {
    let layouts = [
        Features::EVENT_IDX,
        Features::IN_ORDER,
        Features::RING_PACKED,
        Features::RING_PACKED | Features::IN_ORDER | Features::EVENT_IDX,
    ];
    for layout in layouts {
        let (words, mut host) = (words(), devices());
        let mem = map(&words);
        let features = Features::VERSION_1 | layout;
        let mut queues = drive_with(&mut host, &mem, ENTROPY, 1, features);
        for n in 0..40 {
            let place = at(0x7000 + n % 8);
            queues[0].submit(&mem, &[], &[Segment { addr: place, len: 1 }]).unwrap();
            kick(&mut host, &mem, ENTROPY, 0);
            let (news, progress) = work(&mut host, &mem, 8);
            assert_eq!((news.len(), progress), (1, Progress::Done), "{layout:?} {n}");
            assert_eq!(queues[0].pop_used(&mem).unwrap().unwrap().written, 1);
            assert!(!queues[0].arm(&mem, 1).unwrap());
        }
    }
}

#[test]
fn a_budget_bounds_one_turn_and_the_next_turn_goes_on() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    let mut queues = drive(&mut host, &mem, ENTROPY, 1);
    for n in 0..5 {
        queues[0].submit(&mem, &[], &[Segment { addr: at(0x7000 + n), len: 1 }]).unwrap();
    }
    kick(&mut host, &mem, ENTROPY, 0);
    for (done, progress) in [(2, Progress::More), (4, Progress::More), (5, Progress::Done)] {
        assert_eq!(work(&mut host, &mem, 2).1, progress);
        assert_eq!(mem.read_u16(at(0x2002)), Ok(done));
        assert_eq!(host.has_work(VM), progress == Progress::More);
    }
}

#[test]
fn a_driver_that_always_has_work_left_keeps_nobody_from_a_turn() {
    let (words, mut host) = (words(), Devices::new());
    let mem = map(&words);
    for driver in [VM, OTHER] {
        host.add(driver, ENTROPY, AnyDevice::Rng(Rng::new(Ones(u64::MAX)))).unwrap();
        host.device_mut(driver, ENTROPY).unwrap();
    }
    let turns = [(); 4].map(|()| {
        let driver = host.next_work().unwrap();
        assert_eq!(host.work(&mem, driver, 2, |_| ()), Progress::Done);
        // Its rings are filled again before anybody looks.
        host.device_mut(driver, ENTROPY).unwrap();
        driver
    });
    assert_eq!(turns, [VM, OTHER, VM, OTHER]);
}

#[test]
fn text_is_printed_and_comes_back_as_input_in_the_same_turn() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    let mut queues = drive(&mut host, &mem, CONSOLE, 2);
    mem.write(at(0x7000), b"hello").unwrap();
    queues[usize::from(RECEIVE)]
        .submit(&mem, &[], &[Segment { addr: at(0x7100), len: 64 }])
        .unwrap();
    kick(&mut host, &mem, CONSOLE, RECEIVE);
    assert_eq!(work(&mut host, &mem, 8), (vec![], Progress::Done), "no input, no answer");
    let text = Segment { addr: at(0x7000), len: 5 };
    queues[usize::from(TRANSMIT)].submit(&mem, &[text], &[]).unwrap();
    kick(&mut host, &mem, CONSOLE, TRANSMIT);
    let used = |index| News::Used { dev_num: CONSOLE, index };
    let (news, progress) = work(&mut host, &mem, 8);
    assert_eq!((news, progress), (vec![used(TRANSMIT), used(RECEIVE)], Progress::Done));
    let AnyDevice::Console(console) = host.device(VM, CONSOLE).unwrap().model() else { panic!() };
    assert_eq!(console.terminal().behind().0, b"hello");
    assert_eq!(queues[usize::from(RECEIVE)].pop_used(&mem).unwrap().unwrap().written, 5);
    let mut back = [0; 6];
    mem.read(at(0x7100), &mut back).unwrap();
    assert_eq!(&back, b"hello\0");
}

#[test]
fn what_was_written_to_the_ram_disk_is_read_back() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    let mut queues = drive(&mut host, &mem, BLOCK, 1);
    let mut request = |host: &mut Devices, kind: u8, sector: u8| {
        mem.write(at(0x6000), &[kind, 0, 0, 0, 0, 0, 0, 0, sector, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        let header = Segment { addr: at(0x6000), len: 16 };
        let data = Segment { addr: at(0x7000), len: 512 };
        let status = Segment { addr: at(0x6100), len: 1 };
        match kind {
            0 => queues[0].submit(&mem, &[header], &[data, status]).unwrap(),
            _ => queues[0].submit(&mem, &[header, data], &[status]).unwrap(),
        };
        mem.write(at(0x6100), &[0xee]).unwrap();
        kick(host, &mem, BLOCK, 0);
        assert_eq!(work(host, &mem, 8).1, Progress::Done);
        queues[0].pop_used(&mem).unwrap().unwrap();
        let mut verdict = [0];
        mem.read(at(0x6100), &mut verdict).unwrap();
        verdict[0]
    };
    mem.write(at(0x7000), &[0x5a; 512]).unwrap();
    assert_eq!(request(&mut host, 1, 1), 0);
    mem.write(at(0x7000), &[0; 512]).unwrap();
    assert_eq!(request(&mut host, 0, 1), 0);
    let mut back = [0; 512];
    mem.read(at(0x7000), &mut back).unwrap();
    assert_eq!(back, [0x5a; 512]);
    assert_eq!(request(&mut host, 0, 2), 1, "beyond the end");
}

#[test]
fn devices_of_another_driver_are_not_there() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    let message =
        Message { dev_num: ENTROPY, token: 3, body: Body::Request(Request::GetDeviceInfo) };
    let Taken::Answer(answer) = host.take(&mem, OTHER, &message) else { panic!() };
    let error = BusResponse::Error { original_msg_id: 2 };
    assert_eq!((answer.dev_num, answer.token), (ENTROPY, 3));
    assert_eq!(answer.body, Body::BusResponse(error));
    assert_eq!(ask(&mut host, &mem, 9, Request::GetDeviceInfo), None, "no such number");
    let full = host.add(VM, 9, AnyDevice::Rng(Rng::new(Ones(u64::MAX))));
    assert!(full.is_err());
}

#[test]
fn a_number_is_taken_once_and_a_reset_reaches_all_devices_of_the_driver() {
    let (words, mut host) = (words(), Devices::new());
    let mem = map(&words);
    host.add(VM, ENTROPY, AnyDevice::Rng(Rng::new(Ones(u64::MAX)))).unwrap();
    assert!(host.add(VM, ENTROPY, AnyDevice::Rng(Rng::new(Ones(u64::MAX)))).is_err());
    host.add(OTHER, ENTROPY, AnyDevice::Rng(Rng::new(Ones(u64::MAX)))).unwrap();
    drive(&mut host, &mem, ENTROPY, 1);
    kick(&mut host, &mem, ENTROPY, 0);
    let reset = Message { dev_num: 0, token: 0, body: Body::BusRequest(BusRequest::Reset) };
    assert_eq!(host.take(&mem, OTHER, &reset), Taken::Reset);
    assert_eq!(host.device(VM, ENTROPY).unwrap().status(), Status::from_raw(0xf));
    assert_eq!(host.take(&mem, VM, &reset), Taken::Reset);
    assert_eq!(host.device(VM, ENTROPY).unwrap().status(), Status::RESET);
    assert!(!host.has_work(VM));
}

#[test]
fn a_driver_that_breaks_its_ring_hears_that_the_device_failed() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    drive(&mut host, &mem, ENTROPY, 1);
    mem.write_u16(at(0x1002), 0x8000).unwrap();
    kick(&mut host, &mem, ENTROPY, 0);
    let (news, progress) = work(&mut host, &mem, 8);
    let [News::Config { dev_num: ENTROPY, event }] = news[..] else { panic!("{news:?}") };
    assert_eq!(event.status(), Status::from_raw(0x4f));
    assert_eq!(progress, Progress::Done);
    assert_eq!(news[0].message().body, Body::Request(Request::EventConfig(event)));
}

#[test]
fn areas_are_the_owners_to_map_and_answered_in_its_words() {
    let (words, mut host) = (words(), devices());
    let mem = map(&words);
    let area = AreaId::new(5).unwrap();
    let handle = causeway_ffa::MemHandle::new(7).unwrap();
    let attrs = AreaAttrs::SHARED_READ_WRITE;
    let share = AreaShare { area, handle, tag: 0, page_count: 1, attrs };
    let bus = |request| Message { dev_num: 0, token: 4, body: Body::BusRequest(request) };
    let asked = bus(BusRequest::AreaShare(share));
    assert_eq!(host.take(&mem, VM, &asked), Taken::Share(share));
    let answer = Devices::answer_area(&asked, BusResult::Busy).unwrap();
    let want = BusResponse::AreaShare { area, result: BusResult::Busy };
    assert_eq!((answer.token, answer.body), (4, Body::BusResponse(want)));
    let asked = bus(BusRequest::AreaUnshare { area });
    assert_eq!(host.take(&mem, VM, &asked), Taken::Unshare(area));
    assert_eq!(Devices::answer_area(&bus(BusRequest::Reset), BusResult::Ok), None);
    let Taken::Answer(answer) = host.take(&mem, VM, &bus(BusRequest::EventPoll)) else { panic!() };
    let header = Header::decode(answer.encode().bytes()).unwrap();
    assert_eq!(header.kind, Kind::BusResponse);
    assert_eq!(header.msg_id, 0x87);
}
