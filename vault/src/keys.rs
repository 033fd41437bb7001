//! Owns sealed keys: a VM has a few slots, uses what is in them, and never sees a key again. What
//! lies in the store is encrypted under a key that only this device, this VM's id and the manifest's
//! UUID of that VM give. Never chooses who may use a slot: that is policy.
//!
//! Cryptography: RustCrypto and ed25519-dalek. Wrapping: HKDF-SHA256 (RFC 5869) from the
//! hardware-unique key, XChaCha20-Poly1305. Uses: HMAC-SHA256 (RFC 2104), XChaCha20-Poly1305,
//! Ed25519 (RFC 8032). Nonces come from a counter of the VM's own in the store, reserved before use:
//! none comes twice, entropy or not, and none tells what other VMs do.

#[cfg(test)]
mod tests;

use crate::entropy::{EntropyError, Random};
use crate::flash::NorFlash;
use crate::store::{Key as Name, Kind, Store, StoreError};
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Slots of one VM, numbered from 0.
pub const SLOTS_PER_VM: u32 = 8;
/// Bytes of every key.
pub const KEY: usize = 32;
/// Bytes of a nonce.
pub const NONCE: usize = 24;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;
/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// Layout of a record: version, use, two zero bytes, nonce, sealed key, tag.
const VERSION: u8 = 1;
const HEADER: usize = 4;
const RECORD: usize = HEADER + NONCE + KEY + TAG;

/// Nonces reserved in the store at once.
const BATCH: u64 = 256;
/// Batches that are remembered, one for a VM: of more VMs some would reserve anew more often.
const BATCHES: usize = 8;

/// The key that the hardware gives this device and nobody else. On QEMU there is none: a sector of
/// the secure flash stands in, which is private to the secure world but can be rewritten by it.
pub struct RootKey(Zeroizing<[u8; KEY]>);

impl RootKey {
    /// Takes the key. The caller wipes its own copy.
    #[must_use]
    pub fn new(key: &[u8; KEY]) -> Self {
        Self(Zeroizing::new(*key))
    }
}

impl core::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// To whom a key is bound: a VM with the same id, but another UUID in the manifest, can't open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The VM's FF-A id.
    pub vm: u16,
    /// The VM's UUID in the manifest.
    pub uuid: [u8; 16],
}

/// What a key is for. It serves nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// HMAC-SHA256.
    Mac,
    /// XChaCha20-Poly1305.
    Aead,
    /// Ed25519; the 32 bytes are the seed.
    Sign,
}

impl Use {
    const fn code(self) -> u8 {
        match self {
            Self::Mac => 1,
            Self::Aead => 2,
            Self::Sign => 3,
        }
    }
}

/// Why a key operation was refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No such slot.
    Slot,
    /// The slot holds no key.
    Empty,
    /// The slot holds one already: delete it first.
    Occupied,
    /// The key is for something else.
    WrongUse,
    /// The record was made for another VM, UUID or device, or was changed.
    NotOurs,
    /// The message or MAC is not authentic.
    NotAuthentic,
    /// There is no randomness to make a key from.
    Entropy(EntropyError),
    /// The store refused.
    Store(StoreError),
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What must be kept beside an encrypted text. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The nonce, which the partition chose.
    pub nonce: [u8; NONCE],
    /// The authentication tag.
    pub tag: [u8; TAG],
}

/// Nonces of a VM that are reserved and not used.
#[derive(Clone, Copy, Debug)]
struct Batch {
    vm: u16,
    next: u64,
    end: u64,
}

/// The keys of all VMs.
#[derive(Debug)]
pub struct Keys {
    root: RootKey,
    /// The latest first. None after power-on.
    batches: [Option<Batch>; BATCHES],
}

impl Keys {
    /// Keys under `root`.
    #[must_use]
    pub const fn new(root: RootKey) -> Self {
        Self { root, batches: [None; BATCHES] }
    }

    /// Makes a key from the generator.
    ///
    /// # Errors
    ///
    /// See [`KeyError`]; [`KeyError::Entropy`] where the machine has none.
    pub fn generate<F: NorFlash, R: Random>(
        &mut self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        use_: Use,
        random: &mut R,
    ) -> Result<(), KeyError> {
        self.must_be_free(store, owner, slot)?;
        let mut key = Zeroizing::new([0; KEY]);
        random.fill(key.as_mut_slice()).map_err(KeyError::Entropy)?;
        self.put(store, owner, slot, use_, &key)
    }

    /// Takes a key that the VM knows. It can't be read back.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn import<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        use_: Use,
        key: &[u8; KEY],
    ) -> Result<(), KeyError> {
        self.must_be_free(store, owner, slot)?;
        self.put(store, owner, slot, use_, key)
    }

    /// Empties a slot. The old record can't be opened by a call any more; its encrypted bytes stay in
    /// the flash until the sector is erased.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn delete<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
    ) -> Result<(), KeyError> {
        if record_of(store, owner, slot)?.is_none() {
            return Err(KeyError::Empty);
        }
        Ok(store.put(name(owner, slot), &[])?)
    }

    /// Computes the HMAC of `message` under a MAC key.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn mac<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        message: &[u8],
    ) -> Result<[u8; 32], KeyError> {
        Ok(self.hmac(store, owner, slot, message)?.finalize().into_bytes().into())
    }

    /// Compares `tag` with the HMAC of `message`, in constant time.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAuthentic`] where they differ.
    pub fn verify_mac<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        message: &[u8],
        tag: &[u8; 32],
    ) -> Result<(), KeyError> {
        let mac = self.hmac(store, owner, slot, message)?;
        mac.verify_slice(tag).map_err(|_| KeyError::NotAuthentic)
    }

    /// Encrypts `text` in place. Returns the nonce, which the partition chose, and the tag.
    ///
    /// # Errors
    ///
    /// See [`KeyError`]; `text` is as it was.
    pub fn encrypt<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<Proof, KeyError> {
        let key = self.open(store, owner, slot, Use::Aead)?;
        let nonce = self.nonce(store, owner.vm)?;
        let tag = XChaCha20Poly1305::new((&*key).into())
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), associated, text)
            .map_err(|_| KeyError::NotAuthentic)?;
        Ok(Proof { nonce, tag: tag.into() })
    }

    /// Decrypts `text` in place.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAuthentic`]: `text` is as it was.
    pub fn decrypt<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        associated: &[u8],
        text: &mut [u8],
        proof: &Proof,
    ) -> Result<(), KeyError> {
        let key = self.open(store, owner, slot, Use::Aead)?;
        XChaCha20Poly1305::new((&*key).into())
            .decrypt_in_place_detached(
                XNonce::from_slice(&proof.nonce),
                associated,
                text,
                (&proof.tag).into(),
            )
            .map_err(|_| KeyError::NotAuthentic)
    }

    /// Signs `message`.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn sign<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        message: &[u8],
    ) -> Result<[u8; SIGNATURE], KeyError> {
        let seed = self.open(store, owner, slot, Use::Sign)?;
        Ok(SigningKey::from_bytes(&seed).sign(message).to_bytes())
    }

    /// Returns the public half of a signing key: all that ever leaves a slot.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn public<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
    ) -> Result<[u8; KEY], KeyError> {
        let seed = self.open(store, owner, slot, Use::Sign)?;
        Ok(SigningKey::from_bytes(&seed).verifying_key().to_bytes())
    }

    fn hmac<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        message: &[u8],
    ) -> Result<Hmac<Sha256>, KeyError> {
        let key = self.open(store, owner, slot, Use::Mac)?;
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_slice());
        let mut mac = mac.map_err(|_| KeyError::NotOurs)?;
        mac.update(message);
        Ok(mac)
    }

    fn must_be_free<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
    ) -> Result<(), KeyError> {
        match record_of(store, owner, slot)? {
            None => Ok(()),
            Some(_) => Err(KeyError::Occupied),
        }
    }

    fn put<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        use_: Use,
        key: &[u8; KEY],
    ) -> Result<(), KeyError> {
        let nonce = self.nonce(store, owner.vm)?;
        let header = [VERSION, use_.code(), 0, 0];
        let mut sealed = Zeroizing::new(*key);
        let wrapping = self.wrapping_key(owner, slot);
        let tag = XChaCha20Poly1305::new((&*wrapping).into())
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &header, sealed.as_mut_slice())
            .map_err(|_| KeyError::NotOurs)?;
        let mut record = [0; RECORD];
        let parts = header.iter().chain(&nonce).chain(sealed.iter()).chain(&tag);
        for (to, from) in record.iter_mut().zip(parts) {
            *to = *from;
        }
        Ok(store.put(name(owner, slot), &record)?)
    }

    fn open<F: NorFlash>(
        &self,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
        use_: Use,
    ) -> Result<Zeroizing<[u8; KEY]>, KeyError> {
        let record = record_of(store, owner, slot)?.ok_or(KeyError::Empty)?;
        let (header, rest) = record.split_first_chunk::<HEADER>().ok_or(KeyError::NotOurs)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(KeyError::NotOurs)?;
        let (sealed, tag) = rest.split_first_chunk::<KEY>().ok_or(KeyError::NotOurs)?;
        let mut key = Zeroizing::new(*sealed);
        let wrapping = self.wrapping_key(owner, slot);
        let tag = tag.first_chunk::<TAG>().ok_or(KeyError::NotOurs)?;
        let opened = XChaCha20Poly1305::new((&*wrapping).into()).decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            header,
            key.as_mut_slice(),
            tag.into(),
        );
        if opened.is_err() {
            return Err(KeyError::NotOurs);
        }
        if *header != [VERSION, use_.code(), 0, 0] {
            return Err(KeyError::WrongUse);
        }
        Ok(key)
    }

    fn wrapping_key(&self, owner: Owner, slot: u32) -> Zeroizing<[u8; KEY]> {
        let mut key = Zeroizing::new([0; KEY]);
        let hkdf = Hkdf::<Sha256>::new(Some(b"causeway sealed key v1"), self.root.0.as_slice());
        let info: [&[u8]; 3] = [&owner.vm.to_le_bytes(), &owner.uuid, &slot.to_le_bytes()];
        if hkdf.expand_multi_info(&info, key.as_mut_slice()).is_err() {
            // 32 bytes are always within HKDF's limit of 255 hashes.
            key.zeroize();
        }
        key
    }

    /// A nonce that nobody has had: VM id, zeros, the VM's counter. That is reserved durably first.
    fn nonce<F: NorFlash>(
        &mut self,
        store: &mut Store<F>,
        vm: u16,
    ) -> Result<[u8; NONCE], KeyError> {
        let own = |batch: &&mut Batch| batch.vm == vm && batch.next < batch.end;
        let number = match self.batches.iter_mut().flatten().find(own) {
            Some(batch) => {
                let number = batch.next;
                batch.next = number.saturating_add(1);
                number
            }
            None => self.reserve(store, vm)?,
        };
        let mut nonce = [0; NONCE];
        let parts = vm.to_le_bytes().into_iter().chain([0; 14]).chain(number.to_le_bytes());
        for (to, from) in nonce.iter_mut().zip(parts) {
            *to = from;
        }
        Ok(nonce)
    }

    /// Reserves a batch, takes its first number, and remembers the others in the place of the VM's
    /// batch that is used up, or of the oldest.
    fn reserve<F: NorFlash>(&mut self, store: &mut Store<F>, vm: u16) -> Result<u64, KeyError> {
        let first = match number_in(store, nonces_of(vm))? {
            Some(number) => number,
            // Format 1 had one counter for all.
            None => number_in(store, SHARED_NONCES)?.unwrap_or(0),
        };
        let end = first.checked_add(BATCH).ok_or(KeyError::Store(StoreError::Full))?;
        store.put(nonces_of(vm), &end.to_le_bytes())?;
        let used_up = self.batches.iter().position(|b| b.is_none_or(|b| b.vm == vm));
        if let Some(to_front) = self.batches.get_mut(..=used_up.unwrap_or(BATCHES - 1)) {
            to_front.rotate_right(1);
        }
        if let Some(front) = self.batches.first_mut() {
            *front = Some(Batch { vm, next: first.saturating_add(1), end });
        }
        Ok(first)
    }
}

const SHARED_NONCES: Name = Name { kind: Kind::Nonces, vm: 0, index: 0 };

const fn nonces_of(vm: u16) -> Name {
    Name { kind: Kind::Nonces, vm, index: 1 }
}

fn number_in<F: NorFlash>(store: &mut Store<F>, name: Name) -> Result<Option<u64>, KeyError> {
    let mut bytes = [0; 8];
    match store.get(name, &mut bytes)? {
        None => Ok(None),
        Some(8) => Ok(Some(u64::from_le_bytes(bytes))),
        Some(_) => Err(KeyError::Store(StoreError::Corrupted)),
    }
}

const fn name(owner: Owner, slot: u32) -> Name {
    Name { kind: Kind::SealedKey, vm: owner.vm, index: slot }
}

/// The record in a slot; an emptied slot holds a value of no bytes.
fn record_of<F: NorFlash>(
    store: &mut Store<F>,
    owner: Owner,
    slot: u32,
) -> Result<Option<[u8; RECORD]>, KeyError> {
    if slot >= SLOTS_PER_VM {
        return Err(KeyError::Slot);
    }
    let mut record = [0; RECORD];
    match store.get(name(owner, slot), &mut record)? {
        None | Some(0) => Ok(None),
        Some(RECORD) => Ok(Some(record)),
        Some(_) => Err(KeyError::Store(StoreError::Corrupted)),
    }
}
