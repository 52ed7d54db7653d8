//! Governance: keys are granted and revoked, containments are made and released, policies change.

use assent_proof::{
    Claims, Containment, DomainName, Envelope, EvidenceId, EvidenceKind, PublicKey, RevocationReason, Role,
    Seconds, SigningKey,
};

use super::super::setup::{grant_claims, key};
use super::book::{ChainId, DomainBook};
use super::client::Client;
use super::evidence::draft;
use super::plan::Strictness;
use super::statement::{Draft, now};
use super::submit::Submitted;
use crate::ledgers::draw;

/// The governance keys of a domain, as far as signatures need them.
pub(super) struct Governors {
    pub(super) domain: DomainName,
    keys: Vec<SigningKey>,
    threshold: usize,
}

impl Governors {
    /// As many keys as a governance statement needs.
    pub(super) fn quorum(&self) -> Vec<&SigningKey> {
        self.keys.iter().take(self.threshold).collect()
    }
}

impl Client {
    pub(super) fn governors(&mut self, at: usize) -> Option<Governors> {
        let mut governors = {
            let book = self.shared.book.borrow();
            let domain = book.domains.get(at)?;
            Governors {
                domain: domain.name.clone(),
                keys: domain.governance.clone(),
                threshold: domain.threshold,
            }
        };
        self.dice.shuffle(&mut governors.keys);
        Some(governors)
    }

    /// A statement in a domain's one governance chain.
    pub(super) async fn govern(
        &mut self,
        at: usize,
        draft: Draft,
        keys: &[&SigningKey],
    ) -> Option<(Submitted, EvidenceId)> {
        let id: ChainId = (at, "_governance".to_owned(), String::new());
        if self.dice.chance(1, 8) {
            // Another caller governs at the same time: one of the two finds its slot taken.
            let chain = self.book().peek(&id);
            let envelope = draft.sign(keys, Some((chain.next, chain.parent)));
            let node = self.any_node();
            let submitted = self.submit_once(at, &envelope, node, true).await?;
            return Some((submitted, Envelope::parse(&envelope).ok()?.id()));
        }
        self.submit_to_chain(&id, |next, parent| draft.sign(keys, Some((next, parent)))).await
    }

    /// Revokes a key, and grants its role to another one.
    pub(super) async fn rotate(&mut self) {
        let at = self.any_domain();
        let Some(governors) = self.governors(at) else { return };
        let authorities =
            self.book().domains.get(at).map(|domain| domain.authorities.clone()).unwrap_or_default();
        if self.dice.chance(1, 5) && self.revoke_again(at, &governors).await {
            return;
        }
        if self.dice.chance(1, 8) {
            return self.undo_alone(at, &governors).await;
        }
        let Some((old, role)) = self.dice.pick(&authorities).cloned() else { return };
        let target = old.public().to_string();
        let backwards = self.dice.chance(1, 4);
        let invalid_since = backwards.then(|| self.since(at, &old.public()));
        let claims = Claims::Revocation {
            authority: old.public(),
            reason: RevocationReason::KeyCompromise,
            invalid_since,
        };
        let draft = Draft::governance(&governors.domain, EvidenceKind::Revocation, &target, claims);
        let by = if backwards {
            governors.quorum()
        } else if self.dice.chance(1, 4) {
            vec![&old]
        } else {
            governors.keys.iter().take(1).collect()
        };
        let envelope = draft.sign(&by, None);
        if self.submit(at, &envelope).await != Submitted::Accepted {
            return;
        }
        if let Some(domain) = self.book().domains.get_mut(at) {
            domain.authorities.retain(|(known, _)| known.public() != old.public());
            domain.revoked.push(old.public());
        }
        self.grant(at, &governors, role).await;
    }

    /// Revokes a key again that is already revoked, from an earlier time on. Returns whether there was such a key.
    async fn revoke_again(&mut self, at: usize, governors: &Governors) -> bool {
        let revoked = self.book().domains.get(at).map(|domain| domain.revoked.clone()).unwrap_or_default();
        let Some(authority) = self.dice.pick(&revoked).copied() else { return false };
        let invalid_since = Some(self.since(at, &authority));
        let reason = RevocationReason::KeyCompromise;
        let claims = Claims::Revocation { authority, reason, invalid_since };
        let draft =
            Draft::governance(&governors.domain, EvidenceKind::Revocation, &authority.to_string(), claims);
        let _ = self.submit(at, &draft.sign(&governors.quorum(), None)).await;
        true
    }

    /// Lets a governance key try to undo alone what it signed with others.
    async fn undo_alone(&mut self, at: usize, governors: &Governors) {
        let Some(own) = self.dice.pick(&governors.keys).cloned() else { return };
        let authority = own.public();
        let invalid_since = Some(self.since(at, &authority));
        let reason = RevocationReason::KeyCompromise;
        let claims = Claims::Revocation { authority, reason, invalid_since };
        let draft =
            Draft::governance(&governors.domain, EvidenceKind::Revocation, &authority.to_string(), claims);
        let _ = self.submit(at, &draft.sign(&[&own], None)).await;
    }

    /// A time just before, at or just after the acceptance of a statement of this key, or some seconds ago.
    fn since(&mut self, at: usize, key: &PublicKey) -> Seconds {
        let accepted = self.book().domains.get(at).map(|domain| domain.accepted_of(key)).unwrap_or_default();
        draw::invalid_since(&mut self.dice, &accepted, now())
    }

    async fn grant(&mut self, at: usize, governors: &Governors, role: Role) {
        let name = self.book().name("authority");
        let new = key(&name, 1);
        let target = new.public().to_string();
        let draft = Draft::governance(
            &governors.domain,
            EvidenceKind::AuthorityGrant,
            &target,
            grant_claims(new.public(), role),
        );
        let mut keys = governors.quorum();
        keys.push(&new);
        if let Some((Submitted::Accepted | Submitted::Unknown, _)) = self.govern(at, draft, &keys).await
            && let Some(domain) = self.book().domains.get_mut(at)
        {
            domain.authorities.push((new, role));
        }
    }

    /// Quarantines a lineage, sometimes isolates a whole domain, or invalidates a piece of evidence for good.
    pub(super) async fn contain(&mut self) {
        let at = self.any_domain();
        let Some(governors) = self.governors(at) else { return };
        let containment = {
            let book = self.shared.book.borrow();
            let Some(domain) = book.domains.get(at) else { return };
            match self.dice.below(10) {
                0 => Some(Containment::Isolate(domain.name.clone())),
                1..=3 => self.dice.pick(&domain.evidence).map(|id| Containment::Invalidate(*id)),
                _ => self
                    .dice
                    .pick(&domain.lineages)
                    .and_then(|lineage| lineage.name.parse().ok())
                    .map(Containment::Quarantine),
            }
        };
        let (Some(containment), Some(by)) = (containment, governors.keys.first()) else { return };
        let lifts = !matches!(containment, Containment::Invalidate(_));
        let target = containment.target();
        let draft = Draft::governance(
            &governors.domain,
            EvidenceKind::Containment,
            &target,
            Claims::Containment(containment),
        );
        let envelope = draft.sign(&[by], None);
        let Ok(id) = Envelope::parse(&envelope).map(|envelope| envelope.id()) else { return };
        let submitted = self.submit(at, &envelope).await;
        if lifts
            && matches!(submitted, Submitted::Accepted | Submitted::Unknown)
            && let Some(domain) = self.book().domains.get_mut(at)
        {
            domain.contained.push(id);
        }
    }

    /// Invalidates a piece of evidence for good, by one governance key. Returns whether it was accepted.
    pub(super) async fn invalidate(&mut self, at: usize, id: EvidenceId) -> bool {
        let Some(governors) = self.governors(at) else { return false };
        let Some(by) = governors.keys.first() else { return false };
        let containment = Containment::Invalidate(id);
        let target = containment.target();
        let claims = Claims::Containment(containment);
        let draft = Draft::governance(&governors.domain, EvidenceKind::Containment, &target, claims);
        self.submit(at, &draft.sign(&[by], None)).await == Submitted::Accepted
    }

    /// Releases the oldest containment; sometimes any negative of a revoked key.
    pub(super) async fn release(&mut self) {
        let negatives = self.book().domains.iter().any(|domain| !domain.negatives_of_revoked().is_empty());
        let negative = negatives && self.dice.chance(1, 4);
        let able = |domain: &DomainBook| {
            if negative { domain.negatives_of_revoked() } else { domain.contained.clone() }
        };
        let holding: Vec<usize> = {
            let book = self.book();
            let all = book.domains.iter().enumerate().filter(|(_, domain)| !able(domain).is_empty());
            all.map(|(at, _)| at).collect()
        };
        let Some(at) = self.dice.pick(&holding).copied() else { return };
        let Some(governors) = self.governors(at) else { return };
        let able = self.book().domains.get(at).map(able).unwrap_or_default();
        let one = if negative { draw::one_of(&mut self.dice, &able) } else { able.first().copied() };
        let Some(containment) = one else { return };
        let claims = Claims::Release { containment };
        let draft =
            Draft::governance(&governors.domain, EvidenceKind::Release, &containment.to_string(), claims);
        let sent = self.govern(at, draft, &governors.quorum()).await;
        let over = match &sent {
            Some((Submitted::Accepted, _)) => true,
            // If it is refused because of its slot, it is tried again in the next one.
            Some((Submitted::Refused(problem), _)) => problem.get("nextSequence").is_none(),
            _ => false,
        };
        if over && let Some(domain) = self.book().domains.get_mut(at) {
            domain.contained.retain(|held| *held != containment);
            domain.negatives.retain(|(_, id)| *id != containment);
        }
    }

    /// Changes the domain's policy to a stricter or a more lenient one.
    pub(super) async fn change_policy(&mut self) {
        let at = self.any_domain();
        let Some(governors) = self.governors(at) else { return };
        let strictness = Strictness::draw(&mut self.dice, at);
        let policy = Claims::Policy(strictness.policy(&mut self.dice));
        let draft =
            Draft::governance(&governors.domain, EvidenceKind::Policy, governors.domain.as_ref(), policy);
        let _ = self.govern(at, draft, &governors.quorum()).await;
    }

    /// Submits something that must be refused: a broken signature, a gap, an unknown issuer.
    pub(super) async fn spoil(&mut self) {
        let at = self.any_domain();
        let Some(governors) = self.governors(at) else { return };
        let lineages = self.book().domains.get(at).map(|domain| domain.lineages.clone()).unwrap_or_default();
        let (Some(lineage), Some(governor)) = (self.dice.pick(&lineages).cloned(), governors.keys.first())
        else {
            return;
        };
        let claims = Claims::RuntimeIntegrity { measured: "sha256:spoilt".to_owned() };
        let Some(draft) = draft(&governors.domain, &lineage, EvidenceKind::RuntimeIntegrity, claims) else {
            return;
        };
        let name = self.book().name("stranger");
        let stranger = key(&name, 1);
        let (envelope, valid) = match self.dice.below(3) {
            0 => (draft.sign(&[&stranger], Some((0, None))), true),
            1 => (draft.sign(&[governor], Some((77, lineage.first))), true),
            _ => {
                let good = draft.clone().sign(&[governor], Some((0, None)));
                let other = draft.sign(&[governor], Some((1, None)));
                match spoilt(&good, &other) {
                    Some(spoilt) => (spoilt, false),
                    None => return,
                }
            }
        };
        let node = self.any_node();
        let _ = self.submit_once(at, &envelope, node, valid).await;
    }
}

/// One envelope's payload with another one's signatures.
fn spoilt(payload: &[u8], signatures: &[u8]) -> Option<Vec<u8>> {
    let mut envelope: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let other: serde_json::Value = serde_json::from_slice(signatures).ok()?;
    envelope.as_object_mut()?.insert("signatures".to_owned(), other.get("signatures")?.clone());
    Some(envelope.to_string().into_bytes())
}
