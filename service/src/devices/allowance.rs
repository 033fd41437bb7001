//! Owns which entropy devices used up their VM's rate, and when they are looked at again. Never says how
//! much a VM has: policy does, and ENTROPY takes of the same.

use super::Device;
use crate::partition::Partition;
use crate::platform::Platform;
use crate::sizes::LOCAL_DEVICES;
use causeway_abi::CallId;
use causeway_ffa::EndpointId;
use causeway_memshare::{Action, Record};
use causeway_virtio::DeviceId;
use causeway_virtio::device::AnyDevice;

/// The number of a driver's entropy device: the partition's devices are named by their kind.
fn number() -> u16 {
    u16::try_from(DeviceId::ENTROPY.get()).unwrap_or(u16::MAX)
}

/// Chains of one queue that the secure timer's interrupt has served at most: it is no VM's own time.
const BUDGET_OF_ALARM: u32 = 1;

/// A driver whose device has nothing to give before.
#[derive(Clone, Copy)]
struct Wait {
    driver: EndpointId,
    until: u64,
}

/// The devices that wait. Each has its place: no VM takes another's.
pub(super) struct Waits {
    waits: [Option<Wait>; LOCAL_DEVICES],
    /// The first moment at which one is to be looked at; all ones: none.
    next: u64,
}

impl Waits {
    pub(super) const fn new() -> Self {
        Self { waits: [None; LOCAL_DEVICES], next: u64::MAX }
    }

    pub(super) const fn deadline(&self) -> Option<u64> {
        match self.next {
            u64::MAX => None,
            at => Some(at),
        }
    }

    /// Notes that a driver's device waits; false if it did already.
    fn add(&mut self, driver: EndpointId, until: u64) -> bool {
        let known = self.waits.iter().flatten().any(|wait| wait.driver == driver);
        self.remove(driver);
        if let Some(free) = self.waits.iter_mut().find(|wait| wait.is_none()) {
            *free = Some(Wait { driver, until });
        }
        self.set_next();
        !known
    }

    fn remove(&mut self, driver: EndpointId) {
        for wait in &mut self.waits {
            if wait.is_some_and(|wait| wait.driver == driver) {
                *wait = None;
            }
        }
        self.set_next();
    }

    fn take_due(&mut self, now: u64) -> Option<EndpointId> {
        if now < self.next {
            return None;
        }
        let due = |wait: &&mut Option<Wait>| wait.is_some_and(|wait| wait.until <= now);
        let driver = self.waits.iter_mut().find(due)?.take().map(|wait| wait.driver);
        self.set_next();
        driver
    }

    fn set_next(&mut self) {
        let all = self.waits.iter().flatten().map(|wait| wait.until);
        self.next = all.min().unwrap_or(u64::MAX);
    }
}

impl<P: Platform> Partition<P> {
    /// Lends a driver's entropy device what its VM has left of its rate, if it is to be worked; returns
    /// how much.
    pub(super) fn lend_entropy(&mut self, driver: EndpointId) -> Option<u32> {
        let mut due = self.devices.host.models_to_work(driver);
        let source = due.find_map(|model: &mut Device<P>| match model {
            AnyDevice::Rng(rng) => Some(rng.source_mut()),
            AnyDevice::Console(_) | AnyDevice::Block(_) | AnyDevice::Rpmb(_) => None,
        })?;
        let left = self.vault.entropy_left(source.ration(), self.platform.now());
        source.lend(left);
        Some(left)
    }

    /// Takes what the device used of what was lent. One that has nothing left waits until the rate is
    /// full again: somebody must look then, for its driver does not kick twice.
    pub(super) fn settle_entropy(&mut self, driver: EndpointId, lent: u32) {
        let Some(server) = self.devices.host.device(driver, number()) else { return };
        let AnyDevice::Rng(rng) = server.model() else { return };
        let (left, ration) = (rng.source().lent(), rng.source().ration());
        let used = lent.saturating_sub(left);
        let full_at = self.vault.take_entropy(ration, used);
        if used > 0 {
            // One record for what one round gave, with those of the call.
            let served = Action::Served { call_number: CallId::Entropy.number() };
            self.ledger.append(self.platform.now(), &Record::new(driver, served));
        }
        if left > 0 {
            return;
        }
        let is_new = self.devices.waits.add(driver, full_at);
        self.unsettle_alarm();
        if is_new && self.platform.alarm_intid().is_none() {
            // Without a timer of ours the hypervisor has to look, and learns when by its poll.
            self.ring_bell(driver);
        }
    }

    /// When a device that waits is to be looked at.
    #[inline]
    pub(crate) const fn refill_deadline(&self) -> Option<u64> {
        self.devices.waits.deadline()
    }

    /// The secure timer rang: serves one chain of one device whose rate is full again. The next one's time
    /// is the alarm's next, and what is left of this one's is for the hypervisor's poll.
    pub(crate) fn refill_one(&mut self) {
        let Some(driver) = self.devices.waits.take_due(self.platform.now()) else { return };
        self.unsettle_alarm();
        let _worked_next = self.devices.host.device_mut(driver, number());
        self.devices_work_within(driver, BUDGET_OF_ALARM);
        if self.devices.host.has_work(driver) {
            self.ring_bell(driver);
        }
    }

    /// The hypervisor polls: all devices whose rate is full again have work, and take their turns.
    pub(crate) fn refill_all(&mut self) {
        let now = self.platform.now();
        while let Some(driver) = self.devices.waits.take_due(now) {
            self.unsettle_alarm();
            let _worked_next = self.devices.host.device_mut(driver, number());
            self.devices.busy = true;
        }
    }

    /// A VM is gone: its device waits for nothing.
    pub(crate) fn forget_wait(&mut self, vm: EndpointId) {
        self.devices.waits.remove(vm);
        self.unsettle_alarm();
    }
}

#[cfg(test)]
mod tests {
    use super::{EndpointId, LOCAL_DEVICES, Waits};

    #[test]
    fn each_device_waits_for_its_own_time_and_is_there_once() {
        let vm = EndpointId::from_raw;
        let mut waits = Waits::new();
        assert_eq!((waits.deadline(), waits.take_due(u64::MAX)), (None, None));
        assert!(waits.add(vm(1), 50) && !waits.add(vm(1), 60));
        assert_eq!(waits.deadline(), Some(60));
        if LOCAL_DEVICES > 1 {
            assert!(waits.add(vm(2), 40));
            assert_eq!((waits.deadline(), waits.take_due(39)), (Some(40), None));
            assert_eq!(waits.take_due(60), Some(vm(1)));
            assert_eq!(waits.deadline(), Some(40));
            waits.remove(vm(2));
        }
        waits.remove(vm(1));
        assert_eq!((waits.deadline(), waits.take_due(u64::MAX)), (None, None));
    }
}
