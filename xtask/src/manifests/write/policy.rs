//! Owns the node `causeway-policy`, as docs/policy.md has it: labels become ids, devices become INTIDs,
//! the RAM windows are the VMs' memory. Never adds a right.

use super::super::check::{intid, vm_of, vms_of};
use super::super::platform::Platform;
use super::super::source::{Node, Property, Value, Wrong};
use super::{uuid_cells, wide};

pub(super) fn node(platform: &Platform) -> Result<String, Wrong> {
    let policy = &platform.partition.policy;
    let mut text = String::from("\tcauseway-policy {\n\t\tcompatible = \"causeway,policy-1\";\n");
    for property in &policy.properties {
        let value = match property.name.as_str() {
            "hypervisor" => {
                let id = platform.hypervisor.as_ref().map_or(0, |hypervisor| hypervisor.id);
                text.push_str(&format!("\t\thypervisor-id = <{id}>;\n"));
                continue;
            }
            "auditor" | "sealer" => format!(" = <{}>", vm_of(platform, policy, &property.name)?.id),
            _ => plain(property),
        };
        text.push_str(&format!("\t\t{}{value};\n", property.name));
    }
    text.push_str(&windows(platform));
    for vm in &platform.vms {
        text.push_str(&format!("\n\t\tvm-{0} {{\n\t\t\tid = <{0}>;\n", vm.id));
        for rule in &vm.rules {
            text.push_str(&rule_of_vm(platform, rule)?);
        }
        text.push_str("\t\t};\n");
    }
    for node in &policy.children {
        text.push('\n');
        text.push_str(&rule_between(platform, node)?);
    }
    Ok(text + "\t};\n")
}

fn windows(platform: &Platform) -> String {
    let mut memories: Vec<_> = platform.vms.iter().map(|vm| &vm.memory).collect();
    memories.sort_by_key(|memory| memory.start);
    let windows: Vec<String> = memories
        .iter()
        .map(|memory| format!("<{} {}>", wide(memory.start), wide(memory.bytes)))
        .collect();
    format!("\t\tram-windows = {};\n", windows.join(",\n\t\t\t      "))
}

fn rule_of_vm(platform: &Platform, rule: &Node) -> Result<String, Wrong> {
    let mut text = format!("\t\t\t{} {{\n", rule.name);
    for property in &rule.properties {
        let value = match property.name.as_str() {
            "peer" => format!(" = <{}>", vm_of(platform, rule, "peer")?.id),
            "uuid" => format!(" = {}", uuid_cells(&rule.uuid("uuid")?)),
            _ => plain(property),
        };
        text.push_str(&format!("\t\t\t\t{}{value};\n", property.name));
    }
    Ok(text + "\t\t\t};\n")
}

fn rule_between(platform: &Platform, node: &Node) -> Result<String, Wrong> {
    let mut text = format!("\t\t{} {{\n", node.name);
    for property in &node.properties {
        let name = property.name.as_str();
        let line = match name {
            "device" => format!("intid = <{}>", intid(platform, node)?),
            "from" | "to" | "vm" | "also" | "driver" | "backend" => {
                let ids: Vec<String> =
                    vms_of(platform, node, name)?.iter().map(|vm| vm.id.to_string()).collect();
                format!("{name} = <{}>", ids.join(" "))
            }
            _ => format!("{name}{}", plain(property)),
        };
        text.push_str(&format!("\t\t\t{line};\n"));
    }
    Ok(text + "\t\t};\n")
}

/// A property's value as it stands in the description.
fn plain(property: &Property) -> String {
    let mut texts = Vec::new();
    let mut cells = Vec::new();
    for value in &property.values {
        match value {
            Value::Text(text) => texts.push(format!("\"{text}\"")),
            Value::Number(number) => cells.push(number.to_string()),
            Value::Reference(_) => {}
        }
    }
    if !cells.is_empty() {
        texts.push(format!("<{}>", cells.join(" ")));
    }
    if texts.is_empty() { String::new() } else { format!(" = {}", texts.join(", ")) }
}
