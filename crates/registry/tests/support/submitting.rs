//! Submits envelopes to a registry in memory, and reads the outcomes.

use std::sync::Arc;

use assent_fixtures::Draft;
use assent_fixtures::usual::{ORIGIN, affirming, authorization, ms};
use assent_proof::{Code, DomainName, EvidenceId, ParsedEnvelope, Refusal, SigningKey, VerifiedEnvelope};
use assent_registry::{
    Checked, Group, MemoryRows, Outcome, Receipt, ToVerify, Unverified, View, apply, query,
    refuses_unknown_issuers, rules_in_force, would_accept,
};

use super::world::World;

impl World {
    /// Accepts a governance statement in the next shared slot, signed by the whole governance and `others`.
    pub fn govern(&mut self, draft: Draft, others: &[&SigningKey]) -> Receipt {
        let (sequence, parent) = self.governance_head;
        let keys = self.keys.clone();
        let signers: Vec<&SigningKey> = keys.governance.iter().chain(others.iter().copied()).collect();
        let bytes = draft.slot(sequence, parent).sign(&signers);
        let receipt = accepted(&self.submit_at(0, &bytes));
        self.governance_head = (sequence + 1, Some(receipt.evidence_id));
        receipt
    }

    /// Submits a governance statement in the next shared slot, signed by these keys.
    pub fn try_to_govern(&mut self, draft: Draft, signers: &[&SigningKey]) -> Outcome {
        let (sequence, parent) = self.governance_head;
        let outcome = self.submit(&draft.slot(sequence, parent).sign(signers));
        if let Outcome::Accepted { receipt, .. } = &outcome {
            self.governance_head = (sequence + 1, Some(receipt.evidence_id));
        }
        outcome
    }

    /// Submits a statement in the next slot of `_root`.
    pub fn submit_to_root(&mut self, seconds: i64, draft: Draft, signers: &[&SigningKey]) -> Outcome {
        let (slot, head) = query::governance_slot(&self.rows, &DomainName::root()).unwrap();
        self.submit_at(seconds, &draft.slot(slot, head).sign(signers))
    }

    /// A governance statement was accepted beside `govern`: the next slot, and its parent.
    pub fn governed(&mut self, next: u64, head: EvidenceId) {
        self.governance_head = (next, Some(head));
    }

    /// The next slot and parent of the domain's `_governance`.
    pub fn governance_slot(&self) -> (u64, Option<EvidenceId>) {
        self.governance_head
    }

    /// Submits one envelope at `T0` plus seconds. A dry run before it must predict the outcome. If the
    /// envelope is refused for unknown issuers before a signature is computed, `apply` must refuse it with
    /// the same code.
    pub fn submit_at(&mut self, seconds: i64, bytes: &[u8]) -> Outcome {
        let strange = unknown_issuers(&self.rows, bytes);
        let foreseen = verified(&self.rows, bytes)
            .and_then(|envelope| would_accept(&self.rows, self.known, ms(seconds), &envelope).unwrap());
        let outcome = self.submit_group(seconds, false, &[bytes.to_vec()]).remove(0);
        match &outcome {
            Outcome::Accepted { .. } => {
                assert_eq!(foreseen, Ok(()));
                assert_eq!(strange, None, "it was accepted");
            }
            Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => {
                assert_eq!(foreseen.as_ref(), Err(refusal));
                if let Some(strange) = strange {
                    assert_eq!(strange.code, refusal.code, "{strange} {refusal}");
                }
            }
        }
        outcome
    }

    /// Submits one envelope at `T0`.
    pub fn submit(&mut self, bytes: &[u8]) -> Outcome {
        self.submit_at(0, bytes)
    }

    /// Submits envelopes as one group.
    pub fn submit_group(&mut self, seconds: i64, atomic: bool, envelopes: &[Vec<u8>]) -> Vec<Outcome> {
        let group = group_of(atomic, envelopes.iter().map(|bytes| unverified(bytes)).collect());
        let outcomes = apply(&mut self.rows, self.known, ms(seconds), &[group]).unwrap().remove(0);
        if self.revision() < 40 {
            // This works everything out anew, so it is done only where there is little.
            assert_eq!(assent_registry::facts::check(&self.rows), Ok(Vec::new()));
        }
        outcomes
    }

    /// The usual grounds: an authorization for `run` and an affirming attestation. Answers their ids.
    pub fn grounds(&mut self) -> (EvidenceId, EvidenceId) {
        let keys = self.keys.clone();
        let artifact = authorization(&["run"]).sign(&[&keys.governance[0]]);
        let attested = affirming().sign(&[&keys.attestation]);
        (accepted(&self.submit(&artifact)).evidence_id, accepted(&self.submit(&attested)).evidence_id)
    }
}

/// What `apply` takes of these bytes.
pub fn unverified(bytes: &[u8]) -> Unverified<'_> {
    Unverified { bytes, origin: ORIGIN }
}

/// Envelopes of one submission, as `apply` takes them.
pub fn group_of<E>(atomic: bool, envelopes: Vec<E>) -> Group<E> {
    Group { atomic, envelopes }
}

/// What they are under the rules that these rows follow.
pub fn verified(rows: &MemoryRows, bytes: &[u8]) -> Result<Arc<VerifiedEnvelope>, Refusal> {
    match unverified(bytes).verified(rules_in_force(rows).unwrap()) {
        Checked::Verified(envelope) => Ok(envelope),
        Checked::Refused(refusal) => Err(refusal),
    }
}

/// Why these rows refuse an envelope before a signature is computed, if they do.
pub fn unknown_issuers(rows: &MemoryRows, bytes: &[u8]) -> Option<Refusal> {
    let rules = rules_in_force(rows).ok()?;
    let parsed = ParsedEnvelope::parse(bytes, ORIGIN, rules).ok()?;
    // Of rows that cannot be read the dry run says what is wrong.
    refuses_unknown_issuers(&View::new(rows), &parsed, |_| false).ok()?
}

#[track_caller]
pub fn accepted(outcome: &Outcome) -> Receipt {
    match outcome {
        Outcome::Accepted { receipt, .. } => receipt.clone(),
        other => panic!("expected acceptance, got {other:?}"),
    }
}

#[track_caller]
pub fn refused(outcome: &Outcome) -> Code {
    match outcome {
        Outcome::Refused { refusal, .. } => refusal.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A refusal's code, field and detail.
#[track_caller]
pub fn refusal(outcome: &Outcome) -> (Code, &str, &str) {
    match outcome {
        Outcome::Refused { refusal, .. } => {
            (refusal.code, refusal.field.as_deref().unwrap_or(""), &refusal.detail)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}
