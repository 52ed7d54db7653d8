//! What is remembered, as it is in memory.

use std::collections::{BTreeMap, BTreeSet};

use assent_registry::UnknownVersionError;

use crate::peer::Acknowledged;
use crate::raft::types::NodeId;

/// Term and log index that each member has acknowledged.
type Known = BTreeMap<NodeId, (u64, u64)>;

/// What a node remembers, and whether it is on disk yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) known: Known,
    /// The epoch in which root recovered the cluster without this node; 0 if it did not.
    pub(super) ended: u64,
    /// The newest version of the rules for which this node has signed that its build knows it; 0 if there is none.
    pub(super) signed: u32,
    /// The members that have said that this node was removed, and have not taken it back.
    pub(super) removed_by: BTreeSet<NodeId>,
    /// What every append carries, while this node leads.
    pub(super) told: Vec<Acknowledged>,
    /// Whether `known` has grown, or `removed_by` has changed, since this was last passed to the log.
    pub(super) grown: bool,
    /// Whether `known` has grown, or `removed_by` has changed, since this was last made durable for certain.
    pub(super) loose: bool,
}

/// Why what the log remembers cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableError {
    /// Another build wrote it.
    #[error("what the log remembers of the voters has {0}")]
    Version(UnknownVersionError),
    /// This build knows its version, but the bytes are damaged.
    #[error("what the log remembers of the voters is damaged")]
    Damaged,
}
