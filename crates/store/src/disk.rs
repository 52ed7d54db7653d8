//! The interface to the file system.

use std::fmt;
use std::io;

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
}

/// A boxed backend as redb takes it.
pub(crate) struct Backend(pub(crate) Box<dyn StorageBackend>);

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
