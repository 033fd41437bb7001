//! Owns the whole of the empty partition: each message goes back as it came; where an area is offered
//! it is retrieved, where one is let go it is relinquished. Never checks, keeps or maps anything.
//!
//! It runs with the MMU off, on one core.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;

global_asm!(
    ".section .text.start, \"ax\"",
    ".global empty_start",
    "empty_start:",
    "adrp x0, empty_stack_top",
    "add x0, x0, :lo12:empty_stack_top",
    "mov sp, x0",
    "b {main}",
    main = sym main,
);

type Regs = [u64; 8];

/// FF-A function ids. Source: DEN0077A 1.1, table 13.1 and the chapters of each.
const RETRIEVE_RESP: u64 = 0x8400_0075;
const FRAG_RX: u64 = 0x8400_007a;
const FRAG_TX: u64 = 0x8400_007b;
const RX_RELEASE: u64 = 0x8400_0065;
const MSG_WAIT: u64 = 0x8400_006b;
const RELINQUISH: u64 = 0x8400_0076;
const RXTX_MAP: u64 = 0xc400_0066;
const DIRECT_RESP: u64 = 0xc400_0070;
const RETRIEVE_REQ: u64 = 0xc400_0074;

/// The calls of the service that make the SPMC work: OFFER; REVOKE, REJECT and RELEASE.
const OFFER: u64 = 0x20;
const LETS_GO: [u64; 3] = [0x21, 0x33, 0x34];
/// The peer field that means "the partition only".
const NO_PEER: u64 = 0xffff;
/// Our own id, as the manifest states it.
const SELF: u64 = 0x8001;
/// What an answer begins with where the SPMC refused: no call has this number.
const REFUSED: u64 = u64::MAX;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; 512]>);

// SAFETY: one core runs, and EL3 touches the pages only inside its calls.
unsafe impl Sync for Page {}

static TX: Page = Page(UnsafeCell::new([0; 512]));
static RX: Page = Page(UnsafeCell::new([0; 512]));

fn smc(regs: Regs) -> Regs {
    let mut r = regs;
    // SAFETY: SMCCC: EL3 changes x0-x17 only, and of memory only the two pages, which are never
    // borrowed.
    unsafe {
        asm!("smc #0", inout("x0") r[0], inout("x1") r[1], inout("x2") r[2], inout("x3") r[3],
            inout("x4") r[4], inout("x5") r[5], inout("x6") r[6], inout("x7") r[7],
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
            out("x14") _, out("x15") _, out("x16") _, out("x17") _, options(nostack));
    }
    r
}

fn put(words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        let pointer = TX.0.get().cast::<u64>().wrapping_add(index);
        // SAFETY: `words` has at most ten elements, so the pointer lies in the page.
        unsafe { pointer.write_volatile(*word) };
    }
}

extern "C" fn main() -> ! {
    let (tx, rx) = (TX.0.get() as u64, RX.0.get() as u64);
    smc([RXTX_MAP, tx, rx, 1, 0, 0, 0, 0]);
    let mut r = smc([MSG_WAIT, 0, 0, 0, 0, 0, 0, 0]);
    loop {
        let call = r[3] & 0xff;
        let done = match call {
            OFFER => retrieve(r[1] >> 16 & 0xffff, r[4], r[5], r[6]),
            call if LETS_GO.contains(&call) => relinquish(r[4]),
            _ => true,
        };
        let parties = r[1] >> 16 & 0xffff | (r[1] & 0xffff) << 16;
        let word = if done { r[3] } else { REFUSED };
        r = smc([DIRECT_RESP, parties, 0, word, r[4], r[5], r[6], r[7]]);
    }
}

/// Retrieves an area as our partition does, by the same descriptor bit for bit: every borrower listed,
/// not executable, the kind in the flags; the whole response fetched and RX released. Source: DEN0077A 1.1, tables 10.16, 10.20 and 11.25.
fn retrieve(owner: u64, handle: u64, terms: u64, tag: u64) -> bool {
    let (peer, permission) = (terms & 0xffff, terms >> 24 & 0xff | 4);
    // Share, lend, donate: 1, 2, 3 in bits 4:3 of the flags, which are the header's upper half.
    let kind = ((terms >> 16 & 0xff) + 1) << 35;
    let count = if peer == NO_PEER { 1 } else { 2 };
    let len = 48 + 16 * count;
    let receiver = |id: u64| id | permission << 16;
    put(&[
        owner | kind,
        handle,
        tag,
        16 | count << 32,
        48,
        0,
        receiver(SELF),
        0,
        receiver(peer),
        0,
    ]);
    let mut answer = smc([RETRIEVE_REQ, len, len, 0, 0, 0, 0, 0]);
    if answer[0] != RETRIEVE_RESP {
        return false;
    }
    let (total, mut have) = (answer[1], answer[2]);
    smc([RX_RELEASE, 0, 0, 0, 0, 0, 0, 0]);
    while have < total {
        answer = smc([FRAG_RX, handle & 0xffff_ffff, handle >> 32, have, 0, 0, 0, 0]);
        if answer[0] != FRAG_TX {
            return false;
        }
        have += answer[3];
        smc([RX_RELEASE, 0, 0, 0, 0, 0, 0, 0]);
    }
    true
}

/// Source: DEN0077A 1.1, table 11.27.
fn relinquish(handle: u64) -> bool {
    put(&[handle, 1 << 32, SELF]);
    smc([RELINQUISH, 0, 0, 0, 0, 0, 0, 0])[0] == 0x8400_0061
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
