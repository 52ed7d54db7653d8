//! The rules of `deny.toml`, and what breaks them in the output of `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use toml::Table;

use super::licence::{is_allowed, named};

/// The sections whose rules are enforced here, each with the keys that are understood here.
const UNDERSTOOD: &[(&str, &[&str])] = &[
    ("licenses", &["allow"]),
    ("bans", &["multiple-versions", "deny", "skip"]),
    ("sources", &["unknown-registry", "unknown-git", "allow-registry", "allow-git"]),
];

/// What may come in.
pub(crate) struct Rules {
    licences: Vec<String>,
    /// The names of the crates that may not come in, and why not.
    banned: Vec<(String, String)>,
    /// The versions that may come in beside another version of the crate.
    beside: Vec<(String, String)>,
    registries: Vec<String>,
}

/// A package, as far as the rules are about it.
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    licence: Option<&'a str>,
    source: Option<&'a str>,
    is_member: bool,
}

impl Rules {
    /// Reads the rules, or says what in the file is not understood here and would so be no rule.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let file: Table = toml::from_str(text).map_err(|error| format!("it is no TOML: {error}"))?;
        for (section, known) in UNDERSTOOD {
            let found = table(&file, section)?;
            for key in found.keys() {
                if !known.contains(&key.as_str()) {
                    return Err(format!("`{section}.{key}` is a rule that this test does not enforce"));
                }
            }
        }
        let (bans, sources) = (table(&file, "bans")?, table(&file, "sources")?);
        for (section, key) in
            [(bans, "multiple-versions"), (sources, "unknown-registry"), (sources, "unknown-git")]
        {
            if section.get(key).and_then(toml::Value::as_str) != Some("deny") {
                return Err(format!("`{key}` is not `deny`"));
            }
        }
        if sources.get("allow-git").and_then(toml::Value::as_array).is_none_or(|list| !list.is_empty()) {
            return Err("`allow-git` is not empty, and this test lets no source in that is a git".to_owned());
        }
        let mut beside = Vec::new();
        for (spec, reason) in crates(bans, "skip")? {
            let (name, line) = spec.split_once(':').ok_or(format!("`{spec}` names no version line"))?;
            let is_line = line.split('.').all(|part| !part.is_empty() && part.parse::<u64>().is_ok());
            if !is_line || reason.is_empty() {
                return Err(format!("`{spec}` is not `name:version` with plain numbers and a reason"));
            }
            beside.push((name.to_owned(), line.to_owned()));
        }
        Ok(Self {
            licences: texts(table(&file, "licenses")?, "allow")?,
            banned: crates(bans, "deny")?,
            beside,
            registries: texts(sources, "allow-registry")?,
        })
    }

    /// Everything in the metadata that breaks a rule, and every rule that is about nothing in it.
    pub(crate) fn broken_by(&self, metadata: &Value) -> Vec<String> {
        let packages = packages(metadata);
        let mut broken = Vec::new();
        if packages.is_empty() {
            broken.push("the metadata has no packages: its form is another one".to_owned());
        }
        for package in &packages {
            let what = format!("`{}` {}", package.name, package.version);
            match package.licence.map(|licence| (licence, is_allowed(licence, &self.licences))) {
                None => broken.push(format!("{what} has no licence expression")),
                Some((_, Err(error))) => broken.push(format!("{what}: {error}")),
                Some((licence, Ok(false))) => {
                    broken
                        .push(format!("{what} is under `{licence}`, which `licenses.allow` does not cover"));
                }
                Some((_, Ok(true))) => {}
            }
            let from = package.source.map(|source| source.strip_prefix("registry+").unwrap_or(source));
            match from {
                None if package.is_member => {}
                None => broken.push(format!("{what} comes from a path outside the workspace")),
                Some(from) if self.registries.iter().any(|registry| registry == from) => {}
                Some(from) => {
                    broken.push(format!("{what} comes from `{from}`, which `sources` does not allow"))
                }
            }
            if let Some((_, reason)) = self.banned.iter().find(|(name, _)| name == package.name) {
                broken.push(format!("{what} is banned: {reason}"));
            }
        }
        broken.extend(self.versions(&packages));
        let offered: BTreeSet<String> =
            packages.iter().filter_map(|package| package.licence).flat_map(named).collect();
        let unused = self.licences.iter().filter(|licence| !offered.contains(*licence));
        broken.extend(
            unused.map(|licence| format!("no crate is under `{licence}`: take it out of `licenses.allow`")),
        );
        broken
    }

    /// Crates that come in more than once, and entries of `skip` that are about none of them.
    fn versions(&self, packages: &[Package<'_>]) -> Vec<String> {
        let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for package in packages {
            versions.entry(package.name).or_default().insert(package.version);
        }
        let mut broken = Vec::new();
        for (name, versions) in &versions {
            let skipped = |version: &str| {
                self.beside.iter().any(|(skipped, line)| skipped == name && is_of_line(version, line))
            };
            let left: Vec<&str> = versions.iter().copied().filter(|version| !skipped(version)).collect();
            if left.len() > 1 {
                let left = left.join(", ");
                broken.push(format!(
                    "`{name}` comes in {left}: bring them together, or list all but one in `bans.skip`"
                ));
            }
        }
        for (name, line) in &self.beside {
            let twice = versions.get(name.as_str()).filter(|versions| versions.len() > 1);
            if !twice.is_some_and(|versions| versions.iter().any(|version| is_of_line(version, line))) {
                broken.push(format!(
                    "`{name}:{line}` comes in beside no other version: take it out of `bans.skip`"
                ));
            }
        }
        broken
    }
}

/// Whether a version begins with the numbers of this line.
fn is_of_line(version: &str, line: &str) -> bool {
    version.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn packages(metadata: &Value) -> Vec<Package<'_>> {
    let list = |key: &str| metadata.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let members: BTreeSet<&str> = list("workspace_members").iter().filter_map(Value::as_str).collect();
    list("packages")
        .iter()
        .map(|package| Package {
            name: package["name"].as_str().unwrap(),
            version: package["version"].as_str().unwrap(),
            licence: package["license"].as_str(),
            source: package["source"].as_str(),
            is_member: package["id"].as_str().is_some_and(|id| members.contains(id)),
        })
        .collect()
}

fn table<'a>(file: &'a Table, section: &str) -> Result<&'a Table, String> {
    file.get(section).and_then(toml::Value::as_table).ok_or(format!("it has no section `{section}`"))
}

fn texts(section: &Table, key: &str) -> Result<Vec<String>, String> {
    let list = section.get(key).and_then(toml::Value::as_array).ok_or(format!("`{key}` is no list"))?;
    let texts: Option<Vec<String>> = list.iter().map(|text| text.as_str().map(str::to_owned)).collect();
    texts.ok_or(format!("`{key}` has an entry that is no text"))
}

/// The entries of a list of crates: what `crate` says, and the reason.
fn crates(section: &Table, key: &str) -> Result<Vec<(String, String)>, String> {
    let list = section.get(key).and_then(toml::Value::as_array).ok_or(format!("`{key}` is no list"))?;
    let text = |entry: &Table, key: &str| entry.get(key)?.as_str().map(str::to_owned);
    let entry = |entry: &toml::Value| {
        let entry = entry.as_table().filter(|entry| entry.len() == 2)?;
        Some((text(entry, "crate")?, text(entry, "reason")?))
    };
    let entries: Option<Vec<(String, String)>> = list.iter().map(entry).collect();
    entries.ok_or(format!("`{key}` has an entry that is not a `crate` and a `reason`"))
}
