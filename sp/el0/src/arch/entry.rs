//! Owns the first instructions: clears .bss, makes a stack, relocates the image. Never knows what is
//! served; and owns the copies out of what OP-TEE hands over at the start.
//!
//! OP-TEE enters at the first byte, with x0 = boot information, MMU on, every part mapped as the
//! manifest says; the memory behind .bss is not cleared by anybody.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.start, "ax"
    .globl _start
_start:
    mov x19, x0
    adrp x9, __bss_start
    add x9, x9, :lo12:__bss_start
    adrp x10, __bss_end
    add x10, x10, :lo12:__bss_end
1:  cmp x9, x10
    b.hs 2f
    stp xzr, xzr, [x9], #16
    b 1b
2:  adrp x9, __stack_top
    add x9, x9, :lo12:__stack_top
    mov sp, x9
    // R_AARCH64_RELATIVE (1027) and no other: the word at base + offset is base + addend.
    adr x10, _start
    adrp x11, __rela_start
    add x11, x11, :lo12:__rela_start
    adrp x12, __rela_end
    add x12, x12, :lo12:__rela_end
3:  cmp x11, x12
    b.hs 4f
    ldp x13, x14, [x11], #16
    ldr x15, [x11], #8
    cmp w14, #1027
    b.ne 5f
    add x15, x15, x10
    str x15, [x10, x13]
    b 3b
4:  mov x0, x19
    adrp x1, __relro_start
    add x1, x1, :lo12:__relro_start
    adrp x2, __relro_end
    add x2, x2, :lo12:__relro_end
    bl {main}
5:  brk #0
"#,
    main = sym crate::serve::main
);

/// Copies what OP-TEE put at `address` before it entered us. To be called before the first
/// FFA_MSG_WAIT, after which those pages are gone.
pub(crate) fn read_handed_over(address: u64, into: &mut [u8]) -> bool {
    let Some(start) = usize::try_from(address).ok().filter(|start| *start != 0) else {
        return false;
    };
    if start.checked_add(into.len()).is_none() {
        return false;
    }
    for (index, byte) in into.iter_mut().enumerate() {
        let source = start.wrapping_add(index) as *const u8;
        // SAFETY: OP-TEE 4.10 (`sp_first_run`) maps boot information and manifest for us, readable,
        // in whole pages until our first FFA_MSG_WAIT; the caller stays inside what they announce.
        // No Rust object lies there.
        *byte = unsafe { source.read_volatile() };
    }
    true
}
