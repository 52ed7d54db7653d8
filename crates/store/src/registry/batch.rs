//! The rows of one write transaction.

use std::cell::RefCell;

use redb::WriteTransaction;

use assent_registry::{Row, RowError, Rows, RowsMut, Table};

use super::generation::definition;
use super::view::{no_table, scan, unreadable, value};
use crate::checksum::seal;

type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Reads and writes inside a transaction that no other reader sees yet. A table is opened at its first use.
pub(super) struct Batch<'t> {
    write: &'t WriteTransaction,
    tables: RefCell<[Option<OpenTable<'t>>; Table::ALL.len()]>,
    /// Bytes of keys and values that were put.
    pub(super) bytes: usize,
}

impl<'t> Batch<'t> {
    pub(super) fn new(write: &'t WriteTransaction) -> Self {
        Self { write, tables: RefCell::new(std::array::from_fn(|_| None)), bytes: 0 }
    }

    fn with<T>(
        &self,
        table: Table,
        work: impl FnOnce(&mut OpenTable<'t>) -> Result<T, RowError>,
    ) -> Result<T, RowError> {
        let mut tables = self.tables.borrow_mut();
        let slot = tables.get_mut(table as usize).ok_or_else(|| no_table(table))?;
        if slot.is_none() {
            *slot = Some(self.write.open_table(definition(table)).map_err(unreadable)?);
        }
        work(slot.as_mut().ok_or_else(|| no_table(table))?)
    }
}

impl Rows for Batch<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        self.with(table, |open| {
            use redb::ReadableTable;

            match open.get(key).map_err(unreadable)? {
                Some(stored) => value(table, key, stored.value()).map(Some),
                None => Ok(None),
            }
        })
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        self.with(table, |open| scan(open, table, from, until, limit))
    }
}

impl RowsMut for Batch<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let stored = seal(table.name(), key, value);
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(stored.len());
        self.with(table, |open| open.insert(key, stored.as_slice()).map(drop).map_err(unreadable))
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowError> {
        self.with(table, |open| open.remove(key).map(drop).map_err(unreadable))
    }
}
