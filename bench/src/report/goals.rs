//! Owns the goals and the names that people read; never compares.

/// Most instructions of our own in a single call.
pub(super) const CALL: u64 = 1200;
/// Most in offer, inspect, accept and release of one area, whatever its length.
pub(super) const CYCLE: u64 = 5000;

/// Most for a message of the bus, which no call is: decoded, routed, answered, and every link looked at.
pub(super) const MESSAGE: u64 = 2500;
/// Most for a BUS_KICK that takes one message out of the FIFO and puts one in.
pub(super) const KICK_OF_ONE: u64 = 5000;

/// Whether the partition hears of the call.
pub(super) fn reaches_partition(call: &str) -> bool {
    !matches!(call, "psci_version" | "ffa_id_get" | "mem_share" | "mem_reclaim")
}

/// The goal of a call's own share, if it has one.
///
/// The calls of the ledger, the end of a VM, SEAL and areas of many ranges are a class of their own: each
/// is bounded by its own figure. So are messages through the bus, with bounds of their own
/// (docs/bounds.md).
pub(super) fn goal(section: &str, size: u64, call: &str) -> Option<u64> {
    if !reaches_partition(call) {
        return None;
    }
    let is_long = matches!(section, "boot" | "floor" | "ledger" | "mapped")
        || matches!(call, "vm_destroyed" | "seal" | "copy_64" | "copy_16k");
    let many_ranges = section == "ranges" && size > 1;
    match call {
        _ if is_long => None,
        "cycle" => (matches!(section, "cycle" | "pages")).then_some(CYCLE),
        "cycle_mapped" | "cycle_local" => None,
        "ping_by_frame" => Some(MESSAGE),
        "bus_kick_ping" => Some(KICK_OF_ONE),
        "offer" | "release" if many_ranges => None,
        _ => Some(CALL),
    }
}

/// What a section is called in the tables.
pub(super) fn title(section: &str) -> &str {
    match section {
        "boot" => {
            "From power-on to the hypervisor's first instruction (the partition starts before it)"
        }
        "floor" => "Before the partition does anything",
        "idle" => "Single calls, no grant alive",
        "ledger" => "The ledger (a class of its own: records are hashed)",
        "bus" => "The message bus",
        "mapped" => {
            "Areas that the partition maps for itself (a call that maps, a call that unmaps)"
        }
        "cycle" => "One page through its life, nothing else alive",
        "ranges" => "Areas of many ranges of one page each",
        "pages" => "Areas of many pages in one range, not mapped by the partition",
        "live" => "While other grants are alive (the worst of three places in the tables)",
        "full" => "Single calls at full tables: 450 grants, a third each offered, accepted, mapped",
        other => other,
    }
}

/// What a section varies.
pub(super) fn size_name(section: &str) -> &str {
    match section {
        "ranges" => "ranges",
        "cycle" | "mapped" | "pages" => "pages",
        "live" => "grants",
        _ => "",
    }
}
