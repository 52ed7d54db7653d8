//! What a stopped node says of itself, so that an operator can choose which node to recover and root can sign the statement.

use assent_proof::{EvidenceId, Millis, PublicKey, Rules};
use assent_registry::ClusterId;

use crate::raft::types::NodeId;

/// What a stopped node holds, with everything in its log counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its number.
    pub node_id: NodeId,
    /// Its signing key, which the recovery statement names.
    pub key: PublicKey,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The registry's origin.
    pub origin: String,
    /// The rules that it follows.
    pub rules: Rules,
    /// The epoch that it is in; the statement names the next one.
    pub epoch: u64,
    /// The ledger's size.
    pub revision: u64,
    /// The registry's time.
    pub registry_time: Millis,
    /// The last index of its log.
    pub log_last: u64,
    /// The newest term that it has voted in.
    pub term: u64,
    /// The voters as it knows them.
    pub voters: Vec<NodeId>,
    /// The free slot of `_root`'s `_governance`.
    pub sequence: u64,
    /// What the slot comes after.
    pub parent: Option<EvidenceId>,
    /// The root keys.
    pub root_keys: Vec<PublicKey>,
    /// How many of them have to sign.
    pub threshold: u32,
}
