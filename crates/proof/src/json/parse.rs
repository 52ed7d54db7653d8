//! The parser: serde_json reads the tokens, a visitor refuses what this project does not allow.

use super::field_error::FieldError;
use super::value::Json;
use crate::text::shown;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt::Formatter;

/// Deepest nesting of arrays and objects that is read; `[[…]]` with 33 brackets is refused.
pub const MAX_DEPTH: usize = 32;

/// Objects up to this many keys are searched for duplicates linearly, larger ones through a set.
const LINEAR_KEYS_MAX: usize = 16;

/// Reads exactly one JSON value.
///
/// Refused with the position where known: duplicate keys at any depth (compared after unescaping), trailing
/// data, a byte order mark, nesting over [`MAX_DEPTH`], numbers with a fraction or exponent or outside `i64`,
/// `-0`, lone surrogates, invalid UTF-8 and unescaped control characters. The caller bounds the length:
/// memory is at most a small multiple of it.
pub fn parse(bytes: &[u8]) -> Result<Json, FieldError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(FieldError::new("", "starts with a byte order mark"));
    }
    let mut tokens = serde_json::Deserializer::from_slice(bytes);
    let value = Node { open: 0 }.deserialize(&mut tokens).map_err(located)?;
    tokens.end().map_err(located)?;
    Ok(value)
}

fn located(error: serde_json::Error) -> FieldError {
    // serde_json's text ends with `at line L column C`.
    FieldError::new("", format!("is not acceptable JSON: {error}"))
}

/// One value to read, below `open` arrays and objects.
struct Node {
    open: usize,
}

impl Node {
    fn inner<E: Error>(&self) -> Result<usize, E> {
        if self.open >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(self.open + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Node {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node {
    type Value = Json;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        i64::try_from(value)
            .map(Json::Int)
            .map_err(|_| E::custom("number outside the 64-bit signed integers"))
    }

    // serde_json hands over fractions, exponents, `-0` and integers beyond 64 bits as floating point.
    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Err(E::custom("number that is not a 64-bit signed integer"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let open = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Node { open })? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let open = self.inner()?;
        let mut fields: Vec<(String, Json)> = Vec::new();
        let mut many: BTreeSet<String> = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.len() == LINEAR_KEYS_MAX {
                many.extend(fields.iter().map(|(name, _)| name.clone()));
            }
            let duplicate = if fields.len() < LINEAR_KEYS_MAX {
                fields.iter().any(|(name, _)| *name == key)
            } else {
                !many.insert(key.clone())
            };
            if duplicate {
                return Err(A::Error::custom(format_args!("duplicate key `{}`", shown(&key))));
            }
            let value = map.next_value_seed(Node { open })?;
            fields.push((key, value));
        }
        Ok(Json::Object(fields))
    }
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node { open: 0 }.deserialize(deserializer)
    }
}
