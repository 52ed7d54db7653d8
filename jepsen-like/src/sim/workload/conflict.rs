//! Two statements for one slot, and which of them stands.

use assent_proof::{Claims, DomainName, Envelope, EvidenceId, EvidenceKind, Role, SigningKey};

use super::book::{Chain, Lineage};
use super::client::Client;
use super::evidence::{chain, draft};
use super::statement::Draft;
use super::submit::Submitted;
use crate::ledgers::draw;

/// Who says something of an execution.
struct Speaker {
    at: usize,
    domain: DomainName,
    lineage: Lineage,
    issuer: SigningKey,
    role: Role,
}

impl Client {
    /// One issuer signs two statements for one slot, and both are sent; or one more for a slot that it took long ago.
    pub(super) async fn equivocate(&mut self) {
        let at = self.any_domain();
        let roles = [Role::Runtime, Role::Runtime, Role::Attestation, Role::Orchestration];
        let Some(role) = self.dice.pick(&roles).copied() else { return };
        let Some((domain, issuer)) = self.anybody(at, role) else { return };
        let lineages = self.book().domains.get(at).map(|domain| domain.lineages.clone()).unwrap_or_default();
        let newest: Vec<Lineage> = lineages.into_iter().rev().take(6).collect();
        let Some(lineage) = self.dice.pick(&newest).cloned() else { return };
        let id = chain(at, &lineage, &issuer);
        let speaker = Speaker { at, domain, lineage, issuer, role };
        let Some(mut slots) = self.book().take(&id) else { return };
        if slots.pending.is_none() {
            self.contradict(&speaker, &mut slots).await;
        }
        self.book().give(&id, slots);
    }

    /// A second statement for a slot of this chain: an older one if its statements are known, or else the next one.
    async fn contradict(&mut self, speaker: &Speaker, slots: &mut Chain) {
        let older = slots.older().unwrap_or_default();
        let taken = u64::try_from(older.len()).unwrap_or(0);
        let sequence = draw::sequence(&mut self.dice, taken, 2);
        let of_slot = usize::try_from(sequence).unwrap_or(usize::MAX);
        let parent = of_slot.checked_sub(1).and_then(|before| older.get(before)).copied();
        let place = match older.get(of_slot).copied() {
            Some(first) => Some((sequence, parent, first)),
            None => self.take_slot(speaker, slots).await,
        };
        if let Some((sequence, parent, first)) = place
            && let Some((envelope, second)) = self.half(speaker, (sequence, parent))
            && self.submit(speaker.at, &envelope).await == Submitted::Equivocation
            && let Some(domain) = self.book().domains.get_mut(speaker.at)
        {
            let issuer = speaker.issuer.public().to_string();
            domain.conflicts.push((speaker.lineage.name.clone(), issuer, [first, second]));
        }
    }

    /// A statement in the next slot: where that is and its id, if it was accepted.
    async fn take_slot(
        &mut self,
        speaker: &Speaker,
        slots: &mut Chain,
    ) -> Option<(u64, Option<EvidenceId>, EvidenceId)> {
        let (next, parent) = (slots.next, slots.parent);
        let (envelope, id) = self.half(speaker, (next, parent))?;
        if self.submit(speaker.at, &envelope).await != Submitted::Accepted {
            return None;
        }
        slots.took(id);
        Some((next, parent, id))
    }

    /// A statement for a slot, which mostly differs from every other by a name that nobody has.
    fn half(&mut self, speaker: &Speaker, slot: (u64, Option<EvidenceId>)) -> Option<(Vec<u8>, EvidenceId)> {
        let name = self.book().name("half");
        let claims = match self.claims(speaker.role) {
            Claims::RuntimeAttestation { status, measurement, .. } => {
                Claims::RuntimeAttestation { verifier: name, status, measurement }
            }
            Claims::RuntimeIntegrity { .. } => {
                Claims::RuntimeIntegrity { measured: format!("sha256:{name}") }
            }
            other => other,
        };
        let draft = draft(&speaker.domain, &speaker.lineage, claims.kind(), claims)?;
        let envelope = draft.sign(&[&speaker.issuer], Some(slot));
        let id = Envelope::parse(&envelope).ok()?.id();
        Some((envelope, id))
    }

    /// Governance says which half of an equivocation stands.
    pub(super) async fn reconcile(&mut self) {
        let at = self.any_domain();
        let Some(governors) = self.governors(at) else { return };
        let first = self.book().domains.get(at).and_then(|domain| domain.conflicts.first().cloned());
        let Some((_, _, conflict)) = first else { return };
        let claims = draw::reconciliation(&mut self.dice, conflict);
        let Claims::Reconciliation { canonical, .. } = &claims else { return };
        let target = canonical.to_string();
        let draft = Draft::governance(&governors.domain, EvidenceKind::Reconciliation, &target, claims);
        let sent = self.govern(at, draft, &governors.quorum()).await;
        if let Some((Submitted::Accepted | Submitted::Refused(_), _)) = sent
            && let Some(domain) = self.book().domains.get_mut(at)
        {
            domain.conflicts.retain(|(_, _, known)| *known != conflict);
        }
    }
}
