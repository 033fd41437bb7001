//! Owns a fake hypervisor and a fake partition in this process, for the library's own tests only.
//! Never part of a build, and no model of the real broker: it knows just enough to answer, counts
//! what is left behind, and fails the call that a test asks it to fail.
#![expect(unsafe_code, reason = "pages of the fake VMs are this process's own memory")]
#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow and fail")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a fake panics at what nobody should ask")]

mod broker;
mod bus;
mod memory;

use crate::conduit::InProcess;
use crate::connection::Mailbox;
use crate::memory::{IdentityMapper, Pages, Window};
use crate::wait::Wait;
use broker::FakeBroker;
use bus::FakeBus;
use causeway_abi::{Reply, SERVICE_UUID, Status};
use causeway_ffa::partition_info::{PartitionInfo, Properties};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, Notifications, PageAddr, PageRange, Regs, Uuid, Version,
    regs,
};
use core::cell::Cell;
use core::ptr::{self, NonNull};
use memory::FakeMemory;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const PARTITION: EndpointId = EndpointId::from_raw(0x8001);
const VERSION: Version = Version::V1_1;
const VMS: usize = 4;

#[repr(align(4096))]
#[derive(Clone)]
struct Page(#[expect(dead_code, reason = "only its address is used")] [u8; 4096]);

/// Fresh, zeroed pages of this process; their addresses are also their fake physical addresses.
pub(crate) fn pages(count: usize) -> Pages<'static> {
    let memory: &mut [Page] = vec![Page([0; 4096]); count].leak();
    let base = memory.as_mut_ptr().cast::<u8>();
    let start = PageAddr::new(u64::try_from(base.expose_provenance()).unwrap()).unwrap();
    let range = PageRange::new(start, u32::try_from(count).unwrap()).unwrap();
    // SAFETY: the memory is leaked, so it is valid for ever, and its reference is used no more.
    let window = unsafe { Window::new(NonNull::new(base).unwrap(), count * 4096) };
    Pages::contiguous(range, window).unwrap()
}

/// Pages split into ranges of one page each.
pub(crate) fn scattered(count: usize) -> Pages<'static> {
    let whole = pages(count);
    let first = whole.ranges()[0].start().get();
    let one = |index: u64| PageRange::new(PageAddr::new(first + index * 4096).unwrap(), 1).unwrap();
    let ranges: Vec<PageRange> = (0..u64::try_from(count).unwrap()).map(one).collect();
    Pages::scattered(ranges.leak(), whole.into_window()).unwrap()
}

/// A second window on memory that [`pages`] made: what another VM or the hypervisor sees.
fn alias(range: PageRange) -> Window {
    let base = ptr::with_exposed_provenance_mut(usize::try_from(range.start().get()).unwrap());
    let len = usize::try_from(range.len_bytes()).unwrap();
    // SAFETY: `pages` leaked this memory and exposed it; all access to it is volatile.
    unsafe { Window::new(NonNull::new(base).unwrap(), len) }
}

/// A mapper for all of the fake memory.
pub(crate) fn mapper() -> IdentityMapper {
    // As much of the address space as one range can name, around where the heap lies.
    let somewhere = pages(1).ranges()[0].start().get();
    let start = PageAddr::new(somewhere & !((1 << 43) - 1)).unwrap();
    let limits = PageRange::new(start, 1 << 31).unwrap();
    // SAFETY: the fake hypervisor "maps" only what `pages` made, at the same addresses.
    unsafe { IdentityMapper::new(limits) }
}

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

/// One VM as the fake hypervisor keeps it.
#[derive(Default)]
struct FakeVm {
    mailbox: Option<(PageRange, PageRange)>,
    rx_full: bool,
    bound: [u64; VMS],
    rung: u64,
    rung_by_partition: bool,
}

pub(crate) struct World {
    vms: [FakeVm; VMS],
    memory: FakeMemory,
    pub(crate) broker: FakeBroker,
    pub(crate) bus: FakeBus,
    calls: usize,
    fail_at: Option<(usize, Fault)>,
    violations: Vec<String>,
}

/// The fake world; clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeWorld(Arc<Mutex<World>>);

impl FakeWorld {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            vms: Default::default(),
            memory: FakeMemory::default(),
            broker: FakeBroker::default(),
            bus: FakeBus::default(),
            calls: 0,
            fail_at: None,
            violations: Vec::new(),
        })))
    }

    /// The conduit of one VM.
    pub(crate) fn vm(&self, id: u16) -> InProcess<impl Fn(&mut Regs) + Send + Sync + use<>> {
        let world = self.clone();
        InProcess::new(move |regs: &mut Regs| world.with(|w| w.call(id, regs)))
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fails the call after the next `skip` ones.
    pub(crate) fn fail_after(&self, skip: usize, fault: Fault) {
        self.with(|w| w.fail_at = Some((w.calls + skip, fault)));
    }

    pub(crate) fn stop_failing(&self) {
        self.with(|w| w.fail_at = None);
    }

    pub(crate) fn calls(&self) -> usize {
        self.with(|w| w.calls)
    }

    /// Asserts that no transaction, no grant and no RX buffer is held, and that no rule was broken.
    pub(crate) fn assert_clean(&self, context: &str) {
        self.with(|w| {
            assert_eq!(w.violations, [""; 0], "{context}");
            assert_eq!(w.memory.left(), 0, "transactions left: {context}");
            assert_eq!(w.broker.left(), 0, "grants left: {context}");
            assert!(w.vms.iter().all(|vm| !vm.rx_full), "RX left: {context}");
        });
    }

    pub(crate) fn assert_unmapped(&self, id: usize, context: &str) {
        self.with(|w| assert!(w.vms[id].mailbox.is_none(), "mailbox left: {context}"));
    }
}

/// Two fresh pages.
pub(crate) fn mailbox() -> Mailbox {
    Mailbox::new(pages(1), pages(1)).unwrap()
}

impl World {
    fn call(&mut self, vm: u16, regs: &mut Regs) {
        let at = self.calls;
        self.calls += 1;
        let failing = self.fail_at.filter(|(when, _)| *when == at).map(|(_, fault)| fault);
        *regs = match (failing, Call::decode(regs, VERSION)) {
            (Some(Fault::Garbage), _) => Regs([0x5a5a_5a5a_5a5a; 18]),
            (Some(Fault::Refused), Ok(Call::Version { .. })) => regs::version_reply(None),
            (Some(Fault::Refused), Ok(Call::DirectReq(message))) => {
                let [number, ..] = message.words[0].to_le_bytes();
                let refused = Reply::refused(number, Status::NoRoom).encode();
                Answer::DirectResp(message.reply(refused)).encode()
            }
            (Some(Fault::Refused), _) => Answer::Error(FfaError::Denied).encode(),
            (Some(Fault::LostAnswer), Ok(call @ Call::DirectReq(message))) => {
                self.serve(vm, call);
                Answer::DirectResp(message.reply([u64::MAX; 5])).encode()
            }
            (_, Ok(call)) => self.serve(vm, call),
            (_, Err(error)) => Answer::Error(error.status()).encode(),
        };
    }

    fn serve(&mut self, vm: u16, call: Call) -> Regs {
        if let Call::Version { .. } = call {
            return regs::version_reply(Some(Version::V1_2));
        }
        let answer = match call {
            Call::IdGet => Ok(Answer::endpoint(EndpointId::from_raw(vm))),
            Call::RxTxMap { tx, rx, .. } => self.map(vm, tx, rx),
            Call::RxTxUnmap { .. } => self.unmap(vm),
            Call::RxRelease { .. } => self.rx_release(vm),
            Call::PartitionInfoGet { uuid, .. } => self.partition_info(vm, uuid),
            Call::MemSend { kind, lengths } => {
                let tx = self.tx(vm);
                self.memory.send(vm, kind, lengths, tx)
            }
            Call::MemFragTx { handle, length, .. } => {
                let tx = self.tx(vm);
                self.memory.more(vm, handle, length, tx)
            }
            Call::MemRetrieveReq { lengths } => self.retrieve(vm, lengths.total()),
            Call::MemFragRx { handle, offset, .. } => self.fragment(vm, handle, offset),
            Call::MemRelinquish => {
                let tx = self.tx(vm);
                self.memory.relinquish(vm, &tx)
            }
            Call::MemReclaim { handle, .. } => {
                if self.broker.locks(handle) {
                    Err(FfaError::Denied)
                } else {
                    self.memory.reclaim(vm, handle)
                }
            }
            Call::DirectReq(message) if message.receiver == PARTITION => {
                let words = self.partition_call(vm, message.words);
                Ok(Answer::DirectResp(message.reply(words)))
            }
            Call::NotificationBind { sender, bitmap, .. } => {
                self.vms[usize::from(vm)].bound[usize::from(sender.get())] |= bitmap;
                Ok(Answer::success())
            }
            Call::NotificationUnbind { sender, bitmap, .. } => {
                self.vms[usize::from(vm)].bound[usize::from(sender.get())] &= !bitmap;
                Ok(Answer::success())
            }
            Call::NotificationSet { receiver, bitmap, .. } => {
                let receiver = &mut self.vms[usize::from(receiver.get())];
                if receiver.bound[usize::from(vm)] & bitmap == bitmap {
                    receiver.rung |= bitmap;
                    Ok(Answer::success())
                } else {
                    Err(FfaError::Denied)
                }
            }
            Call::NotificationGet { .. } => {
                let this = &mut self.vms[usize::from(vm)];
                Ok(Answer::notifications(&Notifications {
                    from_sps: u64::from(core::mem::take(&mut this.rung_by_partition)),
                    from_vms: core::mem::take(&mut this.rung),
                    ..Notifications::default()
                }))
            }
            other => panic!("the library has no business with {other:?}"),
        };
        answer.unwrap_or_else(Answer::Error).encode()
    }

    fn map(&mut self, vm: u16, tx: PageAddr, rx: PageAddr) -> Result<Answer, FfaError> {
        let page = |start| PageRange::new(start, 1).unwrap();
        let this = &mut self.vms[usize::from(vm)];
        if this.mailbox.replace((page(tx), page(rx))).is_some() {
            self.violations.push("mapped twice".into());
        }
        Ok(Answer::success())
    }

    fn unmap(&mut self, vm: u16) -> Result<Answer, FfaError> {
        self.vms[usize::from(vm)].rx_full = false;
        let taken = self.vms[usize::from(vm)].mailbox.take();
        taken.map(|_| Answer::success()).ok_or(FfaError::InvalidParameters)
    }

    fn tx(&mut self, vm: u16) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        match self.vms[usize::from(vm)].mailbox {
            Some((tx, _)) => alias(tx).read(0, &mut bytes).unwrap(),
            None => self.violations.push("TX used while not mapped".into()),
        }
        bytes
    }

    fn fill_rx(&mut self, vm: u16, bytes: &[u8]) -> Result<(), FfaError> {
        let this = &mut self.vms[usize::from(vm)];
        let (_, rx) = this.mailbox.ok_or(FfaError::InvalidParameters)?;
        this.rx_full = true;
        alias(rx).write(0, bytes).unwrap();
        Ok(())
    }

    fn rx_release(&mut self, vm: u16) -> Result<Answer, FfaError> {
        if !core::mem::take(&mut self.vms[usize::from(vm)].rx_full) {
            self.violations.push("RX released while the VM does not own it".into());
            return Err(FfaError::Denied);
        }
        Ok(Answer::success())
    }

    fn partition_info(&mut self, vm: u16, uuid: Uuid) -> Result<Answer, FfaError> {
        if uuid != Uuid::from_bytes(SERVICE_UUID) {
            return Err(FfaError::InvalidParameters);
        }
        self.rx_free(vm)?;
        let info = PartitionInfo {
            id: PARTITION,
            contexts: 1,
            properties: Properties::DIRECT_REQ_RECEIVE,
            // Stale bytes, as TF-A 2.12 leaves them.
            uuid: Uuid::from_bytes([0x0e; 16]),
        };
        let mut bytes = [0; 24];
        info.write(VERSION, &mut bytes)?;
        self.fill_rx(vm, &bytes)?;
        Ok(Answer::two_words(1, 24))
    }

    /// RX must be the hypervisor's before it is filled.
    fn rx_free(&self, vm: u16) -> Result<(), FfaError> {
        if self.vms[usize::from(vm)].rx_full { Err(FfaError::Busy) } else { Ok(()) }
    }

    fn retrieve(&mut self, vm: u16, length: u32) -> Result<Answer, FfaError> {
        self.rx_free(vm)?;
        let tx = self.tx(vm);
        let accepted = |handle| self.broker.lets_map(handle, vm);
        let (answer, bytes) = self.memory.retrieve(vm, length, &tx, accepted)?;
        self.fill_rx(vm, &bytes)?;
        Ok(answer)
    }

    fn fragment(
        &mut self,
        vm: u16,
        handle: causeway_ffa::MemHandle,
        offset: u32,
    ) -> Result<Answer, FfaError> {
        self.rx_free(vm)?;
        let (answer, bytes) = self.memory.fragment(handle, offset)?;
        self.fill_rx(vm, &bytes)?;
        Ok(answer)
    }

    fn partition_call(&mut self, vm: u16, words: [u64; 5]) -> [u64; 5] {
        let [kind, ..] = words[0].to_le_bytes();
        let reply = if kind < 4 {
            self.bus.frame(vm, words, &self.memory)
        } else if words[0] & 0xff == 0x50 {
            let taken = self.bus.kick(vm);
            Reply::ok(0x50, [taken, 0, 0, 0]).encode()
        } else {
            self.broker.call(vm, words, &self.memory)
        };
        for (id, this) in self.vms.iter_mut().enumerate() {
            let id = u16::try_from(id).unwrap();
            this.rung_by_partition |= self.broker.take_ring(id) | self.bus.take_ring(id);
        }
        reply
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
