//! The copy of the work tree that has every mutant in it.
//!
//! This module owns the folder `mutants` in cargo's target directory. It never writes to the work tree.
//!
//! cargo names its build outputs by package, features and dependencies, not by the workspace's path. The copy and the
//! work tree share a target directory, so `00-switch.patch` gives a feature to every crate that a patch may change.
//! Without it cargo would mistake one build for the other. Files that no patch may change are the same in both, with
//! the same times, and are built once.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the patches in the work tree.
pub const PATCHES: &str = "jepsen-like/mutants";

/// The folders that patches may change: those of the crates to which `00-switch.patch` gives a feature.
pub const MAY_CHANGE: [&str; 4] = ["cluster", "crates/registry", "crates/store", "jepsen-like"];

/// Why the copy with every mutant cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// A file or folder cannot be used.
    #[error("{doing} `{}`: {error}", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
    /// git does not run, or does not know the work tree.
    #[error("git could not list the files of the work tree `{}`: {said}", .root.display())]
    NoGit {
        /// The work tree.
        root: PathBuf,
        /// What git said.
        said: String,
    },
    /// A patch no longer fits what it changes.
    #[error(
        "the patch `jepsen-like/mutants/{name}.patch` does not apply any more: {said}\nmake it again for the code as it is now: \
         jepsen-like/mutants/README.md says how"
    )]
    Stale {
        /// The patch's file name, without `.patch`.
        name: String,
        /// What git said.
        said: String,
    },
}

/// Copies every file of the work tree at `root` that git tracks, or that is new and not ignored, into the empty folder
/// `into`. Then applies every patch to the copy, in the order of their names, and returns these names.
///
/// # Errors
/// A patch does not apply any more, git is missing, or a file cannot be read or written.
pub fn make(root: &Path, into: &Path) -> Result<Vec<String>, ScratchError> {
    copy(root, into)?;
    let into = fs::canonicalize(into).map_err(io("resolving", into))?;
    let above = into.parent().unwrap_or(&into);
    let mut applied = Vec::new();
    for (name, patch) in patches(root)? {
        let mut apply = git(&into);
        // git must not look for a repository above the copy. In the target directory it would find the work tree's,
        // and skip every change silently.
        apply.env("GIT_CEILING_DIRECTORIES", above);
        apply.args(["apply", "--whitespace=nowarn"]).arg(&patch);
        let output = apply.output().map_err(io("running git in", &into))?;
        if !output.status.success() {
            return Err(ScratchError::Stale { name, said: said(&output) });
        }
        applied.push(name);
    }
    Ok(applied)
}

/// Brings the copy in the folder `home` up to date with the work tree at `root`, and returns its path. A file that
/// does not change keeps its time, so that cargo builds only what has changed.
///
/// A crash before the end leaves a mixture of an old copy and the new one; the next call completes it.
///
/// # Errors
/// The errors of [`make`].
pub fn prepare(root: &Path, home: &Path) -> Result<PathBuf, ScratchError> {
    let (next, tree) = (home.join("next"), home.join("tree"));
    if next.exists() {
        fs::remove_dir_all(&next).map_err(io("removing", &next))?;
    }
    for folder in [&next, &tree] {
        fs::create_dir_all(folder).map_err(io("making", folder))?;
    }
    make(root, &next)?;
    let wanted = files(&next)?;
    for gone in files(&tree)?.difference(&wanted) {
        remove(&tree, gone)?;
    }
    for file in &wanted {
        let (from, to) = (next.join(file), tree.join(file));
        let new = fs::read(&from).map_err(io("reading", &from))?;
        if fs::read(&to).ok() != Some(new) {
            replace(&from, &to)?;
        }
        // Files that are built once for both workspaces must have the same times in both.
        if !MAY_CHANGE.iter().any(|folder| file.starts_with(folder)) {
            let original = root.join(file);
            let time = original.metadata().and_then(|metadata| metadata.modified());
            let time = time.map_err(io("looking at", &original))?;
            File::open(&to).and_then(|file| file.set_modified(time)).map_err(io("dating", &to))?;
        }
    }
    fs::remove_dir_all(&next).map_err(io("removing", &next))?;
    Ok(tree)
}

/// The patches, by name, in the order in which they are applied.
///
/// # Errors
/// Their folder cannot be read.
pub fn patches(root: &Path) -> Result<Vec<(String, PathBuf)>, ScratchError> {
    let folder = root.join(PATCHES);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(io("reading", &folder))? {
        let path = entry.map_err(io("reading", &folder))?.path();
        if path.extension() == Some(OsStr::new("patch"))
            && let Some(name) = path.file_stem()
        {
            found.push((name.to_string_lossy().into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

fn copy(root: &Path, into: &Path) -> Result<(), ScratchError> {
    let no_git = |said| ScratchError::NoGit { root: root.to_owned(), said };
    let mut list = git(root);
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = list.output().map_err(|error| no_git(error.to_string()))?;
    if !listed.status.success() {
        return Err(no_git(said(&listed)));
    }
    for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = Path::new(OsStr::from_bytes(name));
        let (from, to) = (root.join(name), into.join(name));
        // git also lists files that were deleted when the deletion is not committed yet.
        if from.is_file() {
            make_parent(&to)?;
            fs::copy(&from, &to).map_err(io("copying", &from))?;
        }
    }
    Ok(())
}

/// git in a folder, without any repository that a hook may have named to this process.
fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        git.env_remove(variable);
    }
    git
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>, ScratchError> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let path = folder.join(&inner);
        for entry in fs::read_dir(&path).map_err(io("reading", &path))? {
            let entry = entry.map_err(io("reading", &path))?;
            let name = inner.join(entry.file_name());
            if entry.file_type().map_err(io("looking at", &path))?.is_dir() {
                folders.push(name);
            } else {
                found.insert(name);
            }
        }
    }
    Ok(found)
}

fn replace(from: &Path, to: &Path) -> Result<(), ScratchError> {
    make_parent(to)?;
    fs::rename(from, to).map_err(io("replacing", to))
}

/// Removes a file of the copy, and every folder that is empty without it.
fn remove(tree: &Path, file: &Path) -> Result<(), ScratchError> {
    let path = tree.join(file);
    fs::remove_file(&path).map_err(io("removing", &path))?;
    let above = file.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    for folder in above {
        // A folder that is not empty stays, and so do the folders above it.
        if fs::remove_dir(tree.join(folder)).is_err() {
            break;
        }
    }
    Ok(())
}

fn make_parent(of: &Path) -> Result<(), ScratchError> {
    match of.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(io("making", parent)),
        None => Ok(()),
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ScratchError {
    let path = path.to_owned();
    move |error| ScratchError::Io { doing, path, error }
}
