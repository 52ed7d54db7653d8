//! What comes in from outside keeps to `deny.toml`, nothing comes in that no source uses, and no crate has unsafe code.
//!
//! cargo-deny would enforce the same file, but building it takes minutes. So this test reads `cargo metadata`. It knows the
//! sections `licenses`, `bans` and `sources`, and refuses a key there that it does not know. Advisories need a database from
//! outside: `.ci/run` asks cargo-deny for them where both can be had.

mod licence;
mod manifests;
mod rules;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::workspace::{members, root, sources, table};
use manifests::{dependencies, forbids_unsafe, takes_lints, unused};
use rules::Rules;

/// Dependencies that no source names and that are needed all the same: the crate's folder, the dependency, the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Asks cargo, first without the network: a machine that has built the workspace may still lack the manifests of crates
/// for other systems.
fn metadata() -> Value {
    let ask = |more: &[&str]| -> Output {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["metadata", "--locked", "--format-version", "1"]).args(more);
        cargo.current_dir(root()).output().unwrap()
    };
    let mut output = ask(&["--offline"]);
    if !output.status.success() {
        output = ask(&[]);
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn everything_that_comes_in_keeps_to_the_rules_and_every_rule_is_about_something() {
    let rules = Rules::read(&fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    let broken = rules.broken_by(&metadata());
    assert!(broken.is_empty(), "deny.toml:\n{}", broken.join("\n"));
}

#[test]
fn each_dependency_is_named_by_a_source_of_its_crate() {
    let mut found = BTreeSet::new();
    for (folder, manifest) in members() {
        let files = sources(&root().join(&folder));
        assert!(files.len() > 3, "the sources of `{folder}` are elsewhere");
        found.extend(unused(&manifest, &files).into_iter().map(|dependency| (folder.clone(), dependency)));
    }
    let excepted: BTreeSet<(String, String)> = EXCEPTIONS
        .iter()
        .map(|(folder, dependency, _)| ((*folder).to_owned(), (*dependency).to_owned()))
        .collect();
    let unused: Vec<_> = found.difference(&excepted).collect();
    assert!(unused.is_empty(), "no source names these: take them out of the manifests: {unused:?}");
    let stale: Vec<_> = excepted.difference(&found).collect();
    assert!(stale.is_empty(), "these are named, or are no dependencies: {stale:?}");
}

#[test]
fn each_dependency_of_the_workspace_is_one_of_a_crate() {
    let workspace = table(&root().join("Cargo.toml"));
    let offered: BTreeSet<String> =
        workspace["workspace"]["dependencies"].as_table().unwrap().keys().cloned().collect();
    let taken: BTreeSet<String> = members().iter().flat_map(|(_, manifest)| dependencies(manifest)).collect();
    let unused: Vec<&String> = offered.difference(&taken).collect();
    assert!(unused.is_empty(), "no crate takes these from `workspace.dependencies`: {unused:?}");
}

#[test]
fn each_crate_takes_the_workspaces_lints_and_forbids_unsafe_code_in_its_root_too() {
    let workspace = table(&root().join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for (folder, manifest) in members() {
        assert!(takes_lints(&manifest), "`{folder}/Cargo.toml` does not say `[lints] workspace = true`");
        let src = root().join(&folder).join("src");
        let roots: Vec<PathBuf> = ["lib.rs", "main.rs"].map(|file| src.join(file)).into();
        let roots: Vec<PathBuf> = roots.into_iter().filter(|root| root.exists()).collect();
        assert!(!roots.is_empty(), "`{folder}` has no crate root where this test looks for one");
        assert!(!src.join("bin").exists(), "this test does not look into `{folder}/src/bin`");
        for root in roots {
            let text = fs::read_to_string(&root).unwrap();
            assert!(forbids_unsafe(&text), "`{}` lacks `#![forbid(unsafe_code)]`", root.display());
        }
    }
}

/// Rules about the packages of `made_up`.
const RULES: &str = r#"
[licenses]
allow = ["MIT"]
[bans]
multiple-versions = "deny"
deny = [{ crate = "openssl", reason = "there is one TLS" }]
skip = [{ crate = "rand:0.8", reason = "`old`" }]
[sources]
unknown-registry = "deny"
unknown-git = "deny"
allow-registry = ["https://registry.example/index"]
allow-git = []
"#;

/// Metadata with these packages beside a member and two versions of `rand`, which keep to `RULES`.
fn made_up(more: &[Value]) -> Value {
    let mut packages = vec![
        json!({"id": "own", "name": "own", "version": "0.1.0", "license": "MIT", "source": null}),
        package("rand", "0.8.5", "MIT"),
        package("rand", "0.9.1", "MIT OR GPL-3.0-only"),
    ];
    packages.extend_from_slice(more);
    json!({"workspace_members": ["own"], "packages": packages})
}

fn package(name: &str, version: &str, licence: &str) -> Value {
    let source = "registry+https://registry.example/index";
    json!({"id": format!("{name} {version}"), "name": name, "version": version, "license": licence, "source": source})
}

#[test]
fn each_rule_finds_what_breaks_it_and_nothing_else() {
    let rules = Rules::read(RULES).unwrap();
    assert_eq!(rules.broken_by(&made_up(&[])), Vec::<String>::new());
    let from = |source: Value| {
        let mut package = package("far", "1.0.0", "MIT");
        package["source"] = source;
        package
    };
    let mut without_licence = package("bare", "1.0.0", "MIT");
    without_licence["license"] = Value::Null;
    for (more, found) in [
        (package("bad", "1.0.0", "GPL-3.0-only"), "under `GPL-3.0-only`"),
        (package("bad", "1.0.0", "MIT AND GPL-3.0-only"), "under `MIT AND GPL-3.0-only`"),
        (package("bad", "1.0.0", "MIT OR"), "no licence expression"),
        (without_licence, "has no licence expression"),
        (package("openssl", "0.10.1", "MIT"), "banned: there is one TLS"),
        (package("rand", "0.10.0", "MIT"), "`rand` comes in 0.10.0, 0.9.1"),
        (from(json!("git+https://registry.example/index#abc")), "comes from `git+"),
        (from(json!("registry+https://elsewhere.example/")), "comes from `https://elsewhere"),
        (from(Value::Null), "a path outside the workspace"),
    ] {
        let broken = rules.broken_by(&made_up(std::slice::from_ref(&more)));
        assert_eq!(broken.len(), 1, "{more}: {broken:?}");
        assert!(broken[0].contains(found), "{more}: {broken:?}");
    }
    // Rules about nothing.
    let alone = json!({"workspace_members": ["own"], "packages": [
        {"id": "own", "name": "own", "version": "0.1.0", "license": "ISC OR MIT", "source": null},
    ]});
    let broken = rules.broken_by(&alone);
    assert!(broken.len() == 1 && broken[0].contains("`rand:0.8` comes in beside no other"), "{broken:?}");
    let wide = Rules::read(&RULES.replace("[\"MIT\"]", "[\"MIT\", \"ISC\"]")).unwrap();
    let broken = wide.broken_by(&made_up(&[]));
    assert!(broken.len() == 1 && broken[0].contains("no crate is under `ISC`"), "{broken:?}");
    assert!(!rules.broken_by(&json!({})).is_empty(), "metadata of another form");
}

#[test]
fn a_rule_that_is_not_enforced_here_is_refused() {
    for (from, to) in [
        ("[bans]\n", "[bans]\nskip-tree = []\n"),
        ("[licenses]\n", "[licenses]\nexceptions = []\n"),
        ("[sources]\n", "[sources]\nprivate = []\n"),
        ("multiple-versions = \"deny\"", "multiple-versions = \"warn\""),
        ("unknown-git = \"deny\"", "unknown-git = \"allow\""),
        ("allow-git = []", "allow-git = [\"https://example.org\"]"),
        ("rand:0.8", "rand:>=0.8"),
        ("rand:0.8", "rand"),
        ("reason = \"`old`\"", "reason = \"\""),
        ("[licenses]", "[licences]"),
    ] {
        assert!(RULES.contains(from), "{from}");
        assert!(Rules::read(&RULES.replacen(from, to, 1)).is_err(), "{to}");
    }
}
