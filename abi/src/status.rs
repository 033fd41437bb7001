//! Owns the statuses of calls, each of which names the broken rule; never decides precedence.
//!
//! ```
//! use causeway_abi::Status;
//!
//! let status = Status::from_code(Status::UnknownCall.code()).expect("a status");
//! println!("{}: {}", status.name(), status.rule());
//! assert_eq!(status, Status::UnknownCall);
//! ```

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $rule:literal;)+) => {
        /// The verdict on a call. Everything but [`Status::Ok`] changed nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Status { $($(#[$doc])* $name = $code,)+ }

        impl Status {
            /// Every status, in order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the wire code.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)+ }
            }

            /// Names a wire code.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }

            /// Returns the rule in one sentence, for logs and tables.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)+ }
            }

            /// Returns the variant's name, for logs and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

statuses! {
    /// The call was carried out.
    Ok = 0, "The call was carried out.";
    /// No call has this number.
    UnknownCall = 1, "The call number must be one of the interface.";
    /// The major version of the frame is not ours.
    BadVersion = 2, "The frame's major version must be the partition's.";
    /// A reserved field was not zero.
    ReservedNotZero = 3, "Reserved fields must be zero.";
    /// An argument has no meaning (unknown kind, permission, state, count).
    BadArgument = 4, "Each argument must be one of its documented values.";
    /// The caller is not the hypervisor that the manifest names.
    NotHypervisor = 5, "Only the hypervisor named by the manifest may call this.";
    /// The caller is not known to the manifest, or was destroyed.
    UnknownCaller = 6, "The caller must be a live VM that the manifest names.";
    /// No grant of the caller has this handle: foreign, stale and invented handles all say this.
    NoSuchGrant = 7, "The handle must name a live grant of the caller.";
    /// The grant is not in a state in which this call has a meaning.
    WrongState = 8, "The grant's state must allow the call.";
    /// What was accepted is not what was inspected.
    TermsChanged = 9, "ACCEPT must repeat exactly what INSPECT returned.";
    /// Policy does not let this owner grant to this peer.
    PolicyPeer = 10, "Policy must allow this owner to grant to this peer.";
    /// Policy does not allow this kind (share, lend, donate) here.
    PolicyKind = 11, "Policy must allow this kind of transaction for the pair.";
    /// Policy does not allow this permission here.
    PolicyPermission = 12, "Policy must allow this permission for the pair.";
    /// The area is larger than policy allows.
    PolicySize = 13, "The area must not be larger than policy allows for the pair.";
    /// The caller's or the pair's grants are used up.
    QuotaGrants = 14, "The number of live grants must stay within the quota.";
    /// The caller's or the pair's pages are used up.
    QuotaPages = 15, "The number of granted pages must stay within the quota.";
    /// The caller's or the pair's range records are used up.
    QuotaRanges = 16, "The number of address ranges must stay within the quota.";
    /// A page lies outside the RAM windows of the manifest (secure memory, devices, the hypervisor).
    OutsideRam = 17, "Every page must lie in a RAM window of the manifest.";
    /// A page is already part of a live grant, or twice in this one.
    Overlap = 18, "A page may be in at most one live grant, once.";
    /// The memory is not normal, write-back, inner shareable, non-secure memory.
    BadAttributes = 19, "The memory must be normal, write-back, inner-shareable and non-secure.";
    /// The transaction's descriptor is not what the call said (borrowers, tag, kind, permission).
    DescriptorMismatch = 20, "The transaction must match the offer: sender, borrowers, kind, permission.";
    /// The SPMC's descriptor could not be read: malformed or beyond our limits.
    DescriptorMalformed = 21, "The transaction's descriptor must be well formed and within limits.";
    /// A peer still maps the memory.
    StillMapped = 22, "The peer must not map the memory any more.";
    /// The partition still uses the area itself (a FIFO or a queue lies in it).
    InUse = 23, "The area must hold no queue and no FIFO that is in use.";
    /// The SPMC failed a step that should have worked; nothing changed.
    SpmcFailure = 24, "The SPMC must carry out a step that its rules allow.";
    /// The partition has no room left for a reason that is not the caller's quota.
    NoRoom = 25, "The partition's own tables must have room.";
    /// Another call on the same object is under way; call again.
    Busy = 26, "One call at a time may change an object.";
    /// No bus connection (FIFO) of the caller is configured.
    NoBus = 27, "The caller must have configured its message FIFO.";
    /// The shared FIFO was malformed; the connection is closed until it is configured again.
    FifoBroken = 28, "The indices and header of the shared FIFO must be valid.";
    /// The partition is sealed: the set of grants is frozen.
    Sealed = 29, "In sealed mode the set of grants is frozen.";
    /// The VM is already known as live (VM_CREATED for a live id).
    AlreadyLive = 30, "A VM id may be created only when it is not live.";
    /// Policy allows the peer, but it was destroyed and not created anew; try again later.
    PeerNotLive = 31, "The peer must be live.";
    /// The partition crashed and refuses everything until the platform is reset.
    PartitionFailed = 32, "The partition must not have crashed.";
    /// Policy does not name the caller for this call: sealing, or the whole ledger.
    PolicyCaller = 33, "Policy must name the caller for this call.";
    /// The SPMC does not have this kind of transaction (donations, on most).
    SpmcKind = 34, "The SPMC must have this kind of transaction.";
    /// What was donated is the partition's and is never given back.
    Donated = 35, "What was donated cannot be taken back.";
    /// The caller or the other side has not joined an area under this name.
    NotJoined = 36, "Both sides must have joined an area under this name.";
    /// Policy does not let bytes be copied this way.
    PolicyCopy = 37, "Policy must allow copies from the one VM to the other.";
    /// The bytes do not lie in the area, or it may not be written.
    OutsideArea = 38, "The bytes must lie in the areas, and the destination must be writable.";
    /// Such an area is joined already, or the name is in use.
    AlreadyJoined = 39, "An area may be in one join, and a name may stand for one.";
    /// No source of this number is bound to the caller: foreign and invented ones alike.
    NoSource = 48, "The number must name a source of interrupts that is bound to the caller.";
    /// No interrupt waits to be fetched, or none that was fetched is to be completed.
    NothingWaits = 49, "An interrupt must wait to be fetched, or have been fetched to be completed.";
    /// The source is masked already, or is not masked.
    AlreadySo = 50, "A source must not be masked or opened twice.";
    /// The source's limit masked it, and its cooling time is not over.
    Cooling = 51, "A source that its limit masked may be opened after its cooling time only.";
    /// Policy does not let the caller have the device interrupt, or bind the source to this VM.
    PolicySource = 52, "Policy must let the caller arm the source, or name the VM for it.";
    /// The device of the source cannot do this.
    DeviceCannot = 53, "The source's device must be able to interrupt in this way.";
    /// Policy does not give the caller this security service.
    PolicyService = 64, "Policy must give the caller this security service.";
    /// The caller used up what policy gives it for this class of calls; later it may call again.
    QuotaRate = 65, "Calls of a class must stay within the caller's rate.";
    /// The processor has no random numbers: there is no entropy on this machine.
    NoEntropySource = 66, "The machine must have a source of entropy.";
    /// The source failed a health test; there is no entropy until the platform is reset.
    EntropyFailed = 67, "The source of entropy must pass its health tests.";
    /// The source has nothing at the moment; call again.
    EntropyEmpty = 68, "The source of entropy must have something to give.";
    /// The secure flash is not provisioned for a store: nothing would last.
    NoStore = 69, "The secure flash must be provisioned for a store.";
    /// A core of the machine was never started: it may still execute from the flash. Call again.
    CoresNotSeen = 70, "Every core must have been started once before the flash leaves read-array mode.";
    /// The flash reported an error; what was to be stored may or may not be after the next reset.
    FlashFailed = 71, "The flash must do what it is told.";
    /// The store is full of values that are still valid.
    StoreFull = 72, "The store must have room.";
    /// What the store holds contradicts itself; nothing was erased.
    StoreBroken = 73, "What the store holds must be whole.";
    /// A newer version of this software wrote the store; nothing was changed.
    StoreFormat = 74, "The store's format must be known to this version.";
    /// The number is beyond what policy gives the caller.
    NoSuchNumber = 75, "The counter or slot must be one that policy gives the caller.";
    /// The counter stands at its largest value for ever.
    CounterExhausted = 76, "A counter at its largest value goes no further.";
    /// The frame is no request of the definitions, or its answer does not fit.
    BadFrame = 77, "An RPMB frame must be a request, with room for its answer.";
    /// The slot holds no key.
    SlotEmpty = 78, "The slot must hold a key.";
    /// The slot holds a key already: delete it first.
    SlotTaken = 79, "The slot must be empty.";
    /// The key in the slot is for something else.
    WrongPurpose = 80, "A key must be used for its purpose.";
    /// The record was sealed for another VM, another UUID or another device, or was changed.
    NotOurs = 81, "A sealed key opens for its own VM on its own device only.";
    /// The message, tag or text is not authentic; nothing was decrypted.
    NotAuthentic = 82, "The tag must fit the message.";
    /// The time-out lies outside policy, or the warning is not before it.
    WatchdogTime = 83, "The time-out must lie within policy, and the warning before it.";
    /// The caller has armed no watchdog.
    WatchdogNotArmed = 84, "The caller's watchdog must be armed.";
    /// Policy: once armed, armed.
    WatchdogMayNotStop = 85, "Policy must let the caller stop its watchdog.";
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn every_status_survives_the_wire_and_has_a_rule() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(*status));
            assert!(status.rule().ends_with('.'));
        }
        assert_eq!(Status::from_code(0xffff), None);
    }
}
