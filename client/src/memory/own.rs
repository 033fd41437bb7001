//! Owns how a driver VM's own queues see the areas that this VM gave; never shares or takes one back.

use super::{OutOfWindow, Window};
use causeway_virtio::mem::Walked;
use causeway_virtio::{Access, AreaId, AreaMap, BusAddr, MemError};

/// The areas of one link, as their owner sees them: readable and writable throughout. For the driver
/// sides of `causeway_virtio` ([`causeway_virtio::driver::block`]), over [`Grant::window`].
///
/// [`Grant::window`]: crate::grant::Grant::window
#[derive(Debug)]
pub struct OwnAreas<'w, const N: usize> {
    areas: [(AreaId, &'w Window); N],
}

impl<'w, const N: usize> OwnAreas<'w, N> {
    /// Shows windows under the ids under which the device knows them.
    #[must_use]
    pub const fn new(areas: [(AreaId, &'w Window); N]) -> Self {
        Self { areas }
    }

    fn window(&self, at: BusAddr) -> Result<&'w Window, MemError> {
        let id = at.area();
        let found = self.areas.iter().find(|(area, _)| Some(*area) == id);
        found.map(|(_, window)| *window).ok_or(MemError::Outside)
    }

    fn even(&self, at: BusAddr) -> Result<&'w Window, MemError> {
        if at.offset().is_multiple_of(2) { self.window(at) } else { Err(MemError::Unaligned) }
    }
}

fn outside(_: OutOfWindow) -> MemError {
    MemError::Outside
}

fn reaches(window: &Window, at: BusAddr, len: u64) -> Result<(), MemError> {
    let size = u64::try_from(window.len_bytes()).map_err(|_| MemError::Outside)?;
    match at.offset().checked_add(len) {
        Some(end) if end <= size => Ok(()),
        Some(_) | None => Err(MemError::Outside),
    }
}

impl<const N: usize> AreaMap for OwnAreas<'_, N> {
    fn check(&self, at: BusAddr, len: u64, _access: Access) -> Result<(), MemError> {
        reaches(self.window(at)?, at, len)
    }

    fn read(&self, at: BusAddr, into: &mut [u8]) -> Result<(), MemError> {
        self.window(at)?.read(at.offset(), into).map_err(outside)
    }

    fn write(&self, at: BusAddr, from: &[u8]) -> Result<(), MemError> {
        self.window(at)?.write(at.offset(), from).map_err(outside)
    }

    fn load_acquire_u16(&self, at: BusAddr) -> Result<u16, MemError> {
        self.even(at)?.load_acquire_u16(at.offset()).map_err(outside)
    }

    fn store_release_u16(&self, at: BusAddr, value: u16) -> Result<(), MemError> {
        self.even(at)?.store_release_u16(at.offset(), value).map_err(outside)
    }

    fn store_handover(&self, at: BusAddr, bytes: [u8; 8]) -> Result<(), MemError> {
        self.window(at)?.store_release_word(at.offset(), bytes).map_err(outside)
    }

    fn walk_records<V>(
        &self,
        table: BusAddr,
        entries: u32,
        first: u32,
        mut visit: V,
    ) -> Result<Walked, MemError>
    where
        V: FnMut([u8; 16]) -> Option<u32>,
    {
        let window = self.window(table)?;
        reaches(window, table, u64::from(entries).saturating_mul(16))?;
        let mut next = Some(first);
        while let Some(index) = next {
            if index >= entries {
                return Ok(Walked::BeyondTable);
            }
            let mut record = [0; 16];
            let offset = table.offset().saturating_add(u64::from(index).saturating_mul(16));
            window.read(offset, &mut record).map_err(outside)?;
            next = visit(record);
        }
        Ok(Walked::ToEnd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeWorld;
    use causeway_virtio::Features;
    use causeway_virtio::device::DeviceModel;
    use causeway_virtio::device::block::{Block as Model, SliceMedium};
    use causeway_virtio::driver::block::{Block, Geometry};
    use causeway_virtio::queue::{DeviceQueue, QueueConfig, QueueSize, Segment};

    #[test]
    fn a_block_driver_works_in_a_vms_own_areas() {
        let world = FakeWorld::new();
        let (rings, data) = (world.pages(1, 3).into_window(), world.pages(1, 1).into_window());
        let [one, two] = [1, 2].map(|id| AreaId::new(id).unwrap());
        let areas = OwnAreas::new([(one, &rings), (two, &data)]);
        let at = |area, offset| BusAddr::new(area, offset).unwrap();
        let features = Features::VERSION_1 | Features::INDIRECT_DESC | Features::EVENT_IDX;
        let config = QueueConfig {
            size: QueueSize::new(32).unwrap(),
            desc: at(one, 0),
            driver: at(one, 0x400),
            device: at(one, 0x800),
            features,
        };
        let mut space = [0; Geometry::CONFIG_BYTES];
        space[0] = 8;
        let geometry = Geometry::from_config(&space, features);
        let mut disk = Block::<32>::new(&areas, config, at(one, 0x1000), geometry).unwrap();
        let mut queue = DeviceQueue::new(&areas, config).unwrap();
        let mut image = [7; 8 * 512];
        let mut model = Model::<_, 8>::new(SliceMedium::new(&mut image), [0; 20]);
        let buffer = Segment { addr: at(two, 0x200), len: 1024 };
        disk.read(&areas, 6, &[buffer]).unwrap();
        assert!(disk.must_kick(&areas).unwrap());
        assert_eq!(model.serve(&areas, 0, &mut queue, 8), Ok(1));
        assert!(disk.poll(&areas).unwrap().unwrap().outcome.is_ok());
        let mut bytes = [0; 1026];
        data.read(0x1ff, &mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[1], bytes[1024], bytes[1025]), (0, 7, 7, 0));
    }

    #[test]
    fn what_lies_in_no_area_is_refused() {
        let world = FakeWorld::new();
        let rings = world.pages(1, 1).into_window();
        let one = AreaId::new(1).unwrap();
        let areas = OwnAreas::new([(one, &rings)]);
        let at = |area, offset| BusAddr::new(AreaId::new(area).unwrap(), offset).unwrap();
        assert_eq!(areas.check(at(1, 0), 0x1000, Access::Write), Ok(()));
        assert_eq!(areas.check(at(1, 1), 0x1000, Access::Read), Err(MemError::Outside));
        assert_eq!(areas.check(at(2, 0), 1, Access::Read), Err(MemError::Outside));
        assert_eq!(areas.read(at(1, 0xfff), &mut [0; 2]), Err(MemError::Outside));
        assert_eq!(areas.write(at(2, 0), &[0]), Err(MemError::Outside));
        assert_eq!(areas.load_acquire_u16(at(1, 1)), Err(MemError::Unaligned));
        assert_eq!(areas.store_release_u16(at(1, 0x1000), 0), Err(MemError::Outside));
        assert_eq!(areas.walk_records(at(1, 0xff8), 1, 0, |_| None), Err(MemError::Outside));
        let beyond = areas.walk_records(at(1, 0), 4, 0, |_| Some(4));
        assert_eq!(beyond, Ok(Walked::BeyondTable));
    }
}
