//! The JSON writer: compact, with one spelling for each value, so that equal values have equal bytes. The API
//! writes its requests and answers with it too.

use super::value::Json;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};
use std::io;

/// The value as compact JSON in UTF-8: no white space, fields in their order, only `"`, `\` and control
/// characters escaped. Of the control characters, line feed, carriage return and tab have their short escapes, and
/// every other one is `\u00xx`.
///
/// It takes [`Json`] and types whose objects have text as keys. A value that JSON cannot express gives no
/// bytes at all, which no reader accepts.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Compact);
    match value.serialize(&mut serializer) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// [`CompactFormatter`], except for two characters. Stored envelopes have these bytes: a genesis file's are written anew when it is read,
/// and every build must store the same.
struct Compact;

impl Formatter for Compact {
    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(br"\u0008"),
            CharEscape::FormFeed => writer.write_all(br"\u000c"),
            other @ (CharEscape::Quote
            | CharEscape::ReverseSolidus
            | CharEscape::Solidus
            | CharEscape::LineFeed
            | CharEscape::CarriageReturn
            | CharEscape::Tab
            | CharEscape::AsciiControl(_)) => CompactFormatter.write_char_escape(writer, other),
        }
    }
}

impl Json {
    /// The value as compact JSON, by [`to_vec`](fn@to_vec).
    pub fn to_vec(&self) -> Vec<u8> {
        to_vec(self)
    }

    /// [`to_vec`](Json::to_vec) as text.
    pub fn to_text(&self) -> String {
        String::from_utf8(to_vec(self)).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn every_control_character_has_the_bytes_that_stored_envelopes_have() {
        let text: String = (0_u8..0x20).chain([b'"', b'\\', b'/', 0x7f]).map(char::from).collect();
        let expected = concat!(
            r#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\t\n\u000b\u000c\r\u000e\u000f"#,
            r#"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f"#,
            r#"\"\\/"#,
            "\u{7f}\"",
        );
        let value = Json::Text(text);
        assert_eq!(value.to_text(), expected);
        assert_eq!(value.to_vec(), expected.as_bytes());
        // What is written is read, and the short escapes give the same value.
        assert_eq!(parse(expected.as_bytes()), Ok(value));
        assert_eq!(parse(br#""\b\f""#).map(|short| short.to_text()), Ok(r#""\u0008\u000c""#.to_owned()));
    }
}
