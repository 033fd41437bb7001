//! Owns the reading of the policy from the partition manifest; never takes part of a faulty one.
//! docs/policy.md has the grammar.

use super::{
    CopyRule, InterruptRule, Link, MAX_HEIRS, PairRule, Policy, PolicyError, Quota, ReclaimGuard,
    SourceLimit,
};
use causeway_abi::{Permission, Trigger};
use causeway_ffa::{EndpointId, PAGE_SIZE, PageAddr, PageRange};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

/// The node's name and what its `compatible` must say.
const NODE: &str = "causeway-policy";
const COMPATIBLE: &[u8] = b"causeway,policy-1\0";

impl Policy {
    /// Reads the `causeway-policy` node of a partition manifest. `dtb` may be longer than the tree.
    /// Does not compare the quotas with table sizes: [`crate::Broker::configure`] does.
    ///
    /// # Errors
    /// See [`PolicyError`]; nothing is taken from a manifest with an error.
    pub fn from_manifest(dtb: &[u8]) -> Result<Self, PolicyError> {
        let tree = Fdt::new(exact(dtb)?).map_err(|_| PolicyError::BadTree)?;
        let node = tree.root().child(NODE).ok_or(PolicyError::NoPolicy)?;
        let mut policy = Self::new();
        policy.read_head(&node)?;
        for child in node.children() {
            if child.name().starts_with("vm-") {
                policy.add_vm(id(&child, "id")?)?;
            } else if !["link-", "copy-", "interrupt-"]
                .iter()
                .any(|prefix| child.name().starts_with(prefix))
            {
                return Err(PolicyError::Unexpected);
            }
        }
        for child in node.children() {
            if child.name().starts_with("vm-") {
                policy.read_vm(&child)?;
            } else if child.name().starts_with("copy-") {
                policy.read_copy(&child)?;
            } else if child.name().starts_with("interrupt-") {
                policy.read_interrupt(&child)?;
            } else {
                policy.read_link(&child)?;
            }
        }
        policy.check(usize::MAX, usize::MAX)?;
        Ok(policy)
    }

    fn read_head(&mut self, node: &FdtNode<'_>) -> Result<(), PolicyError> {
        for property in node.properties() {
            let value = property.value();
            match property.name() {
                "compatible" if value == COMPATIBLE => {}
                "compatible" => return Err(PolicyError::BadProperty("compatible")),
                "hypervisor-id" => *self = self.with_hypervisor(as_id(value, "hypervisor-id")?),
                "hypervisor-guards-reclaim" if value.is_empty() => {
                    *self = self.with_reclaim_guard(ReclaimGuard::Hypervisor);
                }
                "auditor" => *self = self.with_auditor(as_id(value, "auditor")?),
                "sealer" => *self = self.with_sealer(as_id(value, "sealer")?),
                "unmap-deadline-ms" => {
                    let [milliseconds] = cells(value, "unmap-deadline-ms")?;
                    *self = self.with_unmap_deadline_ms(milliseconds);
                }
                "ring-limit" => match short(value, "ring-limit")? {
                    0 => return Err(PolicyError::BadProperty("ring-limit")),
                    limit => *self = self.with_ring_limit(limit),
                },
                "ram-windows" => self.read_windows(value)?,
                _ => return Err(PolicyError::Unexpected),
            }
        }
        need(node, "compatible")?;
        need(node, "ram-windows")?;
        Ok(())
    }

    fn read_windows(&mut self, value: &[u8]) -> Result<(), PolicyError> {
        const BAD: PolicyError = PolicyError::BadProperty("ram-windows");
        let (entries, rest) = value.as_chunks::<16>();
        if entries.is_empty() || !rest.is_empty() {
            return Err(BAD);
        }
        for entry in entries {
            let both = u128::from_be_bytes(*entry);
            let start = u64::try_from(both >> 64).map_err(|_| BAD)?;
            let bytes = u64::try_from(both & u128::from(u64::MAX)).map_err(|_| BAD)?;
            if !bytes.is_multiple_of(PAGE_SIZE) {
                return Err(BAD);
            }
            let pages = u32::try_from(bytes / PAGE_SIZE).map_err(|_| BAD)?;
            let window = PageAddr::new(start).and_then(|s| PageRange::new(s, pages)).ok_or(BAD)?;
            self.add_window(window)?;
        }
        Ok(())
    }

    fn read_vm(&mut self, node: &FdtNode<'_>) -> Result<(), PolicyError> {
        only(node, &["id"])?;
        let owner = id(node, "id")?;
        for child in node.children() {
            if child.name() == "services" {
                self.read_services(owner, &child)?;
                continue;
            }
            if !child.name().starts_with("grant-") || child.children().next().is_some() {
                return Err(PolicyError::Unexpected);
            }
            only(&child, &["peer", "kinds", "permission", "max-area-pages", "quota"])?;
            let peer = match child.property("peer") {
                Some(property) => Some(as_id(property.value(), "peer")?),
                None => None,
            };
            let [share, lend, donate] = kinds(need(&child, "kinds")?)?;
            let widest = match need(&child, "permission")? {
                b"ro\0" => Permission::ReadOnly,
                b"rw\0" => Permission::ReadWrite,
                _ => return Err(PolicyError::BadProperty("permission")),
            };
            let [max_area_pages] = cells(need(&child, "max-area-pages")?, "max-area-pages")?;
            let [grants, pages, ranges] = cells(need(&child, "quota")?, "quota")?;
            let small = |n| u16::try_from(n).map_err(|_| PolicyError::BadProperty("quota"));
            let quota = Quota { grants: small(grants)?, pages, ranges: small(ranges)? };
            self.add_pair(PairRule {
                owner,
                peer,
                share,
                lend,
                donate,
                widest,
                max_area_pages,
                quota,
            })?;
        }
        Ok(())
    }

    fn read_copy(&mut self, node: &FdtNode<'_>) -> Result<(), PolicyError> {
        only(node, &["from", "to", "joins"])?;
        if node.children().next().is_some() {
            return Err(PolicyError::Unexpected);
        }
        let joins = short(need(node, "joins")?, "joins")?;
        let joins = u8::try_from(joins).map_err(|_| PolicyError::BadProperty("joins"))?;
        self.add_copy(CopyRule { from: id(node, "from")?, to: id(node, "to")?, joins })
    }

    fn read_interrupt(&mut self, node: &FdtNode<'_>) -> Result<(), PolicyError> {
        only(node, &["intid", "trigger", "vm", "also", "vm-arms", "limit"])?;
        if node.children().next().is_some() {
            return Err(PolicyError::Unexpected);
        }
        let trigger = match need(node, "trigger")? {
            b"level\0" => Trigger::Level,
            b"edge\0" => Trigger::Edge,
            _ => return Err(PolicyError::BadProperty("trigger")),
        };
        let vm = match node.property("vm") {
            Some(property) => Some(as_id(property.value(), "vm")?),
            None => None,
        };
        let mut heirs = [None; MAX_HEIRS];
        let also = node.properties().find(|property| property.name() == "also");
        let also = also.and_then(|property| property.value_as::<&[u8]>().ok()).unwrap_or_default();
        let (cells_of_heirs, rest) = also.as_chunks::<4>();
        if cells_of_heirs.len() > MAX_HEIRS || !rest.is_empty() {
            return Err(PolicyError::BadProperty("also"));
        }
        for (heir, cell) in heirs.iter_mut().zip(cells_of_heirs) {
            *heir = Some(as_id(cell, "also")?);
        }
        let vm_arms = match node.property("vm-arms") {
            Some(property) if property.value().is_empty() => true,
            Some(_) => return Err(PolicyError::BadProperty("vm-arms")),
            None => false,
        };
        let [burst, refill_us, cooling_ms] = cells(need(node, "limit")?, "limit")?;
        let limit = SourceLimit { burst, refill_us, cooling_ms };
        let intid = short(need(node, "intid")?, "intid")?;
        self.add_interrupt(InterruptRule { intid, trigger, vm, heirs, vm_arms, limit })
    }

    fn read_link(&mut self, node: &FdtNode<'_>) -> Result<(), PolicyError> {
        only(node, &["driver", "backend", "driver-device", "backend-device"])?;
        if node.children().next().is_some() {
            return Err(PolicyError::Unexpected);
        }
        let backend = match node.property("backend") {
            Some(property) => Some(as_id(property.value(), "backend")?),
            None => None,
        };
        self.add_link(Link {
            driver: id(node, "driver")?,
            backend,
            backend_device: short(need(node, "backend-device")?, "backend-device")?,
            driver_device: short(need(node, "driver-device")?, "driver-device")?,
        })
    }
}

/// Cuts the blob to the size in its header (bytes 4-7, big-endian).
fn exact(dtb: &[u8]) -> Result<&[u8], PolicyError> {
    let size = dtb.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let size = size.and_then(|s| usize::try_from(s).ok()).ok_or(PolicyError::BadTree)?;
    dtb.get(..size).ok_or(PolicyError::BadTree)
}

pub(super) fn need<'a>(node: &FdtNode<'a>, name: &'static str) -> Result<&'a [u8], PolicyError> {
    let found = node.properties().find(|p| p.name() == name);
    let value = found.and_then(|p| p.value_as::<&'a [u8]>().ok());
    value.ok_or(PolicyError::BadProperty(name))
}

/// Refuses a property that the grammar does not know, so that a misspelt limit is no silent one.
pub(super) fn only(node: &FdtNode<'_>, names: &[&str]) -> Result<(), PolicyError> {
    let known = node.properties().all(|p| names.contains(&p.name()));
    if known { Ok(()) } else { Err(PolicyError::Unexpected) }
}

pub(super) fn cells<const N: usize>(
    value: &[u8],
    name: &'static str,
) -> Result<[u32; N], PolicyError> {
    let (words, rest) = value.as_chunks::<4>();
    if words.len() != N || !rest.is_empty() {
        return Err(PolicyError::BadProperty(name));
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(words) {
        *to = u32::from_be_bytes(*from);
    }
    Ok(out)
}

pub(super) fn short(value: &[u8], name: &'static str) -> Result<u16, PolicyError> {
    let [cell] = cells(value, name)?;
    u16::try_from(cell).map_err(|_| PolicyError::BadProperty(name))
}

fn as_id(value: &[u8], name: &'static str) -> Result<EndpointId, PolicyError> {
    short(value, name).map(EndpointId::from_raw)
}

fn id(node: &FdtNode<'_>, name: &'static str) -> Result<EndpointId, PolicyError> {
    as_id(need(node, name)?, name)
}

/// Whether share, lend and donate are in a list of strings: each once at most, in this order.
fn kinds(value: &[u8]) -> Result<[bool; 3], PolicyError> {
    const NAMES: [&[u8]; 3] = [b"share\0", b"lend\0", b"donate\0"];
    let mut rest = value;
    let found = NAMES.map(|name| match rest.strip_prefix(name) {
        Some(behind) => {
            rest = behind;
            true
        }
        None => false,
    });
    if rest.is_empty() && !value.is_empty() {
        Ok(found)
    } else {
        Err(PolicyError::BadProperty("kinds"))
    }
}
