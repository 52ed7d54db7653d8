//! Serde for the 32-byte types: text in human readable formats, raw bytes in all others.

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;
use std::fmt::{Display, Formatter};

/// A 32-byte value with a text form. Each type decides what its two readers validate.
pub(crate) trait Bytes32: Sized + Display {
    /// What a message calls the value, with its article.
    const WHAT: &'static str;
    /// Reads the text form.
    fn from_text(text: &str) -> Result<Self, String>;
    /// Reads the raw form.
    fn from_raw(bytes: [u8; 32]) -> Result<Self, String>;
    /// The raw form.
    fn raw(&self) -> &[u8; 32];
}

/// Serializes as text (human readable formats) or as a byte string.
pub(crate) fn serialize<T: Bytes32, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(value)
    } else {
        serializer.serialize_bytes(value.raw())
    }
}

/// Deserializes what [`serialize`] wrote, through the type's own reader of that form.
pub(crate) fn deserialize<'de, T: Bytes32, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(TextOrBytes(std::marker::PhantomData))
    } else {
        deserializer.deserialize_bytes(TextOrBytes(std::marker::PhantomData))
    }
}

struct TextOrBytes<T>(std::marker::PhantomData<T>);

impl<'de, T: Bytes32> Visitor<'de> for TextOrBytes<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        let raw = <[u8; 32]>::try_from(bytes).map_err(|_| E::invalid_length(bytes.len(), &"32 bytes"))?;
        T::from_raw(raw).map_err(E::custom)
    }

    // Some formats have no byte strings and hand over a sequence of integers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut raw = [0u8; 32];
        for (i, slot) in raw.iter_mut().enumerate() {
            *slot = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &"32 bytes"))?;
        }
        if seq.next_element::<u8>()?.is_some() {
            return Err(A::Error::invalid_length(33, &"32 bytes"));
        }
        T::from_raw(raw).map_err(A::Error::custom)
    }
}

/// Implements serde's traits through [`Bytes32`].
macro_rules! serde_bytes32 {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::bytes32::serialize(self, serializer)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::bytes32::deserialize(deserializer)
            }
        }
    };
}
pub(crate) use serde_bytes32;
