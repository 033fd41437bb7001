//! Owns whether the parts of a description agree: memory, ids, interrupts, names. Never writes a
//! manifest. What is wrong is told on the line that is wrong.

use super::platform::{Domain, Platform, Range};
use super::source::{Node, Value, Wrong};
use causeway_memshare::policy::VM_ID_LIMIT;

/// Bytes of the store of descriptors in TF-A's EL3 SPMC, on every platform here.
const STORE_BYTES: u32 = 64 << 10;

pub(super) fn check(platform: &Platform) -> Result<(), Wrong> {
    memories(platform)?;
    ids(platform)?;
    devices(platform)?;
    store(platform)?;
    for vm in &platform.vms {
        vm_rules(platform, vm)?;
    }
    policy(platform)
}

/// Every domain lies wholly in memory of its world, and nothing lies in two hands.
fn memories(platform: &Platform) -> Result<(), Wrong> {
    let mut places: Vec<(String, &Range)> = Vec::new();
    let mut claim = |name: String, range| claimed(&mut places, name, range);
    for device in &platform.devices {
        if let Some(range) = &device.range {
            claim(device.name.clone(), range)?;
        }
    }
    for domain in platform.vms.iter().chain(&platform.hypervisor) {
        claim(domain.name.clone(), &domain.memory)?;
        inside(platform, &domain.memory, false, &domain.name)?;
    }
    let partition = &platform.partition.memory;
    claim("partition".to_owned(), partition)?;
    inside(platform, partition, true, "the partition")?;
    for (at, memory) in platform.memories.iter().enumerate() {
        let mut others = platform.memories.iter().take(at);
        if others.any(|other| other.range.overlaps(&memory.range)) {
            return Err(Wrong::at(memory.range.line, "this memory overlaps another memory"));
        }
    }
    Ok(())
}

fn claimed<'a>(
    places: &mut Vec<(String, &'a Range)>,
    name: String,
    range: &'a Range,
) -> Result<(), Wrong> {
    if let Some((other, earlier)) = places.iter().find(|(_, earlier)| earlier.overlaps(range)) {
        let what = format!("{name} overlaps {other} (line {})", earlier.line);
        return Err(Wrong::at(range.line, what));
    }
    places.push((name, range));
    Ok(())
}

fn inside(platform: &Platform, range: &Range, secure: bool, name: &str) -> Result<(), Wrong> {
    let mut all = platform.memories.iter().filter(|memory| memory.secure == secure);
    if all.any(|memory| memory.range.contains(range)) {
        return Ok(());
    }
    let world = if secure { "secure" } else { "normal-world" };
    Err(Wrong::at(range.line, format!("the memory of {name} lies outside {world} RAM")))
}

fn ids(platform: &Platform) -> Result<(), Wrong> {
    let mut seen: Vec<u16> = Vec::new();
    for domain in platform.hypervisor.iter().chain(&platform.vms) {
        if domain.id & 0x8000 != 0 {
            let what = format!("{} has an id of the secure world (bit 15)", domain.name);
            return Err(Wrong::at(domain.line, what));
        }
        if seen.contains(&domain.id) {
            return Err(Wrong::at(domain.line, format!("id {} is taken", domain.id)));
        }
        seen.push(domain.id);
    }
    if let Some(vm) = platform.vms.iter().find(|vm| vm.id >= VM_ID_LIMIT) {
        let what = format!("{} needs an id below {VM_ID_LIMIT}", vm.name);
        return Err(Wrong::at(vm.line, what));
    }
    let mut labels: Vec<&str> = Vec::new();
    let domains = platform.hypervisor.iter().chain(&platform.vms);
    let of_domains = domains.map(|domain| (domain.label.as_deref(), domain.line));
    let of_devices = platform.devices.iter().map(|device| (device.label.as_deref(), device.line));
    for (label, line) in of_domains.chain(of_devices) {
        let Some(label) = label else { continue };
        if labels.contains(&label) {
            return Err(Wrong::at(line, format!("the label `{label}` is taken")));
        }
        labels.push(label);
    }
    if platform.partition.id & 0x8000 == 0 {
        let line = platform.partition.policy.line;
        return Err(Wrong::at(line, "the partition's id needs bit 15: it is of the secure world"));
    }
    Ok(())
}

fn devices(platform: &Platform) -> Result<(), Wrong> {
    for (at, device) in platform.devices.iter().enumerate() {
        let Some(intid) = device.intid else { continue };
        let earlier = platform.devices.iter().take(at).find(|other| other.intid == Some(intid));
        if let Some(other) = earlier {
            let what = format!("interrupt {intid} is that of {} (line {})", other.name, other.line);
            return Err(Wrong::at(device.line, what));
        }
    }
    Ok(())
}

fn store(platform: &Platform) -> Result<(), Wrong> {
    let Some(hypervisor) = &platform.hypervisor else { return Ok(()) };
    let quotas = &platform.store_quotas;
    let sum = quotas.iter().try_fold(0u32, |sum, quota| sum.checked_add(*quota));
    if quotas.len() != platform.vms.len() {
        return Err(Wrong::at(hypervisor.line, "`store-quotas` has a number for each VM"));
    }
    if sum.is_none_or(|sum| sum > STORE_BYTES) {
        let what = format!("`store-quotas` promise more than the SPMC's {STORE_BYTES} bytes");
        return Err(Wrong::at(hypervisor.line, what));
    }
    Ok(())
}

fn vm_rules(platform: &Platform, vm: &Domain) -> Result<(), Wrong> {
    let pages = vm.memory.bytes / 4096;
    for rule in &vm.rules {
        if rule.name == "services" {
            unlike_others(platform, vm, rule)?;
            continue;
        }
        if !rule.name.starts_with("grant-") {
            let what = format!("`{}` is no node of a VM (there are: grant-*, services)", rule.name);
            return Err(Wrong::at(rule.line, what));
        }
        rule.only(&["peer", "kinds", "permission", "max-area-pages", "quota"])?;
        if rule.property("peer").is_some() && vm_of(platform, rule, "peer")?.id == vm.id {
            return Err(rule.wrong("peer", "is the VM itself"));
        }
        let most = rule.number("max-area-pages")?;
        let quota = rule.numbers("quota")?;
        let [grants, quota_pages, ranges] = quota.as_slice() else {
            return Err(rule.wrong("quota", "must be grants, pages and ranges"));
        };
        if u64::from(most) > pages {
            return Err(rule.wrong("max-area-pages", &format!("is more than its VM has ({pages})")));
        }
        if most > *quota_pages {
            return Err(rule.wrong("quota", "has fewer pages than one area may have"));
        }
        if ranges < grants {
            return Err(
                rule.wrong("quota", "has fewer ranges than grants: each grant has one at least")
            );
        }
    }
    Ok(())
}

/// A VM's UUID is its own: keys are bound to it.
fn unlike_others(platform: &Platform, vm: &Domain, services: &Node) -> Result<(), Wrong> {
    if services.property("uuid").is_none() {
        return Ok(());
    }
    let uuid = services.uuid("uuid")?;
    let earlier = platform.vms.iter().take_while(|other| other.id != vm.id);
    let mut rules = earlier.flat_map(|other| &other.rules).filter(|rule| rule.name == "services");
    if rules.any(|other| other.uuid("uuid").is_ok_and(|theirs| theirs == uuid)) {
        return Err(services.wrong("uuid", "is that of another VM"));
    }
    Ok(())
}

fn policy(platform: &Platform) -> Result<(), Wrong> {
    let policy = &platform.partition.policy;
    policy.only(&[
        "hypervisor",
        "hypervisor-guards-reclaim",
        "unmap-deadline-ms",
        "ring-limit",
        "auditor",
        "sealer",
    ])?;
    for name in ["auditor", "sealer"] {
        if policy.property(name).is_some() {
            vm_of(platform, policy, name)?;
        }
    }
    if policy.property("hypervisor").is_some() {
        let label = reference(policy, "hypervisor")?;
        if platform.hypervisor.as_ref().and_then(|it| it.label.as_deref()) != Some(label.as_str()) {
            return Err(
                policy.wrong("hypervisor", "names no domain that is a \"causeway,hypervisor\"")
            );
        }
    }
    let mut intids = Vec::new();
    let mut numbers = Vec::new();
    for node in &policy.children {
        match node.name.split('-').next().unwrap_or_default() {
            "copy" => {
                node.only(&["from", "to", "joins"])?;
                if vm_of(platform, node, "from")?.id == vm_of(platform, node, "to")?.id {
                    return Err(node.wrong("to", "is the VM that the bytes come from"));
                }
            }
            "interrupt" => interrupt(platform, node, &mut intids)?,
            "link" => {
                node.only(&["driver", "driver-device", "backend", "backend-device"])?;
                let driver = vm_of(platform, node, "driver")?.id;
                if node.property("backend").is_some()
                    && vm_of(platform, node, "backend")?.id == driver
                {
                    return Err(node.wrong("backend", "is the driver's own VM"));
                }
                let number = (driver, node.number("driver-device")?);
                if numbers.contains(&number) {
                    return Err(
                        node.wrong("driver-device", "is a number that this driver has already")
                    );
                }
                numbers.push(number);
            }
            _ => {
                let what =
                    format!("`{}` is no node of a policy (copy-*, interrupt-*, link-*)", node.name);
                return Err(Wrong::at(node.line, what));
            }
        }
    }
    Ok(())
}

fn interrupt(platform: &Platform, node: &Node, bound: &mut Vec<u32>) -> Result<(), Wrong> {
    node.only(&["device", "trigger", "vm", "also", "vm-arms", "limit"])?;
    let intid = intid(platform, node)?;
    if bound.contains(&intid) {
        return Err(node.wrong("device", &format!("has interrupt {intid}, which is bound already")));
    }
    bound.push(intid);
    let vm = match node.property("vm") {
        Some(_) => Some(vm_of(platform, node, "vm")?.id),
        None => None,
    };
    if node.property("also").is_some() {
        let also = vms_of(platform, node, "also")?;
        if also.iter().any(|other| Some(other.id) == vm) {
            return Err(node.wrong("also", "names the VM that has the source from the start"));
        }
    }
    Ok(())
}

/// The interrupt of the device that a source names.
pub(super) fn intid(platform: &Platform, node: &Node) -> Result<u32, Wrong> {
    let label = reference(node, "device")?;
    let device = platform
        .device(&label)
        .ok_or_else(|| node.wrong("device", &format!("names `{label}`, which is no device")))?;
    device.intid.ok_or_else(|| node.wrong("device", "names a device without `interrupts`"))
}

/// The one VM that a property names.
pub(super) fn vm_of<'a>(
    platform: &'a Platform,
    node: &Node,
    name: &str,
) -> Result<&'a Domain, Wrong> {
    match vms_of(platform, node, name)?.as_slice() {
        [one] => Ok(one),
        _ => Err(node.wrong(name, "must be one &label")),
    }
}

/// The VMs that a property names.
pub(super) fn vms_of<'a>(
    platform: &'a Platform,
    node: &Node,
    name: &str,
) -> Result<Vec<&'a Domain>, Wrong> {
    references(node, name)?
        .iter()
        .map(|label| {
            let vm = platform.domain(label).filter(|domain| platform.vms.contains(domain));
            vm.ok_or_else(|| {
                node.wrong(name, &format!("names `{label}`, which is no VM of this platform"))
            })
        })
        .collect()
}

fn references(node: &Node, name: &str) -> Result<Vec<String>, Wrong> {
    let values = node.property(name).map(|property| property.values.as_slice());
    let labels: Option<Vec<String>> = values
        .unwrap_or_default()
        .iter()
        .map(|value| match value {
            Value::Reference(label) => Some(label.clone()),
            Value::Text(_) | Value::Number(_) => None,
        })
        .collect();
    labels.filter(|list| !list.is_empty()).ok_or_else(|| node.wrong(name, "must be <&label>"))
}

fn reference(node: &Node, name: &str) -> Result<String, Wrong> {
    match references(node, name)?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(node.wrong(name, "must be one &label")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Platform, check};
    use crate::manifests::source::{Wrong, read};

    const TEXT: &str = include_str!("../../../manifests/platform/qemu-virt.dts");

    fn checked(text: &str) -> Result<Platform, Wrong> {
        let platform = Platform::read(&read(text)?)?;
        check(&platform)?;
        Ok(platform)
    }

    /// The line of the text's first difference.
    fn line_of(changed: &str) -> usize {
        let pairs = TEXT.lines().zip(changed.lines());
        pairs.take_while(|(before, after)| before == after).count() + 1
    }

    #[test]
    fn the_shipped_descriptions_agree_with_themselves() {
        for text in [
            TEXT,
            include_str!("../../../manifests/platform/qemu-virt-minimal.dts"),
            include_str!("../../../manifests/platform/fvp-base-revc.dts"),
        ] {
            assert_eq!(checked(text).err(), None);
        }
    }

    #[test]
    fn each_contradiction_is_refused_on_its_line() {
        for (from, to, part) in [
            ("0x0 0x74000000 0x0 0x04000000", "0x0 0x70000000 0x0 0x04000000", "overlaps vm-2"),
            (
                "0x0 0x80000000 0x0 0x28000000",
                "0x0 0x30000000 0x0 0x10000000",
                "outside normal-world",
            ),
            ("0x0 0x0e100000 0x0 0x00f00000", "0x0 0x0e100000 0x0 0x01000000", "outside secure"),
            ("0x0 0x090b0000 0x0 0x1000", "0x0 0x09040000 0x0 0x1000", "overlaps uart"),
            ("0x0 0x60000000 0x0 0x01000000", "0x0 0x60000000 0x0 0x01000800", "whole pages"),
            ("peer = <&vm3>", "peer = <&vm4>", "no VM of this platform"),
            ("peer = <&vm3>", "peer = <&vm2>", "the VM itself"),
            ("peer = <&vm3>", "peer = <&hypervisor>", "no VM of this platform"),
            ("auditor = <&vm1>", "auditor = <1>", "must be <&label>"),
            ("device = <&secure_uart>", "device = <&secure_timer>", "bound already"),
            ("device = <&secure_uart>", "device = <&clock>", "no device"),
            ("also = <&vm2 &vm3>", "also = <&vm2 &vm1>", "from the start"),
            ("max-area-pages = <131072>", "max-area-pages = <300000>", "more than its VM has"),
            ("quota = <546 163840 640>", "quota = <546 1000 640>", "fewer pages"),
            ("quota = <546 163840 640>", "quota = <546 163840 500>", "fewer ranges"),
            ("4c5f-9a3e-000000000002", "4c5f-9a3e-000000000001", "another VM"),
            ("sealer = <&vm1>", "seeler = <&vm1>", "no property"),
            ("link-6 {", "lync-6 {", "no node of a policy"),
            ("to = <&vm3>", "to = <&vm2>", "come from"),
            ("driver-device = <4>", "driver-device = <3>", "has already"),
            ("hypervisor = <&hypervisor>", "hypervisor = <&vm1>", "causeway,hypervisor"),
        ] {
            let changed = TEXT.replacen(from, to, 1);
            assert_ne!(changed, TEXT, "{from}");
            let wrong = checked(&changed).expect_err(to);
            assert!(wrong.what.contains(part), "{to}: {}", wrong.what);
            assert_eq!(wrong.line, line_of(&changed), "{to}: {}", wrong.what);
        }
    }

    #[test]
    fn contradictions_between_lines_are_told_at_the_later_one() {
        for (from, to, part) in [
            ("id = <3>", "id = <2>", "is taken"),
            ("id = <3>", "id = <0x8003>", "secure world"),
            ("id = <3>", "id = <64>", "needs an id below 64"),
            ("id = <0x8001>", "id = <1>", "bit 15"),
            ("interrupts = <32>", "interrupts = <40>", "is that of uart"),
            ("<55296 8192 2048>", "<55296 8192>", "each VM"),
            ("<55296 8192 2048>", "<55296 8192 2049>", "more than"),
            ("vm3: vm-3", "vm2: vm-3", "label"),
        ] {
            let wrong = checked(&TEXT.replacen(from, to, 1)).expect_err(to);
            assert!(wrong.what.contains(part) && wrong.line > 20, "{to}: {wrong:?}");
        }
    }
}
