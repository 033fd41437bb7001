//! The only room for unsafe code of this image beside the window: entry, SVC, TX and RX, the counter.

pub(crate) mod counter;
pub(crate) mod entry;
pub(crate) mod mailbox;
pub(crate) mod svc;
