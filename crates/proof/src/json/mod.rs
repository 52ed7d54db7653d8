//! Strict, bounded JSON: one value type, one parser, one reader of objects, one writer.
//!
//! Serde's derived readers accept an array where an object belongs, drop unknown fields and let the last of
//! two equal keys win. If two programs read one signed text differently, an attacker can use the difference.
//! Therefore no derive here reads input from outside: bytes become a [`Json`] through [`parse`](fn@parse) or,
//! if they are a statement's payload, through [`parse_payload`], and values leave it through [`Fields`].

mod field_error;
mod fields;
mod parse;
mod payload;
mod value;
mod write;

pub use field_error::FieldError;
pub use fields::Fields;
pub use parse::{MAX_DEPTH, parse};
pub use payload::parse_payload;
pub use value::Json;
pub use write::to_vec;
