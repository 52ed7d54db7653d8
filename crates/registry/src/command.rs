//! What goes through the Raft log, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use assent_proof::{EvidenceId, Millis, Refusal, VerifiedEnvelope};

use crate::codec::{self, CodecError, UnknownVersionError, Versioned};

/// One log entry: envelopes that one node stamped with one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The proposing leader's clock. `apply` never reads one itself.
    pub proposed_at: Millis,
    /// Applied in order.
    pub groups: Vec<Group>,
}

/// Envelopes of one submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Whether all or nothing is accepted.
    pub atomic: bool,
    /// The envelopes' bytes as submitted, applied in order.
    pub envelopes: Vec<Bytes>,
}

impl Versioned for Command {
    const VERSION: u8 = 1;
}

impl Versioned for Outcomes {
    const VERSION: u8 = 1;
}

impl Command {
    /// The bytes of the log entry.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a log entry.
    ///
    /// # Errors
    /// [`CodecError::Version`] for a version that this build does not know: it may be a revocation to a newer build, so the
    /// node must stop. Any other error is garbage to every build that knows the version; it changes nothing on any node.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }

    /// Whether this build knows the version of a log entry's command. Bytes without a version are garbage to every build, and
    /// not of another version.
    pub fn version_known(bytes: &[u8]) -> Result<(), UnknownVersionError> {
        bytes.first().map_or(Ok(()), |found| UnknownVersionError::check(*found, Self::VERSION))
    }
}

/// An envelope as `apply` takes it: its signatures were checked by this very replica.
#[derive(Debug, Clone)]
pub enum Checked {
    /// It verifies.
    Verified(Arc<VerifiedEnvelope>),
    /// It does not; it becomes this refusal on every node, without a leaf.
    Refused(Refusal),
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
}

impl Outcomes {
    /// Their bytes, as a leader answers a follower.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }
}
