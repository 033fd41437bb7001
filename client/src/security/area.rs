//! Owns the local areas through which frames and messages reach the security services; never keeps a
//! secret in one longer than its call.

use super::{Security, bytes_of};
use crate::connection::Connection;
use crate::error::{Error, Rule};
use crate::grant::{Grant, NotClosed, NotGranted};
use crate::memory::{Pages, Window};
use crate::wait::{Bound, Wait};
use causeway_abi::vault::{KEY_MAX_BYTES, KeyPurpose, Keyed, KeyedText};
use causeway_abi::{GrantKind, GrantTerms, Permission, VaultCall};
use causeway_ffa::MemHandle;

/// Bytes of an RPMB frame.
pub const FRAME_BYTES: usize = 512;
/// Where answers go, behind the request.
const ANSWERS: u32 = 512;
/// Where what belongs to a message goes (tag, key, proof, signature), behind its longest.
const BESIDE: u32 = 4096;
/// What a text is wiped with.
const ZEROS: [u8; 64] = [0; 64];

fn open<'c>(connection: &'c Connection<'c>, pages: Pages<'c>) -> Result<Grant<'c>, NotGranted<'c>> {
    let terms =
        GrantTerms { peer: None, kind: GrantKind::Share, permission: Permission::ReadWrite };
    Grant::offer(connection, pages, terms)
}

fn put(window: &Window, offset: u32, bytes: &[u8]) -> Result<(), Error> {
    window.write(u64::from(offset), bytes).map_err(|_| Error::caller(Rule::TooSmall))
}

fn get(window: &Window, offset: u32, into: &mut [u8]) -> Result<(), Error> {
    window.read(u64::from(offset), into).map_err(|_| Error::caller(Rule::TooSmall))
}

/// The way to this VM's replay-protected memory: request frames in, answer frames out. The frames, and
/// the key that proves them, are the caller's affair (JESD84-B51, 6.6.22).
#[derive(Debug)]
pub struct RpmbArea<'c> {
    connection: &'c Connection<'c>,
    area: Grant<'c>,
}

impl<'c> RpmbArea<'c> {
    /// Shares pages with the partition: one for each seven answer frames.
    ///
    /// # Errors
    /// [`NotGranted`] with the pages.
    pub fn open(connection: &'c Connection<'c>, pages: Pages<'c>) -> Result<Self, NotGranted<'c>> {
        Ok(Self { connection, area: open(connection, pages)? })
    }

    /// Carries out one request frame; fills `answers` from the front and returns how many there are.
    ///
    /// # Errors
    /// The partition's refusal; what a frame breaks is in its result field instead.
    pub fn request(
        &self,
        request: &[u8; FRAME_BYTES],
        answers: &mut [[u8; FRAME_BYTES]],
    ) -> Result<usize, Error> {
        let window = self.area.window().ok_or(Error::caller(Rule::TooSmall))?;
        put(window, 0, request)?;
        let room = u16::try_from(answers.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
        let handle = self.area.handle();
        let call = VaultCall::Rpmb { handle, request: 0, answers: ANSWERS, room };
        let [count, ..] = Security::of(self.connection).call(call)?;
        let bad = Error::partition(Rule::AnswerValues);
        let count = usize::try_from(count).map_err(|_| bad)?;
        let mut from = ANSWERS;
        for answer in answers.get_mut(..count).ok_or(bad)? {
            get(window, from, answer)?;
            from = from.saturating_add(512);
        }
        Ok(count)
    }

    /// Takes the pages back.
    ///
    /// # Errors
    /// [`NotClosed`] with the grant.
    pub fn close(self, wait: &dyn Wait, bound: Bound) -> Result<Pages<'c>, NotClosed<'c>> {
        self.area.close(wait, bound)
    }
}

/// What must be kept beside an encrypted text. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The nonce, which the partition chose, and the tag.
    pub proof: [u8; 40],
}

/// The way to this VM's sealed keys. A message is at most 4096 bytes long.
#[derive(Debug)]
pub struct KeyArea<'c> {
    connection: &'c Connection<'c>,
    area: Grant<'c>,
}

impl<'c> KeyArea<'c> {
    /// Shares two pages with the partition.
    ///
    /// # Errors
    /// [`NotGranted`] with the pages.
    pub fn open(connection: &'c Connection<'c>, pages: Pages<'c>) -> Result<Self, NotGranted<'c>> {
        Ok(Self { connection, area: open(connection, pages)? })
    }

    /// Returns the area's handle.
    #[must_use]
    pub fn handle(&self) -> MemHandle {
        self.area.handle()
    }

    fn window(&self) -> Result<&Window, Error> {
        self.area.window().ok_or(Error::caller(Rule::TooSmall))
    }

    fn message(&self, slot: u8, parts: [&[u8]; 2]) -> Result<Keyed, Error> {
        let window = self.window()?;
        let mut offset = 0;
        for part in parts {
            put(window, offset, part)?;
            let len = u32::try_from(part.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
            offset = offset.saturating_add(len);
        }
        let [_, text] = parts;
        let length = u16::try_from(text.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
        if offset > u32::from(KEY_MAX_BYTES) {
            return Err(Error::caller(Rule::TooSmall));
        }
        Ok(Keyed { handle: self.handle(), slot, offset: 0, length })
    }

    fn call(&self, call: VaultCall) -> Result<[u64; 4], Error> {
        Security::of(self.connection).call(call)
    }

    /// Seals a key that this VM knows; what carried it is wiped.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn import(&self, slot: u8, purpose: KeyPurpose, key: &[u8; 32]) -> Result<(), Error> {
        let (window, handle) = (self.window()?, self.handle());
        put(window, BESIDE, key)?;
        let result = self.call(VaultCall::KeyImport { handle, slot, purpose, offset: BESIDE });
        put(window, BESIDE, &[0; 32])?;
        result.map(|_| ())
    }

    /// Computes the HMAC-SHA256 of a message.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn mac(&self, slot: u8, message: &[u8]) -> Result<[u8; 32], Error> {
        let message = self.message(slot, [&[], message])?;
        self.call(VaultCall::KeyMac(message)).map(bytes_of)
    }

    /// Has a tag compared with the HMAC of a message.
    ///
    /// # Errors
    /// `NotAuthentic` where they differ, or another refusal.
    pub fn verify(&self, slot: u8, message: &[u8], tag: &[u8; 32]) -> Result<(), Error> {
        let message = self.message(slot, [&[], message])?;
        put(self.window()?, BESIDE, tag)?;
        self.call(VaultCall::KeyVerify { message, tag: BESIDE }).map(|_| ())
    }

    /// Signs a message (Ed25519).
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn sign(&self, slot: u8, message: &[u8]) -> Result<[u8; 64], Error> {
        let message = self.message(slot, [&[], message])?;
        self.call(VaultCall::KeySign { message, signature: BESIDE })?;
        let mut signature = [0; 64];
        get(self.window()?, BESIDE, &mut signature)?;
        Ok(signature)
    }

    /// Encrypts `text` in place (XChaCha20-Poly1305) and returns what decrypting needs.
    ///
    /// # Errors
    /// The partition's refusal; `text` is as it was.
    pub fn encrypt(&self, slot: u8, associated: &[u8], text: &mut [u8]) -> Result<Sealed, Error> {
        let it = self.text(slot, associated, text)?;
        self.call(VaultCall::KeyEncrypt(it))?;
        let mut proof = [0; 40];
        get(self.window()?, BESIDE, &mut proof)?;
        self.take_text(&it, text)?;
        Ok(Sealed { proof })
    }

    /// Decrypts `text` in place.
    ///
    /// # Errors
    /// `NotAuthentic`, or another refusal; `text` is as it was.
    pub fn decrypt(
        &self,
        slot: u8,
        associated: &[u8],
        text: &mut [u8],
        sealed: &Sealed,
    ) -> Result<(), Error> {
        let it = self.text(slot, associated, text)?;
        put(self.window()?, BESIDE, &sealed.proof)?;
        self.call(VaultCall::KeyDecrypt(it))?;
        self.take_text(&it, text)
    }

    fn text(&self, slot: u8, associated: &[u8], text: &[u8]) -> Result<KeyedText, Error> {
        let message = self.message(slot, [associated, text])?;
        let associated =
            u16::try_from(associated.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
        Ok(KeyedText { text: message, associated, proof: BESIDE })
    }

    /// Copies the text out and wipes it where the partition worked.
    fn take_text(&self, it: &KeyedText, text: &mut [u8]) -> Result<(), Error> {
        let (window, from) = (self.window()?, u32::from(it.associated));
        get(window, from, text)?;
        (from..).step_by(ZEROS.len()).zip(text.chunks(ZEROS.len())).try_for_each(
            |(offset, part)| put(window, offset, ZEROS.get(..part.len()).unwrap_or(&ZEROS)),
        )
    }

    /// Takes the pages back.
    ///
    /// # Errors
    /// [`NotClosed`] with the grant.
    pub fn close(self, wait: &dyn Wait, bound: Bound) -> Result<Pages<'c>, NotClosed<'c>> {
        self.area.close(wait, bound)
    }
}
