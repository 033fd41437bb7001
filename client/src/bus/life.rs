//! Owns the life of a device as a driver of this project leads it: reset, features, queues, go, reset.
//! Never touches a ring. (`guest::MsgTransport` does the same for drivers of virtio-drivers.)

use super::{Bus, Request};
use crate::error::{Error, Rule};
use causeway_virtio::msg::{
    BlockRange, ConfigRange, FeatureBlocks, FeatureWords, Response, SetVqueue, VqueueFlags,
};
use causeway_virtio::queue::QueueConfig;
use causeway_virtio::types::{Features, Status};

/// Blocks of 32 feature bits that this library knows.
const BLOCKS: u32 = 2;

/// The device's answer is of another kind, or about something else.
const UNFIT: Error = Error::peer(Rule::MessageKind);

impl Bus<'_> {
    /// Resets a device and agrees on features: those of `wanted` that it offers, and the two that go
    /// with the bus, VERSION_1 and (where offered) ACCESS_PLATFORM. Queues come next
    /// ([`Bus::set_queue`]), then [`Bus::start_device`].
    ///
    /// # Errors
    /// [`Rule::VersionOne`] if the device does not have it, or does not take the features; or what
    /// went wrong with a request.
    pub fn begin_device(&self, dev_num: u16, wanted: Features) -> Result<Features, Error> {
        self.end_device(dev_num)?;
        self.add_status(dev_num, Status::ACKNOWLEDGE | Status::DRIVER)?;
        let offered = self.device_features(dev_num)?;
        let wanted = wanted | Features::VERSION_1 | Features::ACCESS_PLATFORM;
        let features = Features::from_raw(offered.get() & wanted.get());
        if !features.contains(Features::VERSION_1) {
            return Err(Error::peer(Rule::VersionOne));
        }
        let words = FeatureWords::collect((0..BLOCKS).map(|index| features.block(index)));
        let words = words.ok_or(Error::caller(Rule::NoRoom))?;
        let set = Request::SetDriverFeatures(FeatureBlocks { index: 0, words });
        if self.request(dev_num, set)? != Response::SetDriverFeatures {
            return Err(UNFIT);
        }
        let status = Status::ACKNOWLEDGE | Status::DRIVER | Status::FEATURES_OK;
        self.add_status(dev_num, status)?;
        Ok(features)
    }

    fn device_features(&self, dev_num: u16) -> Result<Features, Error> {
        let range = BlockRange { index: 0, count: BLOCKS };
        let answer = self.request(dev_num, Request::GetDeviceFeatures(range))?;
        let Response::GetDeviceFeatures(blocks) = answer else { return Err(UNFIT) };
        let [low, high] = blocks.words.as_slice() else { return Err(UNFIT) };
        let features = Features::NONE.with_block(0, *low).and_then(|all| all.with_block(1, *high));
        features.filter(|_| blocks.index == 0).ok_or(UNFIT)
    }

    /// Reads the first `N` bytes of the configuration space: at most what one message carries
    /// (`ConfigBytes::MAX`), which all come from one generation.
    ///
    /// # Errors
    /// What went wrong with the request.
    pub fn device_config<const N: usize>(&self, dev_num: u16) -> Result<[u8; N], Error> {
        let len = u32::try_from(N).map_err(|_| Error::caller(Rule::NoRoom))?;
        let answer = self.request(dev_num, Request::GetConfig(ConfigRange { offset: 0, len }))?;
        let Response::GetConfig(config) = answer else { return Err(UNFIT) };
        let bytes = config.data.as_slice().try_into().map_err(|_| UNFIT)?;
        if config.offset == 0 { Ok(bytes) } else { Err(UNFIT) }
    }

    /// Tells the device where a queue lies, and that it is enabled. The driver has set up the rings
    /// before.
    ///
    /// # Errors
    /// [`Error::BusError`] if the partition finds a part outside this link's areas, or what went wrong
    /// with the request.
    pub fn set_queue(&self, dev_num: u16, index: u16, config: &QueueConfig) -> Result<(), Error> {
        let set = SetVqueue {
            index: u32::from(index),
            flags: VqueueFlags::ENABLE,
            size: u32::from(config.size.get()),
            desc: config.desc,
            driver: config.driver,
            device: config.device,
        };
        let answer = self.request(dev_num, Request::SetVqueue(set))?;
        if answer == Response::SetVqueue { Ok(()) } else { Err(UNFIT) }
    }

    /// Says that the driver is set up: the device serves its queues from now on.
    ///
    /// # Errors
    /// [`Rule::DeviceNeedsReset`], or what went wrong with the request.
    pub fn start_device(&self, dev_num: u16) -> Result<(), Error> {
        let begun = Status::ACKNOWLEDGE | Status::DRIVER | Status::FEATURES_OK;
        self.add_status(dev_num, begun | Status::DRIVER_OK)
    }

    /// Resets a device: its queues are gone, and their areas may be taken back.
    ///
    /// # Errors
    /// What went wrong with the request.
    pub fn end_device(&self, dev_num: u16) -> Result<(), Error> {
        let answer = self.request(dev_num, Request::SetDeviceStatus(Status::RESET))?;
        let Response::SetDeviceStatus(status) = answer else { return Err(UNFIT) };
        if status.is_reset() { Ok(()) } else { Err(UNFIT) }
    }

    /// Sets status bits; the device must show them all.
    fn add_status(&self, dev_num: u16, status: Status) -> Result<(), Error> {
        let answer = self.request(dev_num, Request::SetDeviceStatus(status))?;
        let Response::SetDeviceStatus(shown) = answer else { return Err(UNFIT) };
        if shown.contains(Status::NEEDS_RESET) {
            return Err(Error::peer(Rule::DeviceNeedsReset));
        }
        if shown.contains(status) { Ok(()) } else { Err(Error::peer(Rule::VersionOne)) }
    }
}
