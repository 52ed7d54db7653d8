//! The list of all parsers.

use std::sync::LazyLock;

use super::parser::Parser;
use super::{api, node, peer, proof, tls};

/// Every parser, by crate.
pub static PARSERS: LazyLock<Vec<Parser>> =
    LazyLock::new(|| [proof::PARSERS, api::PARSERS, node::PARSERS, peer::PARSERS, tls::PARSERS].concat());

/// The parser of this name.
pub fn parser(name: &str) -> Option<Parser> {
    PARSERS.iter().find(|parser| parser.name == name).copied()
}

/// Runs one parser by its name. The targets in `fuzz/` are this call.
///
/// # Panics
/// There is no such parser, its property is violated, or it panics.
pub fn run(name: &str, bytes: &[u8]) {
    let found = parser(name);
    assert!(found.is_some(), "there is no parser `{name}`");
    if let Some(parser) = found {
        parser.run(bytes);
    }
}
