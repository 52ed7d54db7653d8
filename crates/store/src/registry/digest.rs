//! A digest of every row of the registry, by which nodes are compared.
//!
//! It covers table, key and value of each row, in the order of the tables' numbers and of the keys. It covers
//! nothing that differs between nodes: not the file, its generation, or the order in which the rows were
//! written. It reads one view row by row and keeps no row, so it costs as much as reading everything.

use blake3::Hasher;

use assent_registry::{MemoryRows, Table};

use super::view::{RegistryView, unreadable, value};
use crate::StoreError;

const CONTEXT: &str = "assent 2026-11-23 registry digest v1";

/// The digest of the rows of one view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryDigest {
    /// How many rows it covers.
    pub rows: u64,
    /// BLAKE3 of them.
    pub digest: [u8; 32],
}

impl RegistryDigest {
    /// The digest of rows in memory. A store that holds the same rows has the same digest.
    pub fn of(rows: &MemoryRows) -> Self {
        let mut digester = Digester::new();
        for (table, key, value) in rows.iter() {
            digester.row(table, key, value);
        }
        digester.finish()
    }
}

impl RegistryView {
    /// Digests every row of this view. Blocks as long as reading all rows takes. A row that does not match
    /// its checksum is an error.
    pub fn digest(&self) -> Result<RegistryDigest, StoreError> {
        self.noted(self.digest_rows())
    }

    fn digest_rows(&self) -> Result<RegistryDigest, StoreError> {
        let mut digester = Digester::new();
        for table in Table::ALL {
            for row in self.table(*table)?.range::<&[u8]>(..).map_err(unreadable)? {
                let (key, stored) = row.map_err(unreadable)?;
                let key = key.value();
                digester.row(*table, key, &value(*table, key, stored.value())?);
            }
        }
        Ok(digester.finish())
    }
}

/// Takes rows in order.
struct Digester {
    hasher: Hasher,
    rows: u64,
}

impl Digester {
    fn new() -> Self {
        Self { hasher: Hasher::new_derive_key(CONTEXT), rows: 0 }
    }

    fn row(&mut self, table: Table, key: &[u8], value: &[u8]) {
        // Each part has its length in front, so two different lists of rows never have the same bytes.
        self.hasher.update(&[table as u8]);
        for part in [key, value] {
            self.hasher.update(&(part.len() as u64).to_be_bytes());
            self.hasher.update(part);
        }
        self.rows = self.rows.saturating_add(1);
    }

    fn finish(self) -> RegistryDigest {
        RegistryDigest { rows: self.rows, digest: *self.hasher.finalize().as_bytes() }
    }
}
