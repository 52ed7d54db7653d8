//! The voters under which an entry of the log is applied, and the signatures that the log must hold of all of them.
//!
//! This module owns the one thing that applying takes from the membership: a `rules` statement raises the rules only
//! with the signature of every voter. The signature means that the voter's build knows the rules, so no voter is
//! locked out.

use assent_proof::{Code, EvidenceKind, PublicKey, Refusal, Statement};
use assent_registry::Checked;
use openraft::Membership;

use super::types::{NodeId, PeerNode};

/// The voters, each with its signing key. While the membership changes, these are the voters before and after the
/// change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Voters(Vec<(NodeId, Option<PublicKey>)>);

impl Voters {
    /// The voters of a membership.
    pub(crate) fn of(membership: &Membership<NodeId, PeerNode>) -> Self {
        let key = |id: NodeId| membership.get_node(&id).and_then(|node| node.key);
        Self(membership.voter_ids().map(|id| (id, key(id))).collect())
    }

    /// Each voter and its key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, Option<PublicKey>)> + '_ {
        self.0.iter().copied()
    }

    /// The finding of an envelope, or a refusal in its place if it would raise the rules without the signature of one
    /// of these voters.
    pub(super) fn unless_unsigned_raise(&self, checked: Checked) -> Checked {
        let refusal = match &checked {
            Checked::Verified(envelope) => self.refuse(envelope.statement()),
            Checked::Refused(_) => None,
        };
        refusal.map_or(checked, Checked::Refused)
    }

    /// Rule R149 (RFC-EG-033 §3, Cryptographic Proof Validation): A `rules` statement is refused unless every
    /// voter has signed it, by the membership that the log holds before the entry (`threshold_not_met`).
    fn refuse(&self, statement: &Statement) -> Option<Refusal> {
        if statement.kind != EvidenceKind::Rules {
            return None;
        }
        let signed = |key: Option<PublicKey>| key.is_some_and(|key| statement.issuers.contains(&key));
        let detail = match self.iter().find(|(_, key)| !signed(*key)) {
            Some((id, _)) => format!("node {id} votes and has not signed that its build knows these rules"),
            None if self.0.is_empty() => "there are no voters whose builds could know these rules".to_owned(),
            None => return None,
        };
        Some(Refusal::at(Code::ThresholdNotMet, "predicate.issuers", detail))
    }
}
