//! TEMPORARY until the simulated disk is merged.
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assent_store::Disk;
use redb::StorageBackend;

#[derive(Clone, Default, Debug)]
pub struct SimDisk(Arc<Mutex<(u64, BTreeMap<String, Vec<u8>>)>>);

impl SimDisk {
    pub fn mount(&self) -> Mounted {
        Mounted { disk: self.clone(), mount: self.0.lock().unwrap_or_else(PoisonError::into_inner).0 }
    }
    pub fn is_dead(&self) -> bool {
        false
    }
    pub fn power_cut(&self, _u: Unsynced, _d: &mut super::dice::Dice) {
        self.kill();
    }
    pub fn kill(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }
    pub fn take_stall(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Clone, Debug)]
pub struct Mounted {
    disk: SimDisk,
    mount: u64,
}

impl Mounted {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> io::Result<T> {
        let mut state = self.disk.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != self.mount {
            return Err(io::Error::other("dead"));
        }
        Ok(f(&mut state.1))
    }
}

#[derive(Debug)]
struct File(Mounted, String);

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.0.with(|files| files.get(&self.1).map_or(0, |f| f.len() as u64))
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.with(|files| {
            let f = files.entry(self.1.clone()).or_default();
            let o = offset as usize;
            match f.get(o..o + out.len()) {
                Some(from) => {
                    out.copy_from_slice(from);
                    Ok(())
                }
                None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        })?
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.with(|files| files.entry(self.1.clone()).or_default().resize(len as usize, 0))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.with(|_| ())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.with(|files| {
            let f = files.entry(self.1.clone()).or_default();
            let o = offset as usize;
            if f.len() < o + data.len() {
                f.resize(o + data.len(), 0);
            }
            if let Some(to) = f.get_mut(o..o + data.len()) {
                to.copy_from_slice(data);
            }
        })
    }
}

impl Disk for Mounted {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        self.with(|files| {
            files.entry(name.to_owned()).or_default();
        })?;
        Ok(Box::new(File(self.clone(), name.to_owned())))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|files| {
            files.remove(name);
        })
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.with(|files| files.contains_key(name))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.with(|files| files.keys().cloned().collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    Keep,
    Drop,
    Mixed,
    Torn,
}
