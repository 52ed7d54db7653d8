//! Where the `assent` binary is.

use std::path::PathBuf;
use std::process::Command;

use crate::error::HarnessError;

/// The binary under test: `$ASSENT_BIN`, or the one in the target directory that this program runs from. `cargo test
/// --workspace` has just built it. If a single test is run and the binary is missing, this function builds it first.
pub fn binary() -> Result<PathBuf, HarnessError> {
    if let Some(named) = std::env::var_os("ASSENT_BIN") {
        return Ok(PathBuf::from(named));
    }
    let program = std::env::current_exe().map_err(HarnessError::io("finding this program's own path"))?;
    // target/<profile>/deps/<test> and target/<profile>/assent-jepsen → target/<profile>/assent
    let folder = program.parent().map(PathBuf::from);
    let folder = folder.ok_or_else(|| HarnessError::Unexpected("no target directory".to_owned()))?;
    let profile = match folder.parent() {
        Some(profile) if folder.ends_with("deps") => profile.to_owned(),
        _ => folder,
    };
    let binary = profile.join("assent");
    if !binary.exists() {
        build()?;
    }
    Ok(binary)
}

/// Brings the binary under test up to date if cargo runs this program; otherwise the binary must exist.
pub fn build_binary() -> Result<(), HarnessError> {
    let by_cargo = std::env::var_os("CARGO").is_some() && std::env::var_os("ASSENT_BIN").is_none();
    if by_cargo { build() } else { binary().map(drop) }
}

fn build() -> Result<(), HarnessError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--package", "assent-cli", "--bin", "assent"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().map_err(HarnessError::io("building `assent`"))?;
    if !status.success() {
        return Err(HarnessError::Unexpected("`assent` does not build".to_owned()));
    }
    Ok(())
}
