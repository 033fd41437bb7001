//! Owns the FF-A part of the C header: function ids, codes, and the messages that carry frames. Never
//! writes down a number: messages are taken from what `causeway-ffa` encodes.

use super::put;
use crate::text::constant;
use causeway_ffa::call::{Framework, FrameworkMessage};
use causeway_ffa::{Answer, Call, EndpointId, FfaError, FuncId, Version};

pub(super) fn render(out: &mut String) {
    put(out, format_args!("/* FF-A versions, as FFA_VERSION takes and returns them. */"));
    for (name, version) in [
        ("1_0", Version::V1_0),
        ("1_1", Version::V1_1),
        ("1_2", Version::V1_2),
        ("1_3", Version::V1_3),
    ] {
        put(out, format_args!("#define CAUSEWAY_FFA_V{name} UINT32_C({:#x})", version.raw()));
    }
    put(out, format_args!("\n/* FF-A function ids: w0. */"));
    for func in FuncId::ALL {
        put(out, format_args!("#define CAUSEWAY_{} UINT32_C({:#x})", func.name(), func.raw()));
    }
    put(out, format_args!("\n/* FF-A error codes: w2 of FFA_ERROR. */\nenum causeway_ffa_code {{"));
    for code in (-64..0).map(FfaError::from_code) {
        if !matches!(code, FfaError::Unknown(_)) {
            let name = constant(&format!("{code:?}"));
            put(out, format_args!("    CAUSEWAY_FFA_CODE_{name} = {},", code.code()));
        }
    }
    put(out, format_args!("}};\n\n{REGISTERS}"));
    framework(out);
    out.push_str(MESSAGES);
}

/// The words of w2 that say which framework message it is.
fn framework(out: &mut String) {
    let (vm, info) = (EndpointId::from_raw(1), None);
    let word = |message| {
        let framework = Framework { sender: vm, receiver: vm, message };
        if message.is_request() {
            Call::FrameworkReq(framework).encode().w(2)
        } else {
            Answer::FrameworkResp(framework).encode().w(2)
        }
    };
    put(
        out,
        format_args!("/* w2 of the hypervisor's messages on a VM's life, and of the answers. */"),
    );
    for (name, message) in [
        ("VM_CREATED", FrameworkMessage::VmCreated { info, vm }),
        ("VM_CREATED_RESP", FrameworkMessage::VmCreatedResp { status: Ok(()) }),
        ("VM_DESTROYED", FrameworkMessage::VmDestroyed { info, vm }),
        ("VM_DESTROYED_RESP", FrameworkMessage::VmDestroyedResp { status: Ok(()) }),
    ] {
        put(out, format_args!("#define CAUSEWAY_FFA_{name} UINT32_C({:#x})", word(message)));
    }
    out.push('\n');
}

const REGISTERS: &str = "\
/* The registers of a call, w0 in the lower half of x[0]; the answer takes their place. */
struct causeway_regs {
    uint64_t x[18];
};

";

const MESSAGES: &str = "\
/* Stands for an FF-A code where registers are no answer to what was asked. */
#define CAUSEWAY_FFA_NO_ANSWER INT32_C(1)

/* A frame from `sender` to the partition, as a direct request. */
static inline struct causeway_regs causeway_ffa_request(uint16_t sender, uint16_t partition,
                                                        const struct causeway_frame *frame)
{
    struct causeway_regs regs = {{0}};
    int at;

    regs.x[0] = CAUSEWAY_FFA_MSG_SEND_DIRECT_REQ_64;
    regs.x[1] = ((uint64_t)sender << 16) | partition;
    for (at = 0; at < 5; at++) {
        regs.x[3 + at] = frame->word[at];
    }
    return regs;
}

/* The FF-A code in registers that hold an FFA_ERROR. */
static inline int32_t causeway_ffa_code_of(const struct causeway_regs *regs)
{
    uint32_t code = (uint32_t)regs->x[2];

    if ((uint32_t)regs->x[0] != CAUSEWAY_FFA_ERROR || code < UINT32_C(0x80000000)) {
        return CAUSEWAY_FFA_NO_ANSWER;
    }
    return -(int32_t)(UINT32_MAX - code) - 1;
}

/* Takes the frame out of the partition's answer. 0, an FF-A code, or CAUSEWAY_FFA_NO_ANSWER: then
 * the frame is as it was. */
static inline int32_t causeway_ffa_answer(const struct causeway_regs *regs, uint16_t sender,
                                          uint16_t partition, struct causeway_frame *frame)
{
    int at;

    if ((uint32_t)regs->x[0] != CAUSEWAY_FFA_MSG_SEND_DIRECT_RESP_64) {
        return causeway_ffa_code_of(regs);
    }
    if ((uint32_t)regs->x[1] != (((uint32_t)partition << 16) | sender) ||
        (uint32_t)regs->x[2] != 0) {
        return CAUSEWAY_FFA_NO_ANSWER;
    }
    for (at = 0; at < 5; at++) {
        frame->word[at] = regs->x[3 + at];
    }
    return 0;
}

/* The hypervisor's word that a VM was created (CAUSEWAY_FFA_VM_CREATED) or is destroyed. */
static inline struct causeway_regs causeway_ffa_vm_message(uint16_t hypervisor, uint16_t partition,
                                                           uint32_t message, uint16_t vm)
{
    struct causeway_regs regs = {{0}};

    regs.x[0] = CAUSEWAY_FFA_MSG_SEND_DIRECT_REQ_32;
    regs.x[1] = ((uint64_t)hypervisor << 16) | partition;
    regs.x[2] = message;
    regs.x[3] = UINT32_MAX;
    regs.x[4] = UINT32_MAX;
    regs.x[5] = vm;
    return regs;
}

/* The partition's answer to it: 0, an FF-A code (CAUSEWAY_FFA_CODE_RETRY: say it again, it is not
 * done yet), or CAUSEWAY_FFA_NO_ANSWER. `response` is CAUSEWAY_FFA_VM_CREATED_RESP or the other. */
static inline int32_t causeway_ffa_vm_answer(const struct causeway_regs *regs, uint16_t hypervisor,
                                             uint16_t partition, uint32_t response)
{
    uint32_t status = (uint32_t)regs->x[3];

    if ((uint32_t)regs->x[0] != CAUSEWAY_FFA_MSG_SEND_DIRECT_RESP_32) {
        return causeway_ffa_code_of(regs);
    }
    if ((uint32_t)regs->x[1] != (((uint32_t)partition << 16) | hypervisor) ||
        (uint32_t)regs->x[2] != response) {
        return CAUSEWAY_FFA_NO_ANSWER;
    }
    if (status == 0) {
        return 0;
    }
    return status < UINT32_C(0x80000000) ? CAUSEWAY_FFA_NO_ANSWER
                                         : -(int32_t)(UINT32_MAX - status) - 1;
}

";
