//! The body in which a node answers a read of a lineage.

use assent_proof::{
    DomainName, EvidenceId, EvidenceKind, History, LineageName, LineageStatus, Millis, PublicKey, Sha256,
};
use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/lineages/{domain}/{lineage}?history=&after=<ledger index>&limit=<1..=1000>`: a lineage and
/// one page of its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageBody {
    /// The lineage's domain.
    pub domain: DomainName,
    /// The lineage's name.
    pub lineage: LineageName,
    /// The history from which this was read. The parameter `after` of the next page counts in it.
    pub history: History,
    /// The lineage's status. A lineage that is both quarantined and closed is `quarantined`.
    pub status: LineageStatus,
    /// The digest of the lineage's subject; null for `_governance`.
    pub subject: Option<Sha256>,
    /// All the digests that were named as the lineage's subject; present only after an equivocation of its first slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Sha256>,
    /// The newest evidence that took a slot; null while there is none.
    pub head: Option<EvidenceId>,
    /// The newest slot of the shared chain; only for `_governance`. Execution lineages have one chain for each issuer.
    pub sequence: Option<u64>,
    /// The quarantines by containment that hold. Each must be released separately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined_by: Vec<EvidenceId>,
    /// The slots that were signed twice. A slot without `canonical` quarantines the lineage until it is reconciled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictBody>,
    /// Each issuer's own chain, at most 32.
    pub issuers: Vec<IssuerBody>,
    /// The entries of the page, by ledger index.
    pub entries: Vec<LineageEntryBody>,
    /// The parameter `after` of the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A slot that its issuer signed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictBody {
    /// The issuer that signed both statements.
    pub issuer: PublicKey,
    /// The slot.
    pub sequence: u64,
    /// The half that stands after a reconciliation; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<EvidenceId>,
}

/// One issuer's chain in a lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerBody {
    /// The issuer.
    pub issuer: PublicKey,
    /// The chain's newest slot, from 0. The next statement takes the slot after it.
    pub sequence: u64,
    /// The chain's newest evidence, which is the next statement's `parent`.
    pub head: EvidenceId,
}

/// One accepted statement of a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageEntryBody {
    /// The statement's place in the ledger, from 0.
    pub ledger_index: u64,
    /// The statement's id.
    pub evidence_id: EvidenceId,
    /// The statement's kind.
    pub kind: EvidenceKind,
    /// The statement's issuers, in the order in which it names them.
    pub issuers: Vec<PublicKey>,
    /// The statement's slot; null for restrictions.
    pub sequence: Option<u64>,
    /// When the registry accepted the statement, in milliseconds.
    pub accepted_at: Millis,
    /// Whether the statement is void. A void statement keeps its slot and never counts again.
    #[serde(default)]
    pub void: bool,
    /// Whether the statement is the second one for its slot, which is kept as proof against its issuer.
    #[serde(default)]
    pub equivocation: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_proof::SigningKey;

    #[test]
    fn a_lineage_is_written_in_the_documented_order() {
        let issuer = SigningKey::from_seed([1; 32]).public();
        let body = LineageBody {
            domain: "prod.eu".parse().unwrap(),
            lineage: "exec-1".parse().unwrap(),
            history: History::founded([7; 32]),
            status: LineageStatus::Open,
            subject: Some(Sha256([3; 32])),
            subjects: vec![],
            head: Some(EvidenceId([4; 32])),
            sequence: None,
            quarantined_by: vec![],
            conflicts: vec![],
            issuers: vec![IssuerBody { issuer, sequence: 0, head: EvidenceId([4; 32]) }],
            entries: vec![LineageEntryBody {
                ledger_index: 9,
                evidence_id: EvidenceId([4; 32]),
                kind: EvidenceKind::RuntimeAttestation,
                issuers: vec![issuer],
                sequence: Some(0),
                accepted_at: Millis(5),
                void: false,
                equivocation: false,
            }],
            next: Some(9),
        };
        let text = serde_json::to_string(&body).unwrap();
        let (head, subject) = (format!("blake3:{}", "04".repeat(32)), "03".repeat(32));
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"domain":"prod.eu","lineage":"exec-1","history":"{history}","status":"open","subject":"{subject}","head":"{head}","#,
                    r#""sequence":null,"issuers":[{{"issuer":"{issuer}","sequence":0,"head":"{head}"}}],"#,
                    r#""entries":[{{"ledgerIndex":9,"evidenceId":"{head}","kind":"runtime-attestation","#,
                    r#""issuers":["{issuer}"],"sequence":0,"acceptedAt":5,"void":false,"equivocation":false}}],"#,
                    r#""next":9}}"#
                ),
                subject = subject,
                head = head,
                history = body.history,
                issuer = issuer
            )
        );
        assert_eq!(serde_json::from_str::<LineageBody>(&text).unwrap(), body);
    }
}
