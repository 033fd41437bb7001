//! Owns the world of this library's own tests: the real partition on a fake SPMC, with a hypervisor
//! that fails or falsifies the call that a test names. Never part of a build.
#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]

#[path = "../examples/support/vm.rs"]
#[expect(dead_code, reason = "conduit and clock are this module's own")]
mod vm;

use crate::conduit::InProcess;
use crate::connection::Mailbox;
use crate::memory::Pages;
use crate::wait::Wait;
use causeway_abi::{CallId, Permission, Reply, Status};
use causeway_fake_spmc::{Personality, Platform, Setup, layout, range};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, FuncId, PageRange, Regs, Version, regs};
use causeway_memshare::Policy;
use causeway_memshare::policy::{Link, PairRule, Quota, Services, WatchdogAction, WatchdogRule};
use core::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub(crate) use vm::Memory;
use vm::Vm;

pub(crate) const PARTITION: EndpointId = layout::PARTITION;
const VMS: u16 = 3;

/// How the chosen call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The hypervisor refuses it; where it is for the partition, the partition does.
    Refused,
    /// The answer makes no sense.
    Garbage,
    /// The call is carried out, and what the partition answers makes no sense.
    LostAnswer,
}

type Tamper = Box<dyn FnMut(&Regs, &mut Regs) + Send>;

/// What the hypervisor does wrong.
#[derive(Default)]
struct Wrongs {
    calls: usize,
    fail_at: Option<(usize, Fault)>,
    tamper: Option<Tamper>,
}

/// The fake world; clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeWorld {
    platform: Platform,
    vms: Arc<[Mutex<Vm>; 3]>,
    wrongs: Arc<Mutex<Wrongs>>,
}

/// Everybody may grant to everybody; VM 2 serves VM 1's devices 0 and 5; VM 1 reads the ledger and
/// has the security services' entropy, RPMB and one key; VM 2 may seal; VM 3 has every service.
fn policy(vm_pages: u32) -> Policy {
    let vm = EndpointId::from_raw;
    let mut policy = Policy::new()
        .with_hypervisor(layout::HYPERVISOR)
        .with_unmap_deadline_ms(100)
        .with_auditor(vm(1))
        .with_sealer(vm(2));
    for id in 1..=VMS {
        policy.add_vm(vm(id)).unwrap();
        policy.add_window(layout::vm_ram(id, vm_pages)).unwrap();
    }
    for owner in 1..=VMS {
        let peers = (1..=VMS).filter(|peer| *peer != owner).map(|peer| Some(vm(peer)));
        for peer in peers.chain([None]) {
            let quota = Quota { grants: 24, pages: vm_pages, ranges: 640 };
            let rule = PairRule {
                owner: vm(owner),
                peer,
                share: true,
                lend: true,
                donate: false,
                widest: Permission::ReadWrite,
                max_area_pages: vm_pages,
                quota,
            };
            policy.add_pair(rule).unwrap();
        }
    }
    for device in [0, 5] {
        let (driver, backend) = (vm(1), Some(vm(2)));
        let link = Link { driver, backend, backend_device: device, driver_device: device };
        policy.add_link(link).unwrap();
    }
    let given = Services {
        uuid: [1; 16],
        entropy_bytes_per_second: 4096,
        rpmb: true,
        key_slots: 3,
        store_writes_per_second: 100,
        signatures_per_second: 100,
        ..Services::NONE
    };
    policy.set_services(vm(1), given).unwrap();
    let watchdog = WatchdogRule {
        action: WatchdogAction::RestartVm,
        shortest_ms: 50,
        longest_ms: 5000,
        may_stop: true,
    };
    let all = Services {
        uuid: [3; 16],
        entropy_bytes_per_second: 4096,
        counters: 2,
        rpmb: true,
        key_slots: 3,
        store_writes_per_second: 20,
        signatures_per_second: 3,
        watchdog: Some(watchdog),
    };
    policy.set_services(vm(3), all).unwrap();
    policy
}

impl FakeWorld {
    /// With 64 pages a VM.
    pub(crate) fn new() -> Self {
        Self::with_pages(64)
    }

    pub(crate) fn with_pages(vm_pages: u32) -> Self {
        let platform = Platform::boot(&Setup {
            vm_count: VMS,
            vm_pages,
            policy: Some(policy(vm_pages)),
            ..Setup::new(Personality::EL3)
        });
        let vms = [1, 2, 3].map(|id| Mutex::new(Vm::with_pages(&platform, id, vm_pages)));
        Self { platform, vms: Arc::new(vms), wrongs: Arc::default() }
    }

    /// The conduit of one VM.
    pub(crate) fn vm(&self, id: u16) -> InProcess<impl Fn(&mut Regs) + Send + Sync + use<>> {
        let world = self.clone();
        InProcess::new(move |regs: &mut Regs| world.call(id, regs))
    }

    fn of(&self, id: u16) -> MutexGuard<'_, Vm> {
        self.vms[usize::from(id) - 1].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrongs(&self) -> MutexGuard<'_, Wrongs> {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fresh, zeroed pages of a VM in one range.
    pub(crate) fn pages(&self, id: u16, count: u32) -> Pages<'static> {
        self.of(id).pages(count)
    }

    /// Pages split into ranges of one page each.
    pub(crate) fn scattered(&self, id: u16, count: u32) -> Pages<'static> {
        let whole = self.of(id).pages(count);
        let first = whole.ranges()[0].start().get();
        let one = |index: u32| range(first + u64::from(index) * 4096, 1);
        let ranges: Vec<PageRange> = (0..count).map(one).collect();
        Pages::scattered(ranges.leak(), whole.into_window()).unwrap()
    }

    /// Two fresh pages of a VM.
    pub(crate) fn mailbox(&self, id: u16) -> Mailbox {
        self.of(id).mailbox()
    }

    /// A mapper for all of the memory.
    pub(crate) fn mapper(&self) -> Memory {
        Memory::of(&self.platform)
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Fails the call after the next `skip` ones.
    pub(crate) fn fail_after(&self, skip: usize, fault: Fault) {
        let mut wrongs = self.wrongs();
        wrongs.fail_at = Some((wrongs.calls + skip, fault));
    }

    /// From now on every answer passes through `tamper`, with the request that it is to.
    pub(crate) fn tamper(&self, tamper: impl FnMut(&Regs, &mut Regs) + Send + 'static) {
        self.wrongs().tamper = Some(Box::new(tamper));
    }

    /// As [`FakeWorld::tamper`], for the partition's answers on its interface: `change` gets the call,
    /// its argument words and the result words; what it returns is the status, `None` for the true one.
    pub(crate) fn falsify(
        &self,
        mut change: impl FnMut(CallId, [u64; 4], &mut [u64; 4]) -> Option<Status> + Send + 'static,
    ) {
        self.tamper(move |request, answer| {
            let [number, ..] = request.x(3).to_le_bytes();
            let call = CallId::from_number(number);
            let call = call.filter(|_| request.func() == Some(FuncId::DirectReq64));
            let arguments = [4, 5, 6, 7].map(|register| request.x(register));
            let mut results = [4, 5, 6, 7].map(|register| answer.x(register));
            let status = call.and_then(|call| change(call, arguments, &mut results));
            if let Some(status) = status {
                let results = if status == Status::Ok { results } else { [0; 4] };
                let reply = Reply { call_number: number, status, results };
                answer.0[3..8].copy_from_slice(&reply.encode());
            }
        });
    }

    pub(crate) fn stop_failing(&self) {
        let mut wrongs = self.wrongs();
        (wrongs.fail_at, wrongs.tamper) = (None, None);
    }

    pub(crate) fn calls(&self) -> usize {
        self.wrongs().calls
    }

    /// Lives a life in which nothing fails, then again with each of its calls failing in turn, in each way:
    /// whatever came of it, nothing is left. It makes more than `at_least` calls.
    pub(crate) fn whichever_call_fails_nothing_stays_behind(
        at_least: usize,
        life: impl Fn(&Self) -> Result<(), crate::Error>,
    ) {
        let world = Self::new();
        assert_eq!(life(&world), Ok(()));
        world.assert_clean("nothing failed");
        let calls = world.calls();
        assert!(calls > at_least, "{calls}");
        let mut failures = 0;
        for fault in [Fault::Refused, Fault::LostAnswer, Fault::Garbage] {
            for skip in 0..calls {
                let world = Self::new();
                world.fail_after(skip, fault);
                failures += usize::from(life(&world).is_err());
                world.assert_clean(&format!("{fault:?} at call {skip} of {calls}"));
            }
        }
        assert!(failures > calls, "{failures} of {calls} calls, three faults each");
    }

    /// Asserts that no transaction, no grant and no RX buffer is held, and that no rule was broken.
    pub(crate) fn assert_clean(&self, context: &str) {
        assert_eq!(self.platform.leftovers(), [""; 0], "{context}");
        assert!((1..=VMS).all(|vm| !self.platform.holds_rx(vm)), "RX left: {context}");
    }

    pub(crate) fn assert_unmapped(&self, id: u16, context: &str) {
        assert!(!self.platform.has_buffers(id), "mailbox left: {context}");
    }

    fn call(&self, id: u16, regs: &mut Regs) {
        let request = *regs;
        let failing = {
            let mut wrongs = self.wrongs();
            let at = wrongs.calls;
            wrongs.calls += 1;
            wrongs.fail_at.filter(|(when, _)| *when == at).map(|(_, fault)| fault)
        };
        match (failing, Call::decode(regs, Version::V1_1)) {
            (Some(Fault::Garbage), _) => *regs = Regs([0x5a5a_5a5a_5a5a; 18]),
            (Some(Fault::Refused), Ok(Call::Version { .. })) => *regs = regs::version_reply(None),
            (Some(Fault::Refused), Ok(Call::DirectReq(message))) => {
                let [number, ..] = message.words[0].to_le_bytes();
                let refused = Reply::refused(number, Status::NoRoom).encode();
                *regs = Answer::DirectResp(message.reply(refused)).encode();
            }
            (Some(Fault::Refused), _) => *regs = Answer::Error(FfaError::Denied).encode(),
            (Some(Fault::LostAnswer), Ok(Call::DirectReq(message))) => {
                self.platform.call(id, regs);
                *regs = Answer::DirectResp(message.reply([u64::MAX; 5])).encode();
            }
            (Some(Fault::LostAnswer) | None, _) => self.platform.call(id, regs),
        }
        if let Some(tamper) = &mut self.wrongs().tamper {
            tamper(&request, regs);
        }
    }
}

/// A clock that only a rest moves, and that lets the rest of the world work meanwhile.
pub(crate) struct FakeWait<'w> {
    now: Cell<u64>,
    meanwhile: Box<dyn Fn() + 'w>,
}

impl<'w> FakeWait<'w> {
    pub(crate) fn new(meanwhile: impl Fn() + 'w) -> Self {
        Self { now: Cell::new(0), meanwhile: Box::new(meanwhile) }
    }

    pub(crate) fn idle() -> Self {
        Self::new(|| ())
    }
}

impl Wait for FakeWait<'_> {
    fn now_micros(&self) -> u64 {
        self.now.get()
    }

    fn rest(&self) {
        self.now.set(self.now.get() + 1000);
        (self.meanwhile)();
    }
}
