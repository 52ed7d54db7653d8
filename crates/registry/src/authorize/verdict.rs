//! How findings become a decision (RFC-EG-033 §7). The only place where an [`Allow`] is made.

use std::collections::BTreeSet;

use assent_proof::{Code, EvidenceId, History, Millis, PolicyBody, Unchecked};

use super::counted::{Flawed, earlier};
use crate::command::Receipt;
use crate::limit;

/// Permission to execute. Only this module can make one, so no error, default or oversight elsewhere can turn
/// into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow {
    authorized_by: EvidenceId,
}

impl Allow {
    /// The execution-authorization that it rests on.
    pub fn authorized_by(&self) -> EvidenceId {
        self.authorized_by
    }
}

/// Allow or deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request may execute.
    Allow(Allow),
    /// The request may not execute.
    Deny,
}

impl Verdict {
    /// Whether it is an allow. Any other verdict is none.
    pub fn is_allow(&self) -> bool {
        matches!(self, Verdict::Allow(_))
    }
}

/// One reason to deny.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// What is wrong.
    pub code: Code,
    /// The evidence at fault, if one is.
    pub evidence: Option<EvidenceId>,
    /// What is wrong, for people.
    pub detail: String,
    /// What to do about it, if the code's own remedy does not fit.
    pub remedy: Option<String>,
}

/// The policy that judged, as far as callers that rely on its decisions must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedBy {
    /// The statement that set it.
    pub evidence_id: EvidenceId,
    /// What it could check and does not.
    pub unchecked: Vec<Unchecked>,
}

impl JudgedBy {
    pub(crate) fn new(evidence_id: EvidenceId, policy: &PolicyBody) -> Self {
        Self { evidence_id, unchecked: policy.unchecked() }
    }
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    verdict: Verdict,
    /// The reasons that deny, in the order of the codes, at most [`limit::REASONS`]; empty exactly when it
    /// allows. Each code that denies is among them.
    pub reasons: Vec<Reason>,
    /// How many more findings are not among `reasons`: they deny too, or repeat a reason.
    pub more_reasons: u32,
    /// The history in which it was decided; `None` if nothing was evaluated.
    pub history: Option<History>,
    /// The ledger's size at which it was decided.
    pub revision: u64,
    /// The lineage's head, if a lineage was found.
    pub head: Option<EvidenceId>,
    /// The policy that judged, if there is one.
    pub policy: Option<JudgedBy>,
    /// When it was decided.
    pub evaluated_at: Millis,
    /// The time until which it holds, exclusive. For a deny, that is the time at which it was decided.
    pub valid_until: Millis,
    /// The permit that was recorded for this very request.
    pub permit: Option<Receipt>,
}

impl Decision {
    /// A deny for one reason, which the serving layer gives if nothing could be evaluated.
    pub fn deny(code: Code, detail: impl Into<String>, now: Millis) -> Self {
        let mut findings = Findings::new(now, 0);
        findings.deny(code, detail.into(), None);
        conclude(findings, None)
    }

    /// The same with a remedy of its own, if the code's remedy does not fit.
    pub fn deny_with_remedy(code: Code, detail: impl Into<String>, remedy: String, now: Millis) -> Self {
        let mut decision = Self::deny(code, detail, now);
        for reason in &mut decision.reasons {
            reason.remedy = Some(remedy.clone());
        }
        decision
    }

    /// Allow or deny.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Whether it allows.
    pub fn is_allow(&self) -> bool {
        self.verdict.is_allow()
    }
}

/// What has been found so far.
pub(super) struct Findings {
    now: Millis,
    revision: u64,
    pub(super) history: Option<History>,
    pub(super) head: Option<EvidenceId>,
    pub(super) policy: Option<JudgedBy>,
    pub(super) permit: Option<Receipt>,
    /// The first reasons, in their order.
    reasons: BTreeSet<Reason>,
    /// How many reasons there was no room for.
    more: u32,
    until: Option<Millis>,
}

impl Findings {
    pub(super) fn new(now: Millis, revision: u64) -> Self {
        let (reasons, more) = (BTreeSet::new(), 0);
        let history = None;
        Self { now, revision, history, head: None, policy: None, permit: None, reasons, more, until: None }
    }

    /// Adds a reason to deny. Beyond the bound, one reason is only counted: the last one in order whose code
    /// another reason has too.
    ///
    /// Rule R51 (RFC-EG-033 §7, deny): A deny names its reasons in the order of the codes, at most 32 of them
    /// but at least one for each code that denies, and says how many more there are.
    pub(super) fn deny(&mut self, code: Code, detail: String, evidence: Option<EvidenceId>) {
        self.reasons.insert(Reason { code, evidence, detail, remedy: None });
        if self.reasons.len() <= limit::REASONS {
            return;
        }
        let behind = self.reasons.iter().rev().zip(self.reasons.iter().rev().skip(1));
        let twin =
            behind.filter(|(last, before)| last.code == before.code).map(|(last, _)| last.clone()).next();
        match twin {
            Some(twin) => drop(self.reasons.remove(&twin)),
            None => drop(self.reasons.pop_last()),
        }
        self.more = self.more.saturating_add(1);
    }

    /// Adds a reason for each flaw.
    pub(super) fn deny_all(&mut self, flaws: Vec<Flawed>) {
        for flaw in flaws {
            self.deny(flaw.code, flaw.detail, Some(flaw.evidence));
        }
    }

    /// Bounds the decision's validity: something that counted ends then.
    pub(super) fn until(&mut self, end: Option<Millis>) {
        self.until = earlier(self.until, end);
    }
}

/// What an allow rests on: a policy, and an execution-authorization that it and the request accept.
pub(super) struct Grounds {
    policy: EvidenceId,
    authorized_by: EvidenceId,
    ttl_seconds: u32,
}

impl Grounds {
    pub(super) fn new(policy: EvidenceId, authorized_by: EvidenceId, ttl_seconds: u32) -> Self {
        Self { policy, authorized_by, ttl_seconds }
    }
}

/// Concludes the evaluation: an allow needs grounds, no reason against it, and time for which it holds.
///
/// Rule R49 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): Only `conclude` makes an `Allow`, and only from
/// grounds, with no reason against it and with time left for it; otherwise it denies, with `evidence_missing`
/// if there is no other reason.
///
/// Rule R50 (RFC-EG-033 §6, timestamp-bound proof continuity): An allow is valid until the policy's
/// `decisionTtlSeconds` are over or until the first end of anything that counted, whichever is earlier, and a
/// deny for no time.
///
/// Rule R52 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): After `conclude` a deny is never replaced by an
/// allow, an allow is replaced only by a deny, and every allow is replaced once the node has a reason to
/// stop: its store, Raft, its history or one of its lasting tasks has ended (`evidence_mutated`).
pub(super) fn conclude(findings: Findings, grounds: Option<Grounds>) -> Decision {
    let Findings { now, revision, history, head, policy, permit, mut reasons, more, until } = findings;
    let unopposed = reasons.is_empty() && more == 0;
    let judged_by = policy.as_ref().map(|policy| policy.evidence_id);
    if let Some(grounds) = grounds.filter(|grounds| unopposed && judged_by == Some(grounds.policy)) {
        let ttl = Millis(now.0.saturating_add(i64::from(grounds.ttl_seconds).saturating_mul(1000)));
        let valid_until = until.map_or(ttl, |until| until.min(ttl));
        if valid_until > now {
            return Decision {
                verdict: Verdict::Allow(Allow { authorized_by: grounds.authorized_by }),
                reasons: Vec::new(),
                more_reasons: 0,
                history,
                revision,
                head,
                policy,
                evaluated_at: now,
                valid_until,
                permit,
            };
        }
    }
    if reasons.is_empty() {
        let detail = "no ground for an allow was found".to_owned();
        reasons.insert(Reason { code: Code::EvidenceMissing, evidence: None, detail, remedy: None });
    }
    Decision {
        verdict: Verdict::Deny,
        reasons: reasons.into_iter().collect(),
        more_reasons: more,
        history,
        revision,
        head,
        policy,
        evaluated_at: now,
        valid_until: now,
        permit,
    }
}
