//! Owns the order of the fields in the larger transport messages; nothing else.

use super::{
    CONFIG_EVENT_MAX, ConfigBytes, ConfigData, ConfigEvent, DeviceInfo, FeatureBlocks,
    FeatureWords, MsgError, Reader, SetVqueue, Shm, Vqueue, VqueueFlags, Writer,
};
use crate::addr::BusAddr;
use crate::types::Status;

/// Reads a count that a slice can have.
fn count(raw: u32) -> Result<usize, MsgError> {
    usize::try_from(raw).map_err(|_| MsgError::Value)
}

fn addr(r: &mut Reader<'_>) -> Result<BusAddr, MsgError> {
    r.u64().map(BusAddr::from_raw)
}

impl FeatureBlocks {
    /// Reports whether every block has a 32-bit index.
    #[must_use]
    pub fn is_in_range(&self) -> bool {
        self.index.checked_add(self.words.count().saturating_sub(1)).is_some()
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let (index, blocks) = (r.u32()?, r.u32()?);
        let bytes = r.bytes(count(blocks)?.checked_mul(4).ok_or(MsgError::Value)?)?;
        let (chunks, _) = bytes.as_chunks::<4>();
        let words = FeatureWords::collect(chunks.iter().map(|c| u32::from_le_bytes(*c)))
            .ok_or(MsgError::Value)?;
        Ok(Self { index, words })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u32(self.index).u32(self.words.count());
        for word in self.words.as_slice() {
            w.u32(*word);
        }
    }
}

impl ConfigData {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let (generation, offset, len) = (r.u32()?, r.u32()?, r.u32()?);
        let data = ConfigBytes::new(r.bytes(count(len)?)?).ok_or(MsgError::Value)?;
        Ok(Self { generation, offset, data })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u32(self.generation).u32(self.offset).u32(self.data.len_bytes());
        w.bytes(self.data.as_slice());
    }
}

impl ConfigEvent {
    /// Builds an event; `None` if it has more data than the message carries.
    #[must_use]
    pub fn new(status: Status, config: ConfigData) -> Option<Self> {
        (config.data.as_slice().len() <= CONFIG_EVENT_MAX).then_some(Self { status, config })
    }

    /// Tells of a status only.
    #[must_use]
    pub const fn of_status(status: Status, generation: u32) -> Self {
        let config = ConfigData { generation, offset: 0, data: ConfigBytes::EMPTY };
        Self { status, config }
    }

    /// Returns the status now.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns what changed; may be empty.
    #[must_use]
    pub const fn config(&self) -> &ConfigData {
        &self.config
    }
}

impl DeviceInfo {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        Ok(Self {
            device_id: r.u32()?,
            vendor_id: r.u32()?,
            uuid: r.array()?,
            num_feature_blocks: r.u32()?,
            config_size: r.u32()?,
            max_virtqueues: r.u32()?,
            admin_vq_start: r.u32()?,
            admin_vq_count: r.u32()?,
        })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u32(self.device_id).u32(self.vendor_id).bytes(&self.uuid);
        w.u32(self.num_feature_blocks).u32(self.config_size).u32(self.max_virtqueues);
        w.u32(self.admin_vq_start).u32(self.admin_vq_count);
    }
}

impl SetVqueue {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let (index, flags, size, reserved) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let flags = VqueueFlags::new(flags).ok_or(MsgError::Value)?;
        let (desc, driver, device) = (addr(r)?, addr(r)?, addr(r)?);
        if reserved != 0 {
            return Err(MsgError::Reserved);
        }
        Ok(Self { index, flags, size, desc, driver, device })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u32(self.index).u32(self.flags.get()).u32(self.size).u32(0);
        w.u64(self.desc.get()).u64(self.driver.get()).u64(self.device.get());
    }
}

impl Vqueue {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let (index, max_size, cur_size, flags) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
        let enabled = match flags {
            0 => false,
            1 => true,
            _ => return Err(MsgError::Reserved),
        };
        let (desc, driver, device) = (addr(r)?, addr(r)?, addr(r)?);
        Ok(Self { index, max_size, cur_size, enabled, desc, driver, device })
    }

    pub(super) fn encode(&self, w: &mut Writer) {
        w.u32(self.index).u32(self.max_size).u32(self.cur_size).u32(u32::from(self.enabled));
        w.u64(self.desc.get()).u64(self.driver.get()).u64(self.device.get());
    }
}

impl Shm {
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, MsgError> {
        let (shmid, reserved, len, address) = (r.u32()?, r.u32()?, r.u64()?, r.u64()?);
        if reserved != 0 {
            return Err(MsgError::Reserved);
        }
        Ok(Self { shmid, len, address })
    }
}
