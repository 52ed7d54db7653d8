//! What is accepted (docs/protocol.md, "Lineages and slots" and "Kinds"), in the order of checks: the same again, domain,
//! authorities, role, claims, times, references, slot.

use serde_json::Value;

use super::statement::{Class, Statement, texts};
use super::{CLOCK_BOUND_MS, Leaf, Model, SubmitAnswer};
use SubmitAnswer::{Accepted, Again, Equivocation, Refused};

/// What a statement that passed all checks does.
enum Place {
    Next,
    Second,
    AddsNothingTo(usize),
}

impl Model {
    /// Submits an envelope at a time: what the registry is then, and what it answers.
    pub fn submit(&self, envelope: &str, accepted_at_ms: i64) -> (Model, SubmitAnswer) {
        let Some(statement) = Statement::read(envelope) else { return (self.clone(), Refused("malformed")) };
        if self.leaves().next().is_some_and(|first| first.statement.registry != statement.registry) {
            return (self.clone(), Refused("wrong_registry"));
        }
        if let Some(place) = self.place_of(&statement.id) {
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
        let class = statement.class().ok_or("malformed")?;
        if statement.sequence == Some(0) && statement.parent.is_some() {
            return Err("malformed");
        }
        self.check_domain(statement, class)?;
        self.check_signers(statement, class, now)?;
        self.check_claims(statement)?;
        self.check_times(statement, now)?;
        self.check_references(statement)?;
        match class {
            Class::Restriction => Ok(self.check_restriction(statement)),
            Class::Governance => self.check_shared_slot(statement).map(|()| Place::Next),
            Class::Execution => self.check_own_slot(statement),
            Class::Node => Err("caller_not_permitted"),
        }
    }

    fn check_domain(&self, statement: &Statement, class: Class) -> Result<(), &'static str> {
        if !self.standing().domains.contains_key(&statement.domain) {
            return Err("domain_unknown");
        }
        if class == Class::Execution && self.isolated(&statement.domain) {
            return Err("domain_isolated");
        }
        Ok(())
    }

    fn check_signers(&self, statement: &Statement, class: Class, now: i64) -> Result<(), &'static str> {
        let standing = self.standing();
        let admitted = statement.admits();
        let governance = standing.domains.get(&statement.domain).cloned().unwrap_or_default();
        let own = statement.kind == "revocation" && statement.issuers == [statement.claim("authority")];
        let mut counted = 0_u64;
        for key in
            statement.issuers.iter().filter(|key| !admitted.contains(*key) || governance.keys.contains(*key))
        {
            if let Some(code) = standing.silenced(key, &statement.domain, now) {
                return Err(code);
            }
            let role = standing.role(key, &statement.domain).unwrap_or_default();
            if !own && !statement.roles().contains(&role) {
                return Err("role_not_permitted");
            }
            counted = counted.saturating_add(u64::from(role == "governance"));
        }
        let of_governance = governance.keys.contains(statement.claim("authority"));
        let since = statement.claims.get("invalidSince").is_some_and(|since| !since.is_null());
        let at_threshold = class == Class::Governance
            || (statement.kind == "revocation" && !own && (of_governance || since));
        if at_threshold && counted < governance.threshold {
            return Err("threshold_not_met");
        }
        Ok(())
    }

    fn check_claims(&self, statement: &Statement) -> Result<(), &'static str> {
        let standing = self.standing();
        match statement.kind.as_str() {
            "authority-grant" => {
                self.check_admitted(statement.claim("authority"), statement, statement.claim("role"))
            }
            "domain" => statement
                .admits()
                .iter()
                .try_for_each(|key| self.check_admitted(key, statement, "governance")),
            "revocation" => match standing.authorities.get(statement.claim("authority")) {
                Some(authority) if authority.domain == statement.domain => Ok(()),
                _ => Err("target_unknown"),
            },
            "containment" => self.check_containment(statement),
            "release" => self.check_release(statement),
            "reconciliation" => self.check_reconciliation(statement),
            _ => Ok(()),
        }
    }

    /// One key has one role in one domain, and a revoked one is dead.
    fn check_admitted(&self, key: &str, statement: &Statement, role: &str) -> Result<(), &'static str> {
        let domain = if statement.kind == "domain" { statement.claim("domain") } else { &statement.domain };
        match self.standing().authorities.get(key) {
            Some(known) if known.role != role || known.domain != domain => Err("authority_inconsistent"),
            Some(known) if known.revoked => Err("authority_revoked"),
            _ => Ok(()),
        }
    }

    fn check_containment(&self, statement: &Statement) -> Result<(), &'static str> {
        let target = statement.claim("target");
        match statement.claim("action") {
            "isolate" if target != statement.domain => Err("claims_invalid"),
            "quarantine" if target == "_governance" => Err("claims_invalid"),
            "quarantine" if self.evidence_in(&statement.domain, target).next().is_none() => {
                Err("target_unknown")
            }
            "invalidate" => {
                match self.find(target).filter(|leaf| leaf.statement.domain == statement.domain) {
                    None => Err("target_unknown"),
                    Some(leaf) if leaf.statement.class() != Some(Class::Execution) => Err("claims_invalid"),
                    Some(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn check_release(&self, statement: &Statement) -> Result<(), &'static str> {
        let of = self.find(statement.claim("containment")).map(|leaf| &leaf.statement);
        match of.filter(|of| of.domain == statement.domain) {
            None => Err("target_unknown"),
            Some(of) if of.kind == "containment" && of.claim("action") != "invalidate" => Ok(()),
            Some(of) if of.class() == Some(Class::Execution) => {
                let dead = of.issuers.iter().all(|key| self.standing().dead(key));
                if dead { Ok(()) } else { Err("claims_invalid") }
            }
            Some(_) => Err("claims_invalid"),
        }
    }

    fn check_reconciliation(&self, statement: &Statement) -> Result<(), &'static str> {
        let conflict = texts(statement.claims.get("conflict"));
        let halves: Vec<&Leaf> = conflict.iter().filter_map(|id| self.find(id)).collect();
        let [one, other] = halves.as_slice() else { return Err("target_unknown") };
        let same_slot = one.statement.lineage == other.statement.lineage
            && one.statement.issuers == other.statement.issuers
            && one.statement.sequence == other.statement.sequence
            && one.statement.domain == statement.domain;
        if !same_slot || one.equivocation == other.equivocation {
            return Err("claims_invalid");
        }
        if !conflict.iter().any(|id| id == statement.claim("canonical")) {
            return Err("claims_invalid");
        }
        let pair = conflict.into_iter().collect();
        if self.standing().reconciled.iter().any(|(done, _)| *done == pair) {
            Err("claims_invalid")
        } else {
            Ok(())
        }
    }

    fn check_times(&self, statement: &Statement, now: i64) -> Result<(), &'static str> {
        let ahead = statement.issued_ms > now.saturating_add(CLOCK_BOUND_MS);
        let elapsed = statement.expires_ms.is_some_and(|expires| expires <= now);
        let since_ahead = statement.claim_ms("invalidSince").is_some_and(|since| since > now);
        if ahead || elapsed || since_ahead { Err("times_invalid") } else { Ok(()) }
    }

    fn check_references(&self, statement: &Statement) -> Result<(), &'static str> {
        if statement.kind == "audit-lineage" && statement.references.is_empty() {
            return Err("evidence_detached");
        }
        for id in &statement.references {
            let Some(leaf) = self.find(id).filter(|leaf| leaf.statement.domain == statement.domain) else {
                return Err("evidence_detached");
            };
            let own_or_later = leaf.statement.lineage == statement.lineage
                && leaf.statement.issuers == statement.issuers
                && leaf.statement.sequence >= statement.sequence;
            if own_or_later {
                return Err("evidence_detached");
            }
            if self.standing().void.contains_key(id) {
                return Err("inheritance_unverifiable");
            }
        }
        Ok(())
    }

    /// A restriction that adds nothing to one in force by the same issuers is that one.
    fn check_restriction(&self, statement: &Statement) -> Place {
        let standing = self.standing();
        let since = |of: &Statement| of.claim_ms("invalidSince").unwrap_or(i64::MAX);
        let covers = |leaf: &Leaf| {
            let of = &leaf.statement;
            let same =
                of.kind == statement.kind && of.domain == statement.domain && of.issuers == statement.issuers;
            let revokes = of.kind == "revocation"
                && of.claim("authority") == statement.claim("authority")
                && since(of) <= since(statement);
            let contains = of.kind == "containment"
                && of.claim("action") == statement.claim("action")
                && of.claim("target") == statement.claim("target")
                && !standing.released.contains(&of.id);
            same && (revokes || contains)
        };
        self.leaves().position(covers).map_or(Place::Next, Place::AddsNothingTo)
    }

    /// All governance of a domain shares one chain.
    fn check_shared_slot(&self, statement: &Statement) -> Result<(), &'static str> {
        let chain = self.leaves().filter(|leaf| {
            leaf.statement.domain == statement.domain && leaf.statement.class() == Some(Class::Governance)
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

    /// Each issuer has a chain of its own in an execution's lineage.
    fn check_own_slot(&self, statement: &Statement) -> Result<Place, &'static str> {
        let lineage: Vec<&Leaf> = self.evidence_in(&statement.domain, &statement.lineage).collect();
        if lineage.first().is_some_and(|first| first.statement.subject != statement.subject) {
            return Err("subject_mismatch");
        }
        if lineage.iter().any(|leaf| leaf.statement.closes()) {
            return Err("lineage_closed");
        }
        let own: Vec<&&Leaf> =
            lineage.iter().filter(|leaf| leaf.statement.issuers == statement.issuers).collect();
        let chain: Vec<&&&Leaf> = own.iter().filter(|leaf| !leaf.equivocation).collect();
        let second = own.iter().find(|leaf| leaf.equivocation);
        let sequence =
            statement.sequence.and_then(|sequence| usize::try_from(sequence).ok()).ok_or("malformed")?;
        let before = sequence.checked_sub(1).and_then(|before| chain.get(before));
        let second_before =
            second.filter(|leaf| before.is_some_and(|b| b.statement.sequence == leaf.statement.sequence));
        let parents: Vec<Option<&str>> = match before {
            None => vec![None],
            Some(before) => {
                let second = second_before.map(|leaf| Some(leaf.statement.id.as_str()));
                std::iter::once(Some(before.statement.id.as_str())).chain(second).collect()
            }
        };
        let joins = parents.contains(&statement.parent.as_deref());
        match sequence.cmp(&chain.len()) {
            std::cmp::Ordering::Equal if joins => Ok(Place::Next),
            std::cmp::Ordering::Less if joins && second.is_none() => Ok(Place::Second),
            std::cmp::Ordering::Less if joins => Err("authority_inconsistent"),
            _ => Err("lineage_fragmented"),
        }
    }

    /// The slotted evidence of a lineage, in order.
    pub(super) fn evidence_in(&self, domain: &str, lineage: &str) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.leaves().filter(move |leaf| {
            let of = &leaf.statement;
            of.class() == Some(Class::Execution) && of.domain == domain && of.lineage == lineage
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
                && !self.standing().released.contains(&of.id)
        })
    }
}
