//! What both databases have in common: the table of the store's own rows. And the table of the log's entries.

use redb::{ReadableTable, Table, TableDefinition};

use crate::checksum::{seal, unseal};
use crate::identity::{Identity, Role};
use crate::open_database::{OpenDatabase, failed};
use crate::{StoreError, checksum};

/// The store's own rows: `identity` in both databases, `applied` in the registry, `state` in the log.
pub(crate) const STORE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new(STORE_NAME);
const STORE_NAME: &str = "store";

pub(crate) const IDENTITY: &str = "identity";
pub(crate) const APPLIED: &str = "applied";
pub(crate) const STATE: &str = "state";

/// The Raft log's file.
pub(crate) const LOG_FILE: &str = "log.redb";

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
pub(crate) fn identity(database: &OpenDatabase, role: Role) -> Result<Option<Identity>, StoreError> {
    let doubt = database.doubt();
    doubt.guarded(|| {
        let read = database.begin_read()?;
        let table = match read.open_table(STORE) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match get(&table, doubt.file(), IDENTITY)? {
            Some(bytes) => Identity::decode(doubt.file(), role, &bytes).map(Some),
            None => Ok(None),
        }
    })
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
