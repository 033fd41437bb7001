//! Owns the text that a VM finds in its last page; never places it.

use crate::config::BootConfig;
use crate::layout::{BACKEND, MEDIUM_IPA, VmIndex, WINDOW_BYTES, WINDOW_IPA};
use core::fmt::{self, Write};

/// Bytes in the page that holds the text and its NUL.
pub const PAGE_BYTES: usize = 4096;

/// A command line, NUL padded to a page.
pub struct CommandLine {
    page: [u8; PAGE_BYTES],
    len: usize,
}

impl CommandLine {
    /// Writes the monitor's keys, then the configured text.
    ///
    /// # Errors
    /// Where it does not fit; [`BootConfig::parse`] bounds the text so that it always does.
    pub fn new(vm: VmIndex, config: &BootConfig<'_>) -> Result<Self, fmt::Error> {
        let mut line = Self { page: [0; PAGE_BYTES], len: 0 };
        let (medium, medium_bytes) = match config.disk.len_bytes {
            len if vm == BACKEND && len > 0 => (MEDIUM_IPA, len),
            _ => (0, 0),
        };
        write!(
            line,
            "vm={} ram_bytes={:#x} window={WINDOW_IPA:#x} window_bytes={WINDOW_BYTES:#x} \
             medium={medium:#x} medium_bytes={medium_bytes} vcpus={} {}",
            vm.id().get(),
            vm.ram().len_bytes,
            config.vcpus[vm.index()],
            config.commands[vm.index()]
        )?;
        Ok(line)
    }

    /// Returns the page.
    #[must_use]
    pub fn page(&self) -> &[u8; PAGE_BYTES] {
        &self.page
    }
}

impl Write for CommandLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        // The last byte stays NUL.
        let room = self.page[..PAGE_BYTES - 1].get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{FRONTEND, PhysRange};

    fn text(vm: VmIndex, config: &BootConfig<'_>) -> String {
        let line = CommandLine::new(vm, config).unwrap();
        let end = line.page().iter().position(|b| *b == 0).unwrap();
        String::from_utf8(line.page()[..end].to_vec()).unwrap()
    }

    #[test]
    fn only_the_backend_hears_of_the_medium() {
        let disk = PhysRange { base: 0x5000_0000, len_bytes: 512 };
        let config = BootConfig { disk, ..BootConfig::default() };
        assert_eq!(
            text(FRONTEND, &config),
            "vm=1 ram_bytes=0x28000000 window=0x100000000 window_bytes=0x40000000 \
             medium=0x0 medium_bytes=0 vcpus=1 job=transfer"
        );
        assert!(text(BACKEND, &config).contains("medium=0x80000000 medium_bytes=512 "));
        assert!(text(BACKEND, &BootConfig::default()).contains("medium=0x0 medium_bytes=0 "));
    }

    #[test]
    fn text_that_does_not_fit_is_refused() {
        let long = "a".repeat(PAGE_BYTES);
        let commands = [long.as_str(); 3];
        let config = BootConfig { commands, ..BootConfig::default() };
        assert!(CommandLine::new(FRONTEND, &config).is_err());
    }
}
