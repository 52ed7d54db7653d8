//! The result for one statement: that it counts and until when, or why it does not count (RFC-EG-033 §4,
//! incomplete proof continuity).

use assent_proof::{Code, EvidenceId, Millis};

/// A statement that counts, and until when.
pub(super) struct Counted {
    pub(super) evidence_id: EvidenceId,
    pub(super) until: Option<Millis>,
}

/// Why a statement does not count.
pub(super) struct Flawed {
    pub(super) code: Code,
    pub(super) detail: String,
    pub(super) evidence: EvidenceId,
}

/// The earlier of two ends; `None` if there is neither.
pub(super) fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
