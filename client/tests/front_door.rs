//! The front door before a process that does everything wrong, step by step; what comes of it is a
//! typed error in bounded time, a device that needs a reset, and nothing left behind. Never tests what
//! an honest process does with rings: the example `vhost_user` does.
#![cfg(target_os = "linux")]

#[path = "../examples/support/memfd.rs"]
mod memfd;
#[path = "../examples/support/vm.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod vm;

use causeway_abi::{GrantKind, GrantTerms, Permission};
use causeway_client::Connection;
use causeway_client::backend::{Backend, Verdict};
use causeway_client::error::Party;
use causeway_client::grant::Grant;
use causeway_client::vhost_user::{AreaFile, AreaFiles, DoorError, FrontDoor, Kind, Step};
use causeway_fake_spmc::{Personality, Platform, Setup};
use causeway_ffa::EndpointId;
use causeway_virtio::device::{DeviceServer, Identity};
use causeway_virtio::msg::{
    AreaAttrs, AreaShare, Body, BusResult, FeatureBlocks, FeatureWords, Message, Request,
    SetVqueue, VqueueFlags,
};
use causeway_virtio::types::Status;
use causeway_virtio::{AreaId, BusAddr, DeviceId, Features};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use vm::{Memory, VM_PAGES, Vm};

const DRIVER: EndpointId = EndpointId::from_raw(1);
const NOTHING: [String; 0] = [];
/// How long the door waits; the process answers at once or never.
const PATIENCE: Duration = Duration::from_secs(1);
/// More than all exchanges of a life take, with one that times out, on a loaded machine.
const BOUND: Duration = Duration::from_secs(30);

fn kind() -> Kind {
    let identity = Identity { device: DeviceId::BLOCK, vendor: 0, uuid: [0; 16] };
    Kind { identity, queue_count: 1, config_len: 60, patience: PATIENCE }
}

/// What the process does instead of its duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// It closes the socket instead of answering.
    HangsUp,
    /// It answers with half a message, and closes the socket.
    Half,
    /// It answers half a message and then nothing more.
    Stalls,
    /// It says nothing.
    Silent,
    /// It sends bytes without a meaning.
    Garbage,
    /// It answers another question.
    Mistaken,
    /// It refuses, where the message can be refused.
    Refuses,
}

const WRONGS: [Wrong; 7] = [
    Wrong::HangsUp,
    Wrong::Half,
    Wrong::Stalls,
    Wrong::Silent,
    Wrong::Garbage,
    Wrong::Mistaken,
    Wrong::Refuses,
];

/// Numbers of messages (the vhost-user specification, front-end message types).
const GET_FEATURES: u32 = 1;
const SET_MEM_TABLE: u32 = 5;
const GET_VRING_BASE: u32 = 11;
const GET_PROTOCOL_FEATURES: u32 = 15;
const GET_QUEUE_NUM: u32 = 17;
const GET_CONFIG: u32 = 24;

/// Whether a message has an answer of its own.
fn is_question(request: u32) -> bool {
    let questions =
        [GET_FEATURES, GET_VRING_BASE, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG];
    questions.contains(&request)
}

/// What the process says of itself.
#[derive(Clone, Copy, Debug)]
struct Claims {
    features: u64,
    protocol: u64,
    queues: u64,
}

/// VERSION_1 and the protocol's features; MQ, REPLY_ACK, CONFIG.
const HONEST: Claims = Claims { features: 1 << 32 | 1 << 30 | 1 << 9, protocol: 0x209, queues: 1 };

/// A process, as a thread with a socket. It hands out what it was told: request and payload.
fn process(
    claims: Claims,
    wrong: Option<(usize, Wrong)>,
) -> (UnixStream, Receiver<(u32, Vec<u8>)>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for number in 0.. {
            let mut header = [0; 12];
            if theirs.read_exact(&mut header).is_err() {
                return;
            }
            let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
            let (request, flags) = (word(0), word(4));
            let mut payload = vec![0; usize::try_from(word(8)).unwrap()];
            if theirs.read_exact(&mut payload).is_err()
                || tell.send((request, payload.clone())).is_err()
            {
                return;
            }
            let mut reply = match request {
                GET_FEATURES => claims.features.to_le_bytes().to_vec(),
                GET_PROTOCOL_FEATURES => claims.protocol.to_le_bytes().to_vec(),
                GET_QUEUE_NUM => claims.queues.to_le_bytes().to_vec(),
                GET_CONFIG | GET_VRING_BASE => payload,
                _ if flags & 8 != 0 => vec![0; 8],
                _ => Vec::new(),
            };
            let is_ack = flags & 8 != 0 && !is_question(request);
            let wrong = wrong.filter(|(at, _)| *at == number).map(|(_, wrong)| wrong);
            if wrong == Some(Wrong::Refuses) && is_ack {
                reply[0] = 1;
            }
            let number = if wrong == Some(Wrong::Mistaken) { request + 1 } else { request };
            let size = u32::try_from(reply.len()).unwrap();
            let mut message: Vec<u8> =
                [number, 5, size].iter().flat_map(|word| word.to_le_bytes()).collect();
            message.extend(&reply);
            match wrong {
                Some(Wrong::HangsUp) => return,
                Some(Wrong::Silent) => continue,
                Some(Wrong::Garbage) => message = vec![0xa5; 256],
                Some(Wrong::Half | Wrong::Stalls) => message.truncate(message.len() / 2),
                Some(Wrong::Mistaken | Wrong::Refuses) | None if reply.is_empty() => continue,
                Some(Wrong::Mistaken | Wrong::Refuses) | None => {}
            }
            if theirs.write_all(&message).is_err() || wrong == Some(Wrong::Half) {
                return;
            }
            if wrong == Some(Wrong::Stalls) {
                // The rest never comes; the socket stays open until the door has shut.
                drop(theirs.read_to_end(&mut Vec::new()));
                return;
            }
        }
    });
    (ours, told)
}

type Server<'f> = DeviceServer<FrontDoor<'f>, 1>;

/// Two VMs, the second of which has two areas of the first, 1 and 2.
struct World<'c> {
    areas: Backend<'c, 4>,
    /// Kept until the areas are let go of.
    _grants: Vec<Grant<'c>>,
}

fn with_world(test: impl FnOnce(&mut World<'_>)) {
    let setup = Setup { vm_count: 2, vm_pages: VM_PAGES, ..Setup::new(Personality::EL3) };
    let platform = Platform::boot(&Setup { memory: Some(memfd::memory), ..setup });
    let (a, b, mapper) = (Vm::new(&platform, 1), Vm::new(&platform, 2), Memory::of(&platform));
    let (conduit_a, conduit_b) = (a.conduit(), b.conduit());
    let owner = Connection::open(&conduit_a, a.mailbox()).unwrap();
    let peer = Connection::open(&conduit_b, b.mailbox()).unwrap();
    let terms = GrantTerms {
        peer: Some(EndpointId::from_raw(2)),
        kind: GrantKind::Share,
        permission: Permission::ReadWrite,
    };
    let grants: Vec<_> = (0..2).map(|_| Grant::offer(&owner, a.pages(2), terms).unwrap()).collect();
    let mut areas: Backend<'_, 4> = Backend::new(&peer, &mapper);
    assert_eq!(areas.admit(|_| Verdict::Accept).unwrap().accepted, 2);
    for (id, grant) in (1u16..).zip(&grants) {
        let area = AreaId::new(id).unwrap();
        let attrs = AreaAttrs::SHARED_READ_WRITE;
        let share = AreaShare { area, handle: grant.handle(), tag: 0, page_count: 2, attrs };
        assert_eq!(areas.bind(DRIVER, &share), BusResult::Ok);
    }
    let mut world = World { areas, _grants: grants };
    test(&mut world);
    drop(world);
    assert_eq!(owner.sweep(), 0);
    drop((owner, peer));
    assert_eq!(platform.leftovers(), NOTHING);
}

/// A control message of the driver, and what follows from it.
fn say(server: &mut Server<'_>, world: &World<'_>, request: Request) -> Result<(), DoorError> {
    let message = Message { dev_num: 0, token: 0, body: Body::Request(request) };
    let answer = server.answer(&world.areas.memory(DRIVER), &message);
    assert!(answer.is_some(), "{request:?}");
    FrontDoor::follow(server, &world.areas, DRIVER)
}

fn status(bits: u32) -> Request {
    Request::SetDeviceStatus(Status::from_raw(bits))
}

/// What a driver does until its ring runs.
fn set_up(server: &mut Server<'_>, world: &World<'_>) -> Result<(), DoorError> {
    let words = FeatureWords::collect([0, 1]).unwrap();
    say(server, world, Request::SetDriverFeatures(FeatureBlocks { index: 0, words }))?;
    say(server, world, status(0xb))?;
    let at = |offset| BusAddr::new(AreaId::new(1).unwrap(), offset).unwrap();
    let (desc, driver, device) = (at(0), at(0x400), at(0x800));
    let flags = VqueueFlags::ENABLE;
    say(
        server,
        world,
        Request::SetVqueue(SetVqueue { index: 0, flags, size: 16, desc, driver, device }),
    )?;
    say(server, world, status(0xf))
}

/// From the first message to the last area's end.
fn life(stream: UnixStream, world: &mut World<'_>) -> Result<(), DoorError> {
    let mut server = DeviceServer::new(FrontDoor::open(stream, kind(), &memfd::Files)?);
    let lived = set_up(&mut server, world).and_then(|()| {
        say(&mut server, world, status(0))?;
        let second = AreaId::new(2);
        server.model_mut().withdraw(second, &world.areas, DRIVER)
    });
    if lived.is_err() {
        assert!(!server.model().is_open(), "{lived:?}");
        // Every later attempt fails at once.
        say(&mut server, world, status(0)).unwrap();
        assert_eq!(set_up(&mut server, world), Err(DoorError::Over));
        assert!(server.status().contains(Status::NEEDS_RESET));
        assert_eq!(server.model_mut().take_used(), Err(DoorError::Over));
    }
    lived
}

/// What must come of a wrong at message `number`, of kind `request`; `None`: it does no harm.
fn fits(wrong: Wrong, (number, request): (usize, u32), error: Option<DoorError>) -> bool {
    // Before REPLY_ACK is agreed on, messages that ask nothing have no reply: a process that says
    // nothing there, or means another message, is as it should be.
    let asks = matches!(request, GET_FEATURES | GET_PROTOCOL_FEATURES);
    let (has_reply, can_refuse) = (number > 3 || asks, number > 3 && !is_question(request));
    let Some(error) = error else {
        return match wrong {
            Wrong::Silent | Wrong::Mistaken => !has_reply,
            Wrong::Refuses => !can_refuse,
            Wrong::HangsUp | Wrong::Half | Wrong::Stalls | Wrong::Garbage => false,
        };
    };
    match (wrong, error) {
        (Wrong::HangsUp | Wrong::Half, DoorError::Disconnected(_))
        | (Wrong::Silent | Wrong::Stalls, DoorError::TimedOut(_))
        | (Wrong::Garbage | Wrong::Mistaken, DoorError::Malformed(_))
        | (Wrong::Refuses, DoorError::Refused(_))
        // A payload that ends early has the wrong length.
        | (Wrong::Half, DoorError::Malformed(Step::Config)) => true,
        _ => false,
    }
}

#[test]
fn whatever_the_process_does_wrong_at_any_message_ends_in_a_typed_error_and_in_time() {
    let mut messages: Vec<u32> = Vec::new();
    with_world(|world| {
        let (stream, told) = process(HONEST, None);
        assert_eq!(life(stream, world), Ok(()));
        messages = told.iter().map(|(request, _)| request).collect();
    });
    assert!(messages.len() > 15, "{messages:?}");
    let start = Instant::now();
    let attack = |number: usize, request: u32| {
        let mut failures = 0;
        with_world(|world| {
            for wrong in WRONGS {
                let (stream, _told) = process(HONEST, Some((number, wrong)));
                let error = life(stream, world).err();
                let place = format!("{wrong:?} at {number} ({request}): {error:?}");
                assert!(fits(wrong, (number, request), error), "{place}");
                assert!(error.is_none_or(|error| error.blame() == Party::Peer), "{place}");
                failures += usize::from(error.is_some());
            }
        });
        failures
    };
    let failures: usize = thread::scope(|scope| {
        let numbered = messages.iter().enumerate();
        let attacks: Vec<_> = numbered
            .map(|(number, request)| scope.spawn(move || attack(number, *request)))
            .collect();
        attacks.into_iter().map(|attack| attack.join().unwrap()).sum()
    });
    assert!(failures > 90, "{failures}");
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

#[test]
fn a_process_that_trickles_is_cut_off_in_time() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        // A header that announces a whole message, a byte at a time, for as long as anybody listens.
        while theirs.write_all(&[1]).is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let start = Instant::now();
    let failed = FrontDoor::open(ours, kind(), &memfd::Files).unwrap_err();
    assert!(matches!(failed, DoorError::TimedOut(Step::Offered)), "{failed}");
    assert!(start.elapsed() < BOUND);
}

#[test]
fn a_process_that_never_reads_is_cut_off_in_time() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let failed = FrontDoor::open(ours, kind(), &memfd::Files).unwrap_err();
    assert!(matches!(failed, DoorError::TimedOut(Step::Offered)), "{failed}");
    drop(theirs);
}

#[test]
fn a_process_that_cannot_serve_such_a_device_is_refused_with_what_it_lacks() {
    for (claims, lack) in [
        (Claims { features: 1 << 30, ..HONEST }, "VIRTIO_F_VERSION_1"),
        (Claims { features: 1 << 32, ..HONEST }, "VHOST_USER_PROTOCOL_F_CONFIG"),
        (Claims { protocol: 0x9, ..HONEST }, "VHOST_USER_PROTOCOL_F_CONFIG"),
        (Claims { queues: 0, ..HONEST }, "a queue"),
    ] {
        let (stream, _told) = process(claims, None);
        let failed = FrontDoor::open(stream, kind(), &memfd::Files).unwrap_err();
        assert_eq!(failed, DoorError::Lacks(lack), "{claims:?}");
    }
    let (stream, _told) = process(Claims { queues: u64::MAX, ..HONEST }, None);
    let failed = FrontDoor::open(stream, kind(), &memfd::Files).unwrap_err();
    assert_eq!(failed, DoorError::Malformed(Step::Queues));
}

#[test]
fn what_the_process_does_not_know_is_not_offered_to_the_driver() {
    let everything = Claims { features: u64::MAX, ..HONEST };
    for (claims, offered) in [(HONEST, 1 << 9), (everything, 0xff_ffff | u64::MAX << 50)] {
        let (stream, _told) = process(claims, None);
        let server: Server<'_> =
            DeviceServer::new(FrontDoor::open(stream, kind(), &memfd::Files).unwrap());
        let rings = Features::VERSION_1 | Features::ACCESS_PLATFORM | Features::RING_RESET;
        let more = Features::INDIRECT_DESC | Features::EVENT_IDX | Features::IN_ORDER;
        let rings = if offered == 1 << 9 { rings } else { rings | more };
        assert_eq!(server.offered().get(), offered | rings.get());
    }
}

/// Address, length and user address of each area in a SET_MEM_TABLE.
fn table(payload: &[u8]) -> Vec<[u64; 3]> {
    let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
    let count = usize::try_from(word(0) & 0xffff_ffff).unwrap();
    (0..count).map(|n| [0, 8, 16].map(|part| word(8 + 32 * n + part))).collect()
}

#[test]
fn areas_are_shown_at_their_bus_addresses_and_withdrawn_before_they_go() {
    with_world(|world| {
        let (stream, told) = process(HONEST, None);
        let mut server = DeviceServer::new(FrontDoor::open(stream, kind(), &memfd::Files).unwrap());
        set_up(&mut server, world).unwrap();
        let one = AreaId::new(1);
        server.model_mut().withdraw(AreaId::new(2), &world.areas, DRIVER).unwrap();
        assert_eq!(
            server.model_mut().withdraw(one, &world.areas, DRIVER),
            Err(DoorError::Over),
            "the last area"
        );
        drop(server);
        let seen: Vec<(u32, Vec<u8>)> = told.iter().collect();
        let tables: Vec<_> = seen
            .iter()
            .filter(|(request, _)| *request == SET_MEM_TABLE)
            .map(|(_, p)| table(p))
            .collect();
        let row = |id: u64| [id << 48, 8192, id << 48];
        assert_eq!(tables, [vec![row(1), row(2)], vec![row(1)]]);
        let stopped = seen.iter().position(|(request, _)| *request == GET_VRING_BASE).unwrap();
        let last = seen.iter().rposition(|(request, _)| *request == SET_MEM_TABLE).unwrap();
        assert!(stopped < last, "rings stop before an area goes");
    });
}

#[test]
fn a_process_that_dies_or_talks_unasked_is_noticed_at_the_next_look() {
    with_world(|world| {
        for (wrong, expected) in
            [(false, DoorError::Disconnected(Step::Idle)), (true, DoorError::Malformed(Step::Idle))]
        {
            let (stream, mut theirs) = UnixStream::pair().unwrap();
            let kind = Kind { config_len: 0, ..kind() };
            let other = thread::spawn(move || {
                // SET_OWNER, GET_FEATURES; then VERSION_1 alone, and no word more.
                let mut asked = [0; 24];
                theirs.read_exact(&mut asked).unwrap();
                let reply =
                    [[1u32, 5, 8].map(u32::to_le_bytes).concat(), vec![0, 0, 0, 0, 1, 0, 0, 0]];
                theirs.write_all(&reply.concat()).unwrap();
                theirs
            });
            let door = FrontDoor::open(stream, kind, &memfd::Files).unwrap();
            let mut theirs = other.join().unwrap();
            let mut server: Server<'_> = DeviceServer::new(door);
            assert_eq!(server.model_mut().take_used(), Ok(false));
            if wrong {
                theirs.write_all(b"!").unwrap();
            } else {
                drop(theirs);
            }
            assert_eq!(server.model_mut().take_used(), Err(expected));
            assert_eq!(set_up(&mut server, world), Err(DoorError::Over));
        }
    });
}

#[derive(Debug)]
struct FakeFiles(std::fs::File, Option<()>);

impl AreaFiles for FakeFiles {
    fn file(&self, _: &causeway_client::memory::Window) -> Option<AreaFile<'_>> {
        use std::os::fd::AsFd;
        self.1.map(|()| AreaFile { file: self.0.as_fd(), offset_bytes: 0 })
    }
}

#[test]
fn a_file_that_the_process_could_cut_short_is_not_given_to_it() {
    with_world(|world| {
        let one = AreaId::new(1).unwrap();
        let memfd = rustix::fs::memfd_create("unsealed", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        for (files, expected) in [
            (FakeFiles(memfd.into(), Some(())), DoorError::Unsealed(one)),
            (FakeFiles(std::fs::File::open("/dev/null").unwrap(), None), DoorError::NoFile(one)),
        ] {
            let (stream, _told) = process(HONEST, None);
            let mut server = DeviceServer::new(FrontDoor::open(stream, kind(), &files).unwrap());
            assert_eq!(set_up(&mut server, world), Err(expected));
            assert!(server.status().contains(Status::NEEDS_RESET));
        }
    });
}
