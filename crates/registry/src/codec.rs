//! How rows and commands become bytes: one version byte, then MessagePack by position.
//!
//! Positional encoding is compact and brittle, so every type has versions of its own, and tests hold their
//! golden bytes. A build reads every version of a type from 1 to its newest, and writes the one that the
//! rules in force name: each voter's signature under those rules says that its build reads it. Trailing bytes
//! and unknown versions are errors, never ignored. An unknown version is not damage: another build wrote it,
//! and this one must stop instead of skipping it.
//!
//! **To give a type another version:** implement [`Versioned`] for it by hand, or raise its `NEWEST`; let `read` turn the older
//! shapes into the type as it is now, and `write` write them still; name the new version in `version_under`
//! for a new version of the rules and for none that is there already. Add golden bytes, and keep the old
//! ones, which have to be read and written as before. Then add a fixture (`cluster/tests/data`). The tests
//! below have a type with two versions.

use std::fmt;

use assent_proof::Rules;
use assent_proof::text::{cut, one_line};
use serde::{Deserializer, Serializer};

/// A stored or replicated type with versions of its encoding. Nothing here has a default, so a type that gets
/// a second version does not compile until it says all of this.
pub(crate) trait Versioned: Sized {
    /// The newest version; every one from 1 to it is read.
    const NEWEST: u8;

    /// The version that is written under these rules.
    fn version_under(rules: Rules) -> u8;

    /// Writes the value in the form of `version`, which is from 1 to [`Self::NEWEST`].
    fn write<S: Serializer>(&self, version: u8, to: S) -> Result<S::Ok, S::Error>;

    /// Reads the form of `version`, which is from 1 to [`Self::NEWEST`].
    fn read<'de, D: Deserializer<'de>>(version: u8, from: D) -> Result<Self, D::Error>;
}

/// Types that have one version so far, the first, under all rules.
macro_rules! of_one_version {
    ($($kind:ty),+ $(,)?) => {
        $(impl $crate::codec::Versioned for $kind {
            const NEWEST: u8 = 1;

            fn version_under(_: assent_proof::Rules) -> u8 {
                1
            }

            fn write<S: serde::Serializer>(&self, _: u8, to: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self, to)
            }

            fn read<'de, D: serde::Deserializer<'de>>(_: u8, from: D) -> Result<Self, D::Error> {
                serde::Deserialize::deserialize(from)
            }
        })+
    };
}

pub(crate) use of_one_version;

/// A stored or replicated thing has a version that this build does not know. It is not damaged: another build
/// wrote it. A node that meets one stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersionError {
    /// The version found.
    pub found: u8,
    /// The newest version that this build reads; it reads all from 1 on.
    pub known: u8,
}

impl UnknownVersionError {
    /// Nothing if this build reads `found`, which it does from 1 to `known`; otherwise the error.
    pub fn check(found: u8, known: u8) -> Result<(), Self> {
        if (1..=known).contains(&found) { Ok(()) } else { Err(Self { found, known }) }
    }
}

/// The text reads on after "… has ".
impl fmt::Display for UnknownVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, known } = self;
        let build = if found > known { "a newer build" } else { "the build that wrote it" };
        let reads = if *known == 1 { "version 1".to_owned() } else { format!("versions 1 to {known}") };
        write!(f, "version {found}, and this build reads {reads}: start this node with {build}")
    }
}

impl std::error::Error for UnknownVersionError {}

/// Why bytes could not be decoded.
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
    /// The bytes are not the encoding that this build writes for the value.
    #[error("this build writes the value in other bytes")]
    NotCanonical,
}

/// The value's bytes, in the version that these rules name.
///
/// Encoding these types (integers, byte strings, lists, options, enums) into memory cannot fail. If it did,
/// the empty result would not decode, and a row that cannot be read denies.
pub(crate) fn encode<T: Versioned>(value: &T, rules: Rules) -> Vec<u8> {
    encode_as(value, T::version_under(rules))
}

fn encode_as<T: Versioned>(value: &T, version: u8) -> Vec<u8> {
    let mut bytes = vec![version];
    let mut serializer = rmp_serde::Serializer::new(&mut bytes);
    match value.write(version, &mut serializer) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// The value that `bytes` hold, all of them.
pub(crate) fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    UnknownVersionError::check(*version, T::NEWEST).map_err(CodecError::Version)?;
    let mut cursor = std::io::Cursor::new(body);
    let value = {
        let mut deserializer = rmp_serde::Deserializer::new(&mut cursor);
        deserializer.set_max_depth(64);
        T::read(*version, &mut deserializer).map_err(|error| unreadable(&error))?
    };
    let left = (body.len() as u64).saturating_sub(cursor.position());
    if left > 0 {
        return Err(CodecError::Trailing(left));
    }
    Ok(value)
}

/// The longest text of an [`CodecError::Encoding`], in characters.
const ENCODING_CHARS_MAX: usize = 200;

/// Serde's errors quote what they found, and that can be as long as the entry that a peer wrote.
fn unreadable(error: &rmp_serde::decode::Error) -> CodecError {
    CodecError::Encoding(one_line(&cut(&error.to_string(), ENCODING_CHARS_MAX)).into_owned())
}

/// The value that `bytes` hold, if [`encode`] makes the same bytes of it. This is for what a peer wrote:
/// which other bytes the decoder takes for the same value may change with the decoder's version, and that
/// must not decide what becomes of an entry.
pub(crate) fn decode_canonical<T: Versioned>(bytes: &[u8]) -> Result<T, CodecError> {
    let value: T = decode(bytes)?;
    let version = bytes.first().copied().ok_or(CodecError::Empty)?;
    if encode_as(&value, version) == bytes { Ok(value) } else { Err(CodecError::NotCanonical) }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    /// A type whose second version got a field.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
        urgent: bool,
    }

    impl Versioned for Note {
        const NEWEST: u8 = 2;

        fn version_under(rules: Rules) -> u8 {
            if rules.version() >= Rules::TEST.version() { 2 } else { 1 }
        }

        fn write<S: Serializer>(&self, version: u8, to: S) -> Result<S::Ok, S::Error> {
            match version {
                1 => (&self.text,).serialize(to),
                _ => self.serialize(to),
            }
        }

        fn read<'de, D: Deserializer<'de>>(version: u8, from: D) -> Result<Self, D::Error> {
            match version {
                1 => <(String,)>::deserialize(from).map(|(text,)| Note { text, urgent: false }),
                _ => Self::deserialize(from),
            }
        }
    }

    fn note(urgent: bool) -> Note {
        Note { text: "a".to_owned(), urgent }
    }

    #[test]
    fn every_version_up_to_the_newest_is_read_and_the_one_that_the_rules_name_is_written() {
        assert_eq!(encode(&note(true), Rules::GENESIS), b"\x01\x91\xa1a");
        assert_eq!(encode(&note(true), Rules::TEST), b"\x02\x92\xa1a\xc3");
        assert_eq!(decode(b"\x01\x91\xa1a"), Ok(note(false)));
        assert_eq!(decode(b"\x02\x92\xa1a\xc3"), Ok(note(true)));
    }

    #[test]
    fn neither_a_version_beyond_the_newest_nor_the_body_of_another_version_is_read() {
        for found in [0, 3, 255] {
            let unknown = UnknownVersionError { found, known: 2 };
            assert_eq!(decode::<Note>(&[found, 0x92, 0xa1, b'a', 0xc3]), Err(CodecError::Version(unknown)));
        }
        assert!(decode::<Note>(b"\x01\x92\xa1a\xc3").is_err());
        assert!(decode::<Note>(b"\x02\x91\xa1a").is_err());
    }
}
