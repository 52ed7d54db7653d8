//! The JSON writer: compact, with one spelling for each value, so that equal values have equal bytes. The API
//! writes its requests and answers with it too.

use super::value::Json;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// The value as compact JSON in UTF-8: no white space, fields in their order, only `"`, `\` and control
/// characters escaped.
///
/// It takes [`Json`] and types whose objects have text as keys. A value that JSON cannot express gives no
/// bytes at all, which no reader accepts.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl Json {
    /// The value as compact JSON, by [`to_vec`](fn@to_vec).
    pub fn to_vec(&self) -> Vec<u8> {
        to_vec(self)
    }

    /// [`to_vec`](Json::to_vec) as text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Int(value) => serializer.serialize_i64(*value),
            Json::Text(text) => serializer.serialize_str(text),
            Json::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Json::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
