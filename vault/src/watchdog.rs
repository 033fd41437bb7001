//! Owns the watchdogs of the VMs: who armed one, when it warns, when it fires, and what policy says
//! happens then. Never reads a clock and never restarts anything: the image does as it is told.
//!
//! Times are ticks of the secure counter (CNTPCT), which no VM can stop or turn.

#[cfg(test)]
mod tests;

/// Watchdogs at once, one for a VM.
pub const WATCHDOGS: usize = 8;

/// What happens when a watchdog fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The hypervisor is asked to restart the VM.
    RestartVm,
    /// The platform is reset by the secure path.
    ResetSystem,
}

/// What policy allows a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What happens.
    pub action: Action,
    /// Shortest and longest time-out, in ticks.
    pub shortest: u64,
    /// See `shortest`.
    pub longest: u64,
    /// Whether the VM may stop its own watchdog.
    pub may_stop: bool,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogError {
    /// The time-out lies outside policy, or the warning is not before it.
    Time,
    /// None is armed by this VM.
    NotArmed,
    /// Policy: once armed, armed.
    MayNotStop,
    /// All are in use.
    NoRoom,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Ring the VM's doorbell: the watchdog fires soon.
    Warn {
        /// Whose.
        vm: u16,
    },
    /// It fired.
    Fire {
        /// Whose.
        vm: u16,
        /// What policy says.
        action: Action,
    },
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    vm: u16,
    action: Action,
    may_stop: bool,
    timeout: u64,
    warning: Option<u64>,
    fires_at: u64,
    warned: bool,
}

impl Armed {
    fn warns_at(&self) -> Option<u64> {
        let before = self.warning.filter(|_| !self.warned)?;
        Some(self.fires_at.saturating_sub(before))
    }

    fn next(&self) -> u64 {
        self.warns_at().unwrap_or(self.fires_at)
    }
}

/// All watchdogs.
#[derive(Clone, Debug, Default)]
pub struct Watchdogs {
    armed: [Option<Armed>; WATCHDOGS],
}

impl Watchdogs {
    /// None armed.
    #[must_use]
    pub const fn new() -> Self {
        Self { armed: [None; WATCHDOGS] }
    }

    /// Arms `vm`'s watchdog, or arms it anew with other times. `warning`: ticks before it fires.
    ///
    /// # Errors
    ///
    /// Nothing changes then.
    pub fn start(
        &mut self,
        now: u64,
        vm: u16,
        terms: &Terms,
        timeout: u64,
        warning: Option<u64>,
    ) -> Result<(), WatchdogError> {
        let in_policy = (terms.shortest..=terms.longest).contains(&timeout);
        if !in_policy || warning.is_some_and(|w| w == 0 || w >= timeout) {
            return Err(WatchdogError::Time);
        }
        let own = self.armed.iter().position(|a| a.is_some_and(|a| a.vm == vm));
        let free = || self.armed.iter().position(Option::is_none);
        let at = own.or_else(free).ok_or(WatchdogError::NoRoom)?;
        let slot = self.armed.get_mut(at).ok_or(WatchdogError::NoRoom)?;
        *slot = Some(Armed {
            vm,
            action: terms.action,
            may_stop: terms.may_stop,
            timeout,
            warning,
            fires_at: now.saturating_add(timeout),
            warned: false,
        });
        Ok(())
    }

    /// The VM is well: the time starts again.
    ///
    /// # Errors
    ///
    /// [`WatchdogError::NotArmed`].
    pub fn ping(&mut self, now: u64, vm: u16) -> Result<(), WatchdogError> {
        let armed = self.of(vm)?;
        armed.fires_at = now.saturating_add(armed.timeout);
        armed.warned = false;
        Ok(())
    }

    /// Disarms `vm`'s own watchdog, where policy lets it.
    ///
    /// # Errors
    ///
    /// [`WatchdogError::NotArmed`], [`WatchdogError::MayNotStop`].
    pub fn stop(&mut self, vm: u16) -> Result<(), WatchdogError> {
        if !self.of(vm)?.may_stop {
            return Err(WatchdogError::MayNotStop);
        }
        self.forget(vm);
        Ok(())
    }

    /// The VM is gone in an orderly way (destroyed by the hypervisor): so is its watchdog.
    pub fn forget(&mut self, vm: u16) {
        for slot in &mut self.armed {
            slot.take_if(|a| a.vm == vm);
        }
    }

    /// Takes one thing that is due. Call until `None`: at most two for each watchdog.
    pub fn due(&mut self, now: u64) -> Option<Due> {
        for slot in &mut self.armed {
            let Some(armed) = slot else { continue };
            let vm = armed.vm;
            if armed.fires_at <= now {
                let action = armed.action;
                *slot = None;
                return Some(Due::Fire { vm, action });
            }
            if armed.warns_at().is_some_and(|at| at <= now) {
                armed.warned = true;
                return Some(Due::Warn { vm });
            }
        }
        None
    }

    /// When to look again: the secure timer is set to this.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.armed.iter().flatten().map(Armed::next).min()
    }

    /// Ticks left until `vm`'s fires.
    ///
    /// # Errors
    ///
    /// [`WatchdogError::NotArmed`].
    pub fn left(&mut self, now: u64, vm: u16) -> Result<u64, WatchdogError> {
        Ok(self.of(vm)?.fires_at.saturating_sub(now))
    }

    /// Whether `vm`'s has warned since it was armed or pinged.
    #[must_use]
    pub fn has_warned(&self, vm: u16) -> bool {
        self.armed.iter().flatten().any(|a| a.vm == vm && a.warned)
    }

    fn of(&mut self, vm: u16) -> Result<&mut Armed, WatchdogError> {
        let own = self.armed.iter_mut().flatten().find(|a| a.vm == vm);
        own.ok_or(WatchdogError::NotArmed)
    }
}
