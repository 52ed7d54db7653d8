//! Where a caller's cursor lies, and what it is told if that is not in this ledger.
//!
//! Only a quorum can say that a caller has seen more than there is, or another history: this node may be behind, or a new
//! member that has not come to a recovery yet. So what does not lie here is looked at again behind a read barrier, and
//! without a quorum the answer is that nobody knows.

use assent_api::{Call, Problem, status_of};
use assent_proof::{Code, Cursor, History, Millis};
use assent_registry::query::{self, Located};
use assent_registry::{RowError, Rows};

use super::{Caller, Parts, Service, Shed};
use crate::env::blocking;

impl Parts {
    /// The end of the ledger, by what this node has applied: its size and the history that the size is of, both of one moment.
    pub(crate) fn ledger(&self) -> Cursor {
        // Founded before anything is served; were it not, it would be at the beginning of the first one.
        let found = self.storage.applied.borrow().ledger();
        found.unwrap_or_else(|| Cursor { history: self.identity.cluster_id.into(), revision: 0 })
    }

    /// The history that this node is in, by what it has applied.
    pub(crate) fn history(&self) -> History {
        self.ledger().history
    }
}

impl Service {
    /// Passes if the cursor lies in the ledger of the history in force. Without one, its beginning is meant, in whichever
    /// history that is. Answers where to go on.
    ///
    /// # Errors
    /// `history_mismatch` and `cursor_beyond_ledger` as a quorum confirms them, `no_quorum` without one, `evidence_mutated` where the
    /// registry cannot be read.
    pub(super) async fn located(&self, cursor: Option<Cursor>) -> Result<Cursor, Box<Problem>> {
        if let (Located::Here, cursor) = self.locate(cursor).await? {
            return Ok(cursor);
        }
        self.confirmed().await?;
        let (located, cursor) = self.locate(cursor).await?;
        refused(cursor, located)?;
        Ok(cursor)
    }

    /// Where the cursor lies by what this node has applied.
    async fn locate(&self, cursor: Option<Cursor>) -> Result<(Located, Cursor), Box<Problem>> {
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
            Ok(Err(error)) => Err(unread(parts.unread(&error))),
            Err(lost) => Err(Shed::from(lost).problem(Call::Read)),
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
        let found = self.read(caller, move |rows, now| match query::locate(rows, cursor)? {
            Located::Here => read(rows, now).map(Ok),
            elsewhere @ (Located::Beyond { .. } | Located::Elsewhere { .. }) => Ok(Err(elsewhere)),
        });
        match found.await? {
            Ok(found) => Ok(found),
            Err(elsewhere) => match refused(cursor, elsewhere) {
                Err(problem) => Err(problem),
                // It was refused because it does not lie here.
                Ok(()) => Err(unread("a cursor lies here and elsewhere".to_owned())),
            },
        }
    }
}

fn unread(detail: String) -> Box<Problem> {
    Box::new(Problem::new(Code::EvidenceMutated, status_of(Code::EvidenceMutated, Call::Read), detail))
}

/// Why a cursor is no place to go on from, once a quorum has confirmed the ledger.
fn refused(cursor: Cursor, located: Located) -> Result<(), Box<Problem>> {
    let problem = |code, detail: String| Problem::new(code, status_of(code, Call::Read), detail);
    let Cursor { history, revision } = cursor;
    let problem = match located {
        Located::Here => return Ok(()),
        Located::Beyond { revision: size } => Problem {
            history: Some(history),
            ledger_revision: Some(size),
            ..problem(
                Code::CursorBeyondLedger,
                format!(
                    "revision {revision} of history `{history}` lies beyond its ledger, which a quorum has confirmed to end at {size}"
                ),
            )
        },
        Located::Elsewhere { in_force, shared } => {
            let other = format!("history `{history}` is not the one in force, which is `{in_force}`");
            let then = match shared {
                None => {
                    "it is of an epoch that this cluster has not come to: ask the nodes of the recovered one"
                        .to_owned()
                }
                Some(0) => "they share nothing: read again from the beginning".to_owned(),
                Some(shared) if revision <= shared => format!(
                    "both are the same up to revision {shared}, so nothing up to {revision} has changed: go on after it in the history \
                     in force"
                ),
                Some(shared) => format!(
                    "both are the same up to revision {shared}, and what came after it up to {revision} is not in the history in force: \
                     read again after {shared}"
                ),
            };
            Problem {
                history: Some(in_force),
                shared_revision: shared,
                ..problem(Code::HistoryMismatch, format!("{other}; {then}"))
            }
        }
    };
    Err(Box::new(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(epoch: u64) -> History {
        History::new([7; 32], epoch).unwrap()
    }

    #[test]
    fn a_cursor_that_does_not_lie_here_is_told_whether_its_caller_can_go_on_and_from_where() {
        let at = |revision| Cursor { history: history(1), revision };
        assert_eq!(refused(at(9), Located::Here), Ok(()));
        let elsewhere = |shared| Located::Elsewhere { in_force: history(2), shared };
        for (revision, shared, says) in [
            (9, Some(9), "go on after it in the history in force"),
            (10, Some(9), "read again after 9"),
            (0, Some(0), "read again from the beginning"),
            (9, None, "has not come to"),
        ] {
            let problem = refused(at(revision), elsewhere(shared)).unwrap_err();
            assert_eq!((problem.code, problem.status), (Code::HistoryMismatch, 409));
            assert_eq!((problem.history, problem.shared_revision), (Some(history(2)), shared));
            assert!(problem.detail.contains(says), "{}", problem.detail);
        }
        let problem = refused(at(9), Located::Beyond { revision: 8 }).unwrap_err();
        assert_eq!((problem.code, problem.status), (Code::CursorBeyondLedger, 409));
        assert_eq!((problem.history, problem.ledger_revision), (Some(history(1)), Some(8)));
    }
}
