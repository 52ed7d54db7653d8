//! The interface to the file system.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use redb::StorageBackend;

/// A flat directory of files that redb can open. The real one is in `cluster`, the simulated one is beside
/// the simulation.
pub trait Disk: Send + Sync + 'static {
    /// Opens the file `name`, creating an empty one if there is none. A created file must survive a crash that
    /// follows the first sync of its content.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>>;

    /// Removes the file `name`, if present. Handles that are open stay usable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Whether there is a file `name`.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// How many bytes this process can still write to the disk, by what the system says now; `None` if the disk does
    /// not tell. No decision of the registry depends on it.
    fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// An open file as redb takes it. Its owner can take it away from redb: the file is then closed, whatever redb
/// still holds, and every later call of redb fails.
#[derive(Clone)]
pub(crate) struct Backend(Arc<RwLock<Option<Box<dyn StorageBackend>>>>);

impl Backend {
    pub(crate) fn new(file: Box<dyn StorageBackend>) -> Self {
        Self(Arc::new(RwLock::new(Some(file))))
    }

    fn with<T>(&self, work: impl FnOnce(&dyn StorageBackend) -> io::Result<T>) -> io::Result<T> {
        let file = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match file.as_deref() {
            Some(file) => work(file),
            None => Err(io::Error::other("the file is closed")),
        }
    }

    /// Closes the file and lets go of it. If this was done already, it does nothing.
    pub(crate) fn take_away(&self) -> io::Result<()> {
        let taken = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        taken.map_or(Ok(()), |file| file.close())
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0.read().unwrap_or_else(PoisonError::into_inner);
        fmt::Debug::fmt(&*file, f)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|file| file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|file| file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.take_away()
    }
}
