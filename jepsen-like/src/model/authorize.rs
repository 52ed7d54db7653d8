//! What is allowed (docs/protocol.md, "Asking", "Policy" and "What counts"): every reason that denies, of a domain, of its
//! lineages, of what its policy requires, and of the authorization that is always required.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::standing::Void;
use super::statement::{maybe_texts, texts};
use super::{Judgement, Leaf, Model};

type Codes = BTreeSet<&'static str>;

/// A policy, as far as it judges evidence.
struct Policy {
    require: Vec<Value>,
    statuses: Option<Vec<String>>,
    measurements: Option<Vec<String>>,
    digests: Option<Vec<String>>,
}

/// A request.
struct Request<'a> {
    value: &'a Value,
    now_ms: i64,
    /// A permit may take uses; a read may not.
    permit: bool,
    /// The same request has its permit, so that uses are no matter.
    has_permit: bool,
}

impl Request<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.value.get(name).and_then(Value::as_str)
    }

    fn subject(&self) -> Option<&str> {
        self.value.get("subject")?.get("digest")?.get("sha256")?.as_str()
    }
}

impl Model {
    /// Judges a request at a time.
    pub fn authorize(&self, request: &Value, now_ms: i64) -> Judgement {
        self.judge_request(&Request { value: request, now_ms, permit: false, has_permit: false })
    }

    /// Judges a request for a permit at a time.
    pub fn permit(&self, request: &Value, now_ms: i64) -> Judgement {
        let asked = Request { value: request, now_ms, permit: true, has_permit: false };
        let same_nonce = self.leaves().position(|leaf| {
            let had = leaf.statement.claims.get("request").unwrap_or(&Value::Null);
            leaf.statement.kind == "permit"
                && ["domain", "lineage", "nonce"].iter().all(|name| had.get(*name) == request.get(*name))
        });
        let had = same_nonce.and_then(|place| self.inner.leaves.get(place));
        let Some(had) = had else { return self.judge_request(&asked) };
        let same = had.statement.claims.get("request") == Some(request);
        let mut judgement = self.judge_request(&Request { has_permit: same, ..asked });
        if same {
            judgement.permit = same_nonce.filter(|_| judgement.allows());
            judgement.takes.clear();
        } else {
            judgement.reasons.insert("nonce_reused");
        }
        judgement
    }

    /// Records the permit that `judgement` allowed; `envelope` is its statement, made by a node.
    pub fn record_permit(&self, judgement: &Judgement, envelope: &str, accepted_at_ms: i64) -> Option<Model> {
        let statement = super::Statement::read(envelope).filter(|statement| statement.kind == "permit")?;
        let allowed = judgement.allows() && judgement.permit.is_none();
        allowed.then(|| self.with(statement, accepted_at_ms, false, judgement.takes.clone()))
    }

    fn judge_request(&self, request: &Request<'_>) -> Judgement {
        let mut judgement = Judgement { reasons: Codes::new(), takes: Vec::new(), permit: None };
        let domain = request.text("domain").unwrap_or_default();
        if !self.standing().domains.contains_key(domain) {
            judgement.reasons.insert("domain_unknown");
            return judgement;
        }
        let reasons = &mut judgement.reasons;
        if self.isolated(domain) {
            reasons.insert("domain_isolated");
        }
        let policy = self.policy(domain);
        if policy.is_none() {
            reasons.insert("policy_missing");
        }
        let lineage = self.named_lineage(request, domain, reasons);
        let runtime = request.text("runtime");
        if let Some(runtime) = runtime {
            self.check_lineage(domain, runtime, None, reasons);
        }
        let Some(lineage) = lineage else { return judgement };
        self.check_lineage(domain, &lineage, request.subject(), reasons);
        self.check_head(request, domain, &lineage, reasons);
        for of in std::iter::once(lineage.as_str()).chain(runtime) {
            self.check_negatives(domain, of, policy.as_ref(), reasons);
        }
        for requirement in policy.iter().flat_map(|policy| &policy.require) {
            let of_runtime = requirement.get("of").and_then(Value::as_str) == Some("runtime");
            let of = if of_runtime { runtime } else { Some(lineage.as_str()) };
            self.check_requirement(requirement, domain, of, policy.as_ref(), request.now_ms, reasons);
        }
        judgement.takes = self.check_artifacts(request, domain, &lineage, reasons);
        judgement
    }

    /// The newest policy, if it stands: a void one does not bring back the one before.
    fn policy(&self, domain: &str) -> Option<Policy> {
        let newest =
            self.leaves().rfind(|leaf| leaf.statement.kind == "policy" && leaf.statement.domain == domain)?;
        if self.standing().void.contains_key(&newest.statement.id) {
            return None;
        }
        let claims = &newest.statement.claims;
        Some(Policy {
            require: claims.get("require").and_then(Value::as_array).cloned().unwrap_or_default(),
            statuses: maybe_texts(claims.get("attestationStatus")),
            measurements: maybe_texts(claims.get("measurements")),
            digests: maybe_texts(claims.get("policyDigests")),
        })
    }

    /// The lineage asked about: as named, or the one open lineage of the subject.
    fn named_lineage(&self, request: &Request<'_>, domain: &str, reasons: &mut Codes) -> Option<String> {
        if let Some(lineage) = request.text("lineage") {
            if self.evidence_in(domain, lineage).next().is_none() {
                reasons.insert("lineage_unknown");
                return None;
            }
            return Some(lineage.to_owned());
        }
        let of_subject = self.leaves().filter(|leaf| {
            Some(leaf.statement.subject.as_str()) == request.subject()
                && self.evidence_in(domain, &leaf.statement.lineage).any(|other| other == *leaf)
        });
        let names: BTreeSet<&str> = of_subject.map(|leaf| leaf.statement.lineage.as_str()).collect();
        let open = |name: &&str| !self.evidence_in(domain, name).any(|leaf| leaf.statement.closes());
        let mut open = names.into_iter().filter(open);
        match (open.next(), open.next()) {
            (Some(one), None) => Some(one.to_owned()),
            (None, _) => {
                reasons.insert("lineage_unknown");
                None
            }
            (Some(_), Some(_)) => {
                reasons.insert("lineage_ambiguous");
                None
            }
        }
    }

    /// What speaks against a lineage as a whole.
    fn check_lineage(&self, domain: &str, lineage: &str, subject: Option<&str>, reasons: &mut Codes) {
        let Some(first) = self.evidence_in(domain, lineage).next() else {
            reasons.insert("lineage_unknown");
            return;
        };
        if subject.is_some_and(|subject| subject != first.statement.subject) {
            reasons.insert("subject_mismatch");
        }
        if self.evidence_in(domain, lineage).any(|leaf| leaf.statement.closes()) {
            reasons.insert("lineage_closed");
        }
        if self.contained(domain, "quarantine", lineage) || self.in_conflict(domain, lineage) {
            reasons.insert("lineage_quarantined");
        }
    }

    /// Whether two statements for one slot await their reconciliation.
    fn in_conflict(&self, domain: &str, lineage: &str) -> bool {
        let reconciled = |id: &str| self.standing().reconciled.iter().any(|(pair, _)| pair.contains(id));
        self.evidence_in(domain, lineage).any(|leaf| leaf.equivocation && !reconciled(&leaf.statement.id))
    }

    fn check_head(&self, request: &Request<'_>, domain: &str, lineage: &str, reasons: &mut Codes) {
        let head = self.evidence_in(domain, lineage).rfind(|leaf| !leaf.equivocation);
        let expected = request.text("expectedHead");
        if expected.is_some() && expected != head.map(|leaf| leaf.statement.id.as_str()) {
            reasons.insert("head_mismatch");
        }
    }

    /// What each issuer said of a kind, the newest first; of two statements for one slot that which stands is the newer.
    fn said<'a>(&'a self, domain: &str, lineage: &str, kind: &str) -> Vec<Vec<&'a Leaf>> {
        let mut by_issuer: BTreeMap<&[String], Vec<&Leaf>> = BTreeMap::new();
        for leaf in self.evidence_in(domain, lineage).filter(|leaf| leaf.statement.kind == kind) {
            by_issuer.entry(&leaf.statement.issuers).or_default().push(leaf);
        }
        for said in by_issuer.values_mut() {
            said.sort_by_key(|leaf| std::cmp::Reverse((leaf.statement.sequence, self.void(leaf).is_none())));
        }
        by_issuer.into_values().collect()
    }

    fn void(&self, leaf: &Leaf) -> Option<Void> {
        self.standing().void.get(&leaf.statement.id).copied()
    }

    /// A newest negative denies, void or not, until it is released; what is void has not replaced the negative before it.
    fn check_negatives(&self, domain: &str, lineage: &str, policy: Option<&Policy>, reasons: &mut Codes) {
        for kind in ["runtime-attestation", "runtime-integrity", "policy-validation"] {
            for said in self.said(domain, lineage, kind) {
                for leaf in said {
                    if !self.standing().released.contains(&leaf.statement.id) {
                        reasons.extend(negative(leaf, policy));
                    }
                    if self.void(leaf).is_none() {
                        break;
                    }
                }
            }
        }
    }

    fn check_requirement(
        &self,
        requirement: &Value,
        domain: &str,
        lineage: Option<&str>,
        policy: Option<&Policy>,
        now_ms: i64,
        reasons: &mut Codes,
    ) {
        let kind = requirement.get("kind").and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| requirement.get(name).and_then(Value::as_i64);
        let wanted = usize::try_from(number("minIssuers").unwrap_or(1)).unwrap_or(usize::MAX);
        let said = lineage.map(|lineage| self.said(domain, lineage, kind)).unwrap_or_default();
        let newest: Vec<&Leaf> = said.iter().filter_map(|said| said.first().copied()).collect();
        let flaws: Vec<Codes> = newest
            .iter()
            .map(|leaf| {
                let mut flaws = self.flaws(leaf, domain, now_ms);
                flaws.extend(negative(leaf, policy));
                let digest = leaf.statement.claim("policyDigest");
                let approved = policy.and_then(|policy| policy.digests.as_ref());
                if kind == "policy-validation"
                    && approved.is_some_and(|list| !list.iter().any(|one| one == digest))
                {
                    flaws.insert("policy_validation_failed");
                }
                let age_ms = now_ms.saturating_sub(leaf.statement.issued_ms.min(leaf.accepted_ms));
                if number("maxAgeSeconds").is_some_and(|limit| age_ms >= limit.saturating_mul(1000)) {
                    flaws.insert("runtime_stale");
                }
                flaws
            })
            .collect();
        if flaws.iter().filter(|flaws| flaws.is_empty()).count() >= wanted {
            return;
        }
        if newest.len() < wanted {
            reasons.insert("evidence_missing");
        }
        reasons.extend(flaws.into_iter().flatten());
    }

    /// Why a piece of evidence does not count, whatever its kind.
    fn flaws(&self, leaf: &Leaf, domain: &str, now_ms: i64) -> Codes {
        let mut flaws = Codes::new();
        match self.void(leaf) {
            Some(Void::Itself) => flaws.insert("evidence_invalidated"),
            Some(Void::Inherited) => flaws.insert("inheritance_unverifiable"),
            None => false,
        };
        let silenced = |leaf: &Leaf| {
            leaf.statement.issuers.iter().find_map(|key| self.standing().silenced(key, domain, now_ms))
        };
        flaws.extend(silenced(leaf));
        if leaf.statement.expires_ms.is_some_and(|expires| expires <= now_ms) {
            flaws.insert("evidence_expired");
        }
        let mut rests_on = leaf.statement.references.clone();
        while let Some(id) = rests_on.pop() {
            let Some(referenced) = self.find(&id) else { continue };
            if silenced(referenced).is_some() {
                flaws.insert("inheritance_unverifiable");
            }
            rests_on.extend(referenced.statement.references.iter().cloned());
        }
        flaws
    }

    /// One execution-authorization must count. Answers those that count and have uses.
    fn check_artifacts(
        &self,
        request: &Request<'_>,
        domain: &str,
        lineage: &str,
        reasons: &mut Codes,
    ) -> Vec<String> {
        let said = self.said(domain, lineage, "execution-authorization");
        let newest: Vec<&Leaf> = said.iter().filter_map(|said| said.first().copied()).collect();
        let flaws: Vec<Codes> =
            newest.iter().map(|leaf| self.artifact_flaws(leaf, request, domain)).collect();
        if flaws.iter().any(BTreeSet::is_empty) {
            let counted =
                newest.iter().zip(&flaws).filter(|(leaf, flaws)| flaws.is_empty() && uses(leaf).is_some());
            return counted.map(|(leaf, _)| leaf.statement.id.clone()).collect();
        }
        if newest.is_empty() {
            reasons.insert("evidence_missing");
        }
        reasons.extend(flaws.into_iter().flatten());
        Vec::new()
    }

    fn artifact_flaws(&self, leaf: &Leaf, request: &Request<'_>, domain: &str) -> Codes {
        let mut flaws = self.flaws(leaf, domain, request.now_ms);
        let statement = &leaf.statement;
        let from = statement.claim_ms("notBefore").unwrap_or(i64::MAX);
        let to = statement.claim_ms("notAfter").unwrap_or(i64::MIN);
        if request.now_ms < from || request.now_ms >= to {
            flaws.insert("evidence_expired");
        }
        let contains =
            |list: &[String], name: &str| list.iter().any(|one| Some(one.as_str()) == request.text(name));
        if !contains(&texts(statement.claims.get("actions")), "action") {
            flaws.insert("action_not_permitted");
        }
        if maybe_texts(statement.claims.get("audience")).is_some_and(|list| !contains(&list, "audience")) {
            flaws.insert("audience_mismatch");
        }
        let environment = statement.claims.get("environment").and_then(Value::as_str);
        if environment.is_some() && environment != request.text("environment") {
            flaws.insert("environment_mismatch");
        }
        if let Some(uses) = uses(leaf) {
            if !request.permit {
                flaws.insert("permit_required");
            }
            let taken = self.leaves().filter(|leaf| leaf.takes.contains(&statement.id)).count();
            if u64::try_from(taken).is_ok_and(|taken| taken >= uses) && !request.has_permit {
                flaws.insert("authorization_consumed");
            }
        }
        flaws
    }
}

/// How often an authorization may be used, if that is counted.
fn uses(leaf: &Leaf) -> Option<u64> {
    leaf.statement.claims.get("uses").and_then(Value::as_u64)
}

/// What a statement says against its subject, in the eyes of a policy.
fn negative(leaf: &Leaf, policy: Option<&Policy>) -> Codes {
    let statement = &leaf.statement;
    let approves =
        |list: Option<&Vec<String>>, value: &str| list.is_none_or(|list| list.iter().any(|one| one == value));
    let mut codes = Codes::new();
    let statuses = policy.and_then(|policy| policy.statuses.as_ref());
    let measurements = policy.and_then(|policy| policy.measurements.as_ref());
    match statement.kind.as_str() {
        "runtime-attestation" => {
            if !approves(statuses, statement.claim("status")) {
                codes.insert("attestation_not_affirming");
            }
            if !approves(measurements, statement.claim("measurement")) {
                codes.insert("measurement_not_approved");
            }
        }
        "runtime-integrity" if !approves(measurements, statement.claim("measured")) => {
            codes.insert("measurement_not_approved");
        }
        "policy-validation" if statement.claim("verdict") == "fail" => {
            codes.insert("policy_validation_failed");
        }
        _ => {}
    }
    codes
}
