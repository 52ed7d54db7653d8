//! A lineage as it is read.

use assent_proof::{
    DomainName, EvidenceId, EvidenceKind, History, LineageName, LineageStatus, Millis, PublicKey, Sha256,
};
use serde::{Deserialize, Serialize};

/// `GET /v1/lineages/{domain}/{lineage}?history=&after=<ledger index>&limit=<1..=1000>`: a lineage and one page of its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageBody {
    /// Its domain.
    pub domain: DomainName,
    /// Its name.
    pub lineage: LineageName,
    /// The history in which it is so. `after` of the next page goes with it.
    pub history: History,
    /// How it is. Quarantined outweighs closed.
    pub status: LineageStatus,
    /// The digest of what it is about; null for `_governance`.
    pub subject: Option<Sha256>,
    /// All the digests that were named for it, only after an equivocation of its first slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Sha256>,
    /// The newest slotted evidence; null while there is none.
    pub head: Option<EvidenceId>,
    /// The newest slot of the shared chain, only of `_governance`. Execution lineages say it per issuer.
    pub sequence: Option<u64>,
    /// The quarantines by containment that hold, each to be released by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined_by: Vec<EvidenceId>,
    /// The slots that were signed twice. One without `canonical` quarantines until it is reconciled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictBody>,
    /// Each issuer's own chain, at most 32.
    pub issuers: Vec<IssuerBody>,
    /// One page, by ledger index.
    pub entries: Vec<LineageEntryBody>,
    /// `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A slot that its issuer signed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictBody {
    /// Who signed both.
    pub issuer: PublicKey,
    /// For which slot.
    pub sequence: u64,
    /// The half that a reconciliation let stand; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<EvidenceId>,
}

/// One issuer's chain in a lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerBody {
    /// Whose.
    pub issuer: PublicKey,
    /// Its newest slot, from 0. The next statement takes the one after.
    pub sequence: u64,
    /// Its newest evidence: the next statement's `parent`.
    pub head: EvidenceId,
}

/// One accepted statement of a lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageEntryBody {
    /// Its place in the ledger, from 0.
    pub ledger_index: u64,
    /// Its id.
    pub evidence_id: EvidenceId,
    /// Its kind.
    pub kind: EvidenceKind,
    /// Its issuers, as written.
    pub issuers: Vec<PublicKey>,
    /// Its slot; null for restrictions.
    pub sequence: Option<u64>,
    /// When the registry accepted it, in milliseconds.
    pub accepted_at: Millis,
    /// Whether it is void: it keeps its slot and never counts again.
    #[serde(default)]
    pub void: bool,
    /// Whether it is the second statement for its slot, kept as proof against its issuer.
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
