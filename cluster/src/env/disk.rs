//! The data directory as real files. This module owns their names, their modes and the durability of the directory.
//! The bytes inside the files belong to the store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assent_store::Disk;
use redb::StorageBackend;
use redb::backends::FileBackend;

/// The file whose lock shows that a process uses the directory. Because of its leading dot, the store ignores it.
const LOCK_NAME: &str = ".lock";

/// Files in one directory, readable by their owner only and open in one process at a time.
#[derive(Debug, Clone)]
pub struct FileDisk {
    dir: PathBuf,
    /// Held until the last clone is dropped, or the process ends.
    _lock: Arc<File>,
}

impl FileDisk {
    /// The directory `dir`, which is made if it is missing. An error if another disk, in this process or another, has
    /// it open: two nodes on one store would destroy it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)?;
        let lock = private(OpenOptions::new().write(true)).open(dir.join(LOCK_NAME))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_path_buf(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("`{}` is in use by another node", dir.display()),
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The path of a file with that name. The names are the store's own constants. A name that would leave the
    /// directory is refused all the same.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is not a file name")));
        }
        Ok(self.dir.join(name))
    }

    /// Makes the directory's entries durable, so that a file that was made or removed stays so after a power failure.
    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Opens or makes a file that only its owner may touch, and keeps what it holds.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.create(true).truncate(false)
}

/// Makes the kernel drop a file's pages from its cache. After a failed fsync, the kernel still shows pages that never
/// became durable, and reports success for the next fsync. A process that was restarted since would build on these
/// pages and acknowledge, and would lose them when the power fails. Pages that are read from the medium are what the
/// medium holds.
fn read_from_the_medium(file: &File) -> io::Result<()> {
    // The kernel can drop only pages that are not waiting to be written.
    file.sync_all()?;
    #[cfg(target_os = "linux")]
    nix::fcntl::posix_fadvise(file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

impl Disk for FileDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let path = self.path(name)?;
        let fresh = !path.try_exists()?;
        let file = private(OpenOptions::new().read(true).write(true)).open(&path)?;
        if fresh {
            self.sync_dir()?;
        } else {
            read_from_the_medium(&file)?;
        }
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)?) {
            Ok(()) => self.sync_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name)?.try_exists()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
                && !name.starts_with('.')
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        let system = nix::sys::statvfs::statvfs(&self.dir).map_err(io::Error::from)?;
        // What a process without privileges may still take, which is less than what is free.
        let bytes = u128::from(system.blocks_available()).saturating_mul(u128::from(system.fragment_size()));
        Ok(Some(u64::try_from(bytes).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_listed_found_again_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(&dir.path().join("data")).unwrap();
        assert!(!disk.exists("log.redb").unwrap());
        let backend = disk.open("log.redb").unwrap();
        backend.set_len(3).unwrap();
        backend.write(0, b"abc").unwrap();
        drop(backend);
        let mut got = [0u8; 3];
        disk.open("log.redb").unwrap().read(0, &mut got).unwrap();
        assert_eq!(&got, b"abc");
        assert_eq!(disk.list().unwrap(), vec!["log.redb".to_string()]);
        disk.remove("log.redb").unwrap();
        disk.remove("log.redb").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }

    #[test]
    fn only_the_owner_may_read_the_directory_and_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let disk = FileDisk::open(&data).unwrap();
        drop(disk.open("log.redb").unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join("log.redb")), 0o600);
    }

    #[test]
    fn a_directory_in_use_is_refused_until_its_last_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(dir.path()).unwrap();
        let clone = disk.clone();
        drop(disk);
        assert_eq!(FileDisk::open(dir.path()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(clone);
        FileDisk::open(dir.path()).unwrap();
    }

    #[test]
    fn the_system_says_how_much_is_free_and_no_longer_once_the_directory_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(&dir.path().join("data")).unwrap();
        assert!(disk.free_bytes().unwrap().unwrap() > 0);
        fs::remove_dir_all(dir.path().join("data")).unwrap();
        assert_eq!(disk.free_bytes().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_that_would_leave_the_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(dir.path()).unwrap();
        for name in ["", "..", "../x", "a/b", ".hidden", "a\0b"] {
            assert!(disk.open(name).is_err(), "{name:?} was taken");
        }
    }
}
