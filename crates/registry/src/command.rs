//! What goes through the Raft log, and what comes back: commands with their groups of envelopes, outcomes and
//! receipts.

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

/// Envelopes of one submission. In a [`Command`] they are bytes as submitted. For [`apply`](crate::apply)
/// they are anything that can be [verified](ToVerify) when its turn has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group<E = Bytes> {
    /// Whether all or nothing is accepted.
    pub atomic: bool,
    /// The envelopes, applied in order.
    pub envelopes: Vec<E>,
}

#[cfg(not(feature = "test-rules"))]
codec::of_one_version!(Command);

/// Under the test rules, which are in no release, commands have a second version: groups first.
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
    /// The bytes of the log entry. `rules` are those that the leader follows, so that every voter can read
    /// the entry.
    pub fn encode(&self, rules: Rules) -> Vec<u8> {
        codec::encode(self, rules)
    }

    /// Reads a log entry.
    ///
    /// # Errors
    /// [`CodecError::Version`] for a version that this build does not know. To a newer build the entry may be
    /// a revocation, so the node must stop. Any other error means that the bytes are garbage to every build
    /// that knows the version, even if only because [`Self::encode`] would write the value otherwise. Garbage
    /// changes nothing on any node.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_canonical(bytes)
    }

    /// Whether a node that knows the rules up to `known` reads the version of a log entry's command. Bytes
    /// without a version are garbage to every build; they are not another version.
    pub fn version_known(bytes: &[u8], known: RulesVersion) -> Result<(), UnknownVersionError> {
        let newest = Rules::of(known).map_or(1, Self::version_under);
        bytes.first().map_or(Ok(()), |found| UnknownVersionError::check(*found, newest))
    }
}

/// An envelope as `apply` takes it. The rules that it is verified under are known only once everything before
/// it is applied, so `apply` asks for the verification then.
pub trait ToVerify {
    /// The result of this replica's own verification of the envelope under these rules. It must never be
    /// another replica's result.
    fn verified(&self, rules: Rules) -> Checked;
}

/// An envelope's bytes, which are verified each time that `apply` asks.
#[derive(Debug, Clone)]
pub struct Unverified<'a> {
    /// The origin of the registry that they must be meant for.
    pub bytes: &'a [u8],
    /// The registry that they have to be meant for.
    pub origin: &'a str,
}

impl ToVerify for Unverified<'_> {
    fn verified(&self, rules: Rules) -> Checked {
        verify(self.bytes, self.origin, rules).into()
    }
}

/// The result of a replica's own verification of an envelope.
#[derive(Debug, Clone)]
pub enum Checked {
    /// It verifies.
    Verified(Arc<VerifiedEnvelope>),
    /// It does not. Every node answers this refusal and writes no leaf.
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

/// The outcome of one envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is in the ledger.
    Accepted {
        /// Its receipt.
        receipt: Receipt,
        /// Whether this submission put it there; otherwise an earlier one did.
        fresh: bool,
    },
    /// It is in the ledger as proof that its issuer signed two statements for one slot.
    Equivocation {
        /// Its receipt.
        receipt: Receipt,
        /// The refusal that goes with it.
        refusal: Refusal,
    },
    /// It changed nothing.
    Refused {
        /// The reason.
        refusal: Refusal,
        /// The chain's true head, if the slot was at fault.
        head: Option<EvidenceId>,
        /// The chain's next free slot, if the slot was at fault.
        next_sequence: Option<u64>,
    },
}

impl Outcome {
    /// A refusal that has nothing to do with slots.
    pub fn refused(refusal: Refusal) -> Self {
        Outcome::Refused { refusal, head: None, next_sequence: None }
    }
}

/// The outcomes of a command: one list for each group, one outcome for each envelope, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// The groups' outcomes.
    pub groups: Vec<Vec<Outcome>>,
    /// The history of these outcomes and of their receipts; `None` if nothing was applied.
    pub history: Option<History>,
}
