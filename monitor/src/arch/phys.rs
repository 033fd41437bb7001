//! Owns copies to and from physical memory that a VM or the loader wrote; never keeps a reference.
//!
//! VMs write their memory whenever they like, so it is never `&` or `&mut`: each function copies
//! word by word, once, with volatile accesses (KB-10).

use causeway_monitor::layout::{CONFIG, PACK, PhysRange, VmIndex};

const WORD: usize = size_of::<u64>();

/// Physical memory that the monitor may copy from or to: a range inside one VM's RAM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestBytes {
    base: u64,
    len_bytes: u64,
}

impl GuestBytes {
    /// A range of `vm`'s RAM; `None` unless it lies wholly inside and begins on a word.
    pub(crate) fn of_vm(vm: VmIndex, range: PhysRange) -> Option<Self> {
        let ram = vm.ram();
        let end = range.base.checked_add(range.len_bytes)?;
        let inside = range.base >= ram.base && end <= ram.end();
        (inside && range.base.is_multiple_of(WORD as u64))
            .then_some(Self { base: range.base, len_bytes: range.len_bytes })
    }

    /// Copies from the range into `out`; what is longer than the range stays as it was.
    pub(crate) fn read(self, out: &mut [u8]) {
        for (index, chunk) in out.chunks_mut(WORD).enumerate() {
            let Some(pointer) = self.word(index, chunk.len()) else { return };
            // SAFETY: `word` gives an aligned pointer into RAM that `arch::mmu` maps read-write
            // for the monitor's whole life; a volatile read of 8 bytes has no other effect.
            let value = unsafe { pointer.read_volatile() };
            chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
        }
    }

    /// Copies `bytes` into the range, zeroing the rest of the last word.
    pub(crate) fn write(self, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(WORD).enumerate() {
            let Some(pointer) = self.word(index, chunk.len()) else { return };
            let mut value = [0; WORD];
            value[..chunk.len()].copy_from_slice(chunk);
            // SAFETY: as in `read`; no Rust reference to a VM's RAM exists anywhere.
            unsafe { pointer.write_volatile(u64::from_le_bytes(value)) };
        }
    }

    /// Zeroes the range.
    pub(crate) fn zero(self) {
        let words = self.len_bytes as usize / WORD;
        for index in 0..words {
            let Some(pointer) = self.word(index, WORD) else { return };
            // SAFETY: as in `write`.
            unsafe { pointer.write_volatile(0) };
        }
    }

    /// Makes what was written visible to a VM whose caches are off, and forgets old instructions.
    pub(crate) fn clean_for_guest(self) {
        let mut line = self.base & !63;
        while line < self.base + self.len_bytes {
            // SAFETY: cleaning and invalidating by address changes no memory contents; the address
            // lies in mapped RAM.
            unsafe { core::arch::asm!("dc civac, {}", in(reg) line, options(nostack)) };
            line += 64;
        }
        // SAFETY: invalidating instruction caches only makes them be refilled.
        unsafe { core::arch::asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack)) };
    }

    fn word(self, index: usize, needed: usize) -> Option<*mut u64> {
        let offset = index.checked_mul(WORD)? as u64;
        let whole = offset.checked_add(needed as u64)? <= self.len_bytes;
        whole.then_some((self.base + offset) as usize as *mut u64)
    }
}

/// Copies the boot configuration text that the loader left.
pub(crate) fn read_config(out: &mut [u8]) {
    let len = out.len().min(CONFIG.len_bytes as usize);
    for (index, chunk) in out[..len].chunks_mut(WORD).enumerate() {
        let pointer = (CONFIG.base as usize + index * WORD) as *const u64;
        // SAFETY: the range is mapped read-only, aligned, and bounded by CONFIG.len_bytes.
        let value = unsafe { pointer.read_volatile() };
        chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
    }
}

/// Returns the guest pack, which lies behind the monitor's image.
pub(crate) fn guest_pack() -> &'static [u8] {
    // SAFETY: the pack is part of the image that EL3 loaded and verified; `arch::mmu` maps it
    // read-only, no VM maps it, and nothing writes it while the monitor lives.
    unsafe { core::slice::from_raw_parts(PACK.base as usize as *const u8, PACK.len_bytes as usize) }
}
