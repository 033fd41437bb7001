//! Owns the fake platform's memory where other processes may map it: one sealed memfd a bank. Never
//! takes any of it back.
#![expect(unsafe_code, reason = "mapped files are memory of this process")]

use causeway_client::memory::Window;
use causeway_client::vhost_user::{AreaFile, AreaFiles};
use causeway_ffa::PageRange;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::atomic::AtomicU8;
use std::sync::{Mutex, PoisonError};

/// A bank that is mapped, for ever.
#[derive(Debug)]
struct Bank {
    file: OwnedFd,
    bytes: &'static [AtomicU8],
}

static BANKS: Mutex<Vec<&'static Bank>> = Mutex::new(Vec::new());

/// The bytes of one bank of a fake machine: for `Setup::memory`.
pub(crate) fn memory(range: PageRange) -> Option<&'static [AtomicU8]> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("causeway-bank", flags).ok()?;
    ftruncate(&file, range.len_bytes()).ok()?;
    // Whoever gets the file can then not cut it short under us.
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).ok()?;
    let len_bytes = usize::try_from(range.len_bytes()).ok()?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address that the system chooses touches no memory that is in use.
    let base = unsafe { mmap(ptr::null_mut(), len_bytes, access, MapFlags::SHARED, &file, 0) };
    // SAFETY: the mapping has this length and is never taken away; the file cannot shrink. Bytes that
    // others write meanwhile are atomics.
    let bytes = unsafe { std::slice::from_raw_parts(base.ok()?.cast::<AtomicU8>(), len_bytes) };
    let bank: &'static Bank = Box::leak(Box::new(Bank { file, bytes }));
    BANKS.lock().unwrap_or_else(PoisonError::into_inner).push(bank);
    Some(bytes)
}

/// Knows the file behind each window on that memory.
#[derive(Debug)]
pub(crate) struct Files;

impl AreaFiles for Files {
    fn file(&self, window: &Window) -> Option<AreaFile<'_>> {
        let start = window.pointer().addr().get();
        let banks = BANKS.lock().unwrap_or_else(PoisonError::into_inner);
        banks.iter().find_map(|bank| {
            let offset = start.checked_sub(bank.bytes.as_ptr().addr())?;
            let end = offset.checked_add(window.len_bytes())?;
            let offset_bytes = u64::try_from(offset).ok()?;
            let file = bank.file.as_fd();
            (end <= bank.bytes.len()).then_some(AreaFile { file, offset_bytes })
        })
    }
}
