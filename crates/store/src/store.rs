//! Opening a node's store: both databases must be of one store and at one generation.

use std::fmt;
use std::sync::Arc;

use crate::blocking::{RunBlocking, blocking};
use crate::database::{self as db, LOG_FILE};
use crate::disk::Disk;
use crate::identity::{Identity, Stage};
use crate::log::{LogDatabase, LogEntry, LogState, LogStore, MARK_FILE};
use crate::registry::RegistryParts;
use crate::registry::RegistryStore;
use crate::registry::generation::{self, Generation};
use crate::{Health, StoreError, StoreOptions};

/// The generation that a new store's registry has.
const FIRST_GENERATION: u64 = 1;

/// A node's open store.
pub struct Store<E> {
    /// The Raft log.
    pub log: LogStore<E>,
    /// The registry's rows.
    pub registry: RegistryStore,
    /// The random id that the store was made with.
    pub store_id: [u8; 16],
    /// Whether this call to `open` created it.
    pub created: bool,
    health: Health,
}

impl<E: LogEntry> Store<E> {
    /// Opens the store on `disk`, or creates one with `new_store_id` if there is none. Checks every checksum
    /// of the log and of the registry's pages. Refuses damage, a log that lost something acknowledged, and
    /// files that do not belong together. Must be called inside a tokio runtime, which then runs the log's
    /// committer.
    pub async fn open(
        disk: Arc<dyn Disk>,
        run: RunBlocking,
        new_store_id: [u8; 16],
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let opened = {
            let (disk, options) = (disk.clone(), options.clone());
            blocking(&run, move || open_files(disk.as_ref(), new_store_id, &options)).await??
        };
        let health = Health::new();
        let log = LogStore::start(opened.log, opened.state, health.clone(), run.clone(), &options);
        let registry = RegistryStore::new(RegistryParts {
            disk,
            store_id: opened.store_id,
            health: health.clone(),
            run,
            options,
            current: opened.registry,
            log: log.clone(),
        });
        Ok(Self { log, registry, store_id: opened.store_id, created: opened.created, health })
    }

    /// Whether the store may still acknowledge anything.
    pub fn health(&self) -> Health {
        self.health.clone()
    }
}

impl<E> fmt::Debug for Store<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("store_id", &hex::encode(self.store_id))
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

struct Opened {
    store_id: [u8; 16],
    created: bool,
    log: LogDatabase,
    state: LogState,
    registry: Generation,
}

fn open_files(disk: &dyn Disk, new_store_id: [u8; 16], options: &StoreOptions) -> Result<Opened, StoreError> {
    let existing = match find(disk, options)? {
        Found::Store(log) => Some(log),
        Found::Nothing => None,
    };
    let created = existing.is_none();
    let store_id = match existing {
        Some(identity) => identity.store_id,
        None => {
            create(disk, new_store_id, options)?;
            new_store_id
        }
    };
    let (log, state) = LogDatabase::open(disk, options.log_cache_bytes, store_id)?;
    let registry = open_registry(disk, state.generation, store_id, options)?;
    for (file, number) in generation::files(disk)? {
        if number != state.generation {
            // An installation or a transfer left this file behind when the process ended.
            disk.remove(&file).map_err(StoreError::unusable)?;
        }
    }
    Ok(Opened { store_id, created, log, state, registry })
}

enum Found {
    Nothing,
    Store(Identity),
}

/// What is on the disk. The leftovers of an unfinished creation count as nothing.
fn find(disk: &dyn Disk, options: &StoreOptions) -> Result<Found, StoreError> {
    let creating = creation_was_interrupted(disk, options)?;
    if disk.exists(LOG_FILE).map_err(StoreError::unusable)? {
        match LogDatabase::identity(disk, options.log_cache_bytes) {
            Ok(Some(identity)) => return Ok(Found::Store(identity)),
            Ok(None) | Err(StoreError::Damaged { .. }) if creating => {}
            Ok(None) => {
                return Err(StoreError::damaged(LOG_FILE, "it does not say which store it belongs to"));
            }
            Err(error) => return Err(error),
        }
    } else if let Some((present, _)) = generation::files(disk)?.into_iter().next()
        && !creating
    {
        return Err(StoreError::Missing { missing: LOG_FILE.to_owned(), present });
    }
    Ok(Found::Nothing)
}

/// Whether the only registry file is one that was still being created. Then nothing was ever acknowledged.
fn creation_was_interrupted(disk: &dyn Disk, options: &StoreOptions) -> Result<bool, StoreError> {
    let files = generation::files(disk)?;
    let [(_, FIRST_GENERATION)] = files.as_slice() else { return Ok(false) };
    match Generation::open(disk, FIRST_GENERATION, options.registry_cache_bytes) {
        Ok((registry, identity)) => {
            db::close(&registry.file, registry.database)?;
            Ok(identity.is_none_or(|identity| identity.stage == Stage::Creating))
        }
        // Its creation may have been cut short before it was a database at all, but only if no log followed.
        Err(StoreError::Damaged { .. }) => Ok(!disk.exists(LOG_FILE).map_err(StoreError::unusable)?),
        Err(error) => Err(error),
    }
}

/// Creates both databases. Nothing is acknowledged before this returns, and until the last step the
/// registry's stage says so.
fn create(disk: &dyn Disk, store_id: [u8; 16], options: &StoreOptions) -> Result<(), StoreError> {
    for (file, _) in generation::files(disk)? {
        disk.remove(&file).map_err(StoreError::unusable)?;
    }
    for file in [LOG_FILE, MARK_FILE] {
        disk.remove(file).map_err(StoreError::unusable)?;
    }
    // A crash after this leaves a registry in the stage `Creating` and no log, so the creation starts over.
    let registry = Generation::create(disk, FIRST_GENERATION, store_id, options.registry_cache_bytes)?;
    // A crash after this leaves a log that knows its store. Opening it ends the creation.
    LogDatabase::create(disk, options.log_cache_bytes, store_id, FIRST_GENERATION)?;
    registry.make_ready(store_id, None)?;
    db::close(&registry.file, registry.database)
}

/// Opens the registry that the log names.
fn open_registry(
    disk: &dyn Disk,
    number: u64,
    store_id: [u8; 16],
    options: &StoreOptions,
) -> Result<Generation, StoreError> {
    let file = generation::file_name(number);
    if !disk.exists(&file).map_err(StoreError::unusable)? {
        return Err(StoreError::Missing { missing: file, present: LOG_FILE.to_owned() });
    }
    let (registry, identity) = Generation::open_checked(disk, number, options.registry_cache_bytes)?;
    let identity =
        identity.ok_or_else(|| StoreError::damaged(&file, "it does not say which store it belongs to"))?;
    if identity.store_id != store_id {
        return Err(StoreError::Mismatched {
            log: LOG_FILE.to_owned(),
            log_store: hex::encode(store_id),
            registry: file,
            registry_store: hex::encode(identity.store_id),
        });
    }
    if identity.stage == Stage::Creating {
        if number != FIRST_GENERATION {
            return Err(StoreError::damaged(&file, "it was never completed"));
        }
        // The creation was cut short at its last step.
        registry.make_ready(store_id, None)?;
    }
    Ok(registry)
}
