//! Why a stopped node was not recovered.

use std::path::PathBuf;

use assent_proof::{Code, PublicKey, Refusal};

use crate::node::NodeError;
use crate::raft::types::NodeId;

/// Why a stopped node was not recovered, or why its data cannot be read. Nothing of the recovery is on its disk,
/// unless [`may_be_done`](Self::may_be_done) returns that it may be.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The node's files, its store, its registry or its log cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// There is nothing to recover.
    #[error("opening the store in `{data_dir}`: there is no node's data in it")]
    NoData {
        /// The directory.
        data_dir: PathBuf,
    },
    /// The position up to which the registry has applied the log cannot be read.
    #[error("reading the applied position: {0}")]
    Position(String),
    /// The rows that follow from the whole log cannot be read.
    #[error("reading the node's data: {0}")]
    Data(String),
    /// The membership does not contain this node with this disk.
    #[error("reading the membership: {0}")]
    NotMember(String),
    /// Another member has the key of this node. A former member with the key that the statement names would take
    /// itself for the voter that goes on, and would not end.
    #[error(
        "checking the node's key: {}: node {twin} has the same key `{key}`: recover by the data of a node whose key no other member \
         has; nothing was changed",
        Code::MemberExists
    )]
    SharedKey {
        /// The other member.
        twin: NodeId,
        /// The key of both.
        key: PublicKey,
    },
    /// The disk leaves no term, or no log index, to lead with.
    #[error(
        "looking whether this node can lead: its disk holds term {term} and log index {index}, and by this machine's clock no node \
         takes either above {most}: recover by another node's data, whose term is lower (`assent recover --config` says it), or set \
         the clock right; nothing was changed"
    )]
    NoTerm {
        /// The newest term on the disk.
        term: u64,
        /// The last index of the log.
        index: u64,
        /// The largest term or log index that any node accepts.
        most: u64,
    },
    /// Root's statement does not recover this node.
    #[error("checking the recovery statement: {}", told(.0))]
    Statement(Refusal),
    /// The recovery cannot be stamped with this machine's clock.
    #[error("looking at this machine's clock: {0}")]
    Clock(String),
    /// No membership of this node alone can be made.
    #[error("making a membership of one: {0}")]
    Membership(String),
    /// The vote could not be written. It may be on the disk, where it promises nothing to another node.
    #[error("writing the log: {0}")]
    Vote(String),
    /// The entries could not be written. Both of them may be on the disk all the same, or neither is.
    #[error("writing the log: {0}")]
    Entries(String),
}

impl RecoverError {
    /// Whether the node may be recovered in spite of the error. Its epoch then tells.
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::Entries(_))
    }
}

/// A refusal with its code and, if it names one, the field at fault.
fn told(refusal: &Refusal) -> String {
    let place = refusal.field.as_ref().map(|field| format!("`{field}`: ")).unwrap_or_default();
    format!("{}: {place}{}", refusal.code, refusal.detail)
}
