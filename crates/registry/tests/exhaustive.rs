//! No rule may pass over a variant that it does not name: otherwise a kind of claim that is added later would be
//! harmless by accident.
//!
//! Two lints of clippy refuse a wildcard in a `match` over an enum. They do not look into `matches!`, which this test reads the
//! sources for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files that may say `matches!`, how often, and why.
const MAY_MATCH: &[(&str, usize, &str)] = &[
    ("proof/src/base64.rs", 1, "line ends"),
    ("proof/src/json/fields.rs", 1, "only `null` counts as absent"),
    ("proof/src/json/payload.rs", 1, "bytes of a number"),
    ("proof/src/name.rs", 1, "bytes of a name"),
    ("proof/src/text.rs", 2, "three characters; and a test of borrowing"),
    ("registry/src/authorize/verdict.rs", 1, "an allow, which is the only one"),
    ("registry/src/facts/expected.rs", 2, "the facts are worked out by rules of their own and compared"),
    ("registry/src/facts/marks.rs", 3, "the facts are worked out by rules of their own and compared"),
];

/// What both crates must begin with.
const LINTS: &str = "#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]";

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_wildcard_lints_are_on_and_every_matches_over_an_enum_is_listed() {
    let mut counted = BTreeMap::new();
    for name in ["proof", "registry"] {
        let src = crates().join(name).join("src");
        assert!(fs::read_to_string(src.join("lib.rs")).unwrap().contains(LINTS), "{name} has no such lints");
        let mut found = Vec::new();
        sources(&src, &mut found);
        assert!(found.len() > 20, "the sources of {name} are elsewhere");
        for path in found {
            let count = fs::read_to_string(&path).unwrap().matches("matches!(").count();
            if count > 0 {
                let file = path.strip_prefix(crates()).unwrap().to_str().unwrap().to_owned();
                counted.insert(file, count);
            }
        }
    }
    let expected: BTreeMap<String, usize> =
        MAY_MATCH.iter().map(|(file, count, _)| ((*file).to_owned(), *count)).collect();
    assert_eq!(counted, expected, "name every variant in a `match`, or say here why none can be missed");
}
