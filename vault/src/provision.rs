//! Owns the record by which a flash is made a store of this device: a mark and the hardware-unique key,
//! as a factory writes it. Never touches a flash itself.
//!
//! A platform with fuses has no such record: there the key comes from them. Where a sector of the secure
//! flash stands in (QEMU), whoever rewrites that sector has a new device, and the old sealed keys are
//! gone: it is private to the secure world, and not unchangeable.
//!
//! ```text
//!   0..14   "CAUSEWAY-HUK-1"
//!  14..16   1 if the log is to tell of each program and erase (for tests of power cuts), else 0
//!  16..48   the key, from a true random source
//!  48..80   SHA-256 over bytes 0..48
//! ```

use crate::keys::{KEY, RootKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of the record.
pub const RECORD: usize = 80;
const MARK: &[u8; 14] = b"CAUSEWAY-HUK-1";

/// What a record says.
#[derive(Debug)]
pub struct Provision {
    /// The hardware-unique key.
    pub root_key: RootKey,
    /// Whether the log tells of each program and erase.
    pub tells: bool,
}

/// Makes a record, for who provisions a flash (`cargo xtask`) and for tests.
#[must_use]
pub fn record(key: &[u8; KEY], tells: bool) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    let flags = u16::from(tells).to_le_bytes();
    let digest = Sha256::new().chain_update(MARK).chain_update(flags).chain_update(key).finalize();
    let parts = MARK.iter().chain(&flags).chain(key).chain(&digest);
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = *from;
    }
    bytes
}

/// Reads a record; `None` for one that is none, or was damaged: then this flash is not provisioned.
#[must_use]
pub fn read(bytes: &[u8; RECORD]) -> Option<Provision> {
    let (mark, rest) = bytes.split_first_chunk::<14>()?;
    let (flags, rest) = rest.split_first_chunk::<2>()?;
    let (key, digest) = rest.split_first_chunk::<KEY>()?;
    let key = Zeroizing::new(*key);
    let hash = Sha256::new().chain_update(mark).chain_update(flags);
    let expected = hash.chain_update(key.as_slice()).finalize();
    if mark != MARK || *digest != *expected.as_slice() {
        return None;
    }
    let tells = match u16::from_le_bytes(*flags) {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Provision { root_key: RootKey::new(&key), tells })
}

#[cfg(test)]
mod tests {
    use super::{RECORD, read, record};

    #[test]
    fn a_record_is_read_back_and_no_damaged_one_is() {
        let whole = record(&[7; 32], true);
        assert!(read(&whole).is_some_and(|found| found.tells));
        assert!(read(&record(&[7; 32], false)).is_some_and(|found| !found.tells));
        for bit in 0..RECORD * 8 {
            let mut damaged = whole;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_none(), "bit {bit}");
        }
        assert!(read(&[0xff; RECORD]).is_none(), "an erased sector");
        assert!(read(&[0; RECORD]).is_none());
    }

    #[test]
    fn a_record_is_these_bytes() {
        let bytes = record(&core::array::from_fn(|n| u8::try_from(n).unwrap()), false);
        assert_eq!(bytes[..20], *b"CAUSEWAY-HUK-1\0\0\0\x01\x02\x03");
        assert_eq!(bytes[48..52], [148, 79, 115, 231]);
    }
}
