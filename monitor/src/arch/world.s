/* Owns the switch between the monitor and a VM. Never looks at why a VM stopped. */

.section .text.world, "ax"

/* u64 world_run(Context *context): x0-x30, then ELR and SPSR, lie at `context`. */
.global world_run
world_run:
    stp x29, x30, [sp, #-96]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    msr tpidr_el2, x0
    ldp x1, x2, [x0, #248]
    msr elr_el2, x1
    msr spsr_el2, x2
    ldp x2, x3, [x0, #16]
    ldp x4, x5, [x0, #32]
    ldp x6, x7, [x0, #48]
    ldp x8, x9, [x0, #64]
    ldp x10, x11, [x0, #80]
    ldp x12, x13, [x0, #96]
    ldp x14, x15, [x0, #112]
    ldp x16, x17, [x0, #128]
    ldp x18, x19, [x0, #144]
    ldp x20, x21, [x0, #160]
    ldp x22, x23, [x0, #176]
    ldp x24, x25, [x0, #192]
    ldp x26, x27, [x0, #208]
    ldp x28, x29, [x0, #224]
    ldr x30, [x0, #240]
    ldp x0, x1, [x0]
    eret
    /* No speculation past the ERET. */
    dsb nsh
    isb

/* From a VM: x0 and x1 lie on the stack, x1 holds the kind. */
guest_exit:
    mrs x0, tpidr_el2
    stp x2, x3, [x0, #16]
    stp x4, x5, [x0, #32]
    stp x6, x7, [x0, #48]
    stp x8, x9, [x0, #64]
    stp x10, x11, [x0, #80]
    stp x12, x13, [x0, #96]
    stp x14, x15, [x0, #112]
    stp x16, x17, [x0, #128]
    stp x18, x19, [x0, #144]
    stp x20, x21, [x0, #160]
    stp x22, x23, [x0, #176]
    stp x24, x25, [x0, #192]
    stp x26, x27, [x0, #208]
    stp x28, x29, [x0, #224]
    str x30, [x0, #240]
    mov x4, x1
    ldp x2, x3, [sp], #16
    stp x2, x3, [x0]
    mrs x2, elr_el2
    mrs x3, spsr_el2
    stp x2, x3, [x0, #248]
    mov x0, x4
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp x29, x30, [sp], #96
    ret

/* The monitor's own fault may be a stack overflow: the last words have a stack of their own. */
.macro from_monitor kind
    .balign 128
    adrp x1, last_words_top
    add x1, x1, :lo12:last_words_top
    mov sp, x1
    mov x0, #\kind
    b monitor_fault
.endm

.macro from_guest kind
    .balign 128
    stp x0, x1, [sp, #-16]!
    mov x1, #\kind
    b guest_exit
.endm

.balign 2048
.global monitor_vectors
monitor_vectors:
    from_monitor 0
    from_monitor 1
    from_monitor 2
    from_monitor 3
    from_monitor 4
    from_monitor 5
    from_monitor 6
    from_monitor 7
    from_guest 0
    from_guest 1
    from_guest 2
    from_guest 3
    /* AArch32 guests: HCR_EL2.RW keeps EL1 in AArch64. */
    from_guest 0
    from_guest 1
    from_guest 2
    from_guest 3

.section .bss.last_words, "aw", @nobits
.balign 16
    .space 16384
last_words_top:
