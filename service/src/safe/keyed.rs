//! Owns the calls on sealed keys, once their bytes were copied in. Never sees shared memory.

use super::{Contents, Cost, SecureFlash, Tenant, status_of_store};
use crate::entropy;
use causeway_abi::Status;
use causeway_abi::vault::KeyPurpose;
use causeway_vault::entropy::Random;
use causeway_vault::keys::{KeyError, Keys, Owner, Proof, SIGNATURE, Use};
use causeway_vault::{Store, flash::NorFlash};

/// What is to be done with a key.
pub(crate) enum KeyTask<'a> {
    /// KEY_IMPORT.
    Import(KeyPurpose, &'a [u8; 32]),
    /// KEY_DELETE.
    Delete,
    /// KEY_PUBLIC.
    Public,
    /// KEY_MAC.
    Mac(&'a [u8]),
    /// KEY_VERIFY.
    Verify(&'a [u8], &'a [u8; 32]),
    /// KEY_SIGN.
    Sign(&'a [u8]),
    /// KEY_ENCRYPT: associated data and text.
    Encrypt(&'a [u8], &'a mut [u8]),
    /// KEY_DECRYPT: associated data, text and proof.
    Decrypt(&'a [u8], &'a mut [u8], &'a Proof),
}

/// What came of it.
pub(crate) enum Made {
    /// Nothing but that it was done.
    Done,
    /// A public key or an HMAC.
    Words([u8; 32]),
    /// A signature.
    Signature([u8; SIGNATURE]),
    /// What decrypting needs.
    Proof(Proof),
}

impl KeyTask<'_> {
    const fn cost(&self) -> Option<Cost> {
        match self {
            // A batch of nonces is reserved in the flash before the first is used.
            Self::Import(..) | Self::Delete | Self::Encrypt(..) => Some(Cost::Write),
            Self::Sign(_) | Self::Public => Some(Cost::Signature),
            Self::Mac(_) | Self::Verify(..) | Self::Decrypt(..) => None,
        }
    }

    fn run<F: NorFlash>(
        self,
        keys: &mut Keys,
        store: &mut Store<F>,
        owner: Owner,
        slot: u32,
    ) -> Result<Made, KeyError> {
        Ok(match self {
            Self::Import(purpose, key) => {
                keys.import(store, owner, slot, use_of(purpose), key)?;
                Made::Done
            }
            Self::Delete => {
                keys.delete(store, owner, slot)?;
                Made::Done
            }
            Self::Public => Made::Words(keys.public(store, owner, slot)?),
            Self::Mac(message) => Made::Words(keys.mac(store, owner, slot, message)?),
            Self::Verify(message, tag) => {
                keys.verify_mac(store, owner, slot, message, tag)?;
                Made::Done
            }
            Self::Sign(message) => Made::Signature(keys.sign(store, owner, slot, message)?),
            Self::Encrypt(associated, text) => {
                Made::Proof(keys.encrypt(store, owner, slot, associated, text)?)
            }
            Self::Decrypt(associated, text, proof) => {
                keys.decrypt(store, owner, slot, associated, text, proof)?;
                Made::Done
            }
        })
    }
}

impl<H: SecureFlash> Contents<H> {
    /// Checks what holds for every call on a key, and opens the store.
    pub(crate) fn may_use_key(&mut self, tenant: &Tenant, slot: u8) -> Result<(), Status> {
        match tenant.given.key_slots {
            0 => return Err(Status::PolicyService),
            slots if slot < slots => {}
            _ => return Err(Status::NoSuchNumber),
        }
        self.open(tenant)?;
        if self.keys.is_some() { Ok(()) } else { Err(Status::NoStore) }
    }

    /// Carries out a task on a key.
    pub(crate) fn key(
        &mut self,
        tenant: &Tenant,
        slot: u8,
        task: KeyTask<'_>,
    ) -> Result<Made, Status> {
        self.may_use_key(tenant, slot)?;
        let cost = task.cost();
        let run = |contents: &mut Self| {
            let Contents { store: Some(store), keys: Some(keys), .. } = contents else {
                return Err(Status::NoStore);
            };
            task.run(keys, store, owner(tenant), u32::from(slot)).map_err(status_of_key)
        };
        match cost {
            Some(cost) => self.costly(tenant, cost, run),
            None => run(self),
        }
    }

    /// KEY_GENERATE.
    pub(crate) fn generate(
        &mut self,
        tenant: &Tenant,
        slot: u8,
        purpose: KeyPurpose,
        entropy: Option<&mut impl Random>,
    ) -> Result<(), Status> {
        self.may_use_key(tenant, slot)?;
        let random = entropy.ok_or(Status::NoEntropySource)?;
        self.costly(tenant, Cost::Write, |contents| {
            let Contents { store: Some(store), keys: Some(keys), .. } = contents else {
                return Err(Status::NoStore);
            };
            let (owner, slot) = (owner(tenant), u32::from(slot));
            let made = keys.generate(store, owner, slot, use_of(purpose), random);
            made.map_err(status_of_key)
        })
    }
}

const fn owner(tenant: &Tenant) -> Owner {
    Owner { vm: tenant.vm, uuid: tenant.given.uuid }
}

const fn use_of(purpose: KeyPurpose) -> Use {
    match purpose {
        KeyPurpose::Mac => Use::Mac,
        KeyPurpose::Aead => Use::Aead,
        KeyPurpose::Sign => Use::Sign,
    }
}

const fn status_of_key(error: KeyError) -> Status {
    match error {
        KeyError::Slot => Status::NoSuchNumber,
        KeyError::Empty => Status::SlotEmpty,
        KeyError::Occupied => Status::SlotTaken,
        KeyError::WrongUse => Status::WrongPurpose,
        KeyError::NotOurs => Status::NotOurs,
        KeyError::NotAuthentic => Status::NotAuthentic,
        KeyError::Entropy(error) => entropy::status(error),
        KeyError::Store(error) => status_of_store(error),
    }
}
