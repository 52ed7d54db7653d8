//! What both databases have in common: how redb opens a file, and the table of the store's own rows.

use redb::{Builder, Database, DatabaseError, ReadableTable, StorageError, Table, TableDefinition};

use crate::checksum::{seal, unseal};
use crate::disk::{Backend, Disk};
use crate::identity::{Identity, Role};
use crate::{StoreError, checksum};

/// The store's own rows: `identity` in both databases, `applied` in the registry, `state` in the log.
pub(crate) const STORE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new(STORE_NAME);
const STORE_NAME: &str = "store";

pub(crate) const IDENTITY: &str = "identity";
pub(crate) const APPLIED: &str = "applied";
pub(crate) const STATE: &str = "state";

/// The Raft log's file.
pub(crate) const LOG_FILE: &str = "log.redb";

/// Opens `file`, creating an empty database if there is none.
pub(crate) fn open(disk: &dyn Disk, file: &str, cache_bytes: usize) -> Result<Database, StoreError> {
    build(disk, file, Builder::new().set_cache_size(cache_bytes))
}

/// Opens `file` and checks every page against its checksum, which takes as long as reading the whole file. A
/// row's own checksum detects that the row changed. Only the pages' checksums detect that a row cannot be
/// found any more.
pub(crate) fn open_checked(disk: &dyn Disk, file: &str, cache_bytes: usize) -> Result<Database, StoreError> {
    let name = file.to_owned();
    let progress = move |session: &mut redb::RepairSession| {
        if session.progress() == 0.0 {
            tracing::info!(file = name, "checking every page of the registry");
        } else {
            tracing::debug!(file = name, done = session.progress(), "checking every page of the registry");
        }
    };
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true).set_repair_callback(progress);
    build(disk, file, &builder)
}

fn build(disk: &dyn Disk, file: &str, builder: &Builder) -> Result<Database, StoreError> {
    let backend = disk.open(file).map_err(|error| StoreError::Unusable(format!("`{file}`: {error}")))?;
    let opened = unpanicked(file, || builder.create_with_backend(Backend(backend)))?;
    opened.map_err(|error| misused(file, error))
}

/// The error for a problem that redb reports of the database in `file` as a whole.
fn misused(file: &str, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            StoreError::Unusable(format!("`{file}` is open in another process"))
        }
        DatabaseError::Storage(StorageError::Corrupted(problem)) => StoreError::damaged(file, problem),
        DatabaseError::Storage(StorageError::Io(error))
            if matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::damaged(file, error)
        }
        other => StoreError::Unusable(format!("`{file}`: {other}")),
    }
}

/// Closes the database in `file`, which will not be used. Dropping it would close it too, but hide a failure:
/// its pages may then never reach the disk, although the next process that opens it reads them and its next
/// fsync succeeds.
pub(crate) fn close(file: &str, database: Database) -> Result<(), StoreError> {
    unpanicked(file, || database.close())?.map_err(|error| misused(file, error))
}

/// Runs `work`, in which redb may panic over a damaged `file` instead of answering an error.
pub(crate) fn unpanicked<T>(file: &str, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    // Everything that the work touched is dropped with it, so no half-changed state is seen afterwards.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .map_err(|_| StoreError::damaged(file, "redb panicked over its structure"))
}

/// Turns a redb error into one of this crate.
pub(crate) fn failed(error: impl Into<redb::Error>) -> StoreError {
    use redb::Error::{TableIsMultimap, TableIsNotMultimap, TableTypeMismatch, TypeDefinitionChanged};
    match error.into() {
        // Each table is opened as the type that a build made it with. If the type differs now, its
        // description changed on the disk.
        changed @ (TableTypeMismatch { .. }
        | TypeDefinitionChanged { .. }
        | TableIsMultimap(_)
        | TableIsNotMultimap(_)) => StoreError::damaged("a database", changed),
        other => StoreError::unusable(other),
    }
}

/// Sets one of the store's own rows.
pub(crate) fn put(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    key: &str,
    value: &[u8],
) -> Result<(), StoreError> {
    table.insert(key, seal(STORE_NAME, key.as_bytes(), value).as_slice()).map_err(failed)?;
    Ok(())
}

/// One of the store's own rows. One that does not match its checksum is damage.
pub(crate) fn get(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    file: &str,
    key: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(stored) = table.get(key).map_err(failed)? else { return Ok(None) };
    match unseal(STORE_NAME, key.as_bytes(), stored.value()) {
        Some(value) => Ok(Some(value.to_vec())),
        None => Err(StoreError::damaged(file, format!("its row `{key}` does not match its checksum"))),
    }
}

/// The database's identity; `None` if its creation was cut short before that was written.
pub(crate) fn identity(database: &Database, file: &str, role: Role) -> Result<Option<Identity>, StoreError> {
    use redb::ReadableDatabase;

    let read = database.begin_read().map_err(failed)?;
    let table = match read.open_table(STORE) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match get(&table, file, IDENTITY)? {
        Some(bytes) => Identity::decode(file, role, &bytes).map(Some),
        None => Ok(None),
    }
}

/// A log entry's stored bytes.
pub(crate) fn seal_entry(index: u64, bytes: &[u8]) -> Vec<u8> {
    checksum::seal(ENTRIES_NAME, &index.to_be_bytes(), bytes)
}

/// A log entry's bytes, or damage.
pub(crate) fn unseal_entry(index: u64, stored: &[u8]) -> Result<&[u8], StoreError> {
    checksum::unseal(ENTRIES_NAME, &index.to_be_bytes(), stored)
        .ok_or_else(|| StoreError::damaged(LOG_FILE, format!("entry {index} does not match its checksum")))
}

/// Log index → entry.
pub(crate) const ENTRIES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new(ENTRIES_NAME);
const ENTRIES_NAME: &str = "entries";
