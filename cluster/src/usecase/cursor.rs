//! Where a caller's cursor lies, and the answer to a cursor that is not in this ledger.
//!
//! Only a quorum can confirm that a caller has seen more than the ledger holds, or another history: this node may be
//! behind, or it may be a new member that has not applied a recovery yet. So if a cursor does not lie in this node's
//! ledger, the node looks again behind a read barrier. Without a quorum the answer is that this is not known.

use assent_api::Problem;
use assent_proof::{Cursor, History, Millis};
use assent_registry::query::{self, Located};
use assent_registry::{RowError, Rows};

use super::problem::{CursorError, ReadError};
use super::{Caller, Parts, Service, Shed};
use crate::env::blocking;

impl Parts {
    /// The end of the ledger by what this node has applied: its size and the history of that size, both at one
    /// moment.
    pub(crate) fn ledger(&self) -> Cursor {
        // The registry is founded before anything is served. If it were not, the ledger would be at the beginning of
        // the first history.
        let found = self.storage.applied.borrow().ledger();
        found.unwrap_or_else(|| Cursor { history: self.identity.cluster_id.into(), revision: 0 })
    }

    /// The history that this node is in, by what it has applied.
    pub(crate) fn history(&self) -> History {
        self.ledger().history
    }
}

impl Service {
    /// Passes if the cursor lies in the ledger of the history in force. No cursor means the beginning of the ledger,
    /// in whichever history is in force. Returns where to continue.
    ///
    /// # Errors
    /// Where the cursor lies instead, as a quorum confirms it, or why that is not known.
    pub(super) async fn located(&self, cursor: Option<Cursor>) -> Result<Cursor, CursorError> {
        if let (Located::Here, cursor) = self.locate(cursor).await? {
            return Ok(cursor);
        }
        self.confirmed().await?;
        let (located, cursor) = self.locate(cursor).await?;
        CursorError::of(cursor, located).map_or(Ok(cursor), Err)
    }

    /// Where the cursor lies by what this node has applied.
    async fn locate(&self, cursor: Option<Cursor>) -> Result<(Located, Cursor), ReadError> {
        let parts = self.parts();
        let Some(cursor) = cursor else {
            return Ok((Located::Here, Cursor { history: parts.history(), revision: 0 }));
        };
        let registry = parts.storage.registry.clone();
        let look = move || -> Result<Located, RowError> {
            let view = registry.view()?;
            query::locate(&view, cursor)
        };
        match blocking(&*parts.env.blocking, look).await {
            Ok(Ok(located)) => Ok((located, cursor)),
            Ok(Err(error)) => Err(ReadError::Unreadable(parts.unread(&error))),
            Err(lost) => Err(ReadError::Shed(Shed::from(lost))),
        }
    }

    /// Reads behind a barrier, if the cursor lies in the ledger that is read.
    ///
    /// # Errors
    /// Those of [`Service::read`], and `history_mismatch` and `cursor_beyond_ledger`.
    pub async fn read_on<T: Send + 'static>(
        &self,
        caller: &Caller,
        cursor: Option<Cursor>,
        read: impl FnOnce(&dyn Rows, Millis) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, Box<Problem>> {
        let Some(cursor) = cursor else { return self.read(caller, read).await };
        Ok(self.read_located(cursor, read).await?)
    }

    /// Like [`read_on`](Self::read_on), for use cases and from a cursor.
    async fn read_located<T: Send + 'static>(
        &self,
        cursor: Cursor,
        read: impl FnOnce(&dyn Rows, Millis) -> Result<T, RowError> + Send + 'static,
    ) -> Result<T, CursorError> {
        let found = self.read_confirmed(move |rows, now| {
            match CursorError::of(cursor, query::locate(rows, cursor)?) {
                None => read(rows, now).map(Ok),
                Some(elsewhere) => Ok(Err(elsewhere)),
            }
        });
        found.await?
    }
}
