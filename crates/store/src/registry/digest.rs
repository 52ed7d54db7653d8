//! A digest of every row of the registry, to compare nodes by.
//!
//! It covers table, key and value of each row, in the order of the tables' numbers and of the keys, and nothing that
//! differs from node to node: not the file, its generation, nor the order in which the rows were written. It reads one
//! view row by row and keeps none. Its cost is that of reading everything.

use blake3::Hasher;

use assent_registry::Table;

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

impl RegistryView {
    /// Digests every row of this view. Blocks, as long as it takes to read them all. A row that does not match its
    /// checksum is an error.
    pub fn digest(&self) -> Result<RegistryDigest, StoreError> {
        let mut hasher = Hasher::new_derive_key(CONTEXT);
        let mut rows: u64 = 0;
        for table in Table::ALL {
            for row in self.table(*table)?.range::<&[u8]>(..).map_err(unreadable)? {
                let (key, stored) = row.map_err(unreadable)?;
                let key = key.value();
                let value = value(*table, key, stored.value())?;
                // Lengths in front: no two different lists of rows have the same bytes.
                hasher.update(&[*table as u8]);
                for part in [key, &value] {
                    hasher.update(&(part.len() as u64).to_be_bytes());
                    hasher.update(part);
                }
                rows = rows.saturating_add(1);
            }
        }
        Ok(RegistryDigest { rows, digest: *hasher.finalize().as_bytes() })
    }
}
