//! Opening a node's store: both databases must be of one store and at one generation.

use std::fmt;
use std::sync::Arc;

use crate::blocking::{RunBlocking, blocking};
use crate::database::LOG_FILE;
use crate::disk::Disk;
use crate::identity::{Identity, Stage};
use crate::log::{LogDatabase, LogEntry, LogState, LogStore, MARK_FILE};
use crate::open_database::OpenDatabase;
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

/// Opens each file once, so that each is checked once, and nothing is written to it before its check.
fn open_files(disk: &dyn Disk, new_store_id: [u8; 16], options: &StoreOptions) -> Result<Opened, StoreError> {
    let first = first_registry(disk, options)?;
    let (store_id, created, log, first) = match find(disk, options, first.creating)? {
        Found::Store(identity, log) => (identity.store_id, false, log, first.registry),
        Found::Nothing => {
            // Its file is removed next.
            drop(first);
            create(disk, new_store_id, options)?;
            let (log, _) = LogDatabase::look(disk, options.log_cache_bytes)?;
            (new_store_id, true, log, None)
        }
    };
    let (log, state) = LogDatabase::open(disk, log, store_id)?;
    let registry = open_registry(disk, state.generation, store_id, first, options)?;
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
    Store(Identity, OpenDatabase),
}

/// What is on the disk. The leftovers of an unfinished creation (`creating`) count as nothing.
fn find(disk: &dyn Disk, options: &StoreOptions, creating: bool) -> Result<Found, StoreError> {
    if disk.exists(LOG_FILE).map_err(StoreError::unusable)? {
        match LogDatabase::look(disk, options.log_cache_bytes) {
            Ok((log, Some(identity))) => return Ok(Found::Store(identity, log)),
            Ok((_, None)) | Err(StoreError::Damaged { .. }) if creating => {}
            Ok((_, None)) => {
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

/// A registry, and what its file says of itself.
type OpenedRegistry = (Generation, Option<Identity>);

/// The registry file that a creation makes.
struct FirstRegistry {
    /// Whether it is still being created. Then nothing was ever acknowledged.
    creating: bool,
    /// The open file, if it is the only registry file, and a database.
    registry: Option<OpenedRegistry>,
}

/// Opens the registry if its only file is the first one.
fn first_registry(disk: &dyn Disk, options: &StoreOptions) -> Result<FirstRegistry, StoreError> {
    let files = generation::files(disk)?;
    let [(_, FIRST_GENERATION)] = files.as_slice() else {
        return Ok(FirstRegistry { creating: false, registry: None });
    };
    match Generation::open(disk, FIRST_GENERATION, options.registry_cache_bytes) {
        Ok((registry, identity)) => {
            let creating = identity.as_ref().is_none_or(|identity| identity.stage == Stage::Creating);
            Ok(FirstRegistry { creating, registry: Some((registry, identity)) })
        }
        // Its creation may have been cut short before it was a database at all, but only if no log followed.
        Err(StoreError::Damaged { .. }) => {
            let creating = !disk.exists(LOG_FILE).map_err(StoreError::unusable)?;
            Ok(FirstRegistry { creating, registry: None })
        }
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
    registry.database.close()
}

/// Opens the registry that the log names, unless it is the `first` one, which is open already.
fn open_registry(
    disk: &dyn Disk,
    number: u64,
    store_id: [u8; 16],
    first: Option<OpenedRegistry>,
    options: &StoreOptions,
) -> Result<Generation, StoreError> {
    let file = generation::file_name(number);
    if !disk.exists(&file).map_err(StoreError::unusable)? {
        return Err(StoreError::Missing { missing: file, present: LOG_FILE.to_owned() });
    }
    let (registry, identity) = match first {
        Some(first) if number == FIRST_GENERATION => first,
        Some(_) | None => Generation::open(disk, number, options.registry_cache_bytes)?,
    };
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
