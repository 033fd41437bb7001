//! Owns a VM's end and its new beginning, and the hypervisor's poll of the partition. Never decides
//! what a grant's state is: the partition says.

use super::vm::{Life, Vm};
use super::{World, decode};
use crate::layout::{HYPERVISOR, PARTITION};
use causeway_abi::{Call as Service, NO_HANDLE, Permission, Status};
use causeway_ffa::call::{Framework, FrameworkMessage, ReclaimFlags};
use causeway_ffa::{Answer, Call, EndpointId, MemHandle};

/// Rounds of HYP_POLL until nothing is left to do: more than the partition's tables can ask for.
const ROUNDS: usize = 4096;

impl World {
    /// Fetches what the partition wants: VMs to ring, VMs to unmap.
    pub(super) fn poll(&mut self) {
        for _ in 0..ROUNDS {
            let Some(reply) = self.ask_service(Service::HypPoll) else { return };
            if reply.status != Status::Ok {
                return;
            }
            let [bells, handle, vm, _] = reply.results;
            if vm & 1 << 16 != 0 {
                self.restarts_asked.push(u16::try_from(vm >> 32).unwrap_or(0));
            }
            for one in self.vms.iter_mut().filter(|vm| vm.life == Life::Alive) {
                one.rung_by_partition |= bells & (1 << one.id.get()) != 0;
            }
            if handle == NO_HANDLE {
                if bells == 0 {
                    return;
                }
                continue;
            }
            let vm = EndpointId::from_raw(u16::try_from(vm & 0xffff).unwrap_or(0));
            let Some(handle) = MemHandle::new(handle) else { return };
            if !self.unmap(handle, vm) {
                // It maps nothing: that, too, is an answer.
                self.ask_service(Service::HypUnmapped { handle, vm });
            }
        }
    }

    fn say(&mut self, message: FrameworkMessage) -> Option<Result<(), causeway_ffa::FfaError>> {
        let framework = Framework { sender: HYPERVISOR, receiver: PARTITION, message };
        let answer = self.physical(&Call::FrameworkReq(framework).encode());
        match decode(&answer).ok()? {
            Answer::FrameworkResp(framework) => match framework.message {
                FrameworkMessage::VmCreatedResp { status }
                | FrameworkMessage::VmDestroyedResp { status } => Some(status),
                FrameworkMessage::PowerPsci { .. }
                | FrameworkMessage::PowerWarmBoot { .. }
                | FrameworkMessage::PowerResp { .. }
                | FrameworkMessage::VmCreated { .. }
                | FrameworkMessage::VmDestroyed { .. }
                | FrameworkMessage::VersionReq { .. }
                | FrameworkMessage::VersionResp { .. } => None,
            },
            Answer::Success(_)
            | Answer::Error(_)
            | Answer::MemRetrieveResp(_)
            | Answer::MemFragRx { .. }
            | Answer::MemFragTx { .. }
            | Answer::DirectResp(_)
            | Answer::DirectResp2(_)
            | Answer::Interrupt { .. }
            | Answer::Yield { .. }
            | Answer::MsgWait => None,
        }
    }

    /// Tells the partition once that a VM is gone; true when it has nothing left to do for that.
    pub(super) fn say_destroyed(&mut self, vm: EndpointId) -> bool {
        self.say(FrameworkMessage::VmDestroyed { info: None, vm }) == Some(Ok(()))
    }

    /// Stops a VM, unmaps what it borrowed, tells the partition, takes back what it owned. True when
    /// all of that is done.
    pub(super) fn kill(&mut self, id: EndpointId) -> bool {
        let Some(vm) = self.vm(id) else { return false };
        if vm.life == Life::Alive {
            (vm.life, vm.partial, vm.response) = (Life::Dying, None, None);
            self.vms.iter_mut().for_each(|vm| vm.forget_sender(id));
            let borrowed: Vec<_> =
                self.shares.iter().filter(|s| s.mapped_by.contains(&id)).collect();
            let borrowed: Vec<_> = borrowed.into_iter().map(|share| share.handle).collect();
            for handle in borrowed {
                self.unmap(handle, id);
            }
            let gone = FrameworkMessage::VmDestroyed { info: None, vm: id };
            for _ in 0..ROUNDS {
                match self.say(gone) {
                    Some(Err(causeway_ffa::FfaError::Retry)) => {}
                    Some(Ok(()) | Err(_)) | None => break,
                }
            }
            self.poll();
        }
        self.reap(id)
    }

    /// Takes back what a dead VM owned, as far as nobody holds it.
    fn reap(&mut self, id: EndpointId) -> bool {
        let owned = self.shares.iter().filter(|share| share.owner == id);
        let owned: Vec<_> = owned.map(|share| share.handle).collect();
        let flags = ReclaimFlags::default();
        let still_held = |handle: &MemHandle| {
            self.reclaim(id, *handle, flags).is_err() && self.share(*handle).is_some()
        };
        let is_done = owned.into_iter().filter(still_held).count() == 0;
        if let Some(vm) = self.vm(id).filter(|vm| is_done && vm.life == Life::Dying) {
            vm.life = Life::Dead;
        }
        is_done
    }

    /// A dead VM with the same id starts anew.
    pub(super) fn restart(&mut self, id: EndpointId) -> bool {
        if self.vm(id).is_none_or(|vm| vm.life == Life::Alive) || !self.reap(id) {
            return false;
        }
        let created = FrameworkMessage::VmCreated { info: None, vm: id };
        if self.say(created) != Some(Ok(())) {
            return false;
        }
        let machine = self.machine.clone();
        let Some(vm) = self.vm(id) else { return false };
        let ram = vm.ram;
        *vm = Vm::new(id, ram);
        machine.pages(|pages| pages.unmap(id, ram));
        for page in 0..ram.page_count() {
            let address = ram.start().get() + u64::from(page) * 4096;
            let page = super::range(address, 1);
            // What the dead one had donated is another's.
            if machine.pages(|pages| pages.may(id, page, Permission::ReadWrite)) {
                let zeroed = machine.ram().write(address, &[0; 4096]);
                debug_assert!(zeroed.is_some());
                machine.pages(|pages| pages.map(id, page, Permission::ReadWrite));
            }
        }
        true
    }
}
