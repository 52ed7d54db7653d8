//! The checksum in front of every stored value.
//!
//! A stored value is the first 8 bytes of BLAKE3 over table, key and value, each with its length (8 bytes,
//! little endian) in front, and then the value. It finds flipped bits and rows in the wrong place; it is no
//! protection against someone who writes to the disk on purpose.

use blake3::Hasher;

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
    let mut hasher = Hasher::new();
    for part in [table.as_bytes(), key, value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_has_these_bytes() {
        assert_eq!(hex(&seal("meta", b"key", b"value")), "9a8ef3b9d32b6bcb76616c7565");
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

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
