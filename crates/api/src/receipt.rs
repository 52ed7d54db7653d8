//! The receipt of an accepted envelope.

use assent_proof::{Cursor, EvidenceId, History, Millis};
use serde::{Deserialize, Serialize};

/// Proof of acceptance: the body of 201 (new) and 200 (accepted before).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    /// What was accepted.
    pub evidence_id: EvidenceId,
    /// Its place in the ledger, from 0.
    pub ledger_index: u64,
    /// The first revision that contains it.
    pub revision: u64,
    /// When the registry accepted it, in milliseconds.
    pub accepted_at: Millis,
    /// The history in force when this was answered, in whose ledger it lies. What a recovery left out is in no later one.
    pub history: History,
}

impl ReceiptBody {
    /// The first place in the ledger that contains it: a request that is answered not before it
    /// ([`AuthorizeRequest::not_before`](assent_proof::AuthorizeRequest::not_before)) reads what was written.
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
