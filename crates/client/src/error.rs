//! The error of a call: why it did not do what was asked, its stable code, and its remedy.

use assent_api::Problem;
use assent_proof::{Cursor, History};

use crate::answer_shape::{UnreadDeny, UnreadRefusal};
use crate::tls_failure::{Refusing, TlsFailure};

/// Why a call did not do what was asked. No variant means that something may execute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client was configured wrongly.
    #[error("{detail}")]
    Config {
        /// What is wrong.
        detail: String,
        /// What to do about it, in one line.
        remedy: String,
    },
    /// No endpoint could carry out the call within the deadline. Nothing was submitted.
    #[error("no endpoint could answer: {detail}")]
    Unavailable {
        /// What each endpoint said.
        detail: String,
        /// What the last node that answered said.
        problem: Option<Box<Problem>>,
    },
    /// No node answered, and with at least one endpoint there was no connection because of TLS: this side refused the
    /// node's certificate, or the node refused this caller's, or the two do not speak the same protocol. Nothing was
    /// submitted.
    #[error("no endpoint could be asked: {}", .0.detail)]
    Tls(Box<TlsFailure>),
    /// A node refused the call: finally, or for as long as the call could take (`membership_busy`).
    #[error("{}: {}{}", .0.code, .0.field.as_deref().map(|f| format!("`{f}` ")).unwrap_or_default(), .0.detail)]
    Refused(Box<Problem>),
    /// A node refused the call with a code or in a form that this build does not know, as a newer node may. For a
    /// submission this is not a definite refusal.
    #[error("{0}")]
    RefusalNotUnderstood(Box<UnreadRefusal>),
    /// A node denied with a code or in a form that this build does not know, as a newer node may, or the node's answer
    /// broke off. It is a deny, and the caller must obey it.
    #[error("{0}")]
    DenyNotUnderstood(Box<UnreadDeny>),
    /// The envelope was sent, and no node could say in time whether it was accepted. It may or may not be accepted.
    /// This holds even if no node answered but another service did, which may have passed the envelope on.
    #[error("the outcome of the submission is unknown: {detail}")]
    OutcomeUnknown {
        /// What happened on the way.
        detail: String,
    },
    /// No endpoint gave an answer of the API, so there may be no Assent node at these endpoints. If one endpoint gives
    /// an answer of the API, that answer counts instead. If one endpoint gives no answer at all, the error is
    /// `Unavailable` instead, and says what answered at which endpoint. For a submission, the error is
    /// `OutcomeUnknown` instead.
    #[error("`{endpoint}` gave an answer that is not the API's: {detail}")]
    Answer {
        /// The first endpoint that gave such an answer.
        endpoint: String,
        /// What is wrong with it, and with the answers of other endpoints.
        detail: String,
    },
    /// The cursor belongs to another history than the one that a quorum has confirmed to be in force: the cluster was
    /// recovered, or it is another cluster.
    #[error("{0}")]
    HistoryChanged(Box<HistoryChange>),
    /// The cursor lies beyond the ledger that a quorum has confirmed: in this history, less was written than the
    /// caller has read.
    #[error(
        "`{cursor}` lies beyond the ledger, which a quorum has confirmed to end at revision {ledger_revision}"
    )]
    BeyondLedger {
        /// Where the caller was.
        cursor: Cursor,
        /// The ledger's size.
        ledger_revision: u64,
    },
    /// An allow that must not be relied on: its receipt does not verify, it answers another request, it answers a
    /// request for a permit and has no permit's receipt, or it has run out. No endpoint gave a better answer.
    #[error("an allow that cannot be relied on: {detail}")]
    Untrusted {
        /// The endpoints that gave such allows, what is wrong with each allow, and what the other endpoints said.
        detail: String,
    },
}

impl ClientError {
    /// The error of a client that was configured wrongly.
    pub(crate) fn config(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        ClientError::Config { detail: detail.into(), remedy: remedy.into() }
    }

    /// The stable code: the node's code if a node refused the call, otherwise a code of this client.
    pub fn code(&self) -> &'static str {
        match self {
            ClientError::Config { .. } => "config_invalid",
            ClientError::Unavailable { .. } => "unavailable",
            ClientError::Tls(failure) => match failure.refusing {
                Refusing::Caller => "node_certificate_refused",
                Refusing::Node => "caller_certificate_refused",
                Refusing::Neither => "tls_failed",
            },
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
            ClientError::Config { remedy, .. } => remedy.clone(),
            ClientError::Unavailable { problem: Some(problem), .. } => problem.remedy.clone(),
            ClientError::Unavailable { .. } => {
                "check the endpoints and that a majority of the nodes runs, then try again".to_owned()
            }
            ClientError::Tls(failure) => failure.remedy.clone(),
            ClientError::Refused(problem) => problem.remedy.clone(),
            ClientError::RefusalNotUnderstood(refusal) if !refusal.is_of_submission => {
                "update this program to the version of the nodes to learn what was refused".to_owned()
            }
            ClientError::RefusalNotUnderstood(_) => {
                "update this program to the version of the nodes; sign nothing else for the same slot before".to_owned()
            }
            ClientError::DenyNotUnderstood(deny) if deny.spoilt.is_some() => {
                "do not execute; ask again to learn what denies, and check who answers at the endpoint".to_owned()
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
                "find out whether the cluster was founded again or its disks were restored; then read again from the beginning"
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
            | ClientError::Tls(_)
            | ClientError::RefusalNotUnderstood(_)
            | ClientError::DenyNotUnderstood(_)
            | ClientError::OutcomeUnknown { .. }
            | ClientError::Answer { .. }
            | ClientError::HistoryChanged(_)
            | ClientError::BeyondLedger { .. }
            | ClientError::Untrusted { .. } => None,
        }
    }

    /// Whether a node has definitely refused these bytes. For a submission this is final.
    pub fn is_definite(&self) -> bool {
        matches!(self, ClientError::Refused(_))
    }
}

/// The place at which a caller was, and the history that is in force instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{cursor}` is of another history than `{in_force}`, which is in force")]
pub struct HistoryChange {
    /// Where the caller was.
    pub cursor: Cursor,
    /// The history that a quorum has confirmed to be in force.
    pub in_force: History,
    /// The last revision that both histories have in common; 0 for another cluster, `None` if the cluster has not come
    /// to the cursor's epoch.
    pub shared_revision: Option<u64>,
}

impl HistoryChange {
    /// The place from which to continue in the history in force: the place at which the caller was, or the place at
    /// which the two histories part if that is earlier.
    pub fn resume_at(&self) -> Cursor {
        let shared = self.shared_revision.unwrap_or(0);
        Cursor { history: self.in_force, revision: shared.min(self.cursor.revision) }
    }

    /// Whether the history in force is a later epoch of the same cluster. Root has then recovered the cluster, and no
    /// earlier epoch comes back.
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
