//! Owns the characters of FFA_CONSOLE_LOG; never prints or filters them.

/// Characters that fit x2-x7 of an SMC64 call: what every SPMC in the field takes.
pub const CONSOLE_MAX: usize = 48;

/// 1 to 48 bytes for a console. They are the caller's: a printer must expect anything.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConsoleText {
    bytes: [u8; CONSOLE_MAX],
    len: u8,
}

impl ConsoleText {
    /// Copies `text`; `None` if it is empty or longer than [`CONSOLE_MAX`].
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let len = u8::try_from(text.len()).ok().filter(|len| *len > 0)?;
        let mut bytes = [0; CONSOLE_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, len })
    }

    /// Returns the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Reads registers of `N` bytes each.
    pub(crate) fn from_chunks<const N: usize>(
        chunks: impl Iterator<Item = [u8; N]>,
        len: u8,
    ) -> Option<Self> {
        let mut bytes = [0; CONSOLE_MAX];
        for (slot, byte) in bytes.iter_mut().zip(chunks.flatten()).take(usize::from(len)) {
            *slot = byte;
        }
        Self::new(bytes.get(..usize::from(len))?)
    }

    /// Returns the text as six registers of `N` bytes each, zero padded.
    pub(crate) fn chunks<const N: usize>(&self) -> [[u8; N]; 6] {
        let mut chunks = [[0; N]; 6];
        for (slot, byte) in chunks.as_flattened_mut().iter_mut().zip(self.as_bytes()) {
            *slot = *byte;
        }
        chunks
    }
}

impl core::fmt::Debug for ConsoleText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ConsoleText(\"{}\")", self.as_bytes().escape_ascii())
    }
}
