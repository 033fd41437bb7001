//! Owns the messages between a driver and a device; never knows which device answers.

use super::MsgError;
use super::data::{ConfigBytes, FeatureWords};
use super::wire::{Reader, Writer};
use crate::addr::BusAddr;
use crate::types::Status;

/// A run of feature blocks of 32 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRange {
    /// First block.
    pub index: u32,
    /// Number of blocks.
    pub count: u32,
}

/// Feature blocks with their contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureBlocks {
    /// First block.
    pub index: u32,
    /// The blocks.
    pub words: FeatureWords,
}

/// A range of the configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfigRange {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// Contents of the configuration space, as of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigData {
    /// Changes whenever the device changes its configuration.
    pub generation: u32,
    /// First byte.
    pub offset: u32,
    /// The bytes; none in SET_CONFIG's answer if nothing was applied.
    pub data: ConfigBytes,
}

/// The device tells that its configuration or status changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigEvent {
    status: Status,
    config: ConfigData,
}

/// Most data bytes of EVENT_CONFIG (104 - 8 - 16).
pub const CONFIG_EVENT_MAX: usize = 80;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceInfo {
    /// Kind of device.
    pub device_id: u32,
    /// Its vendor.
    pub vendor_id: u32,
    /// Its name, or zero.
    pub uuid: [u8; 16],
    /// Feature blocks of 32 bits.
    pub num_feature_blocks: u32,
    /// Bytes in its configuration space.
    pub config_size: u32,
    /// Most queues, without administration queues.
    pub max_virtqueues: u32,
    /// First administration queue.
    pub admin_vq_start: u32,
    /// Administration queues.
    pub admin_vq_count: u32,
}

/// The `flags` of SET_VQUEUE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VqueueFlags(u32);

impl VqueueFlags {
    /// Keep the queue disabled.
    pub const DISABLED: Self = Self(0);
    /// Enable the queue.
    pub const ENABLE: Self = Self(1);
    /// Leave it enabled or disabled.
    pub const KEEP_STATE: Self = Self(2);
    /// Leave the size.
    pub const IGNORE_SIZE: Self = Self(1 << 2);
    /// Leave the descriptor area.
    pub const IGNORE_DESC: Self = Self(1 << 3);
    /// Leave the driver area.
    pub const IGNORE_DRIVER: Self = Self(1 << 4);
    /// Leave the device area.
    pub const IGNORE_DEVICE: Self = Self(1 << 5);

    /// Accepts the documented bits: state 0-2 and the four "ignore" bits.
    #[must_use]
    pub const fn new(raw: u32) -> Option<Self> {
        if raw & !0x3f == 0 && raw & 3 != 3 { Some(Self(raw)) } else { None }
    }

    /// Returns the wire value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the wanted state: `None` to leave it.
    #[must_use]
    pub const fn enable(self) -> Option<bool> {
        match self.0 & 3 {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Reports whether all bits of `other` (an "ignore" bit) are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// SET_VQUEUE: all of it applies, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetVqueue {
    /// Which queue.
    pub index: u32,
    /// What to change.
    pub flags: VqueueFlags,
    /// Entries.
    pub size: u32,
    /// Descriptor table.
    pub desc: BusAddr,
    /// Available ring, or the driver's event suppression.
    pub driver: BusAddr,
    /// Used ring, or the device's event suppression.
    pub device: BusAddr,
}

/// How a queue stands. A queue that does not exist is all zero but for its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vqueue {
    /// Which queue.
    pub index: u32,
    /// Most entries.
    pub max_size: u32,
    /// Entries now.
    pub cur_size: u32,
    /// Whether it is enabled (bit 0 of the flags on the wire).
    pub enabled: bool,
    /// Descriptor table.
    pub desc: BusAddr,
    /// Available ring, or the driver's event suppression.
    pub driver: BusAddr,
    /// Used ring, or the device's event suppression.
    pub device: BusAddr,
}

/// A device's shared memory region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shm {
    /// Which region.
    pub shmid: u32,
    /// Bytes.
    pub len: u64,
    /// Where it is.
    pub address: u64,
}

/// A message to a device, or an event in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// What are you?
    GetDeviceInfo,
    /// Which features do you offer?
    GetDeviceFeatures(BlockRange),
    /// The driver takes these features.
    SetDriverFeatures(FeatureBlocks),
    /// Read the configuration space.
    GetConfig(ConfigRange),
    /// Write the configuration space.
    SetConfig(ConfigData),
    /// Read the status.
    GetDeviceStatus,
    /// Write the status; 0 resets.
    SetDeviceStatus(Status),
    /// How does a queue stand?
    GetVqueue {
        /// Which queue.
        index: u32,
    },
    /// Set up a queue.
    SetVqueue(SetVqueue),
    /// Reset a queue.
    ResetVqueue {
        /// Which queue.
        index: u32,
    },
    /// Where is a shared memory region?
    GetShm {
        /// Which region.
        shmid: u32,
    },
    /// Device to driver: configuration or status changed.
    EventConfig(ConfigEvent),
    /// Driver to device: buffers are available.
    EventAvail {
        /// Which queue.
        index: u32,
        /// With NOTIFICATION_DATA: where the ring stands.
        next_offset: u32,
    },
    /// Device to driver: buffers were used.
    EventUsed {
        /// Which queue.
        index: u32,
    },
}

impl Request {
    pub(crate) const fn msg_id(&self) -> u8 {
        match self {
            Self::GetDeviceInfo => 0x02,
            Self::GetDeviceFeatures(_) => 0x03,
            Self::SetDriverFeatures(_) => 0x04,
            Self::GetConfig(_) => 0x05,
            Self::SetConfig(_) => 0x06,
            Self::GetDeviceStatus => 0x07,
            Self::SetDeviceStatus(_) => 0x08,
            Self::GetVqueue { .. } => 0x09,
            Self::SetVqueue(_) => 0x0a,
            Self::ResetVqueue { .. } => 0x0b,
            Self::GetShm { .. } => 0x0c,
            Self::EventConfig(_) => 0x40,
            Self::EventAvail { .. } => 0x41,
            Self::EventUsed { .. } => 0x42,
        }
    }

    /// Reports whether this is an event, which has no answer.
    #[must_use]
    pub const fn is_event(&self) -> bool {
        self.msg_id() & 0x40 != 0
    }

    pub(crate) fn decode(msg_id: u8, r: &mut Reader<'_>) -> Result<Self, MsgError> {
        Ok(match msg_id {
            0x02 => Self::GetDeviceInfo,
            0x03 => Self::GetDeviceFeatures(BlockRange { index: r.u32()?, count: r.u32()? }),
            0x04 => Self::SetDriverFeatures(FeatureBlocks::decode(r)?),
            0x05 => Self::GetConfig(ConfigRange { offset: r.u32()?, len: r.u32()? }),
            0x06 => Self::SetConfig(ConfigData::decode(r)?),
            0x07 => Self::GetDeviceStatus,
            0x08 => Self::SetDeviceStatus(Status::from_raw(r.u32()?)),
            0x09 => Self::GetVqueue { index: r.u32()? },
            0x0a => Self::SetVqueue(SetVqueue::decode(r)?),
            0x0b => Self::ResetVqueue { index: r.u32()? },
            0x0c => Self::GetShm { shmid: r.u32()? },
            0x40 => Self::EventConfig(ConfigEvent {
                status: Status::from_raw(r.u32()?),
                config: ConfigData::decode(r)?,
            }),
            0x41 => Self::EventAvail { index: r.u32()?, next_offset: r.u32()? },
            0x42 => Self::EventUsed { index: r.u32()? },
            _ => return Err(MsgError::Unknown),
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::GetDeviceInfo | Self::GetDeviceStatus => {}
            Self::GetDeviceFeatures(range) => {
                w.u32(range.index).u32(range.count);
            }
            Self::SetDriverFeatures(blocks) => blocks.encode(w),
            Self::GetConfig(range) => {
                w.u32(range.offset).u32(range.len);
            }
            Self::SetConfig(config) => config.encode(w),
            Self::SetDeviceStatus(status) => {
                w.u32(status.get());
            }
            Self::GetVqueue { index } | Self::ResetVqueue { index } | Self::EventUsed { index } => {
                w.u32(*index);
            }
            Self::SetVqueue(queue) => queue.encode(w),
            Self::GetShm { shmid } => {
                w.u32(*shmid);
            }
            Self::EventConfig(event) => {
                w.u32(event.status.get());
                event.config.encode(w);
            }
            Self::EventAvail { index, next_offset } => {
                w.u32(*index).u32(*next_offset);
            }
        }
    }
}

/// A device's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// What the device is.
    GetDeviceInfo(DeviceInfo),
    /// What it offers.
    GetDeviceFeatures(FeatureBlocks),
    /// The features are noted; FEATURES_OK tells whether they are accepted.
    SetDriverFeatures,
    /// The configuration space.
    GetConfig(ConfigData),
    /// What was written; nothing if it was not applied.
    SetConfig(ConfigData),
    /// The status.
    GetDeviceStatus(Status),
    /// The status after the write.
    SetDeviceStatus(Status),
    /// How the queue stands.
    GetVqueue(Vqueue),
    /// The queue is set up.
    SetVqueue,
    /// The queue is reset.
    ResetVqueue,
    /// Where the region is.
    GetShm(Shm),
}

impl Response {
    pub(crate) const fn msg_id(&self) -> u8 {
        match self {
            Self::GetDeviceInfo(_) => 0x02,
            Self::GetDeviceFeatures(_) => 0x03,
            Self::SetDriverFeatures => 0x04,
            Self::GetConfig(_) => 0x05,
            Self::SetConfig(_) => 0x06,
            Self::GetDeviceStatus(_) => 0x07,
            Self::SetDeviceStatus(_) => 0x08,
            Self::GetVqueue(_) => 0x09,
            Self::SetVqueue => 0x0a,
            Self::ResetVqueue => 0x0b,
            Self::GetShm(_) => 0x0c,
        }
    }

    pub(crate) fn decode(msg_id: u8, r: &mut Reader<'_>) -> Result<Self, MsgError> {
        Ok(match msg_id {
            0x02 => Self::GetDeviceInfo(DeviceInfo::decode(r)?),
            0x03 => Self::GetDeviceFeatures(FeatureBlocks::decode(r)?),
            0x04 => Self::SetDriverFeatures,
            0x05 => Self::GetConfig(ConfigData::decode(r)?),
            0x06 => Self::SetConfig(ConfigData::decode(r)?),
            0x07 => Self::GetDeviceStatus(Status::from_raw(r.u32()?)),
            0x08 => Self::SetDeviceStatus(Status::from_raw(r.u32()?)),
            0x09 => Self::GetVqueue(Vqueue::decode(r)?),
            0x0a => Self::SetVqueue,
            0x0b => Self::ResetVqueue,
            0x0c => Self::GetShm(Shm::decode(r)?),
            _ => return Err(MsgError::Unknown),
        })
    }

    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::GetDeviceInfo(info) => info.encode(w),
            Self::GetDeviceFeatures(blocks) => blocks.encode(w),
            Self::GetConfig(config) | Self::SetConfig(config) => config.encode(w),
            Self::GetDeviceStatus(status) | Self::SetDeviceStatus(status) => {
                w.u32(status.get());
            }
            Self::GetVqueue(queue) => queue.encode(w),
            Self::GetShm(shm) => {
                w.u32(shm.shmid).u32(0).u64(shm.len).u64(shm.address);
            }
            Self::SetDriverFeatures | Self::SetVqueue | Self::ResetVqueue => {}
        }
    }
}

mod fields;
