//! The model's acceptance (docs/protocol.md, "Lineages and slots" and "Kinds"), in the order of checks: repetition,
//! domain, authorities, role, claims, times, references, slot, and, for a checkpoint of another registry, whether it
//! extends that registry's last one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::peers::is_stale_recovery;
use super::statement::{Class, Statement, texts};
use super::{CLOCK_BOUND_MS, Leaf, Model, SubmitAnswer};
use SubmitAnswer::{Accepted, Again, Equivocation, Refused};

/// The effect of a statement that passed all checks.
enum Place {
    Next,
    Second,
    AddsNothingTo(usize),
}

impl Model {
    /// Submits an envelope at a time. Returns the registry afterwards, and its answer.
    pub fn submit(&self, envelope: &str, accepted_at_ms: i64) -> (Model, SubmitAnswer) {
        let Some(statement) = Statement::read(envelope) else { return (self.clone(), Refused("malformed")) };
        if self.leaves().next().is_some_and(|first| first.statement.registry != statement.registry) {
            return (self.clone(), Refused("wrong_registry"));
        }
        if let Some(place) = self.place_of(&statement.id) {
            if self.ledger_state().released.contains(&statement.id) && statement.kind == "containment" {
                // The first receipt would claim that something is contained.
                return (self.clone(), Refused("claims_invalid"));
            }
            let second = self.inner.leaves.get(place).is_some_and(|leaf| leaf.equivocation);
            return (self.clone(), if second { Equivocation(place) } else { Again(place) });
        }
        let now = accepted_at_ms.max(self.time_ms());
        match self.judge(&statement, now) {
            Err(code) => (self.clone(), Refused(code)),
            Ok(Place::AddsNothingTo(place)) => (self.clone(), Again(place)),
            Ok(Place::Next) => (self.with(statement, now, false, Vec::new()), Accepted(self.len())),
            Ok(Place::Second) => (self.with(statement, now, true, Vec::new()), Equivocation(self.len())),
        }
    }

    fn judge(&self, statement: &Statement, now: i64) -> Result<Place, &'static str> {
        let class = statement.class.ok_or("malformed")?;
        if statement.sequence == Some(0) && statement.parent.is_some() {
            return Err("malformed");
        }
        if statement.kind == "recovery" && statement.domain != "_root" {
            return Err("malformed");
        }
        if statement.kind == "policy" && !says_what_it_checks(&statement.claims) {
            return Err("claims_invalid");
        }
        self.check_domain(statement, class)?;
        self.check_signers(statement, class, now)?;
        self.check_claims(statement, now)?;
        self.check_times(statement, now)?;
        self.check_references(statement)?;
        match class {
            Class::Restriction => Ok(self.check_restriction(statement)),
            Class::Governance => self.check_shared_slot(statement).map(|()| Place::Next),
            Class::Execution => {
                let place = self.check_own_slot(statement)?;
                self.check_checkpoint(statement, matches!(place, Place::Next), now)?;
                Ok(place)
            }
            Class::Node => Err("caller_not_permitted"),
        }
    }

    fn check_domain(&self, statement: &Statement, class: Class) -> Result<(), &'static str> {
        if !self.ledger_state().domains.contains_key(&statement.domain) {
            return Err("domain_unknown");
        }
        if class == Class::Execution && self.isolated(&statement.domain) {
            return Err("domain_isolated");
        }
        Ok(())
    }

    fn check_signers(&self, statement: &Statement, class: Class, now: i64) -> Result<(), &'static str> {
        let ledger_state = self.ledger_state();
        let governance = ledger_state.domains.get(&statement.domain).cloned().unwrap_or_default();
        let admitted = statement.admits();
        if statement.kind == "domain" && !(1..=admitted.len()).contains(&number(statement, "threshold")) {
            return Err("claims_invalid");
        }
        let governed = ledger_state.domains.get(statement.claim("domain"));
        let stays =
            |key: &String| statement.kind == "domain" && governed.is_some_and(|of| of.keys.contains(key));
        if admitted.iter().any(|key| !stays(key) && !statement.issuers.contains(key)) {
            return Err("unsigned_evidence");
        }
        // Restrictions signed by several issuers are kept in a safe, and may be used after one of these keys has
        // ended.
        let several = class == Class::Restriction && statement.issuers.len() > 1;
        let mut roles = Vec::new();
        for key in statement.issuers.iter().filter(|key| !admitted.contains(*key)) {
            let authority = ledger_state.authority(key, &statement.domain).ok_or("authority_unknown")?;
            match ledger_state.silenced(key, &statement.domain, now).first() {
                Some(_) if several => {}
                Some(code) => return Err(code),
                None => roles.push((key.as_str(), authority.role.as_str())),
            }
        }
        let target = ledger_state.authorities.get(statement.claim("authority"));
        let since = statement.claims.get("invalidSince").is_some_and(|since| !since.is_null());
        let of_governance = target.is_some_and(|target| target.role == "governance");
        let revokes = statement.kind == "revocation";
        let itself = revokes && statement.issuers == [statement.claim("authority")];
        // Alone, a key may revoke itself, but a governance key only from now on.
        let own = itself && !(of_governance && since);
        let in_root = statement.domain == "_root";
        if !own && roles.iter().any(|(_, role)| !statement.roles().contains(role)) {
            return Err("role_not_permitted");
        }
        let by_threshold =
            class == Class::Governance || (revokes && !own && (of_governance || since || in_root));
        let needed = if by_threshold { governance.threshold } else { 1 };
        // Against a governance key its own signature does not count.
        let against =
            |key: &str| revokes && by_threshold && of_governance && key == statement.claim("authority");
        let signed = roles.iter().filter(|(key, _)| !against(key)).count();
        if u64::try_from(signed).unwrap_or(u64::MAX) < needed { Err("threshold_not_met") } else { Ok(()) }
    }

    /// Checks that enough living governance keys are left to reach the threshold once this key is revoked.
    fn check_still_governed(&self, statement: &Statement) -> Result<(), &'static str> {
        let ledger_state = self.ledger_state();
        let revoked = statement.claim("authority");
        let Some(governance) = ledger_state.domains.get(&statement.domain) else { return Ok(()) };
        let lives = |key: &str| ledger_state.authorities.get(key).is_some_and(|known| !known.revoked);
        if !governance.keys.contains(revoked) || !lives(revoked) {
            return Ok(());
        }
        let left = governance.keys.iter().filter(|key| *key != revoked && lives(key)).count();
        if u64::try_from(left).unwrap_or(u64::MAX) < governance.threshold {
            Err("threshold_not_met")
        } else {
            Ok(())
        }
    }

    fn check_claims(&self, statement: &Statement, now: i64) -> Result<(), &'static str> {
        match statement.kind.as_str() {
            "authority-grant" => {
                let (role, root) = (statement.claim("role"), statement.domain == "_root");
                if role == "governance" || (root && role != "registry") {
                    return Err("claims_invalid");
                }
                self.check_admitted(statement.claim("authority"), &statement.domain, role)
            }
            "root" => {
                let (keys, registry) = (statement.admits(), statement.claim("registryKey"));
                if keys.contains(registry) || self.ledger_state().authorities.contains_key(registry) {
                    return Err("authority_inconsistent");
                }
                keys.iter().try_for_each(|key| self.check_admitted(key, "_root", "governance"))
            }
            "domain" => {
                let admit = |key: &String| self.check_admitted(key, statement.claim("domain"), "governance");
                statement.admits().iter().try_for_each(admit)
            }
            "revocation" => {
                match self.ledger_state().authority(statement.claim("authority"), &statement.domain) {
                    Some(_) => self.check_still_governed(statement),
                    None => Err("target_unknown"),
                }
            }
            "containment" => self.check_containment(statement),
            "release" => self.check_release(statement),
            "reconciliation" => self.check_reconciliation(statement),
            "audit-lineage" => self.check_event(statement),
            "sovereign-trust" => self.check_trust(statement),
            "recovery" => self.check_recovery(statement, now),
            _ => Ok(()),
        }
    }

    /// Checks that one key has one role in one domain, and that a revoked key stays revoked. The key that signs
    /// checkpoints has no other role.
    fn check_admitted(&self, key: &str, domain: &str, role: &str) -> Result<(), &'static str> {
        match self.ledger_state().authorities.get(key) {
            None if self.registry_key() == Some(key) => Err("authority_inconsistent"),
            Some(known) if known.revoked => Err("authority_revoked"),
            Some(known) if known.role != role || known.domain != domain => Err("authority_inconsistent"),
            _ => Ok(()),
        }
    }

    fn check_containment(&self, statement: &Statement) -> Result<(), &'static str> {
        let target = statement.claim("target");
        match statement.claim("action") {
            "isolate" if target != statement.domain || target == "_root" => Err("claims_invalid"),
            "quarantine" if target == "_governance" => Err("claims_invalid"),
            "quarantine" if self.evidence_in(&statement.domain, target).next().is_none() => {
                Err("target_unknown")
            }
            "invalidate" => {
                match self.find(target).filter(|leaf| leaf.statement.domain == statement.domain) {
                    None => Err("target_unknown"),
                    Some(leaf) if leaf.statement.class != Some(Class::Execution) => Err("claims_invalid"),
                    Some(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Checks what a release lifts: a quarantine or isolation, or a negative whose issuer's key is revoked, and that
    /// it is not lifted yet.
    fn check_release(&self, statement: &Statement) -> Result<(), &'static str> {
        let of = self.find(statement.claim("containment")).map(|leaf| &leaf.statement);
        let of = of.filter(|of| of.domain == statement.domain).ok_or("target_unknown")?;
        let holds = of.kind == "containment" && of.claim("action") != "invalidate";
        let says =
            matches!(of.kind.as_str(), "runtime-attestation" | "runtime-integrity" | "policy-validation");
        let dead = of
            .issuers
            .iter()
            .all(|key| self.ledger_state().authorities.get(key).is_none_or(|known| known.revoked));
        let lifted = self.ledger_state().released.contains(&of.id);
        if !lifted && (holds || (says && dead)) { Ok(()) } else { Err("claims_invalid") }
    }

    fn check_reconciliation(&self, statement: &Statement) -> Result<(), &'static str> {
        let conflict = texts(statement.claims.get("conflict"));
        let half = |id: &String| self.find(id).filter(|leaf| leaf.statement.domain == statement.domain);
        let halves: Vec<&Leaf> = conflict.iter().filter_map(half).collect();
        let [one, other] = halves.as_slice() else { return Err("target_unknown") };
        let same_slot = one.statement.lineage == other.statement.lineage
            && one.statement.issuers == other.statement.issuers
            && one.statement.sequence == other.statement.sequence;
        let named = conflict.iter().any(|id| id == statement.claim("canonical"));
        let done = self.canonical_of(one).is_some();
        if same_slot && one.equivocation != other.equivocation && named && !done {
            Ok(())
        } else {
            Err("claims_invalid")
        }
    }

    pub(super) fn check_times(&self, statement: &Statement, now: i64) -> Result<(), &'static str> {
        let ahead = statement.issued_ms > now.saturating_add(CLOCK_BOUND_MS);
        let expires = statement.expires_ms;
        let elapsed = expires.is_some_and(|expires| expires <= now || expires <= statement.issued_ms);
        let until = statement.claim_ms("notAfter");
        let over = until.is_some_and(|until| until <= now || Some(until) <= statement.claim_ms("notBefore"));
        let since_ahead = statement.claim_ms("invalidSince").is_some_and(|since| since > now);
        let invalid = ahead || elapsed || over || since_ahead || is_stale_recovery(statement, now);
        if invalid { Err("times_invalid") } else { Ok(()) }
    }

    /// Checks that what a statement rests on exists and stands, and is neither in the statement's own slot nor in a
    /// later slot of its issuer.
    fn check_references(&self, statement: &Statement) -> Result<(), &'static str> {
        if statement.kind == "audit-lineage" && statement.references.is_empty() {
            return Err("evidence_detached");
        }
        let there = |id: &String| self.find(id).is_some_and(|leaf| leaf.statement.domain == statement.domain);
        if !statement.references.iter().all(there) {
            return Err("evidence_detached");
        }
        let rests_on = self.rests_on(statement);
        if rests_on.iter().any(|leaf| self.gives_way(leaf)) {
            return Err("inheritance_unverifiable");
        }
        let own_or_later = |leaf: &&Leaf| {
            leaf.statement.lineage == statement.lineage
                && leaf.statement.issuers == statement.issuers
                && leaf.statement.sequence >= statement.sequence
        };
        if rests_on.iter().any(own_or_later) { Err("lineage_fragmented") } else { Ok(()) }
    }

    /// Everything that a statement rests on, directly or indirectly.
    pub(super) fn rests_on(&self, statement: &Statement) -> Vec<&Leaf> {
        let mut found: Vec<&Leaf> = Vec::new();
        let mut open = statement.references.clone();
        while let Some(id) = open.pop() {
            if let Some(leaf) = self.find(&id).filter(|leaf| !found.contains(leaf)) {
                found.push(leaf);
                open.extend(leaf.statement.references.iter().cloned());
            }
        }
        found
    }

    /// Whether nothing can rest on it: it is void, its slot is contested and it is not the half that stands, or its
    /// key is dead.
    pub(super) fn gives_way(&self, leaf: &Leaf) -> bool {
        let dead = |key: &String| self.ledger_state().authorities.get(key).is_none_or(|known| known.revoked);
        let id = &leaf.statement.id;
        self.ledger_state().void.contains(id)
            || (leaf.statement.class == Some(Class::Execution)
                && (self.contested(leaf) || leaf.statement.issuers.iter().any(dead)))
    }

    /// Both statements for its slot, if there are two.
    pub(super) fn halves(&self, leaf: &Leaf) -> Vec<&Leaf> {
        let of = &leaf.statement;
        let same =
            |other: &&Leaf| other.statement.sequence == of.sequence && other.statement.issuers == of.issuers;
        let halves: Vec<&Leaf> = self.evidence_in(&of.domain, &of.lineage).filter(same).collect();
        if halves.len() > 1 { halves } else { Vec::new() }
    }

    /// The half of two statements for its slot that stands, if they were reconciled.
    pub(super) fn canonical_of(&self, leaf: &Leaf) -> Option<&str> {
        let of_slot = |(pair, _): &&(BTreeSet<String>, String)| pair.contains(&leaf.statement.id);
        self.ledger_state().reconciled.iter().find(of_slot).map(|(_, canonical)| canonical.as_str())
    }

    /// Whether there are two statements for its slot, and it is not the one that stands.
    pub(super) fn contested(&self, leaf: &Leaf) -> bool {
        !self.halves(leaf).is_empty() && self.canonical_of(leaf) != Some(&leaf.statement.id)
    }

    /// A restriction that adds nothing to one in force by the same issuers is treated as that one.
    fn check_restriction(&self, statement: &Statement) -> Place {
        let ledger_state = self.ledger_state();
        let by = |of: &Statement| of.issuers.iter().cloned().collect::<BTreeSet<String>>();
        let same = |leaf: &&Leaf| {
            let of = &leaf.statement;
            of.kind == statement.kind
                && of.domain == statement.domain
                && by(of) == by(statement)
                && ["authority", "action", "target"]
                    .iter()
                    .all(|claim| of.claim(claim) == statement.claim(claim))
        };
        let Some(earlier) = self.leaves().rfind(same) else { return Place::Next };
        let known = ledger_state.authorities.get(statement.claim("authority"));
        let reaches = known.and_then(|known| known.invalid_since_ms).unwrap_or(i64::MAX);
        let adds = match statement.kind.as_str() {
            "revocation" => statement.claim_ms("invalidSince").is_some_and(|since| since < reaches),
            _ => ledger_state.released.contains(&earlier.statement.id),
        };
        match self.place_of(&earlier.statement.id) {
            Some(place) if !adds => Place::AddsNothingTo(place),
            _ => Place::Next,
        }
    }

    /// Checks the slot of a governance statement: all governance of a domain shares one chain.
    fn check_shared_slot(&self, statement: &Statement) -> Result<(), &'static str> {
        let chain = self.leaves().filter(|leaf| {
            leaf.statement.domain == statement.domain && leaf.statement.class == Some(Class::Governance)
        });
        let chain: Vec<&Leaf> = chain.collect();
        let next = u64::try_from(chain.len()).unwrap_or(u64::MAX);
        let head = chain.last().map(|leaf| leaf.statement.id.as_str());
        match statement.sequence {
            Some(sequence) if sequence < next => Err("head_moved"),
            Some(sequence) if sequence == next && statement.parent.as_deref() == head => Ok(()),
            _ => Err("lineage_fragmented"),
        }
    }

    /// Checks the slot of an execution's statement: each issuer has a chain of its own in a lineage. A second
    /// statement for a slot is looked for before anything that depends on which of the two came first.
    fn check_own_slot(&self, statement: &Statement) -> Result<Place, &'static str> {
        let lineage: Vec<&Leaf> = self.evidence_in(&statement.domain, &statement.lineage).collect();
        let founds = lineage.first().is_none_or(|first| first.statement.issuers == statement.issuers)
            && statement.sequence == Some(0);
        if !founds
            && !lineage.iter().any(|leaf| leaf.statement.subject == statement.subject)
            && !lineage.is_empty()
        {
            return Err("subject_mismatch");
        }
        let own: Vec<&Leaf> =
            lineage.iter().copied().filter(|leaf| leaf.statement.issuers == statement.issuers).collect();
        let chain: Vec<&Leaf> = own.iter().copied().filter(|leaf| !leaf.equivocation).collect();
        let sequence =
            statement.sequence.and_then(|sequence| usize::try_from(sequence).ok()).ok_or("malformed")?;
        if sequence < chain.len() {
            let mut seconds = own.iter().filter(|leaf| leaf.equivocation);
            let recorded = |second: &&Leaf| {
                second.statement.sequence == statement.sequence || self.canonical_of(second).is_none()
            };
            return if seconds.any(recorded) { Err("authority_inconsistent") } else { Ok(Place::Second) };
        }
        if lineage.iter().any(|leaf| leaf.statement.closes()) {
            return Err("lineage_closed");
        }
        let parent = statement.parent.as_deref();
        let before = statement.sequence.and_then(|sequence| sequence.checked_sub(1));
        let joins = match before {
            None => parent.is_none(),
            Some(before) => own.iter().any(|leaf| {
                leaf.statement.sequence == Some(before) && parent == Some(leaf.statement.id.as_str())
            }),
        };
        if sequence == chain.len() && joins { Ok(Place::Next) } else { Err("lineage_fragmented") }
    }

    /// The slotted evidence of a lineage, in order.
    pub(super) fn evidence_in(&self, domain: &str, lineage: &str) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.leaves().filter(move |leaf| {
            let of = &leaf.statement;
            of.class == Some(Class::Execution) && of.domain == domain && of.lineage == lineage
        })
    }

    /// Whether the domain is isolated.
    pub(super) fn isolated(&self, domain: &str) -> bool {
        self.contained(domain, "isolate", domain)
    }

    /// Whether a containment of this target is in force.
    pub(super) fn contained(&self, domain: &str, action: &str, target: &str) -> bool {
        self.leaves().any(|leaf| {
            let of = &leaf.statement;
            of.kind == "containment"
                && of.domain == domain
                && of.claim("action") == action
                && of.claim("target") == target
                && !self.ledger_state().released.contains(&of.id)
        })
    }
}

/// Whether a policy states, for each kind that it requires, how old the evidence may be and which values are approved:
/// a limit or a list, or `null` (docs/protocol.md, "Policy").
fn says_what_it_checks(claims: &Value) -> bool {
    let required = claims.get("require").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    required.iter().all(|requirement| {
        let lists: &[&str] = match requirement.get("kind").and_then(Value::as_str) {
            Some("runtime-attestation") => &["attestationStatus", "measurements"],
            Some("runtime-integrity") => &["measurements"],
            Some("policy-validation") => &["policyDigests"],
            _ => &[],
        };
        requirement.get("maxAgeSeconds").is_some() && lists.iter().all(|list| claims.get(list).is_some())
    })
}

/// A claim that is a count.
fn number(statement: &Statement, name: &str) -> usize {
    statement
        .claims
        .get(name)
        .and_then(Value::as_u64)
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}
