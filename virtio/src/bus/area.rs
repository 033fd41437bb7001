//! Owns the rules of areas: which id may be bound to which grant, and which ring may lie where.
//! Never forwards anything.

use super::link::{Area, AreaState, Link, Rings};
use super::{Bus, GrantFacts, GrantView};
use crate::addr::AreaId;
use crate::mem::Access;
use crate::msg::{AreaShare, SetVqueue, VqueueFlags};
use crate::queue::{QueueConfig, QueueSize, RingPart};
use causeway_ffa::{EndpointId, PAGE_SIZE};

/// Where AREA_SHARE will be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AreaPlace {
    pub(super) link: usize,
    pub(super) slot: usize,
    pub(super) area: Area,
}

impl<const DEVS: usize, const AREAS: usize, const QUEUES: usize> Link<DEVS, AREAS, QUEUES> {
    /// Reports whether a closed id may be used again: its grant has ended and no queue of the link
    /// is set up.
    fn is_reusable<G: GrantView + ?Sized>(&self, area: &Area, grants: &G) -> bool {
        let ended = self.live(area, grants).is_none() && self.rings().next().is_none();
        area.state == AreaState::Closed && ended && !self.owes_reset
    }

    /// Returns the facts of the area's grant, unless it has ended.
    fn live<G: GrantView + ?Sized>(&self, area: &Area, grants: &G) -> Option<GrantFacts> {
        grants.grant(self.driver, area.handle).filter(|facts| facts.generation == area.generation)
    }

    /// Returns what a queue would be after SET_VQUEUE; `None` if the fields make no queue.
    pub(super) fn merged(&self, device: usize, set: &SetVqueue) -> Option<Rings> {
        let queue = usize::try_from(set.index).ok()?;
        let now = *self.device(device)?.rings.get(queue)?;
        let pick = |bit: VqueueFlags, new, old: Option<_>| {
            if set.flags.contains(bit) { old } else { Some(new) }
        };
        let old_size = now.map(|r| r.size);
        let size = if set.flags.contains(VqueueFlags::IGNORE_SIZE) {
            old_size
        } else {
            QueueSize::from_wire(set.size)
        };
        Some(Rings {
            size: size?,
            desc: pick(VqueueFlags::IGNORE_DESC, set.desc, now.map(|r| r.desc))?,
            driver: pick(VqueueFlags::IGNORE_DRIVER, set.driver, now.map(|r| r.driver))?,
            device: pick(VqueueFlags::IGNORE_DEVICE, set.device, now.map(|r| r.device))?,
            enabled: set.flags.enable().unwrap_or(now.is_some_and(|r| r.enabled)),
        })
    }

    /// Checks that every part of the ring lies in a bound area of this link whose grant lives and
    /// allows what the device side does with it.
    pub(super) fn rings_are_granted<G: GrantView + ?Sized>(
        &self,
        device: usize,
        rings: &Rings,
        grants: &G,
    ) -> bool {
        let Some(device) = self.device(device) else { return false };
        let config = QueueConfig {
            size: rings.size,
            desc: rings.desc,
            driver: rings.driver,
            device: rings.device,
            features: device.accepted,
        };
        config.parts().iter().all(|part| self.part_is_granted(part, grants))
    }

    fn part_is_granted<G: GrantView + ?Sized>(&self, part: &RingPart, grants: &G) -> bool {
        let Some(area) = part.at.area().and_then(|id| self.area(id)) else { return false };
        let Some(facts) = self.live(area, grants) else { return false };
        let bytes = u64::from(area.page_count).saturating_mul(PAGE_SIZE);
        let inside = part.at.offset().checked_add(part.len).is_some_and(|end| end <= bytes);
        let allowed = match part.access {
            Access::Read => true,
            Access::Write => area.writable && facts.writable,
        };
        area.state == AreaState::Bound
            && facts.usable
            && inside
            && allowed
            && part.at.offset().is_multiple_of(part.align)
    }
}

impl<
    const VMS: usize,
    const LINKS: usize,
    const DEVS: usize,
    const AREAS: usize,
    const QUEUES: usize,
> Bus<VMS, LINKS, DEVS, AREAS, QUEUES>
{
    /// Finds the link of a driver that has an area id. Ids are scoped to a link, yet AREA_UNSHARE
    /// names no link: so an id that one link of a driver has is refused to its others
    /// (docs/decisions/0006).
    pub(super) fn link_of_area(&self, driver: EndpointId, id: AreaId) -> Option<usize> {
        self.links.iter().position(|link| {
            link.as_ref().is_some_and(|l| l.driver == driver && l.area(id).is_some())
        })
    }

    /// Checks AREA_SHARE and says where it will be noted; `None` if a rule is broken.
    pub(super) fn place_for_area<G: GrantView + ?Sized>(
        &self,
        driver: EndpointId,
        share: &AreaShare,
        grants: &G,
    ) -> Option<AreaPlace> {
        let facts = grants.grant(driver, share.handle)?;
        let fits = facts.usable
            && facts.page_count == share.page_count
            && share.attrs.is_plain_memory()
            && (facts.writable || !share.attrs.is_writable());
        if !fits {
            return None;
        }
        let index = self
            .links
            .iter()
            .position(|link| link.as_ref().is_some_and(|l| l.is_between(driver, facts.peer)))?;
        let mut others = self.links.iter().flatten().filter(|link| link.driver == driver);
        let elsewhere = others.any(|other| {
            !other.is_between(driver, facts.peer)
                && other.area(share.area).is_some_and(|area| !other.is_reusable(area, grants))
        });
        let link = self.links.get(index)?.as_ref()?;
        let same_grant =
            |area: &Area| area.handle == share.handle && area.generation == facts.generation;
        let bound_twice = link.areas.iter().flatten().any(same_grant);
        if elsewhere || bound_twice {
            return None;
        }
        let reusable = |area: &Area| link.is_reusable(area, grants);
        let slot = match link.areas.iter().position(|a| a.is_some_and(|a| a.id == share.area)) {
            Some(slot) => Some(slot).filter(|slot| {
                link.areas.get(*slot).and_then(Option::as_ref).is_some_and(reusable)
            }),
            None => link.areas.iter().position(|a| a.as_ref().is_none_or(reusable)),
        }?;
        let area = Area {
            id: share.area,
            handle: share.handle,
            generation: facts.generation,
            page_count: facts.page_count,
            writable: share.attrs.is_writable(),
            state: AreaState::Binding,
            told_in_use: false,
        };
        Some(AreaPlace { link: index, slot, area })
    }
}
