//! Owns, in the `raw` test build, what of a call that the monitor refused is put to the SPMC, so that
//! its own refusal is reached. For tests only. Never lets a VM speak in another's name.
//!
//! Put below: RXTX_MAP (the monitor's pair is mapped, so no other can be), RXTX_UNMAP in the VM's
//! name, RX_RELEASE, MEM_DONATE, a share or lend with impossible lengths, MEM_FRAG_TX in the VM's name,
//! MEM_FRAG_RX, MEM_RETRIEVE_REQ, MEM_RELINQUISH, FEATURES of MEM_DONATE. MEM_RECLAIM is `memory::raw`'s.
//!
//! Not put below, because nothing there would refuse it or EL3 would suffer: a share's first fragments
//! without the rest (TF-A 2.12 compares a half-received share by its unfilled bytes, KB-09, and could
//! never free it), RXTX_UNMAP in the hypervisor's own name, FFA_RUN of the partition, a reclaim of
//! another VM's transaction (the SPMC knows one normal world and trusts us for who is who), and what
//! belongs to a VM and its monitor alone: notifications, PARTITION_INFO_GET, retrieves of what the VM
//! was granted.

use super::Regs8;
use crate::arch::smc;
use crate::arch::uart::say;
use crate::hyp::memory::MEMORY;
use causeway_ffa::{Answer, FuncId, Regs, Version};
use causeway_monitor::layout::{Processor, VmIndex};

/// How a refused call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It ends here.
    Stays,
    /// As it is.
    AsItIs,
    /// With what lies in the VM's TX.
    WithTx,
}

/// Says how a call goes on, with the VM's id where the register for it is.
fn way(vm: VmIndex, regs: &mut Regs8) -> Way {
    let own_id = u64::from(vm.id().get()) << 16;
    let Some(func) = FuncId::from_raw(regs[0] as u32) else { return Way::Stays };
    // Lengths are 32 bits each.
    let [total, first] = [regs[1], regs[2]].map(|word| word & 0xffff_ffff);
    let donations = func == FuncId::Features && total == u64::from(FuncId::MemDonate32.raw());
    if donations || AS_THEY_ARE.contains(&func) {
        Way::AsItIs
    } else if func == FuncId::RxTxUnmap {
        regs[1] = own_id;
        Way::AsItIs
    } else if func == FuncId::MemFragTx {
        regs[4] = own_id;
        Way::WithTx
    } else if SENDS.contains(&func) {
        // What is longer than announced is refused at once: nothing stays half received.
        if first > total { Way::WithTx } else { Way::Stays }
    } else if WITH_DESCRIPTOR.contains(&func) {
        Way::WithTx
    } else {
        Way::Stays
    }
}

/// Calls that say nothing of who made them.
const AS_THEY_ARE: [FuncId; 4] =
    [FuncId::RxTxMap32, FuncId::RxTxMap64, FuncId::RxRelease, FuncId::MemFragRx];
/// Calls whose first fragment the SPMC would keep.
const SENDS: [FuncId; 4] =
    [FuncId::MemShare32, FuncId::MemShare64, FuncId::MemLend32, FuncId::MemLend64];
/// Calls with a descriptor in TX that the SPMC takes from no normal world.
const WITH_DESCRIPTOR: [FuncId; 5] = [
    FuncId::MemDonate32,
    FuncId::MemDonate64,
    FuncId::MemRetrieveReq32,
    FuncId::MemRetrieveReq64,
    FuncId::MemRelinquish,
];

/// Puts a refused call to the SPMC; `None` if it stays refused by the monitor.
pub(super) fn ask(processor: Processor, regs: &Regs8) -> Option<Regs8> {
    let vm = processor.vm;
    let mut regs = *regs;
    let way = way(vm, &mut regs);
    if way == Way::Stays {
        return None;
    }
    // Nobody else may use the message pages meanwhile.
    let mut memory = MEMORY.lock();
    if way == Way::WithTx {
        memory.show_tx_below(vm).ok()?;
    }
    let answer = smc::call(&regs);
    match Answer::decode(&Regs::from_smc8(answer), Version::V1_1) {
        Ok(Answer::Error(_)) => super::note_refusal_below(processor),
        _ => say!("RAW vm={} the SPMC took call={:#x}: {answer:x?}", vm.id().get(), regs[0]),
    }
    Some(answer)
}
