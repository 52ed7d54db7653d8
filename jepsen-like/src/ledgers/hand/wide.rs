//! The profile of wide ledgers: two domains, three lineages, every role, and every kind of statement except a new
//! root.

use assent_proof::{Claims, Containment, Role, Sha256};

use super::super::draft::{Act, Draft};
use super::super::keys::{self, NODE};
use super::Hand;
use super::evidence::POOL;

const DOMAINS: [&str; 2] = ["lab", "prod"];

/// The roles that are granted again.
const ROLES: [Role; 6] =
    [Role::Attestation, Role::Audit, Role::Runtime, Role::Orchestration, Role::Zone, Role::Registry];

/// How many of a domain's governance keys are enough.
fn enough(domain: &str) -> usize {
    if domain == "lab" { 1 } else { 2 }
}

impl Hand<'_> {
    /// A domain, mostly the second.
    pub(super) fn any_domain(&mut self) -> &'static str {
        if self.once_in(5) { "lab" } else { "prod" }
    }

    /// A lineage, mostly the first.
    pub(super) fn any_lineage(&mut self) -> &'static str {
        match self.dice.below(7) {
            0..=3 => "exec-1",
            4 => "exec-2",
            _ => "host-1",
        }
    }

    /// A policy in each domain, and then grants of some keys of the second domain again, for a short time.
    pub(super) fn open_wide(&mut self, number: u64) -> Option<Draft> {
        let at = usize::try_from(number).ok()?;
        if let Some(domain) = DOMAINS.get(at) {
            let policy = Claims::Policy(self.policy());
            let signers: Vec<u8> = keys::governance(domain).into_iter().take(enough(domain)).collect();
            return self.governs(domain, policy, &signers);
        }
        let short = self.dice.below(3) == 0 || number < 4;
        if !short || number > 5 {
            return None;
        }
        let twin = u8::try_from(self.dice.below(4)).ok()?;
        let role = if twin < 2 { Role::Attestation } else { Role::Runtime };
        let number = keys::base("prod").saturating_add(5).saturating_add(twin);
        let claims = Claims::AuthorityGrant {
            authority: keys::public(number),
            name: role.to_string(),
            role,
            not_before: self.now().saturating_add(-30),
            not_after: self.soon(),
        };
        self.governs("prod", claims, &[60, 61, number])
    }

    /// A statement of any kind, sometimes one that was submitted before.
    pub(super) fn wide(&mut self) -> Option<Act> {
        if self.once_in(40) {
            return self.raise(NODE);
        }
        let draft = match self.dice.below(22) {
            0..=10 => self.wide_evidence(),
            11..=15 => self.wide_governance(),
            16..=18 => self.wide_restriction(),
            19 | 20 => self.wide_peers(),
            _ => return self.again(),
        };
        draft.map(Act::Submit)
    }

    /// A statement about another registry, or a recovery.
    fn wide_peers(&mut self) -> Option<Draft> {
        let place = (self.any_domain(), self.any_lineage());
        match self.dice.below(12) {
            0..=2 => self.trust(place),
            3..=10 => self.checkpoint(place),
            _ => self.recovery(),
        }
    }

    fn wide_evidence(&mut self) -> Option<Draft> {
        let (domain, lineage) = (self.any_domain(), self.any_lineage());
        // The roles' keys, counted from the domain's first key.
        let (claims, roles): (Claims, &[u8]) = match self.dice.below(9) {
            0..=2 => (self.authorization(4), &[0, 1, 2]),
            3 | 4 => (POOL.attestation(self.dice), &[5, 6]),
            5 => (self.validation(), &[9, 10, 0, 1]),
            6 | 7 => (POOL.integrity(self.dice), &[7, 8, 5]),
            _ => (self.event(), &[13, 11, 9]),
        };
        let away = match self.dice.below(40) {
            0 => u8::try_from(self.dice.below(24)).ok()?,
            _ => self.dice.pick(roles).copied()?,
        };
        let issuer = keys::base(domain).saturating_add(away);
        let rests = matches!(claims, Claims::AuditLineage { .. }) || self.once_in(4);
        let mut draft = self.says((domain, lineage), issuer, claims, 9)?;
        if rests {
            self.rest(&mut draft);
        }
        if self.once_in(30) {
            draft.subject = Some(Sha256::of(b"another"));
        }
        if self.once_in(8) {
            let lasts = i64::try_from(self.dice.below(40)).unwrap_or(0);
            draft.expires_at = Some(self.now().saturating_add(lasts).saturating_add(-3));
        }
        Some(draft)
    }

    fn wide_governance(&mut self) -> Option<Draft> {
        let domain = self.any_domain();
        let signers = self.governors(domain, enough(domain));
        match self.dice.below(12) {
            0 | 1 => {
                let away = u8::try_from(self.dice.below(26)).ok()?;
                let role = self.dice.pick(&ROLES).copied()?;
                self.grant(domain, keys::base(domain).saturating_add(away), role, &signers)
            }
            4..=6 => self.release(domain, &signers),
            7..=10 if !self.both.pairs.is_empty() => self.reconcile(domain, &signers),
            11 if self.once_in(3) => {
                let threshold = u32::try_from(enough(domain)).ok()?;
                self.replace_governance(domain, threshold)
            }
            _ => {
                let policy = Claims::Policy(self.policy());
                self.governs(domain, policy, &signers)
            }
        }
    }

    fn wide_restriction(&mut self) -> Option<Draft> {
        let domain = self.any_domain();
        if self.once_in(40) {
            let signers = self.governors("_root", 2);
            let since = self.maybe_since(3);
            return self.revoke("_root", 3, since, &signers);
        }
        let signers = self.governors(domain, enough(domain));
        if self.once_in(2) {
            let away = if self.once_in(4) { self.dice.below(5) } else { self.dice.below(20) + 5 };
            let number = keys::base(domain).saturating_add(u8::try_from(away).ok()?);
            let since = if self.once_in(2) { Some(self.since(number)) } else { None };
            let by = if self.once_in(4) { vec![number] } else { signers };
            return self.revoke(domain, number, since, &by);
        }
        let containment = match self.dice.below(8) {
            0 if self.once_in(2) => {
                let of = if self.once_in(6) { "else" } else { domain };
                Containment::Isolate(of.parse().ok()?)
            }
            1 => {
                let of = if self.once_in(9) { "nowhere" } else { self.any_lineage() };
                Containment::Quarantine(of.parse().ok()?)
            }
            2 => return self.contain_again(),
            _ => Containment::Invalidate(self.anything(domain)),
        };
        let away = match self.dice.below(3) {
            0 => 13,
            1 => u8::try_from(self.dice.below(20)).ok()?,
            _ => 0,
        };
        let signer = keys::base(domain).saturating_add(away);
        self.restricts(domain, Claims::Containment(containment), &[signer])
    }
}
