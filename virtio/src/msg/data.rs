//! Owns the variable parts of messages: bounded runs of bytes and feature words; nothing else.

/// Most data bytes of any message: GET_CONFIG's answer and SET_CONFIG (104 - 8 - 12).
const CONFIG_MAX: usize = 84;

/// Most feature words of a message (104 - 8 - 8 bytes).
const WORDS_MAX: usize = 22;

/// Up to 84 bytes of configuration space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConfigBytes {
    bytes: [u8; CONFIG_MAX],
    len: u8,
}

impl ConfigBytes {
    /// Most bytes that a message carries.
    pub const MAX: usize = CONFIG_MAX;

    /// No bytes.
    pub const EMPTY: Self = Self { bytes: [0; CONFIG_MAX], len: 0 };

    /// Copies `from`; `None` if it is longer than a message carries.
    #[must_use]
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut data = Self::EMPTY;
        data.bytes.get_mut(..from.len())?.copy_from_slice(from);
        data.len = u8::try_from(from.len()).ok()?;
        Some(data)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Returns their number, as messages carry it.
    #[must_use]
    pub fn len_bytes(&self) -> u32 {
        u32::from(self.len)
    }
}

impl core::fmt::Debug for ConfigBytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ConfigBytes").field(&self.as_slice()).finish()
    }
}

/// Up to 22 words of feature bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FeatureWords {
    words: [u32; WORDS_MAX],
    len: u8,
}

impl FeatureWords {
    /// Most words that a message carries.
    pub const MAX: usize = WORDS_MAX;

    /// Collects words; `None` if there are more than a message carries.
    #[must_use]
    pub fn collect(from: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut all = Self { words: [0; WORDS_MAX], len: 0 };
        for word in from {
            *all.words.get_mut(usize::from(all.len))? = word;
            all.len = all.len.checked_add(1)?;
        }
        Some(all)
    }

    /// Returns the words.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        self.words.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Returns their number, as messages carry it.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::from(self.len)
    }
}

impl core::fmt::Debug for FeatureWords {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("FeatureWords").field(&self.as_slice()).finish()
    }
}
