//! A node's view of a disk: one mount, and the files that it opened through the mount.

use std::fmt;
use std::io;

use assent_store::Disk;
use redb::StorageBackend;

use super::SimDisk;
use super::medium::FileId;

/// A disk as one life of a process has it. Once that life has ended, each call returns an error and changes nothing.
#[derive(Clone)]
pub struct Mounted {
    disk: SimDisk,
    mount: u64,
}

impl Mounted {
    pub(super) fn new(disk: SimDisk, mount: u64) -> Self {
        Self { disk, mount }
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("mount", &self.mount).finish_non_exhaustive()
    }
}

impl Disk for Mounted {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let file = self.disk.medium().open(self.mount, name)?;
        Ok(Box::new(Handle { disk: self.disk.clone(), mount: self.mount, file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.medium().remove(self.mount, name)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let mut medium = self.disk.medium();
        medium.check(self.mount)?;
        Ok(medium.names.contains_key(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut medium = self.disk.medium();
        medium.check(self.mount)?;
        Ok(medium.names.keys().cloned().collect())
    }
}

/// An open file.
struct Handle {
    disk: SimDisk,
    mount: u64,
    file: FileId,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("mount", &self.mount).field("file", &self.file).finish_non_exhaustive()
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.disk.medium().len(self.mount, self.file)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.medium().read(self.mount, self.file, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.medium().set_len(self.mount, self.file, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.medium().sync(self.mount, self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.medium().write(self.mount, self.file, offset, data)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.medium().let_go(self.mount, self.file);
    }
}
