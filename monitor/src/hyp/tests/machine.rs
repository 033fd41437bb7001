//! Owns a machine for one test at a time, and VMs that make calls by hand. Never asserts a claim but
//! that nothing is left behind.

use crate::arch::{build, world};
use crate::hyp::dispatch::{self, Reaction, Regs8};
use crate::hyp::lives::carry_out;
use crate::hyp::memory::{MEMORY, Memory};
use crate::hyp::{partition, state};
use causeway_abi::{
    Call as Service, GrantKind, GrantSummary, GrantTerms, LifeState, Permission, Reply, Status,
};
use causeway_fake_spmc::Personality;
use causeway_ffa::call::{DirectMessage, ReclaimFlags};
use causeway_ffa::descriptor::{Builder, Receiver, Spec};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Lengths, MemHandle, PageAddr, PageRange, Regs, Transfer,
    Version, Width, relinquish,
};
use causeway_monitor::config::BootConfig;
use causeway_monitor::layout::{
    BACKEND, FRONTEND, PARTITION_ID, Processor, RAM_IPA, VM_COUNT, VmIndex, WINDOW_BYTES,
    WINDOW_IPA,
};
use causeway_monitor::lifecycle::{Life, Outcome, Step};
use causeway_monitor::notify::Notifications;
use causeway_monitor::processors::Processors;
use causeway_monitor::skips::Skips;
use causeway_monitor::stage2::Stage2Map;
use causeway_monitor::trap::Access;
use std::sync::{Mutex, PoisonError};

/// The monitor's state is static: one machine at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// The monitor's tables are built on the stack before they come to their place.
const STACK_BYTES: usize = 64 << 20;

/// What is left when a test is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing may be.
    Clean,
    /// The test leaves a mess on purpose.
    Mess,
}

/// Runs a test on a machine of its own.
pub(super) fn on_a_machine(personality: Personality, after: After, test: fn()) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let run = move || {
        build(personality);
        reset();
        test();
        if after == After::Clean {
            assert_eq!(leftovers(), [""; 0]);
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    if let Err(why) = thread.expect("a thread").join() {
        std::panic::resume_unwind(why);
    }
}

/// The same on TF-A's EL3 SPMC, to a clean end.
pub(super) fn on_el3(test: fn()) {
    on_a_machine(Personality::EL3, After::Clean, test);
}

fn reset() {
    let config =
        state::CONFIG.call_once(|| BootConfig { vcpus: [1, 1, 2], ..BootConfig::default() });
    state::build_stage2(config);
    for vm in VmIndex::ALL {
        let mut map = Stage2Map::new(crate::arch::pool::Pool);
        map.map_ram(vm);
        *state::stage2(vm) = map;
        let mut life = Life::at_boot();
        life.completed();
        *state::LIVES[vm.index()].lock() = life;
        *state::PROCESSORS[vm.index()].lock() = Processors::at_start(config.vcpus[vm.index()]);
        *state::FAULT_SKIPS[vm.index()].lock() = Skips::new();
    }
    state::CORES.store(4, core::sync::atomic::Ordering::Release);
    *MEMORY.lock() = Memory::new();
    *state::NOTIFY.lock() = Notifications::new();
    partition::connect();
}

/// What nobody should hold any more, a line each.
fn leftovers() -> Vec<String> {
    let mut left = Vec::new();
    for vm in VmIndex::ALL {
        let own = MEMORY.lock().holdings(vm);
        if own.shares > 0 {
            left.push(format!("vm {} owns {own}", vm.id().get()));
        }
        let table = state::stage2(vm);
        if table.entries_that_map(vm.ram()) as u64 != vm.ram().len_bytes / 4096 {
            left.push(format!("vm {} does not have all of its RAM", vm.id().get()));
        }
        for other in VmIndex::ALL.into_iter().filter(|other| *other != vm) {
            let foreign = table.entries_that_map(other.ram());
            if foreign > 0 {
                left.push(format!("vm {} maps {foreign} pages of another", vm.id().get()));
            }
        }
    }
    world(|world| {
        let sent = world.floor.spmc().transactions();
        left.extend((sent > 0).then(|| format!("{sent} transactions in the SPMC")));
        left.extend(world.floor.partition().broker().grants().map(|grant| format!("{grant:?}")));
    });
    left
}

/// Who refused a call, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The monitor.
    Here(FfaError),
    /// The SPMC.
    Below(FfaError),
    /// The partition.
    Service(Status),
}

/// A VM's program by hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vm(pub(super) VmIndex);

/// The owner and the peer of most tests.
pub(super) fn owner_and_peer() -> (Vm, Vm) {
    let pair = (Vm(FRONTEND), Vm(BACKEND));
    pair.0.map_buffers();
    pair.1.map_buffers();
    pair
}

/// Pages of a VM's RAM, behind its message buffers.
pub(super) fn pages(first: u32, count: u32) -> PageRange {
    let start = PageAddr::new(RAM_IPA + 0x1_0000 + u64::from(first) * 4096);
    start.and_then(|start| PageRange::new(start, count)).expect("pages of RAM")
}

/// Shared read-write with VM 2.
pub(super) const TO_PEER: GrantTerms = GrantTerms {
    peer: Some(EndpointId::from_raw(2)),
    kind: GrantKind::Share,
    permission: Permission::ReadWrite,
};

impl Vm {
    /// One call of the VM's first processor.
    pub(super) fn raw(self, regs: &Regs8) -> Regs8 {
        match dispatch::call(Processor { vm: self.0, number: 0 }, regs) {
            Reaction::Answer(regs) => regs,
            off @ (Reaction::Off | Reaction::ProcessorOff | Reaction::Suspend(_)) => {
                panic!("{off:?}")
            }
        }
    }

    pub(super) fn call(self, call: &Call) -> Result<Answer, Refused> {
        let answer = self.raw(&call.encode().smc8());
        let answer = Answer::decode(&Regs::from_smc8(answer), Version::V1_1).expect("an answer");
        let Answer::Error(error) = answer else { return Ok(answer) };
        Err(match self.raw(&[0xc600_0006, 0, 0, 0, 0, 0, 0, 0])[0] {
            1 => Refused::Here(error),
            2 => Refused::Below(error),
            layer => panic!("nobody refused ({layer})"),
        })
    }

    /// A call on the partition's service.
    pub(super) fn ask(self, call: Service) -> Result<[u64; 4], Refused> {
        let message = DirectMessage {
            sender: self.0.id(),
            receiver: PARTITION_ID,
            width: Width::Bits64,
            words: call.encode(),
        };
        let Answer::DirectResp(answer) = self.call(&Call::DirectReq(message))? else {
            panic!("a direct request is answered by a direct response");
        };
        let reply = Reply::decode(&answer.words).expect("an answer of the service");
        if reply.status == Status::Ok {
            Ok(reply.results)
        } else {
            Err(Refused::Service(reply.status))
        }
    }

    pub(super) fn map_buffers(self) {
        let [tx, rx] = [0, 0x1000].map(|at| PageAddr::new(RAM_IPA + at).expect("a page"));
        let map = Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 };
        assert_eq!(self.call(&map), Ok(Answer::success()));
    }

    /// Writes into the VM's TX.
    pub(super) fn put(self, bytes: &[u8]) {
        let tx = self.0.ram().base;
        world(|world| world.machine.ram().write(tx, bytes)).expect("TX is backed");
    }

    /// The bytes of a share or lend to partition and, perhaps, VM 2.
    pub(super) fn descriptor(self, terms: &GrantTerms, ranges: &[PageRange]) -> Vec<u8> {
        let receivers: Vec<_> = [PARTITION_ID]
            .into_iter()
            .chain(terms.peer)
            .map(|id| match terms.permission {
                Permission::ReadOnly => Receiver::read_only(id),
                Permission::ReadWrite => Receiver::read_write(id),
            })
            .collect();
        let kind = transfer(terms.kind);
        let spec = Spec::send(Version::V1_1, kind, self.0.id(), 0, &receivers, ranges);
        let builder = Builder::new(spec).expect("an honest descriptor");
        let mut bytes = vec![0; builder.total_len() as usize];
        builder.write(0, &mut bytes).expect("room for all of it");
        bytes
    }

    /// FFA_MEM_SHARE or LEND, in fragments of at most `most` bytes.
    pub(super) fn send_in(
        self,
        kind: Transfer,
        bytes: &[u8],
        most: usize,
    ) -> Result<MemHandle, Refused> {
        let mut chunks = bytes.chunks(most);
        let first = chunks.next().expect("a descriptor");
        self.put(first);
        let lengths = Lengths::new(bytes.len() as u32, first.len() as u32).expect("lengths");
        let mut answer = self.call(&Call::MemSend { kind, lengths })?;
        for chunk in chunks {
            let Answer::MemFragRx { handle, .. } = answer else { panic!("{answer:?}") };
            self.put(chunk);
            let (length, endpoint) = (chunk.len() as u32, EndpointId::default());
            answer = self.call(&Call::MemFragTx { handle, length, endpoint })?;
        }
        let Answer::Success(success) = answer else { panic!("{answer:?}") };
        Ok(success.handle().expect("a handle"))
    }

    pub(super) fn send(
        self,
        terms: &GrantTerms,
        ranges: &[PageRange],
    ) -> Result<MemHandle, Refused> {
        self.send_in(transfer(terms.kind), &self.descriptor(terms, ranges), 4096)
    }

    /// Send and OFFER.
    pub(super) fn grant(
        self,
        terms: GrantTerms,
        ranges: &[PageRange],
    ) -> Result<MemHandle, Refused> {
        let handle = self.send(&terms, ranges)?;
        self.ask(Service::Offer { handle, terms, tag: 0 }).map(|_| handle)
    }

    /// INSPECT and ACCEPT.
    pub(super) fn accept(self, handle: MemHandle) -> Result<GrantSummary, Refused> {
        let [a, b, c, _] = self.ask(Service::Inspect { handle, range_index: 0 })?;
        let seen = GrantSummary::from_words([a, b, c]).expect("a summary");
        self.ask(Service::Accept { handle, seen }).map(|_| seen)
    }

    /// FFA_MEM_RETRIEVE_REQ of what VM 1 granted to VM 2; returns where it shows.
    pub(super) fn retrieve(self, handle: MemHandle, terms: &GrantTerms) -> Result<u64, Refused> {
        let receivers = [PARTITION_ID, BACKEND.id()].map(|id| match terms.permission {
            Permission::ReadOnly => Receiver::read_only(id),
            Permission::ReadWrite => Receiver::read_write(id),
        });
        let kind = Some(transfer(terms.kind));
        let (version, owner) = (Version::V1_1, FRONTEND.id());
        let spec = Spec::retrieve_request(version, owner, handle, kind, 0, &receivers);
        let builder = Builder::new(spec).expect("an honest request");
        let mut bytes = vec![0; builder.total_len() as usize];
        builder.write(0, &mut bytes).expect("room");
        self.put(&bytes);
        let lengths = Lengths::new(builder.total_len(), builder.total_len()).expect("lengths");
        self.call(&Call::MemRetrieveReq { lengths })?;
        let rx = self.0.ram().base + 0x1000;
        let mut response = [0; 112];
        world(|world| world.machine.ram().read(rx, &mut response)).expect("RX is backed");
        self.call(&Call::RxRelease { vm: EndpointId::default() })?;
        // One receiver, one composite, one range: its address lies at 48 + 16 + 16.
        let address: [u8; 8] = response[80..88].try_into().expect("eight bytes");
        Ok(u64::from_le_bytes(address))
    }

    pub(super) fn relinquish(self, handle: MemHandle) -> Result<(), Refused> {
        let mut bytes = [0; 64];
        relinquish::write(handle, ReclaimFlags::default(), &[self.0.id()], &mut bytes)
            .expect("room");
        self.put(&bytes);
        self.call(&Call::MemRelinquish).map(|_| ())
    }

    pub(super) fn reclaim(self, handle: MemHandle) -> Result<(), Refused> {
        let flags = ReclaimFlags::default();
        self.call(&Call::MemReclaim { handle, flags }).map(|_| ())
    }

    pub(super) fn release(self, handle: MemHandle) -> Result<LifeState, Refused> {
        self.ask(Service::Release { handle }).map(state_of)
    }

    pub(super) fn revoke(self, handle: MemHandle) -> Result<LifeState, Refused> {
        self.ask(Service::Revoke { handle }).map(state_of)
    }

    /// Whether the VM's stage 2 lets it write there.
    pub(super) fn may_write(self, ipa: u64) -> bool {
        state::stage2(self.0).allows(ipa, Access::Write)
    }

    /// Whether anything shows in the VM's window.
    pub(super) fn borrows(self) -> bool {
        let table = state::stage2(self.0);
        (0..WINDOW_BYTES).step_by(4096 * 64).any(|at| table.allows(WINDOW_IPA + at, Access::Read))
    }

    /// One step of the VM's end.
    pub(super) fn step(self, step: Step) -> Outcome {
        carry_out(self.0, step, 0)
    }

    /// The VM's whole end, until its reclaim has nothing to do, or waits.
    pub(super) fn die(self) -> Outcome {
        assert_eq!(self.step(Step::Unmap), Outcome::Done);
        for _ in 0..100 {
            if self.step(Step::Announce) == Outcome::Done {
                break;
            }
        }
        self.step(Step::Reclaim)
    }
}

fn transfer(kind: GrantKind) -> Transfer {
    match kind {
        GrantKind::Share => Transfer::Share,
        GrantKind::Lend => Transfer::Lend,
        GrantKind::Donate => Transfer::Donate,
    }
}

fn state_of([state, ..]: [u64; 4]) -> LifeState {
    LifeState::from_code(state as u8).expect("a state")
}

/// Lets time pass, and the polling core look.
pub(super) fn pass(milliseconds: u64) {
    world(|world| world.machine.pass(milliseconds));
    look();
}

/// What the polling core does when it is woken.
pub(super) fn look() {
    if crate::arch::gic::take().is_some() {
        partition::poll_soon();
    }
    partition::poll_if_due();
}

/// All VMs.
pub(super) const ALL: [Vm; VM_COUNT] =
    [Vm(VmIndex::ALL[0]), Vm(VmIndex::ALL[1]), Vm(VmIndex::ALL[2])];
