//! What the callers know of one domain's statements about other registries, which are trusts and checkpoints: which
//! were accepted, in which order, and which of them stand.
//!
//! The callers know it from receipts alone, whichever caller got them and however late. A statement with an unknown
//! outcome is not included until it is sent again and has a receipt. So it may be wrong.

use std::collections::{BTreeMap, BTreeSet};

use assent_proof::{
    Checkpoint, Claims, Containment, EvidenceId, EvidenceKind, Millis, PolicyBody, PublicKey, Rules, Seconds,
    Statement,
};

use crate::ledgers::peer;

/// A trust or a checkpoint that was accepted.
pub(super) struct PeerStatement {
    pub(super) id: EvidenceId,
    pub(super) claims: Claims,
    issuer: PublicKey,
    references: Vec<EvidenceId>,
    expires_at: Option<Seconds>,
    accepted: Millis,
}

/// A domain's trusts and checkpoints, and what is known to make them void.
#[derive(Default)]
pub(super) struct PeerStatements {
    /// By their place in the ledger: answers do not arrive in that order.
    accepted: BTreeMap<u64, PeerStatement>,
    /// What was invalidated by name, of any kind.
    invalidated: BTreeSet<EvidenceId>,
    /// Keys, each with the time since which its statements are void.
    void_since: Vec<(PublicKey, Seconds)>,
    /// Which of the two kinds the domain's policy requires, if it requires one.
    wanted: Option<EvidenceKind>,
}

/// Whether a kind is one of the two.
pub(super) fn is_peer_statement(kind: EvidenceKind) -> bool {
    matches!(kind, EvidenceKind::SovereignTrust | EvidenceKind::SynchronizationContinuity)
}

impl PeerStatements {
    /// The statements of a domain that begins with this policy.
    pub(super) fn under(policy: &PolicyBody) -> Self {
        Self { wanted: wanted(policy), ..Self::default() }
    }

    /// Which of the two kinds the domain's policy requires.
    pub(super) fn wanted(&self) -> Option<EvidenceKind> {
        self.wanted
    }

    /// Notes that a statement was accepted, at a place of the ledger and a time.
    pub(super) fn learn(&mut self, (index, accepted): (u64, Millis), id: EvidenceId, statement: &Statement) {
        match Claims::parse(Rules::TEST, statement.kind, &statement.claims) {
            Ok(Claims::Policy(policy)) => self.wanted = wanted(&policy),
            Ok(Claims::Containment(Containment::Invalidate(target))) => {
                self.invalidated.insert(target);
            }
            Ok(Claims::Revocation { authority, invalid_since: Some(since), .. }) => {
                self.void_since.push((authority, since));
            }
            Ok(claims) if is_peer_statement(statement.kind) => {
                let Some(issuer) = statement.issuers.first().copied() else { return };
                let references = statement.references.clone();
                let expires_at = statement.expires_at;
                self.accepted
                    .insert(index, PeerStatement { id, claims, issuer, references, expires_at, accepted });
            }
            _ => {}
        }
    }

    /// All trusts, in order.
    pub(super) fn trusts(&self) -> Vec<&PeerStatement> {
        let is_trust =
            |peer_statement: &&PeerStatement| peer_statement.claims.kind() == EvidenceKind::SovereignTrust;
        self.accepted.values().filter(is_trust).collect()
    }

    /// Whether a trust may still carry a checkpoint, if these keys are revoked.
    pub(super) fn carries(&self, trust: &PeerStatement, revoked: &[PublicKey], now: Seconds) -> bool {
        let lasts = match &trust.claims {
            Claims::SovereignTrust { not_after, .. } => *not_after > now,
            _ => false,
        };
        let expired = trust.expires_at.is_some_and(|at| at <= now);
        lasts && !expired && !revoked.contains(&trust.issuer) && !self.is_void(trust)
    }

    /// The checkpoints of a peer with their contents, in order.
    pub(super) fn checkpoints(&self, origin: &str) -> Vec<(&PeerStatement, Checkpoint)> {
        let read = self.accepted.values().filter_map(|peer_statement| match &peer_statement.claims {
            Claims::SynchronizationContinuity { checkpoint, .. } => {
                Some((peer_statement, peer::said(checkpoint)?))
            }
            _ => None,
        });
        read.filter(|(_, checkpoint)| checkpoint.origin == origin).collect()
    }

    /// Whether a statement is void: by its key, by name, or through what it rests on.
    pub(super) fn is_void(&self, peer_statement: &PeerStatement) -> bool {
        let by_key = self.void_since.iter().any(|(key, since)| {
            *key == peer_statement.issuer && peer_statement.accepted >= since.to_millis()
        });
        let gone = |id: &EvidenceId| {
            let of = self.accepted.values().find(|other| other.id == *id);
            self.invalidated.contains(id) || of.is_some_and(|other| self.is_void(other))
        };
        by_key || self.invalidated.contains(&peer_statement.id) || peer_statement.references.iter().any(gone)
    }
}

/// Which of the two kinds a policy requires.
fn wanted(policy: &PolicyBody) -> Option<EvidenceKind> {
    policy.require.iter().map(|requirement| requirement.kind).find(|kind| is_peer_statement(*kind))
}

#[cfg(test)]
mod tests {
    use assent_proof::{RevocationReason, Sha256};

    use super::*;
    use crate::sim::setup::key;

    fn learn(
        peer_statements: &mut PeerStatements,
        index: u64,
        issuer: PublicKey,
        claims: &Claims,
        references: Vec<EvidenceId>,
    ) {
        let number = u8::try_from(index).unwrap();
        let statement = Statement {
            subject_name: None,
            subject: Sha256::of(b"subject"),
            kind: claims.kind(),
            registry: "registry.example/words".to_owned(),
            domain: "prod".parse().unwrap(),
            lineage: "exec-1".parse().unwrap(),
            issuers: vec![issuer],
            sequence: None,
            parent: None,
            references,
            issued_at: Seconds(1),
            expires_at: None,
            claims: claims.to_json(),
        };
        let accepted = Millis(i64::from(number) * 1000);
        peer_statements.learn((index, accepted), EvidenceId([number; 32]), &statement);
    }

    fn void(peer_statements: &PeerStatements) -> Vec<bool> {
        peer_statements
            .accepted
            .values()
            .map(|peer_statement| peer_statements.is_void(peer_statement))
            .collect()
    }

    #[test]
    fn a_checkpoint_falls_with_the_key_that_brought_it_and_with_its_trust() {
        let (zone, registry) = (key("zone", 1).public(), key("registry", 1).public());
        let mut peer_statements = PeerStatements::default();
        let trust = Claims::SovereignTrust {
            peer: "peer.test/0".to_owned(),
            registry_key: key("peer", 1).public(),
            node_keys: vec![key("peer", 2).public()],
            not_after: Seconds(100),
        };
        let checkpoint =
            Claims::SynchronizationContinuity { checkpoint: "any text".to_owned(), consistency: Vec::new() };
        let revocation = |since: i64| Claims::Revocation {
            authority: registry,
            reason: RevocationReason::KeyCompromise,
            invalid_since: Some(Seconds(since)),
        };
        let trusted = EvidenceId([4; 32]);
        // The checkpoint's receipt comes first, and the trust's after a second attempt.
        learn(&mut peer_statements, 6, registry, &checkpoint, vec![trusted]);
        learn(&mut peer_statements, 4, zone, &trust, Vec::new());
        assert_eq!(void(&peer_statements), [false, false]);
        learn(&mut peer_statements, 7, registry, &revocation(7), Vec::new());
        assert_eq!(void(&peer_statements), [false, false]);
        let [known] = peer_statements.trusts()[..] else { panic!("one trust") };
        assert!(peer_statements.carries(known, &[registry], Seconds(99)));
        assert!(!peer_statements.carries(known, &[zone], Seconds(99)));
        assert!(!peer_statements.carries(known, &[], Seconds(100)));
        learn(&mut peer_statements, 8, registry, &revocation(6), Vec::new());
        assert_eq!(void(&peer_statements), [false, true]);
        learn(
            &mut peer_statements,
            9,
            zone,
            &Claims::Containment(Containment::Invalidate(trusted)),
            Vec::new(),
        );
        assert_eq!(void(&peer_statements), [true, true]);
    }
}
