//! The workspace's own files, for tests that read them: its crates, their manifests and their sources.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of TOML.
pub(crate) fn table(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of the crates, and the manifest of each.
pub(crate) fn members() -> Vec<(String, Table)> {
    let workspace = table(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let folders = members.iter().map(|folder| folder.as_str().unwrap().to_owned());
    folders.map(|folder| (folder.clone(), table(&root().join(folder).join("Cargo.toml")))).collect()
}

/// Every source file below a folder: its path from there, and its text.
pub(crate) fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    add_sources(folder, "", &mut found);
    found
}

fn add_sources(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            add_sources(&entry.path(), &format!("{name}/"), found);
        } else if name.ends_with(".rs") {
            found.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
}
