//! Where the `assent` binary is.

use std::path::PathBuf;
use std::process::Command;

use crate::error::HarnessError;

/// The binary under test: `$ASSENT_BIN`, or the one in the target directory that this test runs from.
/// `cargo test --workspace` has just built it; run alone, this builds it first.
pub fn binary() -> Result<PathBuf, HarnessError> {
    if let Some(named) = std::env::var_os("ASSENT_BIN") {
        return Ok(PathBuf::from(named));
    }
    let test = std::env::current_exe().map_err(HarnessError::io("finding this test's own path"))?;
    // target/<profile>/deps/<test> → target/<profile>/assent
    let profile = test.parent().and_then(|deps| deps.parent()).map(PathBuf::from);
    let profile = profile.ok_or_else(|| HarnessError::Unexpected("no target directory".to_owned()))?;
    let binary = profile.join("assent");
    if !binary.exists() {
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
    }
    Ok(binary)
}
