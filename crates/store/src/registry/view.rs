//! A consistent state of the registry to read from.

use std::fmt;
use std::sync::OnceLock;

use redb::{ReadOnlyTable, ReadTransaction};

use assent_registry::{Row, RowError, Rows, Table};

use super::generation::{SharedGeneration, definition};
use crate::StoreError;
use crate::checksum::unseal;
use crate::database::{self as db, STORE};
use crate::open_database::failed;

type OpenTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The registry as it was when the view was opened, whatever is written or installed since. Every read checks
/// the value's checksum. While a view is open, redb cannot reuse the pages that it shows, so drop it soon.
pub struct RegistryView {
    read: ReadTransaction,
    tables: [OnceLock<OpenTable>; Table::ALL.len()],
    /// It is dropped last: the file stays open as long as the view reads it.
    generation: SharedGeneration,
}

impl RegistryView {
    pub(crate) fn open(generation: SharedGeneration) -> Result<Self, StoreError> {
        let read = generation.database.begin_read()?;
        Ok(Self { read, tables: std::array::from_fn(|_| OnceLock::new()), generation })
    }

    /// The applied position in this state, as it was last given.
    pub fn applied(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let applied = self.read.open_table(STORE).map_err(failed);
        let applied = applied.and_then(|table| db::get(&table, &self.generation.file, db::APPLIED));
        self.generation.database.doubt().noted(applied)
    }

    /// Passes on what a read answered. If it is an error, the database is doubted.
    pub(crate) fn noted<T, E>(&self, read: Result<T, E>) -> Result<T, E> {
        read.inspect_err(|_| self.generation.database.doubt().raise())
    }

    /// The table, opened once.
    pub(crate) fn table(&self, table: Table) -> Result<&OpenTable, RowError> {
        let slot = self.tables.get(table as usize).ok_or_else(|| no_table(table))?;
        if let Some(open) = slot.get() {
            return Ok(open);
        }
        let open = self.read.open_table(definition(table)).map_err(unreadable)?;
        Ok(slot.get_or_init(|| open))
    }
}

impl fmt::Debug for RegistryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryView").field("generation", &self.generation.number).finish_non_exhaustive()
    }
}

impl Drop for RegistryView {
    fn drop(&mut self) {
        // redb may have panicked in a read.
        if std::thread::panicking() {
            self.generation.database.doubt().raise();
        }
    }
}

impl Rows for RegistryView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        self.noted(self.table(table).and_then(|open| match open.get(key).map_err(unreadable)? {
            Some(stored) => value(table, key, stored.value()).map(Some),
            None => Ok(None),
        }))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        self.noted(self.table(table).and_then(|open| scan(open, table, from, until, limit)))
    }
}

/// The rows of a scan, checked.
pub(crate) fn scan(
    open: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    from: &[u8],
    until: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Row>, RowError> {
    if until.is_some_and(|until| until <= from) {
        return Ok(Vec::new());
    }
    let rows = match until {
        Some(until) => open.range::<&[u8]>(from..until),
        None => open.range::<&[u8]>(from..),
    };
    rows.map_err(unreadable)?
        .take(limit)
        .map(|row| {
            let (key, stored) = row.map_err(unreadable)?;
            let key = key.value();
            Ok((key.to_vec(), value(table, key, stored.value())?))
        })
        .collect()
}

/// The value in a stored row, or the error that it is damaged.
pub(crate) fn value(table: Table, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, RowError> {
    match unseal(table.name(), key, stored) {
        Some(value) => Ok(value.to_vec()),
        None => Err(RowError::Mutated { table, key: key.to_vec() }),
    }
}

/// A redb error as an error of the registry.
pub(crate) fn unreadable(error: impl Into<redb::Error>) -> RowError {
    RowError::Unreadable(error.into().to_string())
}

pub(crate) fn no_table(table: Table) -> RowError {
    RowError::Unreadable(format!("there is no table `{}`", table.name()))
}
