//! Holds sealed keys to what their owners and nobody else may do with them.

use super::*;

fn keyed(area: &Area<'_>, slot: u8, offset: u32, length: u16) -> Keyed {
    Keyed { handle: area.handle, slot, offset, length }
}

fn bytes_of(words: [u64; 4]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn an_imported_key_makes_the_mac_that_its_owner_expects_and_can_be_deleted() {
    let (_, [one, _]) = boot();
    let area = Area::new(&one);
    area.put(100, &KEY);
    let import = VaultCall::KeyImport {
        handle: area.handle,
        slot: 1,
        purpose: KeyPurpose::Mac,
        offset: 100,
    };
    assert_eq!(ask(&one, import), Ok([0; 4]));
    assert_eq!(ask(&one, import), refused(Status::SlotTaken));
    area.put(0, b"a message");
    let tag = ask(&one, VaultCall::KeyMac(keyed(&area, 1, 0, 9))).unwrap();
    let mut expected = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    expected.update(b"a message");
    assert_eq!(bytes_of(tag), expected.finalize().into_bytes().to_vec());
    area.put(200, &bytes_of(tag));
    let verify = |tag| ask(&one, VaultCall::KeyVerify { message: keyed(&area, 1, 0, 9), tag });
    assert_eq!(verify(200), Ok([0; 4]));
    assert_eq!(verify(201), refused(Status::NotAuthentic));
    assert_eq!(ask(&one, VaultCall::KeyPublic { slot: 1 }), refused(Status::WrongPurpose));
    assert_eq!(ask(&one, VaultCall::KeyDelete { slot: 1 }), Ok([0; 4]));
    let gone = ask(&one, VaultCall::KeyMac(keyed(&area, 1, 0, 9)));
    assert_eq!(gone, refused(Status::SlotEmpty));
    assert_eq!(ask(&one, VaultCall::KeyDelete { slot: 1 }), refused(Status::SlotEmpty));
}

#[test]
fn a_generated_key_encrypts_signs_and_never_leaves() {
    let (_, [one, _]) = boot();
    let area = Area::new(&one);
    let generate = |slot, purpose| ask(&one, VaultCall::KeyGenerate { slot, purpose });
    generate(0, KeyPurpose::Aead).unwrap();
    generate(2, KeyPurpose::Sign).unwrap();
    area.put(0, b"headthe text");
    let text = KeyedText { text: keyed(&area, 0, 0, 8), associated: 4, proof: 512 };
    ask(&one, VaultCall::KeyEncrypt(text)).unwrap();
    let sealed = area.get(0, 12);
    assert!(sealed[..4] == *b"head" && sealed[4..] != *b"the text");
    area.put(0, b"HEAD");
    let forged = ask(&one, VaultCall::KeyDecrypt(text));
    assert_eq!(forged, refused(Status::NotAuthentic));
    assert_eq!(area.get(4, 8), sealed[4..], "nothing was decrypted");
    area.put(0, b"head");
    ask(&one, VaultCall::KeyDecrypt(text)).unwrap();
    assert_eq!(area.get(0, 12), b"headthe text");
    let public = bytes_of(ask(&one, VaultCall::KeyPublic { slot: 2 }).unwrap());
    let sign = VaultCall::KeySign { message: keyed(&area, 2, 0, 12), signature: 1024 };
    ask(&one, sign).unwrap();
    let key = ed25519_dalek::VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&area.get(1024, 64)).unwrap();
    assert!(key.verify_strict(b"headthe text", &signature).is_ok());
    assert_eq!(ask(&one, sign), refused(Status::QuotaRate), "two of the long class in a second");
}

#[test]
fn a_key_is_bound_to_its_vms_id_its_uuid_and_its_device() {
    let (platform, [one, two]) = boot();
    let area = Area::new(&one);
    ask(&one, VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Mac }).unwrap();
    let mine = ask(&one, VaultCall::KeyMac(keyed(&area, 0, 0, 16))).unwrap();
    let theirs = Area::new(&two);
    let met = ask(&two, VaultCall::KeyMac(keyed(&theirs, 0, 0, 16)));
    assert_eq!(met, refused(Status::SlotEmpty), "another VM's slots are its own");
    let flash = platform.machine().flash().model(|model| model.clone());
    let try_as = |uuid, root| {
        let (again, [one, _]) = boot_with(Services { uuid, ..ALL }, Services::NONE);
        again.machine().flash().model(|model| *model = flash.clone());
        again.machine().flash().set_root_key(root);
        let area = Area::new(&one);
        ask(&one, VaultCall::KeyMac(keyed(&area, 0, 0, 16)))
    };
    assert_eq!(try_as([1; 16], Some([0x5a; 32])), Ok(mine));
    assert_eq!(try_as([3; 16], Some([0x5a; 32])), refused(Status::NotOurs), "another UUID");
    assert_eq!(try_as([1; 16], Some([0x5b; 32])), refused(Status::NotOurs), "another device");
    assert_eq!(try_as([1; 16], None), refused(Status::NoStore), "a device without a key");
}

#[test]
fn wrong_places_lengths_and_slots_are_refused_and_change_nothing() {
    let (platform, [one, _]) = boot();
    let area = Area::new(&one);
    ask(&one, VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Aead }).unwrap();
    let before = platform.machine().flash().model(|model| model.operations);
    let text = |length, associated, proof| {
        let text = KeyedText { text: keyed(&area, 0, 0, length), associated, proof };
        ask(&one, VaultCall::KeyEncrypt(text))
    };
    assert_eq!(text(4096, 1, 0), refused(Status::BadArgument));
    assert_eq!(text(u16::MAX, u16::MAX, 0), refused(Status::BadArgument));
    assert_eq!(text(16, 0, 8192 - 39), refused(Status::OutsideArea));
    let beyond = VaultCall::KeyMac(keyed(&area, 0, 8190, 3));
    assert_eq!(ask(&one, beyond), refused(Status::OutsideArea));
    for slot in [3, 8, 255] {
        let met = ask(&one, VaultCall::KeyDelete { slot });
        assert_eq!(met, refused(Status::NoSuchNumber));
    }
    let wrong = VaultCall::KeyMac(keyed(&area, 0, 0, 3));
    assert_eq!(ask(&one, wrong), refused(Status::WrongPurpose));
    assert_eq!(platform.machine().flash().model(|model| model.operations), before);
    let (_, [none, _]) = boot_with(Services { key_slots: 0, ..ALL }, ALL);
    let met = ask(&none, VaultCall::KeyGenerate { slot: 0, purpose: KeyPurpose::Mac });
    assert_eq!(met, refused(Status::PolicyService));
}
