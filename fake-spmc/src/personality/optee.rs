//! Owns what OP-TEE does as SPMC at S-EL1; never another SPMC's ways.
//!
//! Read in OP-TEE 4.10, `core/arch/arm/kernel/spmc_sp_handler.c` (H) and `thread_spmc.c` (T), and
//! seen on QEMU with an S-EL0 partition of trials (where a value says "run").

use super::{
    Arguments, Capacity, Controlling, Handles, Listing, MemoryVersions, Notifying, Quirks,
    Response, Retrieves, Stranger,
};
use causeway_ffa::descriptor::Dialect;
use causeway_ffa::{FfaError, Version};

/// T: what `thread_spmc_msg_recv` has no case for.
const ABSENT: Result<(), FfaError> = Err(FfaError::NotSupported);
const INVALID: Result<(), FfaError> = Err(FfaError::InvalidParameters);
const DENIED: Result<(), FfaError> = Err(FfaError::Denied);

pub(super) const QUIRKS: Quirks = Quirks {
    name: "optee",
    reported: Version::V1_2,
    memory_versions: MemoryVersions::Any,
    share: Ok(()),
    lend: ABSENT,
    donate: ABSENT,
    // H, `add_mem_region_to_sp`: "Only add memory shares of loaded SPs" (run).
    share_with_vm: DENIED,
    lend_with_vm: DENIED,
    // H, `check_retrieve_request`: "It should only have one ffa_mem_access element".
    listing: Listing::CallerAlone,
    // H, `ffa_mem_retrieve`: the composite's offset is followed; the tag must be the one that was
    // stored with the share.
    dialect: Dialect::OpTee,
    // T: total and fragment length are taken for each other (run: always INVALID_PARAMETERS).
    fragmented_send: INVALID,
    // H: what does not fit the buffer is refused.
    fragmented_response: Err(FfaError::NoMemory),
    // H: "Currently we don't support zeroing Normal World memory".
    zero: INVALID,
    // H, `spmc_sp_add_nw_region`: pages must be non-secure.
    secure_address: DENIED,
    // H: nothing compares transactions of the normal world.
    overlap: Ok(()),
    // H: arguments of the SP's registers are `uint32_t` on the way (run).
    arguments: Arguments::Lower32,
    direct2: ABSENT,
    indirect: ABSENT,
    notifying: Notifying::VmsOnly,
    info_regs: ABSENT,
    interrupt_id: ABSENT,
    controlling: Controlling::Nobody,
    // mm/sp_mem.c: NUM_SHARES.
    capacity: Capacity::Transactions { count: 64, fragments: 1 },
    // mm/sp_mem.c: bit 45 (FFA_MEMORY_HANDLE_SECURE_BIT).
    handles: Handles::FreeIndexWith(1 << 45),
    info_stride: 24,
    stale_uuid: None,
    // H, `create_retrieve_response`: handle 0, the sender's flags (0, which reads as nothing, and is
    // written as "share" by the dialect), and the whole buffer as length.
    response: Response::OpTee,
    // H, `sp_mem_get_receiver` returns NULL and is followed (run: crash).
    stranger: Stranger::Crash,
    retrieves: Retrieves::Counted,
    no_such_handle: FfaError::Denied,
};
