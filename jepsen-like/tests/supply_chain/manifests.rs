//! What the workspace's own manifests and crate roots have to say, and the dependencies that nothing uses.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// The dependencies of these sections.
fn of_sections(manifest: &Table, sections: &[&str]) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables: Vec<&Table> = targets.filter_map(Value::as_table).chain([manifest]).collect();
    let found =
        tables.iter().flat_map(|table| sections.iter().filter_map(move |section| table.get(*section)));
    found.filter_map(Value::as_table).flat_map(Table::keys).cloned().collect()
}

/// Every dependency that a manifest names.
pub(crate) fn dependencies(manifest: &Table) -> BTreeSet<String> {
    of_sections(manifest, &["dependencies", "dev-dependencies", "build-dependencies"])
}

/// The dependencies of a crate that no source of it names. `sources` has each file's path from the crate's folder, and
/// its text. What is no dependency for tests must be named in `src`. Code that only tests have counts there too.
pub(crate) fn unused(manifest: &Table, sources: &[(String, String)]) -> Vec<String> {
    let is_named = |dependency: &str, product: bool| {
        let name = dependency.replace('-', "_");
        let mut files = sources.iter().filter(|(path, _)| !product || path.starts_with("src/"));
        files.any(|(_, text)| names(text, &name))
    };
    let product = of_sections(manifest, &["dependencies"]).into_iter();
    let tests = of_sections(manifest, &["dev-dependencies", "build-dependencies"]).into_iter();
    let lacking = product.filter(|dependency| !is_named(dependency, true));
    lacking.chain(tests.filter(|dependency| !is_named(dependency, false))).collect()
}

/// Whether code names a crate: at the head of a path, in a `use`, or as the whole of a text in quotes, as attributes of
/// serde do. Comments do not count, except those of the documentation, whose examples are code.
fn names(text: &str, name: &str) -> bool {
    text.lines().filter(|line| !is_comment(line)).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            // A path may begin with `::`. Behind a name, `::` leads to something else of this name.
            let before = before.strip_suffix("::").unwrap_or(before);
            let begins = !before.ends_with(is_word) && !before.ends_with('>');
            let in_use = before.ends_with("use ") || before.ends_with("extern crate ");
            let ends = !after.starts_with(is_word);
            let quoted = before.ends_with('"') && after.starts_with('"');
            begins && ends && (after.starts_with("::") || in_use || quoted)
        })
    })
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") && !line.starts_with("///") && !line.starts_with("//!")
}

/// Whether a manifest takes the lints of the workspace.
pub(crate) fn takes_lints(manifest: &Table) -> bool {
    let lints = manifest.get("lints").and_then(Value::as_table);
    lints.and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// Whether a crate's root forbids unsafe code.
pub(crate) fn forbids_unsafe(root: &str) -> bool {
    root.lines().any(|line| line.trim_end() == "#![forbid(unsafe_code)]")
}

#[test]
fn a_dependency_that_no_source_names_is_found_in_each_section() {
    let manifest = "[dependencies]\na-b = \"1\"\nbytes.workspace = true\n[dev-dependencies]\nc = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nd = { version = \"1\" }\n[build-dependencies]\ne = \"1\"";
    let manifest: Table = toml::from_str(manifest).unwrap();
    assert_eq!(dependencies(&manifest).into_iter().collect::<Vec<_>>(), ["a-b", "bytes", "c", "d", "e"]);
    let source = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let used = [
        source("src/lib.rs", "use a_b::A;\n/// d::example();\n#[serde(with = \"bytes\")]\nfn f() {}"),
        source("tests/t.rs", "fn t() { c::d(); }"),
        source("build.rs", "use ::e;"),
    ];
    assert!(unused(&manifest, &used).is_empty(), "{:?}", unused(&manifest, &used));
    let unlike = [
        source(
            "src/lib.rs",
            "use aa_b::A;\n// bytes::Bytes\nlet d = own::d::D; let bytes = 1; \"bytes: 3\";",
        ),
        // Only a test names it, and it is no dependency for tests.
        source("tests/t.rs", "use a_b::A; fn t(c: u8) { abc::d(); e(); }"),
    ];
    assert_eq!(unused(&manifest, &unlike), ["a-b", "bytes", "d", "c", "e"]);
}

#[test]
fn a_crate_without_the_lints_or_the_attribute_is_noticed() {
    let manifest = |text: &str| toml::from_str::<Table>(text).unwrap();
    assert!(takes_lints(&manifest("[lints]\nworkspace = true")));
    assert!(!takes_lints(&manifest("[lints]\nworkspace = false")) && !takes_lints(&manifest("[package]")));
    assert!(forbids_unsafe("//! Text.\n#![forbid(unsafe_code)]\nmod a;"));
    assert!(!forbids_unsafe("// #![forbid(unsafe_code)]") && !forbids_unsafe("#![deny(unsafe_code)]"));
}
