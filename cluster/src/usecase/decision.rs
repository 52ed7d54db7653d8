//! Turns the registry's decisions into bytes. This is the only way, for allows and denies alike.
//!
//! An evaluated decision is signed. A shed one (`shed.rs`) is not.

use assent_api::{DecisionBody, JudgedByBody, ReasonBody, ReceiptBody, Verdict};
use assent_proof::{AuthorizeRequest, Code, sign_batch};
use assent_registry::Decision;
use bytes::Bytes;

use super::answer_budget::ReservedMemory;
use super::shed::Shed;
use super::{Answered, Parts};
use crate::access::Denial;

/// The number of random bytes in each leaf. They keep callers from guessing the other leaves of a tree.
const SALT: usize = 16;

impl Parts {
    /// Signs decisions together: one signature over the tree of all of them (RFC 6962), and a path for each. Each
    /// answer holds its part of `room`, if there is one.
    ///
    /// Rule R54 (RFC-EG-033 §6, deterministic exchange hashes): What was evaluated is signed by the node, and
    /// an answer without a signature is a deny.
    pub(super) fn sign(
        &self,
        decided: &[(AuthorizeRequest, Decision)],
        mut room: Option<ReservedMemory>,
    ) -> Vec<Answered> {
        let mut unsigned = Vec::with_capacity(decided.len());
        let mut leaves = Vec::with_capacity(decided.len());
        let mut salts = vec![0; decided.len().saturating_mul(SALT)];
        self.env.entropy.fill(&mut salts);
        for ((request, decision), salt) in decided.iter().zip(salts.as_chunks::<SALT>().0) {
            let body = self.body(request, decision);
            leaves.push(body.to_leaf(salt));
            unsigned.push((body, decision));
        }
        let receipts = sign_batch(leaves, &self.identity.key);
        self.metrics.signed();
        unsigned
            .into_iter()
            .zip(receipts)
            .map(|((body, decision), receipt)| {
                let status = body.status();
                let mut signed = body.signed(&receipt).to_vec();
                // The answer counts by its length while it waits to be written.
                signed.shrink_to_fit();
                let bytes = match &mut room {
                    Some(room) => room.hold(signed),
                    None => signed.into(),
                };
                self.answer(decision, status, bytes)
            })
            .collect()
    }

    /// Denies each request, without a signature.
    pub(super) fn denied_unsigned(&self, requests: &[AuthorizeRequest], shed: &Shed) -> Vec<Answered> {
        requests.iter().map(|request| self.denied_one(request, shed)).collect()
    }

    /// Denies the request, without a signature.
    ///
    /// Rule R54 (RFC-EG-033 §6, deterministic exchange hashes): What was evaluated is signed by the node, and
    /// an answer without a signature is a deny.
    pub(super) fn denied_one(&self, request: &AuthorizeRequest, shed: &Shed) -> Answered {
        self.unsigned(request, &Decision::deny(shed.code(), shed.detail(), self.env.clock.now()))
    }

    /// Denies the request of a caller that may not ask it, without a signature.
    ///
    /// Rule R54 (RFC-EG-033 §6, deterministic exchange hashes): What was evaluated is signed by the node, and
    /// an answer without a signature is a deny.
    pub(super) fn not_permitted(&self, request: &AuthorizeRequest, denial: &Denial) -> Answered {
        let now = self.env.clock.now();
        self.unsigned(request, &Decision::deny(Code::CallerNotPermitted, denial.detail.as_str(), now))
    }

    /// One decision without a signature, only for denies. A caller that verifies accepts no allow without a
    /// signature.
    ///
    /// Rule R54 (RFC-EG-033 §6, deterministic exchange hashes): What was evaluated is signed by the node, and
    /// an answer without a signature is a deny.
    pub(super) fn unsigned(&self, request: &AuthorizeRequest, decision: &Decision) -> Answered {
        let body = self.body(request, decision);
        self.answer(decision, body.status(), body.to_vec().into())
    }

    /// The answer with this decision, as bytes and as values. It is counted.
    fn answer(&self, decision: &Decision, status: u16, body: Bytes) -> Answered {
        let codes: Vec<Code> = decision.reasons.iter().map(|reason| reason.code).collect();
        self.metrics.decided(codes.first().copied());
        Answered { verdict: decision.verdict().clone(), codes, revision: decision.revision, status, body }
    }

    /// Rule R53 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A decision is answered with `allow`, and
    /// outside a batch with status 200, if it holds an `Allow`, and only then.
    fn body(&self, request: &AuthorizeRequest, decision: &Decision) -> DecisionBody {
        let reasons = decision
            .reasons
            .iter()
            .map(|reason| {
                let body = ReasonBody::new(reason.code, reason.detail.clone(), reason.evidence);
                match reason.remedy.clone() {
                    None => body,
                    Some(remedy) => ReasonBody { remedy, ..body },
                }
            })
            .collect();
        let policy = decision.policy.as_ref();
        let history = decision.history.unwrap_or_else(|| self.history());
        DecisionBody {
            decision: if decision.is_allow() { Verdict::Allow } else { Verdict::Deny },
            request: request.to_json(),
            history,
            node_id: self.config.node_id,
            revision: decision.revision,
            head: decision.head,
            policy: policy.map(|policy| JudgedByBody::new(policy.evidence_id, &policy.unchecked)),
            evaluated_at: decision.evaluated_at,
            valid_until: decision.valid_until,
            reasons,
            more_reasons: decision.more_reasons,
            permit: decision.permit.as_ref().map(|receipt| ReceiptBody {
                evidence_id: receipt.evidence_id,
                ledger_index: receipt.ledger_index,
                revision: receipt.revision,
                accepted_at: receipt.accepted_at,
                history,
            }),
            receipt: None,
        }
    }
}
