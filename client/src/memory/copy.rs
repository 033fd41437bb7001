//! Owns the loops that copy bytes into and out of shared memory; the caller checks bounds.
#![expect(unsafe_code, reason = "shared memory is reached through raw pointers only")]

const WORD: usize = size_of::<u64>();

/// Words that are copied in one turn of a loop.
type Block = [u64; 4];

/// Bytes before the first aligned word at or after `address`, at most `len_bytes`.
fn lead(address: *mut u8, len_bytes: usize) -> usize {
    address.align_offset(WORD).min(len_bytes)
}

/// Copies out of shared memory.
///
/// # Safety
/// `from` must be valid for reads of `into.len()` bytes, which no Rust reference covers.
pub(super) unsafe fn out_of(from: *mut u8, into: &mut [u8]) {
    let (head, rest) = into.split_at_mut(lead(from, into.len()));
    let mut at = from;
    for byte in head {
        // SAFETY: `at` runs over the first `into.len()` bytes from `from`, once each.
        *byte = unsafe { at.read_volatile() };
        at = at.wrapping_add(1);
    }
    // Where the private side is aligned as well. Targets that load no unaligned words (bare-metal
    // ones are built so) put every other word together from eight bytes.
    // SAFETY: any bytes are a valid `Block`, and any `Block` is valid bytes.
    let rest = match unsafe { rest.align_to_mut::<Block>() } {
        ([], blocks, rest) => {
            for block in blocks {
                for word in block {
                    // SAFETY: as above, eight bytes at once; `at` is aligned: `lead` went before.
                    *word = unsafe { at.cast::<u64>().read_volatile() };
                    at = at.wrapping_add(WORD);
                }
            }
            rest
        }
        _ => rest,
    };
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    for word in words {
        // SAFETY: as above, eight bytes at once; `at` is aligned, since `lead` bytes went before.
        *word = unsafe { at.cast::<u64>().read_volatile() }.to_ne_bytes();
        at = at.wrapping_add(WORD);
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
pub(super) unsafe fn into(to: *mut u8, bytes: &[u8]) {
    let (head, rest) = bytes.split_at(lead(to, bytes.len()));
    let mut at = to;
    for byte in head {
        // SAFETY: `at` runs over the first `bytes.len()` bytes from `to`, once each.
        unsafe { at.write_volatile(*byte) };
        at = at.wrapping_add(1);
    }
    // As in `out_of`.
    // SAFETY: any bytes are a valid `Block`.
    let rest = match unsafe { rest.align_to::<Block>() } {
        ([], blocks, rest) => {
            for block in blocks {
                for word in block {
                    // SAFETY: as above, eight bytes at once; `at` is aligned: `lead` went before.
                    unsafe { at.cast::<u64>().write_volatile(*word) };
                    at = at.wrapping_add(WORD);
                }
            }
            rest
        }
        _ => rest,
    };
    let (words, tail) = rest.as_chunks::<WORD>();
    for word in words {
        // SAFETY: as above, eight bytes at once; `at` is aligned, since `lead` bytes went before.
        unsafe { at.cast::<u64>().write_volatile(u64::from_ne_bytes(*word)) };
        at = at.wrapping_add(WORD);
    }
    for byte in tail {
        // SAFETY: as for the head.
        unsafe { at.write_volatile(*byte) };
        at = at.wrapping_add(1);
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
        while left >= WORD {
            // SAFETY: `from` runs over bytes valid for reads and is aligned after `head`.
            let word = unsafe { from.cast::<u64>().read_volatile() };
            // SAFETY: `to` runs over bytes valid for writes and is aligned like `from`.
            unsafe { to.cast::<u64>().write_volatile(word) };
            (from, to) = (from.wrapping_add(WORD), to.wrapping_add(WORD));
            left = left.saturating_sub(WORD);
        }
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
