//! Owns the persistent store: typed keys and small values on a range of NOR flash, by the
//! log-structured map of `sequential-storage`. Never interprets a value.
//!
//! A value is written as a whole or not at all. There is one format version in the flash; a store
//! of a newer format is refused (never erased), one of an older format is upgraded on mounting.

#[cfg(test)]
mod tests;

use crate::flash::{NorFlash, at_once};
use sequential_storage::cache::Cache;
use sequential_storage::cache::key_pointers::ArrayKeyPointers;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::ArrayPageStates;
use sequential_storage::map::{MapConfig, MapStorage};

/// The format that this code writes. Since 2 each VM has nonces of its own: software of format 1 would
/// use them again.
pub const FORMAT: u32 = 2;

/// Largest value in bytes: one RPMB page with its counter, and room to spare.
pub const MAX_VALUE: usize = 4096 + 32;

/// Bytes of working buffer: a key, a value, rounded up to a word.
const BUFFER: usize = MAX_VALUE + 16;

/// Sectors that the caches know. A store may have fewer.
pub const MAX_SECTORS: usize = 32;

/// Keys whose place is remembered. More may be stored; the others are searched for.
const CACHED_KEYS: usize = 160;

/// What kind of thing a key names. The numbers are in the flash: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The store's own facts (format version).
    Store,
    /// A VM's RPMB key.
    RpmbKey,
    /// A page of a VM's RPMB area, with the write counter of its last write.
    RpmbPage,
    /// A monotonic counter.
    Counter,
    /// A sealed key.
    SealedKey,
    /// A reservation of a VM's nonces.
    Nonces,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Store => 0,
            Self::RpmbKey => 1,
            Self::RpmbPage => 2,
            Self::Counter => 3,
            Self::SealedKey => 4,
            Self::Nonces => 5,
        }
    }
}

/// Names a value: what it is, whose, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// The VM that it belongs to; 0 for the partition's own.
    pub vm: u16,
    /// Which of the VM's.
    pub index: u32,
}

impl Key {
    /// The name in the flash: kind, VM, index, from the most significant byte.
    fn raw(self) -> u64 {
        let [v1, v0] = self.vm.to_be_bytes();
        let [i3, i2, i1, i0] = self.index.to_be_bytes();
        u64::from_be_bytes([self.kind.code(), 0, v1, v0, i3, i2, i1, i0])
    }
}

const FORMAT_KEY: Key = Key { kind: Kind::Store, vm: 0, index: 0 };

/// Why the store did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The flash reported an error; the value is as before, or, if power fails now, as after.
    Flash,
    /// The range is not whole sectors, has fewer than two, or more than [`MAX_SECTORS`].
    Range,
    /// No room: every sector is full of values that are still valid.
    Full,
    /// The value is longer than [`MAX_VALUE`], or longer than the caller's buffer.
    TooLong,
    /// The contents contradict themselves; nothing was erased.
    Corrupted,
    /// Written by a newer version of this software; nothing was changed.
    NewerFormat(u32),
}

type Caches = Cache<
    ArrayPageStates<MAX_SECTORS>,
    ArrayPagePointers<MAX_SECTORS>,
    ArrayKeyPointers<u64, CACHED_KEYS>,
    u64,
>;

/// The store on a range of a flash.
pub struct Store<F: NorFlash> {
    map: MapStorage<u64, F, Caches>,
    buffer: [u8; BUFFER],
    /// The flash, or what is in it, was not as it must be.
    failed: bool,
}

impl<F: NorFlash> core::fmt::Debug for Store<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the buffer: it has held keys.
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<F: NorFlash> Store<F> {
    /// Mounts the store in `range` (bytes from the start of the flash, whole sectors). An erased
    /// range becomes an empty store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Range`], [`StoreError::NewerFormat`], or what the flash and its contents say.
    pub fn mount(flash: F, range: core::ops::Range<u32>) -> Result<Self, StoreError> {
        let sectors = usize::try_from(range.end.saturating_sub(range.start))
            .ok()
            .and_then(|bytes| bytes.checked_div(F::ERASE_SIZE));
        if sectors.is_none_or(|n| !(2..=MAX_SECTORS).contains(&n)) {
            return Err(StoreError::Range);
        }
        let config = MapConfig::try_new(range).map_err(|_| StoreError::Range)?;
        let caches =
            Cache::new(ArrayPageStates::new(), ArrayPagePointers::new(), ArrayKeyPointers::new());
        let map = MapStorage::new(flash, config, caches);
        let mut store = Self { map, buffer: [0; BUFFER], failed: false };
        store.settle_format()?;
        Ok(store)
    }

    fn settle_format(&mut self) -> Result<(), StoreError> {
        let mut bytes = [0; 4];
        let found = match self.get(FORMAT_KEY, &mut bytes)? {
            Some(4) => u32::from_le_bytes(bytes),
            Some(_) => return Err(StoreError::Corrupted),
            // Format 0 is the empty store.
            None => 0,
        };
        if found > FORMAT {
            return Err(StoreError::NewerFormat(found));
        }
        if found < FORMAT {
            // Steps from older formats come here, each repeatable, before the mark is written.
            self.put(FORMAT_KEY, &FORMAT.to_le_bytes())?;
        }
        Ok(())
    }

    /// Reads a value into `into`; returns its length, or `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLong`] where `into` is too short (nothing is written then).
    pub fn get(&mut self, key: Key, into: &mut [u8]) -> Result<Option<usize>, StoreError> {
        let found = at_once(self.map.fetch_item::<&[u8]>(&mut self.buffer, &key.raw()));
        let found = found.ok_or(StoreError::Flash).and_then(|f| f.map_err(|e| refused(&e)));
        self.failed |= found.as_ref().is_err_and(|e| is_failure(*e));
        let Some(value) = found? else { return Ok(None) };
        into.get_mut(..value.len()).ok_or(StoreError::TooLong)?.copy_from_slice(value);
        Ok(Some(value.len()))
    }

    /// Writes a value. When this returns, it is durable.
    ///
    /// # Errors
    ///
    /// The value is as before; after [`StoreError::Flash`] and a loss of power it may be as after.
    pub fn put(&mut self, key: Key, value: &[u8]) -> Result<(), StoreError> {
        if value.len() > MAX_VALUE {
            return Err(StoreError::TooLong);
        }
        let done = at_once(self.map.store_item(&mut self.buffer, &key.raw(), &value));
        let done = done.ok_or(StoreError::Flash).and_then(|d| d.map_err(|e| refused(&e)));
        self.failed |= done.is_err_and(is_failure);
        done
    }

    /// Whether a read or a write has met a failing flash or contents that contradict themselves: what
    /// is remembered of the flash may be wrong then, and who mounts it anew has it mended.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Returns the flash, for tests that look at it.
    pub fn flash(&mut self) -> &mut F {
        self.map.flash()
    }

    /// Gives the flash back.
    #[must_use]
    pub fn unmount(self) -> F {
        let (flash, _) = self.map.destroy();
        flash
    }
}

const fn is_failure(error: StoreError) -> bool {
    match error {
        StoreError::Flash | StoreError::Corrupted => true,
        StoreError::Range | StoreError::Full | StoreError::TooLong | StoreError::NewerFormat(_) => {
            false
        }
    }
}

/// The library's words in ours.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's error may grow")]
fn refused<E>(error: &sequential_storage::Error<E>) -> StoreError {
    use sequential_storage::Error;
    match error {
        Error::FullStorage => StoreError::Full,
        Error::Storage { .. } => StoreError::Flash,
        Error::BufferTooBig | Error::BufferTooSmall(_) | Error::ItemTooBig => StoreError::TooLong,
        // Corrupted, a bug of the library, and what its later versions add.
        _ => StoreError::Corrupted,
    }
}
