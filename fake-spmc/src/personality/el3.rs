//! Owns what TF-A's EL3 SPMC does; never another SPMC's ways.
//!
//! Read in TF-A 2.12.1, `services/std_svc/spm/el3_spmc/spmc_shared_mem.c` (M) and `spmc_main.c` (S),
//! and seen on QEMU (where a value says "run").

use super::{
    Arguments, Capacity, Controlling, Handles, Listing, MemoryVersions, Notifying, Quirks,
    Response, Retrieves, Stranger,
};
use causeway_ffa::descriptor::Dialect;
use causeway_ffa::{FfaError, Version};

/// S, `default` of `spmc_smc_handler` (by way of spmd): what it has no case for.
const ABSENT: Result<(), FfaError> = Err(FfaError::NotSupported);
const INVALID: Result<(), FfaError> = Err(FfaError::InvalidParameters);

pub(super) const QUIRKS: Quirks = Quirks {
    name: "el3",
    // S, `ffa_version_handler`: 1.2 whatever was asked.
    reported: Version::V1_2,
    // M, `spmc_ffa_mem_send`: "bad FF-A version" for anything else (run).
    memory_versions: MemoryVersions::UpTo1_1,
    share: Ok(()),
    lend: Ok(()),
    // S: no case for FFA_MEM_DONATE.
    donate: ABSENT,
    // M, `spmc_shmem_check_obj`: ids of the normal world are "assumed the Hypervisor will have
    // validated these" (run).
    share_with_vm: Ok(()),
    lend_with_vm: Ok(()),
    // M, `spmc_ffa_mem_retrieve_req`: same count, each of the request's found in the send.
    listing: Listing::EveryBorrower,
    dialect: Dialect::Specified,
    fragmented_send: Ok(()),
    fragmented_response: Ok(()),
    // M, `spmc_ffa_fill_desc`: "We don't currently support any optional flags".
    zero: INVALID,
    // M: nothing looks at the addresses: a share of secure RAM succeeded (run).
    secure_address: Ok(()),
    // M, `spmc_shmem_check_state_obj`.
    overlap: INVALID,
    arguments: Arguments::Whole,
    direct2: ABSENT,
    indirect: ABSENT,
    notifying: Notifying::Nobody,
    info_regs: ABSENT,
    // S, `spmc_sp_interrupt_handler`: x1, x2 are zero; the partition reads ICC_IAR1 (run).
    interrupt_id: INVALID,
    controlling: Controlling::OwnGic,
    // plat/qemu: 64 KiB; M, `struct spmc_shmem_obj`: three words before each descriptor (run: 546
    // one-page shares to one receiver, 481 to two).
    capacity: Capacity::Bytes { total: 64 * 1024, overhead: 24 },
    // M: `next_handle = 0xffffffc0` in spmc_setup.c.
    handles: Handles::CountedFrom(0xffff_ffc0),
    info_stride: 24,
    // S, `partition_info_get_handler_v1_1`: the array is on EL3's stack, and the UUID is written
    // only where none was asked for.
    stale_uuid: Some(0x0e),
    // M: memcpy of the stored descriptor; only the NS bit, the kind and the handle are added.
    response: Response::AsSent,
    stranger: Stranger::Refused(FfaError::InvalidParameters),
    // M: `obj->in_use++`.
    retrieves: Retrieves::Counted,
    no_such_handle: FfaError::InvalidParameters,
};
