//! What the tests share: a redb database and a store on a simulated disk.

use std::io;
use std::sync::Arc;

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{SimDisk, Unsynced};
use assent_registry::{RowError, Rows, Table};
use assent_store::{
    Disk, EntryError, LogEntry, OnDurable, RunBlocking, Store, StoreError, StoreOptions, WriteError,
};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tokio::sync::oneshot;

pub(crate) const ROWS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("rows");

/// redb takes a backend by value.
#[derive(Debug)]
struct Backend(Box<dyn StorageBackend>);

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
}

pub(crate) fn database(disk: &SimDisk) -> Result<Database, redb::DatabaseError> {
    let file = disk.mount().open("rows.redb").unwrap();
    Builder::new().set_cache_size(1 << 20).create_with_backend(Backend(file))
}

/// Commits rows of these keys.
pub(crate) fn commit(
    database: &Database,
    keys: impl Iterator<Item = u64>,
    value: &[u8],
    durability: Durability,
) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(durability).unwrap();
    {
        let mut table = write.open_table(ROWS)?;
        for key in keys {
            table.insert(key, value)?;
        }
    }
    Ok(write.commit()?)
}

pub(crate) fn keys(database: &Database) -> Vec<u64> {
    let table = database.begin_read().unwrap().open_table(ROWS).unwrap();
    table.iter().unwrap().map(|row| row.unwrap().0.value()).collect()
}

/// An entry for tests: an index and some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestEntry(pub(crate) u64, pub(crate) Vec<u8>);

impl LogEntry for TestEntry {
    fn index(&self) -> u64 {
        self.0
    }
    fn size(&self) -> usize {
        self.1.len() + 8
    }
    fn encode(&self) -> Vec<u8> {
        [&self.0.to_be_bytes()[..], &self.1].concat()
    }
    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let cut_short = || EntryError::Damaged("cut short".to_owned());
        let (index, payload) = bytes.split_first_chunk().ok_or_else(cut_short)?;
        Ok(Self(u64::from_be_bytes(*index), payload.to_vec()))
    }
}

pub(crate) const STORE_ID: [u8; 16] = *b"store-id-0000001";

/// Runs blocking work in place; work that panics counts as lost.
fn inline() -> RunBlocking {
    Arc::new(|work| {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        Box::pin(std::future::ready(()))
    })
}

pub(crate) async fn open(disk: &SimDisk) -> Result<Store<TestEntry>, StoreError> {
    let options = StoreOptions { flush_batches: 4, ..StoreOptions::default() };
    open_with(disk, options).await
}

pub(crate) async fn open_with(disk: &SimDisk, options: StoreOptions) -> Result<Store<TestEntry>, StoreError> {
    Store::open(Arc::new(disk.mount()), inline(), STORE_ID, options).await
}

/// Appends an entry and waits until it is durable.
pub(crate) async fn append(store: &Store<TestEntry>, entry: TestEntry) -> io::Result<()> {
    let (sender, durable) = oneshot::channel();
    let callback: OnDurable = Box::new(move |result| {
        let _ = sender.send(result);
    });
    store.log.append(vec![entry], callback).await?;
    durable.await.unwrap_or_else(|_| Err(io::Error::other("the callback was dropped")))
}

pub(crate) async fn entries(store: &Store<TestEntry>) -> Vec<TestEntry> {
    store.log.read(0, u64::MAX, usize::MAX).await.unwrap()
}

/// What a store answered for: everything up to here has to be there ever after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) entries: Vec<TestEntry>,
    pub(crate) vote: Option<u64>,
    pub(crate) flushed: Option<u64>,
}

fn number(bytes: impl AsRef<[u8]>) -> u64 {
    u64::from_be_bytes(bytes.as_ref().try_into().unwrap())
}

pub(crate) fn applied(store: &Store<TestEntry>) -> Option<u64> {
    store.registry.view().unwrap().applied().unwrap().map(number)
}

/// Applies what the entry at `index` says.
fn apply(store: &Store<TestEntry>, index: u64) -> bool {
    let written: Result<(), WriteError<RowError>> =
        store.registry.write(Some(&index.to_be_bytes()), |rows| {
            let row = vec![index as u8; 100 * (index % 30) as usize];
            rows.put(Table::Leaves, &index.to_be_bytes(), &row)
        });
    written.is_ok()
}

/// Replays the log, then appends, votes and applies so many more times, until the disk fails. Notes what was
/// acknowledged.
pub(crate) async fn work(store: &Store<TestEntry>, noted: &mut Acknowledged, rounds: u64, dice: &mut Dice) {
    noted.entries = entries(store).await;
    for index in applied(store).map_or(0, |applied| applied + 1)..noted.entries.len() as u64 {
        if !apply(store, index) {
            return;
        }
    }
    for _ in 0..rounds {
        let next = noted.entries.len() as u64;
        let entry = TestEntry(next, vec![next as u8; dice.below(3000) as usize]);
        if append(store, entry.clone()).await.is_err() {
            return;
        }
        noted.entries.push(entry);
        if store.log.save_vote(next.to_be_bytes().to_vec().into()).await.is_err() {
            return;
        }
        noted.vote = Some(next);
        if !apply(store, next) {
            return;
        }
        if dice.chance(1, 3) {
            if store.registry.flush().is_err() {
                return;
            }
            noted.flushed = Some(next);
        }
    }
}

/// What is wrong with a store that answered for this.
pub(crate) async fn missing(store: &Store<TestEntry>, acknowledged: &Acknowledged) -> Option<String> {
    let found = entries(store).await;
    if found.get(..acknowledged.entries.len()) != Some(&acknowledged.entries[..]) {
        return Some(format!("{} of {} entries", found.len(), acknowledged.entries.len()));
    }
    if found.len() > acknowledged.entries.len() + 1 {
        return Some("entries that nobody appended".to_owned());
    }
    let vote = store.log.vote().map(number);
    if vote < acknowledged.vote {
        return Some(format!("vote {vote:?} for {:?}", acknowledged.vote));
    }
    let applied = applied(store);
    if applied < acknowledged.flushed {
        return Some(format!("applied {applied:?} for {:?}", acknowledged.flushed));
    }
    let rows = store.registry.view().unwrap().scan(Table::Leaves, b"", None, 1000).unwrap();
    let expected = applied.map_or(0, |applied| applied + 1);
    (rows.len() as u64 != expected).then(|| format!("{} rows at {applied:?}", rows.len()))
}

/// A disk with a store on it that did some work and went down by a power cut, and what it answered for.
pub(crate) async fn worked(rounds: u64, seed: u64) -> (SimDisk, Acknowledged) {
    let disk = SimDisk::new();
    let mut acknowledged = Acknowledged::default();
    let store = open(&disk).await.unwrap();
    work(&store, &mut acknowledged, rounds, &mut Dice::new(seed)).await;
    disk.power_cut(Unsynced::Keep, &mut Dice::new(seed));
    assert_eq!(acknowledged.entries.len() as u64, rounds);
    (disk, acknowledged)
}
