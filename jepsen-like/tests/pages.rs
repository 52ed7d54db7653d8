//! Everything that the pages name exists: the files that they link, the paths in them, and in ARCHITECTURE.md each
//! source file and each item that it says a file has.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::root;

/// Folders at the top of the repository: what begins with one of them is a path from there.
const TOPS: &[&str] = &["crates/", "cluster/", "jepsen-like/", "docs/", "benches/"];

/// The pages, as paths from the top of the repository.
fn pages() -> Vec<String> {
    let mut found: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "SECURITY.md", "jepsen-like/README.md"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            found.push(format!("docs/{name}"));
        }
    }
    found
}

/// A page's text without its fenced blocks.
fn text(page: &str) -> String {
    let page = fs::read_to_string(root().join(page)).unwrap();
    page.split("```").step_by(2).collect()
}

/// Every source file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["crates", "cluster", "jepsen-like", "benches"] {
        sources(&root().join(folder), &mut found);
    }
    found
}

#[test]
fn every_file_that_a_page_links_is_there() {
    for page in pages() {
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in text(&page).split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.starts_with("http") {
                assert!(folder.join(target).exists(), "`{page}` links `{target}`, which is not there");
            }
        }
    }
}

#[test]
fn every_path_that_a_page_names_is_there() {
    for page in pages() {
        for quoted in text(&page).split('`').skip(1).step_by(2) {
            let is_path = TOPS.iter().any(|top| quoted.starts_with(top));
            if is_path && !quoted.contains([' ', '*', '{', '<', '…', '\n']) {
                assert!(root().join(quoted).exists(), "`{page}` names `{quoted}`, which is not there");
            }
        }
    }
}

#[test]
fn each_source_file_that_the_architecture_names_is_there_and_has_the_item_that_it_names() {
    let sources = all_sources();
    let text = text("ARCHITECTURE.md");
    let parts: Vec<&str> = text.split('`').collect();
    for place in (1..parts.len()).step_by(2) {
        let file = parts[place];
        if !file.ends_with(".rs") || file.contains(char::is_whitespace) {
            continue;
        }
        let named: Vec<&PathBuf> = sources.iter().filter(|path| path.ends_with(file)).collect();
        assert!(!named.is_empty(), "`ARCHITECTURE.md` names `{file}`, which is not there");
        if place < 3 || parts[place - 1].trim() != "in" {
            continue;
        }
        let item = parts[place - 2].rsplit("::").next().unwrap();
        let has = |path: &&PathBuf| {
            let source = fs::read_to_string(path).unwrap();
            source.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == item)
        };
        assert!(named.iter().any(has), "`ARCHITECTURE.md` says that `{file}` has `{item}`, and it has not");
    }
}
