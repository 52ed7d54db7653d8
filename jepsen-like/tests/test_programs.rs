//! Every file of tests is part of a test program. Most packages name their programs themselves (`autotests = false`), so
//! that cargo does not make one of each file, and then a file that nobody names would never run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::workspace::{members, root};

/// The modules that a test program declares.
fn modules(program: &str) -> BTreeSet<&str> {
    program.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect()
}

/// The programs that a manifest names.
fn programs(manifest: &Table) -> BTreeSet<&str> {
    let named = manifest.get("test").and_then(Value::as_array).into_iter().flatten();
    named.map(|test| test["name"].as_str().unwrap()).collect()
}

/// The files and folders of tests, by name, that are in no program.
fn left_out<'a>(found: &'a BTreeSet<String>, manifest: &Table, all: &str) -> Vec<&'a str> {
    let (programs, modules) = (programs(manifest), modules(all));
    let runs = |name: &str| programs.contains(name) || modules.contains(name);
    found.iter().map(String::as_str).filter(|name| !runs(name)).collect()
}

/// The files in `tests`, and the folders there that are modules.
fn files(tests: &Path) -> BTreeSet<String> {
    let paths = fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path());
    let tests =
        paths.filter(|path| path.extension().is_some_and(|end| end == "rs") || path.join("mod.rs").exists());
    tests.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_file_of_tests_is_run() {
    let mut looked_at = 0;
    for (folder, manifest) in members() {
        let folder = root().join(folder);
        if manifest["package"].get("autotests").and_then(Value::as_bool) != Some(false) {
            continue;
        }
        let all = fs::read_to_string(folder.join("tests/all.rs")).unwrap();
        let found = files(&folder.join("tests"));
        assert_eq!(left_out(&found, &manifest, &all), Vec::<&str>::new(), "{}", folder.display());
        looked_at += found.len();
    }
    assert!(looked_at > 100, "{looked_at}");
}

#[test]
fn a_file_that_no_program_names_is_found() {
    let manifest = toml::from_str("[[test]]\nname = \"all\"\n[[test]]\nname = \"alone\"").unwrap();
    let found = ["all", "alone", "listed", "forgotten"].map(str::to_owned).into();
    assert_eq!(left_out(&found, &manifest, "//! mod forgotten;\nmod listed;\n"), ["forgotten"]);
}
