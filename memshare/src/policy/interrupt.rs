//! Owns what a policy says about interrupts of secure devices: who may hear of a source, within which
//! limit. Never routes one.

use super::{Policy, PolicyError};
use causeway_abi::{SourceId, Trigger};
use causeway_ffa::EndpointId;

/// The most sources of interrupts.
pub const MAX_SOURCES: usize = 16;
/// The most VMs that one source may be bound to beside the first.
pub const MAX_HEIRS: usize = 4;
/// INTIDs below are software-generated: no device's.
const FIRST_DEVICE: u16 = 16;
/// INTIDs from here on are special (IHI0069, INTIDs).
const FIRST_SPECIAL: u16 = 1020;

/// Beyond it a source is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceLimit {
    /// Interrupts at once; the next one masks the source.
    pub burst: u32,
    /// Microseconds for one more.
    pub refill_us: u32,
    /// For how long it then stays masked at least.
    pub cooling_ms: u32,
}

/// One source of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterruptRule {
    /// The interrupt's number at the controller.
    pub intid: u16,
    /// How it goes on.
    pub trigger: Trigger,
    /// Who hears of it from the start; `None`: nobody until the hypervisor binds it.
    pub vm: Option<EndpointId>,
    /// To whom the hypervisor may bind it as well.
    pub heirs: [Option<EndpointId>; MAX_HEIRS],
    /// Whether its VM may have the device interrupt.
    pub vm_arms: bool,
    /// How much of it is let through.
    pub limit: SourceLimit,
}

impl InterruptRule {
    /// The VMs that it may be bound to.
    pub fn vms(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.vm.into_iter().chain(self.heirs.into_iter().flatten())
    }
}

impl Policy {
    /// The sources, in the order of their numbers in the interface.
    pub fn interrupts(&self) -> impl Iterator<Item = InterruptRule> + '_ {
        self.interrupts.as_slice().iter().copied().flatten()
    }

    /// Whether a source may be bound to a VM.
    #[must_use]
    pub fn may_bind(&self, source: SourceId, vm: EndpointId) -> bool {
        let rule = self.interrupts().nth(usize::from(source));
        rule.is_some_and(|rule| rule.vms().any(|one| one == vm))
    }

    /// Whether the VM of a source may have its device interrupt.
    #[must_use]
    pub fn may_arm(&self, source: SourceId) -> bool {
        self.interrupts().nth(usize::from(source)).is_some_and(|rule| rule.vm_arms)
    }

    /// Adds a source.
    ///
    /// # Errors
    /// If its INTID is no device's or is there already, nobody may hear of it, a VM is named twice, it
    /// has no limit, or the table is full.
    pub fn add_interrupt(&mut self, rule: InterruptRule) -> Result<(), PolicyError> {
        if !(FIRST_DEVICE..FIRST_SPECIAL).contains(&rule.intid) {
            return Err(PolicyError::BadProperty("intid"));
        }
        if self.interrupts().any(|other| other.intid == rule.intid) {
            return Err(PolicyError::Duplicate("interrupt"));
        }
        if rule.vms().next().is_none() {
            return Err(PolicyError::BadProperty("vm"));
        }
        let again = |vm| rule.vms().filter(|other| *other == vm).count() > 1;
        if rule.vms().any(again) {
            return Err(PolicyError::Duplicate("also"));
        }
        let SourceLimit { burst, refill_us, cooling_ms } = rule.limit;
        if [burst, refill_us, cooling_ms].contains(&0) {
            return Err(PolicyError::BadProperty("limit"));
        }
        super::build::fits(self.interrupts.push(Some(rule)), "interrupt")
    }
}
