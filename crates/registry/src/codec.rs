//! How rows and commands become bytes: one version byte, then MessagePack by position.
//!
//! Positional encoding is compact and brittle, so every type has a version of its own and golden bytes in
//! the tests. Trailing bytes and unknown versions are errors, never ignored.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A stored or replicated type with the version its encoding has now.
pub(crate) trait Versioned: Serialize + DeserializeOwned {
    /// The version byte in front.
    const VERSION: u8;
}

/// Why bytes did not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There was no byte at all.
    #[error("there are no bytes")]
    Empty,
    /// The version is one that this build does not know.
    #[error("version {found} is unknown, this build reads version {known}")]
    Version {
        /// The version byte found.
        found: u8,
        /// The version this build writes.
        known: u8,
    },
    /// The bytes are not the type's encoding.
    #[error("{0}")]
    Encoding(String),
    /// Bytes are left over after the value.
    #[error("{0} bytes are left over")]
    Trailing(u64),
}

/// The value's bytes.
///
/// Encoding these types (integers, byte strings, lists, options, enums) into memory cannot fail; were it to,
/// the empty result would not decode, and what cannot be read denies.
pub(crate) fn encode<T: Versioned>(value: &T) -> Vec<u8> {
    let mut bytes = vec![T::VERSION];
    match rmp_serde::encode::write(&mut bytes, value) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The value that `bytes` hold, all of them.
pub(crate) fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != T::VERSION {
        return Err(CodecError::Version { found: *version, known: T::VERSION });
    }
    let mut cursor = std::io::Cursor::new(body);
    let value = {
        let mut deserializer = rmp_serde::Deserializer::new(&mut cursor);
        deserializer.set_max_depth(64);
        T::deserialize(&mut deserializer).map_err(|error| CodecError::Encoding(error.to_string()))?
    };
    let left = (body.len() as u64).saturating_sub(cursor.position());
    if left > 0 {
        return Err(CodecError::Trailing(left));
    }
    Ok(value)
}
