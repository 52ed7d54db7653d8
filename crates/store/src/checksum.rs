//! The checksum in front of every stored value.
//!
//! A stored value is 8 bytes of XXH3-64 over the value, little endian, and then the value. The hash is seeded
//! with a hash of the key, which is seeded with a hash of the table's name, so that it also detects a row in
//! another row's place. It detects flipped bits. It does not protect against a party that writes to the disk
//! on purpose; nor would a cryptographic hash without a key.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const CHECKSUM_BYTES: usize = 8;

/// What is stored for `value` at `key` of `table`.
pub(crate) fn seal(table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(CHECKSUM_BYTES + value.len());
    stored.extend_from_slice(&checksum(table, key, value));
    stored.extend_from_slice(value);
    stored
}

/// The value in `stored`, or `None` if its checksum does not match.
pub(crate) fn unseal<'a>(table: &str, key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (found, value) = stored.split_first_chunk::<CHECKSUM_BYTES>()?;
    (checksum(table, key, value) == *found).then_some(value)
}

fn checksum(table: &str, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let place = xxh3_64_with_seed(key, xxh3_64(table.as_bytes()));
    xxh3_64_with_seed(value, place).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_has_these_bytes() {
        assert_eq!(hex::encode(seal("meta", b"key", b"value")), "15afa49d037981fb76616c7565");
    }

    #[test]
    fn any_flipped_bit_and_any_other_place_is_noticed() {
        let stored = seal("meta", b"key", b"value");
        assert_eq!(unseal("meta", b"key", &stored), Some(&b"value"[..]));
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal("meta", b"key", &flipped), None);
        }
        assert_eq!(unseal("met", b"akey", &stored), None);
        assert_eq!(unseal("meta", b"kex", &stored), None);
        assert_eq!(unseal("meta", b"key", &stored[..7]), None);
        assert_eq!(unseal("meta", b"key", b""), None);
    }
}
