//! What accepting an envelope will write: all that the checks found, and where the statement goes.

use std::collections::BTreeSet;
use std::rc::Rc;

use assent_proof::{Claims, EvidenceId, Millis, PublicKey, Rules};

use crate::authorize::Allow;
use crate::record::{CheckpointRow, CountedSigner, IssuerRow, LineageRow, MetaRow};

/// What accepting an envelope will write.
pub(super) struct Plan {
    /// The rules that it was judged by.
    pub(super) rules: Rules,
    /// The time of acceptance.
    pub(super) accepted_at: Millis,
    /// The claims, as their type.
    pub(super) claims: Claims,
    /// The issuers that count towards the threshold.
    pub(super) counted: Vec<CountedSigner>,
    /// How many of them must stay unvoided.
    pub(super) threshold: u32,
    /// Where it goes.
    pub(super) placement: Placement,
    /// The registry as the check found it; none before the first statement of a genesis file.
    pub(super) meta: Option<Rc<MetaRow>>,
    /// The lineage as the check found it.
    pub(super) lineage: Option<LineageRow>,
    /// The issuer's chain in it, as the check found it.
    pub(super) chain: Option<IssuerRow>,
    /// The checkpoint of another registry that it brings.
    pub(super) checkpoint: Option<CheckpointRow>,
    /// The authorizations that lose a use by this permit.
    pub(super) consumes: BTreeSet<EvidenceId>,
    /// The cluster id, if a genesis file may found the registry with this statement.
    pub(super) founds: Option<[u8; 32]>,
}

/// Where an accepted statement goes in its lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// The issuer's next slot.
    IssuerSlot {
        /// The issuer.
        issuer: PublicKey,
        /// The slot.
        sequence: u64,
    },
    /// A slot that the issuer has filled already.
    Equivocation {
        /// The issuer.
        issuer: PublicKey,
        /// The slot.
        sequence: u64,
    },
    /// The next slot of the shared chain of `_governance`.
    SharedSlot,
    /// No slot.
    Restriction,
    /// No slot. The request was evaluated, and this is the allow that the permit rests on.
    Permit(Allow),
    /// No slot. The statement names the next version of the rules.
    Rules,
    /// No slot and no leaf: this standing restriction, or this permit for the same request, says the same
    /// already.
    Redundant(EvidenceId),
}

impl Placement {
    /// The issuer and the slot of a statement in its issuer's own chain.
    pub(super) fn own_slot(self) -> Option<(PublicKey, u64)> {
        match self {
            Placement::IssuerSlot { issuer, sequence } | Placement::Equivocation { issuer, sequence } => {
                Some((issuer, sequence))
            }
            Placement::SharedSlot
            | Placement::Restriction
            | Placement::Permit(_)
            | Placement::Rules
            | Placement::Redundant(_) => None,
        }
    }

    /// Whether it is the second statement of its issuer for a slot.
    pub(super) fn is_second(self) -> bool {
        match self {
            Placement::Equivocation { .. } => true,
            Placement::IssuerSlot { .. }
            | Placement::SharedSlot
            | Placement::Restriction
            | Placement::Permit(_)
            | Placement::Rules
            | Placement::Redundant(_) => false,
        }
    }
}
