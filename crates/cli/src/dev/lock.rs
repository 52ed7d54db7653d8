//! One `assent dev` a directory.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::Path;

use crate::exit::CliError;

/// Held as long as a cluster's directory is in use. The system lets it go with the process.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the directory, or says who has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, CliError> {
        let path = directory.join("dev.lock");
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|error| CliError::file("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {
                let pid = std::process::id().to_string();
                file.set_len(0)
                    .and_then(|()| file.write_all(pid.as_bytes()))
                    .map_err(|error| CliError::file("write", &path, &error))?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let detail = format!("`{}` is in use by process {}", directory.display(), holder.trim());
                Err(CliError::new("directory_in_use", detail, "end that process, or choose another `--data`"))
            }
            Err(TryLockError::Error(error)) => Err(CliError::file("lock", &path, &error)),
        }
    }
}
