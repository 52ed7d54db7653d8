//! The receipt of an accepted envelope.

use assent_proof::{Cursor, EvidenceId, History, Millis};
use serde::{Deserialize, Serialize};

/// The proof of acceptance: the body of an answer with status 201 (accepted now) or 200 (accepted before).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    /// The id of the accepted evidence.
    pub evidence_id: EvidenceId,
    /// The evidence's place in the ledger, from 0.
    pub ledger_index: u64,
    /// The first revision that contains the evidence.
    pub revision: u64,
    /// When the registry accepted the evidence, in milliseconds.
    pub accepted_at: Millis,
    /// The history in force when the node answered. Its ledger contains the evidence. Evidence that a recovery left
    /// out is in no later history.
    pub history: History,
}

impl ReceiptBody {
    /// The first place in the ledger that contains the evidence. A request that must not be answered before this place
    /// ([`AuthorizeRequest::not_before`](assent_proof::AuthorizeRequest::not_before)) sees the evidence.
    pub fn cursor(&self) -> Cursor {
        Cursor { history: self.history, revision: self.revision }
    }

    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_written_in_the_documented_order() {
        let receipt = ReceiptBody {
            evidence_id: EvidenceId([2; 32]),
            ledger_index: 7,
            revision: 8,
            accepted_at: Millis(9),
            history: History::founded([3; 32]),
        };
        let text = String::from_utf8(receipt.to_vec()).unwrap();
        let (id, cluster) = ("02".repeat(32), "03".repeat(32));
        let expected = format!(
            r#"{{"evidenceId":"blake3:{id}","ledgerIndex":7,"revision":8,"acceptedAt":9,"history":"blake3:{cluster}/e1"}}"#
        );
        assert_eq!(text, expected);
        assert_eq!(receipt.cursor().to_string(), format!("blake3:{cluster}/e1:8"));
        assert_eq!(serde_json::from_str::<ReceiptBody>(&text).unwrap(), receipt);
    }
}
