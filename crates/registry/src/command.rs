//! What goes through the Raft log, and what comes back: commands with their groups of envelopes, outcomes and receipts.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use assent_proof::{EvidenceId, History, Millis, Refusal, Rules, RulesVersion, VerifiedEnvelope, verify};

use crate::codec::{self, CodecError, UnknownVersionError, Versioned};

/// One log entry: envelopes that one node stamped with one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The proposing leader's clock. `apply` never reads one itself.
    pub proposed_at: Millis,
    /// Applied in order.
    pub groups: Vec<Group>,
}

/// Envelopes of one submission: in a [`Command`] their bytes as submitted, and for [`apply`](crate::apply) whatever is
/// [verified](ToVerify) when its turn has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group<E = Bytes> {
    /// Whether all or nothing is accepted.
    pub atomic: bool,
    /// The envelopes, applied in order.
    pub envelopes: Vec<E>,
}

#[cfg(not(feature = "test-rules"))]
codec::of_one_version!(Command);

/// Under the rules that are in no release, commands have a second version: groups first.
#[cfg(feature = "test-rules")]
impl Versioned for Command {
    const NEWEST: u8 = 2;

    fn version_under(rules: Rules) -> u8 {
        if rules == Rules::TEST { 2 } else { 1 }
    }

    fn write<S: serde::Serializer>(&self, version: u8, to: S) -> Result<S::Ok, S::Error> {
        match version {
            1 => self.serialize(to),
            _ => (&self.groups, self.proposed_at).serialize(to),
        }
    }

    fn read<'de, D: serde::Deserializer<'de>>(version: u8, from: D) -> Result<Self, D::Error> {
        match version {
            1 => Self::deserialize(from),
            _ => <(Vec<Group>, Millis)>::deserialize(from)
                .map(|(groups, proposed_at)| Self { proposed_at, groups }),
        }
    }
}

impl Command {
    /// The bytes of the log entry. The rules are those that the leader follows, so that every voter reads them.
    pub fn encode(&self, rules: Rules) -> Vec<u8> {
        codec::encode(self, rules)
    }

    /// Reads a log entry.
    ///
    /// # Errors
    /// [`CodecError::Version`] for a version that this build does not know: it may be a revocation to a newer build, so the
    /// node must stop. Any other error is garbage to every build that knows the version, bytes that [`Self::encode`] would write otherwise
    /// included; it changes nothing on any node.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical(bytes)
    }

    /// Whether a node that knows the rules up to `known` reads the version of a log entry's command. Bytes without a version are
    /// garbage to every build, and not of another version.
    pub fn version_known(bytes: &[u8], known: RulesVersion) -> Result<(), UnknownVersionError> {
        let newest = Rules::of(known).map_or(1, Self::version_under);
        bytes.first().map_or(Ok(()), |found| UnknownVersionError::check(*found, newest))
    }
}

/// An envelope as `apply` takes it. Which rules it is verified under is known only once everything before it is applied, so
/// `apply` asks.
pub trait ToVerify {
    /// What this very replica makes of the envelope under these rules. Never another's word.
    fn verified(&self, rules: Rules) -> Checked;
}

/// An envelope's bytes, verified anew whenever that is asked.
#[derive(Debug, Clone)]
pub struct Unverified<'a> {
    /// The bytes as submitted.
    pub bytes: &'a [u8],
    /// The registry that they have to be meant for.
    pub origin: &'a str,
}

impl ToVerify for Unverified<'_> {
    fn verified(&self, rules: Rules) -> Checked {
        verify(self.bytes, self.origin, rules).into()
    }
}

/// What a replica makes of an envelope, by its own verification.
#[derive(Debug, Clone)]
pub enum Checked {
    /// It verifies.
    Verified(Arc<VerifiedEnvelope>),
    /// It does not; it becomes this refusal on every node, without a leaf.
    Refused(Refusal),
}

impl From<Result<VerifiedEnvelope, Refusal>> for Checked {
    fn from(verified: Result<VerifiedEnvelope, Refusal>) -> Self {
        match verified {
            Ok(envelope) => Checked::Verified(Arc::new(envelope)),
            Err(refusal) => Checked::Refused(refusal),
        }
    }
}

/// Proof of acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was accepted.
    pub evidence_id: EvidenceId,
    /// Its place in the ledger.
    pub ledger_index: u64,
    /// The ledger's size right after it: the first revision that contains it.
    pub revision: u64,
    /// When the registry accepted it.
    pub accepted_at: Millis,
}

/// What became of one envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is in the ledger.
    Accepted {
        /// Where.
        receipt: Receipt,
        /// Whether this submission put it there; otherwise an earlier one did.
        fresh: bool,
    },
    /// It is in the ledger as proof that its issuer signed two statements for one slot.
    Equivocation {
        /// Where.
        receipt: Receipt,
        /// What that means.
        refusal: Refusal,
    },
    /// It changed nothing.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The chain's true head, where the slot was at fault.
        head: Option<EvidenceId>,
        /// The chain's next free slot, where the slot was at fault.
        next_sequence: Option<u64>,
    },
}

impl Outcome {
    /// A refusal that has nothing to do with slots.
    pub fn refused(refusal: Refusal) -> Self {
        Outcome::Refused { refusal, head: None, next_sequence: None }
    }
}

/// What became of a command: one list a group, one outcome an envelope, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// The groups' outcomes.
    pub groups: Vec<Vec<Outcome>>,
    /// The history in which they are so, and which the receipts are of; none if nothing was applied.
    pub history: Option<History>,
}
