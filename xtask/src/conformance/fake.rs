//! Owns the suite in this process: the real partition code on the fake SPMC's personalities, under the
//! same hypervisor as on the bare machine. Never boots, and never stands for a real SPMC.

use crate::outcome::{Stop, files};
use crate::paths;
use causeway_conformance::{CASES, Done, Hypervisor, Machine, run};
pub(super) use causeway_fake_spmc::Personality;
use causeway_fake_spmc::{self as fake, Floor, layout, range};
use causeway_ffa::{EndpointId, Regs};
use causeway_memshare::Policy;
use std::sync::Arc;

/// The policy of the suite, as `cargo xtask manifests` compiled it.
const MANIFEST: &str = "manifests/conformance/el3.dtb";
/// Pages that a VM's bank has: the cases use the first 512 of each.
const PAGES: u32 = 512;
/// Where the RAM of each VM begins, as the manifest says, and RAM that no window names.
const RAM: [u64; 3] = [0x8000_0000, 0x8800_0000, 0x9000_0000];
const NOBODYS: u64 = 0xa000_0000;

/// The personalities on which the partition at S-EL1 runs, by the names in tables. OP-TEE's is not among
/// them: the code for OP-TEE is the image at S-EL0, which has no form for a host yet.
pub(super) const PLAYED: [(&str, Personality); 2] =
    [("fake-el3", Personality::EL3), ("fake-hafnium", Personality::HAFNIUM)];

/// The floor of a played machine.
struct Played {
    floor: Floor,
    machine: Arc<fake::Machine>,
}

impl Machine for Played {
    fn smc(&mut self, regs: &Regs) -> Regs {
        self.floor.call(regs)
    }

    fn message_pages(&self) -> (u64, u64) {
        let tx = layout::hypervisor_ram().start().get();
        (tx, tx + 4096)
    }

    fn write_tx(&mut self, bytes: &[u8]) {
        self.write_ram(self.message_pages().0, bytes);
    }

    fn read_rx(&mut self, into: &mut [u8]) {
        self.read_ram(self.message_pages().1, into);
    }

    fn read_ram(&mut self, address: u64, into: &mut [u8]) {
        let read = self.machine.ram().read(address, into);
        assert!(read.is_some(), "the suite's machine has no RAM at {address:#x}");
    }

    fn write_ram(&mut self, address: u64, from: &[u8]) {
        let written = self.machine.ram().write(address, from);
        assert!(written.is_some(), "the suite's machine has no RAM at {address:#x}");
    }
}

/// The suite's policy.
pub(super) fn policy() -> Result<Policy, Stop> {
    let blob = files::read(&paths::root().join(MANIFEST))?;
    Policy::from_manifest(&blob).map_err(|error| Stop::failed(format!("{MANIFEST}: {error:?}")))
}

/// A machine with the suite's VMs on it.
fn machine() -> fake::Machine {
    let nobodys = range(NOBODYS, PAGES);
    let rams = RAM.map(|start| range(start, PAGES));
    let buffers = [layout::partition_ram(), layout::hypervisor_ram()];
    let banks: Vec<_> = buffers.into_iter().chain(rams).chain([nobodys]).collect();
    let machine = fake::Machine::new(&banks);
    machine.pages(|pages| {
        for (vm, ram) in (1..).map(EndpointId::from_raw).zip(rams) {
            pages.give(vm, ram);
        }
        pages.give(EndpointId::from_raw(0), nobodys);
    });
    machine
}

/// Runs every case on a personality; the lines are those of the driver on the bare machine.
pub(super) fn lines(personality: Personality) -> Result<Vec<String>, Stop> {
    let name = personality.quirks.name;
    let machine = Arc::new(machine());
    let floor = Floor::boot(personality, machine.clone(), policy()?)
        .map_err(|error| Stop::failed(format!("no partition on {name}: {error:?}")))?;
    let mut world = Hypervisor::connect(Played { floor, machine: machine.clone() })
        .ok_or_else(|| Stop::failed(format!("the partition is not found on {name}")))?;
    let mut lines = Vec::new();
    for case in CASES {
        lines.push(match run(case, &mut world) {
            Ok(Done::Passed) => format!("[conf] CASE name={} result=pass", case.name),
            Ok(Done::NotApplicable) => {
                format!("[conf] CASE name={} result=not_applicable", case.name)
            }
            Err(failure) => format!("[conf] CASE name={} result=fail {failure}", case.name),
        });
    }
    if let Some(crash) = world.machine().floor.spmc().crash() {
        return Err(Stop::failed(format!("{name} crashed: {crash}")));
    }
    if let Some(violation) = machine.pages(|pages| pages.violations().first().copied()) {
        return Err(Stop::failed(format!(
            "on {name} a rule of ownership was broken: {violation:?}"
        )));
    }
    lines.push("[conf] END status=ok".to_owned());
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::PLAYED;
    use crate::conformance::{played, verdict};

    #[test]
    fn every_case_holds_on_the_played_spmcs_but_for_named_limits() {
        for (name, personality) in PLAYED {
            let ran = played(name, personality).expect(name);
            assert_eq!(verdict::judge(&ran.rows), Ok(()), "{name}: {:?}", ran.rows);
        }
    }
}
