//! A disk that can lose what was not synced, fail, and be cut off in the middle of an operation; and what else the
//! tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use assent_registry::UnknownVersionError;
use assent_store::{Disk, EntryError, LogEntry, OnDurable, RunBlocking, Store, StoreError, StoreOptions};
use bytes::Bytes;
use redb::StorageBackend;
use tokio::sync::oneshot;

/// The payload of an entry that this build cannot read back, since a newer one wrote it.
pub(crate) const OF_NEXT_VERSION: &str = "of the next version";

pub(crate) const STORE_ID: [u8; 16] = *b"store-id-0000001";

/// Files that keep apart what is written and what is durable. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct CrashDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, Arc<Mutex<FileBytes>>>,
    /// Handles of an earlier epoch are dead.
    epoch: u64,
    /// Writes, resizes and syncs so far.
    operations: u64,
    /// The operation from which on the power is off.
    cut_at: Option<u64>,
    fail_syncs: bool,
    syncs: BTreeMap<String, u64>,
}

#[derive(Default, Clone)]
struct FileBytes {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Resize(len) => bytes.resize(*len as usize, 0),
            Change::Write(offset, data) => {
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(data);
            }
        }
    }
}

impl CrashDisk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Cuts the power for a moment: open handles die; of what was not synced, each change survives if `keep` says.
    pub(crate) fn crash(&self, mut keep: impl FnMut() -> bool) {
        let mut inner = self.inner.lock().unwrap();
        inner.epoch += 1;
        inner.cut_at = None;
        inner.fail_syncs = false;
        let mut files = BTreeMap::new();
        for (name, file) in &inner.files {
            let file = file.lock().unwrap();
            let mut bytes = file.durable.clone();
            for change in &file.unsynced {
                if keep() {
                    change.apply(&mut bytes);
                }
            }
            // A new file: handles that are still held must not reach it.
            let fresh = FileBytes { live: bytes.clone(), durable: bytes, unsynced: Vec::new() };
            files.insert(name.clone(), Arc::new(Mutex::new(fresh)));
        }
        inner.files = files;
    }

    /// A crash that loses everything that was not synced.
    pub(crate) fn crash_losing_all(&self) {
        self.crash(|| false);
    }

    /// Kills the process only: everything that was written stays.
    pub(crate) fn kill(&self) {
        self.crash(|| true);
    }

    /// A disk of its own with the same durable bytes.
    pub(crate) fn copy(&self) -> CrashDisk {
        let inner = self.inner.lock().unwrap();
        let copy = CrashDisk::new();
        for (name, file) in &inner.files {
            let file = file.lock().unwrap().clone();
            copy.inner.lock().unwrap().files.insert(name.clone(), Arc::new(Mutex::new(file)));
        }
        copy
    }

    /// From the `n`th next write, resize or sync on everything fails.
    pub(crate) fn cut_after(&self, n: u64) {
        let mut inner = self.inner.lock().unwrap();
        inner.cut_at = Some(inner.operations + n);
    }

    pub(crate) fn is_cut(&self) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.cut_at.is_some_and(|at| inner.operations >= at)
    }

    pub(crate) fn fail_syncs(&self) {
        self.inner.lock().unwrap().fail_syncs = true;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.inner.lock().unwrap().syncs.values().sum()
    }

    pub(crate) fn syncs_of(&self, name: &str) -> u64 {
        self.inner.lock().unwrap().syncs.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn operations(&self) -> u64 {
        self.inner.lock().unwrap().operations
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.inner.lock().unwrap().files.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.inner.lock().unwrap().files[name].lock().unwrap().live.clone()
    }

    pub(crate) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let file = FileBytes { live: bytes.clone(), durable: bytes, unsynced: Vec::new() };
        self.inner.lock().unwrap().files.insert(name.to_owned(), Arc::new(Mutex::new(file)));
    }

    /// Flips bits of a file that may be open.
    pub(crate) fn flip(&self, name: &str, at: usize, mask: u8) {
        let inner = self.inner.lock().unwrap();
        let mut file = inner.files[name].lock().unwrap();
        file.live[at] ^= mask;
        file.durable[at] ^= mask;
    }

    pub(crate) fn delete(&self, name: &str) {
        self.inner.lock().unwrap().files.remove(name);
    }

    /// Counts a write, resize or sync, or fails it.
    fn operation(&self, epoch: u64) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap();
        if inner.epoch != epoch {
            return Err(io::Error::other("the process that held this file is gone"));
        }
        inner.operations += 1;
        if inner.cut_at.is_some_and(|at| inner.operations >= at) {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }
}

impl Disk for CrashDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        if self.is_cut() {
            return Err(io::Error::other("the power is off"));
        }
        let mut inner = self.inner.lock().unwrap();
        let epoch = inner.epoch;
        let file = inner.files.entry(name.to_owned()).or_default().clone();
        Ok(Box::new(Handle { disk: self.clone(), name: name.to_owned(), epoch, file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if self.is_cut() {
            return Err(io::Error::other("the power is off"));
        }
        self.inner.lock().unwrap().files.remove(name);
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.inner.lock().unwrap().files.contains_key(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }
}

struct Handle {
    disk: CrashDisk,
    name: String,
    epoch: u64,
    file: Arc<Mutex<FileBytes>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    fn alive(&self) -> io::Result<()> {
        if self.disk.inner.lock().unwrap().epoch == self.epoch && !self.disk.is_cut() {
            return Ok(());
        }
        Err(io::Error::other("the process that held this file is gone"))
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.disk.operation(self.epoch)?;
        let mut file = self.file.lock().unwrap();
        change.apply(&mut file.live);
        file.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.alive()?;
        Ok(self.file.lock().unwrap().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.alive()?;
        let file = self.file.lock().unwrap();
        let start = offset as usize;
        let bytes = file.live.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Resize(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operation(self.epoch)?;
        let failing = {
            let mut inner = self.disk.inner.lock().unwrap();
            *inner.syncs.entry(self.name.clone()).or_default() += 1;
            inner.fail_syncs
        };
        if failing {
            return Err(io::Error::other("fsync failed"));
        }
        let mut file = self.file.lock().unwrap();
        file.durable = file.live.clone();
        file.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, data.to_vec()))
    }
}

/// An entry for tests: an index and some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestEntry {
    pub(crate) index: u64,
    pub(crate) payload: Vec<u8>,
}

impl TestEntry {
    pub(crate) fn new(index: u64, payload: impl Into<Vec<u8>>) -> Self {
        Self { index, payload: payload.into() }
    }
}

impl LogEntry for TestEntry {
    fn index(&self) -> u64 {
        self.index
    }

    fn size(&self) -> usize {
        self.payload.len() + 8
    }

    fn encode(&self) -> Vec<u8> {
        [&self.index.to_be_bytes()[..], &self.payload].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let cut_short = || EntryError::Damaged("cut short".to_owned());
        let (index, payload) = bytes.split_first_chunk().ok_or_else(cut_short)?;
        if payload == OF_NEXT_VERSION.as_bytes() {
            return Err(EntryError::Version(UnknownVersionError { found: 2, known: 1 }));
        }
        Ok(Self { index: u64::from_be_bytes(*index), payload: payload.to_vec() })
    }
}

/// Runs blocking work in place; work that panics counts as lost.
pub(crate) fn inline() -> RunBlocking {
    Arc::new(|work| {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        Box::pin(std::future::ready(()))
    })
}

pub(crate) async fn open(disk: &CrashDisk) -> Result<Store<TestEntry>, StoreError> {
    open_with(disk, StoreOptions::default()).await
}

pub(crate) async fn open_with(
    disk: &CrashDisk,
    options: StoreOptions,
) -> Result<Store<TestEntry>, StoreError> {
    Store::open(Arc::new(disk.clone()), inline(), STORE_ID, options).await
}

/// A callback, and what it is told.
pub(crate) fn callback() -> (OnDurable, oneshot::Receiver<io::Result<()>>) {
    let (sender, receiver) = oneshot::channel();
    let callback: OnDurable = Box::new(move |result| {
        let _ = sender.send(result);
    });
    (callback, receiver)
}

/// Appends entries and waits until they are durable.
pub(crate) async fn append(store: &Store<TestEntry>, entries: Vec<TestEntry>) -> io::Result<()> {
    let (on_durable, durable) = callback();
    store.log.append(entries, on_durable).await?;
    durable.await.unwrap_or_else(|_| Err(io::Error::other("the callback was dropped")))
}

pub(crate) async fn all(store: &Store<TestEntry>) -> Vec<TestEntry> {
    store.log.read(0, u64::MAX, usize::MAX).await.unwrap()
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Numbers that look random and come from a seed.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
