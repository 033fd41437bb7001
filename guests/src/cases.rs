//! Owns the hostile VM's cases and who refuses each with which status; never makes a call.
//!
//! A case is one wrong argument (or one class of them). The checked monitor refuses most of them
//! itself; in its `raw` build the SPMC or the partition must. Both columns are expectations: the
//! hostile VM prints what it met and fails the case if that differs.

use core::fmt;

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The EL2 monitor, by an FFA_ERROR of its own.
    Monitor,
    /// The SPMC at EL3, by an FFA_ERROR that the monitor passed on.
    Spmc,
    /// The partition, by a status in its answer or a virtio-msg ERROR.
    Partition,
    /// Several: a case that makes many different calls, each refused by whom it met.
    All,
}

impl Layer {
    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Spmc => "spmc",
            Self::Partition => "partition",
            Self::All => "all",
        }
    }
}

/// Who refused, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The layer.
    pub layer: Layer,
    /// The name of the FF-A error or of the partition's status.
    pub status: &'static str,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer={} status={}", self.layer.name(), self.status)
    }
}

/// One hostile argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The test's name.
    pub name: &'static str,
    /// What the argument is.
    pub what: &'static str,
    /// What must happen under the checked monitor.
    pub checked: Outcome,
    /// What must happen under the raw monitor.
    pub raw: Outcome,
}

const fn by(layer: Layer, status: &'static str) -> Outcome {
    Outcome { layer, status }
}

macro_rules! cases {
    ($($id:ident $name:literal $what:literal : $layer:ident $status:ident, raw $raw_layer:ident $raw_status:ident;)+) => {
        /// Every case, in the order in which the hostile VM runs them.
        pub const CASES: &[Case] = &[$($id,)+];
        $(
            #[doc = $what]
            pub const $id: Case = Case {
                name: concat!("hostile_args/", $name),
                what: $what,
                checked: by(Layer::$layer, stringify!($status)),
                raw: by(Layer::$raw_layer, stringify!($raw_status)),
            };
        )+
    };
}

cases! {
    SPOOFED_MESSAGE "spoofed_sender_message" "A direct request that names VM 1 as its sender":
        Monitor InvalidParameters, raw Partition NoSuchGrant;
    STRANGER "message_of_a_stranger" "A direct request in the name of a VM that does not exist":
        Monitor InvalidParameters, raw Partition UnknownCaller;
    SPOOFED_HYPERVISOR "spoofed_hypervisor_message" "A direct request that names the hypervisor as its sender":
        Monitor InvalidParameters, raw Partition NotHypervisor;
    SPOOFED_SHARE "spoofed_sender_share" "A share whose descriptor names VM 1 as its sender":
        Monitor InvalidParameters, raw Partition NoSuchGrant;
    WRONG_RECEIVER "message_to_another_vm" "A direct request to VM 1 instead of the partition":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    STALE_HANDLE "stale_handle" "STATE of a handle that was reclaimed":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    STALE_RECLAIM "stale_reclaim" "A second reclaim of a handle":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    FOREIGN_HANDLE "foreign_handle" "STATE of VM 1's live handle":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    FOREIGN_RECLAIM "foreign_reclaim" "Reclaim of VM 1's live handle":
        Monitor InvalidParameters, raw Monitor InvalidParameters;
    FOREIGN_OFFER "foreign_offer" "OFFER of VM 1's live handle":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    INVENTED_HANDLE "invented_handle" "STATE of a handle that never was":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    INVENTED_RECLAIM "invented_reclaim" "Reclaim of a handle that never was":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    OFFER_WITHOUT_SHARE "offer_without_share" "OFFER of a handle for which there was no share":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    OFFER_OTHER_TERMS "offer_other_terms" "OFFER of a read-write share as if it were read-only":
        Partition DescriptorMismatch, raw Partition DescriptorMismatch;
    OFFER_OTHER_BORROWERS "offer_other_borrowers" "OFFER of a share to the partition alone as if VM 2 were a borrower":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    OFFER_OF_NO_KIND "offer_of_no_kind" "OFFER as a kind of transaction that does not exist":
        Partition BadArgument, raw Partition BadArgument;
    OFFER_TWICE "offer_twice" "OFFER of a grant that lives":
        Partition WrongState, raw Partition WrongState;
    OFFER_TO_PEER "offer_to_whom_policy_does_not_name" "OFFER of a share with VM 1, to which policy lets VM 3 grant nothing":
        Partition PolicyPeer, raw Partition PolicyPeer;
    OFFER_KIND "offer_of_a_kind_that_policy_forbids" "OFFER of pages that are lent to the partition":
        Partition PolicyKind, raw Partition PolicyKind;
    OFFER_PERMISSION "offer_of_more_permission" "OFFER of a read-write share with VM 2, where policy says read-only":
        Partition PolicyPermission, raw Partition PolicyPermission;
    OFFER_TOO_LARGE "offer_of_a_page_too_many" "OFFER of an area of 17 pages where policy allows 16":
        Partition PolicySize, raw Partition PolicySize;
    OFFER_RANGES "offer_of_a_range_too_many" "OFFER of an area that brings the pair to more than its 8 ranges":
        Partition QuotaRanges, raw Partition QuotaRanges;
    OFFER_PAGES "offer_beyond_the_quota_of_pages" "OFFER of an area that brings the pair to more than its 32 pages":
        Partition QuotaPages, raw Partition QuotaPages;
    OFFER_GRANTS "offer_beyond_the_quota_of_grants" "OFFER of an area that brings the pair to more than its 4 grants":
        Partition QuotaGrants, raw Partition QuotaGrants;
    SECURE_ADDRESS "secure_address" "A share of the secure address 0x0e100000":
        Monitor Denied, raw Partition OutsideRam;
    DEVICE_ADDRESS "device_address" "A share of the UART at 0x09000000":
        Monitor Denied, raw Partition OutsideRam;
    OTHER_VM_MEMORY "other_vm_memory" "A share of a page that VM 1 has granted":
        Monitor Denied, raw Spmc InvalidParameters;
    UNALIGNED_ADDRESS "unaligned_address" "A share of an address that is no multiple of 4096":
        Monitor InvalidParameters, raw Partition DescriptorMalformed;
    OVERLAPPING_RANGES "overlapping_ranges" "A share that holds one page twice":
        Monitor InvalidParameters, raw Partition Overlap;
    EMPTY_RANGE "empty_range" "A share with a range of no page":
        Monitor InvalidParameters, raw Partition DescriptorMalformed;
    NO_RANGE "no_range" "A share without any range":
        Monitor InvalidParameters, raw Partition DescriptorMalformed;
    WRAPPING_RANGE "wrapping_range" "A share whose range wraps round the end of the address space":
        Monitor InvalidParameters, raw Partition DescriptorMalformed;
    WRONG_TOTAL "wrong_page_total" "A share whose page total is not the sum of its ranges":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    NO_BORROWER "no_borrower" "A share with nobody":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    SELF_BORROWER "sender_is_borrower" "A share with oneself":
        Monitor InvalidParameters, raw Partition PolicyPeer;
    UNKNOWN_BORROWER "unknown_borrower" "A share with a VM that does not exist":
        Monitor InvalidParameters, raw Partition PolicyPeer;
    EXECUTABLE "executable_permission" "A share that asks for execute permission":
        Monitor InvalidParameters, raw Partition BadAttributes;
    DEVICE_ATTRIBUTES "device_attributes" "A share as device memory":
        Monitor Denied, raw Partition BadAttributes;
    SHARED_TWICE "page_shared_twice" "A second share of a page that is shared":
        Monitor Denied, raw Spmc InvalidParameters;
    DONATE_UNKNOWN "donate_is_not_found" "FFA_FEATURES of FFA_MEM_DONATE; nor does the partition's VERSION announce donations":
        Monitor NotSupported, raw Spmc NotSupported;
    DONATE "donate" "FFA_MEM_DONATE":
        Monitor NotSupported, raw Spmc NotSupported;
    OFFER_DONATION "offer_as_a_donation" "OFFER of a share as a donation, which policy allows and the SPMC has not":
        Partition SpmcKind, raw Partition SpmcKind;
    FRAGMENT_OVERRUN "fragment_overrun" "A share whose fragment is longer than its total":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    STRAY_FRAGMENT "stray_fragment" "FRAG_TX for a handle of which no fragment is awaited":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    FRAGMENT_ASKED "fragment_asked_for" "FRAG_RX of VM 1's live handle, of which no response has a second fragment":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    RETRIEVE_IN_PARTS "retrieve_in_fragments" "A retrieve request of which only a part is sent":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    RXTX_FOREIGN "rxtx_of_other_memory" "RXTX_MAP of buffers outside the VM's memory":
        Monitor InvalidParameters, raw Spmc Denied;
    RETRIEVE_FOREIGN "retrieve_foreign" "RETRIEVE of VM 1's live handle":
        Monitor InvalidParameters, raw Spmc InvalidParameters;
    NOTIFY_UNBOUND "notification_not_bound" "NOTIFICATION_SET of a bit that its receiver did not bind":
        Monitor Denied, raw Monitor Denied;
    UNKNOWN_CALL "unknown_call_number" "A frame with a call number that does not exist":
        Partition UnknownCall, raw Partition UnknownCall;
    BAD_VERSION "frame_of_another_version" "A frame of another major version":
        Partition BadVersion, raw Partition BadVersion;
    RESERVED_BITS "reserved_bits_set" "A frame with a reserved word set":
        Partition ReservedNotZero, raw Partition ReservedNotZero;
    HYPERVISOR_CALL "hypervisor_call" "A call that only the hypervisor may make":
        Partition NotHypervisor, raw Partition NotHypervisor;
    SEAL "seal" "SEAL by a VM that policy does not name for it":
        Partition PolicyCaller, raw Partition PolicyCaller;
    WHOLE_LEDGER "whole_ledger" "LEDGER_HEAD of all records by a VM that is not the auditor":
        Partition PolicyCaller, raw Partition PolicyCaller;
    LEDGER_OF_ALL "page_of_the_whole_ledger" "LEDGER_READ of all records by a VM that is not the auditor":
        Partition PolicyCaller, raw Partition PolicyCaller;
    LEDGER_FOREIGN "ledger_into_a_foreign_area" "LEDGER_READ into VM 1's area":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    LEDGER_NO_HEAD "ledger_without_a_head" "LEDGER_READ before any LEDGER_HEAD":
        Partition WrongState, raw Partition WrongState;
    LEDGER_READ_ONLY "ledger_into_a_read_only_area" "LEDGER_READ into an area that was granted read-only":
        Partition BadArgument, raw Partition BadArgument;
    LEDGER_STALE "ledger_that_moved_on" "LEDGER_READ after a record was added to what the head says":
        Partition Busy, raw Partition Busy;
    LEDGER_CURSOR "ledger_cursor" "LEDGER_READ from a cursor that no page returned":
        Partition BadArgument, raw Partition BadArgument;
    LEDGER_IN_PIECES "ledger_into_many_pieces" "LEDGER_READ into an area of five ranges, more than the partition maps":
        Partition NoRoom, raw Partition NoRoom;
    JOIN_FOREIGN "join_foreign" "JOIN of VM 1's area":
        Partition NoSuchGrant, raw Partition NoSuchGrant;
    JOIN_PEER "join_with_whom_policy_does_not_name" "JOIN with VM 1, with which policy lets VM 3 copy nothing":
        Partition PolicyPeer, raw Partition PolicyPeer;
    PART_UNJOINED "part_without_join" "PART of a join that never was":
        Partition NotJoined, raw Partition NotJoined;
    JOINED_UNJOINED "joined_without_join" "JOINED of a join that never was":
        Partition NotJoined, raw Partition NotJoined;
    COPY_UNJOINED "copy_without_join" "COPY in a join that never was":
        Partition NotJoined, raw Partition NotJoined;
    BUS_WITHOUT_FIFO "kick_without_fifo" "BUS_KICK without a FIFO":
        Partition NoBus, raw Partition NoBus;
    REVOKE_USED "revoke_of_a_used_area" "REVOKE of the area in which the VM's own FIFO lies":
        Partition InUse, raw Partition InUse;
    JOIN_USED "join_of_a_used_area" "JOIN of the area in which the VM's own FIFO lies":
        Partition InUse, raw Partition InUse;
    FIFO_INDEX "fifo_index_out_of_range" "A FIFO whose write index lies beyond its depth":
        Partition FifoBroken, raw Partition FifoBroken;
    FIFO_HEADER "fifo_header_overwritten" "A FIFO whose header is overwritten while it is in use":
        Partition FifoBroken, raw Partition FifoBroken;
    FIFO_MESSAGES "fifo_hostile_messages" "Messages with wrong types, sizes, devices, tokens and areas in a good FIFO":
        All Refused, raw All Refused;
    GARBAGE_REGISTERS "garbage_in_every_register" "Thousands of calls of every function id with garbage in every register":
        All Refused, raw All Refused;
    GARBAGE_DESCRIPTORS "garbage_descriptors" "Hundreds of shares of descriptors made of garbage":
        All Refused, raw All Refused;
    GARBAGE_FRAMES "garbage_frames" "Thousands of frames of every call number with garbage arguments":
        All Refused, raw All Refused;
    STILL_WORKING "own_grant_still_works" "After all that, an honest grant of the hostile VM goes through its whole life":
        All Ok, raw All Ok;
}

/// The names of all cases, in order.
pub const NAMES: [&str; CASES.len()] = {
    let mut names = [""; CASES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = CASES[index].name;
        index += 1;
    }
    names
};

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_abi::Status;

    #[test]
    fn statuses_of_the_partition_are_statuses_of_the_interface() {
        for case in CASES {
            for outcome in [case.checked, case.raw] {
                if outcome.layer == Layer::Partition {
                    assert!(Status::ALL.iter().any(|s| s.name() == outcome.status), "{case:?}");
                }
            }
        }
    }
}
