//! Owns the partition's manifest for OP-TEE, without the memory regions of an image. Never grants what
//! the description does not: what OP-TEE does not have is left out.

use super::super::platform::{Domain, Platform};
use super::super::source::{Node, Property, Value, Wrong};
use super::{head, policy, uuid_cells};
use crate::text;

/// The manifest. S-EL0, one context, calls by direct messages; foreign interrupts wait, so that the
/// partition is never pre-empted; no VM availability messages, whose answers stop OP-TEE 4.10
/// (docs/spmc-facts.md, OPTEE-VM-MESSAGES).
pub(in super::super) fn partition(platform: &Platform) -> Result<String, Wrong> {
    let about = "The partition's manifest for OP-TEE as SPMC, at S-EL0. The memory regions of the image are \
                 appended when it is built.";
    let partition = &platform.partition;
    Ok(head(platform, about)
        + &format!(
            "/ {{\n\
             \tcompatible = \"arm,ffa-manifest-1.0\";\n\
             \t#address-cells = <2>;\n\
             \t#size-cells = <1>;\n\
             \tdescription = \"Causeway\";\n\
             \tffa-version = <0x00010001>;\n\
             \tid = <{:#x}>;\n\
             \t/* {}, each cell little-endian */\n\
             \tuuid = {};\n\
             \tmessaging-method = <1>;\n\
             \texception-level = <1>;\n\
             \texecution-state = <0>;\n\
             \texecution-ctx-count = <1>;\n\
             \txlat-granule = <0>;\n\
             \tboot-order = <0>;\n\
             \telf-format = <0>;\n\
             \tgp-register-num = <0>;\n\
             \tns-interrupts-action = <0>;\n\
             \tboot-info {{\n\
             \t\tcompatible = \"arm,ffa-manifest-boot-info\";\n\
             \t\tffa_manifest;\n\
             \t}};\n\n",
            partition.id,
            text::uuid(&partition.uuid),
            uuid_cells(&partition.uuid),
        )
        + &policy::node(&what_optee_has(platform))?
        + "};\n")
}

/// The description with what OP-TEE has: areas for the partition alone, shares, counted copies.
fn what_optee_has(platform: &Platform) -> Platform {
    let mut left = platform.clone();
    for Domain { rules, .. } in &mut left.vms {
        rules.retain(|rule| rule.name == "grant-partition");
        for rule in rules {
            only_shares(rule);
        }
    }
    left.partition.policy.children.retain(|node| node.name.starts_with("copy-"));
    left
}

fn only_shares(rule: &mut Node) {
    for Property { name, values, .. } in &mut rule.properties {
        if name == "kinds" {
            values.retain(|value| matches!(value, Value::Text(kind) if kind == "share"));
        }
    }
}
