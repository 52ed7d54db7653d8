//! What happened in a run: every question, submission, restriction and fault, with when it began and when it was over.
//!
//! Times count from the run's start, on one clock. Nothing here judges.

use std::time::Duration;

use assent_proof::Code;
use bytes::Bytes;

/// A time since the run's start.
pub type At = Duration;

/// Everything that happened in a run, and what was found at its end.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The nodes.
    pub nodes: Vec<u64>,
    /// Every authorize.
    pub asked: Vec<Asked>,
    /// Every restriction that was acknowledged.
    pub restricted: Vec<Restricted>,
    /// Every submission.
    pub submissions: Vec<Submission>,
    /// Every fault.
    pub faults: Vec<Fault>,
    /// What each node held of each acknowledged envelope at the end.
    pub found: Vec<Found>,
    /// Each node's digest at the end.
    pub digests: Vec<Digest>,
}

/// One authorize.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which node.
    pub node: u64,
    /// What about: a lineage of its own a question.
    pub question: usize,
    /// When it was sent.
    pub invoked: At,
    /// When its answer was there, or was given up on.
    pub returned: At,
    /// The answer.
    pub outcome: Outcome,
}

/// The answer to an authorize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It may execute.
    Allow,
    /// It may not, for this reason before others.
    Deny(Code),
    /// Nothing that is a decision.
    NoAnswer,
}

/// A restriction that was acknowledged: from then on the question is never allowed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricted {
    /// Of which question.
    pub question: usize,
    /// A revocation or a quarantine.
    pub how: &'static str,
    /// When its acknowledgement was there.
    pub acknowledged: At,
}

/// One envelope, submitted until its outcome was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its evidence id.
    pub id: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// When it was first sent.
    pub begun: At,
    /// When its outcome was known, or was given up on.
    pub ended: At,
    /// How often the client gave up and the same bytes were handed to it again.
    pub unknown: u32,
    /// Whether the first receipt said that an earlier try had been accepted.
    pub retried: bool,
    /// Every receipt for these bytes.
    pub receipts: Vec<Receipt>,
    /// The refusal, if it was refused for good.
    pub refused: Option<String>,
}

/// A receipt, as far as it has to stay the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The ledger's index.
    pub ledger_index: u64,
    /// When the registry accepted it, in unix milliseconds.
    pub accepted_at: i64,
    /// The evidence that it is for.
    pub evidence_id: String,
}

/// What is done to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// kill -9.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Pause,
    /// SIGTERM: the node hands over and goes.
    Stop,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Kill, Kind::Pause, Kind::Stop];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Pause => "pause",
            Kind::Stop => "stop",
        }
    }
}

/// What part of the cluster a fault struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Struck {
    /// Followers only.
    Follower,
    /// The leader alone.
    Leader,
    /// So many that no quorum was left.
    Majority,
}

impl Struck {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Struck::Follower => "follower",
            Struck::Leader => "leader",
            Struck::Majority => "majority",
        }
    }
}

/// One fault, from its beginning to when all was well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What was done.
    pub kind: Kind,
    /// To what part of the cluster.
    pub struck: Struck,
    /// To whom.
    pub victims: Vec<u64>,
    /// Right before the first signal.
    pub begun: At,
    /// Once the last victim was gone or stood still.
    pub effective: At,
    /// Right before the first victim was started again or went on.
    pub healing: At,
    /// Once every node was ready again.
    pub over: At,
}

/// What a node held of an acknowledged envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which node.
    pub node: u64,
    /// Which evidence.
    pub id: String,
    /// What it held.
    pub stored: Stored,
}

/// Whether a node held an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Byte for byte.
    Same,
    /// With other bytes.
    Different,
    /// Not at all.
    Missing,
}

/// A node's digest of all its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Which node.
    pub node: u64,
    /// The log index up to which it has applied.
    pub applied: u64,
    /// The digest.
    pub digest: String,
}
