//! The model's decisions (docs/protocol.md, "Asking", "Policy" and "What counts"): every reason that denies, by a
//! domain, by its lineages, by the requirements of its policy, and by the authorization that is always required.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::statement::{maybe_texts, texts};
use super::{Judgement, Leaf, Model};

type Codes = BTreeSet<&'static str>;

/// The part of a policy that judges evidence.
struct Policy {
    require: Vec<Value>,
    statuses: Option<Vec<String>>,
    measurements: Option<Vec<String>>,
    digests: Option<Vec<String>>,
    permit_always: bool,
    ttl_ms: i64,
}

/// The evidence that counted towards an allow.
struct Counted {
    /// The counted authorizations among it.
    takes: Vec<String>,
    /// When the first piece of it no longer counts.
    until_ms: i64,
}

/// What a request is asked for, and at which step.
enum Asked<'a> {
    /// A read, which takes nothing and cannot say whether a use is left.
    Read,
    /// Whether a permit may be recorded.
    ToRecord,
    /// The answer after a permit could be recorded: the permit for its nonce and lineage, if one was recorded.
    Afterwards(Option<(usize, &'a Leaf)>),
}

/// A request.
struct Request<'a> {
    value: &'a Value,
    now_ms: i64,
    asked: Asked<'a>,
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
    /// Decides a request at a time.
    pub fn authorize(&self, request: &Value, now_ms: i64) -> Judgement {
        self.judge_request(&Request { value: request, now_ms, asked: Asked::Read })
    }

    /// Decides whether a permit may be recorded for a request; [`Judgement::permit`] is the permit that the request
    /// already had.
    pub fn consider(&self, request: &Value, now_ms: i64) -> Judgement {
        let mut judgement = match self.recorded(request) {
            None => return self.judge_request(&Request { value: request, now_ms, asked: Asked::ToRecord }),
            had => Judgement {
                permit: had.map(|(place, _)| place),
                valid_until_ms: now_ms,
                ..Judgement::default()
            },
        };
        if self.recorded(request).is_some_and(|(_, had)| had.statement.claims.get("request") != Some(request))
        {
            judgement.reasons.insert("nonce_reused");
        }
        judgement
    }

    /// The model with a permit's leaf, if a permit may be recorded for its request; a node made `envelope`.
    pub fn record_permit(
        &self,
        request: &Value,
        envelope: &str,
        accepted_at_ms: i64,
    ) -> Result<Model, Judgement> {
        let judgement = self.consider(request, accepted_at_ms);
        let statement = super::Statement::read(envelope).filter(|statement| statement.kind == "permit");
        match statement {
            Some(statement) if judgement.allows() && judgement.permit.is_none() => {
                Ok(self.with(statement, accepted_at_ms, false, judgement.takes))
            }
            _ => Err(judgement),
        }
    }

    /// Decides a request for a permit at a time, after the permit was recorded or not: without a permit nothing is
    /// allowed.
    pub fn permit(&self, request: &Value, now_ms: i64) -> Judgement {
        let recorded = self.recorded(request);
        let mut judgement =
            self.judge_request(&Request { value: request, now_ms, asked: Asked::Afterwards(recorded) });
        judgement.permit = recorded.map(|(place, _)| place).filter(|_| judgement.allows());
        judgement
    }

    /// The permit that was recorded for a request's nonce in its lineage.
    fn recorded(&self, request: &Value) -> Option<(usize, &Leaf)> {
        self.leaves().enumerate().find(|(_, leaf)| {
            let had = leaf.statement.claims.get("request").unwrap_or(&Value::Null);
            leaf.statement.kind == "permit"
                && ["domain", "lineage", "nonce"].iter().all(|name| had.get(*name) == request.get(*name))
        })
    }

    fn judge_request(&self, request: &Request<'_>) -> Judgement {
        let mut judgement = self.weigh(request);
        if !judgement.allows() {
            judgement.valid_until_ms = request.now_ms;
        }
        judgement
    }

    fn weigh(&self, request: &Request<'_>) -> Judgement {
        let mut judgement = Judgement::default();
        let reasons = &mut judgement.reasons;
        // If the request names another history, nothing else is checked.
        if let Some(asked) = request.text("history")
            && self.history().as_deref() != Some(asked)
        {
            reasons.insert("history_mismatch");
            return judgement;
        }
        let domain = request.text("domain").unwrap_or_default();
        if !self.ledger_state().domains.contains_key(domain) {
            reasons.insert("domain_unknown");
            return judgement;
        }
        if self.isolated(domain) {
            reasons.insert("domain_isolated");
        }
        // Without a policy nothing else is checked; a void policy still judges, and denies.
        let newest =
            self.leaves().rfind(|leaf| leaf.statement.kind == "policy" && leaf.statement.domain == domain);
        let Some(newest) = newest else {
            reasons.insert("policy_missing");
            return judgement;
        };
        if self.void(newest) {
            reasons.insert("inheritance_unverifiable");
        }
        let policy = Policy::of(&newest.statement.claims);
        let lineage = self.named_lineage(request, domain, reasons);
        if let Some(lineage) = &lineage {
            self.check_lineage(domain, lineage, request.subject(), reasons);
        }
        let runtime = self.named_runtime(request, domain, lineage.as_deref(), reasons);
        let Some(lineage) = lineage else { return judgement };
        self.check_permit(request, reasons);
        self.check_head(request, domain, &lineage, reasons);
        for of in std::iter::once(lineage.as_str()).chain(runtime) {
            self.check_negatives(domain, of, &policy, reasons);
        }
        let artifacts = self.check_artifacts(request, domain, &lineage, &policy, reasons);
        let mut takes = artifacts.takes;
        let mut until_ms = artifacts.until_ms.min(request.now_ms.saturating_add(policy.ttl_ms));
        for requirement in &policy.require {
            let of_runtime = requirement.get("of").and_then(Value::as_str) == Some("runtime");
            match if of_runtime { runtime } else { Some(lineage.as_str()) } {
                Some(of) => {
                    let met = self.check_requirement(requirement, request, (domain, of), &policy, reasons);
                    takes.extend(met.takes);
                    until_ms = until_ms.min(met.until_ms);
                }
                None => {
                    reasons.insert("evidence_missing");
                }
            }
        }
        judgement.takes = takes;
        judgement.valid_until_ms = until_ms;
        judgement
    }

    /// Checks that the recorded permit stands and is for this request.
    fn check_permit(&self, request: &Request<'_>, reasons: &mut Codes) {
        let Asked::Afterwards(Some((_, had))) = &request.asked else { return };
        if had.statement.claims.get("request") != Some(request.value) {
            reasons.insert("nonce_reused");
        } else if self.void(had) {
            reasons.insert("inheritance_unverifiable");
        }
    }

    /// The lineage of the request: the one that it names, or the only open lineage of the subject.
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

    /// The runtime of the request, if there is such a lineage. The execution's own lineage, named or found, is not a
    /// runtime.
    fn named_runtime<'a>(
        &self,
        request: &'a Request<'_>,
        domain: &str,
        found: Option<&str>,
        reasons: &mut Codes,
    ) -> Option<&'a str> {
        let runtime = request.text("runtime")?;
        if request.text("lineage").or(found) == Some(runtime) {
            reasons.insert("lineage_unknown");
            return None;
        }
        self.check_lineage(domain, runtime, None, reasons).then_some(runtime)
    }

    /// Collects what denies a lineage as a whole. Returns whether the lineage exists.
    fn check_lineage(&self, domain: &str, lineage: &str, subject: Option<&str>, reasons: &mut Codes) -> bool {
        let subjects: BTreeSet<&str> =
            self.evidence_in(domain, lineage).map(|leaf| leaf.statement.subject.as_str()).collect();
        if subjects.is_empty() {
            reasons.insert("lineage_unknown");
            return false;
        }
        if subject.is_some_and(|subject| !subjects.contains(subject)) || subjects.len() > 1 {
            reasons.insert("subject_mismatch");
        }
        if self.evidence_in(domain, lineage).any(|leaf| leaf.statement.closes()) {
            reasons.insert("lineage_closed");
        }
        if self.contained(domain, "quarantine", lineage) {
            reasons.insert("lineage_quarantined");
        }
        // Two statements for one slot await their reconciliation.
        let open = |leaf: &Leaf| leaf.equivocation && self.canonical_of(leaf).is_none();
        if self.evidence_in(domain, lineage).any(open) {
            reasons.extend(["authority_inconsistent", "lineage_quarantined"]);
        }
        true
    }

    fn check_head(&self, request: &Request<'_>, domain: &str, lineage: &str, reasons: &mut Codes) {
        let head = self.evidence_in(domain, lineage).rfind(|leaf| !leaf.equivocation);
        let expected = request.text("expectedHead");
        if expected.is_some() && expected != head.map(|leaf| leaf.statement.id.as_str()) {
            reasons.insert("head_mismatch");
        }
    }

    /// Each issuer's statements of a kind, slot by slot, the newest first.
    fn said<'a>(&'a self, domain: &str, lineage: &str, kind: &str) -> Vec<Vec<Vec<&'a Leaf>>> {
        let mut by_issuer: BTreeMap<&[String], BTreeMap<Option<u64>, Vec<&Leaf>>> = BTreeMap::new();
        for leaf in self.evidence_in(domain, lineage).filter(|leaf| leaf.statement.kind == kind) {
            let slots = by_issuer.entry(&leaf.statement.issuers).or_default();
            slots.entry(leaf.statement.sequence).or_default().push(leaf);
        }
        by_issuer.into_values().map(|slots| slots.into_values().rev().collect()).collect()
    }

    /// The statement of each issuer that may count: its newest one. `None` if the newest slot is contested, or if a
    /// statement of another kind won it.
    fn newest<'a>(&'a self, domain: &str, lineage: &str, kind: &str) -> Vec<Option<&'a Leaf>> {
        let uncontested = |slots: Vec<Vec<&'a Leaf>>| {
            slots.into_iter().next().and_then(|newest| newest.into_iter().find(|leaf| !self.contested(leaf)))
        };
        self.said(domain, lineage, kind).into_iter().map(uncontested).collect()
    }

    fn void(&self, leaf: &Leaf) -> bool {
        self.ledger_state().void.contains(&leaf.statement.id)
    }

    /// An issuer's negatives deny in its slots of a kind, from the newest one back to the first in which a statement of
    /// the kind stands. In each slot the negatives that stand deny. If nothing that was signed for the slot stands, all
    /// its negatives deny. A release lifts the negative that it names.
    fn check_negatives(&self, domain: &str, lineage: &str, policy: &Policy, reasons: &mut Codes) {
        for kind in ["runtime-attestation", "runtime-integrity", "policy-validation"] {
            for slots in self.said(domain, lineage, kind) {
                for slot in slots {
                    let of_slot = slot.iter().flat_map(|leaf| self.halves(leaf)).chain(slot.iter().copied());
                    let nothing_stands = of_slot.into_iter().all(|leaf| !self.stands(leaf));
                    let heard = slot.iter().filter(|leaf| nothing_stands || self.stands(leaf));
                    let unreleased =
                        |leaf: &&&Leaf| !self.ledger_state().released.contains(&leaf.statement.id);
                    reasons.extend(heard.filter(unreleased).filter_map(|leaf| negative(leaf, policy)));
                    if slot.iter().any(|leaf| self.stands(leaf)) {
                        break;
                    }
                }
            }
        }
    }

    /// Whether the statement has replaced what came before it: it is not void, and nothing that it rests on gives way.
    fn stands(&self, leaf: &Leaf) -> bool {
        !self.void(leaf) && !self.rests_on(&leaf.statement).into_iter().any(|leaf| self.gives_way(leaf))
    }

    /// Checks that the newest statements of enough issuers count. Returns those that count, needed or not.
    fn check_requirement(
        &self,
        requirement: &Value,
        request: &Request<'_>,
        (domain, lineage): (&str, &str),
        policy: &Policy,
        reasons: &mut Codes,
    ) -> Counted {
        let kind = requirement.get("kind").and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| requirement.get(name).and_then(Value::as_i64);
        let wanted = usize::try_from(number("minIssuers").unwrap_or(1)).unwrap_or(usize::MAX);
        let newest = self.newest(domain, lineage, kind);
        let old_at_ms = |leaf: &Leaf| {
            let born_ms = leaf.statement.issued_ms.min(leaf.accepted_ms);
            number("maxAgeSeconds")
                .map_or(i64::MAX, |limit| born_ms.saturating_add(limit.saturating_mul(1000)))
        };
        let flaws_of = |leaf: &Leaf| {
            let mut flaws = match kind {
                "execution-authorization" => self.artifact_flaws(leaf, request, domain),
                _ => self.flaws(leaf, domain, request.now_ms),
            };
            let digest = leaf.statement.claim("policyDigest");
            let unapproved =
                policy.digests.as_ref().is_some_and(|list| !list.iter().any(|one| one == digest));
            let digests = (kind == "policy-validation" && unapproved).then_some("policy_validation_failed");
            flaws.extend(negative(leaf, policy).or(digests));
            if self.trusted_until_ms(&leaf.statement).is_some_and(|until| until <= request.now_ms) {
                flaws.insert("inheritance_unverifiable");
            }
            if request.now_ms >= old_at_ms(leaf) {
                flaws.insert("runtime_stale");
            }
            flaws
        };
        let judged: Vec<(&Leaf, Codes)> =
            newest.iter().flatten().map(|leaf| (*leaf, flaws_of(leaf))).collect();
        let counted: Vec<&Leaf> =
            judged.iter().filter(|(_, flaws)| flaws.is_empty()).map(|(leaf, _)| *leaf).collect();
        if counted.len() < wanted {
            let flaws: Codes = judged.iter().flat_map(|(_, flaws)| flaws.iter().copied()).collect();
            if newest.len() < wanted || flaws.is_empty() {
                reasons.insert("evidence_missing");
            }
            reasons.extend(flaws);
        }
        let ages_ms = counted.iter().map(|leaf| old_at_ms(leaf)).min().unwrap_or(i64::MAX);
        let Counted { takes, until_ms } = self.counted(&counted, domain);
        Counted { takes, until_ms: until_ms.min(ages_ms) }
    }

    /// What these statements contribute to an allow. The allow holds only as long as each of them counts, even if
    /// enough others would be left.
    fn counted(&self, counted: &[&Leaf], domain: &str) -> Counted {
        let with_uses = counted.iter().filter(|leaf| uses(leaf).is_some());
        Counted {
            takes: with_uses.map(|leaf| leaf.statement.id.clone()).collect(),
            until_ms: counted.iter().map(|leaf| self.ends_ms(leaf, domain)).min().unwrap_or(i64::MAX),
        }
    }

    /// When a piece of evidence ends, by its own statement or because its issuer's authority ends.
    fn ends_ms(&self, leaf: &Leaf, domain: &str) -> i64 {
        let statement = &leaf.statement;
        let authorities = statement
            .issuers
            .iter()
            .filter_map(|key| self.ledger_state().authority(key, domain))
            .map(|one| one.to_ms);
        let artifact = statement.kind == "execution-authorization";
        let own = artifact.then(|| statement.claim_ms("notAfter")).flatten();
        let trusted = self.trusted_until_ms(statement);
        authorities.chain(statement.expires_ms).chain(own).chain(trusted).min().unwrap_or(i64::MAX)
    }

    /// Why a piece of evidence does not count, whatever its kind.
    fn flaws(&self, leaf: &Leaf, domain: &str, now_ms: i64) -> Codes {
        let ledger_state = self.ledger_state();
        let issuers = leaf.statement.issuers.iter();
        let mut flaws: Codes = issuers.flat_map(|key| ledger_state.silenced(key, domain, now_ms)).collect();
        if self.rests_on(&leaf.statement).into_iter().any(|leaf| self.gives_way(leaf)) {
            flaws.insert("inheritance_unverifiable");
        }
        if leaf.statement.expires_ms.is_some_and(|expires| expires <= now_ms) {
            flaws.insert("evidence_expired");
        }
        if ledger_state.invalidated.contains(&leaf.statement.id) {
            flaws.insert("evidence_invalidated");
        } else if self.void(leaf) && flaws.is_empty() {
            flaws.insert("inheritance_unverifiable");
        }
        flaws
    }

    /// Checks that one execution-authorization counts. Returns those that count.
    fn check_artifacts(
        &self,
        request: &Request<'_>,
        domain: &str,
        lineage: &str,
        policy: &Policy,
        reasons: &mut Codes,
    ) -> Counted {
        let newest = self.newest(domain, lineage, "execution-authorization");
        let judged = newest.iter().flatten().map(|leaf| (*leaf, self.artifact_flaws(leaf, request, domain)));
        let judged: Vec<(&Leaf, Codes)> = judged.collect();
        let counted: Vec<&Leaf> =
            judged.iter().filter(|(_, flaws)| flaws.is_empty()).map(|(leaf, _)| *leaf).collect();
        if judged.is_empty() {
            reasons.insert("evidence_missing");
        }
        if counted.is_empty() {
            reasons.extend(judged.iter().flat_map(|(_, flaws)| flaws.iter().copied()));
        }
        let never_read = policy.permit_always && matches!(request.asked, Asked::Read);
        let not_recorded = !counted.is_empty() && matches!(request.asked, Asked::Afterwards(None));
        if never_read || not_recorded {
            reasons.insert("permit_required");
        }
        self.counted(&counted, domain)
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
        if maybe_texts(statement.claims.get("runtimes")).is_some_and(|list| !contains(&list, "runtime")) {
            flaws.insert("runtime_mismatch");
        }
        flaws.extend(self.uses_flaw(leaf, request));
        flaws
    }

    /// Why its uses keep an authorization from counting.
    fn uses_flaw(&self, leaf: &Leaf, request: &Request<'_>) -> Option<&'static str> {
        let uses = uses(leaf)?;
        match &request.asked {
            Asked::Read => Some("permit_required"),
            Asked::Afterwards(Some((_, had)))
                if had.statement.claims.get("request") == Some(request.value) =>
            {
                (!had.takes.contains(&leaf.statement.id)).then_some("authorization_consumed")
            }
            Asked::ToRecord | Asked::Afterwards(_) => {
                // A use under either statement for a slot counts for the slot.
                let halves = self.halves(leaf);
                let of_slot = |id: &String| {
                    *id == leaf.statement.id || halves.iter().any(|half| half.statement.id == *id)
                };
                let taken = self.leaves().filter(|permit| permit.takes.iter().any(of_slot)).count();
                u64::try_from(taken).is_ok_and(|taken| taken >= uses).then_some("authorization_consumed")
            }
        }
    }
}

/// The number of uses that an authorization has, if they are counted.
fn uses(leaf: &Leaf) -> Option<u64> {
    leaf.statement.claims.get("uses").and_then(Value::as_u64)
}

/// The code with which a statement denies its subject, under a policy.
fn negative(leaf: &Leaf, policy: &Policy) -> Option<&'static str> {
    let statement = &leaf.statement;
    let rejects = |list: &Option<Vec<String>>, value: &str| {
        list.as_ref().is_some_and(|list| !list.iter().any(|one| one == value))
    };
    match statement.kind.as_str() {
        "runtime-attestation" if rejects(&policy.statuses, statement.claim("status")) => {
            Some("attestation_not_affirming")
        }
        "runtime-attestation" if rejects(&policy.measurements, statement.claim("measurement")) => {
            Some("measurement_not_approved")
        }
        "runtime-integrity" if rejects(&policy.measurements, statement.claim("measured")) => {
            Some("measurement_not_approved")
        }
        "policy-validation" if statement.claim("verdict") == "fail" => Some("policy_validation_failed"),
        _ => None,
    }
}

impl Policy {
    fn of(claims: &Value) -> Self {
        Self {
            require: claims.get("require").and_then(Value::as_array).cloned().unwrap_or_default(),
            statuses: maybe_texts(claims.get("attestationStatus")),
            measurements: maybe_texts(claims.get("measurements")),
            digests: maybe_texts(claims.get("policyDigests")),
            permit_always: claims.get("permitAlways").and_then(Value::as_bool) == Some(true),
            ttl_ms: claims
                .get("decisionTtlSeconds")
                .and_then(Value::as_i64)
                .map_or(0, |seconds| seconds.saturating_mul(1000)),
        }
    }
}
