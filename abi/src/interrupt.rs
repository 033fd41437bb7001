//! Owns the calls about interrupts of secure devices and how they lie in a frame; never decides
//! whether one is allowed.
//!
//! ```
//! use causeway_abi::{Call, CallId, InfoPage, InterruptCall, SourceId, SourceState, Trigger};
//!
//! let source: SourceId = 3;
//! let arm = Call::Interrupt(InterruptCall::Arm { source, interval_us: 50, count: 10 });
//! assert_eq!((Call::decode(&arm.encode()), arm.id()), (Ok(arm), CallId::IrqArm));
//! let info = Call::Interrupt(InterruptCall::Info { source, page: InfoPage::State });
//! assert_eq!(Call::decode(&info.encode()), Ok(info));
//! let state = SourceState::OPEN.with(SourceState::FETCHED, true);
//! assert!(state.is(SourceState::FETCHED) && !state.is(SourceState::MASKED));
//! assert_eq!(Trigger::from_code(Trigger::Edge.code()), Some(Trigger::Edge));
//! ```

use crate::call::CallId;
use crate::status::Status;
use crate::words::{narrow, one, two, zero};
use causeway_ffa::EndpointId;

/// Number of a source in the interface: its place in the manifest, not its INTID.
pub type SourceId = u16;

/// The VM field of IRQ_BIND that means "nobody".
const NOBODY: u16 = 0xffff;

/// How a source goes on after an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// It is held until the VM completes; only then may the device interrupt again.
    Level,
    /// It goes on by itself; what comes before the VM fetches is counted.
    Edge,
}

impl Trigger {
    /// Returns the wire code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Level => 0,
            Self::Edge => 1,
        }
    }

    /// Names a wire code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Level),
            1 => Some(Self::Edge),
            _ => None,
        }
    }
}

/// How a source stands: bit 0 open, 1 masked by its VM, 2 masked by its limit, 3 fetched and not
/// completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SourceState(u64);

impl SourceState {
    /// An interrupt would be let through now.
    pub const OPEN: Self = Self(1);
    /// Its VM keeps it closed.
    pub const MASKED: Self = Self(1 << 1);
    /// Its limit does.
    pub const STORMED: Self = Self(1 << 2);
    /// An event was fetched and is not completed.
    pub const FETCHED: Self = Self(1 << 3);

    /// Reads the wire's bits; what has no meaning is left out.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & 0xf)
    }

    /// Returns the wire's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Reports whether this holds.
    #[must_use]
    pub const fn is(self, state: Self) -> bool {
        self.0 & state.0 != 0
    }

    /// Adds what holds only under a condition.
    #[must_use]
    pub const fn with(self, state: Self, holds: bool) -> Self {
        if holds { Self(self.0 | state.0) } else { self }
    }
}

/// A page of what IRQ_INFO tells of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InfoPage {
    /// x4 = INTID (31:0) | [`Trigger`] (39:32), x5 = [`SourceState`]; x6 = interrupts that wait, x7 = events of the device
    /// that were asked for (IRQ_ARM) and have not come yet.
    State,
    /// x4 = events taken, x5 = delivered, x6 = coalesced, x7 = dropped: the first is the sum of the
    /// others and of what waits.
    Counts,
    /// x4 = interrupts that came out of turn, x5 = times that the limit masked the source, x6 = CNTPCT
    /// of IRQ_ARM's first event, x7 = ticks between its events.
    Device,
}

impl InfoPage {
    const fn code(self) -> u8 {
        match self {
            Self::State => 0,
            Self::Counts => 1,
            Self::Device => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::State),
            1 => Some(Self::Counts),
            2 => Some(Self::Device),
            _ => None,
        }
    }
}

/// A call about interrupts of secure devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InterruptCall {
    /// Returns x4 = source (15:0) | how often it came since the last fetch (63:32), x5 = 1 if more
    /// waits, x6 = CNTPCT of the first of them. One event a source until it is completed.
    Fetch,
    /// x4 = source. The caller has dealt with the event that it fetched: a level source is armed again.
    /// Returns x4 = 1 if more of the source waits.
    Complete {
        /// Which.
        source: SourceId,
    },
    /// x4 = source. It is closed; what waits can still be fetched.
    Mask {
        /// Which.
        source: SourceId,
    },
    /// x4 = source. It is open again. The ticks of its timer meanwhile are dropped, and counted as
    /// dropped; what another device raised meanwhile is heard then.
    Unmask {
        /// Which.
        source: SourceId,
    },
    /// x4 = source, x5 = microseconds between events, x6 = how many events. The device is made to
    /// interrupt. A timer takes any interval and number, and 0 events stop it; other devices do it
    /// once, in their own time (interval 0, one event).
    Arm {
        /// Which.
        source: SourceId,
        /// Microseconds from now to the first event, and between events.
        interval_us: u32,
        /// How many.
        count: u32,
    },
    /// x4 = source, x5 = page. Returns what [`InfoPage`] says.
    Info {
        /// Which.
        source: SourceId,
        /// What of it.
        page: InfoPage,
    },
    /// Hypervisor only. x4 = source, x5 = VM (all ones: nobody). What waited for the VM before is
    /// dropped; the source is closed until its new VM unmasks it.
    Bind {
        /// Which.
        source: SourceId,
        /// Who hears of it from now on.
        vm: Option<EndpointId>,
    },
}

impl InterruptCall {
    /// Returns the call's number.
    #[must_use]
    pub const fn id(&self) -> CallId {
        match self {
            Self::Fetch => CallId::IrqFetch,
            Self::Complete { .. } => CallId::IrqComplete,
            Self::Mask { .. } => CallId::IrqMask,
            Self::Unmask { .. } => CallId::IrqUnmask,
            Self::Arm { .. } => CallId::IrqArm,
            Self::Info { .. } => CallId::IrqInfo,
            Self::Bind { .. } => CallId::IrqBind,
        }
    }

    /// The arguments.
    pub(crate) fn words(self) -> [u64; 4] {
        match self {
            Self::Fetch => [0; 4],
            Self::Complete { source } | Self::Mask { source } | Self::Unmask { source } => {
                [u64::from(source), 0, 0, 0]
            }
            Self::Arm { source, interval_us, count } => {
                [u64::from(source), u64::from(interval_us), u64::from(count), 0]
            }
            Self::Info { source, page } => [u64::from(source), u64::from(page.code()), 0, 0],
            Self::Bind { source, vm } => {
                [u64::from(source), u64::from(vm.map_or(NOBODY, EndpointId::get)), 0, 0]
            }
        }
    }

    /// IRQ_FETCH.
    pub(crate) fn fetch(words: [u64; 4]) -> Result<Self, Status> {
        zero(&words).and(Ok(Self::Fetch))
    }

    /// IRQ_COMPLETE.
    pub(crate) fn complete(words: [u64; 4]) -> Result<Self, Status> {
        Ok(Self::Complete { source: narrow(one(words)?)? })
    }

    /// IRQ_MASK.
    pub(crate) fn mask(words: [u64; 4]) -> Result<Self, Status> {
        Ok(Self::Mask { source: narrow(one(words)?)? })
    }

    /// IRQ_UNMASK.
    pub(crate) fn unmask(words: [u64; 4]) -> Result<Self, Status> {
        Ok(Self::Unmask { source: narrow(one(words)?)? })
    }

    /// IRQ_ARM. A device that is to do something more often than once needs a time between.
    pub(crate) fn arm([a, b, c, d]: [u64; 4]) -> Result<Self, Status> {
        zero(&[d])?;
        let (source, interval_us, count) = (narrow(a)?, narrow(b)?, narrow(c)?);
        if interval_us == 0 && count > 1 {
            return Err(Status::BadArgument);
        }
        Ok(Self::Arm { source, interval_us, count })
    }

    /// IRQ_INFO.
    pub(crate) fn info(words: [u64; 4]) -> Result<Self, Status> {
        let [source, page] = two(words)?;
        let (source, page) = (narrow(source)?, narrow(page)?);
        let page = InfoPage::from_code(page).ok_or(Status::BadArgument)?;
        Ok(Self::Info { source, page })
    }

    /// IRQ_BIND.
    pub(crate) fn bind(words: [u64; 4]) -> Result<Self, Status> {
        let [source, vm] = two(words)?;
        let (source, vm): (_, u16) = (narrow(source)?, narrow(vm)?);
        Ok(Self::Bind { source, vm: (vm != NOBODY).then_some(EndpointId::from_raw(vm)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Call;

    #[test]
    fn nothing_happens_more_often_than_once_in_no_time() {
        let mut frame = Call::Interrupt(InterruptCall::Arm { source: 1, interval_us: 0, count: 1 });
        assert_eq!(Call::decode(&frame.encode()), Ok(frame));
        frame = Call::Interrupt(InterruptCall::Arm { source: 1, interval_us: 0, count: 2 });
        assert_eq!(Call::decode(&frame.encode()), Err(Status::BadArgument));
    }

    #[test]
    fn a_page_or_source_beyond_its_field_is_refused() {
        let call = Call::Interrupt(InterruptCall::Info { source: 1, page: InfoPage::Device });
        let mut frame = call.encode();
        frame[2] = 3;
        assert_eq!(Call::decode(&frame), Err(Status::BadArgument));
        frame = call.encode();
        frame[1] = 0x1_0000;
        assert_eq!(Call::decode(&frame), Err(Status::BadArgument));
    }

    #[test]
    fn triggers_survive_the_wire() {
        for trigger in [Trigger::Level, Trigger::Edge] {
            assert_eq!(Trigger::from_code(trigger.code()), Some(trigger));
        }
        assert_eq!(Trigger::from_code(2), None);
    }
}
