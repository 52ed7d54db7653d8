//! Equivocations: two statements for one slot, and the decision which of them stands.

use assent_proof::{Claims, DomainName, Envelope, EvidenceId, EvidenceKind, PolicyVerdict, Role, SigningKey};

use super::book::{Chain, Lineage};
use super::client::Client;
use super::evidence::{chain, draft};
use super::plan::POLICY_DIGEST;
use super::statement::Draft;
use super::submit::Submitted;
use crate::ledgers::draw;

/// An issuer that makes statements about an execution.
struct Speaker {
    at: usize,
    domain: DomainName,
    lineage: Lineage,
    issuer: SigningKey,
    role: Role,
}

/// A slot, the statement before it in its chain, and the statement that took it.
type Place = (u64, Option<EvidenceId>, EvidenceId);

impl Client {
    /// Makes one issuer sign two statements for one slot, and sends both; or one more statement for a slot that it
    /// took long ago.
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

    /// Signs a second statement for a slot of this chain: an older slot if its statements are known, or else the next
    /// one.
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
            && let Some((envelope, second)) =
                signed(speaker, self.unlike_any(speaker.role), (sequence, parent))
            && self.submit(speaker.at, &envelope).await == Submitted::Equivocation
            && let Some(domain) = self.book().domains.get_mut(speaker.at)
        {
            let issuer = speaker.issuer.public().to_string();
            domain.conflicts.push((speaker.lineage.name.clone(), issuer, [first, second]));
        }
    }

    /// An issuer passes twice, in two consecutive slots, and then signs a `fail` for the first of the two. Its
    /// statement in the second slot is made void: then the older slot counts again, with the late statement in it.
    pub(super) async fn contradict_late(&mut self) {
        let Some((at, lineage)) = self.new_lineage().await else { return };
        let Some((domain, issuer)) = self.anybody(at, Role::Orchestration) else { return };
        let id = chain(at, &lineage, &issuer);
        let speaker = Speaker { at, domain, lineage, issuer, role: Role::Orchestration };
        let Some(mut slots) = self.book().take(&id) else { return };
        let last = if slots.pending.is_none() { self.fail_late(&speaker, &mut slots).await } else { None };
        self.book().give(&id, slots);
        let Some(last) = last else { return };
        if self.invalidate(at, last).await {
            for _ in 0..2 {
                self.ask_about(at, &speaker.lineage).await;
            }
        }
    }

    /// Fills two slots with a `pass`, and signs a `fail` for the first of them. Returns the statement in the second
    /// slot, if all were accepted.
    async fn fail_late(&mut self, speaker: &Speaker, slots: &mut Chain) -> Option<EvidenceId> {
        let says = |verdict| Claims::PolicyValidation { policy_digest: POLICY_DIGEST.to_owned(), verdict };
        let (sequence, parent, first) = self.fill(speaker, slots, says(PolicyVerdict::Pass)).await?;
        let (_, _, last) = self.fill(speaker, slots, says(PolicyVerdict::Pass)).await?;
        let (envelope, late) = signed(speaker, says(PolicyVerdict::Fail), (sequence, parent))?;
        if self.submit(speaker.at, &envelope).await != Submitted::Equivocation {
            return None;
        }
        if let Some(domain) = self.book().domains.get_mut(speaker.at) {
            let issuer = speaker.issuer.public().to_string();
            domain.conflicts.push((speaker.lineage.name.clone(), issuer, [first, late]));
        }
        Some(last)
    }

    /// Signs a statement for the next slot. Returns the slot's place and the statement's id, if it was accepted.
    async fn take_slot(&mut self, speaker: &Speaker, slots: &mut Chain) -> Option<Place> {
        let claims = self.unlike_any(speaker.role);
        self.fill(speaker, slots, claims).await
    }

    /// Signs these claims for the next slot. Returns the slot's place and the statement's id, if it was accepted.
    async fn fill(&mut self, speaker: &Speaker, slots: &mut Chain, claims: Claims) -> Option<Place> {
        let (next, parent) = (slots.next, slots.parent);
        let (envelope, id) = signed(speaker, claims, (next, parent))?;
        if self.submit(speaker.at, &envelope).await != Submitted::Accepted {
            return None;
        }
        slots.took(id);
        Some((next, parent, id))
    }

    /// Claims that mostly differ from all others by a new name.
    fn unlike_any(&mut self, role: Role) -> Claims {
        let name = self.book().name("half");
        match self.claims(role) {
            Claims::RuntimeAttestation { status, measurement, .. } => {
                Claims::RuntimeAttestation { verifier: name, status, measurement }
            }
            Claims::RuntimeIntegrity { .. } => {
                Claims::RuntimeIntegrity { measured: format!("sha256:{name}") }
            }
            other => other,
        }
    }

    /// Makes governance decide which half of an equivocation stands.
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

/// A statement for a slot, and its id.
fn signed(
    speaker: &Speaker,
    claims: Claims,
    slot: (u64, Option<EvidenceId>),
) -> Option<(Vec<u8>, EvidenceId)> {
    let draft = draft(&speaker.domain, &speaker.lineage, claims.kind(), claims)?;
    let envelope = draft.sign(&[&speaker.issuer], Some(slot));
    let id = Envelope::parse(&envelope).ok()?.id();
    Some((envelope, id))
}
