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
/// The longest of them: a signature.
const BESIDE_BYTES: usize = 64;

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

fn window_of<'a>(area: &'a Grant<'_>) -> Result<&'a Window, Error> {
    area.window().ok_or(Error::caller(Rule::TooSmall))
}

/// Wipes what lies in the window of so many bytes.
fn wipe(window: &Window, from: u32, len_bytes: usize) {
    let before = usize::try_from(from).unwrap_or(usize::MAX);
    let Some(left) = window.len_bytes().checked_sub(before) else { return };
    let inside = window.fill(u64::from(from), len_bytes.min(left), 0);
    debug_assert!(inside.is_ok());
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
    /// Of both nothing is left in the area.
    ///
    /// # Errors
    /// The partition's refusal; what a frame breaks is in its result field instead.
    pub fn request(
        &self,
        request: &[u8; FRAME_BYTES],
        answers: &mut [[u8; FRAME_BYTES]],
    ) -> Result<usize, Error> {
        let window = window_of(&self.area)?;
        let result = self.exchange(window, request, answers);
        wipe(window, 0, FRAME_BYTES.saturating_mul(answers.len().saturating_add(1)));
        result
    }

    fn exchange(
        &self,
        window: &Window,
        request: &[u8; FRAME_BYTES],
        answers: &mut [[u8; FRAME_BYTES]],
    ) -> Result<usize, Error> {
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

/// The way to this VM's sealed keys. A message is at most 4096 bytes long. When a call is over, refused
/// or not, nothing of it is left in the area.
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

    /// Runs `work` on the area. Whatever became of it, nothing is left of a message of so many bytes, or
    /// of what lay beside it.
    fn within<R>(
        &self,
        message_bytes: usize,
        work: impl FnOnce(&Window) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let window = window_of(&self.area)?;
        let result = work(window);
        wipe(window, 0, message_bytes);
        wipe(window, BESIDE, BESIDE_BYTES);
        result
    }

    /// Puts a message there. The second part is the message; what is bound to it comes before.
    fn message(&self, window: &Window, slot: u8, parts: [&[u8]; 2]) -> Result<Keyed, Error> {
        let [before, message] = parts.map(<[u8]>::len);
        if before.saturating_add(message) > usize::from(KEY_MAX_BYTES) {
            return Err(Error::caller(Rule::TooSmall));
        }
        let length = u16::try_from(message).map_err(|_| Error::caller(Rule::TooSmall))?;
        let mut offset = 0;
        for part in parts {
            put(window, offset, part)?;
            let len = u32::try_from(part.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
            offset = offset.saturating_add(len);
        }
        Ok(Keyed { handle: self.handle(), slot, offset: 0, length })
    }

    fn call(&self, call: VaultCall) -> Result<[u64; 4], Error> {
        Security::of(self.connection).call(call)
    }

    /// Seals a key that this VM knows.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn import(&self, slot: u8, purpose: KeyPurpose, key: &[u8; 32]) -> Result<(), Error> {
        self.within(0, |window| {
            put(window, BESIDE, key)?;
            let handle = self.handle();
            self.call(VaultCall::KeyImport { handle, slot, purpose, offset: BESIDE }).map(|_| ())
        })
    }

    /// Computes the HMAC-SHA256 of a message.
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn mac(&self, slot: u8, message: &[u8]) -> Result<[u8; 32], Error> {
        self.within(message.len(), |window| {
            let message = self.message(window, slot, [&[], message])?;
            self.call(VaultCall::KeyMac(message)).map(bytes_of)
        })
    }

    /// Has a tag compared with the HMAC of a message.
    ///
    /// # Errors
    /// `NotAuthentic` where they differ, or another refusal.
    pub fn verify(&self, slot: u8, message: &[u8], tag: &[u8; 32]) -> Result<(), Error> {
        self.within(message.len(), |window| {
            let message = self.message(window, slot, [&[], message])?;
            put(window, BESIDE, tag)?;
            self.call(VaultCall::KeyVerify { message, tag: BESIDE }).map(|_| ())
        })
    }

    /// Signs a message (Ed25519).
    ///
    /// # Errors
    /// The partition's refusal.
    pub fn sign(&self, slot: u8, message: &[u8]) -> Result<[u8; 64], Error> {
        self.within(message.len(), |window| {
            let message = self.message(window, slot, [&[], message])?;
            self.call(VaultCall::KeySign { message, signature: BESIDE })?;
            let mut signature = [0; BESIDE_BYTES];
            get(window, BESIDE, &mut signature)?;
            Ok(signature)
        })
    }

    /// Encrypts `text` in place (XChaCha20-Poly1305) and returns what decrypting needs.
    ///
    /// # Errors
    /// The partition's refusal; `text` is as it was.
    pub fn encrypt(&self, slot: u8, associated: &[u8], text: &mut [u8]) -> Result<Sealed, Error> {
        self.within(associated.len().saturating_add(text.len()), |window| {
            let it = self.text(window, slot, associated, text)?;
            self.call(VaultCall::KeyEncrypt(it))?;
            let mut proof = [0; 40];
            get(window, BESIDE, &mut proof)?;
            get(window, u32::from(it.associated), text)?;
            Ok(Sealed { proof })
        })
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
        self.within(associated.len().saturating_add(text.len()), |window| {
            let it = self.text(window, slot, associated, text)?;
            put(window, BESIDE, &sealed.proof)?;
            self.call(VaultCall::KeyDecrypt(it))?;
            get(window, u32::from(it.associated), text)
        })
    }

    fn text(
        &self,
        window: &Window,
        slot: u8,
        associated: &[u8],
        text: &[u8],
    ) -> Result<KeyedText, Error> {
        let text = self.message(window, slot, [associated, text])?;
        let associated =
            u16::try_from(associated.len()).map_err(|_| Error::caller(Rule::TooSmall))?;
        Ok(KeyedText { text, associated, proof: BESIDE })
    }

    /// Takes the pages back.
    ///
    /// # Errors
    /// [`NotClosed`] with the grant.
    pub fn close(self, wait: &dyn Wait, bound: Bound) -> Result<Pages<'c>, NotClosed<'c>> {
        self.area.close(wait, bound)
    }
}
