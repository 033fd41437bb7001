//! Owns what the glue asks of a machine's interrupts: the controller, the devices behind its lines, the
//! secure world's alarm. Never says which interrupt is whose.
//!
//! The controller has two back ends: the partition's own GIC (in the image), and the virtual interface
//! of an SPMC that keeps the GIC to itself ([`crate::virtual_gic`]). Whoever routes interrupts sees no
//! difference.

use causeway_abi::Trigger;

/// The interrupt controller, as one core of the partition sees it.
pub trait Controller {
    /// Makes an interrupt the partition's: secure, with this trigger, sent to a core that runs, and
    /// closed. False: this controller cannot.
    fn claim(&mut self, intid: u32, trigger: Trigger) -> bool;

    /// Takes the next interrupt that is pending for this core.
    fn acknowledge(&mut self) -> Option<u32>;

    /// Ends one that was taken: it may come again.
    fn end(&mut self, intid: u32);

    /// Lets an interrupt through from now on.
    fn open(&mut self, intid: u32);

    /// Lets it through no more.
    fn close(&mut self, intid: u32);
}

/// The devices whose lines lead to the controller.
pub trait Lines {
    /// Whether there is a device behind this interrupt that can be made to let go of its line: no
    /// other is ever claimed.
    fn is_known(&self, intid: u32) -> bool;

    /// Makes the device let go of its line, until it is provoked, or armed again and has a new reason.
    /// Returns how many reasons it had: characters that came, for example. Never 0.
    fn quiet(&mut self, intid: u32) -> u32;

    /// Lets it raise its line again.
    fn rearm(&mut self, intid: u32);

    /// Makes the device interrupt once, in its own time. False: it cannot.
    fn provoke(&mut self, intid: u32) -> bool;
}

/// The secure world's own timer: one a core, all of them on one counter, the platform's clock. The
/// normal world can neither see nor stop it.
pub trait Alarm {
    /// The timer's interrupt; `None`: there is no such timer.
    fn alarm_intid(&self) -> Option<u32>;

    /// Has the timer of this core interrupt at `deadline`, and not before; `None`: not at all.
    fn set_alarm(&mut self, deadline: Option<u64>);

    /// The core that runs this.
    fn core(&self) -> u16;

    /// This core is about to be switched off. Sends its interrupts elsewhere and, with `alarm`, makes
    /// another core come into the partition ([`crate::Partition::interrupt`]) to take over the alarm.
    fn leave_core(&mut self, alarm: HandOver);
}

/// Whether a core that is switched off has the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// Another must take it over.
    Alarm,
    /// It has none.
    Nothing,
}

/// All that belongs to interrupts.
pub trait Interrupts: Controller + Lines + Alarm {}

impl<P: Controller + Lines + Alarm> Interrupts for P {}
