//! Owns replay-protected memory: one area for each VM, programmed with a key once, then written only
//! by requests that prove the key and carry the current write counter. Never shows a key.
//!
//! Source: JESD84-B51, 6.6.22 (frames, requests, results); virtio 1.3, 5.12 (the device's limits).
//! The MAC is HMAC-SHA256 over bytes 228 to 511 of each frame.

pub mod frame;
#[cfg(test)]
mod tests;

use crate::flash::NorFlash;
use crate::store::{Key, Kind, Store, StoreError};
use frame::{BLOCK, Frame, Outcome, Request};
use zeroize::Zeroizing;

/// Blocks of 256 bytes in one VM's area: 128 KiB, the smallest that virtio can name.
pub const BLOCKS: u16 = 512;

/// Blocks that one write request may carry. One, so that each write is a single record in the
/// store, and with it the counter: all or nothing, whenever the power fails.
pub const MAX_WRITE: u16 = 1;

/// Blocks that one read request may ask for.
pub const MAX_READ: u16 = 16;

/// Blocks in one record of the store.
const PAGE_BLOCKS: u16 = 16;
const PAGE_BYTES: usize = 4096;
/// The write counter after the record's last write, then the blocks.
const RECORD: usize = 4 + PAGE_BYTES;

/// The RPMB area of one VM: what the device remembers between requests. Everything durable is in
/// the store.
#[derive(Debug, Default)]
pub struct Area {
    /// Known after the first request; the highest of the records.
    counter: Option<u32>,
    /// The answer that a result read will fetch.
    result: Option<(Request, Outcome, u16, u32)>,
}

impl Area {
    /// An area that has not been used since power-on.
    #[must_use]
    pub const fn new() -> Self {
        Self { counter: None, result: None }
    }

    /// Carries out one request frame of `vm`; writes the response frames into `into` and returns
    /// how many there are. Programming and writing have none: their result is read.
    ///
    /// A request that the definitions don't know, or that does not fit `into`, has no response:
    /// `None`, and nothing changed.
    pub fn request<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        vm: u16,
        request: &Frame,
        into: &mut [Frame],
    ) -> Option<usize> {
        match request.request()? {
            Request::ProgramKey => {
                let outcome = self.program(store, vm, request);
                self.result = Some((Request::ProgramKey, outcome, 0, 0));
                Some(0)
            }
            Request::Write => {
                let outcome = self.write(store, vm, request);
                let counter = self.counter(store, vm).unwrap_or(0);
                self.result = Some((Request::Write, outcome, request.address(), counter));
                Some(0)
            }
            Request::ReadResult => {
                let answer = into.first_mut()?;
                let (of, outcome, address, counter) = self.result.take().unwrap_or((
                    Request::ReadResult,
                    Outcome::GeneralFailure,
                    0,
                    0,
                ));
                *answer = Frame::response(of, outcome);
                answer.set_address(address);
                answer.set_counter(counter);
                self.seal_if_keyed(store, vm, core::slice::from_mut(answer), of);
                Some(1)
            }
            Request::ReadCounter => {
                let answer = into.first_mut()?;
                let (outcome, counter) = match self.counter_if_keyed(store, vm) {
                    Ok(counter) => (expired(Outcome::Ok, counter), counter),
                    Err(outcome) => (outcome, 0),
                };
                *answer = Frame::response(Request::ReadCounter, outcome);
                answer.set_counter(counter);
                answer.set_nonce(request.nonce());
                self.seal_if_keyed(store, vm, core::slice::from_mut(answer), Request::ReadCounter);
                Some(1)
            }
            Request::Read => self.read(store, vm, request, into),
        }
    }

    /// A programming or writing that was refused before it came here: the next result read says so, and
    /// not what an older request met.
    pub fn refuse<F: NorFlash>(
        &mut self,
        store: Option<&mut Store<F>>,
        vm: u16,
        of: Request,
        address: u16,
    ) {
        let counter = match (of, store) {
            (Request::Write, Some(store)) => self.counter(store, vm).unwrap_or(0),
            _ => 0,
        };
        self.result = Some((of, Outcome::WriteFailure, address, counter));
    }

    fn program<F: NorFlash>(&self, store: &mut Store<F>, vm: u16, request: &Frame) -> Outcome {
        match load_key(store, vm) {
            // Once, and never again.
            Ok(Some(_)) => Outcome::GeneralFailure,
            Ok(None) => match store.put(key_name(vm), request.key_mac()) {
                Ok(()) => Outcome::Ok,
                Err(_) => Outcome::WriteFailure,
            },
            Err(_) => Outcome::GeneralFailure,
        }
    }

    /// The order of the checks is that of the definitions: key, expiry, address, MAC, counter.
    fn write<F: NorFlash>(&mut self, store: &mut Store<F>, vm: u16, request: &Frame) -> Outcome {
        let key = match load_key(store, vm) {
            Ok(Some(key)) => key,
            Ok(None) => return Outcome::NoKey,
            Err(_) => return Outcome::GeneralFailure,
        };
        let proven = frame::verify(&key, core::slice::from_ref(request));
        drop(key);
        let Ok(counter) = self.counter(store, vm) else {
            return Outcome::GeneralFailure;
        };
        if counter == u32::MAX {
            return Outcome::WriteFailure.with_expiry();
        }
        if request.block_count() != MAX_WRITE {
            return Outcome::GeneralFailure;
        }
        if request.address() >= BLOCKS {
            return Outcome::AddressFailure;
        }
        if !proven {
            return Outcome::AuthenticationFailure;
        }
        if request.counter() != counter {
            return Outcome::CounterFailure;
        }
        let Some(next) = counter.checked_add(1) else {
            return Outcome::WriteFailure.with_expiry();
        };
        let mut record = [0; RECORD];
        if load_page(store, vm, request.address(), &mut record).is_err() {
            return Outcome::WriteFailure;
        }
        let Some((mark, Some(block))) = record
            .split_first_chunk_mut::<4>()
            .map(|(mark, blocks)| (mark, block_of(blocks, request.address())))
        else {
            return Outcome::GeneralFailure;
        };
        *mark = next.to_le_bytes();
        block.copy_from_slice(request.data());
        if store.put(page_name(vm, request.address()), &record).is_err() {
            // It may have become durable or not: look again at the next request.
            self.counter = None;
            return Outcome::WriteFailure;
        }
        self.counter = Some(next);
        expired(Outcome::Ok, next)
    }

    fn read<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        vm: u16,
        request: &Frame,
        into: &mut [Frame],
    ) -> Option<usize> {
        // eMMC leaves the count of a read request 0 (the transfer's length tells it): 0 is 1 here.
        let count = request.block_count().max(1);
        let frames = into.get_mut(..usize::from(count))?;
        let outcome = if !matches!(load_key(store, vm), Ok(Some(_))) {
            Outcome::NoKey
        } else if count > MAX_READ {
            Outcome::GeneralFailure
        } else if request.address().checked_add(count).is_none_or(|end| end > BLOCKS) {
            Outcome::AddressFailure
        } else {
            Outcome::Ok
        };
        if outcome != Outcome::Ok {
            let answer = frames.first_mut()?;
            *answer = Frame::response(Request::Read, outcome);
            answer.set_nonce(request.nonce());
            answer.set_address(request.address());
            self.seal_if_keyed(store, vm, core::slice::from_mut(answer), Request::Read);
            return Some(1);
        }
        let mut record = [0; RECORD];
        let mut loaded = None;
        for (frame, address) in frames.iter_mut().zip(request.address()..=u16::MAX) {
            let page = address / PAGE_BLOCKS;
            if loaded != Some(page) {
                if load_page(store, vm, address, &mut record).is_err() {
                    let answer = into.first_mut()?;
                    *answer = Frame::response(Request::Read, Outcome::ReadFailure);
                    answer.set_nonce(request.nonce());
                    return Some(1);
                }
                loaded = Some(page);
            }
            *frame = Frame::response(Request::Read, Outcome::Ok);
            frame.set_nonce(request.nonce());
            frame.set_address(request.address());
            frame.set_block_count(count);
            let (_, blocks) = record.split_first_chunk_mut::<4>()?;
            frame.set_data(block_of(blocks, address)?);
        }
        self.seal_if_keyed(store, vm, frames, Request::Read);
        Some(usize::from(count))
    }

    /// Puts the MAC over all frames into the last one, where a key is programmed. The answer to
    /// programming itself carries none.
    fn seal_if_keyed<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        vm: u16,
        frames: &mut [Frame],
        of: Request,
    ) {
        if of == Request::ProgramKey {
            return;
        }
        if let Ok(Some(key)) = load_key(store, vm) {
            frame::seal(&key, frames);
        }
    }

    fn counter_if_keyed<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        vm: u16,
    ) -> Result<u32, Outcome> {
        match load_key(store, vm) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Outcome::NoKey),
            Err(_) => return Err(Outcome::GeneralFailure),
        }
        self.counter(store, vm).map_err(|_| Outcome::ReadFailure)
    }

    /// The write counter: the highest of the records' (each holds the one of its last write).
    fn counter<F: NorFlash>(&mut self, store: &mut Store<F>, vm: u16) -> Result<u32, StoreError> {
        if let Some(counter) = self.counter {
            return Ok(counter);
        }
        let mut highest = 0;
        let mut record = [0; RECORD];
        for page in 0..BLOCKS / PAGE_BLOCKS {
            let first = page.saturating_mul(PAGE_BLOCKS);
            load_page(store, vm, first, &mut record)?;
            if let Some((mark, _)) = record.split_first_chunk::<4>() {
                highest = highest.max(u32::from_le_bytes(*mark));
            }
        }
        self.counter = Some(highest);
        Ok(highest)
    }
}

/// The counter has reached its end: every answer says so from then on.
const fn expired(outcome: Outcome, counter: u32) -> Outcome {
    if counter == u32::MAX { outcome.with_expiry() } else { outcome }
}

const fn key_name(vm: u16) -> Key {
    Key { kind: Kind::RpmbKey, vm, index: 0 }
}

fn page_name(vm: u16, address: u16) -> Key {
    Key { kind: Kind::RpmbPage, vm, index: u32::from(address / PAGE_BLOCKS) }
}

fn load_key<F: NorFlash>(
    store: &mut Store<F>,
    vm: u16,
) -> Result<Option<Zeroizing<[u8; 32]>>, StoreError> {
    let mut key = Zeroizing::new([0; 32]);
    match store.get(key_name(vm), key.as_mut_slice())? {
        None => Ok(None),
        Some(32) => Ok(Some(key)),
        Some(_) => Err(StoreError::Corrupted),
    }
}

/// Reads the record that holds block `address`; one never written is all zeros.
fn load_page<F: NorFlash>(
    store: &mut Store<F>,
    vm: u16,
    address: u16,
    record: &mut [u8; RECORD],
) -> Result<(), StoreError> {
    match store.get(page_name(vm, address), record)? {
        Some(RECORD) => Ok(()),
        Some(_) => Err(StoreError::Corrupted),
        None => {
            record.fill(0);
            Ok(())
        }
    }
}

fn block_of(blocks: &mut [u8], address: u16) -> Option<&mut [u8]> {
    blocks.chunks_exact_mut(BLOCK).nth(usize::from(address % PAGE_BLOCKS))
}
