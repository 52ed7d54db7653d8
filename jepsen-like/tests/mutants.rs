//! The deliberate defects are patches: all of them apply to the present work tree, each names what must catch it, and
//! the product itself has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use assent_jepsen::mutants::Mutant;
use assent_jepsen::mutants::scratch::{MAY_CHANGE, PATCHES, ScratchError, make, patches, prepare};
use assent_jepsen::sim::nemesis::Kind;

use crate::workspace::root;

/// The patch that brings the switch, and no defect.
const SWITCH: &str = "00-switch";

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let name = inner.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else {
                found.insert(name);
            }
        }
    }
    found
}

/// The lines that a patch adds.
fn added(patch: &str) -> String {
    patch.lines().filter_map(|line| line.strip_prefix('+')).collect::<Vec<_>>().join("\n")
}

/// The names that a text asks the switch for.
fn asked_for(text: &str) -> BTreeSet<String> {
    let asked = text.split("mutant::is_active(").skip(1);
    asked.map(|rest| rest.split('"').nth(1).expect("the name is written out").to_owned()).collect()
}

/// The defects of the folder, by name.
fn defects() -> BTreeMap<String, String> {
    let all = patches(&root()).unwrap().into_iter();
    all.filter(|(name, _)| name != SWITCH)
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_patch_applies_to_the_work_tree_and_changes_only_crates_with_the_mutants_feature() {
    let (root, folder) = (root(), tempfile::tempdir().unwrap());
    let applied = make(&root, folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<String> = patches(&root).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(applied, names);
    assert_eq!(applied.first().map(String::as_str), Some(SWITCH), "the switch comes before all that ask it");
    let mut changed = 0;
    for file in files(folder.path()) {
        let same =
            fs::read(folder.path().join(&file)).unwrap() == fs::read(root.join(&file)).unwrap_or_default();
        let may = MAY_CHANGE.iter().any(|folder| file.starts_with(folder));
        assert!(same || may, "a patch changes `{}`, which both builds share", file.display());
        changed += usize::from(!same);
    }
    assert!(changed > 20, "only {changed} files are changed");
    for changed in MAY_CHANGE {
        let manifest = fs::read_to_string(folder.path().join(changed).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("default = [\"mutants\"]"), "`{changed}` has no feature of its own");
    }
}

#[test]
fn the_list_of_mutants_is_the_folder_of_patches() {
    let listed: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
    let defects = defects();
    let there: Vec<&str> = defects.keys().map(String::as_str).collect();
    assert_eq!(listed, there, "what `src/mutants/mod.rs` lists, and what the folder `mutants` holds");
}

#[test]
fn the_readme_table_lists_each_mutant_with_its_faults_and_the_check_that_must_catch_it() {
    let readme = fs::read_to_string(root().join("jepsen-like/README.md")).unwrap();
    for mutant in Mutant::ALL {
        let (name, faults) = (mutant.name(), mutant.faults());
        let row = readme.lines().find(|line| {
            line.strip_prefix(&format!("| {name} ")).is_some_and(|rest| rest.starts_with(['|', '(']))
        });
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(row.split('|').nth(2).map(str::trim), mutant.caught_by().first().copied(), "{row}");
        assert_eq!(row.split('`').nth(1), faults, "{row}");
    }
}

#[test]
fn every_patch_states_its_defect_and_its_checks_and_asks_the_switch_only_for_its_own_name() {
    let there = defects();
    for mutant in Mutant::ALL {
        let name = mutant.name();
        assert!(mutant.mistake().ends_with('.'), "{name}: {}", mutant.mistake());
        assert!(!mutant.caught_by().is_empty(), "{name}: no check must catch it");
        for check in mutant.caught_by() {
            let (kind, number) = check.split_at(1);
            assert!(matches!(kind, "S" | "L" | "M") && number.parse::<u8>().is_ok(), "{name}: {check}");
        }
        let faults = mutant.faults().filter(|faults| *faults != "none").unwrap_or_default();
        for fault in faults.split(',').filter(|fault| !fault.is_empty()) {
            assert!(fault.parse::<Kind>().is_ok(), "{name}: {fault}");
        }
        assert_eq!(asked_for(&added(&there[name])), BTreeSet::from([name.to_owned()]));
    }
}

#[test]
fn the_product_has_no_defect_and_no_switch() {
    for folder in ["crates", "cluster"] {
        let folder = root().join(folder);
        for file in files(&folder) {
            let Ok(text) = fs::read_to_string(folder.join(&file)) else { continue };
            let text = text.to_lowercase();
            let found = ["mutant", "is_active("].iter().find(|word| text.contains(**word));
            assert_eq!(found, None, "in `{}`", folder.join(&file).display());
        }
    }
}

/// A small work tree in a git repository of its own, with one patch.
fn small_tree(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".gitignore", "/target\n");
    write("Cargo.toml", "[workspace]\n");
    write("crates/proof/lib.rs", "one\n");
    write("crates/store/lib.rs", "one\ntwo\nthree\n");
    let patch = "A mistake.\n\ndiff --git a/crates/store/lib.rs b/crates/store/lib.rs\n--- a/crates/store/lib.rs\n\
                 +++ b/crates/store/lib.rs\n@@ -1,3 +1,4 @@\n one\n two\n+wrong\n three\n";
    write(&format!("{PATCHES}/a-mistake.patch"), patch);
    let made = Command::new("git").args(["init", "--quiet"]).current_dir(folder).status().unwrap();
    assert!(made.success());
}

fn age(path: &Path, by: Duration) {
    let then = SystemTime::UNIX_EPOCH + by;
    fs::File::open(path).unwrap().set_modified(then).unwrap();
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_patch_that_does_not_apply_any_more_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (root, copy) = (folder.path().join("tree"), folder.path().join("copy"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(&copy).unwrap();
    small_tree(&root);
    assert_eq!(make(&root, &copy).unwrap(), ["a-mistake"]);
    fs::write(root.join("crates/store/lib.rs"), "one\n2\nthree\n").unwrap();
    fs::remove_dir_all(&copy).unwrap();
    fs::create_dir_all(&copy).unwrap();
    let error = make(&root, &copy).unwrap_err();
    assert!(matches!(&error, ScratchError::Stale { name, .. } if name == "a-mistake"), "{error}");
    let told = error.to_string();
    let patch = "`jepsen-like/mutants/a-mistake.patch` does not apply";
    for part in [patch, "crates/store/lib.rs", "mutants/README.md"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_copy_inside_the_work_tree_is_patched_and_its_files_change_only_as_they_must() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    small_tree(root);
    let home = root.join("target/mutants");
    fs::create_dir_all(&home).unwrap();
    let tree = prepare(root, &home).unwrap();
    let (shared, patched) = (tree.join("crates/proof/lib.rs"), tree.join("crates/store/lib.rs"));
    assert_eq!(fs::read_to_string(&patched).unwrap(), "one\ntwo\nwrong\nthree\n");
    assert_eq!(modified(&shared), modified(&root.join("crates/proof/lib.rs")));

    // Again: what is the same stays as old as it is.
    age(&patched, Duration::from_secs(1_000));
    let old = modified(&patched);
    assert_eq!(prepare(root, &home).unwrap(), tree);
    assert_eq!(modified(&patched), old);

    // What both builds share is as old as in the work tree; what only the copy has is as new as its last change, whatever the work
    // tree's file says.
    fs::write(root.join("crates/proof/lib.rs"), "another\n").unwrap();
    age(&root.join("crates/proof/lib.rs"), Duration::from_secs(2_000));
    fs::write(root.join("crates/store/lib.rs"), "one\ntwo\nthree\nfour\n").unwrap();
    age(&root.join("crates/store/lib.rs"), Duration::from_secs(500));
    fs::remove_file(root.join("Cargo.toml")).unwrap();
    prepare(root, &home).unwrap();
    assert_eq!(fs::read_to_string(&shared).unwrap(), "another\n");
    assert_eq!(modified(&shared), modified(&root.join("crates/proof/lib.rs")));
    assert_eq!(fs::read_to_string(&patched).unwrap(), "one\ntwo\nwrong\nthree\nfour\n");
    assert!(modified(&patched) > old, "a change that looks old would not be built");
    assert!(!tree.join("Cargo.toml").exists(), "what the work tree lost stays in the copy");
    assert!(!home.join("next").exists());
}
