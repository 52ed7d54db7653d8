//! What a node's use cases work with, and what they ask of it: the voters, the leader, the rules, and why the node
//! cannot go on.
//!
//! It is built once, when the node starts. It depends on no use case: each use case adds what it does with the parts
//! in its own file.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Raft, RaftMetrics};
use tokio::sync::watch;

use assent_proof::{Refusal, Rules, SigningKey};
use assent_registry::{ClusterId, RowError, query, rules_in_force};
use assent_store::{Health, LogStore, RegistryStore, StoreError};

use super::anchor::Anchor;
use crate::access::Access;
use crate::announced_addresses::AnnouncedAddresses;
use crate::audit::Trail;
use crate::client_tls::ClientTls;
use crate::config::Config;
use crate::env::Environment;
use crate::introductions::Introductions;
use crate::metrics::Metrics;
use crate::peer::PeerHub;
use crate::raft::log::LogRecord;
use crate::raft::machine::{AppliedAt, Machine};
use crate::raft::network::Transfers;
use crate::raft::remembered::Remembered;
use crate::raft::types::{NodeId, TypeConfig};
use crate::raft::verifier::Verifier;
use crate::tasks::Tasks;

/// This node's Raft core.
pub(crate) type Core = Raft<TypeConfig, Machine>;

/// What the Raft core shows of itself.
pub(super) type CoreMetrics = RaftMetrics<TypeConfig>;

/// Everything the use cases work with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) env: Environment,
    /// Who may call this node.
    pub(crate) access: Arc<Access>,
    /// TLS of the client port, for when its files end. `None` for plain HTTP.
    pub(crate) client_tls: Option<Arc<ClientTls>>,
    /// The audit trail.
    pub(crate) trail: Arc<Trail>,
    pub(crate) raft: Core,
    pub(crate) hub: PeerHub,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) metrics: Arc<Metrics>,
    /// The node's tasks.
    pub(crate) tasks: Tasks,
    pub(crate) identity: NodeIdentity,
    pub(crate) storage: Storage,
    pub(crate) gossip: MemberGossip,
    pub(crate) lifecycle: Lifecycle,
    /// The node's trust in its clock.
    pub(crate) anchor: Mutex<Anchor>,
    /// Held while the membership is being changed.
    pub(crate) managing: tokio::sync::Mutex<()>,
}

/// The node's identity, and the key that it signs with.
pub(crate) struct NodeIdentity {
    pub(crate) key: SigningKey,
    pub(crate) cluster_id: ClusterId,
    /// The registry's name, as statements give it.
    pub(crate) origin: String,
    /// This node's store.
    pub(crate) store_id: [u8; 16],
}

/// The node's storage, and how far it has applied the log.
pub(crate) struct Storage {
    pub(crate) registry: RegistryStore,
    pub(crate) health: Health,
    /// How far the registry has applied the log.
    pub(crate) applied: watch::Receiver<AppliedAt>,
    /// The Raft log, for its size.
    pub(crate) log: LogStore<LogRecord>,
    /// What is remembered of the members, and of this node's own end.
    pub(crate) remembered: Arc<Remembered>,
    /// The snapshots on their way.
    pub(crate) transfers: Transfers,
}

/// What members have announced of themselves and of others, beside the membership.
pub(crate) struct MemberGossip {
    /// Members that others have named.
    pub(crate) introductions: Introductions,
    /// The addresses that members have announced.
    pub(crate) announced_addresses: AnnouncedAddresses,
}

/// Whether this node was founded, whether it is stopping, and why it ends.
pub(crate) struct Lifecycle {
    /// Why the founders do not found the cluster, as long as this node finds something wrong with them.
    pub(crate) not_founded: Mutex<Option<Refusal>>,
    /// Root's newest recovery statement, if there was one.
    pub(crate) recovery: watch::Receiver<Option<Bytes>>,
    /// Whether this node is stopping.
    pub(crate) stopping: AtomicBool,
    /// Why this node ends, once it does: the membership binds another store to its id, the cluster was recovered
    /// without it, its log contradicts the leader's, or one of its tasks ended.
    pub(crate) ends: Arc<OnceLock<String>>,
}

impl Parts {
    /// The present metrics of the Raft core.
    pub(crate) fn metrics_now(&self) -> CoreMetrics {
        self.raft.metrics().borrow_watched().clone()
    }

    /// The voters that this node knows of, or the genesis voters before there is a membership.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        let voters: Vec<NodeId> =
            self.raft.metrics().borrow_watched().membership_config.voter_ids().collect();
        if voters.is_empty() { self.config.voters.iter().map(|voter| voter.id).collect() } else { voters }
    }

    /// The newest rules that this build knows.
    pub(crate) fn rules_known(&self) -> u32 {
        self.config.rules_known
    }

    /// The rules that the registry follows here.
    pub(crate) fn rules_in_force(&self) -> Result<Rules, RowError> {
        rules_in_force(&self.storage.registry.view()?)
    }

    /// The version of the rules that the registry follows here.
    pub(crate) fn rules(&self) -> Result<u32, RowError> {
        Ok(query::summary(&self.storage.registry.view()?)?.map_or(0, |summary| summary.rules_version))
    }

    /// Whether this node is a member, as far as it knows.
    pub(crate) fn is_member(&self) -> bool {
        let me = self.config.node_id;
        self.raft.metrics().borrow_watched().membership_config.get_node(&me).is_some()
    }

    /// The node that leads, as this node believes. It is good only for routing: a node that was cut off believes for
    /// a while that it still leads.
    pub(crate) fn believed_leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow_watched().current_leader
    }

    /// An error of reading rows, as text. If only another build can go on, this ends the node with the error as the
    /// cause.
    pub(crate) fn unread(&self, error: &RowError) -> String {
        self.stop_if_unknown(error);
        error.to_string()
    }

    /// Ends this node if only another build can go on.
    pub(crate) fn stop_if_unknown(&self, error: &RowError) {
        self.storage.registry.stop_at_unknown_version(&StoreError::Row(error.clone()));
    }

    /// Why this node cannot go on, if it cannot.
    ///
    /// Rule R52 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): After `conclude` a deny is never replaced by
    /// an allow, an allow is replaced only by a deny, and every allow is replaced once the node has a reason
    /// to stop: its store, Raft, its history or one of its lasting tasks has ended (`evidence_mutated`).
    pub(crate) fn fatal(&self) -> Option<String> {
        if let Some(cause) = self.storage.health.poisoned() {
            return Some(format!("the store has stopped: {cause}"));
        }
        if let Some(cause) = self.lifecycle.ends.get() {
            return Some(cause.clone());
        }
        let metrics = self.raft.metrics();
        let running = metrics.borrow_watched().running_state.clone();
        let raft = running.err().map(|fatal| format!("raft stopped: {fatal}"));
        raft.or_else(|| self.tasks.returned().map(str::to_owned))
    }

    /// Waits until Raft has reported why it ends. A task that notices the end by other means waits here first.
    pub(crate) async fn raft_ended(&self) {
        let mut metrics = self.raft.metrics();
        while metrics.borrow_watched().running_state.is_ok() && metrics.changed().await.is_ok() {}
    }
}
