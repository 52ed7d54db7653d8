//! Draws the statements of governance: grants, policies, releases, reconciliations, and changes of the governing keys.

use assent_proof::{
    AttestationStatus, Claims, EvidenceId, EvidenceKind, Of, PolicyBody, Requirement, Role, Seconds,
};

use super::super::draft::Draft;
use super::super::draw;
use super::super::keys::{self, CHECKPOINTS, NEXT_ROOT, public};
use super::{Hand, NOTHING};

impl Hand<'_> {
    /// Some keys that govern a domain: mostly `enough`, sometimes one more or one less, rarely one that does not
    /// govern.
    pub(super) fn governors(&mut self, domain: &str, enough: usize) -> Vec<u8> {
        let mut able = keys::governance(domain);
        able.retain(|number| self.both.is_live(*number) || self.dice.chance(1, 40));
        self.dice.shuffle(&mut able);
        let count = match self.dice.below(16) {
            0 => enough.saturating_sub(1),
            1..=4 => enough.saturating_add(1),
            _ => enough,
        };
        able.truncate(count.max(1));
        if self.once_in(40) {
            able.push(keys::base(domain).saturating_add(5));
        }
        if able.is_empty() {
            able.extend(keys::governance(domain).first());
        }
        able
    }

    /// A policy with at most two requirements.
    pub(super) fn policy(&mut self) -> PolicyBody {
        let kinds = [
            EvidenceKind::RuntimeAttestation,
            EvidenceKind::RuntimeIntegrity,
            EvidenceKind::PolicyValidation,
            EvidenceKind::AuditLineage,
            EvidenceKind::ExecutionAuthorization,
        ];
        let mut require = Vec::new();
        for _ in 0..self.dice.below(3) {
            let about_peers = self.once_in(10).then(|| self.kind_about_peers());
            let kind = about_peers.or_else(|| self.dice.pick(&kinds).copied());
            require.push(Requirement {
                kind: kind.unwrap_or(EvidenceKind::RuntimeAttestation),
                of: if self.once_in(4) { Of::Runtime } else { Of::Execution },
                min_issuers: if self.once_in(2) { 1 } else { 2 },
                max_age_seconds: self.once_in(2).then(|| if self.once_in(2) { 30 } else { 70 }),
            });
        }
        let statuses = if self.once_in(8) { Vec::new() } else { vec![AttestationStatus::Affirming] };
        PolicyBody {
            require,
            attestation_status: self.once_in(2).then_some(statuses),
            measurements: self.once_in(3).then(|| vec!["m1".to_owned(), "m2".to_owned()]),
            policy_digests: self.once_in(3).then(|| vec!["d1".to_owned()]),
            decision_ttl_seconds: 10,
            permit_always: self.once_in(8),
        }
    }

    /// A policy for few keys: it judges claims and mostly requires nothing, so that much is allowed.
    pub(super) fn small_policy(&mut self, kind: EvidenceKind) -> PolicyBody {
        let requirement = Requirement { kind, of: Of::Execution, min_issuers: 1, max_age_seconds: None };
        let judges = self.dice.below(4);
        PolicyBody {
            require: if self.once_in(4) { vec![requirement] } else { Vec::new() },
            attestation_status: (judges != 1).then(|| vec![AttestationStatus::Affirming]),
            measurements: (judges < 2).then(|| vec!["m1".to_owned()]),
            policy_digests: self.once_in(4).then(|| vec!["d1".to_owned()]),
            decision_ttl_seconds: 10,
            permit_always: self.once_in(6),
        }
    }

    /// A grant of a role to a key. Sometimes it ends soon, or the key does not sign.
    pub(super) fn grant(&mut self, domain: &str, number: u8, role: Role, signers: &[u8]) -> Option<Draft> {
        let lasts = if self.once_in(3) { 25 } else { 4000 };
        let claims = Claims::AuthorityGrant {
            authority: public(number),
            name: "n".to_owned(),
            role,
            not_before: self.now().saturating_add(-30),
            not_after: self.now().saturating_add(lasts),
        };
        let mut signers = signers.to_vec();
        if !self.once_in(15) {
            signers.push(number);
        }
        self.governs(domain, claims, &signers)
    }

    /// A release of a negative, of a containment, or of anything; also of something that is released already.
    pub(super) fn release(&mut self, domain: &str, signers: &[u8]) -> Option<Draft> {
        let sort = self.dice.below(8);
        let able: Vec<EvidenceId> = self
            .both
            .known
            .iter()
            .filter(|known| known.lies_in(domain))
            .filter(|known| match sort {
                0 => true,
                1..=4 => draw::is_negative(&known.draft.claims),
                _ => known.kind() == EvidenceKind::Containment,
            })
            .map(|known| known.id)
            .collect();
        let containment = draw::one_of(self.dice, &able).unwrap_or(NOTHING);
        self.governs(domain, Claims::Release { containment }, signers)
    }

    /// A release of any negative of a revoked key; `None` if there is none.
    pub(super) fn release_negative(&mut self, domain: &str, signers: &[u8]) -> Option<Draft> {
        let both = self.both;
        let dead = |of: &Draft| of.signers.first().is_some_and(|number| both.is_revoked(*number));
        let able: Vec<EvidenceId> = both
            .known
            .iter()
            .filter(|known| known.lies_in(domain) && draw::is_negative(&known.draft.claims))
            .filter(|known| dead(&known.draft))
            .map(|known| known.id)
            .collect();
        let containment = self.dice.pick(&able).copied()?;
        self.governs(domain, Claims::Release { containment }, signers)
    }

    /// A reconciliation of any conflict, also of a reconciled one; rarely of statements without a conflict. `None` if
    /// there is no conflict at all.
    pub(super) fn reconcile(&mut self, domain: &str, signers: &[u8]) -> Option<Draft> {
        let pairs: Vec<[EvidenceId; 2]> = self
            .both
            .pairs
            .iter()
            .filter(|pair| pair.chain.0.as_str() == domain)
            .map(|pair| pair.halves)
            .collect();
        let mut halves =
            if self.once_in(2) { pairs.last().copied()? } else { self.dice.pick(&pairs).copied()? };
        if self.once_in(20) {
            let other = self.dice.pick(&self.both.known).map(|known| known.id);
            halves[1] = other.filter(|other| *other != halves[0]).unwrap_or(NOTHING);
        }
        let claims = draw::reconciliation(self.dice, halves);
        self.governs(domain, claims, signers)
    }

    /// The keys that govern a domain from now on: the present ones, mostly with one more, and sometimes without one.
    pub(super) fn replace_governance(&mut self, domain: &str, threshold: u32) -> Option<Draft> {
        let all = keys::governance(domain);
        let mut governing: Vec<u8> =
            all.iter().copied().filter(|number| self.both.is_live(*number)).collect();
        if self.once_in(2) && governing.len() > 2 {
            self.dice.shuffle(&mut governing);
            governing.pop();
        }
        let newcomer = self.dice.pick(&all).copied()?;
        if !governing.contains(&newcomer) {
            governing.push(newcomer);
        }
        let claims = Claims::Domain {
            domain: domain.parse().ok()?,
            governance: governing.iter().map(|number| public(*number)).collect(),
            threshold,
        };
        let mut signers = self.governors("_root", 2);
        if !self.once_in(8) {
            signers.push(newcomer);
        }
        self.governs("_root", claims, &signers)
    }

    /// New root keys, once: none of the first ones stays.
    pub(super) fn replace_root(&mut self) -> Option<Draft> {
        if NEXT_ROOT.iter().any(|number| self.both.is_live(*number)) {
            return None;
        }
        let keys = NEXT_ROOT.map(public).to_vec();
        let claims = Claims::Root { keys, threshold: 2, registry_key: public(CHECKPOINTS) };
        let mut signers = self.governors("_root", 2);
        signers.extend(NEXT_ROOT);
        self.governs("_root", claims, &signers)
    }

    /// When a short grant of a wide ledger ends.
    pub(super) fn soon(&self) -> Seconds {
        self.now().saturating_add(40)
    }
}
