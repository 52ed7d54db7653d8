//! What is remembered, as it lies in memory.

use std::collections::{BTreeMap, BTreeSet};

use assent_registry::UnknownVersionError;

use crate::peer::Acknowledged;
use crate::raft::types::NodeId;

/// Term and log index that each member has acknowledged.
type Known = BTreeMap<NodeId, (u64, u64)>;

/// What a node remembers, and what of it is not on disk yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) known: Known,
    /// The epoch in which root recovered the cluster without this node; 0 if it did not.
    pub(super) ended: u64,
    /// The newest rules of which this node has signed that its build knows them; 0 if of none.
    pub(super) signed: u32,
    /// The members that have said that this node was removed, and have not taken it back.
    pub(super) removed_by: BTreeSet<NodeId>,
    /// What goes along with appends, while this node leads.
    pub(super) told: Vec<Acknowledged>,
    /// Whether `known` has grown, or `removed_by` changed, since it was last given to the log,
    pub(super) grown: bool,
    /// and since it was last made durable for certain.
    pub(super) loose: bool,
}

/// Why the log's memory of others cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableError {
    /// Another build wrote it.
    #[error("what the log remembers of the voters has {0}")]
    Version(UnknownVersionError),
    /// This build knows its version, and the bytes are not a memory.
    #[error("what the log remembers of the voters is damaged")]
    Damaged,
}
