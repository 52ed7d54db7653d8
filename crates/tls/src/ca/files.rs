//! Reads and writes the files in an authority's folder. Each is bounded. After a crash a file has its old bytes or its
//! new ones.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

use super::error::CaError;

/// The mode of a file with a private key.
const SECRET: u32 = 0o600;
/// The mode of every other file.
const PUBLIC: u32 = 0o644;

/// Makes the folder that only its owner may open, if it is not there.
pub(super) fn make_folder(dir: &Path) -> Result<(), CaError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| CaError::io("make", dir, error))
}

/// Locks a folder. The system lets go of the lock with the file that this returns.
///
/// # Errors
/// If another process has it.
pub(super) fn lock(dir: &Path) -> Result<File, CaError> {
    let path = dir.join("ca.lock");
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(|error| CaError::io("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CaError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(CaError::io("lock", &path, error)),
    }
}

/// A file's bytes.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CaError> {
    let file = File::open(path).map_err(|error| CaError::io("open", path, error))?;
    let mut bytes = Vec::new();
    read_bounded(file, path, bytes_max, &mut bytes)?;
    Ok(bytes)
}

fn read_bounded(file: File, path: &Path, bytes_max: u64, into: &mut Vec<u8>) -> Result<(), CaError> {
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(into);
    read.map_err(|error| CaError::io("read", path, error))?;
    if u64::try_from(into.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(CaError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(())
}

/// Writes a new file with a private key, which only its owner may read.
///
/// # Errors
/// `Exists` if the file is there.
pub(super) fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), CaError> {
    let new = written(path, bytes, SECRET)?;
    new.persist_noclobber(path).map_err(|failed| match failed.error.kind() {
        ErrorKind::AlreadyExists => CaError::Exists(path.to_owned()),
        _ => CaError::io("write", path, failed.error),
    })?;
    sync_folder(path)
}

/// Writes a file that everybody may read, over the one that is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CaError> {
    let new = written(path, bytes, PUBLIC)?;
    new.persist(path).map_err(|failed| CaError::io("write", path, failed.error))?;
    sync_folder(path)
}

/// A durable file beside the one that it will become.
fn written(path: &Path, bytes: &[u8], mode: u32) -> Result<NamedTempFile, CaError> {
    let failed = |error| CaError::io("write", path, error);
    let mut new = tempfile::Builder::new()
        .prefix(".assent-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder(path))
        .map_err(failed)?;
    new.write_all(bytes).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    Ok(new)
}

fn sync_folder(path: &Path) -> Result<(), CaError> {
    let synced = File::open(folder(path)).and_then(|folder| folder.sync_all());
    synced.map_err(|error| CaError::io("write", path, error))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Fails if one of these files is there.
pub(super) fn must_be_absent(paths: &[&Path]) -> Result<(), CaError> {
    match paths.iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(CaError::Exists((*path).to_owned())),
        None => Ok(()),
    }
}

/// Fails unless the file is there.
pub(super) fn must_be_there(path: &Path) -> Result<(), CaError> {
    fs::metadata(path).map(|_| ()).map_err(|error| CaError::io("open", path, error))
}
