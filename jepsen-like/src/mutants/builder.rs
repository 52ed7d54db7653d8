//! Builds the copy with every mutant in it, and continues a command in that build.
//!
//! It shares cargo's target directory and its dependencies with the ordinary build, so that only the crates of the
//! workspace are built a second time. Its program has another name, so that neither replaces the other.
//!
//! Dependencies are shared only if they are built in the same profile and with the same features. Therefore the profile
//! follows this program: a program of the profile `dev` has the copy built in that profile too, but with the crates of the
//! workspace optimised as in the profile `sim`, and with the features that `cargo test --workspace` gives to
//! dependencies. In any other case the profile is `sim`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::scratch::{self, ScratchError};
use crate::output::say;

/// The program's name in the copy, which `00-switch.patch` sets.
const PROGRAM: &str = "assent-jepsen-mutants";
/// A test program of the copy, which `00-switch.patch` adds. It has no test. Only if cargo is asked for one, it gives the
/// dependencies the features of `cargo test`.
const TESTS: &str = "no_tests";
/// How cargo optimises the crates of the workspace in the profile `sim`.
const OPT_LEVEL: (&str, &str) = ("CARGO_PROFILE_DEV_OPT_LEVEL", "1");

/// Why there is no build with the mutants.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The work tree from which this program was built is not there.
    #[error(
        "the mutants are patches to the sources, which were at `{}` when this program was built: run it where they are, as \
         `cargo run -p assent-jepsen --profile sim -- …`",
        .root.display()
    )]
    NoSources {
        /// Where the sources were.
        root: PathBuf,
    },
    /// The copy cannot be made.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A program or a file cannot be used.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
    /// cargo ended with an error, which it has printed on stderr.
    #[error("{doing}: cargo failed, and printed why above")]
    Cargo {
        /// What was being done.
        doing: &'static str,
    },
    /// cargo gave another answer than expected.
    #[error("cargo did not report {what}")]
    Unexpected {
        /// What was asked.
        what: &'static str,
    },
}

/// The running program.
pub(super) fn this_program() -> Result<PathBuf, BuildError> {
    std::env::current_exe().map_err(failed("finding this program"))
}

/// Brings the copy up to date, builds it, and returns the path of its program. Only one process does so at a time.
pub(super) fn bring_up_to_date() -> Result<PathBuf, BuildError> {
    let root = sources()?;
    let target = target_directory(&root)?;
    let home = target.join("mutants");
    fs::create_dir_all(&home).map_err(failed(format!("making `{}`", home.display())))?;
    // Released when this function returns, and when the process ends or becomes another program.
    let lock = File::create(home.join("lock")).map_err(failed("making the lock of the copy"))?;
    lock.lock().map_err(failed("waiting for the lock of the copy"))?;
    say("mutants: applying the patches to a copy of the work tree");
    let tree = scratch::prepare(&root, &home)?;
    say("mutants: building the copy");
    build(&root, &tree, &target)
}

/// Replaces this process by the build with the mutants, with the same arguments. Returns only if it cannot, with the
/// reason.
pub(super) fn replace_this_process() -> BuildError {
    match bring_up_to_date() {
        Ok(program) => {
            let error = Command::new(&program).args(std::env::args_os().skip(1)).exec();
            failed(format!("running `{}`", program.display()))(error)
        }
        Err(error) => error,
    }
}

/// The work tree from which this program was built.
fn sources() -> Result<PathBuf, BuildError> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().unwrap_or(package).to_owned();
    if root.join(scratch::PATCHES).is_dir() { Ok(root) } else { Err(BuildError::NoSources { root }) }
}

/// cargo in the work tree's root, so that it reads the `.cargo/config.toml` of the ordinary build. In the copy, cargo
/// would read the copy's file and, above it, the root's as well; the flags would differ, and it would build every
/// dependency anew.
fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

/// The stdout of a run of cargo.
fn output(cargo: &mut Command, doing: &'static str) -> Result<Vec<u8>, BuildError> {
    let output = cargo.output().map_err(failed(doing))?;
    if output.status.success() { Ok(output.stdout) } else { Err(BuildError::Cargo { doing }) }
}

fn target_directory(root: &Path) -> Result<PathBuf, BuildError> {
    let what = "which its target directory is";
    let mut ask = cargo(root);
    ask.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let told = output(&mut ask, "asking cargo for its target directory")?;
    let told: Value = serde_json::from_slice(&told).map_err(|_| BuildError::Unexpected { what })?;
    let folder = told.get("target_directory").and_then(Value::as_str);
    folder.map(PathBuf::from).ok_or(BuildError::Unexpected { what })
}

fn build(root: &Path, tree: &Path, target: &Path) -> Result<PathBuf, BuildError> {
    let what = "where it has put the program with the mutants";
    let mut build = cargo(root);
    build.args(["build", "--bin", PROGRAM, "--locked", "--message-format", "json-render-diagnostics"]);
    if is_of_dev(&this_program()?) {
        build.args(["--workspace", "--test", TESTS]).env(OPT_LEVEL.0, OPT_LEVEL.1);
    } else {
        build.args(["--package", "assent-jepsen", "--profile", "sim"]);
    }
    build.arg("--manifest-path").arg(tree.join("Cargo.toml")).arg("--target-dir").arg(target);
    let told = output(&mut build, "building the copy with the mutants")?;
    let lines = told.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut programs = messages.filter_map(|message| {
        let named = message.get("target")?.get("name")?.as_str()? == PROGRAM;
        message.get("executable")?.as_str().filter(|_| named).map(PathBuf::from)
    });
    programs.next_back().ok_or(BuildError::Unexpected { what })
}

/// Whether a program was built in the profile `dev`, as `cargo test` builds it. cargo puts those in the folder `debug`.
fn is_of_dev(program: &Path) -> bool {
    program.parent().and_then(Path::file_name) == Some(OsStr::new("debug"))
}

fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BuildError {
    let doing = doing.into();
    move |error| BuildError::Io { doing, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if CI, which starts from the program of `cargo test`, builds every dependency a second time in another
    /// profile, or if a program of the profile `sim` has the copy built in the profile `dev`.
    #[test]
    fn the_copy_is_built_in_the_profile_of_the_program_that_asks_for_it() {
        for (program, is) in [
            ("/r/target/debug/assent-jepsen", true),
            ("/elsewhere/debug/assent-jepsen", true),
            ("/r/target/sim/assent-jepsen", false),
            ("/debug/target/release/assent-jepsen", false),
            ("assent-jepsen", false),
        ] {
            assert_eq!(is_of_dev(Path::new(program)), is, "{program}");
        }
    }
}
