//! Owns what stands in the minimal profile for what it has none of: the safe and the disk. The flash is
//! not touched, and nothing that would need either is in the image. Never stores anything.

/// No safe.
pub(crate) mod safe {
    pub(crate) use causeway_service::safe::{Absent as Handle, Absent as Platform};

    /// There is none.
    pub(crate) const fn safe() -> Option<Handle> {
        None
    }
}

/// No disk.
pub(crate) mod disk {
    pub(crate) use causeway_service::devices::Absent as Disk;

    /// There is none.
    pub(crate) const fn take() -> Option<Disk> {
        None
    }
}
