//! Owns the partition's own stage-1 tables: what is mapped, with which attribute bits, and the
//! proof of it. Never decides which shared memory may be mapped: the cores do.

use crate::arch::tables::TablePool;
use crate::memory_map::NORMAL_WORLD_RAM;
use crate::window::Window;
use aarch64_paging::Mapping;
use aarch64_paging::descriptor::{El1Attributes as A, PhysicalAddress};
use aarch64_paging::paging::{Constraints, El1And0, MemoryRegion, VaRange};
use causeway_abi::Permission;
use causeway_ffa::PageRange;
use causeway_service::platform::{MappedBits, MemoryKind};
use core::ops::Range;

/// Normal memory, write-back, inner shareable: MAIR index 1 of the tables that aarch64-rt sets up.
const MEMORY: A = A::VALID.union(A::ATTRIBUTE_INDEX_1).union(A::INNER_SHAREABLE).union(A::ACCESSED);
/// Device-nGnRE: MAIR index 0.
const DEVICE: A = A::VALID.union(A::ATTRIBUTE_INDEX_0).union(A::ACCESSED);
/// Not executable at any level.
const NEVER_EXECUTE: A = A::PXN.union(A::UXN);

/// Tables that one new range can need: two at level 3 and two at level 2. What lies between its
/// ends is whole 2 MiB blocks, since addresses do not change.
const TABLES_PER_RANGE: u32 = 4;

/// Pages that one entry of level 2 can map.
const PAGES_PER_BLOCK: u32 = 512;

/// What a part of the image may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Executed and read, never written.
    Code,
    /// Read only.
    Constants,
    /// Read and written.
    Variables,
    /// Registers of a device.
    Registers,
    /// A device that is only ever read.
    #[cfg_attr(
        feature = "minimal",
        expect(dead_code, reason = "the flash's record is the only one")
    )]
    ReadOnlyDevice,
}

impl Use {
    const fn attributes(self) -> A {
        match self {
            Self::Code => MEMORY.union(A::READ_ONLY).union(A::UXN),
            Self::Constants => MEMORY.union(A::READ_ONLY).union(NEVER_EXECUTE),
            Self::Variables => MEMORY.union(NEVER_EXECUTE),
            Self::Registers => DEVICE.union(NEVER_EXECUTE),
            Self::ReadOnlyDevice => DEVICE.union(A::READ_ONLY).union(NEVER_EXECUTE),
        }
    }
}

/// Why a range was not mapped. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapRefusal {
    /// Some of it is no normal-world RAM of this platform.
    NotNormalRam,
    /// Some of it is mapped already.
    AlreadyMapped,
    /// The page tables are used up.
    NoTables,
    /// The table library refused.
    Library,
}

/// What the flags of a descriptor mean.
fn bits_of(flags: A) -> MappedBits {
    let cached = flags & (A::ATTRIBUTE_INDEX_MASK | A::SHAREABILITY_MASK);
    MappedBits {
        non_secure: flags.contains(A::NS),
        never_execute: flags.contains(NEVER_EXECUTE),
        read_only: flags.contains(A::READ_ONLY),
        kind: if cached == A::ATTRIBUTE_INDEX_1 | A::INNER_SHAREABLE {
            MemoryKind::WriteBack
        } else {
            MemoryKind::Other
        },
    }
}

/// The tables of this partition; one instance, shared by all cores.
pub(crate) struct Stage1 {
    mapping: Mapping<TablePool, El1And0>,
    /// Some tables may be empty: what they mapped was unmapped.
    has_empty_tables: bool,
}

impl Stage1 {
    /// Makes empty tables: 512 GiB of addresses from level 1, as `entry` programs TCR_EL1.
    pub(crate) fn new(pool: TablePool) -> Self {
        let mapping = Mapping::with_asid_and_va_range(pool, 0, 1, El1And0, VaRange::Lower);
        Self { mapping, has_empty_tables: false }
    }

    /// Returns the address of the root table.
    pub(crate) fn root(&self) -> u64 {
        self.mapping.root_address().0 as u64
    }

    /// Says that a walker uses the tables from now on.
    pub(crate) fn mark_live(&self) {
        self.mapping.mark_active();
    }

    /// Maps a part of the image, or a device, before the tables are live.
    pub(crate) fn map_own(&mut self, range: Range<usize>, usage: Use) -> Result<(), MapRefusal> {
        let pa = PhysicalAddress(range.start);
        self.mapping
            .map_range(&region(&range), pa, usage.attributes(), Constraints::empty())
            .map_err(|_| MapRefusal::Library)
    }

    /// Maps shared memory at its own address: non-secure, never executable, and written only where
    /// the grant says so. The answer is the only way to reach it.
    pub(crate) fn map_shared(
        &mut self,
        range: PageRange,
        permission: Permission,
    ) -> Result<Window, MapRefusal> {
        let bytes = addresses(range).ok_or(MapRefusal::NotNormalRam)?;
        if !self.has_tables_for(range) {
            return Err(MapRefusal::NoTables);
        }
        if self.any_mapped(&bytes) {
            return Err(MapRefusal::AlreadyMapped);
        }
        let access = match permission {
            Permission::ReadOnly => A::READ_ONLY,
            Permission::ReadWrite => A::empty(),
        };
        let flags = MEMORY | NEVER_EXECUTE | A::NS | access;
        let pa = PhysicalAddress(bytes.start);
        self.mapping
            .map_range(&region(&bytes), pa, flags, Constraints::empty())
            .map_err(|_| MapRefusal::Library)?;
        Ok(Window::of_mapped(range, range.start().get(), permission))
    }

    /// Unmaps what [`Self::map_shared`] mapped; when it returns, no core can reach it.
    pub(crate) fn unmap_shared(&mut self, window: Window) -> Result<(), MapRefusal> {
        let range = window.into_range();
        let bytes = addresses(range).ok_or(MapRefusal::NotNormalRam)?;
        self.has_empty_tables |= !is_whole_blocks(range);
        let pa = PhysicalAddress(bytes.start);
        // The library invalidates each page by TLBI VAAE1IS, then DSB ISH.
        self.mapping
            .map_range(&region(&bytes), pa, A::empty(), Constraints::empty())
            .map_err(|_| MapRefusal::Library)
    }

    /// Reports whether the range can be mapped. Tables that are empty again are only given back when
    /// they are in the way: to look for them in all of the tree costs more than to map and unmap a small
    /// area. They are in the way where tables run out, and where a whole block is to be one entry.
    fn has_tables_for(&mut self, range: PageRange) -> bool {
        let enough = |mapping: &Mapping<TablePool, El1And0>| {
            mapping.translation().free_tables() >= TABLES_PER_RANGE
        };
        let in_the_way = range.page_count() >= PAGES_PER_BLOCK || !enough(&self.mapping);
        if in_the_way && self.has_empty_tables {
            self.mapping.compact_subtables();
            self.has_empty_tables = false;
        }
        enough(&self.mapping)
    }

    /// Reads the descriptors of a range; `None` unless all of it is mapped alike, each page at its
    /// own address.
    pub(crate) fn mapped_bits(&self, range: PageRange) -> Option<MappedBits> {
        let bytes = addresses(range)?;
        let mut found: Option<MappedBits> = None;
        let walk = self.mapping.walk_range(&region(&bytes), &mut |part, entry, level| {
            let block = 4096_usize << (9 * (3 - level));
            let bits = bits_of(entry.flags());
            let in_place = entry.output_address().0 == part.start().0 & !(block - 1);
            if !entry.is_valid() || !in_place || found.is_some_and(|first| first != bits) {
                return Err(());
            }
            found = Some(bits);
            Ok(())
        });
        walk.ok().and(found)
    }

    fn any_mapped(&self, bytes: &Range<usize>) -> bool {
        let walk = self.mapping.walk_range(&region(bytes), &mut |_, entry, _| {
            if entry.is_valid() { Err(()) } else { Ok(()) }
        });
        walk.is_err()
    }
}

/// Whether the entries of the range are all of level 2: then no table becomes empty with it.
fn is_whole_blocks(range: PageRange) -> bool {
    const BLOCK: u64 = 4096 * PAGES_PER_BLOCK as u64;
    range.start().get().is_multiple_of(BLOCK) && range.end().is_multiple_of(BLOCK)
}

fn region(bytes: &Range<usize>) -> MemoryRegion {
    MemoryRegion::new(bytes.start, bytes.end)
}

/// The addresses of a range, if all of it is RAM of the normal world.
fn addresses(range: PageRange) -> Option<Range<usize>> {
    if range.start().get() < NORMAL_WORLD_RAM.start || range.end() > NORMAL_WORLD_RAM.end {
        return None;
    }
    Some(usize::try_from(range.start().get()).ok()?..usize::try_from(range.end()).ok()?)
}

#[cfg(test)]
mod tests;
