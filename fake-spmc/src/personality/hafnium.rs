//! Owns what Hafnium does as SPMC at S-EL2; never another SPMC's ways.
//!
//! Read in Hafnium of August 2026, `src/ffa_memory.c` and `src/ffa/spmc/`, and seen on QEMU with a
//! Rust S-EL1 partition of trials (where a value says "run").

use super::{
    Arguments, Capacity, Controlling, Handles, Listing, MemoryVersions, Notifying, Quirks,
    Response, Retrieves, Stranger,
};
use causeway_ffa::descriptor::Dialect;
use causeway_ffa::{FfaError, Version};

const DENIED: Result<(), FfaError> = Err(FfaError::Denied);

pub(super) const QUIRKS: Quirks = Quirks {
    name: "hafnium",
    // 1.3 whatever was asked (run).
    reported: Version::V1_3,
    memory_versions: MemoryVersions::Any,
    share: Ok(()),
    lend: Ok(()),
    donate: Ok(()),
    // `ffa_memory_is_send_valid`: a borrower of the normal world is taken beside a partition, in a
    // share (run: accepted) ...
    share_with_vm: Ok(()),
    // ... and in nothing else (run: denied).
    lend_with_vm: DENIED,
    // `ffa_memory_retrieve_validate`: every borrower, or one entry and the bypass flag (run).
    listing: Listing::EveryBorrowerOrBypass,
    dialect: Dialect::Specified,
    fragmented_send: Ok(()),
    fragmented_response: Ok(()),
    zero: Ok(()),
    // The normal world's stage 2 must map the pages in the owner's state.
    secure_address: DENIED,
    overlap: DENIED,
    arguments: Arguments::Whole,
    direct2: Ok(()),
    indirect: Ok(()),
    notifying: Notifying::Everybody,
    info_regs: Ok(()),
    // The virtual interrupt's id is in w2 (run).
    interrupt_id: Ok(()),
    controlling: Controlling::Virtual,
    // MAX_MEM_SHARES, MAX_FRAGMENTS.
    capacity: Capacity::Transactions { count: 100, fragments: 20 },
    handles: Handles::FreeIndexWith(0),
    // struct ffa_partition_info of 1.3.
    info_stride: 48,
    stale_uuid: None,
    response: Response::OwnEntry,
    stranger: Stranger::Refused(FfaError::InvalidParameters),
    retrieves: Retrieves::Once(FfaError::Denied),
    no_such_handle: FfaError::InvalidParameters,
};
