//! Owns what the partition's tables hold from the start; never maps shared memory.

use core::ops::Range;

/// The RAM of the normal world on QEMU virt that lies below 4 GiB. A second fence behind the
/// manifest's windows: no descriptor beyond it is ever written with NS = 1.
pub(crate) const NORMAL_WORLD_RAM: Range<u64> = 0x4000_0000..0x1_0000_0000;

#[cfg(target_os = "none")]
mod image_map {
    #[cfg(not(feature = "minimal"))]
    use crate::arch::flash;
    use crate::arch::tables::TableStore;
    use crate::arch::{entry, gic, image, lines, uart};
    use crate::core_id::{CORES, CoreId};
    use crate::stage1::{MapRefusal, Stage1, Use};

    static TABLES: TableStore = TableStore::new();

    /// Builds the tables: code, constants, variables, the devices, and every stack without its guard.
    pub(crate) fn build() -> Result<Stage1, MapRefusal> {
        let mut tables = Stage1::new(TABLES.take().ok_or(MapRefusal::NoTables)?);
        tables.map_own(image::text(), Use::Code)?;
        tables.map_own(image::rodata(), Use::Constants)?;
        tables.map_own(image::data(), Use::Variables)?;
        tables.map_own(uart::UART_BASE..uart::UART_BASE + 0x1000, Use::Registers)?;
        let devices = [gic::DISTRIBUTOR, gic::REDISTRIBUTORS, lines::GPIO, lines::CLOCK];
        for device in devices.into_iter().filter(|device| !device.is_empty()) {
            tables.map_own(device, Use::Registers)?;
        }
        #[cfg(not(feature = "minimal"))]
        {
            tables.map_own(bank(flash::STORE), Use::Registers)?;
            tables.map_own(bank(flash::RECORD), Use::ReadOnlyDevice)?;
        }
        for core in (0..CORES).filter_map(CoreId::new) {
            for stack in entry::stacks(core) {
                tables.map_own(stack, Use::Variables)?;
            }
        }
        Ok(tables)
    }

    /// Sectors of the first bank, which begins at address 0.
    #[cfg(not(feature = "minimal"))]
    fn bank(sectors: core::ops::Range<u32>) -> core::ops::Range<usize> {
        sectors.start as usize..sectors.end as usize
    }
}

#[cfg(target_os = "none")]
pub(crate) use image_map::build;
