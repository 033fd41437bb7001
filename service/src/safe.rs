//! Owns what is kept in the secure flash for VMs: the store and, on it, counters, replay-protected
//! areas and sealed keys; opened at first use, and shared by calls and devices. Never decides who may
//! use what: policy is asked before.

mod absent;
mod frames;
mod keyed;

pub use absent::Absent;
pub(crate) use keyed::{KeyTask, Made};

use crate::rate::Rate;
use causeway_abi::Status;
use causeway_ffa::EndpointId;
use causeway_memshare::Policy;
use causeway_memshare::policy::{MAX_VMS, Services};
use causeway_vault::counter::{self, CounterError};
use causeway_vault::flash::NorFlash;
use causeway_vault::keys::{Keys, RootKey};
use causeway_vault::rpmb::frame::{Frame, Request};
use causeway_vault::rpmb::{Area, MAX_READ};
use causeway_vault::{Store, StoreError};
use core::ops::Range;
use spin::mutex::SpinMutex;

/// Whether the platform's secure flash can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashState {
    /// There is none, or it is not provisioned: nothing would last.
    NotThere,
    /// A core of the machine was never started, and may still execute from it.
    CoresNotSeen,
    /// It may be read, written and erased.
    Ready,
}

/// The secure flash of a platform, the hardware-unique key, and time.
pub trait SecureFlash {
    /// How it is driven.
    type Flash: NorFlash;

    /// Whether it can be used now.
    fn state(&self) -> FlashState;

    /// Returns a driver; `None` if the chips are not what the platform expects.
    fn open(&mut self) -> Option<Self::Flash>;

    /// The sectors of the store, in bytes from the start of the flash.
    fn store_range(&self) -> Range<u32>;

    /// The hardware-unique key: the platform's hook. From fuses where there are some; on QEMU from a
    /// sector of the flash, which is private to the secure world but can be rewritten by it.
    fn root_key(&self) -> Option<RootKey>;

    /// The counter of time, and its ticks in a second.
    fn time(&self) -> (u64, u64);
}

/// A VM as the safe knows it: its place in the policy, its id, and what policy gives it.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    pub(crate) place: usize,
    pub(crate) vm: u16,
    pub(crate) given: Services,
}

impl Tenant {
    /// The VM as the security services know it; `None` for one that the policy does not name.
    pub(crate) fn of(policy: &Policy, vm: EndpointId) -> Option<Self> {
        let place = policy.vms().position(|v| v == vm)?;
        Some(Self { place, vm: vm.get(), given: policy.services(vm) })
    }
}

/// The safe, in a place that calls and devices share. They come under the partition's one lock, so
/// that nobody ever waits here.
pub struct Safe<H: SecureFlash>(SpinMutex<Contents<H>>);

impl<H: SecureFlash> core::fmt::Debug for Safe<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never what is in it.
        f.debug_struct("Safe").finish_non_exhaustive()
    }
}

impl<H: SecureFlash> Safe<H> {
    /// A safe that has not been opened.
    #[must_use]
    pub const fn new(hardware: H) -> Self {
        Self(SpinMutex::new(Contents {
            hardware,
            store: None,
            keys: None,
            areas: [const { Area::new() }; MAX_VMS],
            writes: [Rate::NEW; MAX_VMS],
            signatures: [Rate::NEW; MAX_VMS],
            noted: [None; frames::NOTED],
            mounts: [Rate::NEW; MAX_VMS],
            not_mounted: Status::FlashFailed,
        }))
    }

    /// Runs `work` on what is inside.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Contents<H>) -> R) -> R {
        work(&mut self.0.lock())
    }
}

/// Of what a VM has so much in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Write,
    Signature,
}

/// How often in a second the store is mounted for one VM at most. To mount one mends it, and reads much of
/// the flash: where that fails, who asks again and again makes it wear no faster, takes no more time, and
/// leaves every other VM its own tries.
const MOUNTS_PER_SECOND: u32 = 4;

/// What is inside.
pub(crate) struct Contents<H: SecureFlash> {
    hardware: H,
    store: Option<Store<H::Flash>>,
    keys: Option<Keys>,
    areas: [Area; MAX_VMS],
    writes: [Rate; MAX_VMS],
    signatures: [Rate; MAX_VMS],
    /// Frames that came through devices, for the ledger.
    noted: [Option<frames::Noted>; frames::NOTED],
    mounts: [Rate; MAX_VMS],
    /// Why it was not mounted last.
    not_mounted: Status,
}

impl<H: SecureFlash> Contents<H> {
    /// Whether the flash can be used now.
    pub(crate) fn state(&self) -> FlashState {
        self.hardware.state()
    }

    /// The VM is gone: what its life left in memory goes with it. What is stored stays.
    pub(crate) fn forget(&mut self, place: usize) {
        if let Some(area) = self.areas.get_mut(place) {
            *area = Area::new();
        }
    }

    /// Opens the store if it is not open. One that has failed is mounted, and mended, anew.
    fn open(&mut self, tenant: &Tenant) -> Result<(), Status> {
        match self.hardware.state() {
            FlashState::NotThere => return Err(Status::NoStore),
            FlashState::CoresNotSeen => return Err(Status::CoresNotSeen),
            FlashState::Ready => {}
        }
        if self.store.as_ref().is_some_and(|store| !store.has_failed()) {
            return Ok(());
        }
        self.store = None;
        let (now, second) = self.hardware.time();
        let mounts = self.mounts.get_mut(tenant.place).ok_or(Status::UnknownCaller)?;
        if !mounts.allows(now, second, MOUNTS_PER_SECOND, 1) {
            return Err(self.not_mounted);
        }
        mounts.take(1);
        self.mount().inspect_err(|status| self.not_mounted = *status)
    }

    fn mount(&mut self) -> Result<(), Status> {
        let flash = self.hardware.open().ok_or(Status::FlashFailed)?;
        let store = Store::mount(flash, self.hardware.store_range()).map_err(status_of_store)?;
        self.store = Some(store);
        self.keys = self.hardware.root_key().map(Keys::new);
        Ok(())
    }

    fn store(&mut self, tenant: &Tenant) -> Result<&mut Store<H::Flash>, Status> {
        self.open(tenant)?;
        self.store.as_mut().ok_or(Status::NoStore)
    }

    /// Runs what costs something, within the tenant's rate of it. What was refused takes nothing of
    /// the rate, unless the flash was worked on and failed.
    fn costly<T>(
        &mut self,
        tenant: &Tenant,
        cost: Cost,
        work: impl FnOnce(&mut Self) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let (now, second) = self.hardware.time();
        let limit = match cost {
            Cost::Write => tenant.given.store_writes_per_second,
            Cost::Signature => tenant.given.signatures_per_second,
        };
        let rate = self.rate(tenant, cost)?;
        if !rate.allows(now, second, u32::from(limit), 1) {
            return Err(Status::QuotaRate);
        }
        let result = work(self);
        if matches!(
            result,
            Ok(_) | Err(Status::FlashFailed | Status::StoreFull | Status::StoreBroken)
        ) {
            self.rate(tenant, cost)?.take(1);
        }
        result
    }

    fn rate(&mut self, tenant: &Tenant, cost: Cost) -> Result<&mut Rate, Status> {
        let rates = match cost {
            Cost::Write => &mut self.writes,
            Cost::Signature => &mut self.signatures,
        };
        rates.get_mut(tenant.place).ok_or(Status::UnknownCaller)
    }

    /// COUNTER_READ.
    pub(crate) fn counter(&mut self, tenant: &Tenant, number: u8) -> Result<u64, Status> {
        may_count(tenant, number)?;
        counter::read(self.store(tenant)?, tenant.vm, u32::from(number)).map_err(of_counter)
    }

    /// COUNTER_INCREMENT.
    pub(crate) fn increment(&mut self, tenant: &Tenant, number: u8) -> Result<u64, Status> {
        may_count(tenant, number)?;
        self.store(tenant)?;
        self.costly(tenant, Cost::Write, |contents| {
            let store = contents.store(tenant)?;
            counter::increment(store, tenant.vm, u32::from(number)).map_err(of_counter)
        })
    }

    /// Checks what holds for every frame, and opens the store.
    pub(crate) fn may_use_rpmb(&mut self, tenant: &Tenant) -> Result<(), Status> {
        if tenant.given.rpmb { self.open(tenant) } else { Err(Status::PolicyService) }
    }

    /// RPMB: one request frame.
    pub(crate) fn rpmb(
        &mut self,
        tenant: &Tenant,
        request: &Frame,
        into: &mut [Frame],
    ) -> Result<usize, Status> {
        self.may_use_rpmb(tenant)?;
        let writes = match request.request() {
            None => return Err(Status::BadFrame),
            Some(Request::ProgramKey | Request::Write) => true,
            Some(Request::ReadCounter | Request::Read | Request::ReadResult) => false,
        };
        let mut answer = |contents: &mut Self| {
            contents.open(tenant)?;
            let Contents { store: Some(store), areas, .. } = contents else {
                return Err(Status::NoStore);
            };
            let area = areas.get_mut(tenant.place).ok_or(Status::UnknownCaller)?;
            area.request(store, tenant.vm, request, into).ok_or(Status::BadFrame)
        };
        if writes { self.costly(tenant, Cost::Write, answer) } else { answer(self) }
    }
}

/// Most answer frames of one request.
pub(crate) const MAX_FRAMES: usize = 16;
const _: () = assert!(MAX_READ == 16);

fn may_count(tenant: &Tenant, number: u8) -> Result<(), Status> {
    match tenant.given.counters {
        0 => Err(Status::PolicyService),
        counters if number < counters => Ok(()),
        _ => Err(Status::NoSuchNumber),
    }
}

/// The store's errors in the interface's words.
pub(crate) const fn status_of_store(error: StoreError) -> Status {
    match error {
        StoreError::Flash => Status::FlashFailed,
        StoreError::Range => Status::NoStore,
        StoreError::Full => Status::StoreFull,
        StoreError::TooLong | StoreError::Corrupted => Status::StoreBroken,
        StoreError::NewerFormat(_) => Status::StoreFormat,
    }
}

const fn of_counter(error: CounterError) -> Status {
    match error {
        CounterError::Number => Status::NoSuchNumber,
        CounterError::Exhausted => Status::CounterExhausted,
        CounterError::Store(error) => status_of_store(error),
    }
}
