//! One command at a time signs for slots with a key.
//!
//! Two commands that look for the next free slot at once find the same one, and sign different statements for it: an equivocation. So a
//! command that signs for a slot locks its keys' files before it looks for what an earlier run has kept, and until what it has sent is
//! accepted, refused or kept. The lock is one of the system's on the key file itself (`flock`): nothing is written, it ends with the
//! process, and it keeps no program from reading the key.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::exit::CliError;
use crate::files;
use crate::output::Output;

/// How long a command waits for another one that signs with the same key.
const WAIT: Duration = Duration::from_secs(60);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The locks of some keys, held until this is dropped.
#[derive(Debug)]
pub(crate) struct KeyLocks {
    /// The system releases a file's lock when it is closed.
    _held: Vec<File>,
}

impl KeyLocks {
    /// Locks these key files. A key that comes from stdin has no lock, as nothing is kept beside it either.
    ///
    /// # Errors
    /// `key_in_use` if another command still signs with one of them after a minute; `io_failed`.
    pub(crate) async fn take(keys: &[&Path], output: Output) -> Result<Self, CliError> {
        Self::take_within(keys, WAIT, output).await
    }

    async fn take_within(keys: &[&Path], wait: Duration, output: Output) -> Result<Self, CliError> {
        let until = Instant::now() + wait;
        let mut held = Vec::new();
        for (key, file) in opened(keys)? {
            let mut told = false;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if Instant::now() < until => {
                        if !told {
                            output.say(&format!(
                                "waiting for another command that signs with `{}`",
                                key.display()
                            ));
                            told = true;
                        }
                        sleep(PAUSE).await;
                    }
                    Err(TryLockError::WouldBlock) => return Err(in_use(&key)),
                    Err(TryLockError::Error(error)) => return Err(CliError::file("lock", &key, &error)),
                }
            }
            held.push(file);
        }
        Ok(KeyLocks { _held: held })
    }
}

/// The key files, each once, in an order that is the same in every command: so no two commands wait for each other.
fn opened(keys: &[&Path]) -> Result<Vec<(PathBuf, File)>, CliError> {
    let mut opened = BTreeMap::new();
    for key in keys {
        // A pipe must not be opened a second time.
        if files::is_stdio(key) || !key.is_file() {
            continue;
        }
        let file = File::open(key).map_err(|error| CliError::file("open", key, &error))?;
        let found = file.metadata().map_err(|error| CliError::file("open", key, &error))?;
        opened.entry((found.dev(), found.ino())).or_insert_with(|| (key.to_path_buf(), file));
    }
    Ok(opened.into_values().collect())
}

fn in_use(key: &Path) -> CliError {
    let detail = format!("another command signs with `{}` and has not ended", key.display());
    let remedy = "wait until the other command has ended, then run this one again";
    CliError::new("key_in_use", detail, remedy)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Takes the locks, and does not wait for long.
    async fn take(keys: &[&Path]) -> Result<KeyLocks, CliError> {
        KeyLocks::take_within(keys, Duration::from_millis(100), Output::Text).await
    }

    #[tokio::test]
    async fn a_key_is_locked_by_one_command_at_a_time_under_each_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let (key, other, name) =
            (dir.path().join("k.pem"), dir.path().join("other.pem"), dir.path().join("name.pem"));
        fs::write(&key, "").unwrap();
        fs::write(&other, "").unwrap();
        fs::hard_link(&key, &name).unwrap();
        let first = take(&[&key, &name, &key]).await.unwrap();
        let error = take(&[&other, &name]).await.unwrap_err();
        assert_eq!(error.code, "key_in_use");
        let second = take(&[&other]).await.unwrap();
        drop(first);
        take(&[&name]).await.unwrap();
        drop(second);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is written beside a key");
    }

    #[tokio::test]
    async fn a_key_from_stdin_or_a_device_has_no_lock() {
        let keys = [Path::new("-"), Path::new("/dev/null"), Path::new("/dev/null")];
        take(&keys).await.unwrap();
    }
}
