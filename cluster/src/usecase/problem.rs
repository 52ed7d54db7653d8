//! How callers are told about failures. Only here, among the use cases, a failure gets its code and its status.
//!
//! An operation whose failures the use cases tell apart has an enum of its own here. `shed.rs`, `barrier.rs`,
//! `pending.rs`, `silenced.rs` and `anchor/unsure.rs` have theirs in their own files. HTTP renders these problems,
//! and chooses no status for them. It chooses a status only for requests that never reach a use case, such as a
//! method that a path does not take.

use assent_api::{Call, Problem, Retry, retry_of, status_of};
use assent_proof::{Code, Cursor, History, Refusal};
use assent_registry::query::Located;

use super::anchor::Unsure;
use super::barrier::BarrierError;
use super::pending::Failure;
use super::shed::Shed;
use super::silenced::Silenced;
use crate::access::Denial;

/// A problem of this code in this kind of call.
pub(super) fn problem(code: Code, call: Call, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(code, status_of(code, call), detail))
}

/// A refusal as the answer to a call of this kind.
pub(crate) fn of_refusal(refusal: &Refusal, call: Call) -> Box<Problem> {
    Box::new(Problem::from_refusal(refusal, status_of(refusal.code, call)))
}

/// Why a caller may not make a call. The status is 401 if the node does not know the caller, because other credentials
/// would help, and otherwise that of the code.
pub(crate) fn not_permitted(denial: &Denial, call: Call) -> Box<Problem> {
    let code = Code::CallerNotPermitted;
    let status = if denial.unknown { 401 } else { status_of(code, call) };
    Box::new(Problem::new(code, status, denial.detail.as_str()))
}

/// Why a change of the cluster is not made that the audit trail does not have.
pub(crate) fn not_audited(why: &str, call: Call) -> Box<Problem> {
    let detail = format!("nothing was changed, because the audit trail does not have the call: {why}");
    problem(Code::Overloaded, call, detail)
}

/// Why this node is not ready. Another node may be ready, so the status is 503, whatever status the code has
/// elsewhere.
pub(super) fn not_ready(refusal: &Refusal) -> Box<Problem> {
    Box::new(Problem::from_refusal(refusal, 503))
}

/// Whether a submission that is refused with this code was judged. With any other code, the node could not judge it
/// at that time, and the same bytes may be submitted again.
pub(super) fn is_settled(code: Code) -> bool {
    retry_of(code, Call::Submission) == Retry::Final
}

/// Why a submission has no outcome.
///
/// Rule R156 (RFC-EG-033 §4, synchronization ambiguity): A submission that was certainly not proposed,
/// because there was no quorum or no sure clock, is answered with 503, and one whose outcome is unknown with
/// 504.
pub(super) fn of_failure(failure: &Failure) -> Box<Problem> {
    match failure {
        Failure::NoQuorum(detail) => problem(Code::NoQuorum, Call::Submission, detail),
        Failure::Unknown(detail) => Box::new(Problem::unknown_outcome(detail)),
        Failure::ClockUncertain(None) => {
            problem(Code::ClockUncertain, Call::Submission, "the leader does not trust its clock")
        }
        Failure::ClockUncertain(Some(unsure)) => unsure.problem(Call::Submission),
        Failure::Overloaded(detail) => problem(Code::Overloaded, Call::Submission, detail),
    }
}

impl Shed {
    /// The problem that answers a call of which nothing was done.
    pub(crate) fn problem(&self, call: Call) -> Box<Problem> {
        of_refusal(&self.refusal(), call)
    }
}

impl Unsure {
    /// The problem, with its own remedy.
    pub(super) fn problem(self, call: Call) -> Box<Problem> {
        let uncertain = *problem(Code::ClockUncertain, call, self.detail());
        Box::new(Problem { remedy: self.remedy().to_owned(), ..uncertain })
    }
}

impl Silenced {
    /// Why this node is not ready.
    pub(super) fn problem(self) -> Box<Problem> {
        let remedy = self.remedy().to_owned();
        let silenced = *not_ready(&Refusal::new(self.code, self.detail));
        Box::new(Problem { remedy, ..silenced })
    }
}

impl BarrierError {
    /// The code of a denial or a refusal because the barrier was not passed.
    pub(super) fn code(&self) -> Code {
        match self {
            BarrierError::Overloaded(_) => Code::Overloaded,
            BarrierError::NoQuorum(_) | BarrierError::NotVoter | BarrierError::Fatal(_) => Code::NoQuorum,
        }
    }
}

/// Why nothing was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The node cannot go on, for this reason.
    Ended(String),
    /// No barrier was passed, so no quorum has confirmed the state.
    Unconfirmed(BarrierError),
    /// The registry cannot be read.
    Unreadable(String),
    /// The node did not look at anything.
    Shed(Shed),
}

impl From<ReadError> for Box<Problem> {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Ended(cause) => problem(Code::NoQuorum, Call::Read, cause),
            ReadError::Unconfirmed(error) => problem(error.code(), Call::Read, error.to_string()),
            ReadError::Unreadable(detail) => problem(Code::EvidenceMutated, Call::Read, detail),
            ReadError::Shed(shed) => shed.problem(Call::Read),
        }
    }
}

/// Why a caller cannot continue from its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CursorError {
    /// The cursor's revision lies beyond the ledger of its history.
    Beyond {
        /// The caller's cursor.
        cursor: Cursor,
        /// The ledger's size.
        size: u64,
    },
    /// The cursor's history is not the one in force.
    Elsewhere {
        /// The caller's cursor.
        cursor: Cursor,
        /// The history in force.
        in_force: History,
        /// The last revision that both histories share, or none if this cluster has not reached the cursor's epoch.
        shared: Option<u64>,
    },
    /// It is not known where the cursor lies.
    Read(ReadError),
}

impl CursorError {
    /// Why the caller cannot continue from this cursor, or none if it lies in this ledger.
    pub(super) fn of(cursor: Cursor, located: Located) -> Option<Self> {
        match located {
            Located::Here => None,
            Located::Beyond { revision: size } => Some(Self::Beyond { cursor, size }),
            Located::Elsewhere { in_force, shared } => Some(Self::Elsewhere { cursor, in_force, shared }),
        }
    }
}

impl From<ReadError> for CursorError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<CursorError> for Box<Problem> {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Beyond { cursor: Cursor { history, revision }, size } => {
                let detail = format!(
                    "revision {revision} of history `{history}` lies beyond its ledger, which a quorum has confirmed to end at {size}"
                );
                let beyond = *problem(Code::CursorBeyondLedger, Call::Read, detail);
                Box::new(Problem { history: Some(history), ledger_revision: Some(size), ..beyond })
            }
            CursorError::Elsewhere { cursor, in_force, shared } => {
                let history = cursor.history;
                let other = format!("history `{history}` is not the one in force, which is `{in_force}`");
                let detail = format!("{other}; {}", going_on(cursor.revision, shared));
                let mismatch = *problem(Code::HistoryMismatch, Call::Read, detail);
                Box::new(Problem { history: Some(in_force), shared_revision: shared, ..mismatch })
            }
            CursorError::Read(error) => error.into(),
        }
    }
}

/// How a caller continues whose other history goes up to `revision`, if the one in force shares everything up to
/// `shared`.
fn going_on(revision: u64, shared: Option<u64>) -> String {
    match shared {
        None => {
            "it belongs to an epoch that this cluster has not reached: ask the nodes of the recovered cluster"
                .to_owned()
        }
        Some(0) => "they share nothing: read again from the beginning".to_owned(),
        Some(shared) if revision <= shared => format!(
            "both are the same up to revision {shared}, so nothing up to {revision} has changed: go on after it in the history in force"
        ),
        Some(shared) => format!(
            "both are the same up to revision {shared}, and what came after it up to {revision} is not in the history in force: read \
             again after {shared}"
        ),
    }
}

/// Why there is no digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DigestError {
    /// The node makes as many digests as it may make at once.
    Busy {
        /// The number that it may make.
        at_once: usize,
    },
    /// The registry cannot be read.
    Unreadable(String),
    /// The node did not look at anything.
    Shed(Shed),
}

impl From<DigestError> for Box<Problem> {
    fn from(error: DigestError) -> Self {
        match error {
            DigestError::Busy { at_once } => {
                let detail = format!("a node makes at most {at_once} digest at a time, and one is under way");
                problem(Code::Overloaded, Call::Read, detail)
            }
            DigestError::Unreadable(detail) => problem(Code::EvidenceMutated, Call::Read, detail),
            DigestError::Shed(shed) => shed.problem(Call::Read),
        }
    }
}

/// Why it is not known that the membership is as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MembershipError {
    /// It was refused, and nothing was changed.
    Refused(Refusal),
    /// No leader took the change in time, and nothing was changed. The text is the last answer.
    NotDone(String),
    /// The change may have been made, or may still be made. The text is the last answer.
    Unknown(String),
}

impl From<MembershipError> for Box<Problem> {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::Refused(refusal) => of_members_refusal(&refusal),
            MembershipError::NotDone(last) => {
                problem(Code::NoQuorum, Call::Manage, format!("nothing was changed: {last}"))
            }
            MembershipError::Unknown(last) => {
                let detail = format!("it may have been done, or may still be: {last}");
                problem(Code::NoQuorum, Call::Manage, detail)
            }
        }
    }
}

/// A leader's refusal. A leader that is not sure of its clock refuses with one text, which ends with the remedy.
fn of_members_refusal(refusal: &Refusal) -> Box<Problem> {
    let told = of_refusal(refusal, Call::Manage);
    let of_clock = refusal.code == Code::ClockUncertain;
    let apart = Some(refusal.detail.as_str()).filter(|_| of_clock).and_then(Unsure::split_text);
    match apart {
        Some((detail, remedy)) => {
            Box::new(Problem { detail: detail.to_owned(), remedy: remedy.to_owned(), ..*told })
        }
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::BlockingError;

    fn history(epoch: u64) -> History {
        History::new([7; 32], epoch).unwrap()
    }

    #[test]
    fn an_unevaluated_call_gets_a_status_that_sends_the_caller_to_another_node() {
        let all = [Shed::Overloaded("o".to_owned()), Shed::Late("l".to_owned()), Shed::from(BlockingError)];
        for shed in all {
            for call in [Call::Authorize, Call::Submission, Call::Read] {
                let problem = shed.problem(call);
                assert!(matches!(problem.status, 429 | 503), "{shed:?} {problem:?}");
                assert!(!problem.is_outcome_unknown(), "nothing was proposed");
            }
        }
    }

    #[test]
    fn a_cursor_outside_this_ledger_is_answered_with_whether_and_where_to_continue() {
        let at = |revision| Cursor { history: history(1), revision };
        let told = |cursor, located| CursorError::of(cursor, located).map(Box::<Problem>::from);
        assert_eq!(told(at(9), Located::Here), None);
        let elsewhere = |shared| Located::Elsewhere { in_force: history(2), shared };
        for (revision, shared, says) in [
            (9, Some(9), "go on after it in the history in force"),
            (10, Some(9), "read again after 9"),
            (0, Some(0), "read again from the beginning"),
            (9, None, "has not reached"),
        ] {
            let problem = told(at(revision), elsewhere(shared)).unwrap();
            assert_eq!((problem.code, problem.status), (Code::HistoryMismatch, 409));
            assert_eq!((problem.history, problem.shared_revision), (Some(history(2)), shared));
            assert!(problem.detail.contains(says), "{}", problem.detail);
        }
        let problem = told(at(9), Located::Beyond { revision: 8 }).unwrap();
        assert_eq!((problem.code, problem.status), (Code::CursorBeyondLedger, 409));
        assert_eq!((problem.history, problem.ledger_revision), (Some(history(1)), Some(8)));
    }

    #[test]
    fn a_refused_submission_is_settled_except_where_its_status_sends_the_caller_elsewhere() {
        for code in Code::ALL {
            let elsewhere = matches!(status_of(*code, Call::Submission), 429 | 500..=599);
            assert_eq!(is_settled(*code), !elsewhere, "{code}");
        }
    }

    #[test]
    fn a_leader_in_doubt_of_its_clock_is_told_with_its_own_remedy() {
        let unsure = Unsure::Behind { behind_ms: 7_000 };
        let detail = format!("the leader does not trust its clock: {}", unsure.told());
        let told = Box::<Problem>::from(MembershipError::Refused(Refusal::new(Code::ClockUncertain, detail)));
        assert_eq!((told.status, told.remedy.as_str()), (503, unsure.remedy()));
        assert_eq!(told.detail, format!("the leader does not trust its clock: {}", unsure.detail()));
    }
}
