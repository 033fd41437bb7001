//! Owns what the policy gives each VM of the security services; never carries one out. Deny by
//! default: [`Services::NONE`].

use super::manifest::{cells, need, only, short};
use super::{MAX_VMS, Policy, PolicyError};
use causeway_abi::features;
use causeway_ffa::EndpointId;
use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property};

/// The most counters, and the most key slots, that a policy gives a VM.
pub const MAX_OF_A_VM: u8 = 8;

/// What happens when a VM's watchdog fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WatchdogAction {
    /// The hypervisor is asked to restart the VM.
    RestartVm,
    /// The platform is reset by the secure path.
    ResetSystem,
}

/// The watchdog that a VM may arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchdogRule {
    /// What happens when it fires.
    pub action: WatchdogAction,
    /// The shortest time-out in milliseconds.
    pub shortest_ms: u32,
    /// The longest.
    pub longest_ms: u32,
    /// Whether the VM may stop its own.
    pub may_stop: bool,
}

/// What one VM may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Services {
    /// The VM's UUID, in text order: its sealed keys are bound to it.
    pub uuid: [u8; 16],
    /// Random bytes in a second.
    pub entropy_bytes_per_second: u32,
    /// Monotonic counters.
    pub counters: u8,
    /// Whether it has a replay-protected area.
    pub rpmb: bool,
    /// Slots for sealed keys.
    pub key_slots: u8,
    /// Calls in a second that write the flash, and may erase a sector of it: a long class.
    pub store_writes_per_second: u16,
    /// Signatures in a second: a long class.
    pub signatures_per_second: u16,
    /// Its watchdog.
    pub watchdog: Option<WatchdogRule>,
}

impl Services {
    /// Nothing.
    pub const NONE: Self = Self {
        uuid: [0; 16],
        entropy_bytes_per_second: 0,
        counters: 0,
        rpmb: false,
        key_slots: 0,
        store_writes_per_second: 0,
        signatures_per_second: 0,
        watchdog: None,
    };

    /// The bits of VERSION's features word ([`causeway_abi::features`]) that stand for what is given.
    #[must_use]
    pub const fn features(&self) -> u64 {
        const fn bit(given: bool, bit: u64) -> u64 {
            if given { bit } else { 0 }
        }
        bit(self.entropy_bytes_per_second > 0, features::ENTROPY)
            | bit(self.counters > 0, features::COUNTERS)
            | bit(self.rpmb, features::RPMB)
            | bit(self.key_slots > 0, features::KEYS)
            | bit(self.watchdog.is_some(), features::WATCHDOG)
    }
}

impl Policy {
    /// What a VM may use of the security services; nothing if the policy does not know it.
    #[must_use]
    pub fn services(&self, vm: EndpointId) -> Services {
        let at = self.vm_index(vm).map(usize::from);
        at.and_then(|at| self.services.get(at)).copied().unwrap_or(Services::NONE)
    }

    /// Gives a VM its share of the security services.
    ///
    /// # Errors
    /// If the policy does not know the VM, or gives more than there can be.
    pub fn set_services(&mut self, vm: EndpointId, given: Services) -> Result<(), PolicyError> {
        let at = self.vm_index(vm).ok_or(PolicyError::UnknownVm(vm))?;
        if given.counters > MAX_OF_A_VM {
            return Err(PolicyError::TooMany("counters"));
        }
        if given.key_slots > MAX_OF_A_VM {
            return Err(PolicyError::TooMany("key-slots"));
        }
        // Keys of a VM without a name of its own would be those of any VM that gets its id.
        if given.key_slots > 0 && given.uuid == [0; 16] {
            return Err(PolicyError::BadProperty("uuid"));
        }
        if given.watchdog.is_some_and(|w| w.shortest_ms == 0 || w.shortest_ms > w.longest_ms) {
            return Err(PolicyError::BadProperty("watchdog"));
        }
        let place = self.services.get_mut(usize::from(at)).ok_or(PolicyError::TooMany("vm"))?;
        *place = given;
        Ok(())
    }

    /// Reads the node `services` of a VM.
    pub(super) fn read_services(
        &mut self,
        vm: EndpointId,
        node: &FdtNode<'_>,
    ) -> Result<(), PolicyError> {
        const KNOWN: [&str; 10] = [
            "uuid",
            "entropy-bytes-per-second",
            "counters",
            "rpmb",
            "key-slots",
            "store-writes-per-second",
            "signatures-per-second",
            "watchdog-ms",
            "watchdog-action",
            "watchdog-may-stop",
        ];
        only(node, &KNOWN)?;
        if node.children().next().is_some() || self.services(vm) != Services::NONE {
            return Err(PolicyError::Unexpected);
        }
        let has = |name: &str| node.properties().any(|p| p.name() == name);
        let one = |name: &'static str| {
            if has(name) { short(need(node, name)?, name) } else { Ok(0) }
        };
        let few = |name: &'static str| {
            u8::try_from(one(name)?).map_err(|_| PolicyError::BadProperty(name))
        };
        let given = Services {
            uuid: if has("uuid") { uuid(need(node, "uuid")?)? } else { [0; 16] },
            entropy_bytes_per_second: u32::from(one("entropy-bytes-per-second")?),
            counters: few("counters")?,
            rpmb: has("rpmb"),
            key_slots: few("key-slots")?,
            store_writes_per_second: one("store-writes-per-second")?,
            signatures_per_second: one("signatures-per-second")?,
            watchdog: watchdog(node, has("watchdog-may-stop"))?,
        };
        self.set_services(vm, given)
    }
}

/// Four cells, each little-endian as in FF-A manifests, give the text order.
fn uuid(value: &[u8]) -> Result<[u8; 16], PolicyError> {
    let words: [u32; 4] = cells(value, "uuid")?;
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    Ok(bytes)
}

fn watchdog(node: &FdtNode<'_>, may_stop: bool) -> Result<Option<WatchdogRule>, PolicyError> {
    let names = ["watchdog-ms", "watchdog-action", "watchdog-may-stop"];
    if !node.properties().any(|p| names.contains(&p.name())) {
        return Ok(None);
    }
    let [shortest_ms, longest_ms] = cells(need(node, "watchdog-ms")?, "watchdog-ms")?;
    let action = match need(node, "watchdog-action")? {
        b"restart\0" => WatchdogAction::RestartVm,
        b"reset\0" => WatchdogAction::ResetSystem,
        _ => return Err(PolicyError::BadProperty("watchdog-action")),
    };
    Ok(Some(WatchdogRule { action, shortest_ms, longest_ms, may_stop }))
}

/// Of every place in the policy's table of VMs: nothing.
pub(super) const NOBODY: [Services; MAX_VMS] = [Services::NONE; MAX_VMS];
