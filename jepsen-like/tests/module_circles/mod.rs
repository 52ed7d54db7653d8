//! No module of the product imports from a module that imports from it, directly or by way of others.
//!
//! Modules in a circle can only be understood together, so an auditor cannot finish any one of them. Here each file is
//! a module of its own, `mod.rs` and `lib.rs` too: what a parent and its children share lies in a child. This test
//! reads the sources as text. It follows a path through re-exports to the module that defines what the path names. It
//! passes over comments, strings and code that only tests have. It does not see which module a method lies in.
#![allow(clippy::ptr_arg, reason = "a module's place is the key of maps")]

mod modules;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::{root, sources};
use modules::{circle, knots, modules, name, uses};

/// The crates of the product, and where their sources lie.
const CRATES: &[(&str, &str)] = &[
    ("proof", "crates/proof/src"),
    ("registry", "crates/registry/src"),
    ("store", "crates/store/src"),
    ("api", "crates/api/src"),
    ("tls", "crates/tls/src"),
    ("client", "crates/client/src"),
    ("cli", "crates/cli/src"),
    ("cluster", "cluster/src"),
];

#[test]
fn no_module_imports_from_a_module_that_imports_from_it() {
    let mut wrong = Vec::new();
    for (krate, folder) in CRATES {
        let files = sources(&root().join(folder));
        let modules = modules(files.iter().map(|(file, text)| (file.as_str(), text.as_str())));
        assert!(modules.len() > 10, "the sources of {krate} are elsewhere");
        let uses = uses(&modules);
        assert!(uses.values().map(BTreeMap::len).sum::<usize>() > 20, "no imports were found in {krate}");
        for knot in knots(&uses) {
            let names: BTreeSet<String> = knot.iter().map(|place| name(place)).collect();
            let names: Vec<String> = names.into_iter().collect();
            wrong.push(format!("{krate}: {}\n{}", names.join(", "), circle(&uses, &knot)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_circle_is_found_however_its_imports_are_written() {
    let root = ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::{B, make};");
    let circles = [
        (
            "by items",
            [root, ("a.rs", "use crate::b::B;\nstruct A;"), ("b.rs", "use super::a::A;\nstruct B;")],
        ),
        ("by re-exports", [root, ("a.rs", "use crate::B;\nstruct A;"), ("b.rs", "use crate::A;\nstruct B;")]),
        (
            "by modules",
            [
                root,
                ("a.rs", "use crate::b;\nstruct A { b: b::B }"),
                ("b.rs", "use crate::a::{self as other};\nfn make() -> other::A {}"),
            ],
        ),
        (
            "by paths in code",
            [
                root,
                ("a.rs", "struct A;\nfn f() { crate::b::make() }"),
                ("b.rs", "fn make() { super::a::f() }"),
            ],
        ),
        (
            "by all names",
            [root, ("a.rs", "use crate::b::*;\nstruct A;"), ("b.rs", "use crate::{A as Other};\nstruct B;")],
        ),
        (
            "by a parent",
            [
                ("lib.rs", "mod a;"),
                ("a/mod.rs", "mod b;\nstruct A;\nfn f() { b::make() }"),
                ("a/b.rs", "use super::A;\nfn make() {}"),
            ],
        ),
    ];
    for (how, files) in circles {
        assert_eq!(knots(&uses(&modules(files))).len(), 1, "{how}");
    }
}

#[test]
fn what_is_no_circle_is_not_taken_for_one() {
    let root = ("lib.rs", "mod a;\nmod b;\npub use a::A;");
    let a = ("a.rs", "use crate::b::B;\npub struct A<'a>(&'a B);");
    for text in [
        // The root only passes on what its modules define.
        "pub struct B;",
        "//! See [`A`](crate::a::A).\n/* use crate::a::A; */ pub struct B;",
        "pub struct B;\nconst S: &str = \"use crate::a::A;\";\nconst R: &str = r#\"crate::a::A \"# ;",
        "#[cfg(test)]\n#[allow(unused)]\nmod tests {\n    use crate::a::A;\n}\npub struct B;",
        "pub struct B;\n#[cfg(test)]\nuse crate::{a::A};",
        "pub(in crate::a) struct B;",
        // Another crate's module of the same name.
        "use other::a::A;\npub struct B;\nconst C: char = '\\'';",
    ] {
        assert!(knots(&uses(&modules([root, a, ("b.rs", text)]))).is_empty(), "{text}");
    }
}
