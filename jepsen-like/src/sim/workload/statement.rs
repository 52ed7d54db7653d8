//! Statements as the callers sign them.

use assent_fixtures::Place;
use assent_proof::{Claims, DomainName, EvidenceId, EvidenceKind, LineageName, Seconds, Sha256, SigningKey};

use super::super::clock::right_ms;
use super::super::setup::ORIGIN;

/// How far before the present statements are issued, unless the caller says otherwise: registry time may lag a little.
pub(super) const ISSUED_AGO_MS: i64 = 2_000;

/// The content of a statement besides its claims.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) domain: DomainName,
    pub(super) lineage: LineageName,
    pub(super) subject: Sha256,
    pub(super) kind: EvidenceKind,
    pub(super) claims: Claims,
    pub(super) references: Vec<EvidenceId>,
    pub(super) expires_at: Option<Seconds>,
    /// The time from the present to its time of issue, which is in whole seconds.
    pub(super) dated_ms: i64,
}

/// The present, as callers see it.
pub(super) fn now() -> Seconds {
    dated(0)
}

/// The last whole second that begins before this long after the present.
fn dated(ahead_ms: i64) -> Seconds {
    Seconds(right_ms().saturating_add(ahead_ms) / 1000)
}

impl Draft {
    /// A governance statement about `target`.
    pub(super) fn governance(domain: &DomainName, kind: EvidenceKind, target: &str, claims: Claims) -> Self {
        Self {
            domain: domain.clone(),
            lineage: LineageName::governance(),
            subject: Sha256::of(target.as_bytes()),
            kind,
            claims,
            references: Vec::new(),
            expires_at: None,
            dated_ms: -ISSUED_AGO_MS,
        }
    }

    /// Signs it, in its slot if it takes one.
    pub(super) fn sign(self, keys: &[&SigningKey], slot: Option<(u64, Option<EvidenceId>)>) -> Vec<u8> {
        let place = Place {
            origin: ORIGIN.to_owned(),
            domain: self.domain,
            lineage: self.lineage,
            subject: self.subject,
            issued_at: dated(self.dated_ms),
        };
        let mut draft = place.raw(self.kind, self.claims.to_json());
        draft.0.sequence = slot.map(|(sequence, _)| sequence);
        draft.0.parent = slot.and_then(|(_, parent)| parent);
        draft.0.references = self.references;
        draft.0.expires_at = self.expires_at;
        draft.sign(keys)
    }
}
