//! The log's database: one commit for a batch of operations, and reads.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table};

use super::LogEntry;
use super::committer::Op;
use super::mark::Mark;
use crate::StoreError;
use crate::bytes_codec::Reader;
use crate::database::{self as db, ENTRIES, LOG_FILE, STORE, failed};
use crate::disk::Disk;
use crate::identity::{Identity, Role, Stage};

/// The open database.
pub(crate) struct LogDatabase {
    database: Database,
    mark: Mark,
    /// The number of the last commit.
    commits: AtomicU64,
}

/// What the database held when it was opened.
pub(crate) struct LoadedLog {
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) purged_index: Option<u64>,
    pub(crate) purged: Option<Bytes>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) generation: u64,
}

impl LogDatabase {
    /// Whether `log.redb` got as far as knowing its store.
    pub(crate) fn exists(disk: &dyn Disk, cache_bytes: usize) -> Result<Option<Identity>, StoreError> {
        let database = db::open(disk, LOG_FILE, cache_bytes)?;
        db::identity(&database, LOG_FILE, Role::Log)
    }

    /// Makes the log of a new store whose registry is at `generation`.
    pub(crate) fn create(
        disk: &dyn Disk,
        cache_bytes: usize,
        store_id: [u8; 16],
        generation: u64,
    ) -> Result<(), StoreError> {
        let database = db::open(disk, LOG_FILE, cache_bytes)?;
        let mut write = database.begin_write().map_err(failed)?;
        write.set_durability(Durability::Immediate).map_err(failed)?;
        {
            let mut store = write.open_table(STORE).map_err(failed)?;
            let identity = Identity { role: Role::Log, stage: Stage::Ready, store_id };
            db::put(&mut store, db::IDENTITY, &identity.encode())?;
            db::put(&mut store, db::GENERATION, &generation.to_be_bytes())?;
            db::put(&mut store, db::COMMIT, &0u64.to_be_bytes())?;
            write.open_table(ENTRIES).map_err(failed)?;
        }
        // A crash before this leaves a registry that is still being created, and the creation starts over.
        write.commit().map_err(failed)
    }

    /// Opens the log of this store and reads all of it: every checksum, no hole, nothing acknowledged missing.
    pub(crate) fn open(
        disk: &dyn Disk,
        cache_bytes: usize,
        store_id: [u8; 16],
    ) -> Result<(Self, LoadedLog), StoreError> {
        let database = db::open(disk, LOG_FILE, cache_bytes)?;
        let (loaded, commits) = load(&database)?;
        let (mark, acknowledged) = Mark::open(disk, store_id)?;
        if let Some(acknowledged) = acknowledged
            && acknowledged > commits
        {
            let problem =
                format!("it ends at commit {commits} although commit {acknowledged} was acknowledged");
            return Err(StoreError::damaged(LOG_FILE, problem));
        }
        Ok((Self { database, mark, commits: AtomicU64::new(commits) }, loaded))
    }

    /// A consistent state to read from.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read().map_err(failed)
    }

    /// Carries out `ops` in order, with one fsync.
    ///
    /// A crash before the commit's fsync leaves the log as before all of them, one after it leaves all of them.
    /// Nobody has been told of any, so both are right. The mark says that somebody may have been told.
    pub(super) fn commit<E: LogEntry>(&self, ops: &[Op<E>]) -> Result<(), StoreError> {
        let number = self.commits.load(Ordering::Relaxed) + 1;
        let mut write = self.database.begin_write().map_err(failed)?;
        write.set_durability(Durability::Immediate).map_err(failed)?;
        {
            let mut entries = write.open_table(ENTRIES).map_err(failed)?;
            let mut store = write.open_table(STORE).map_err(failed)?;
            for op in ops {
                carry_out(op, &mut entries, &mut store)?;
            }
            db::put(&mut store, db::COMMIT, &number.to_be_bytes())?;
        }
        write.commit().map_err(failed)?;
        self.mark.write(number)?;
        self.commits.store(number, Ordering::Relaxed);
        Ok(())
    }
}

fn carry_out<E: LogEntry>(
    op: &Op<E>,
    entries: &mut Table<'_, u64, &'static [u8]>,
    store: &mut Table<'_, &'static str, &'static [u8]>,
) -> Result<(), StoreError> {
    match op {
        Op::Append { entries: appended, .. } => {
            for entry in appended {
                let index = entry.index();
                let stored = db::seal_entry(index, &entry.encode());
                entries.insert(index, stored.as_slice()).map_err(failed)?;
            }
        }
        Op::Vote { value, .. } => db::put(store, db::VOTE, value)?,
        Op::Committed { value } => db::put(store, db::COMMITTED, value)?,
        Op::Truncate { from, .. } => entries.retain_in(*from.., |_, _| false).map_err(failed)?,
        Op::Purge { upto, value } => {
            entries.retain_in(..=*upto, |_, _| false).map_err(failed)?;
            let mut row = upto.to_be_bytes().to_vec();
            row.extend_from_slice(value);
            db::put(store, db::PURGED, &row)?;
        }
        Op::Generation { number, .. } => db::put(store, db::GENERATION, &number.to_be_bytes())?,
        Op::Close { .. } => {}
    }
    Ok(())
}

/// The entries of `from..until` until they have `bytes_max`, at least one.
pub(super) fn read_entries<E: LogEntry>(
    read: &ReadTransaction,
    from: u64,
    until: u64,
    bytes_max: usize,
) -> Result<Vec<E>, StoreError> {
    let table = read.open_table(ENTRIES).map_err(failed)?;
    let mut found = Vec::new();
    let mut bytes = 0usize;
    let mut expected = from;
    for row in table.range(from..until).map_err(failed)? {
        let (index, stored) = row.map_err(failed)?;
        let index = index.value();
        if index != expected {
            break;
        }
        let value = db::unseal_entry(index, stored.value())?;
        bytes = bytes.saturating_add(value.len());
        if !found.is_empty() && bytes > bytes_max {
            return Ok(found);
        }
        let entry = E::decode(value)
            .map_err(|problem| StoreError::damaged(LOG_FILE, format!("entry {index}: {problem}")))?;
        if entry.index() != index {
            return Err(StoreError::damaged(LOG_FILE, format!("entry {index} is another one")));
        }
        found.push(entry);
        expected += 1;
    }
    if expected != until {
        return Err(StoreError::damaged(LOG_FILE, format!("entry {expected} is missing")));
    }
    Ok(found)
}

/// Reads every row once.
fn load(database: &Database) -> Result<(LoadedLog, u64), StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let store = read.open_table(STORE).map_err(failed)?;
    let row = |key| Ok::<_, StoreError>(db::get(&store, LOG_FILE, key)?.map(Bytes::from));
    let missing = |key| StoreError::damaged(LOG_FILE, format!("its row `{key}` is missing"));
    let integer = |key| match row(key)? {
        Some(bytes) => db::integer(LOG_FILE, key, &bytes),
        None => Err(missing(key)),
    };
    let (purged_index, purged) = match row(db::PURGED)? {
        None => (None, None),
        Some(bytes) => {
            let mut reader = Reader::new(&bytes);
            let index = reader.u64().map_err(|problem| StoreError::damaged(LOG_FILE, problem))?;
            (Some(index), Some(Bytes::copy_from_slice(reader.rest())))
        }
    };
    let loaded = LoadedLog {
        range: check_entries(&read, purged_index)?,
        purged_index,
        purged,
        vote: row(db::VOTE)?,
        committed: row(db::COMMITTED)?,
        generation: integer(db::GENERATION)?,
    };
    Ok((loaded, integer(db::COMMIT)?))
}

/// First and last index, after checking every entry. A torn commit is none of this function's business: redb
/// has already gone back to the one before it.
fn check_entries(
    read: &ReadTransaction,
    purged_index: Option<u64>,
) -> Result<Option<(u64, u64)>, StoreError> {
    let table = read.open_table(ENTRIES).map_err(failed)?;
    let mut range: Option<(u64, u64)> = None;
    for row in table.iter().map_err(failed)? {
        let (index, stored) = row.map_err(failed)?;
        let index = index.value();
        db::unseal_entry(index, stored.value())?;
        let expected = match range {
            Some((_, last)) => last.checked_add(1),
            None => None,
        };
        if expected.is_some_and(|expected| expected != index) {
            return Err(StoreError::damaged(LOG_FILE, format!("there is a hole before entry {index}")));
        }
        range = Some((range.map_or(index, |(first, _)| first), index));
    }
    match (range, purged_index) {
        (Some((first, _)), Some(purged)) if purged.checked_add(1) != Some(first) => {
            Err(StoreError::damaged(LOG_FILE, format!("it was purged up to {purged} but starts at {first}")))
        }
        _ => Ok(range),
    }
}
