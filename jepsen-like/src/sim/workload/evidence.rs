//! Evidence about executions: their authorizations, and what other issuers state about them.

use assent_proof::{Claims, DomainName, EvidenceKind, LineageName, Role, Seconds, Sha256, SigningKey};

use super::super::setup::GRANTED_UNTIL;
use super::book::{ChainId, Lineage};
use super::client::Client;
use super::plan::{GOOD, POLICY_DIGEST};
use super::statement::{Draft, ISSUED_AGO_MS, now};
use super::submit::Submitted;
use crate::ledgers::draw::{Pool, is_negative};

/// The furthest ahead that a statement may be dated: the clock bound.
const AHEAD_MS_MAX: u64 = 500;

/// The values that issuers state about executions.
pub(super) const POOL: Pool = Pool { measurement: GOOD, digest: POLICY_DIGEST, bad_one_in: 10 };

impl Client {
    /// Authorizes a new execution, and mostly lets other issuers add what a policy may require. Returns the domain's
    /// place and the lineage, if the authorization was accepted.
    pub(super) async fn new_lineage(&mut self) -> Option<(usize, Lineage)> {
        let at = self.any_domain();
        let name = self.book().name("exec");
        let (domain, governance) = {
            let book = self.shared.book.borrow();
            let domain = book.domains.get(at)?;
            let key = self.dice.pick(&domain.governance)?.clone();
            (domain.name.clone(), key)
        };
        let short = self.dice.chance(1, 4);
        let until = if short { Seconds(now().0.saturating_add(self.between(3, 15))) } else { GRANTED_UNTIL };
        let uses = self.dice.chance(1, 3).then(|| u32::try_from(self.dice.between(1, 3)).unwrap_or(1));
        // Another execution's lineage serves as the runtime: it exists, and issuers state good and bad things in it.
        let runtime = if self.dice.chance(1, 8) { self.newest_lineage(at) } else { None };
        let lineage = Lineage {
            subject: Sha256::of(name.as_bytes()),
            name,
            action: "run",
            until,
            closed: false,
            first: None,
            runtime,
        };
        let claims = Claims::ExecutionAuthorization {
            actions: vec![lineage.action.to_owned()],
            audience: None,
            environment: None,
            not_before: Seconds(now().0.saturating_sub(10)),
            not_after: lineage.until,
            uses,
            runtimes: lineage.runtime.clone().map(|runtime| vec![runtime]),
        };
        let draft = draft(&domain, &lineage, EvidenceKind::ExecutionAuthorization, claims)?;
        let chain = chain(at, &lineage, &governance);
        let sent = self
            .submit_to_chain(&chain, |next, parent| draft.sign(&[&governance], Some((next, parent))))
            .await;
        let Some((Submitted::Accepted, id)) = sent else { return None };
        let lineage = Lineage { first: Some(id), ..lineage };
        if let Some(domain) = self.book().domains.get_mut(at) {
            domain.lineages.push(lineage.clone());
            domain.evidence.push(id);
        }
        for (role, often) in [(Role::Attestation, 9), (Role::Runtime, 8), (Role::Orchestration, 8)] {
            if self.dice.chance(often, 10) {
                self.say(at, &lineage, role).await;
            }
        }
        if self.dice.chance(9, 10) {
            self.submit_wanted_statement(at, &lineage).await;
        }
        Some((at, lineage))
    }

    /// The newest lineage of a domain.
    fn newest_lineage(&self, at: usize) -> Option<LineageName> {
        let book = self.shared.book.borrow();
        book.domains.get(at)?.lineages.last()?.name.parse().ok()
    }

    /// Adds a statement of some issuer about an execution.
    pub(super) async fn add_evidence(&mut self) {
        let at = self.any_domain();
        let lineages = self.book().domains.get(at).map(|domain| domain.lineages.clone()).unwrap_or_default();
        let newest: Vec<Lineage> = lineages.into_iter().rev().take(8).collect();
        let Some(lineage) = self.dice.pick(&newest).cloned() else { return };
        let roles = [Role::Attestation, Role::Attestation, Role::Runtime, Role::Orchestration, Role::Audit];
        if let Some(role) = self.dice.pick(&roles).copied() {
            self.say(at, &lineage, role).await;
        }
    }

    /// Adds a statement of an issuer with this role; if it is a negative, sometimes another one with the same claims.
    async fn say(&mut self, at: usize, lineage: &Lineage, role: Role) {
        let Some((domain, key)) = self.anybody(at, role) else { return };
        let claims = self.claims(role);
        let again = is_negative(&claims) && self.dice.chance(1, 3);
        for _ in 0..=u8::from(again) {
            self.say_as(at, lineage, &domain, &key, claims.clone()).await;
        }
    }

    async fn say_as(
        &mut self,
        at: usize,
        lineage: &Lineage,
        domain: &DomainName,
        key: &SigningKey,
        claims: Claims,
    ) {
        let closes = matches!(&claims, Claims::AuditLineage { event, .. } if event == "completed");
        let (negative, audits) = (is_negative(&claims), matches!(&claims, Claims::AuditLineage { .. }));
        let Some(mut draft) = draft(domain, lineage, claims.kind(), claims) else { return };
        if audits || self.dice.chance(1, 4) {
            draft.references = lineage.first.into_iter().collect();
        }
        if self.dice.chance(1, 6) {
            draft.expires_at = Some(Seconds(now().0.saturating_add(self.between(2, 12))));
        }
        draft.dated_ms = match self.dice.below(4) {
            // As far ahead as is accepted, so that its age is counted from its acceptance.
            0 | 1 => self.between(300, AHEAD_MS_MAX),
            2 => -self.between(2_000, 9_000),
            _ => -ISSUED_AGO_MS,
        };
        let chain = chain(at, lineage, key);
        let sent =
            self.submit_to_chain(&chain, |next, parent| draft.sign(&[key], Some((next, parent)))).await;
        let Some((Submitted::Accepted, id)) = sent else { return };
        if let Some(domain) = self.book().domains.get_mut(at) {
            domain.evidence.push(id);
            if negative {
                domain.negatives.push((key.public(), id));
            }
            for known in domain.lineages.iter_mut().filter(|known| known.name == lineage.name) {
                known.closed |= closes;
            }
        }
    }

    /// A key that probably has a role in a domain, and the domain's name.
    pub(super) fn anybody(&mut self, at: usize, role: Role) -> Option<(DomainName, SigningKey)> {
        let book = self.shared.book.borrow();
        let domain = book.domains.get(at)?;
        let able: Vec<&SigningKey> =
            domain.authorities.iter().filter(|(_, has)| *has == role).map(|(key, _)| key).collect();
        let key = (*self.dice.pick(&able)?).clone();
        Some((domain.name.clone(), key))
    }

    /// The claims of an issuer with a role.
    pub(super) fn claims(&mut self, role: Role) -> Claims {
        match role {
            Role::Runtime => POOL.integrity(&mut self.dice),
            Role::Orchestration => POOL.validation(&mut self.dice),
            Role::Audit => {
                let event = if self.dice.chance(1, 6) { "completed" } else { "step" };
                let detail = self.dice.chance(2, 3).then(|| "as planned".to_owned());
                Claims::AuditLineage { event: event.to_owned(), detail }
            }
            _ => POOL.attestation(&mut self.dice),
        }
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> i64 {
        i64::try_from(self.dice.between(least, most)).unwrap_or(0)
    }
}

/// Evidence in an execution's lineage.
pub(super) fn draft(
    domain: &DomainName,
    lineage: &Lineage,
    kind: EvidenceKind,
    claims: Claims,
) -> Option<Draft> {
    let name: LineageName = lineage.name.parse().ok()?;
    Some(Draft {
        domain: domain.clone(),
        lineage: name,
        subject: lineage.subject,
        kind,
        claims,
        references: Vec::new(),
        expires_at: None,
        dated_ms: -ISSUED_AGO_MS,
    })
}

/// An issuer's chain in a lineage.
pub(super) fn chain(at: usize, lineage: &Lineage, issuer: &SigningKey) -> ChainId {
    (at, lineage.name.clone(), issuer.public().to_string())
}
