//! Owns what is measured at which sizes; never measures.

/// Where the loader may put the configuration of a run.
pub const CONFIG_ADDRESS: usize = 0x4800_0000;
/// The text there for a full run, NUL-terminated; anything else, or nothing, is a quick one.
pub const FULL_CONFIG: &str = "causeway-bench 1\nfull=1\n\0";
/// The text there for a run that shows no more than what another processor changes.
pub const BRIEF_CONFIG: &str = "causeway-bench 1\nbrief=1\n\0";

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The floor, a message and one page's life.
    Brief,
    /// The ends of each scale and its middle.
    Quick,
    /// Each power of two.
    Full,
}

/// Ranges of one page each in an area.
pub const MAX_RANGES: u64 = 2048;
/// Pages of the largest area: 512 MiB.
pub const MAX_PAGES: u64 = 131_072;
/// Pages of the largest area that the partition maps for itself.
pub const MAX_MAPPED: u64 = 4096;
/// Most grants alive at once: what the SPMC's store holds of two borrowers' areas, less some.
pub const MAX_LIVE: u64 = 450;

impl Extent {
    /// Reads the configuration's first bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        if bytes.starts_with(FULL_CONFIG.as_bytes()) {
            Self::Full
        } else if bytes.starts_with(BRIEF_CONFIG.as_bytes()) {
            Self::Brief
        } else {
            Self::Quick
        }
    }

    /// Numbers of one-page ranges in an area.
    #[must_use]
    pub const fn ranges(self) -> &'static [u64] {
        match self {
            Self::Brief => &[],
            Self::Quick => &[1, 128, MAX_RANGES],
            Self::Full => &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, MAX_RANGES],
        }
    }

    /// Pages of an area of one range.
    #[must_use]
    pub const fn pages(self) -> &'static [u64] {
        match self {
            Self::Brief => &[],
            Self::Quick => &[1, 512, MAX_PAGES],
            Self::Full => &[1, 8, 64, 512, 4096, 32768, MAX_PAGES],
        }
    }

    /// Pages of an area that the partition maps.
    #[must_use]
    pub const fn mapped(self) -> &'static [u64] {
        match self {
            Self::Brief => &[],
            Self::Quick => &[2, 128, 512, MAX_MAPPED],
            Self::Full => &[2, 8, 32, 128, 512, 1024, 2048, MAX_MAPPED],
        }
    }

    /// Numbers of grants that live meanwhile.
    #[must_use]
    pub const fn live(self) -> &'static [u64] {
        match self {
            Self::Brief => &[],
            Self::Quick => &[1, 300, MAX_LIVE],
            Self::Full => &[1, 10, 50, 100, 200, 300, 400, MAX_LIVE],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_run_is_asked_for_by_its_own_text() {
        assert_eq!(Extent::parse(BRIEF_CONFIG.as_bytes()), Extent::Brief);
        let scales = [Extent::Brief.ranges(), Extent::Brief.pages(), Extent::Brief.live()];
        assert_eq!(scales, [&[]; 3]);
    }

    #[test]
    fn only_the_whole_text_asks_for_a_full_run() {
        assert_eq!(Extent::parse(FULL_CONFIG.as_bytes()), Extent::Full);
        assert_eq!(Extent::parse(&[0; 64]), Extent::Quick);
        assert_eq!(Extent::parse(b"causeway-bench 1\nfull=11"), Extent::Quick);
        assert_eq!(Extent::parse(b"causeway-bench 1\nfull=0\n\0"), Extent::Quick);
    }

    #[test]
    fn every_scale_ends_at_the_size_that_is_promised() {
        for extent in [Extent::Quick, Extent::Full] {
            let scales = [extent.ranges(), extent.pages(), extent.live()];
            for (scale, most) in scales.into_iter().zip([MAX_RANGES, MAX_PAGES, MAX_LIVE]) {
                assert_eq!((scale[0], scale.last()), (1, Some(&most)));
                assert!(scale.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
