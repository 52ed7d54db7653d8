//! How rows and commands become bytes: one version byte, then MessagePack by position.
//!
//! Positional encoding is compact and brittle, so every type has a version of its own and golden bytes in
//! the tests. Trailing bytes and unknown versions are errors, never ignored. An unknown version is told apart from
//! damage: another build wrote it, and this one must stop instead of passing it over.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A stored or replicated type with the version its encoding has now.
pub(crate) trait Versioned: Serialize + DeserializeOwned {
    /// The version byte in front.
    const VERSION: u8;
}

/// A version that this build does not know, of something stored or replicated. What carries it is not damaged: another
/// build wrote it. A node that meets one stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersionError {
    /// The version found.
    pub found: u8,
    /// The version that this build reads.
    pub known: u8,
}

impl UnknownVersionError {
    /// Nothing if `found` is the version that this build reads, otherwise the error.
    pub fn check(found: u8, known: u8) -> Result<(), Self> {
        if found == known { Ok(()) } else { Err(Self { found, known }) }
    }
}

/// Reads on after "… has ".
impl fmt::Display for UnknownVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, known } = self;
        let build = if found > known { "a newer build" } else { "the build that wrote it" };
        write!(f, "version {found}, and this build reads version {known}: start this node with {build}")
    }
}

impl std::error::Error for UnknownVersionError {}

/// Why bytes did not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There was no byte at all.
    #[error("there are no bytes")]
    Empty,
    /// The version is one that this build does not know.
    #[error("it has {0}")]
    Version(UnknownVersionError),
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
    UnknownVersionError::check(*version, T::VERSION).map_err(CodecError::Version)?;
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
