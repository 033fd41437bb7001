//! Owns the calls about interrupts of secure devices that policy binds to this VM; never owns a device.
//! docs/interrupts.md tells how they are used.
//!
//! ```no_run
//! use causeway_client::interrupts::{self, Counts, Event, Source, State, Troubles};
//! use causeway_client::{Connection, Error};
//!
//! /// Ten ticks, a millisecond apart.
//! fn ten_ticks(connection: &Connection<'_>) -> Result<(), Error> {
//!     let timer = Source::new(connection, 0);
//!     timer.unmask()?;
//!     timer.arm(1000, 10)
//! }
//!
//! /// When the doorbell rings.
//! fn on_doorbell(connection: &Connection<'_>) -> Result<u32, Error> {
//!     let mut all = 0;
//!     while let Some(Event { source, count, .. }) = interrupts::fetch(connection)? {
//!         // ... deal with what the device wants, then:
//!         all += count;
//!         let _more = Source::new(connection, source).complete()?;
//!     }
//!     Ok(all)
//! }
//!
//! /// Has the device interrupt once more if all is well, and closes a source that lies.
//! fn look_after(source: Source<'_>) -> Result<bool, Error> {
//!     let State { waiting, .. } = source.state()?;
//!     let Counts { taken, delivered, coalesced, dropped } = source.counts()?;
//!     assert_eq!(taken, delivered + coalesced + dropped + waiting);
//!     let Troubles { out_of_turn, storms } = source.troubles()?;
//!     let is_well = out_of_turn == 0 && storms == 0;
//!     if is_well { source.provoke()? } else { source.mask()? }
//!     Ok(is_well)
//! }
//!
//! /// A hypervisor takes a source from its VM.
//! fn take_away(connection: &Connection<'_>, source: u16) -> Result<(), Error> {
//!     interrupts::bind(connection, source, None)
//! }
//! ```

use crate::connection::Connection;
use crate::error::{Error, Rule};
use causeway_abi::{Call, InfoPage, InterruptCall, SourceId, SourceState, Status, Trigger};
use causeway_ffa::EndpointId;

/// An event of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which source: its number in the manifest.
    pub source: SourceId,
    /// How often its device interrupted since the last fetch: at least 1.
    pub count: u32,
    /// The counter (CNTPCT) at the first of them.
    pub first_at: u64,
    /// Whether more waits for this VM.
    pub more: bool,
}

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The interrupt's number at the controller.
    pub intid: u32,
    /// How it goes on after an interrupt.
    pub trigger: Trigger,
    /// Open, masked, fetched.
    pub state: SourceState,
    /// Interrupts that wait.
    pub waiting: u64,
    /// Events of its timer that are still to come.
    pub left: u64,
}

/// What became of a source's interrupts: the first is the sum of the others and of what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Taken at the controller.
    pub taken: u64,
    /// Fetched, each as an event of its own.
    pub delivered: u64,
    /// Told as a number with another.
    pub coalesced: u64,
    /// Told to nobody: the source was closed, or its VM died.
    pub dropped: u64,
}

/// What went wrong at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Troubles {
    /// Interrupts that came although the source was closed.
    pub out_of_turn: u64,
    /// How often its limit masked it.
    pub storms: u64,
}

/// Takes the next event that waits for this VM; `None`: nothing does.
///
/// # Errors
/// The partition's refusal; [`Rule::AnswerValues`] for an event that never came.
pub fn fetch(connection: &Connection<'_>) -> Result<Option<Event>, Error> {
    let answer = match connection.call(Call::Interrupt(InterruptCall::Fetch)) {
        Ok(answer) => answer,
        Err(Error::Refused { status: Status::NothingWaits, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let [event, more, first_at, _] = answer;
    let bad = Error::partition(Rule::AnswerValues);
    let source = SourceId::try_from(event & 0xffff_ffff).map_err(|_| bad)?;
    let count = u32::try_from(event >> 32).map_err(|_| bad)?;
    if count == 0 {
        return Err(bad);
    }
    Ok(Some(Event { source, count, first_at, more: more != 0 }))
}

/// Says who hears of a source from now on; `None`: nobody. For the hypervisor.
///
/// # Errors
/// The partition's refusal: [`Status::PolicySource`] for a VM that policy does not name for it.
pub fn bind(
    connection: &Connection<'_>,
    source: SourceId,
    vm: Option<EndpointId>,
) -> Result<(), Error> {
    connection.call(Call::Interrupt(InterruptCall::Bind { source, vm })).map(|_| ())
}

/// A source that policy binds to this VM.
#[derive(Clone, Copy, Debug)]
pub struct Source<'c> {
    connection: &'c Connection<'c>,
    number: SourceId,
}

impl<'c> Source<'c> {
    /// Names a source; nothing is asked yet.
    #[must_use]
    pub const fn new(connection: &'c Connection<'c>, number: SourceId) -> Self {
        Self { connection, number }
    }

    fn call(&self, call: InterruptCall) -> Result<[u64; 4], Error> {
        self.connection.call(Call::Interrupt(call))
    }

    /// Opens the source. What its timer would have raised while it was closed is dropped.
    ///
    /// # Errors
    /// [`Status::NoSource`], [`Status::DeviceCannot`], [`Status::Cooling`], [`Status::AlreadySo`].
    pub fn unmask(&self) -> Result<(), Error> {
        self.call(InterruptCall::Unmask { source: self.number }).map(|_| ())
    }

    /// Closes the source. What waits can still be fetched.
    ///
    /// # Errors
    /// [`Status::NoSource`], [`Status::AlreadySo`].
    pub fn mask(&self) -> Result<(), Error> {
        self.call(InterruptCall::Mask { source: self.number }).map(|_| ())
    }

    /// Says that this VM has dealt with the event that it fetched. Returns whether more waits.
    ///
    /// # Errors
    /// [`Status::NoSource`], [`Status::NothingWaits`].
    pub fn complete(&self) -> Result<bool, Error> {
        let [more, ..] = self.call(InterruptCall::Complete { source: self.number })?;
        Ok(more != 0)
    }

    /// Has the source's timer interrupt `count` times, every `interval_us` microseconds from now on;
    /// 0 times stops it.
    ///
    /// # Errors
    /// [`Status::NoSource`], [`Status::PolicySource`], [`Status::DeviceCannot`] where it has no timer;
    /// [`Status::BadArgument`] for several events in no time.
    pub fn arm(&self, interval_us: u32, count: u32) -> Result<(), Error> {
        self.call(InterruptCall::Arm { source: self.number, interval_us, count }).map(|_| ())
    }

    /// Has the source's device interrupt once, in its own time.
    ///
    /// # Errors
    /// [`Status::NoSource`], [`Status::PolicySource`], [`Status::DeviceCannot`].
    pub fn provoke(&self) -> Result<(), Error> {
        self.arm(0, 1)
    }

    fn info(&self, page: InfoPage) -> Result<[u64; 4], Error> {
        self.call(InterruptCall::Info { source: self.number, page })
    }

    /// Asks how the source stands.
    ///
    /// # Errors
    /// [`Status::NoSource`]; [`Rule::AnswerValues`].
    pub fn state(&self) -> Result<State, Error> {
        let [what, bits, waiting, left] = self.info(InfoPage::State)?;
        let bad = Error::partition(Rule::AnswerValues);
        let intid = u32::try_from(what & 0xffff_ffff).map_err(|_| bad)?;
        let trigger = u8::try_from(what >> 32).ok().and_then(Trigger::from_code).ok_or(bad)?;
        Ok(State { intid, trigger, state: SourceState::from_bits(bits), waiting, left })
    }

    /// Asks what became of its interrupts.
    ///
    /// # Errors
    /// [`Status::NoSource`].
    pub fn counts(&self) -> Result<Counts, Error> {
        let [taken, delivered, coalesced, dropped] = self.info(InfoPage::Counts)?;
        Ok(Counts { taken, delivered, coalesced, dropped })
    }

    /// Asks what went wrong.
    ///
    /// # Errors
    /// [`Status::NoSource`].
    pub fn troubles(&self) -> Result<Troubles, Error> {
        let [out_of_turn, storms, ..] = self.info(InfoPage::Device)?;
        Ok(Troubles { out_of_turn, storms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeWorld;
    use causeway_abi::CallId;

    #[test]
    fn a_vm_without_sources_is_told_so_call_by_call() {
        let world = FakeWorld::new();
        let conduit = world.vm(1);
        let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
        assert_eq!(fetch(&connection), Ok(None));
        let source = Source::new(&connection, 0);
        let error = |call, status| Error::Refused { call, status };
        let refused = |call, status| Err(error(call, status));
        let none = Status::NoSource;
        assert_eq!(source.unmask(), refused(CallId::IrqUnmask, none));
        assert_eq!(source.mask(), refused(CallId::IrqMask, none));
        assert_eq!(source.provoke(), refused(CallId::IrqArm, none));
        assert_eq!(source.arm(0, 2), refused(CallId::IrqArm, Status::BadArgument));
        assert_eq!(source.complete().unwrap_err(), error(CallId::IrqComplete, none));
        assert_eq!(source.counts().unwrap_err(), error(CallId::IrqInfo, none));
        assert_eq!(bind(&connection, 0, None), refused(CallId::IrqBind, Status::NotHypervisor));
    }

    #[test]
    fn what_the_partition_says_is_read_and_what_makes_no_sense_is_refused() {
        let world = FakeWorld::new();
        let conduit = world.vm(1);
        let connection = Connection::open(&conduit, world.mailbox(1)).unwrap();
        let mut events =
            [[2 | 5 << 32, 1, 77, 0], [2, 0, 0, 0], [1 << 16 | 1 << 32, 0, 0, 0]].into_iter();
        world.falsify(move |call, arguments, results| {
            if call == CallId::IrqFetch {
                *results = events.next().unwrap();
            } else if call == CallId::IrqInfo {
                *results =
                    if arguments[1] == 0 { [40 | 1 << 32, 0b1010, 3, 4] } else { [9, 8, 7, 6] };
            } else {
                return None;
            }
            Some(Status::Ok)
        });
        let event = Event { source: 2, count: 5, first_at: 77, more: true };
        assert_eq!(fetch(&connection), Ok(Some(event)));
        let bad = Err(Error::partition(Rule::AnswerValues));
        assert_eq!((fetch(&connection), fetch(&connection)), (bad, bad));
        let source = Source::new(&connection, 2);
        let state = source.state().unwrap();
        assert_eq!(
            (state.intid, state.trigger, state.waiting, state.left),
            (40, Trigger::Edge, 3, 4)
        );
        let state = state.state;
        assert!(state.is(SourceState::MASKED) && state.is(SourceState::FETCHED));
        assert!(!state.is(SourceState::OPEN) && !state.is(SourceState::STORMED));
        assert_eq!(source.troubles(), Ok(Troubles { out_of_turn: 9, storms: 8 }));
        assert_eq!(source.counts().unwrap().dropped, 6);
    }
}
