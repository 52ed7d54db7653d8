//! Statements before they are signed, so that they can be signed again when what they name has another id.

use std::collections::{BTreeMap, BTreeSet};

use assent_fixtures::Place;
use assent_proof::{
    AuthorizeRequest, Claims, Containment, DomainName, EvidenceId, LineageName, Seconds, Sha256, SigningKey,
};

use super::keys::key;

/// The registry's name.
pub(super) const ORIGIN: &str = "registry.test/1";

/// A chain: a domain, a lineage and, where each issuer has its own, the number of the issuer's key.
pub(super) type ChainId = (DomainName, LineageName, Option<u8>);

/// New ids for old ones.
pub(super) type Renamed = BTreeMap<EvidenceId, EvidenceId>;

/// A place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) sequence: u64,
    pub(super) parent: Option<EvidenceId>,
}

/// A statement, and the numbers of the keys that sign it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) domain: DomainName,
    pub(super) lineage: LineageName,
    /// The subject, unless it follows from the claims or is the lineage's own.
    pub(super) subject: Option<Sha256>,
    pub(super) claims: Claims,
    pub(super) slot: Option<Slot>,
    pub(super) references: Vec<EvidenceId>,
    pub(super) issued_at: Seconds,
    pub(super) expires_at: Option<Seconds>,
    pub(super) signers: BTreeSet<u8>,
}

/// One step: what both are asked to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// A statement is submitted.
    Submit(Draft),
    /// A node raises the rules, or another key tries to.
    Raise(Draft),
    /// A decision is asked for.
    Ask(AuthorizeRequest),
    /// A permit is asked for.
    Permit(AuthorizeRequest),
}

impl Draft {
    /// A statement without a slot.
    pub(super) fn new(
        domain: DomainName,
        lineage: LineageName,
        claims: Claims,
        signers: impl IntoIterator<Item = u8>,
        issued_at: Seconds,
    ) -> Self {
        Self {
            domain,
            lineage,
            subject: None,
            claims,
            slot: None,
            references: Vec::new(),
            issued_at,
            expires_at: None,
            signers: signers.into_iter().collect(),
        }
    }

    /// The signed envelope. The same draft gives the same bytes.
    pub(super) fn sign(&self) -> Vec<u8> {
        let keys: Vec<SigningKey> = self.signers.iter().map(|number| key(*number)).collect();
        let place = Place::new(ORIGIN, self.domain.clone(), self.issued_at).lineage(self.lineage.clone());
        let target = place.target(&self.claims).unwrap_or_else(|| self.lineage.to_string());
        let mut draft = place.raw(self.claims.kind(), self.claims.to_json());
        draft.0.subject = self.subject.unwrap_or_else(|| Sha256::of(target.as_bytes()));
        draft.0.sequence = self.slot.map(|slot| slot.sequence);
        draft.0.parent = self.slot.and_then(|slot| slot.parent);
        draft.0.references = self.references.clone();
        draft.0.expires_at = self.expires_at;
        draft.sign(&keys.iter().collect::<Vec<_>>())
    }

    /// The chain that it belongs to.
    pub(super) fn chain(&self) -> ChainId {
        let issuer = if self.lineage.is_system() { None } else { self.signers.first().copied() };
        (self.domain.clone(), self.lineage.clone(), issuer)
    }

    /// The same draft with references to new ids in place of old ones. Its slot stays as it is.
    pub(super) fn renamed(&self, ids: &Renamed) -> Self {
        let new = |id: &EvidenceId| ids.get(id).copied().unwrap_or(*id);
        let mut draft = self.clone();
        draft.references = self.references.iter().map(new).collect();
        match &mut draft.claims {
            Claims::Release { containment } => *containment = new(containment),
            Claims::Reconciliation { conflict, canonical } => {
                *conflict = conflict.map(|id| new(&id));
                *canonical = new(canonical);
            }
            Claims::Containment(Containment::Invalidate(id)) => *id = new(id),
            _ => {}
        }
        draft
    }
}

impl Act {
    /// The statement, if the step has one.
    pub(super) fn draft(&self) -> Option<&Draft> {
        match self {
            Act::Submit(draft) | Act::Raise(draft) => Some(draft),
            Act::Ask(_) | Act::Permit(_) => None,
        }
    }
}

/// The same request with new ids in place of old ones. Its history stays: if a recovery was left out, the history is
/// not the one in force, for the rules and the model alike.
pub(super) fn renamed_request(request: &AuthorizeRequest, ids: &Renamed) -> AuthorizeRequest {
    let expected_head = request.expected_head.map(|id| ids.get(&id).copied().unwrap_or(id));
    AuthorizeRequest { expected_head, ..request.clone() }
}
