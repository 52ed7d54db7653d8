//! A stopped node's report, with which an operator can choose which node to recover, and root can sign the statement.

use assent_proof::{EvidenceId, Millis, PublicKey, Rules};
use assent_registry::ClusterId;

use crate::raft::types::NodeId;

/// What a stopped node holds, including everything in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its number.
    pub node_id: NodeId,
    /// Its signing key, which the recovery statement names.
    pub key: PublicKey,
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The registry's origin.
    pub origin: String,
    /// The rules that it follows.
    pub rules: Rules,
    /// Its epoch. The statement names the next one.
    pub epoch: u64,
    /// The ledger's size.
    pub revision: u64,
    /// The registry's time.
    pub registry_time: Millis,
    /// The last index of its log.
    pub log_last: u64,
    /// The newest term in which it has voted.
    pub term: u64,
    /// The voters as it knows them.
    pub voters: Vec<NodeId>,
    /// The free slot of `_root`'s `_governance`.
    pub sequence: u64,
    /// The parent of that slot.
    pub parent: Option<EvidenceId>,
    /// The root keys.
    pub root_keys: Vec<PublicKey>,
    /// How many of the root keys must sign.
    pub threshold: u32,
}
