//! The list of all parsers.

use std::sync::LazyLock;

use super::parser::Parser;
use super::{api, callers, node, peer, pem_files, proof, tls};

/// Every parser, by crate.
pub static PARSERS: LazyLock<Vec<Parser>> = LazyLock::new(|| {
    let of_node = [node::PARSERS, peer::PARSERS, callers::PARSERS].concat();
    let of_tls = [tls::PARSERS, pem_files::PARSERS].concat();
    [proof::PARSERS, api::PARSERS, of_node.as_slice(), of_tls.as_slice()].concat()
});

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
