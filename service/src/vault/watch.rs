//! Owns the watchdogs' calls, and what happens when one is due: a doorbell, a request to the
//! hypervisor, a reset. Never reads a clock but the secure world's own.

use super::Vault;
use crate::partition::{Outcome, Partition};
use crate::platform::{Platform, log};
use crate::safe::Tenant;
use causeway_abi::Status;
use causeway_ffa::EndpointId;
use causeway_memshare::policy::{WatchdogAction, WatchdogRule, vm_bit};
use causeway_memshare::{Action as Told, Event, Record};
use causeway_vault::watchdog::{Action, Due, Terms, WATCHDOGS, WatchdogError};

/// HYP_POLL's third word: a VM is to be restarted, and which.
const RESTART: u64 = 1 << 16;
const RESTART_SHIFT: u32 = 32;

impl<P: Platform> Vault<P> {
    fn ticks(&self, milliseconds: u32) -> u64 {
        u64::from(milliseconds).saturating_mul(self.second) / 1000
    }

    fn terms(&self, rule: &WatchdogRule) -> Terms {
        Terms {
            action: match rule.action {
                WatchdogAction::RestartVm => Action::RestartVm,
                WatchdogAction::ResetSystem => Action::ResetSystem,
            },
            shortest: self.ticks(rule.shortest_ms),
            longest: self.ticks(rule.longest_ms),
            may_stop: rule.may_stop,
        }
    }

    fn set_watch(&mut self) {
        self.watch_at = self.watchdogs.deadline().unwrap_or(u64::MAX);
    }
}

impl<P: Platform> Partition<P> {
    pub(super) fn watchdog_start(
        &mut self,
        who: &Tenant,
        now: u64,
        timeout_ms: u32,
        warning_ms: u32,
    ) -> Result<[u64; 4], Status> {
        let rule = who.given.watchdog.ok_or(Status::PolicyService)?;
        let vault = &mut self.vault;
        let (terms, timeout) = (vault.terms(&rule), vault.ticks(timeout_ms));
        let warning = (warning_ms != 0).then(|| vault.ticks(warning_ms));
        vault.watchdogs.start(now, who.vm, &terms, timeout, warning).map_err(status)?;
        let before = vault.watch_at;
        vault.set_watch();
        let earlier = vault.watch_at < before;
        self.unsettle_alarm();
        if earlier && self.platform.alarm_intid().is_none() {
            // Without a timer of ours the hypervisor has to look. It learns of an earlier deadline when
            // it polls, and it polls when it is rung.
            self.ring_bell(EndpointId::from_raw(who.vm));
        }
        Ok([0; 4])
    }

    pub(super) fn watchdog_ping(&mut self, who: &Tenant, now: u64) -> Result<[u64; 4], Status> {
        who.given.watchdog.ok_or(Status::PolicyService)?;
        self.vault.watchdogs.ping(now, who.vm).map_err(status)?;
        self.vault.set_watch();
        self.unsettle_alarm();
        Ok([0; 4])
    }

    pub(super) fn watchdog_stop(&mut self, who: &Tenant) -> Result<[u64; 4], Status> {
        who.given.watchdog.ok_or(Status::PolicyService)?;
        self.vault.watchdogs.stop(who.vm).map_err(status)?;
        self.vault.set_watch();
        self.unsettle_alarm();
        Ok([0; 4])
    }

    pub(super) fn watchdog_left(&mut self, who: &Tenant, now: u64) -> Result<[u64; 4], Status> {
        who.given.watchdog.ok_or(Status::PolicyService)?;
        let left = self.vault.watchdogs.left(now, who.vm).map_err(status)?;
        let warned = self.vault.watchdogs.has_warned(who.vm);
        let per_ms = (self.vault.second / 1000).max(1);
        Ok([left / per_ms, u64::from(warned), 0, 0])
    }

    /// When somebody must look at the watchdogs.
    #[inline]
    pub(crate) const fn watch_deadline(&self) -> Option<u64> {
        match self.vault.watch_at {
            u64::MAX => None,
            at => Some(at),
        }
    }

    /// Carries out what is due: on each entry, and when the secure timer rings.
    #[inline]
    pub(crate) fn watch(&mut self) {
        if self.watch_deadline().is_some_and(|at| at <= self.platform.now()) {
            self.watch_due();
        }
    }

    #[inline(never)]
    fn watch_due(&mut self) {
        let now = self.platform.now();
        // Each can warn and fire.
        for _ in 0..2 * WATCHDOGS {
            let Some(due) = self.vault.watchdogs.due(now) else { break };
            match due {
                Due::Warn { vm } => self.ring_bell(EndpointId::from_raw(vm)),
                Due::Fire { vm, action } => self.fire(EndpointId::from_raw(vm), action),
            }
        }
        self.vault.set_watch();
        self.unsettle_alarm();
    }

    pub(crate) fn ring_bell(&mut self, vm: EndpointId) {
        let _rung: Outcome = self.drive(Event::Ring { vm });
    }

    fn fire(&mut self, vm: EndpointId, action: Action) {
        log!(self.platform, "watchdog of VM {vm} fired: {action:?}");
        let now = self.platform.now();
        self.ledger.append(now, &Record::new(vm, Told::WatchdogFired));
        match action {
            Action::RestartVm => {
                self.vault.restarts |= vm_bit(vm);
                // The doorbell makes the hypervisor look.
                self.ring_bell(vm);
            }
            Action::ResetSystem => self.platform.reset(),
        }
    }

    /// Whether the hypervisor has to hear of a VM to restart.
    pub(crate) const fn has_restart(&self) -> bool {
        self.vault.restarts != 0
    }

    /// Tells the polling hypervisor of a VM to restart, once: bit 16 and bits 47:32 of the word that
    /// names the VM to unmap.
    pub(crate) fn take_restart(&mut self) -> u64 {
        let vm = self.vault.restarts.trailing_zeros();
        if vm >= u64::BITS {
            return 0;
        }
        self.vault.restarts &= !(1 << vm);
        RESTART | u64::from(vm) << RESTART_SHIFT
    }
}

const fn status(error: WatchdogError) -> Status {
    match error {
        WatchdogError::Time => Status::WatchdogTime,
        WatchdogError::NotArmed => Status::WatchdogNotArmed,
        WatchdogError::MayNotStop => Status::WatchdogMayNotStop,
        WatchdogError::NoRoom => Status::NoRoom,
    }
}
