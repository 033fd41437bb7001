//! Owns which world shows which defect first: where to look before everywhere else. Never an
//! excuse not to look elsewhere.

use super::WORLDS;
use crate::defect::Defect;
use std::vec::Vec;

/// Those that show in another world than the smallest, and in which.
const ELSEWHERE: &[(Defect, &str)] = &[
    (Defect::OfferOutsideRam, "flawed"),
    (Defect::OfferSender, "careless-spmc"),
    (Defect::OfferPermission, "flawed"),
    (Defect::SealIgnored, "sealed"),
    (Defect::SealForged, "sealed"),
    (Defect::BusyIgnored, "two-vcpus"),
    (Defect::DonateUnsupported, "flawed"),
    (Defect::DonateUnrecorded, "donated"),
    (Defect::DonateReturned, "donated"),
    (Defect::DonateForgotten, "donated"),
    (Defect::JoinForeign, "joined-odd"),
    (Defect::JoinAnyNumber, "joined"),
    (Defect::JoinOutlives, "joined"),
    (Defect::CopyBackwards, "joined"),
    (Defect::CopyReadOnly, "joined-odd"),
    (Defect::CopyOutside, "joined"),
    (Defect::CopyUncounted, "joined"),
    (Defect::RingUnlimited, "rationed"),
    (Defect::RingLost, "rationed"),
];

impl Defect {
    /// The world that is known to show it near its start.
    #[must_use]
    pub fn shown_in(self) -> &'static str {
        ELSEWHERE.iter().find(|(d, _)| *d == self).map_or("one-grant", |(_, world)| world)
    }

    /// Every world, the one that is known to show it first.
    pub(super) fn worlds(self) -> Vec<&'static str> {
        let mut worlds = WORLDS.to_vec();
        worlds.sort_by_key(|name| *name != self.shown_in());
        worlds
    }
}
