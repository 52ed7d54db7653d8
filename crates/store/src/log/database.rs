//! The log's database: one commit for a batch of operations, and reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Durability, ReadTransaction, ReadableTable, Table};

use super::entry::{EntryError, LogEntry};
use super::mark::Mark;
use super::op::Op;
use super::state::LogState;
use crate::StoreError;
use crate::database::{self as db, ENTRIES, LOG_FILE, STORE};
use crate::disk::Disk;
use crate::identity::{Identity, Role, Stage};
use crate::open_database::{Doubt, OpenDatabase, failed};

/// The open database.
pub(crate) struct LogDatabase {
    database: OpenDatabase,
    mark: Arc<Mark>,
    /// The state after the last commit.
    state: Mutex<LogState>,
    /// Bytes of the entries after the last commit. They are counted anew at each opening.
    bytes: AtomicU64,
}

impl LogDatabase {
    /// Opens `log.redb`, checks its pages, and reads which store it belongs to; `None` if its creation was cut
    /// short before that was written.
    pub(crate) fn look(
        disk: &dyn Disk,
        cache_bytes: usize,
    ) -> Result<(OpenDatabase, Option<Identity>), StoreError> {
        let database = OpenDatabase::open(disk, LOG_FILE, cache_bytes)?;
        let identity = db::identity(&database, Role::Log)?;
        Ok((database, identity))
    }

    /// Creates the log of a new store whose registry is at `generation`.
    pub(crate) fn create(
        disk: &dyn Disk,
        cache_bytes: usize,
        store_id: [u8; 16],
        generation: u64,
    ) -> Result<(), StoreError> {
        let database = OpenDatabase::open(disk, LOG_FILE, cache_bytes)?;
        database.doubt().guarded(|| {
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate).map_err(failed)?;
            {
                let mut store = write.open_table(STORE).map_err(failed)?;
                let identity = Identity { role: Role::Log, stage: Stage::Ready, store_id };
                let state = LogState { generation, ..LogState::default() };
                db::put(&mut store, db::IDENTITY, &identity.encode())?;
                db::put(&mut store, db::STATE, &state.encode())?;
                write.open_table(ENTRIES).map_err(failed)?;
            }
            // A crash before this leaves a registry that is still being created, so the creation starts over.
            write.commit().map_err(failed)
        })?;
        database.close()
    }

    /// Takes the log of this store, whose pages are checked, and reads all of it: every checksum must be
    /// right, no entry may be missing, and nothing that was acknowledged may be lost.
    pub(crate) fn open(
        disk: &dyn Disk,
        database: OpenDatabase,
        store_id: [u8; 16],
    ) -> Result<(Self, LogState), StoreError> {
        let (state, bytes) = database.doubt().guarded(|| load(&database))?;
        let (mark, acknowledged) = Mark::open(disk, store_id)?;
        if let Some(acknowledged) = acknowledged
            && acknowledged > state.commit
        {
            let problem =
                format!("it ends at commit {} although commit {acknowledged} was acknowledged", state.commit);
            return database.doubt().noted(Err(StoreError::damaged(LOG_FILE, problem)));
        }
        let bytes = AtomicU64::new(bytes);
        Ok((Self { database, mark: Arc::new(mark), state: Mutex::new(state.clone()), bytes }, state))
    }

    /// The mark, which says which commit was acknowledged last.
    pub(super) fn mark(&self) -> Arc<Mark> {
        self.mark.clone()
    }

    /// A consistent state to read from.
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read()
    }

    /// Whether the database is doubted.
    pub(super) fn doubt(&self) -> Doubt {
        self.database.doubt().clone()
    }

    /// Bytes of the entries.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Carries out `ops` in order, with one fsync.
    ///
    /// A crash before the commit's fsync leaves the log as it was before all of them; a crash after it leaves
    /// it with all of them. None of them is acknowledged yet, so both are right. The mark says that one may
    /// have been acknowledged.
    pub(super) fn commit<E: LogEntry>(&self, ops: &[Op<E>]) -> Result<(), StoreError> {
        // Only the committer gets here, and the new state counts only once it is durable.
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = current.clone();
        state.commit += 1;
        let mut bytes = self.bytes();
        self.database.doubt().guarded(|| {
            let mut write = self.database.begin_write()?;
            write.set_durability(Durability::Immediate).map_err(failed)?;
            {
                let mut entries = write.open_table(ENTRIES).map_err(failed)?;
                for op in ops {
                    carry_out(op, &mut entries, &mut state, &mut bytes)?;
                }
                db::put(&mut write.open_table(STORE).map_err(failed)?, db::STATE, &state.encode())?;
            }
            write.commit().map_err(failed)
        })?;
        self.mark.write(state.commit)?;
        *current = state;
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

fn carry_out<E: LogEntry>(
    op: &Op<E>,
    entries: &mut Table<'_, u64, &'static [u8]>,
    state: &mut LogState,
    bytes: &mut u64,
) -> Result<(), StoreError> {
    let mut remove = |stored: &[u8]| {
        *bytes = bytes.saturating_sub(stored.len() as u64);
        false
    };
    match op {
        Op::Append { entries: appended, .. } => {
            for entry in appended {
                let index = entry.index();
                let stored = db::seal_entry(index, &entry.encode());
                *bytes = bytes.saturating_add(stored.len() as u64);
                entries.insert(index, stored.as_slice()).map_err(failed)?;
                state.appended(index, index);
            }
        }
        Op::Truncate { from, .. } => {
            entries.retain_in(*from.., |_, stored| remove(stored)).map_err(failed)?;
            state.truncated(*from);
        }
        Op::Purge { upto, position } => {
            entries.retain_in(..=*upto, |_, stored| remove(stored)).map_err(failed)?;
            state.purged(*upto, position);
        }
        Op::Vote { value, .. } => state.vote = Some(value.clone()),
        Op::Committed { value } => state.committed = Some(value.clone()),
        Op::Remembered { value, .. } => state.remembered = Some(value.clone()),
        Op::Generation { number, .. } => state.generation = *number,
        Op::Close { .. } => {}
    }
    Ok(())
}

/// The entries of `from..until` until they have `bytes_max`, but at least one.
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
        let entry = E::decode(value).map_err(|error| match error {
            EntryError::Version(version) => {
                StoreError::Version { what: format!("entry {index} in `{LOG_FILE}`"), version }
            }
            EntryError::Damaged(problem) => {
                StoreError::damaged(LOG_FILE, format!("entry {index}: {problem}"))
            }
        })?;
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

/// Reads every row once, and counts the entries' bytes. It does not handle a torn commit: redb has already
/// gone back to the commit before it.
fn load(database: &OpenDatabase) -> Result<(LogState, u64), StoreError> {
    let read = database.begin_read()?;
    let store = read.open_table(STORE).map_err(failed)?;
    let row = db::get(&store, LOG_FILE, db::STATE)?
        .ok_or_else(|| StoreError::damaged(LOG_FILE, "its state is missing"))?;
    let state = LogState::decode(&row)?;
    let mut bytes = 0u64;
    let mut range: Option<(u64, u64)> = None;
    for row in read.open_table(ENTRIES).map_err(failed)?.iter().map_err(failed)? {
        let (index, stored) = row.map_err(failed)?;
        let index = index.value();
        db::unseal_entry(index, stored.value())?;
        bytes = bytes.saturating_add(stored.value().len() as u64);
        if range.is_some_and(|(_, last)| last.checked_add(1) != Some(index)) {
            return Err(StoreError::damaged(LOG_FILE, format!("there is a hole before entry {index}")));
        }
        range = Some((range.map_or(index, |(first, _)| first), index));
    }
    if range != state.range {
        let problem = format!("it should hold entries {:?} and holds {range:?}", state.range);
        return Err(StoreError::damaged(LOG_FILE, problem));
    }
    Ok((state, bytes))
}
