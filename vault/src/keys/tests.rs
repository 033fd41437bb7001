//! Sealed keys, with the published vectors of each algorithm where a key is imported.

use super::{
    BATCH, BATCHES, KeyError, Keys, Owner, Proof, RootKey, SHARED_NONCES, SLOTS_PER_VM, Use, name,
    nonces_of,
};
use crate::entropy::{Drbg, EntropyError, RawEntropy};
use crate::flash::model::{Model, SECTOR};
use crate::store::Store;
use std::collections::BTreeSet;
use std::vec::Vec;

const SECTORS: usize = 4;
const VM1: Owner = Owner { vm: 1, uuid: [0x11; 16] };
const VM2: Owner = Owner { vm: 2, uuid: [0x22; 16] };

/// A fake source: a multiplicative generator.
struct Fake(u64);

impl RawEntropy for Fake {
    fn word(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Some(self.0 ^ (self.0 >> 29))
    }
}

fn store() -> Store<Model> {
    Store::mount(Model::new(SECTORS), 0..u32::try_from(SECTORS * SECTOR).unwrap()).unwrap()
}

fn keys() -> Keys {
    Keys::new(RootKey::new(&[0x42; 32]))
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes: Vec<u8> = pairs
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

#[test]
fn an_imported_signing_key_gives_the_signature_of_rfc_8032() {
    // RFC 8032, 7.1, TEST 2.
    let (mut store, mut keys) = (store(), keys());
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    keys.import(&mut store, VM1, 0, Use::Sign, &seed).unwrap();
    assert_eq!(
        keys.public(&mut store, VM1, 0).unwrap(),
        hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    );
    assert_eq!(
        keys.sign(&mut store, VM1, 0, &[0x72]).unwrap(),
        hex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    );
}

#[test]
fn a_mac_is_that_of_rfc_4231_padded_to_a_full_key() {
    // RFC 4231, test case 1: the key is 20 bytes of 0x0b; HMAC pads a short key with zeros.
    let (mut store, mut keys) = (store(), keys());
    let mut key = [0; 32];
    key[..20].fill(0x0b);
    keys.import(&mut store, VM1, 1, Use::Mac, &key).unwrap();
    let tag = hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_eq!(keys.mac(&mut store, VM1, 1, b"Hi There").unwrap(), tag);
    assert_eq!(keys.verify_mac(&mut store, VM1, 1, b"Hi There", &tag), Ok(()));
    assert_eq!(keys.verify_mac(&mut store, VM1, 1, b"Hi there", &tag), Err(KeyError::NotAuthentic));
}

#[test]
fn what_is_encrypted_is_decrypted_and_every_change_is_noticed() {
    let (mut store, mut keys) = (store(), keys());
    keys.generate(&mut store, VM1, 0, Use::Aead, &mut Drbg::new(Some(Fake(1)))).unwrap();
    let mut text = *b"brakes and steering";
    let proof = keys.encrypt(&mut store, VM1, 0, b"frame 7", &mut text).unwrap();
    assert_ne!(&text, b"brakes and steering");
    let cipher = text;
    let wrong: [u8; 16] = core::array::from_fn(|n| proof.tag[n] ^ u8::from(n == 3));
    for (associated, tag) in [(b"frame 8", proof.tag), (b"frame 7", wrong)] {
        let proof = Proof { tag, ..proof };
        let refused = keys.decrypt(&mut store, VM1, 0, associated, &mut text, &proof);
        assert_eq!(refused, Err(KeyError::NotAuthentic));
        assert_eq!(text, cipher, "a refused text is not half decrypted");
    }
    keys.decrypt(&mut store, VM1, 0, b"frame 7", &mut text, &proof).unwrap();
    assert_eq!(&text, b"brakes and steering");
}

#[test]
fn a_key_serves_its_vm_its_uuid_its_device_and_its_use_only() {
    let (mut store, mut keys) = (store(), keys());
    keys.import(&mut store, VM1, 0, Use::Mac, &[7; 32]).unwrap();
    assert_eq!(keys.mac(&mut store, VM2, 0, b"x"), Err(KeyError::Empty));
    let renamed = Owner { uuid: [0x99; 16], ..VM1 };
    assert_eq!(keys.mac(&mut store, renamed, 0, b"x"), Err(KeyError::NotOurs));
    let elsewhere = Keys::new(RootKey::new(&[0x43; 32]));
    assert_eq!(elsewhere.mac(&mut store, VM1, 0, b"x"), Err(KeyError::NotOurs));
    assert_eq!(keys.sign(&mut store, VM1, 0, b"x"), Err(KeyError::WrongUse));
    assert_eq!(keys.public(&mut store, VM1, 0), Err(KeyError::WrongUse));
    assert_eq!(keys.encrypt(&mut store, VM1, 0, b"", &mut [0; 4]), Err(KeyError::WrongUse));
}

#[test]
fn a_record_moved_to_another_vm_or_slot_or_changed_does_not_open() {
    let (mut store, mut keys) = (store(), keys());
    keys.import(&mut store, VM1, 0, Use::Mac, &[7; 32]).unwrap();
    let mut record = [0; 76];
    assert_eq!(store.get(name(VM1, 0), &mut record), Ok(Some(76)));
    assert!(!record.windows(32).any(|w| w == [7; 32]), "never in the clear");
    store.put(name(VM2, 0), &record).unwrap();
    store.put(name(VM1, 3), &record).unwrap();
    assert_eq!(keys.mac(&mut store, VM2, 0, b"x"), Err(KeyError::NotOurs));
    assert_eq!(keys.mac(&mut store, VM1, 3, b"x"), Err(KeyError::NotOurs));
    for at in 0..record.len() {
        let mut changed = record;
        changed[at] ^= 1;
        store.put(name(VM1, 4), &changed).unwrap();
        assert_eq!(keys.mac(&mut store, VM1, 4, b"x"), Err(KeyError::NotOurs), "byte {at}");
    }
}

#[test]
fn slots_are_taken_emptied_and_taken_again() {
    let (mut store, mut keys) = (store(), keys());
    assert_eq!(keys.delete(&mut store, VM1, 2), Err(KeyError::Empty));
    keys.import(&mut store, VM1, 2, Use::Mac, &[1; 32]).unwrap();
    let again = keys.import(&mut store, VM1, 2, Use::Mac, &[2; 32]);
    assert_eq!(again, Err(KeyError::Occupied));
    keys.delete(&mut store, VM1, 2).unwrap();
    assert_eq!(keys.mac(&mut store, VM1, 2, b"x"), Err(KeyError::Empty));
    keys.import(&mut store, VM1, 2, Use::Sign, &[2; 32]).unwrap();
    for slot in [SLOTS_PER_VM, u32::MAX] {
        let refused = keys.import(&mut store, VM1, slot, Use::Mac, &[1; 32]);
        assert_eq!(refused, Err(KeyError::Slot));
    }
}

#[test]
fn without_entropy_no_key_is_generated() {
    let (mut store, mut keys) = (store(), keys());
    let mut none = Drbg::<Fake>::new(None);
    assert_eq!(
        keys.generate(&mut store, VM1, 0, Use::Mac, &mut none),
        Err(KeyError::Entropy(EntropyError::NoSource))
    );
    assert_eq!(keys.mac(&mut store, VM1, 0, b"x"), Err(KeyError::Empty));
}

#[test]
fn no_nonce_comes_twice_over_restarts_and_slots() {
    let mut store = store();
    let mut seen = BTreeSet::new();
    for restart in 0..4 {
        let mut keys = keys();
        for (owner, slot) in [(VM1, 0), (VM1, 1), (VM2, 0)] {
            if restart == 0 {
                // The very same key everywhere: only the nonces keep the texts apart.
                keys.import(&mut store, owner, slot, Use::Aead, &[5; 32]).unwrap();
            }
            for _ in 0..if cfg!(miri) { 3 } else { 120 } {
                let Proof { nonce, .. } =
                    keys.encrypt(&mut store, owner, slot, b"", &mut [0; 4]).unwrap();
                assert!(seen.insert(nonce));
            }
        }
    }
    let mut bytes = [0; 8];
    let mut reserved = 0;
    for vm in [VM1.vm, VM2.vm] {
        assert_eq!(store.get(nonces_of(vm), &mut bytes), Ok(Some(8)));
        reserved += usize::try_from(u64::from_le_bytes(bytes)).unwrap();
    }
    assert!(reserved >= seen.len());
}

/// The number in the nonce of an encryption with `owner`'s slot 0.
fn number(keys: &mut Keys, store: &mut Store<Model>, owner: Owner) -> u64 {
    let proof = keys.encrypt(store, owner, 0, b"", &mut [0; 4]).unwrap();
    u64::from_le_bytes(proof.nonce[16..].try_into().unwrap())
}

#[test]
fn a_nonce_tells_nothing_of_what_other_vms_do() {
    let (mut store, mut keys) = (store(), keys());
    for owner in [VM1, VM2] {
        keys.import(&mut store, owner, 0, Use::Aead, &[5; 32]).unwrap();
    }
    let first = number(&mut keys, &mut store, VM1);
    for _ in 0..if cfg!(miri) { 2 } else { 2 * BATCH } {
        number(&mut keys, &mut store, VM2);
    }
    assert_eq!(number(&mut keys, &mut store, VM1), first + 1);
}

#[test]
fn more_vms_than_batches_reserve_anew_and_repeat_nothing() {
    let (mut store, mut keys) = (store(), keys());
    let vms = u16::try_from(BATCHES).unwrap() + 1;
    let owners = (1..=vms).map(|vm| Owner { vm, ..VM1 });
    for owner in owners.clone() {
        keys.import(&mut store, owner, 0, Use::Aead, &[5; 32]).unwrap();
    }
    let mut last = 0;
    for _ in 0..3 {
        let numbers: Vec<u64> = owners.clone().map(|o| number(&mut keys, &mut store, o)).collect();
        assert!(numbers.iter().all(|n| *n > last), "{numbers:?} after {last}");
        last = *numbers.iter().max().unwrap();
    }
}

#[test]
fn numbers_go_on_behind_those_of_the_first_format_which_had_one_counter_for_all() {
    let (mut store, mut keys) = (store(), keys());
    store.put(SHARED_NONCES, &1024_u64.to_le_bytes()).unwrap();
    keys.import(&mut store, VM1, 0, Use::Aead, &[5; 32]).unwrap();
    assert_eq!(number(&mut keys, &mut store, VM1), 1025, "the import took the first");
}
