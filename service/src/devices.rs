//! Owns the partition's own devices: who sees which, where their rings lie, when they work. Never
//! decides who may see one (policy) or what one does (`causeway-virtio`).

mod allowance;

use crate::areas::Areas;
use crate::entropy::{ForDevice, Ration};
use crate::lines::{LINE_BYTES, Said, Text};
use crate::partition::Partition;
use crate::platform::{Log, Parts, Platform, Window, log};
use crate::rpmb::Memory;
use crate::safe::Tenant;
use crate::sizes::{LOCAL_AREAS, LOCAL_DEVICES, LOCAL_QUEUES};
use allowance::Waits;
use causeway_ffa::{EndpointId, MemHandle};
use causeway_memshare::GrantId;
use causeway_memshare::Policy;
use causeway_memshare::policy::Link;
use causeway_vault::entropy::{EntropyError, Random};
use causeway_virtio::bus::Event;
use causeway_virtio::device::block::{Block, Medium, MediumError};
use causeway_virtio::device::console::{Console, LineBuffer, Size, Terminal};
use causeway_virtio::device::rng::Rng;
use causeway_virtio::device::rpmb::Rpmb;
use causeway_virtio::device::{AnyDevice, Host, News, Progress, Taken};
use causeway_virtio::fifo::FifoMemory;
use causeway_virtio::mem::{Access, AreaMap, MemError};
use causeway_virtio::msg::{AreaShare, BusResult, Encoded, Message};
use causeway_virtio::{AreaId, BusAddr, DeviceId};

/// Chains of one queue that are served in one call. What is left is served at the driver's next
/// call, or at the hypervisor's next poll, whose deadline is then at once.
pub(crate) const BUDGET: u32 = 4;
/// Things that a driver can have to hear after one round of work: more is told after the next.
const NEWS: usize = LOCAL_DEVICES * LOCAL_QUEUES;

/// What a platform has none of: there is no value of it.
#[derive(Debug)]
pub enum Absent {}

impl Random for Absent {
    fn fill(&mut self, _into: &mut [u8]) -> Result<(), EntropyError> {
        match *self {}
    }
}

impl Medium for Absent {
    fn sector_count(&self) -> u64 {
        match *self {}
    }

    fn storage(&self) -> core::ops::Range<usize> {
        match *self {}
    }

    fn read_into<M: AreaMap + ?Sized>(
        &mut self,
        _at: u64,
        _mem: &M,
        _to: BusAddr,
        _len: u32,
    ) -> Result<(), MediumError> {
        match *self {}
    }

    fn write_from<M: AreaMap + ?Sized>(
        &mut self,
        _at: u64,
        _mem: &M,
        _from: BusAddr,
        _len: u32,
    ) -> Result<(), MediumError> {
        match *self {}
    }

    fn flush(&mut self) -> Result<(), MediumError> {
        match *self {}
    }
}

/// A terminal whose lines end in the partition's log, each with its writer's name.
#[derive(Debug)]
pub(crate) struct Screen<L> {
    owner: EndpointId,
    line: LineBuffer<LINE_BYTES>,
    log: L,
}

impl<L: Log> Terminal for Screen<L> {
    fn write(&mut self, bytes: &[u8]) {
        let Self { owner, line, log } = self;
        line.write(bytes, |text| {
            log.tell(Some(*owner), Said::Written { vm: *owner, text: Text::new(text) });
        });
    }
}

type Device<P> = AnyDevice<
    ForDevice<<P as Parts>::Entropy>,
    Screen<<P as Parts>::Console>,
    <P as Parts>::Disk,
    Memory<P>,
>;

/// An area that a driver gave to the partition's devices.
#[derive(Clone, Copy)]
struct LocalArea {
    driver: EndpointId,
    id: AreaId,
    handle: MemHandle,
    grant: GrantId,
    writable: bool,
}

/// Bytes of one device's state with so many queues.
pub(crate) const fn host_bytes<P: Platform, const QUEUES: usize>() -> usize {
    size_of::<Host<Device<P>, 1, QUEUES>>()
}

/// Bytes of what is kept of an area.
pub(crate) const fn area_bytes() -> usize {
    size_of::<Option<LocalArea>>()
}

/// The devices, and the areas that they may reach.
pub(crate) struct Devices<P: Platform> {
    host: Host<Device<P>, LOCAL_DEVICES, LOCAL_QUEUES>,
    areas: [Option<LocalArea>; LOCAL_AREAS],
    /// Some device has work that nobody will kick for.
    busy: bool,
    /// Entropy devices that used up their VM's rate.
    waits: Waits,
}

impl<P: Platform> Devices<P> {
    /// None.
    pub(crate) const fn new() -> Self {
        let areas = [None; LOCAL_AREAS];
        Self { host: Host::new(), areas, busy: false, waits: Waits::new() }
    }

    /// Makes the device of a link; false if the platform has none such, which is then not offered.
    pub(crate) fn add(&mut self, platform: &mut P, policy: &Policy, link: &Link) -> bool {
        let Some(model) = make::<P>(platform, policy, link) else { return false };
        let added = self.host.add(link.driver, link.backend_device, model);
        if added.is_err() {
            log!(*platform, "devices: no room for another of {}", link.driver);
        }
        added.is_ok()
    }

    /// Reports whether a device has work that nobody will kick for.
    #[inline]
    pub(crate) const fn is_busy(&self) -> bool {
        self.busy
    }

    fn of_grant(&mut self, handle: MemHandle, driver: EndpointId) -> Option<LocalArea> {
        let mine = |area: &LocalArea| area.driver == driver && area.handle == handle;
        self.areas.iter_mut().find(|area| area.as_ref().is_some_and(mine))?.take()
    }

    fn of_id(&mut self, id: AreaId, driver: EndpointId) -> Option<LocalArea> {
        let mine = |area: &LocalArea| area.driver == driver && area.id == id;
        self.areas.iter_mut().find(|area| area.as_ref().is_some_and(mine))?.take()
    }

    fn any_of(&mut self, driver: EndpointId) -> Option<LocalArea> {
        let mine = |area: &LocalArea| area.driver == driver;
        self.areas.iter_mut().find(|area| area.as_ref().is_some_and(mine))?.take()
    }
}

/// The device that a link without a backend names, by its kind.
fn make<P: Platform>(platform: &mut P, policy: &Policy, link: &Link) -> Option<Device<P>> {
    let kind = u32::from(link.backend_device);
    if kind == DeviceId::ENTROPY.get() {
        let Tenant { place, given, .. } = Tenant::of(policy, link.driver)?;
        let bytes_per_second = given.entropy_bytes_per_second;
        if bytes_per_second == 0 {
            log!(*platform, "devices: {} has no entropy-bytes-per-second: no device", link.driver);
            return None;
        }
        let ration = Ration { place, bytes_per_second };
        Some(AnyDevice::Rng(Rng::new(ForDevice::new(platform.entropy()?, ration))))
    } else if kind == DeviceId::CONSOLE.get() {
        let (owner, line) = (link.driver, LineBuffer::new());
        let screen = Screen { owner, line, log: platform.console() };
        Some(AnyDevice::Console(Console::new(screen, Size { columns: 80, rows: 25 })))
    } else if kind == DeviceId::BLOCK.get() {
        let mut id = *b"causeway ram disk   ";
        if let Some(last) = id.last_mut() {
            *last = u8::try_from(link.driver.get()).map_or(b'?', |vm| b'0'.saturating_add(vm));
        }
        Some(AnyDevice::Block(Block::new(platform.disk(link.driver)?, id)))
    } else if kind == DeviceId::RPMB.get() {
        let tenant = Tenant::of(policy, link.driver)?;
        Some(AnyDevice::Rpmb(Rpmb::new(Memory::of(platform, tenant)?)))
    } else {
        log!(*platform, "devices: {} has kind {kind}, which is none of ours", link.driver);
        None
    }
}

/// The areas of one driver as its devices reach them: mapped ones only.
struct Reach<'a, W> {
    driver: EndpointId,
    table: &'a [Option<LocalArea>; LOCAL_AREAS],
    mapped: &'a Areas<W>,
}

impl<W: Window> Reach<'_, W> {
    /// Finds the mapped area and the offset in it, if all of the access is allowed.
    fn locate(
        &self,
        at: BusAddr,
        len: u64,
        access: Access,
    ) -> Result<(&crate::mapped::MappedArea<W>, usize), MemError> {
        let id = at.area().ok_or(MemError::Outside)?;
        let mut table = self.table.iter().flatten();
        let entry = table.find(|area| area.driver == self.driver && area.id == id);
        let entry = entry.ok_or(MemError::Outside)?;
        let area = self.mapped.get(entry.grant).ok_or(MemError::Outside)?;
        let end = at.offset().checked_add(len).ok_or(MemError::Outside)?;
        if end > area.len() {
            return Err(MemError::Outside);
        }
        if access == Access::Write && !(entry.writable && area.is_writable()) {
            return Err(MemError::Permission);
        }
        Ok((area, usize::try_from(at.offset()).map_err(|_| MemError::Outside)?))
    }
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl<W: Window> AreaMap for Reach<'_, W> {
    fn check(&self, at: BusAddr, len: u64, access: Access) -> Result<(), MemError> {
        self.locate(at, len, access).map(|_| ())
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        let (area, offset) = self.locate(at, bytes(into.len()), Access::Read)?;
        area.read(offset, into).map_err(|_| MemError::Outside)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        let (area, offset) = self.locate(at, bytes(from.len()), Access::Write)?;
        area.write(offset, from).map_err(|_| MemError::Outside)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        let (area, offset) = self.locate(at, 2, Access::Read)?;
        if !offset.is_multiple_of(2) {
            return Err(MemError::Unaligned);
        }
        area.load_acquire_u16(offset).map_err(|_| MemError::Outside)
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        let (area, offset) = self.locate(at, 2, Access::Write)?;
        if !offset.is_multiple_of(2) {
            return Err(MemError::Unaligned);
        }
        area.store_release_u16(offset, value).map_err(|_| MemError::Outside)
    }
}

impl<P: Platform> Partition<P> {
    /// Gives a message to a device of ours; returns what the bus has to hear of it.
    pub(crate) fn call_local(&mut self, driver: EndpointId, message: &Encoded) -> Option<Event> {
        let Ok(message) = Message::decode(message.bytes()) else {
            log!(self.platform, "devices: the bus made a message that is none");
            return None;
        };
        let Devices { host, areas: table, .. } = &mut self.devices;
        let reach = Reach { driver, table, mapped: &self.areas };
        let answer = match host.take(&reach, driver, &message) {
            Taken::Answer(answer) => Some(answer),
            Taken::Share(share) => {
                let result = verdict(self.share_local(driver, &share));
                Host::<Device<P>, LOCAL_DEVICES, LOCAL_QUEUES>::answer_area(&message, result)
            }
            Taken::Unshare(id) => {
                if let Some(area) = self.devices.of_id(id, driver) {
                    self.end_use(driver, area.handle);
                }
                Host::<Device<P>, LOCAL_DEVICES, LOCAL_QUEUES>::answer_area(&message, BusResult::Ok)
            }
            Taken::Reset => {
                while let Some(area) = self.devices.any_of(driver) {
                    self.end_use(driver, area.handle);
                }
                None
            }
            Taken::Work => {
                self.devices.busy = true;
                None
            }
            Taken::Nothing => None,
        };
        answer.map(|answer| Event::LocalMessage { driver, message: answer.encode() })
    }

    /// Maps an area for a driver's devices; nothing stays behind if that fails.
    fn share_local(&mut self, driver: EndpointId, share: &AreaShare) -> bool {
        if self.devices.areas.iter().all(Option::is_some) {
            return false;
        }
        let Some(grant) = self.begin_use(driver, share.handle) else { return false };
        let Some(slot) = self.devices.areas.iter_mut().find(|area| area.is_none()) else {
            return false;
        };
        let writable = share.attrs.is_writable();
        *slot = Some(LocalArea { driver, id: share.area, handle: share.handle, grant, writable });
        true
    }

    /// A grant ended, and its use with it: the devices must not look for it any more.
    pub(crate) fn devices_lost(&mut self, owner: EndpointId, handle: MemHandle) {
        if self.devices.of_grant(handle, owner).is_none() {
            return;
        }
        let mut told = [None; NEWS];
        let Devices { host, areas: table, .. } = &mut self.devices;
        let reach = Reach { driver: owner, table, mapped: &self.areas };
        host.lost_areas(&reach, owner, |news| note(&mut told, news));
        self.tell_news(owner, &told);
    }

    /// Serves a driver's devices for a bounded while.
    pub(crate) fn devices_work(&mut self, driver: EndpointId) {
        self.devices_work_within(driver, BUDGET);
    }

    fn devices_work_within(&mut self, driver: EndpointId, budget: u32) {
        let lent = self.lend_entropy(driver);
        let mut told = [None; NEWS];
        let Devices { host, areas: table, busy, .. } = &mut self.devices;
        let reach = Reach { driver, table, mapped: &self.areas };
        let progress = host.work(&reach, driver, budget, |news| note(&mut told, news));
        *busy = progress == Progress::More || host.any_work().is_some();
        if let Some(lent) = lent {
            self.settle_entropy(driver, lent);
        }
        self.tell_news(driver, &told);
        self.record_frames();
    }

    /// Serves the devices of somebody whose work was left over, each in its turn.
    pub(crate) fn devices_turn(&mut self) {
        match self.devices.host.next_work() {
            Some(driver) => self.devices_work(driver),
            None => self.devices.busy = false,
        }
    }

    fn tell_news(&mut self, driver: EndpointId, told: &[Option<News>; NEWS]) {
        for news in told.iter().flatten() {
            self.bus_event(Event::LocalMessage { driver, message: news.message().encode() });
        }
    }
}

const fn verdict(shared: bool) -> BusResult {
    if shared { BusResult::Ok } else { BusResult::Error }
}

fn note(told: &mut [Option<News>; NEWS], news: News) {
    // Each queue is told of once in a round, and a device that failed works no more.
    if let Some(slot) = told.iter_mut().find(|slot| slot.is_none()) {
        *slot = Some(news);
    }
}
