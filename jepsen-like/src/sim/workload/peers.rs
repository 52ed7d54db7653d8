//! What is said of other registries: trusts in them by keys of zones, and their checkpoints by these and by keys of the role
//! `registry`. What both say is drawn as in the random ledgers.
//!
//! No caller submits a `recovery`: nodes refuse it, since it is applied offline.

use assent_proof::{Claims, DomainName, EvidenceId, EvidenceKind, Role, Seconds, SigningKey};

use super::book::Lineage;
use super::client::Client;
use super::evidence::{chain, draft};
use super::peer_statements::PeerStatement;
use super::statement::now;
use super::submit::Submitted;
use crate::ledgers::peer;

/// The largest tree of another registry. A long run reaches it, and from then on hears mostly the same checkpoint again.
const SIZE_MAX: u8 = 120;

impl Client {
    /// Somebody says something of another registry in an execution's lineage. What nobody knows the outcome of goes first,
    /// since every later checkpoint would have to extend it.
    pub(super) async fn submit_about_peers(&mut self) {
        let at = self.any_domain();
        if self.resubmit_unsure_statement(at).await {
            return;
        }
        let lineages = self.book().domains.get(at).map(|domain| domain.lineages.clone()).unwrap_or_default();
        let newest: Vec<Lineage> = lineages.into_iter().rev().take(8).collect();
        let Some(lineage) = self.dice.pick(&newest).cloned() else { return };
        if self.dice.chance(1, 5) {
            self.trust(at, &lineage).await;
        } else {
            self.checkpoint(at, &lineage).await;
        }
    }

    /// Says of another registry what the domain's policy requires, if it requires that.
    pub(super) async fn submit_wanted_statement(&mut self, at: usize, lineage: &Lineage) {
        let wanted = self.book().domains.get(at).and_then(|domain| domain.peer_statements.wanted());
        match wanted {
            Some(EvidenceKind::SovereignTrust) => self.trust(at, lineage).await,
            Some(_) => self.checkpoint(at, lineage).await,
            None => {}
        }
    }

    /// Sends again a word of which nobody knows what became. Whether there was one.
    async fn resubmit_unsure_statement(&mut self, at: usize) -> bool {
        let Some(id) = self.book().unsure_statement(at) else { return false };
        // Nothing is signed: the chain has what is to be sent.
        let sent = self.submit_to_chain(&id, |_, _| Vec::new()).await;
        if let Some((Submitted::Accepted, id)) = sent {
            self.was_said(at, id);
        }
        true
    }

    /// A zone trusts another registry; now and then somebody says so who may not.
    async fn trust(&mut self, at: usize, lineage: &Lineage) {
        let role = if self.dice.chance(1, 15) { Role::Registry } else { Role::Zone };
        let Some(speaker) = self.anybody(at, role) else { return };
        let claims = peer::trust(&mut self.dice, now());
        self.submit_peer_statement(at, lineage, speaker, claims, Vec::new()).await;
    }

    /// Somebody brings a checkpoint of another registry; without a trust to bring it under, a zone trusts first.
    async fn checkpoint(&mut self, at: usize, lineage: &Lineage) {
        let Some((claims, references)) = self.checkpoint_claims(at) else {
            return self.trust(at, lineage).await;
        };
        let role = match self.dice.below(40) {
            0 => Role::Attestation,
            1..=13 => Role::Registry,
            _ => Role::Zone,
        };
        let Some(speaker) = self.anybody(at, role) else { return };
        self.submit_peer_statement(at, lineage, speaker, claims, references).await;
    }

    /// What a checkpoint says, and what it rests on. None without a trust.
    fn checkpoint_claims(&mut self, at: usize) -> Option<(Claims, Vec<EvidenceId>)> {
        let book = self.shared.book.borrow();
        let domain = book.domains.get(at)?;
        let trusts = domain.peer_statements.trusts();
        let carries = |trust: &&PeerStatement| domain.peer_statements.carries(trust, &domain.revoked, now());
        let able: Vec<&PeerStatement> = trusts.iter().copied().filter(carries).collect();
        let trust = peer::one_trust(&mut self.dice, &trusts, &able)?;
        let Claims::SovereignTrust { peer: name, registry_key, node_keys, .. } = &trust.claims else {
            return None;
        };
        let said = domain.peer_statements.checkpoints(name);
        let stands = |peer_statement: &&PeerStatement| !domain.peer_statements.is_void(peer_statement);
        let next = peer::next(&mut self.dice, peer::number(name)?, &said, stands, SIZE_MAX);
        let claims = next.claims(&mut self.dice, registry_key, node_keys, now())?;
        let trusts: Vec<EvidenceId> = trusts.iter().map(|trust| trust.id).collect();
        let references = peer::references(&mut self.dice, trust.id, &trusts, &domain.evidence);
        Some((claims, references))
    }

    async fn submit_peer_statement(
        &mut self,
        at: usize,
        lineage: &Lineage,
        (domain, key): (DomainName, SigningKey),
        claims: Claims,
        references: Vec<EvidenceId>,
    ) {
        let Some(mut draft) = draft(&domain, lineage, claims.kind(), claims) else { return };
        draft.references = references;
        if self.dice.chance(1, 10) {
            draft.expires_at = Some(Seconds(now().0.saturating_add(self.between(2, 20))));
        }
        let chain = chain(at, lineage, &key);
        let sent =
            self.submit_to_chain(&chain, |next, parent| draft.sign(&[&key], Some((next, parent)))).await;
        if let Some((Submitted::Accepted, id)) = sent {
            self.was_said(at, id);
        }
    }

    /// It can be rested on, and invalidated.
    fn was_said(&mut self, at: usize, id: EvidenceId) {
        if let Some(domain) = self.book().domains.get_mut(at) {
            domain.evidence.push(id);
        }
    }
}
