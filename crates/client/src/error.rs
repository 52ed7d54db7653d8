//! Why a call did not do what was asked, and what to do then.

use assent_api::Problem;
use assent_proof::{Cursor, History};

use crate::answer_shape::{UnreadDeny, UnreadRefusal};

/// Why a call did not do what was asked. No variant means that something may execute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client cannot be used like this.
    #[error("{detail}")]
    Config {
        /// What is wrong.
        detail: String,
    },
    /// No endpoint could do it within the deadline. Nothing was submitted.
    #[error("no endpoint could answer: {detail}")]
    Unavailable {
        /// What each endpoint said.
        detail: String,
        /// What the last node that answered said.
        problem: Option<Box<Problem>>,
    },
    /// A node refused it: for good, or for as long as the call could take (`membership_busy`).
    #[error("{}: {}{}", .0.code, .0.field.as_deref().map(|f| format!("`{f}` ")).unwrap_or_default(), .0.detail)]
    Refused(Box<Problem>),
    /// A node refused it in words that this build does not know, as a newer one may. Of a submission it is no definite refusal.
    #[error("{0}")]
    RefusalNotUnderstood(Box<UnreadRefusal>),
    /// A node denied in words that this build does not know, as a newer one may. It is a deny, and is obeyed.
    #[error("{0}")]
    DenyNotUnderstood(Box<UnreadDeny>),
    /// The envelope was sent and no node could say in time whether it was accepted. It may or may not be, also where all that answered
    /// was no node: that may have passed it on.
    #[error("the outcome of the submission is unknown: {detail}")]
    OutcomeUnknown {
        /// What happened on the way.
        detail: String,
    },
    /// All that answered is not what the API says: it may be no Assent node. Where another endpoint gave an answer, that counts; where
    /// another one gave none, the error is `Unavailable`, and says what stood at which endpoint. Of a submission it is
    /// `OutcomeUnknown` instead.
    #[error("`{endpoint}` gave an answer that is not the API's: {detail}")]
    Answer {
        /// The first endpoint that gave such an answer.
        endpoint: String,
        /// What is wrong with it, and with the answers of other endpoints.
        detail: String,
    },
    /// The cursor is of another history than the one that a quorum has confirmed to be in force: the cluster was recovered, or it
    /// is another cluster.
    #[error("{0}")]
    HistoryChanged(Box<HistoryChange>),
    /// The cursor lies beyond the ledger that a quorum has confirmed: in this very history less was written than the caller has read.
    #[error(
        "`{cursor}` lies beyond the ledger, which a quorum has confirmed to end at revision {ledger_revision}"
    )]
    BeyondLedger {
        /// Where the caller was.
        cursor: Cursor,
        /// The ledger's size.
        ledger_revision: u64,
    },
    /// An allow that must not be relied on: its receipt does not verify, it answers another question, it answers a permit and has no
    /// receipt of one, or it is over. No endpoint gave anything better.
    #[error("an allow that cannot be relied on: {detail}")]
    Untrusted {
        /// From which endpoints such allows came, what is wrong with each, and what the others said.
        detail: String,
    },
}

impl ClientError {
    /// The stable code: a node's own for what it refused, otherwise one of this client.
    pub fn code(&self) -> &'static str {
        match self {
            ClientError::Config { .. } => "config_invalid",
            ClientError::Unavailable { .. } => "unavailable",
            ClientError::Refused(problem) => problem.code.as_str(),
            ClientError::RefusalNotUnderstood(_) => "refusal_not_understood",
            ClientError::DenyNotUnderstood(_) => "deny_not_understood",
            ClientError::OutcomeUnknown { .. } => "outcome_unknown",
            ClientError::Answer { .. } => "answer_invalid",
            ClientError::HistoryChanged(_) => "history_mismatch",
            ClientError::BeyondLedger { .. } => "cursor_beyond_ledger",
            ClientError::Untrusted { .. } => "decision_untrusted",
        }
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        match self {
            ClientError::Config { .. } => "correct the client's configuration".to_owned(),
            ClientError::Unavailable { problem: Some(problem), .. } => problem.remedy.clone(),
            ClientError::Unavailable { .. } => {
                "check the endpoints and that a majority of the nodes runs, then try again".to_owned()
            }
            ClientError::Refused(problem) => problem.remedy.clone(),
            ClientError::RefusalNotUnderstood(_) => {
                "update this program to the version of the nodes; sign nothing else for the same slot before".to_owned()
            }
            ClientError::DenyNotUnderstood(_) => {
                "do not execute; update this program to the version of the nodes to learn what denies".to_owned()
            }
            ClientError::OutcomeUnknown { .. } => {
                "submit the same bytes again, and sign nothing else for the same slot; the answer is then the first receipt or a refusal"
                    .to_owned()
            }
            ClientError::Answer { .. } => {
                "check that the endpoint is an Assent node of this version".to_owned()
            }
            ClientError::HistoryChanged(change) => change.remedy(),
            ClientError::BeyondLedger { .. } => {
                "find out whether the cluster was founded anew or its disks were put back; then read again from the beginning"
                    .to_owned()
            }
            ClientError::Untrusted { .. } => {
                "do not execute; check the trusted node keys, the clock, and who answers at the endpoint"
                    .to_owned()
            }
        }
    }

    /// The problem document that a node answered, if one did.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused(problem) => Some(problem),
            ClientError::Unavailable { problem, .. } => problem.as_deref(),
            ClientError::Config { .. }
            | ClientError::RefusalNotUnderstood(_)
            | ClientError::DenyNotUnderstood(_)
            | ClientError::OutcomeUnknown { .. }
            | ClientError::Answer { .. }
            | ClientError::HistoryChanged(_)
            | ClientError::BeyondLedger { .. }
            | ClientError::Untrusted { .. } => None,
        }
    }

    /// Whether a node has said that these bytes were not taken: for a submission, for good.
    pub fn is_definite(&self) -> bool {
        matches!(self, ClientError::Refused(_))
    }
}

/// Where a caller was, and which history is in force instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{cursor}` is of another history than `{in_force}`, which is in force")]
pub struct HistoryChange {
    /// Where the caller was.
    pub cursor: Cursor,
    /// The history that a quorum has confirmed to be in force.
    pub in_force: History,
    /// The revision up to and with which both are the same; 0 for another cluster, none where the cluster has not come to the
    /// cursor's epoch.
    pub shared_revision: Option<u64>,
}

impl HistoryChange {
    /// From where to read on in the history in force: where the caller was, or where the two histories part, if that is earlier.
    pub fn resume_at(&self) -> Cursor {
        let shared = self.shared_revision.unwrap_or(0);
        Cursor { history: self.in_force, revision: shared.min(self.cursor.revision) }
    }

    /// Whether it is a later life of the same cluster: root has recovered it, and no earlier one comes back.
    pub fn is_later(&self) -> bool {
        let before = self.cursor.history;
        self.in_force.cluster() == before.cluster() && self.in_force.epoch() > before.epoch()
    }

    /// Whether all that the caller has read is part of the history in force.
    pub fn keeps_all(&self) -> bool {
        self.resume_at().revision == self.cursor.revision
    }

    /// What to do about it, in one line.
    pub fn remedy(&self) -> String {
        let from = self.resume_at();
        match self.shared_revision {
            None => "ask the nodes of the recovered cluster: those that answered have not come to this epoch"
                .to_owned(),
            Some(_) if self.keeps_all() => format!("all that was read is part of it: go on after `{from}`"),
            Some(_) => format!(
                "what was read after `{from}` is not part of it: take it back, and read again after that"
            ),
        }
    }
}
