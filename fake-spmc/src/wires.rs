//! Owns the fake machine's secure interrupts: devices that hold a line, the controller, the secure
//! timer, and Hafnium's virtual interface to them. Never routes one: the partition does.

use std::collections::{BTreeMap, BTreeSet};

/// The secure timer's interrupt.
pub const TIMER: u32 = 29;
/// Devices that hold their line until they are quieted.
pub const DEVICES: [u32; 3] = [32, 34, 40];

/// Lines, controller, timer.
#[derive(Clone, Debug, Default)]
pub struct Wires {
    claimed: BTreeSet<u32>,
    open: BTreeSet<u32>,
    held: BTreeSet<u32>,
    /// Reasons that wait in devices, where they are more than one.
    reasons: BTreeMap<u32, u32>,
    active: BTreeSet<u32>,
    alarm: Option<u64>,
    core: u16,
    handed_over: bool,
    /// How often the controller was called by Hafnium's interface.
    virtual_calls: u64,
}

impl Wires {
    /// A device raises its line and holds it.
    pub fn raise(&mut self, intid: u32) {
        self.held.insert(intid);
    }

    /// So many characters, or other reasons, come to a device. It holds its line until it is quieted, and
    /// keeps it low from then until it is armed again.
    pub fn arrive(&mut self, intid: u32, count: u32) {
        let waiting = self.reasons.entry(intid).or_default();
        *waiting = waiting.saturating_add(count);
        if self.open.contains(&intid) {
            self.held.insert(intid);
        }
    }

    /// The controller lets an interrupt through although the partition closed it.
    pub fn force_open(&mut self, intid: u32) {
        self.open.insert(intid);
    }

    /// Reports whether a device holds its line.
    #[must_use]
    pub fn is_held(&self, intid: u32) -> bool {
        self.held.contains(&intid)
    }

    /// Reports whether an interrupt is let through.
    #[must_use]
    pub fn is_open(&self, intid: u32) -> bool {
        self.open.contains(&intid)
    }

    /// Reports whether the partition made it its own.
    #[must_use]
    pub fn is_claimed(&self, intid: u32) -> bool {
        self.claimed.contains(&intid)
    }

    /// When the secure timer is to interrupt.
    #[must_use]
    pub const fn alarm(&self) -> Option<u64> {
        self.alarm
    }

    /// Everything that follows is done on this core.
    pub const fn run_on(&mut self, core: u16) {
        self.core = core;
    }

    /// Reports whether a core that is switched off asked another to take over, and forgets it.
    pub const fn take_hand_over(&mut self) -> bool {
        core::mem::replace(&mut self.handed_over, false)
    }

    /// How often Hafnium's interface was used.
    #[must_use]
    pub const fn virtual_calls(&self) -> u64 {
        self.virtual_calls
    }

    /// The next interrupt that the controller would hand out.
    #[must_use]
    pub fn pending(&self, now: u64) -> Option<u32> {
        let rings = self.alarm.is_some_and(|at| at <= now).then_some(TIMER);
        let lines = self.held.iter().copied().chain(rings);
        let free = |intid: &u32| self.open.contains(intid) && !self.active.contains(intid);
        lines.filter(free).min()
    }

    pub(crate) fn claim(&mut self, intid: u32) -> bool {
        self.claimed.insert(intid);
        self.open.remove(&intid);
        true
    }

    pub(crate) fn acknowledge(&mut self, now: u64) -> Option<u32> {
        let intid = self.pending(now)?;
        self.active.insert(intid);
        Some(intid)
    }

    pub(crate) fn end(&mut self, intid: u32) -> bool {
        self.active.remove(&intid)
    }

    pub(crate) fn open(&mut self, intid: u32) {
        if self.claimed.contains(&intid) {
            self.open.insert(intid);
        }
    }

    pub(crate) fn close(&mut self, intid: u32) {
        self.open.remove(&intid);
    }

    pub(crate) fn quiet(&mut self, intid: u32) -> u32 {
        self.held.remove(&intid);
        self.reasons.remove(&intid).unwrap_or(1)
    }

    /// What waits in a device raises its line again.
    pub(crate) fn rearm(&mut self, intid: u32) {
        if self.reasons.contains_key(&intid) {
            self.held.insert(intid);
        }
    }

    pub(crate) const fn set_alarm(&mut self, alarm: Option<u64>) {
        self.alarm = alarm;
    }

    pub(crate) const fn core(&self) -> u16 {
        self.core
    }

    pub(crate) const fn hand_over(&mut self) {
        self.handed_over = true;
    }

    /// Hafnium's answer to a hypervisor call of the partition; all ones for one that it refuses.
    /// Source: Hafnium, `src/api.c`, `plat_ffa_interrupt_*`: an interrupt that the manifest does not
    /// give to the partition is refused.
    pub(crate) fn hafnium(&mut self, now: u64, [call, intid, enable, _]: [u64; 4]) -> u64 {
        use causeway_service::virtual_gic::abi::{DEACTIVATE, ENABLE, GET, NONE};
        self.virtual_calls += 1;
        let device = u32::try_from(intid).ok().filter(|i| *i == TIMER || DEVICES.contains(i));
        match (call, device) {
            (ENABLE, Some(intid)) => {
                self.claimed.insert(intid);
                if enable == 0 {
                    self.close(intid);
                } else {
                    self.open(intid);
                }
                0
            }
            (GET, _) => self.acknowledge(now).map_or(NONE, u64::from),
            (DEACTIVATE, Some(intid)) if intid == u32::try_from(enable).unwrap_or(0) => {
                if self.end(intid) { 0 } else { u64::MAX }
            }
            (_, _) => u64::MAX,
        }
    }
}
