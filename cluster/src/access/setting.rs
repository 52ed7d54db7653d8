//! What is wrong with a setting of the callers, and the bounded reading of the files that the settings name.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct SettingError {
    /// The field of the configuration, such as `callers[2].roles`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl SettingError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Others may not write a file that says which callers the node knows.
const OTHERS_WRITE: u32 = 0o002;

/// The text of a file of at most this many bytes.
///
/// # Errors
/// Why it cannot be used, and what to do.
pub(super) fn read_file(path: &Path, most: usize) -> Result<String, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("cannot read `{shown}`: {error}");
    // Opening a pipe would otherwise wait for whoever writes to it.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!("`{shown}` is not a file"));
    }
    if about.permissions().mode() & OTHERS_WRITE != 0 {
        return Err(format!("everybody may write `{shown}`: take that right away with `chmod o-w`"));
    }
    let mut text = String::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX);
    file.take(bound.saturating_add(1)).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > most {
        return Err(format!("`{shown}` has more than {most} bytes, which is the most"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe.as_path(), folder.path()] {
            let why = read_file(path, 100).unwrap_err();
            assert!(why.ends_with("is not a file"), "{why}");
        }
    }
}
