//! An open redb database: how it is opened, checked, and closed or left.
//!
//! redb may panic over damaged pages instead of answering an error, and a panic inside one of its write
//! transactions can meet a second one in a destructor, which aborts the process. It writes not only when it is
//! told to: to close a database it commits the state of its allocator, for which it walks the trees of freed
//! pages. So
//!
//! * a file is opened only with a check of every page, before redb writes to it on their strength;
//! * a database in which damage was found, or in whose use redb panicked, is *doubted*: it is never closed in
//!   that way again, but *left*. Its file is taken away from redb as a crash of the process would take it.
//!
//! To leave a database is always safe: the next start finds what the last durable commit left, as it does
//! after a crash.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction,
};

use crate::disk::{Backend, Disk};
use crate::{StoreError, panics};

/// What [`failed`] calls a database before [`Doubt::noted`] names its file.
const UNNAMED: &str = "a database";

/// A database that is open. When it is dropped it is closed, or left if it is doubted.
pub(crate) struct OpenDatabase {
    /// `None` only while it is being closed.
    database: Option<Database>,
    /// The file that redb has, to take it away.
    backend: Backend,
    doubt: Doubt,
}

impl OpenDatabase {
    /// Opens `file`, creating an empty database if there is none, and checks every page against its checksum.
    /// This takes as long as reading the whole file. A row's own checksum detects that the row changed. Only
    /// the pages' checksums detect that a row cannot be found any more, and that redb's own pages changed,
    /// among them its record of free pages, which it otherwise trusts after a clean end.
    pub(crate) fn open(disk: &dyn Disk, file: &str, cache_bytes: usize) -> Result<Self, StoreError> {
        let name = file.to_owned();
        let progress = move |session: &mut redb::RepairSession| {
            if session.progress() == 0.0 {
                tracing::info!(file = name, "checking every page of the database");
            } else {
                tracing::debug!(
                    file = name,
                    done = session.progress(),
                    "checking every page of the database"
                );
            }
        };
        let opened = disk.open(file).map_err(|error| StoreError::Unusable(format!("`{file}`: {error}")))?;
        let (backend, doubt) = (Backend::new(opened), Doubt::new(file));
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true).set_repair_callback(progress);
        let created = caught(file, || builder.create_with_backend(backend.clone()));
        match created.and_then(|created| created.map_err(|error| misused(file, error))) {
            Ok(database) => Ok(Self { database: Some(database), backend, doubt }),
            Err(error) => {
                // redb closes the file of a database that it does not open, but not if it panics.
                let _ = backend.take_away();
                Err(error)
            }
        }
    }

    /// A consistent state to read from.
    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        let database = self.database.as_ref().ok_or(StoreError::Closed)?;
        self.doubt.noted(database.begin_read().map_err(failed))
    }

    /// The one write transaction.
    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let database = self.database.as_ref().ok_or(StoreError::Closed)?;
        self.doubt.noted(database.begin_write().map_err(failed))
    }

    /// Whether this database is doubted.
    pub(crate) fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    /// Closes the database, which will not be used. Dropping it would close it too, but hide a failure: its
    /// pages may then never reach the disk, although the next process that opens it reads them and its next
    /// fsync succeeds.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        self.close_or_leave()
    }

    fn close_or_leave(&mut self) -> Result<(), StoreError> {
        let Some(database) = self.database.take() else { return Ok(()) };
        let file = self.doubt.file();
        if self.doubt.is_raised() || std::thread::panicking() {
            tracing::warn!(file, "the database is left as it is: it is damaged, or its use was broken off");
            let left = self.backend.take_away();
            // redb's destructor would commit, and may panic over the damage in a place where that aborts the
            // process. What leaks is memory, at most the database's cache, of a store that is at its end: its
            // file is closed, so a later start, in this process or another, can open it.
            std::mem::forget(database);
            return left.map_err(|error| StoreError::Unusable(format!("`{file}`: {error}")));
        }
        let closed =
            caught(file, || database.close()).and_then(|closed| closed.map_err(|error| misused(file, error)));
        // If redb panicked, it may still hold the file.
        let _ = self.backend.take_away();
        closed
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        if let Err(error) = self.close_or_leave() {
            // What was acknowledged is durable without this, and the next start checks the whole file.
            tracing::debug!(%error, "a database could not be closed");
        }
    }
}

/// Whether a database is doubted: damage was found in it, or redb panicked in its use. Clones share it. It
/// never ends.
#[derive(Clone)]
pub(crate) struct Doubt {
    raised: Arc<AtomicBool>,
    file: Arc<str>,
}

impl Doubt {
    fn new(file: &str) -> Self {
        Self { raised: Arc::new(AtomicBool::new(false)), file: file.into() }
    }

    /// The database's file.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The database is doubted from here on.
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Release);
    }

    fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Passes on what a use of the database answered. An error that shows damage raises the doubt, and names
    /// the file.
    pub(crate) fn noted<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.map_err(|error| match error {
            StoreError::Damaged { file, problem } => {
                self.raise();
                let file = if file == UNNAMED { self.file.as_ref().to_owned() } else { file };
                StoreError::Damaged { file, problem }
            }
            StoreError::Row(_) => {
                self.raise();
                error
            }
            StoreError::Unusable(_)
            | StoreError::Poisoned(_)
            | StoreError::Closed
            | StoreError::Format { .. }
            | StoreError::Version { .. }
            | StoreError::Mismatched { .. }
            | StoreError::Missing { .. }
            | StoreError::Gap { .. }
            | StoreError::Snapshot(_) => error,
        })
    }

    /// Uses the database. If redb panics, that is damage.
    pub(crate) fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.noted(caught(&self.file, work).flatten())
    }

    /// Raises the doubt if the answer is dropped by a panic.
    pub(crate) fn raised_by_a_panic(&self) -> RaisedByPanic {
        RaisedByPanic(self.clone())
    }
}

/// See [`Doubt::raised_by_a_panic`].
pub(crate) struct RaisedByPanic(Doubt);

impl Drop for RaisedByPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise();
        }
    }
}

/// Turns a redb error into one of this crate. [`Doubt::noted`] adds the file's name.
pub(crate) fn failed(error: impl Into<redb::Error>) -> StoreError {
    use redb::Error::{
        Corrupted, Io, TableIsMultimap, TableIsNotMultimap, TableTypeMismatch, TypeDefinitionChanged,
    };
    match error.into() {
        // Each table is opened as the type that a build made it with. If the type differs now, its
        // description changed on the disk.
        changed @ (TableTypeMismatch { .. }
        | TypeDefinitionChanged { .. }
        | TableIsMultimap(_)
        | TableIsNotMultimap(_)) => StoreError::damaged(UNNAMED, changed),
        Corrupted(problem) => StoreError::damaged(UNNAMED, problem),
        Io(error) if shows_damage(&error) => StoreError::damaged(UNNAMED, error),
        other => StoreError::unusable(other),
    }
}

/// The error for a problem that redb reports of the database in `file` as a whole.
fn misused(file: &str, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            StoreError::Unusable(format!("`{file}` is open in another process"))
        }
        DatabaseError::Storage(StorageError::Corrupted(problem)) => StoreError::damaged(file, problem),
        DatabaseError::Storage(StorageError::Io(error)) if shows_damage(&error) => {
            StoreError::damaged(file, error)
        }
        DatabaseError::UpgradeRequired(found) => StoreError::damaged(
            file,
            format!("it names redb's file format {found}, which no build has written"),
        ),
        other => StoreError::Unusable(format!("`{file}`: {other}")),
    }
}

/// Whether a file was readable, but not what redb wrote or not as long.
fn shows_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// Runs `work`, in which redb may panic over a damaged `file` instead of answering an error.
fn caught<T>(file: &str, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    // What the work held is dropped with it, and the database is doubted from here on.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        StoreError::damaged(file, format!("redb panicked over its structure: {}", panics::text(&*panic)))
    })
}
