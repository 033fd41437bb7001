//! Owns the broker's named defects: each switches one check or one step off, so that a walk over
//! all states can show that it would be found. For hosts: without the feature `explore` the enum,
//! the broker's field and every test of it do not exist, and a bare-metal build with it is refused.

#[cfg(all(feature = "explore", target_os = "none"))]
compile_error!("the feature `explore` holds defects on purpose and never goes into an image");

/// Whether the broker has a defect: a constant `false` in every build but those for walks and tests.
#[cfg(any(test, feature = "explore"))]
macro_rules! defective {
    ($broker:expr, $name:ident) => {
        $broker.defect == Some($crate::defect::Defect::$name)
    };
}
#[cfg(not(any(test, feature = "explore")))]
macro_rules! defective {
    ($broker:expr, $name:ident) => {
        false
    };
}
pub(crate) use defective;

#[cfg(any(test, feature = "explore"))]
macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $found:literal;)+) => {
        /// A way in which the broker can be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect { $($(#[$doc])* $name,)+ }

        impl Defect {
            /// Every defect.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The invariant that it breaks, as a violation names it.
            #[must_use]
            pub const fn breaks(self) -> &'static str {
                match self { $(Self::$name => $found,)+ }
            }

            /// Finds a defect by its name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|d| d.name() == name)
            }
        }
    };
}

#[cfg(any(test, feature = "explore"))]
defects! {
    /// OFFER does not compare the pages with those of live grants.
    OfferOverlap = "offer-overlap", "I1";
    /// OFFER does not look at the RAM windows.
    OfferOutsideRam = "offer-outside-ram", "I5";
    /// OFFER believes an SPMC that hands out what another VM sent.
    OfferSender = "offer-sender", "I3";
    /// OFFER does not compare the transaction's permissions with the offer's.
    OfferPermission = "offer-permission", "I5";
    /// OFFER does not keep the pair's quota of grants.
    OfferQuota = "offer-quota", "I7";
    /// OFFER takes an offer to a VM that does not live.
    OfferDeadPeer = "offer-dead-peer", "I3";
    /// A refused OFFER keeps what it retrieved.
    OfferKeepsLock = "offer-keeps-lock", "I2";
    /// OFFER does not ring for the peer.
    OfferSilent = "offer-silent", "I6";
    /// A dead VM's calls are carried out.
    DeadCaller = "dead-caller", "I3";
    /// A foreign handle is answered otherwise than an invented one.
    ForeignHandle = "foreign-handle", "I3";
    /// A grant is named by whoever knows its handle.
    AnyonesHandle = "anyones-handle", "I3";
    /// A new life uses the handles of the old one.
    OldLife = "old-life", "I3";
    /// ACCEPT does not compare with what was inspected.
    AcceptUnseen = "accept-unseen", "I4";
    /// ACCEPT takes a grant back to the beginning.
    AcceptTwice = "accept-twice", "life";
    /// ACCEPT leaves no record.
    AcceptUnrecorded = "accept-unrecorded", "I9";
    /// REJECT lets go of what was accepted, mapped or not.
    RejectAccepted = "reject-accepted", "I2";
    /// RELEASE believes the peer.
    ReleaseOnWord = "release-on-word", "I2";
    /// REVOKE does not wait for the peer's unmapping.
    RevokeOnWord = "revoke-on-word", "I2";
    /// REVOKE takes a local area away from under a FIFO.
    RevokeInUse = "revoke-in-use", "I5";
    /// Closing forgets a grant whose lock the SPMC would not take back.
    CloseFailed = "close-failed", "I4";
    /// A quiesced grant's ring runs on.
    QuiesceRuns = "quiesce-runs", "I6";
    /// The bus does not hear that an area is lost.
    QuiesceUntold = "quiesce-untold", "I6";
    /// HYP_MAPPING permits what was not accepted.
    MapUnaccepted = "map-unaccepted", "I3";
    /// HYP_MAPPING does not record that the peer maps.
    MapUnrecorded = "map-unrecorded", "I2";
    /// HYP_UNMAPPED is taken from a VM.
    UnmappedForged = "unmapped-forged", "I2";
    /// HYP_UNMAPPED of a dying grant keeps it for ever.
    UnmappedIgnored = "unmapped-ignored", "I6";
    /// A deadline passes without a consequence.
    ExpireNever = "expire-never", "I6";
    /// HYP_POLL does not ask to unmap.
    PollSilent = "poll-silent", "I6";
    /// The doorbell of a registered hypervisor is not rung.
    RegisterSilent = "register-silent", "I6";
    /// A killed owner's grant goes while its peer still maps it.
    DestroyMapped = "destroy-mapped", "I2";
    /// A killed VM's grants stay.
    DestroyKeeps = "destroy-keeps", "I6";
    /// A live VM can be created.
    CreateLive = "create-live", "I3";
    /// The first use of a local area counts although the MMU refused.
    UseUnmapped = "use-unmapped", "I5";
    /// The last use of a local area leaves it mapped.
    UnuseMapped = "unuse-mapped", "I5";
    /// A sealed partition takes new grants.
    SealIgnored = "seal-ignored", "seal";
    /// Any VM may seal.
    SealForged = "seal-forged", "I3";
    /// OFFER takes a donation although the SPMC has none.
    DonateUnsupported = "donate-unsupported", "life";
    /// A donation that was refused leaves no record.
    DonateUnrecorded = "donate-unrecorded", "I9";
    /// REVOKE gives donated memory back.
    DonateReturned = "donate-returned", "I2";
    /// A dead giver's donation is forgotten, as if its pages could come back.
    DonateForgotten = "donate-forgotten", "I1";
    /// JOIN takes an area of which the caller is the peer only.
    JoinForeign = "join-foreign", "I3";
    /// Two halves of different numbers are taken for a join.
    JoinAnyNumber = "join-any-number", "I3";
    /// A join goes on when one of its areas is gone.
    JoinOutlives = "join-outlives", "I3";
    /// COPY does not ask the policy which way bytes may go.
    CopyBackwards = "copy-backwards", "I3";
    /// COPY writes into an area that may only be read.
    CopyReadOnly = "copy-read-only", "I5";
    /// COPY does not look whether the bytes lie in the areas.
    CopyOutside = "copy-outside", "I5";
    /// COPY does not count.
    CopyUncounted = "copy-uncounted", "I9";
    /// A VM rings as often as it likes.
    RingUnlimited = "ring-unlimited", "I7";
    /// A doorbell beyond the ration is forgotten.
    RingLost = "ring-lost", "I6";
    /// A second core's call gets in between the steps of a sequence.
    BusyIgnored = "busy-ignored", "I4";
}
