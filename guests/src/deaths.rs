//! Owns the table of deaths: who dies at which step of a grant's life; never kills anybody.
//!
//! In the job `kills`, VM 2 owns, VM 3 is its peer, and VM 1 kills them, audits the ledger, and
//! starts them anew. Each row is one round of that job and one test.

/// How far a grant has come when somebody dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Shared, and not offered.
    Shared,
    /// Sent in fragments, and only the first of them.
    HalfSent,
    /// Offered.
    Offered,
    /// The peer looked at it.
    Inspected,
    /// The peer looked at it and rejected it.
    Rejected,
    /// The peer accepted it.
    Accepted,
    /// The peer maps it.
    Mapped,
    /// The peer maps it and says that it let go.
    ReleasedFalsely,
    /// The peer does not map it any more, and has not said so.
    Unmapped,
    /// The owner took it back while the peer maps it.
    Revoked,
    /// The partition let go; the owner has not reclaimed.
    Released,
}

impl Step {
    /// Every step, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Shared,
        Self::HalfSent,
        Self::Offered,
        Self::Inspected,
        Self::Rejected,
        Self::Accepted,
        Self::Mapped,
        Self::ReleasedFalsely,
        Self::Unmapped,
        Self::Revoked,
        Self::Released,
    ];

    /// Returns the number by which VM 1 names the step to the others.
    #[must_use]
    pub fn code(self) -> u64 {
        (1..).zip(Self::ALL).find_map(|(code, step)| (step == self).then_some(code)).unwrap_or(0)
    }

    /// Names a number.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        (1..).zip(Self::ALL).find_map(|(known, step)| (known == code).then_some(step))
    }

    /// Whether the partition knows the grant at this step.
    #[must_use]
    pub const fn is_offered(self) -> bool {
        match self {
            Self::Shared | Self::HalfSent => false,
            Self::Offered
            | Self::Inspected
            | Self::Rejected
            | Self::Accepted
            | Self::Mapped
            | Self::ReleasedFalsely
            | Self::Unmapped
            | Self::Revoked
            | Self::Released => true,
        }
    }

    /// Whether the peer maps the memory at this step.
    #[must_use]
    pub const fn is_mapped(self) -> bool {
        match self {
            Self::Mapped | Self::ReleasedFalsely | Self::Revoked => true,
            Self::Shared
            | Self::HalfSent
            | Self::Offered
            | Self::Inspected
            | Self::Rejected
            | Self::Accepted
            | Self::Unmapped
            | Self::Released => false,
        }
    }
}

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victims {
    /// VM 2; VM 3 lets go when it sees that.
    Owner,
    /// VM 2; VM 3 never lets go and is unmapped by force.
    OwnerOfDeafPeer,
    /// VM 3.
    Peer,
    /// VM 2, and VM 3 before VM 2 is down.
    Both,
}

impl Victims {
    /// Whether VM 2 dies.
    #[must_use]
    pub const fn has_owner(self) -> bool {
        match self {
            Self::Owner | Self::OwnerOfDeafPeer | Self::Both => true,
            Self::Peer => false,
        }
    }

    /// Whether VM 3 dies.
    #[must_use]
    pub const fn has_peer(self) -> bool {
        match self {
            Self::Peer | Self::Both => true,
            Self::Owner | Self::OwnerOfDeafPeer => false,
        }
    }
}

/// One round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The test's name.
    pub name: &'static str,
    /// How far the grant has come.
    pub step: Step,
    /// Who dies.
    pub victims: Victims,
}

macro_rules! deaths {
    ($($victims:ident $who:literal: $($step:ident $when:literal),+;)+) => {
        /// Every round, in order.
        pub const DEATHS: &[Death] = &[$($(Death {
            name: concat!("kills/", $who, "_dies_", $when),
            step: Step::$step,
            victims: Victims::$victims,
        },)+)+];
    };
}

deaths! {
    Owner "owner": Shared "shared", HalfSent "half_sent", Offered "offered", Inspected "inspected",
        Rejected "rejected", Accepted "accepted", Mapped "mapped",
        ReleasedFalsely "released_falsely", Unmapped "unmapped", Revoked "revoked", Released "released";
    Peer "peer": Shared "shared", Offered "offered", Inspected "inspected",
        Rejected "rejected", Accepted "accepted", Mapped "mapped", ReleasedFalsely "released_falsely", Unmapped "unmapped",
        Revoked "revoked", Released "released";
    Both "both": Shared "shared", HalfSent "half_sent", Offered "offered", Inspected "inspected",
        Rejected "rejected", Accepted "accepted", Mapped "mapped",
        ReleasedFalsely "released_falsely", Unmapped "unmapped", Revoked "revoked", Released "released";
    OwnerOfDeafPeer "owner_of_a_deaf_peer": Mapped "mapped";
}

/// What VM 1 says after all rounds.
const AFTER: [&str; 4] = [
    "kills/partition_serves_on",
    "kills/quota_is_whole_again",
    "kills/charges_are_true",
    "kills/every_round_is_in_the_ledger",
];

/// The names of all tests, in order.
pub const NAMES: [&str; DEATHS.len() + AFTER.len()] = {
    let mut names = [""; DEATHS.len() + AFTER.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] =
            if index < DEATHS.len() { DEATHS[index].name } else { AFTER[index - DEATHS.len()] };
        index += 1;
    }
    names
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_number_of_its_own() {
        for step in Step::ALL {
            assert_eq!(Step::from_code(step.code()), Some(step));
        }
        assert_eq!((Step::from_code(0), Step::from_code(12)), (None, None));
    }

    #[test]
    fn everybody_dies_at_every_step() {
        for step in Step::ALL {
            for victims in [Victims::Owner, Victims::Peer, Victims::Both] {
                // A peer knows nothing of a send that is not complete.
                let wanted = usize::from((step, victims) != (Step::HalfSent, Victims::Peer));
                let found = DEATHS.iter().filter(|d| d.step == step && d.victims == victims);
                assert_eq!(found.count(), wanted, "{step:?} {victims:?}");
            }
        }
    }
}
