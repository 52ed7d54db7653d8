//! One file of the registry. The installation of a snapshot replaces the whole file, so each file is a
//! generation.

use std::sync::Arc;

use redb::{Durability, TableDefinition};

use assent_registry::Table;

use crate::StoreError;
use crate::database::{self as db, STORE};
use crate::disk::Disk;
use crate::identity::{Identity, Role, Stage};
use crate::open_database::{OpenDatabase, failed};

const PREFIX: &str = "registry-";
const SUFFIX: &str = ".redb";

/// The registry's table of this name: key → checksum and value.
pub(crate) fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// The file of generation `number`.
pub(crate) fn file_name(number: u64) -> String {
    format!("{PREFIX}{number}{SUFFIX}")
}

/// Every registry file on the disk, with its generation.
pub(crate) fn files(disk: &dyn Disk) -> Result<Vec<(String, u64)>, StoreError> {
    let names = disk.list().map_err(StoreError::unusable)?;
    let mut files: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let number = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
            Some((name, number))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// An open file of the registry.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) file: String,
    pub(crate) database: OpenDatabase,
}

impl Generation {
    /// Creates an empty file in the stage `Creating`, with all its tables.
    pub(crate) fn create(
        disk: &dyn Disk,
        number: u64,
        store_id: [u8; 16],
        cache_bytes: usize,
    ) -> Result<Self, StoreError> {
        let file = file_name(number);
        let database = OpenDatabase::open(disk, &file, cache_bytes)?;
        database.doubt().guarded(|| {
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate).map_err(failed)?;
            {
                let mut store = write.open_table(STORE).map_err(failed)?;
                let identity = Identity { role: Role::Registry, stage: Stage::Creating, store_id };
                db::put(&mut store, db::IDENTITY, &identity.encode())?;
                for table in Table::ALL {
                    write.open_table(definition(*table)).map_err(failed)?;
                }
            }
            write.commit().map_err(failed)
        })?;
        Ok(Self { number, file, database })
    }

    /// Opens an existing file, and refuses one in which any page differs from what was written. If the
    /// identity is `None`, its creation was cut short before that was written.
    pub(crate) fn open(
        disk: &dyn Disk,
        number: u64,
        cache_bytes: usize,
    ) -> Result<(Self, Option<Identity>), StoreError> {
        let file = file_name(number);
        let database = OpenDatabase::open(disk, &file, cache_bytes)?;
        let identity = db::identity(&database, Role::Registry)?;
        Ok((Self { number, file, database }, identity))
    }

    /// Puts the file in use: makes it durable, and quick to open after a crash.
    pub(crate) fn make_ready(&self, store_id: [u8; 16], applied: Option<&[u8]>) -> Result<(), StoreError> {
        self.database.doubt().guarded(|| {
            let mut write = self.database.begin_write()?;
            write.set_durability(Durability::Immediate).map_err(failed)?;
            write.set_quick_repair(true);
            {
                let mut store = write.open_table(STORE).map_err(failed)?;
                let identity = Identity { role: Role::Registry, stage: Stage::Ready, store_id };
                db::put(&mut store, db::IDENTITY, &identity.encode())?;
                if let Some(applied) = applied {
                    db::put(&mut store, db::APPLIED, applied)?;
                }
            }
            write.commit().map_err(failed)
        })
    }

    /// Makes everything that was committed so far durable.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.database.doubt().guarded(|| {
            let mut write = self.database.begin_write()?;
            write.set_durability(Durability::Immediate).map_err(failed)?;
            write.set_quick_repair(true);
            write.commit().map_err(failed)
        })
    }
}

/// A generation that readers share. When the last reader drops it, the file is closed.
pub(crate) type SharedGeneration = Arc<Generation>;
