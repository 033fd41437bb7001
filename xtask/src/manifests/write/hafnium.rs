//! Owns Hafnium's set for one platform: the partition's manifest, the SPMC's, and TF-A's layout file. They
//! repeat the same addresses and names, which all come from the description here. Never builds anything.
//! Source: Hafnium's documentation of its manifests, TF-A 2.12's `sptool`.

use super::super::platform::{Device, Platform};
use super::super::source::Wrong;
use super::{head, policy, uuid_cells, wide};
use crate::text;

/// What Hafnium itself takes at the beginning of secure RAM.
const HAFNIUM_BYTES: u64 = 0x20_0000;
/// Where the image lies in the partition's package, behind its manifest.
const IMAGE_OFFSET: u64 = 0x4000;
/// The partition's name in the package, the SPMC's manifest and the layout.
const NAME: &str = "causeway";

/// Where the partition's package is loaded.
fn load_address(platform: &Platform) -> u64 {
    platform.partition.memory.start.saturating_add(HAFNIUM_BYTES)
}

/// What is left for the partition.
fn room(platform: &Platform) -> u64 {
    platform.partition.memory.bytes.saturating_sub(HAFNIUM_BYTES)
}

/// The partition's manifest: FF-A's part, what it needs of the machine, and the policy.
pub(in crate::manifests) fn partition(platform: &Platform) -> Result<String, Wrong> {
    let partition = &platform.partition;
    let mut text = head(
        platform,
        "The partition's manifest for Hafnium (S-EL2). Not run here unless HAFNIUM_BIN is set.",
    );
    text += &format!(
        "/ {{\n\
         \tcompatible = \"arm,ffa-manifest-1.0\";\n\
         \t#address-cells = <2>;\n\
         \t#size-cells = <1>;\n\
         \tffa-version = <0x00010001>;\n\
         \tuuid = {};\n\
         \texecution-ctx-count = <{}>;\n\
         \texception-level = <2>;\n\
         \texecution-state = <0>;\n\
         \tload-address = <{:#x}>;\n\
         \tentrypoint-offset = <{IMAGE_OFFSET:#x}>;\n\
         \txlat-granule = <0>;\n\
         \tboot-order = <0>;\n\
         \tgp-register-num = <0>;\n\
         \tmessaging-method = <0x7>;\n\
         \tnotification-support;\n\
         \tns-interrupts-action = <0>;\n\
         \tpower-management-messages = <0x7>;\n\
         \tvm-availability-messages = <0x3>;\n\n\
         \tboot-info {{\n\t\tcompatible = \"arm,ffa-manifest-boot-info\";\n\t\tffa_manifest;\n\t}};\n\n",
        uuid_cells(&partition.uuid),
        platform.contexts.min(8),
        load_address(platform),
    );
    text += "\tdevice-regions {\n\t\tcompatible = \"arm,ffa-manifest-device-regions\";\n";
    for device in platform.devices.iter().filter(|device| is_ours(platform, device)) {
        text += &region(device);
    }
    text += "\t};\n\n";
    Ok(text + &policy::node(platform)? + "};\n")
}

/// Whether the partition drives the device: it is secure, or a source of its policy.
fn is_ours(platform: &Platform, device: &Device) -> bool {
    let named = platform.partition.policy.children.iter().any(|node| {
        super::super::check::intid(platform, node).is_ok_and(|intid| device.intid == Some(intid))
    });
    device.range.is_some() && device.intid.is_some() && (named || device.secure)
}

fn region(device: &Device) -> String {
    let Some(range) = &device.range else { return String::new() };
    let name = device.name.split('@').next().unwrap_or_default();
    let interrupts = device.intid.map_or(String::new(), |intid| {
        // 0x900: secure, level, priority as the SPMC gives it.
        format!("\t\t\tinterrupts = <{intid} 0x900>;\n")
    });
    let security = if device.secure { "" } else { "\t\t\t/* the normal world reaches it too */\n" };
    format!(
        "\t\t{name}-{:x} {{\n{security}\t\t\tbase-address = <{}>;\n\t\t\tpages-count = <{}>;\n\
         \t\t\tattributes = <0x3>; /* read-write */\n{interrupts}\t\t}};\n",
        range.start,
        wide(range.start),
        range.bytes / 4096,
    )
}

/// The SPMC's own manifest.
pub(in crate::manifests) fn spmc(platform: &Platform) -> String {
    let mut text = head(
        platform,
        "Hafnium's own manifest (TOS_FW_CONFIG). Not run here unless HAFNIUM_BIN is set.",
    );
    text += &format!(
        "/ {{\n\
         \tcompatible = \"arm,ffa-core-manifest-1.0\";\n\
         \t#address-cells = <2>;\n\
         \t#size-cells = <2>;\n\n\
         \tattribute {{\n\
         \t\tspmc_id = <0x8000>;\n\
         \t\tmaj_ver = <0x1>;\n\
         \t\tmin_ver = <0x1>;\n\
         \t\texec_state = <0x0>;\n\
         \t\tload_address = <{0}>;\n\
         \t\tentrypoint = <{0}>;\n\
         \t\tbinary_size = <{HAFNIUM_BYTES:#x}>;\n\
         \t}};\n\n\
         \thypervisor {{\n\
         \t\tcompatible = \"hafnium,hafnium\";\n\
         \t\tvm1 {{\n\
         \t\t\tis_ffa_partition;\n\
         \t\t\tdebug_name = \"{NAME}\";\n\
         \t\t\tload_address = <{1:#x}>;\n\
         \t\t\tvcpu_count = <{2}>;\n\
         \t\t\tmem_size = <{3:#x}>;\n\
         \t\t}};\n\
         \t}};\n\n",
        wide(platform.partition.memory.start),
        load_address(platform),
        platform.contexts.min(8),
        room(platform),
    );
    text += "\tcpus {\n\t\t#address-cells = <2>;\n\t\t#size-cells = <0>;\n";
    for cpu in 0..platform.contexts.min(8) {
        text += &format!(
            "\t\tcpu@{cpu:x} {{\n\t\t\tdevice_type = \"cpu\";\n\t\t\treg = <0x0 {cpu:#x}>;\n\t\t}};\n"
        );
    }
    text += "\t};\n\n";
    for memory in platform.memories.iter().filter(|memory| !memory.secure) {
        text += &memory_node(memory.range.start, memory.range.bytes, "ns-memory");
    }
    // Of secure RAM only what partitions may have: not the firmware's, nor Hafnium's own.
    text += &memory_node(load_address(platform), room(platform), "memory");
    let used = |device: &&Device| device.secure || is_ours(platform, device);
    for device in platform.devices.iter().filter(used) {
        if let Some(range) = &device.range {
            text += &format!(
                "\tdevice-memory@{:x} {{\n\t\tdevice_type = \"device-memory\";\n\t\treg = <{} {}>;\n\t}};\n",
                range.start,
                wide(range.start),
                wide(range.bytes),
            );
        }
    }
    text + "};\n"
}

fn memory_node(start: u64, bytes: u64, kind: &str) -> String {
    format!(
        "\tmemory@{start:x} {{\n\t\tdevice_type = \"{kind}\";\n\t\treg = <{} {}>;\n\t}};\n",
        wide(start),
        wide(bytes),
    )
}

/// What BL2 loads beside Hafnium (TB_FW_CONFIG): the partition's package, and where to.
pub(in crate::manifests) fn boot(platform: &Platform) -> String {
    head(platform, "What TF-A's BL2 loads beside Hafnium (TB_FW_CONFIG): the partition's package.")
        + &format!(
            "/ {{\n\
         \tcompatible = \"arm,tb_fw\";\n\n\
         \tsecure-partitions {{\n\
         \t\tcompatible = \"arm,sp\";\n\
         \t\t{NAME} {{\n\
         \t\t\tuuid = \"{}\";\n\
         \t\t\tload-address = <{:#x}>;\n\
         \t\t}};\n\
         \t}};\n\
         }};\n",
            text::uuid(&platform.partition.uuid),
            load_address(platform),
        )
}

/// The layout file that TF-A's build reads (SP_LAYOUT_FILE). JSON has no comments.
pub(in crate::manifests) fn layout(platform: &Platform) -> String {
    let layout = serde_json::json!({
        NAME: {
            "image": { "file": "sp.bin", "offset": format!("{IMAGE_OFFSET:#x}") },
            "pm": { "file": "partition.dts", "offset": "0x1000" },
            "physical-load-address": format!("{:#x}", load_address(platform)),
            "owner": "Plat",
            "uuid": text::uuid(&platform.partition.uuid),
            "size": format!("{:#x}", room(platform)),
        }
    });
    format!("{layout:#}\n")
}
