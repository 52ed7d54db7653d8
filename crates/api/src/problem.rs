//! The problem document (RFC 9457): why a node did not do what a call asked for, and what to do about it.

use assent_proof::{Code, EvidenceId, History, Refusal};
use serde::{Deserialize, Serialize};

use crate::receipt::ReceiptBody;
use crate::retry::{Retry, retry_of};
use crate::status::Call;

/// Content type of a [`Problem`].
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// The one value of [`Problem::outcome`].
pub const OUTCOME_UNKNOWN: &str = "unknown";

/// Why a node did not do what a call asked for. It is the body of every error, except that authorize answers with a
/// decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:egpep:v1:problem:<code>`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The code in words.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// What is wrong here, one sentence for people.
    pub detail: String,
    /// What to do about it, one line.
    pub remedy: String,
    /// The clause of RFC-EG-033 that requires the code.
    pub clause: String,
    /// The path of the field at fault, such as `predicate.claims.actions[2]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `unknown` if the submission may or may not be accepted. The caller must submit the same bytes again to learn
    /// which. It is also `unknown` for any other call that may have been carried out although the node failed because
    /// of its own defect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The receipt of an equivocation, which is in the ledger as proof against its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptBody>,
    /// The chain's true head, if the slot was at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<EvidenceId>,
    /// The chain's next free slot, if the slot was at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sequence: Option<u64>,
    /// The history in force. For a submission that the registry refused, it is the history in which the registry
    /// judged. For a read from a cursor, it is the history that is in force instead of the cursor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// The last revision that `history` and the cursor's history have in common; 0 for another cluster, absent if the
    /// node cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_revision: Option<u64>,
    /// The size of the ledger that a quorum has confirmed, if the cursor lies beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_revision: Option<u64>,
}

impl Problem {
    /// A problem with this code and detail, and none of the optional fields.
    pub fn new(code: Code, status: u16, detail: impl Into<String>) -> Self {
        Problem {
            kind: Some(format!("urn:egpep:v1:problem:{code}")),
            title: code.as_str().replace('_', " "),
            status,
            code,
            detail: detail.into(),
            remedy: code.remedy().to_owned(),
            clause: code.clause().to_owned(),
            field: None,
            outcome: None,
            receipt: None,
            head: None,
            next_sequence: None,
            history: None,
            shared_revision: None,
            ledger_revision: None,
        }
    }

    /// The problem that describes a refusal. `status` usually comes from [`status_of`](crate::status_of).
    pub fn from_refusal(refusal: &Refusal, status: u16) -> Self {
        Problem { field: refusal.field.clone(), ..Problem::new(refusal.code, status, &refusal.detail) }
    }

    /// 504: the submission was proposed, and its outcome was not known in time. It may or may not be accepted.
    pub fn unknown_outcome(detail: impl Into<String>) -> Self {
        Problem {
            outcome: Some(OUTCOME_UNKNOWN.to_owned()),
            remedy: "submit the same bytes again; the answer is then the first receipt or a refusal"
                .to_owned(),
            ..Problem::new(Code::NoQuorum, 504, detail)
        }
    }

    /// 500: the node failed because of its own defect. The call may have been carried out.
    pub fn fault(detail: impl Into<String>) -> Self {
        let outcome = Some(OUTCOME_UNKNOWN.to_owned());
        Problem { outcome, ..Problem::new(Code::InternalError, 500, detail) }
    }

    /// This problem with the receipt of an equivocation.
    pub fn with_receipt(self, receipt: ReceiptBody) -> Self {
        Problem { receipt: Some(receipt), ..self }
    }

    /// This problem with the chain's true head and next free slot.
    pub fn with_slot(self, head: Option<EvidenceId>, next_sequence: Option<u64>) -> Self {
        Problem { head, next_sequence, ..self }
    }

    /// This problem with the history in which the registry judged.
    pub fn in_history(self, history: Option<History>) -> Self {
        Problem { history, ..self }
    }

    /// Whether the submission may have been accepted although this is an error.
    pub fn is_outcome_unknown(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether the call that this problem answers can be made again, and where. A submission whose outcome is unknown
    /// can be made again: every node answers the same bytes with their first receipt.
    pub fn retry(&self, call: Call) -> Retry {
        if self.is_outcome_unknown() { Retry::Elsewhere } else { retry_of(self.code, call) }
    }

    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::status_of;

    #[test]
    fn a_refusal_is_written_in_the_documented_order() {
        let refusal = Refusal::at(Code::ClaimsInvalid, "predicate.claims.uses", "must be at least 1");
        let problem = Problem::from_refusal(&refusal, status_of(refusal.code, Call::Submission));
        assert_eq!(
            serde_json::to_string_pretty(&problem).unwrap(),
            r#"{
  "type": "urn:egpep:v1:problem:claims_invalid",
  "title": "claims invalid",
  "status": 400,
  "code": "claims_invalid",
  "detail": "must be at least 1",
  "remedy": "correct the claim that the answer names",
  "clause": "RFC-EG-033 §6",
  "field": "predicate.claims.uses"
}"#
        );
        assert_eq!(serde_json::from_slice::<Problem>(&problem.to_vec()).unwrap(), problem);
    }

    /// Rule R156.
    #[test]
    fn an_unknown_outcome_says_so_and_how_to_find_out() {
        let problem = Problem::unknown_outcome("no commit within `2000` ms");
        assert!(problem.is_outcome_unknown());
        assert_eq!(
            (problem.status, problem.code, problem.outcome.as_deref()),
            (504, Code::NoQuorum, Some("unknown"))
        );
        assert_eq!(problem.retry(Call::Submission), Retry::Elsewhere);
    }

    #[test]
    fn an_internal_fault_reports_an_unknown_outcome_and_sends_the_caller_to_another_node() {
        let problem = Problem::fault("lost");
        assert!(problem.is_outcome_unknown());
        for call in Call::ALL {
            assert_eq!(problem.retry(call), Retry::Elsewhere, "{call:?}");
        }
        let status = status_of(problem.code, Call::Submission);
        assert_eq!((problem.code, problem.status), (Code::InternalError, status));
    }

    #[test]
    fn a_slot_problem_carries_head_and_next_sequence() {
        let problem =
            Problem::new(Code::LineageFragmented, 409, "gap").with_slot(Some(EvidenceId([1; 32])), Some(5));
        let text = String::from_utf8(problem.to_vec()).unwrap();
        assert!(
            text.ends_with(&format!(r#""head":"blake3:{}","nextSequence":5}}"#, "01".repeat(32))),
            "{text}"
        );
    }

    #[test]
    fn a_problem_with_a_cursor_says_which_history_is_in_force_and_up_to_where_both_are_the_same() {
        let history = History::founded([3; 32]);
        let problem = Problem {
            history: Some(history),
            shared_revision: Some(16),
            ..Problem::new(Code::HistoryMismatch, status_of(Code::HistoryMismatch, Call::Read), "ended")
        };
        let text = String::from_utf8(problem.to_vec()).unwrap();
        assert!(text.contains(r#""status":409,"code":"history_mismatch""#), "{text}");
        assert!(text.ends_with(&format!(r#""history":"{history}","sharedRevision":16}}"#)), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
        let beyond = Problem { shared_revision: None, ledger_revision: Some(9), ..problem };
        let text = String::from_utf8(beyond.to_vec()).unwrap();
        assert!(text.ends_with(&format!(r#""history":"{history}","ledgerRevision":9}}"#)), "{text}");
    }

    #[test]
    fn a_reader_ignores_fields_that_a_newer_node_adds() {
        let mut value = serde_json::to_value(Problem::new(Code::NoQuorum, 503, "x")).unwrap();
        value["later"] = 1.into();
        assert!(serde_json::from_value::<Problem>(value).is_ok());
    }
}
