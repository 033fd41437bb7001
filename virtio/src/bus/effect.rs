//! Owns what the bus wants done; never does it.

use super::LongWords;
use crate::fifo::Slot;
use crate::msg::Encoded;
use causeway_ffa::{EndpointId, MemHandle};

/// One thing to do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer the direct message with these words in x3-x7. All zero means: not ready, ask again
    /// with the same message.
    Reply {
        /// x3-x7.
        words: [u64; 5],
    },
    /// Answer the direct message of the second kind with these words in x4-x17; all zero as in
    /// [`Effect::Reply`].
    LongReply {
        /// x4-x17.
        words: LongWords,
    },
    /// Raise the notification that the VM has asked for: it then asks for its events.
    Notify {
        /// Whom.
        vm: EndpointId,
        /// The notification.
        notif_id: u16,
    },
    /// Map the area, attach the FIFO in it, then feed [`Event::FifoOpened`](super::Event::FifoOpened).
    OpenFifo {
        /// Whose FIFO.
        vm: EndpointId,
        /// The area.
        handle: MemHandle,
        /// Its 4 KiB pages.
        page_count: u16,
    },
    /// Stop using the FIFO and let its area go.
    CloseFifo {
        /// Whose FIFO.
        vm: EndpointId,
        /// The area.
        handle: MemHandle,
    },
    /// Stop using the FIFO; its area is gone already.
    ForgetFifo {
        /// Whose FIFO.
        vm: EndpointId,
    },
    /// Push into the VM's FIFO, then ring the VM.
    Push {
        /// Whose FIFO.
        vm: EndpointId,
        /// What.
        slot: Slot,
    },
    /// Give a message to the partition's own device; its answer, with the same token, comes back as
    /// [`Event::LocalMessage`](super::Event::LocalMessage) before anything else happens: it may be
    /// what the direct message at hand is answered with.
    CallLocal {
        /// The driver on whose link it is.
        driver: EndpointId,
        /// The message, with the device's own number.
        message: Encoded,
    },
    /// A ring of an enabled queue lies in the area now.
    AreaInUse {
        /// Its owner.
        owner: EndpointId,
        /// Its handle.
        handle: MemHandle,
    },
    /// No ring lies in the area any more.
    AreaFree {
        /// Its owner.
        owner: EndpointId,
        /// Its handle.
        handle: MemHandle,
    },
}

/// Most effects of one step.
const CAPACITY: usize = 8;

/// What one step wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "effects that are not carried out lose messages"]
pub struct Effects {
    list: [Option<Effect>; CAPACITY],
    len: usize,
    more: bool,
}

impl Effects {
    /// Nothing to do, for [`Bus::step_into`](super::Bus::step_into).
    pub const fn new() -> Self {
        Self { list: [None; CAPACITY], len: 0, more: false }
    }

    pub(super) fn clear(&mut self) {
        for place in self.list.iter_mut().take(self.len) {
            *place = None;
        }
        self.len = 0;
        self.more = false;
    }

    /// Appends an effect. A step appends at most three on its own; what it owes beyond the room
    /// waits for the next step.
    pub(super) fn push(&mut self, effect: Effect) {
        if let Some(place) = self.list.get_mut(self.len) {
            *place = Some(effect);
            self.len = self.len.saturating_add(1);
        }
    }

    /// Makes sure that there is room for one more; notes that there is more if not.
    pub(super) const fn has_room(&mut self) -> bool {
        if self.len < CAPACITY {
            return true;
        }
        self.more = true;
        false
    }

    /// Reports whether a step with [`Event::Continue`](super::Event::Continue) must follow.
    #[must_use]
    pub const fn more(&self) -> bool {
        self.more
    }

    /// Reports whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the effects in order.
    pub fn iter(&self) -> impl Iterator<Item = &Effect> + '_ {
        self.list.iter().take(self.len).flatten()
    }
}

impl Default for Effects {
    fn default() -> Self {
        Self::new()
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Effect>, CAPACITY>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().flatten()
    }
}
