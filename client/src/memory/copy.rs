//! Owns the loops that copy bytes into and out of shared memory; the caller checks bounds.
#![expect(unsafe_code, reason = "shared memory is reached through raw pointers only")]

const WORD: usize = size_of::<u64>();

/// Words that are copied in one turn of the loop.
const LINE: usize = 8;

/// Bytes before the first aligned word at or after `address`, at most `len_bytes`.
fn lead(address: *mut u8, len_bytes: usize) -> usize {
    address.align_offset(WORD).min(len_bytes)
}

/// Copies out of shared memory.
///
/// # Safety
/// `from` must be valid for reads of `into.len()` bytes, which no Rust reference covers.
#[inline]
pub(super) unsafe fn out_of(from: *mut u8, into: &mut [u8]) {
    let (head, rest) = into.split_at_mut(lead(from, into.len()));
    let mut at = from;
    for byte in head {
        // SAFETY: `at` runs over the first `into.len()` bytes from `from`, once each.
        *byte = unsafe { at.read_volatile() };
        at = at.wrapping_add(1);
    }
    let (chunks, tail) = rest.as_chunks_mut::<WORD>();
    let private = chunks.as_mut_ptr().cast::<u64>();
    if private.is_aligned() {
        // SAFETY: the words from `at` on lie in what the caller promised, and `lead` aligned them;
        // those from `private` on are `chunks`, whose alignment was just looked at.
        unsafe { words(at.cast(), private, chunks.len()) };
        at = at.wrapping_add(chunks.len().wrapping_mul(WORD));
    } else {
        // Targets that load no unaligned words (bare-metal ones are built so) put each together from
        // eight bytes.
        for word in chunks {
            // SAFETY: as above, eight bytes at once; `at` is aligned: `lead` went before.
            *word = unsafe { at.cast::<u64>().read_volatile() }.to_ne_bytes();
            at = at.wrapping_add(WORD);
        }
    }
    for byte in tail {
        // SAFETY: as for the head.
        *byte = unsafe { at.read_volatile() };
        at = at.wrapping_add(1);
    }
}

/// Copies into shared memory.
///
/// # Safety
/// `to` must be valid for writes of `bytes.len()` bytes, which no Rust reference covers.
#[inline]
pub(super) unsafe fn into(to: *mut u8, bytes: &[u8]) {
    let (head, rest) = bytes.split_at(lead(to, bytes.len()));
    let mut at = to;
    for byte in head {
        // SAFETY: `at` runs over the first `bytes.len()` bytes from `to`, once each.
        unsafe { at.write_volatile(*byte) };
        at = at.wrapping_add(1);
    }
    let (chunks, tail) = rest.as_chunks::<WORD>();
    let private = chunks.as_ptr().cast::<u64>();
    if private.is_aligned() {
        // SAFETY: the words from `at` on lie in what the caller promised, and `lead` aligned them;
        // those from `private` on are `chunks`, whose alignment was just looked at.
        unsafe { words(private, at.cast(), chunks.len()) };
        at = at.wrapping_add(chunks.len().wrapping_mul(WORD));
    } else {
        for word in chunks {
            // SAFETY: as above, eight bytes at once; `at` is aligned: `lead` went before.
            unsafe { at.cast::<u64>().write_volatile(u64::from_ne_bytes(*word)) };
            at = at.wrapping_add(WORD);
        }
    }
    for byte in tail {
        // SAFETY: as for the head.
        unsafe { at.write_volatile(*byte) };
        at = at.wrapping_add(1);
    }
}

/// Copies aligned words, each of them read once and written once, in ascending order.
///
/// # Safety
/// `from` must be valid for reads and `to` for writes of `count` words, both aligned; no Rust
/// reference covers what others may change.
#[inline]
unsafe fn words(from: *const u64, to: *mut u64, count: usize) {
    let whole = count / LINE;
    if whole > 0 {
        // SAFETY: `whole` lines are at most the `count` words that the caller promised.
        unsafe { lines(from, to, whole) };
    }
    for index in whole.wrapping_mul(LINE)..count {
        // SAFETY: `index` is below the count for which `from` is valid.
        let word = unsafe { from.wrapping_add(index).read_volatile() };
        // SAFETY: `index` is below the count for which `to` is valid.
        unsafe { to.wrapping_add(index).write_volatile(word) };
    }
}

/// Copies lines of eight words by pairs: ten instructions for 64 bytes. The compiler leaves volatile
/// words alone and would need twice as many.
///
/// # Safety
/// As for [`words`]; `count` is not 0.
#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline]
unsafe fn lines(from: *const u64, to: *mut u64, count: usize) {
    // SAFETY: each turn reads the next 64 bytes from `from` and writes them at `to`, `count` times,
    // as the caller promised; a pair of words is two accesses of a word each (DDI0487, B2.2.1).
    unsafe {
        core::arch::asm!(
            "2:",
            "ldp {a}, {b}, [{from}], #64",
            "ldp {c}, {d}, [{from}, #-48]",
            "ldp {e}, {f}, [{from}, #-32]",
            "ldp {g}, {h}, [{from}, #-16]",
            "stp {a}, {b}, [{to}], #64",
            "stp {c}, {d}, [{to}, #-48]",
            "stp {e}, {f}, [{to}, #-32]",
            "stp {g}, {h}, [{to}, #-16]",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            count = inout(reg) count => _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
            options(nostack),
        );
    }
}

/// Copies lines of eight words.
///
/// # Safety
/// As for [`words`].
#[cfg(not(all(target_arch = "aarch64", not(miri))))]
#[inline]
unsafe fn lines(from: *const u64, to: *mut u64, count: usize) {
    for index in 0..count.wrapping_mul(LINE) {
        // SAFETY: `index` is below the count for which `from` is valid.
        let word = unsafe { from.wrapping_add(index).read_volatile() };
        // SAFETY: `index` is below the count for which `to` is valid.
        unsafe { to.wrapping_add(index).write_volatile(word) };
    }
}

/// Sets shared memory to one value.
///
/// # Safety
/// `to` must be valid for writes of `len_bytes` bytes, which no Rust reference covers.
pub(super) unsafe fn fill(to: *mut u8, len_bytes: usize, byte: u8) {
    let line = [byte; 64];
    let mut at = to;
    let mut left = len_bytes;
    while left > 0 {
        let step = left.min(line.len());
        // SAFETY: `at` runs over the first `len_bytes` bytes from `to`; `step` are left.
        unsafe { into(at, line.split_at(step).0) };
        at = at.wrapping_add(step);
        left = left.saturating_sub(step);
    }
}

/// Copies from shared memory to shared memory, in ascending order.
///
/// # Safety
/// `from` must be valid for reads and `to` for writes of `len_bytes` bytes, which no Rust
/// reference covers.
pub(super) unsafe fn between(from: *mut u8, to: *mut u8, len_bytes: usize) {
    let (mut from, mut to, mut left) = (from, to, len_bytes);
    if lead(from, WORD) == lead(to, WORD) {
        let head = lead(from, left);
        // SAFETY: `head` is at most `len_bytes`, for which both pointers are valid.
        unsafe { by_bytes(from, to, head) };
        (from, to) = (from.wrapping_add(head), to.wrapping_add(head));
        left = left.saturating_sub(head);
        // SAFETY: of the bytes that are left, both pointers are valid for as many whole words, and
        // aligned after `head`.
        unsafe { words(from.cast(), to.cast(), left / WORD) };
        let done = (left / WORD).wrapping_mul(WORD);
        (from, to) = (from.wrapping_add(done), to.wrapping_add(done));
        left = left.saturating_sub(done);
    }
    // SAFETY: `left` bytes remain of those for which both pointers are valid.
    unsafe { by_bytes(from, to, left) };
}

/// Copies byte by byte.
///
/// # Safety
/// As for [`between`].
unsafe fn by_bytes(from: *mut u8, to: *mut u8, len_bytes: usize) {
    for index in 0..len_bytes {
        // SAFETY: `index` is below the length for which `from` is valid.
        let byte = unsafe { from.wrapping_add(index).read_volatile() };
        // SAFETY: `index` is below the length for which `to` is valid.
        unsafe { to.wrapping_add(index).write_volatile(byte) };
    }
}
