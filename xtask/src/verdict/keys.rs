//! Owns the judgement of what VM 1's keys made: the host verifies the signature with the public key, and
//! computes again what the known key makes. Never takes the VM's word for it.

use super::Broken;
use crate::boot::Logs;
use crate::lines::{Line, Source};
use crate::text::bytes_of_hex;
use causeway_guests::jobs::{KNOWN_KEY, SEALED, SIGNED};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2_of_hmac::Sha256;
use std::collections::BTreeMap;

/// What VM 1 printed, by name; the first of each name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proofs(BTreeMap<String, Vec<u8>>);

impl Proofs {
    /// Collects the PROOF lines.
    pub(super) fn of(logs: &Logs) -> Self {
        let mut all = BTreeMap::new();
        for line in logs.normal.iter().map(|line| Line::normal(line)) {
            if line.source == Source::Vm(1)
                && let Some(fields) = line.fields("PROOF")
            {
                for (name, text) in fields.iter() {
                    let bytes = bytes_of_hex(text).unwrap_or_default();
                    all.entry(name.to_owned()).or_insert(bytes);
                }
            }
        }
        Self(all)
    }

    fn get(&self, name: &'static str) -> Result<&[u8], Broken> {
        self.0.get(name).map(Vec::as_slice).ok_or(Broken::Unsaid(name))
    }

    /// What is wrong with them.
    pub(super) fn broken(&self) -> Vec<Broken> {
        let all = [
            self.holds("signature", Self::signature),
            self.holds("mac", Self::mac),
            self.holds("text", Self::text),
        ];
        all.into_iter().filter_map(Result::err).collect()
    }

    fn holds(
        &self,
        what: &'static str,
        check: fn(&Self) -> Result<bool, Broken>,
    ) -> Result<(), Broken> {
        if check(self)? { Ok(()) } else { Err(Broken::Proof(what)) }
    }

    fn signature(&self) -> Result<bool, Broken> {
        let (public, signature) = (self.get("public")?, self.get("signature")?);
        let key = public.try_into().ok().and_then(|key| VerifyingKey::from_bytes(key).ok());
        let signature = Signature::from_slice(signature).ok();
        let both = key.zip(signature);
        Ok(both.is_some_and(|(key, made)| key.verify_strict(SIGNED.as_bytes(), &made).is_ok()))
    }

    fn mac(&self) -> Result<bool, Broken> {
        let said = self.get("mac")?;
        let Ok(mac) = <Hmac<Sha256> as Mac>::new_from_slice(&KNOWN_KEY) else { return Ok(false) };
        Ok(mac.chain_update(SIGNED.as_bytes()).verify_slice(said).is_ok())
    }

    fn text(&self) -> Result<bool, Broken> {
        let (proof, text) = (self.get("nonce_and_tag")?, self.get("text")?);
        let [head, plain] = SEALED;
        let Some((nonce, tag)) = proof.split_at_checked(24) else { return Ok(false) };
        let msg = [text, tag].concat();
        let payload = Payload { msg: &msg, aad: head.as_bytes() };
        let opened =
            XChaCha20Poly1305::new(&KNOWN_KEY.into()).decrypt(XNonce::from_slice(nonce), payload);
        Ok(opened.is_ok_and(|opened| opened == plain.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex;
    use ed25519_dalek::{Signer, SigningKey};

    /// Lines as a VM with good keys prints them.
    fn good() -> [String; 3] {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signature = key.sign(SIGNED.as_bytes()).to_bytes();
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&KNOWN_KEY).expect("a key");
        let mac = mac.chain_update(SIGNED.as_bytes()).finalize().into_bytes();
        let [head, plain] = SEALED.map(str::as_bytes);
        let cipher = XChaCha20Poly1305::new(&KNOWN_KEY.into());
        let payload = Payload { msg: plain, aad: head };
        let sealed = cipher.encrypt(XNonce::from_slice(&[9; 24]), payload).expect("sealed");
        let (text, tag) = sealed.split_at(plain.len());
        let proof = [&[9; 24], tag].concat();
        [
            format!(
                "[vm1] PROOF public={} signature={}",
                hex(key.verifying_key().as_bytes()),
                hex(&signature)
            ),
            format!("[vm1] PROOF mac={}", hex(&mac)),
            format!("[vm1] PROOF nonce_and_tag={} text={}", hex(&proof), hex(text)),
        ]
    }

    fn broken(lines: Vec<String>) -> Vec<Broken> {
        Proofs::of(&Logs { normal: lines, ..Logs::default() }).broken()
    }

    #[test]
    fn what_good_keys_made_holds() {
        assert_eq!(broken(good().to_vec()), []);
    }

    #[test]
    fn one_wrong_digit_anywhere_is_noticed() {
        for line in 0..3 {
            for (name, what) in [
                ("public=", "signature"),
                ("signature=", "signature"),
                ("mac=", "mac"),
                ("nonce_and_tag=", "text"),
                (" text=", "text"),
            ] {
                let mut lines = good();
                let Some(at) = lines[line].find(name) else { continue };
                let digit = at + name.len() + 1;
                let other = if &lines[line][digit..=digit] == "0" { "1" } else { "0" };
                lines[line].replace_range(digit..=digit, other);
                assert_eq!(broken(lines.to_vec()), [Broken::Proof(what)], "{name}");
            }
        }
    }

    #[test]
    fn what_nobody_or_somebody_else_said_is_missing() {
        let all = ["public", "mac", "nonce_and_tag"].map(Broken::Unsaid);
        assert_eq!(broken(vec![]), all);
        let theirs = good().map(|line| line.replace("[vm1]", "[vm2]"));
        assert_eq!(broken(theirs.to_vec()), all);
        assert_eq!(broken(vec!["[vm1] PROOF mac=xyz".into()])[1], Broken::Proof("mac"));
    }
}
