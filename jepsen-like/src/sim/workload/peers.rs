//! Statements about other registries: trusts in them by keys of zones, and their checkpoints by these keys and by keys
//! of the role `registry`. Both are drawn as in the random ledgers.
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

/// The largest tree of another registry. A long run reaches it, and from then on it mostly gets the same checkpoint
/// again.
const SIZE_MAX: u8 = 120;

impl Client {
    /// Submits a statement about another registry in an execution's lineage. A statement with an unknown outcome goes
    /// first, since every later checkpoint would have to extend it.
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

    /// Submits the statement about another registry that the domain's policy requires, if it requires one.
    pub(super) async fn submit_wanted_statement(&mut self, at: usize, lineage: &Lineage) {
        let wanted = self.book().domains.get(at).and_then(|domain| domain.peer_statements.wanted());
        match wanted {
            Some(EvidenceKind::SovereignTrust) => self.trust(at, lineage).await,
            Some(_) => self.checkpoint(at, lineage).await,
            None => {}
        }
    }

    /// Sends again a statement with an unknown outcome. Returns whether there was one.
    async fn resubmit_unsure_statement(&mut self, at: usize) -> bool {
        let Some(id) = self.book().unsure_statement(at) else { return false };
        // Nothing is signed: the chain holds the bytes to send.
        let sent = self.submit_to_chain(&id, |_, _| Vec::new()).await;
        if let Some((Submitted::Accepted, id)) = sent {
            self.was_said(at, id);
        }
        true
    }

    /// Submits a zone's trust in another registry; sometimes the signer may not state one.
    async fn trust(&mut self, at: usize, lineage: &Lineage) {
        let role = if self.dice.chance(1, 15) { Role::Registry } else { Role::Zone };
        let Some(speaker) = self.anybody(at, role) else { return };
        let claims = peer::trust(&mut self.dice, now());
        self.submit_peer_statement(at, lineage, speaker, claims, Vec::new()).await;
    }

    /// Submits a checkpoint of another registry; if there is no trust that can carry it, submits a trust first.
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

    /// The claims of a checkpoint, and what it rests on. `None` if there is no trust.
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

    /// Notes that other statements can rest on it, and that it can be invalidated.
    fn was_said(&mut self, at: usize, id: EvidenceId) {
        if let Some(domain) = self.book().domains.get_mut(at) {
            domain.evidence.push(id);
        }
    }
}
