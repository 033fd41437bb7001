/*
 * A hypervisor's side in C, call by call: it registers at the partition, passes two VMs' calls on,
 * polls, and kills a VM. The same as client/examples/hypervisor.rs, over causeway.h. What it does with
 * page tables stands here as a line of text.
 */
#include "platform.h"

#include <stdio.h>

#define HYPERVISOR 0
#define OWNER 1
#define PEER 2
#define PAGES 4
#define DEADLINE_WITHIN_MS 1000

/* Says what went wrong, and is the failure. */
static int fail(const struct platform *on, const char *doing, const char *why)
{
    char line[160];

    snprintf(line, sizeof(line), "%s: %s", doing, why);
    on->say(on->context, line);
    return -1;
}

/* A call of FF-A. 0, or the code with which it was refused. */
static int32_t ffa(const struct platform *on, struct causeway_regs *regs)
{
    on->call(on->context, regs);
    return (uint32_t)regs->x[0] == CAUSEWAY_FFA_ERROR ? causeway_ffa_code_of(regs) : 0;
}

/* A frame of `sender`: the hypervisor's own, or a VM's with the id that the hypervisor vouches for.
 * The answer takes the frame's place. 0 if the partition carried the call out. */
static int ask(const struct platform *on, uint16_t sender, struct causeway_frame *frame)
{
    uint8_t call = (uint8_t)frame->word[0];
    struct causeway_regs regs = causeway_ffa_request(sender, on->partition, frame);
    uint16_t status;

    on->call(on->context, &regs);
    if (causeway_ffa_answer(&regs, sender, on->partition, frame) != 0) {
        return fail(on, "a frame", "the SPMC did not bring it to the partition");
    }
    status = causeway_status_of(frame, call);
    if (status != CAUSEWAY_STATUS_OK) {
        return fail(on, "the partition refused a call", causeway_status_rule(status));
    }
    return 0;
}

/* Word of a VM's life. RETRY: the partition has more to do, say it again. */
static int tell(const struct platform *on, uint32_t message, uint32_t response, uint16_t vm)
{
    int32_t code;
    int times;

    for (times = 0; times < 1000; times++) {
        struct causeway_regs regs =
            causeway_ffa_vm_message(HYPERVISOR, on->partition, message, vm);

        on->call(on->context, &regs);
        code = causeway_ffa_vm_answer(&regs, HYPERVISOR, on->partition, response);
        if (code != CAUSEWAY_FFA_CODE_RETRY) {
            return code == 0 ? 0 : fail(on, "word of a VM's life", "refused");
        }
    }
    return fail(on, "word of a VM's life", "the partition never ends");
}

/* FF-A 1.1 and a buffer pair: without these the SPMC takes no memory. */
static int start(const struct platform *on)
{
    struct causeway_regs version = {{CAUSEWAY_FFA_VERSION, CAUSEWAY_FFA_V1_1}};
    struct causeway_regs map = {
        {CAUSEWAY_FFA_RXTX_MAP_64, on->tx_address, on->rx_address, 1}};

    on->call(on->context, &version);
    if ((uint32_t)version.x[0] >> 16 != CAUSEWAY_FFA_V1_1 >> 16) {
        return fail(on, "FFA_VERSION", "no version 1");
    }
    return ffa(on, &map) == 0 ? 0 : fail(on, "FFA_RXTX_MAP", "refused");
}

/* Passes a VM's FFA_MEM_SHARE on: the descriptor with physical addresses, from the own TX. */
static int share(const struct platform *on, uint64_t *handle)
{
    uint16_t borrowers[2] = {0, PEER};
    uint8_t bytes[256];
    size_t length;
    struct causeway_regs regs = {{CAUSEWAY_FFA_MEM_SHARE_32}};

    borrowers[0] = on->partition;
    length = share_pack(bytes, sizeof(bytes), OWNER, borrowers, on->vm_address, PAGES);
    if (length == 0 || on->write_tx(on->context, bytes, length) != 0) {
        return fail(on, "a descriptor", "it does not fit");
    }
    regs.x[1] = length;
    regs.x[2] = length;
    if (ffa(on, &regs) != 0) {
        return fail(on, "FFA_MEM_SHARE", "refused");
    }
    *handle = (regs.x[2] & UINT32_MAX) | (regs.x[3] << 32);
    return 0;
}

static int32_t reclaim(const struct platform *on, uint64_t handle)
{
    struct causeway_regs regs = {{CAUSEWAY_FFA_MEM_RECLAIM}};

    regs.x[1] = handle & UINT32_MAX;
    regs.x[2] = handle >> 32;
    return ffa(on, &regs);
}

/* VM 1 shares and offers, the partition rings, VM 2 accepts what it inspected and maps. */
static int grant(const struct platform *on, uint64_t *handle)
{
    struct causeway_frame frame;
    char line[80];
    unsigned vm;

    if (share(on, handle) != 0) {
        return -1;
    }
    frame = causeway_call_offer(*handle, PEER, CAUSEWAY_KIND_SHARE,
                                CAUSEWAY_PERMISSION_READ_WRITE, 0);
    if (ask(on, OWNER, &frame) != 0) {
        return -1;
    }
    on->say(on->context, "VM 1 shared 4 pages and offered them to VM 2");
    if (!on->take_bell(on->context)) {
        return fail(on, "the offer", "the partition did not ring");
    }
    frame = causeway_call_hyp_poll();
    if (ask(on, HYPERVISOR, &frame) != 0) {
        return -1;
    }
    for (vm = 0; vm < 64 && causeway_hyp_poll_doorbells(&frame) >> vm != 1; vm++) {
    }
    snprintf(line, sizeof(line), "the partition rang: doorbell of VM %u", vm);
    on->say(on->context, line);

    frame = causeway_call_inspect(*handle, 0);
    if (ask(on, PEER, &frame) != 0) {
        return -1;
    }
    frame = causeway_call_accept(
        *handle, causeway_inspect_owner(&frame), causeway_inspect_permission(&frame),
        causeway_inspect_kind(&frame), causeway_inspect_generation(&frame),
        causeway_inspect_page_count(&frame), causeway_inspect_range_count(&frame),
        causeway_inspect_fold(&frame));
    if (ask(on, PEER, &frame) != 0) {
        return -1;
    }
    on->say(on->context, "VM 2 inspected and accepted");
    frame = causeway_call_hyp_mapping(*handle, PEER);
    if (ask(on, HYPERVISOR, &frame) != 0) {
        return -1;
    }
    on->say(on->context, "VM 2 retrieves: the partition allows it, stage 2 is changed");
    return 0;
}

/* VM 1 dies while VM 2 maps its pages. */
static int kill(const struct platform *on, uint64_t handle)
{
    struct causeway_frame frame;
    char line[80];
    int waited;

    on->say(on->context, "VM 1 dies: its vCPUs are stopped, what it had borrowed is unmapped");
    if (tell(on, CAUSEWAY_FFA_VM_DESTROYED, CAUSEWAY_FFA_VM_DESTROYED_RESP, OWNER) != 0) {
        return -1;
    }
    if (reclaim(on, handle) != CAUSEWAY_FFA_CODE_DENIED) {
        return fail(on, "an early reclaim", "not denied");
    }
    on->say(on->context, "its pages are still VM 2's to read: reclaim refused: Denied");
    for (waited = 0;; waited += 50) {
        frame = causeway_call_hyp_poll();
        if (ask(on, HYPERVISOR, &frame) != 0) {
            return -1;
        }
        if (causeway_hyp_poll_unmap_handle(&frame) != CAUSEWAY_NO_HANDLE) {
            break;
        }
        if (waited > DEADLINE_WITHIN_MS) {
            return fail(on, "the deadline", "it never passed");
        }
        on->pass(on->context, 50);
    }
    snprintf(line, sizeof(line), "after the deadline the partition asks: unmap VM %u",
             (unsigned)causeway_hyp_poll_unmap_vm(&frame));
    on->say(on->context, line);
    frame = causeway_call_hyp_unmapped(causeway_hyp_poll_unmap_handle(&frame), PEER);
    if (ask(on, HYPERVISOR, &frame) != 0) {
        return -1;
    }
    if (reclaim(on, handle) != 0) {
        return fail(on, "the reclaim", "refused");
    }
    on->say(on->context, "unmapped, confirmed, reclaimed: the pages can be scrubbed and used again");
    if (tell(on, CAUSEWAY_FFA_VM_CREATED, CAUSEWAY_FFA_VM_CREATED_RESP, OWNER) != 0) {
        return -1;
    }
    on->say(on->context, "a new VM has the id 1");
    return 0;
}

int hypervisor_run(const struct platform *on)
{
    struct causeway_frame frame;
    uint64_t handle;

    if (start(on) != 0) {
        return -1;
    }
    frame = causeway_call_version(CAUSEWAY_VERSION_MINOR);
    if (ask(on, HYPERVISOR, &frame) != 0 ||
        causeway_version_major(&frame) != CAUSEWAY_VERSION_MAJOR) {
        return fail(on, "VERSION", "another major version");
    }
    /* Any non-secure SGI and core will do. */
    frame = causeway_call_hyp_register(0, 0);
    if (ask(on, HYPERVISOR, &frame) != 0) {
        return -1;
    }
    on->say(on->context, "registered at the partition");
    return grant(on, &handle) != 0 ? -1 : kill(on, handle);
}
