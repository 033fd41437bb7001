//! `demo_keys`: keys that VM 1 makes, imports and uses, across a power-off, and nobody else has.

use super::{connect, status_of, until_ready};
use crate::jobs::{KNOWN_KEY as KNOWN, SEALED, SIGNED};
use crate::rt::Boot;
use crate::rt::client::take_pages;
use crate::{check, say};
use causeway_abi::Status;
use causeway_abi::vault::KeyPurpose;
use causeway_client::security::{KeyArea, Security};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// VM 1's slots.
const MAC: u8 = 0;
const AEAD: u8 = 1;
const SIGN: u8 = 2;
const SPARE: u8 = 7;
/// The slot with the known key for encryption.
const KNOWN_AEAD: u8 = 3;

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// VM 1. The job is booted twice on one flash; each time all of this must hold.
pub(in crate::programs) fn owner(_boot: &Boot) {
    let connection = connect();
    let security = Security::of(connection);
    check!("keys/flash_is_ready_when_every_core_was_seen", until_ready(security));
    let area = KeyArea::open(connection, take_pages(2)).expect("a local area");
    let made = [
        area.import(MAC, KeyPurpose::Mac, &KNOWN),
        security.generate_key(AEAD, KeyPurpose::Aead),
        security.generate_key(SIGN, KeyPurpose::Sign),
        area.import(KNOWN_AEAD, KeyPurpose::Aead, &KNOWN),
    ];
    let all = |status| made.iter().all(|result| status_of(result) == status);
    let again = all(Some(Status::SlotTaken));
    let fresh = made.iter().all(Result::is_ok);
    check!("keys/made_once_and_kept_across_power_off", fresh || again, "{made:?}");

    let tag = area.mac(MAC, b"message");
    check!("keys/hmac_is_what_its_owner_expects", tag == Ok(hmac(&KNOWN, b"message")), "{tag:?}");
    let tag = tag.unwrap_or_default();
    let good = area.verify(MAC, b"message", &tag);
    let bad = area.verify(MAC, b"massage", &tag);
    let told = good == Ok(()) && status_of(&bad) == Some(Status::NotAuthentic);
    check!("keys/a_wrong_tag_is_refused", told, "{good:?} {bad:?}");

    let mut text = *b"a text that must not be read by others";
    let plain = text;
    let sealed = area.encrypt(AEAD, b"head", &mut text).expect("encrypted");
    let hidden = text != plain;
    let wrong = area.decrypt(AEAD, b"HEAD", &mut text, &sealed);
    let back = area.decrypt(AEAD, b"head", &mut text, &sealed);
    let whole = hidden && status_of(&wrong) == Some(Status::NotAuthentic) && back == Ok(());
    check!("keys/what_was_encrypted_comes_back_to_its_owner", whole && text == plain, "{back:?}");

    let public = security.public_key(SIGN);
    let one = area.sign(SIGN, b"one");
    let two = area.sign(SIGN, b"two");
    let signed = public.is_ok() && one.is_ok() && two.is_ok() && one != two;
    check!("keys/a_signature_is_made_without_the_key", signed, "{one:?} {two:?}");
    let wrong = area.sign(MAC, b"one");
    let purpose = status_of(&wrong) == Some(Status::WrongPurpose);
    check!("keys/a_key_serves_its_purpose_only", purpose, "{wrong:?}");
    let made = security.generate_key(SPARE, KeyPurpose::Mac);
    let gone = security.delete_key(SPARE);
    let used = area.mac(SPARE, b"x");
    let empty = made == Ok(()) && gone == Ok(()) && status_of(&used) == Some(Status::SlotEmpty);
    check!("keys/a_deleted_key_is_gone", empty, "{made:?} {gone:?} {used:?}");
    say!("RESULT job=keys again={again} public={}", Hex(&public.unwrap_or_default()));
    prove(security, &area);
}

/// Prints what the host verifies by itself: a signature with its public key, and what the known key makes.
fn prove(security: Security<'_>, area: &KeyArea<'_>) {
    let signature = area.sign(SIGN, SIGNED.as_bytes()).unwrap_or([0; 64]);
    let public = security.public_key(SIGN).unwrap_or_default();
    say!("PROOF public={} signature={}", Hex(&public), Hex(&signature));
    let mac = area.mac(MAC, SIGNED.as_bytes()).unwrap_or_default();
    say!("PROOF mac={}", Hex(&mac));
    let [head, plain] = SEALED;
    let mut text = [0; SEALED[1].len()];
    text.copy_from_slice(plain.as_bytes());
    match area.encrypt(KNOWN_AEAD, head.as_bytes(), &mut text) {
        Ok(sealed) => say!("PROOF nonce_and_tag={} text={}", Hex(&sealed.proof), Hex(&text)),
        Err(error) => say!("not encrypted: {error:?}"),
    }
}

/// VM 2: has slots of its own, in which VM 1's keys are not.
pub(in crate::programs) fn other(_boot: &Boot) {
    let connection = connect();
    until_ready(Security::of(connection));
    let area = KeyArea::open(connection, take_pages(2)).expect("a local area");
    let met = area.mac(MAC, b"message");
    let empty = status_of(&met) == Some(Status::SlotEmpty);
    check!("keys/vm2_does_not_have_vm1s_keys", empty, "{met:?}");
    let met = area.mac(2, b"message");
    let beyond = status_of(&met) == Some(Status::NoSuchNumber);
    check!("keys/a_slot_beyond_policy_is_refused", beyond, "{met:?}");
}

/// VM 3: policy gives it nothing.
pub(in crate::programs) fn stranger(_boot: &Boot) {
    let met = Security::of(connect()).generate_key(0, KeyPurpose::Mac);
    let refused = status_of(&met) == Some(Status::PolicyService);
    check!("keys/nothing_for_vm3", refused, "{met:?}");
}

/// Bytes for a RESULT line.
struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
