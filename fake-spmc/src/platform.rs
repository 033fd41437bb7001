//! Owns a whole platform in this process: an SPMC, the real partition code, and a small hypervisor
//! (a fake, for host tests only) with several VMs. Never runs a VM: whoever tests makes its calls.

mod borrow;
mod discover;
mod floor;
mod interrupts;
mod life;
mod memory;
mod parts;
mod policy;
mod secure;
mod vm;

pub use floor::Floor;
pub use policy::standard_policy;

use crate::layout::{self, HYPERVISOR, PARTITION};
use crate::machine::Machine;
use crate::personality::Personality;
use crate::ram::{GivenMemory, range};
use crate::spmc::Spmc;
use causeway_abi::{Frame, Reply};
use causeway_ffa::call::{DirectMessage, Width};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, MemHandle, PageAddr, Regs, Version};
use causeway_memshare::Policy;
use causeway_service::Partition;
use memory::Share;
use secure::Secure;
use std::sync::{Arc, Mutex, PoisonError};
use vm::Vm;

/// How the hypervisor treats memory calls of VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mediation {
    /// It checks all that a hypervisor must.
    Checked,
    /// It forwards descriptors as they are, with the VM's true id where the SPMC looks for one: for
    /// tests of what SPMC and partition refuse themselves.
    Raw,
}

/// Whether the machine has a source of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RandomSource {
    /// One that gives the same numbers in every run.
    Seeded,
    /// None, as a processor without FEAT_RNG.
    None,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The SPMC.
    pub personality: Personality,
    /// VMs, with ids from 1.
    pub vm_count: u16,
    /// 4 KiB pages of each.
    pub vm_pages: u32,
    /// The hypervisor's manners.
    pub mediation: Mediation,
    /// The partition's policy; by default [`standard_policy`].
    pub policy: Option<Policy>,
    /// Where the bytes of memory come from; by default from this process alone.
    pub memory: Option<GivenMemory>,
    /// Where random numbers come from.
    pub random: RandomSource,
}

impl Setup {
    /// Three VMs with 256 pages each, a hypervisor that checks.
    #[must_use]
    pub const fn new(personality: Personality) -> Self {
        let mediation = Mediation::Checked;
        let (policy, memory, random) = (None, None, RandomSource::Seeded);
        Self { personality, vm_count: 3, vm_pages: 256, mediation, policy, memory, random }
    }
}

/// The platform; clones are the same one.
#[derive(Clone)]
pub struct Platform {
    world: Arc<Mutex<World>>,
    machine: Arc<Machine>,
}

/// Everything that is not a VM's program.
pub(crate) struct World {
    machine: Arc<Machine>,
    floor: Floor,
    mediation: Mediation,
    vms: Vec<Vm>,
    shares: Vec<Share>,
    /// VMs that the partition asked the hypervisor to restart.
    restarts_asked: Vec<u16>,
}

impl Platform {
    /// Boots: the partition is started, the hypervisor has registered, the VMs are there.
    ///
    /// # Panics
    /// If the partition cannot be started on this SPMC, or has no memory for it.
    #[must_use]
    pub fn boot(setup: &Setup) -> Self {
        let machine = layout::machine_with(setup.vm_count, setup.vm_pages, setup.memory);
        let machine = Arc::new(machine);
        let standard = || standard_policy(setup.vm_count, setup.vm_pages);
        let policy = setup.policy.unwrap_or_else(standard);
        let floor =
            Floor::boot_with(setup.personality.clone(), machine.clone(), policy, setup.random);
        let floor = floor.expect("the partition starts");
        let rams = (1..=setup.vm_count).map(|id| layout::vm_ram(id, setup.vm_pages));
        let vms = (1u16..).zip(rams).map(|(id, ram)| Vm::new(EndpointId::from_raw(id), ram));
        let mut world = World {
            machine: machine.clone(),
            floor,
            mediation: setup.mediation,
            vms: vms.collect(),
            shares: Vec::new(),
            restarts_asked: Vec::new(),
        };
        world.register();
        Self { world: Arc::new(Mutex::new(world)), machine }
    }

    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        work(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The machine: bytes, page model, clock.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, for whoever keeps it beyond the platform.
    #[must_use]
    pub fn shared_machine(&self) -> Arc<Machine> {
        self.machine.clone()
    }

    /// A call of VM `vm` at its virtual instance; the answer takes the place of the arguments.
    pub fn call(&self, vm: u16, regs: &mut Regs) {
        *regs = self.with(|world| world.vm_call(EndpointId::from_raw(vm), regs));
    }

    /// The same as a function, for a conduit of a client.
    pub fn conduit(&self, vm: u16) -> impl Fn(&mut Regs) + Send + Sync + use<> {
        let platform = self.clone();
        move |regs: &mut Regs| platform.call(vm, regs)
    }

    /// A frame of VM `vm` for the partition, by a 64-bit direct request.
    ///
    /// # Errors
    /// The FF-A status where the message did not come through, or was not answered.
    pub fn frame(&self, vm: u16, frame: Frame) -> Result<Frame, FfaError> {
        let sender = EndpointId::from_raw(vm);
        let width = Width::Bits64;
        let message = DirectMessage { sender, receiver: PARTITION, width, words: frame };
        let mut regs = Call::DirectReq(message).encode();
        self.call(vm, &mut regs);
        let Answer::DirectResp(message) = decode(&regs)? else {
            return Err(FfaError::NotSupported);
        };
        Ok(message.words)
    }

    /// A call of VM `vm` on the service interface.
    ///
    /// # Errors
    /// As [`Platform::frame`].
    pub fn service(&self, vm: u16, call: causeway_abi::Call) -> Result<Reply, FfaError> {
        let frame = self.frame(vm, call.encode())?;
        Reply::decode(&frame).ok_or(FfaError::NotSupported)
    }

    /// Lets time pass, and the hypervisor look.
    pub fn pass(&self, milliseconds: u64) {
        self.machine.pass(milliseconds);
        self.with(World::poll);
    }

    /// Lets secure interrupts that are pending come into the partition, and the hypervisor look.
    pub fn interrupts(&self) {
        self.interrupts_unseen();
        self.with(World::poll);
    }

    /// Lets them come into the partition, and the hypervisor not look yet.
    pub fn interrupts_unseen(&self) {
        self.with(|world| world.floor.interrupts());
    }

    /// The hypervisor's own call on the service interface.
    #[must_use]
    pub fn hypervisor(&self, call: causeway_abi::Call) -> Option<Reply> {
        self.with(|world| world.ask_service(call))
    }

    /// Reports whether the partition has rung VM `vm` since the last look.
    #[must_use]
    pub fn take_bell(&self, vm: u16) -> bool {
        self.with(|world| {
            let vm = world.vm(EndpointId::from_raw(vm));
            vm.is_some_and(|vm| core::mem::replace(&mut vm.rung_by_partition, false))
        })
    }

    /// The SPMC tells the partition that the core on which things happen is switched off.
    pub fn core_off(&self) {
        self.with(|world| world.floor.core_off());
    }

    /// Looks at the SPMC.
    pub fn spmc<R>(&self, look: impl FnOnce(&mut Spmc) -> R) -> R {
        self.with(|world| look(&mut world.floor.spmc()))
    }

    /// Looks at the partition.
    pub fn partition<R>(&self, look: impl FnOnce(&Partition<Secure>) -> R) -> R {
        self.with(|world| look(world.floor.partition()))
    }

    /// Messages that reached the partition, those of the hypervisor included.
    #[must_use]
    pub fn partition_calls(&self) -> u64 {
        self.with(|world| world.floor.partition_calls())
    }

    /// What the parts of the partition cost in RAM, in bytes; the last is all of it.
    #[must_use]
    pub const fn ram() -> [(&'static str, usize); 7] {
        causeway_service::ram::<Secure>()
    }

    /// What the partition has printed.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.with(|world| world.floor.log())
    }

    /// VMs that the partition asked the hypervisor to restart, in order. Nobody restarts them here.
    #[must_use]
    pub fn restarts_asked(&self) -> Vec<u16> {
        self.with(|world| world.restarts_asked.clone())
    }

    /// The ledger's entries of a VM, one line each.
    #[must_use]
    pub fn ledger_of(&self, vm: u16) -> Vec<String> {
        self.partition(|partition| {
            let entries = partition.ledger().entries(Some(EndpointId::from_raw(vm)));
            entries.map(|entry| format!("{entry:?}")).collect()
        })
    }

    /// Transactions that VMs began and the hypervisor still knows.
    #[must_use]
    pub fn shares(&self) -> usize {
        self.with(|world| world.shares.len())
    }

    /// Reports whether VM `vm` holds its RX buffer.
    #[must_use]
    pub fn holds_rx(&self, vm: u16) -> bool {
        self.with(|world| world.vm(EndpointId::from_raw(vm)).is_some_and(|vm| vm.rx_full))
    }

    /// Reports whether VM `vm` has registered its buffers.
    #[must_use]
    pub fn has_buffers(&self, vm: u16) -> bool {
        self.with(|world| world.vm(EndpointId::from_raw(vm)).is_some_and(|vm| vm.mailbox.is_some()))
    }

    /// Kills VM `vm` in the order that architecture.md prescribes. False while the partition is not
    /// done with it: let time pass, and call again.
    #[must_use]
    pub fn kill(&self, vm: u16) -> bool {
        self.with(|world| world.kill(EndpointId::from_raw(vm)))
    }

    /// Tells the partition once, and not again, that VM `vm` is gone: what a hypervisor does that is
    /// interrupted between two repeats. True where the partition was done at once.
    #[must_use]
    pub fn say_destroyed(&self, vm: u16) -> bool {
        self.with(|world| world.say_destroyed(EndpointId::from_raw(vm)))
    }

    /// Starts VM `vm` anew, with zeroed memory. False while what it owned is still lent out, or it
    /// lives.
    #[must_use]
    pub fn restart(&self, vm: u16) -> bool {
        self.with(|world| world.restart(EndpointId::from_raw(vm)))
    }

    /// Everything that is left behind when every VM has let go of everything: nothing, if all is
    /// well. One line each.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        self.with(|world| {
            left.extend(world.shares.iter().map(|share| format!("share {}", share.handle)));
            left.extend(
                world.floor.partition().broker().grants().map(|grant| format!("{grant:?}")),
            );
            let sent = world.floor.spmc().transactions();
            left.extend((sent > 0).then(|| format!("{sent} transactions in the SPMC")));
        });
        self.machine.pages(|pages| {
            left.extend(pages.live().iter().map(|live| format!("page model: {live:?}")));
            left.extend(pages.violations().iter().map(|violation| format!("{violation:?}")));
            let mapped = pages.mapped_pages(PARTITION);
            left.extend((mapped > 0).then(|| format!("the partition maps {mapped} pages")));
        });
        left
    }
}

impl core::fmt::Debug for Platform {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Platform").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl World {
    /// A call of the hypervisor's at the physical instance.
    fn physical(&mut self, regs: &Regs) -> Regs {
        self.floor.call(regs)
    }

    /// A typed call of the hypervisor's.
    fn ask(&mut self, call: &Call) -> Result<Answer, FfaError> {
        decode(&self.physical(&call.encode()))
    }

    /// A call of the hypervisor's own on the service interface.
    fn ask_service(&mut self, call: causeway_abi::Call) -> Option<Reply> {
        let (sender, width) = (HYPERVISOR, Width::Bits64);
        let message = DirectMessage { sender, receiver: PARTITION, width, words: call.encode() };
        let Answer::DirectResp(message) = self.ask(&Call::DirectReq(message)).ok()? else {
            return None;
        };
        Reply::decode(&message.words)
    }

    /// Version, buffers, and the doorbell at the partition. What fails here fails later for whoever
    /// needs it.
    fn register(&mut self) {
        self.physical(&Call::Version { requested: Some(Version::V1_1) }.encode());
        let tx = layout::hypervisor_ram().start();
        let rx = PageAddr::new(tx.get() + 4096).unwrap_or(tx);
        let map = Call::RxTxMap { tx, rx, page_count: 1, width: Width::Bits64 };
        self.physical(&map.encode());
        for vm in 1..=u16::try_from(self.vms.len()).unwrap_or(0) {
            let vm = EndpointId::from_raw(vm);
            self.physical(&Call::NotificationBitmapCreate { vm, vcpu_count: 1 }.encode());
        }
        self.ask_service(causeway_abi::Call::HypRegister { sgi: 0, core: 0 });
    }

    fn vm(&mut self, id: EndpointId) -> Option<&mut Vm> {
        self.vms.iter_mut().find(|vm| vm.id == id)
    }

    fn share(&mut self, handle: MemHandle) -> Option<&mut Share> {
        self.shares.iter_mut().find(|share| share.handle == handle)
    }
}

fn decode(regs: &Regs) -> Result<Answer, FfaError> {
    match Answer::decode(regs, Version::V1_3) {
        Ok(Answer::Error(code)) => Err(code),
        Ok(answer) => Ok(answer),
        Err(refusal) => Err(refusal.status()),
    }
}

/// One page.
fn page(address: PageAddr) -> causeway_ffa::PageRange {
    range(address.get(), 1)
}
