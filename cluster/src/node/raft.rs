//! Starts Raft on a starting node.

use std::sync::Arc;

use openraft::SnapshotPolicy;

use assent_registry::ClusterId;

use super::disk::Disk;
use super::error::{NodeError, with_text};
use super::peers::Peers;
use super::starting::Starting;
use crate::config::Config;
use crate::raft::log::RaftLog;
use crate::raft::machine::Machine;
use crate::raft::network::PeerNetworkFactory;
use crate::usecase::Core;

/// Starts Raft, and lets it answer the peers once it runs.
pub(super) async fn start_raft(
    starting: &Starting,
    disk: &Disk,
    peers: &Peers,
    machine: Machine,
) -> Result<Core, NodeError> {
    let Starting { config, own, access: _, env, tasks, client_tls: _, audit: _ } = starting;
    let (hub, transfers) = (peers.hub.clone(), peers.transfers.clone());
    let raft = Core::new(
        config.node_id,
        Arc::new(raft_config(config, own.cluster_id)?),
        PeerNetworkFactory::new(hub, env.blocking.clone(), disk.remembered.clone(), transfers),
        RaftLog::new(disk.store.log.clone(), disk.verifier.clone(), own.known, config.node_id),
        machine,
    );
    let raft = tasks.owning(raft).await.map_err(with_text(NodeError::Raft))?;
    // Until Raft has started its loop, it shows an empty membership, by which the node would admit peers that it must
    // refuse.
    raft.with_raft_state(|_| ()).await.map_err(with_text(NodeError::Raft))?;
    peers.raft.attach(raft.clone());
    Ok(raft)
}

fn raft_config(config: &Config, cluster_id: ClusterId) -> Result<openraft::Config, NodeError> {
    let raft = &config.raft;
    let made = openraft::Config {
        cluster_name: cluster_id.to_string(),
        heartbeat_interval: raft.heartbeat_ms,
        election_timeout_min: raft.election_min_ms,
        election_timeout_max: raft.election_max_ms,
        // A leader that restarts in its old term must never lead without an election.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        // Campaigning waits until the clock is sure.
        enable_elect: false,
        allow_log_reversion: Some(false),
        // A leader that receives no answers stops its heartbeats from time to time, so that followers that still
        // receive them can elect another leader.
        quorum_loss_probe_interval: Some(raft.election_max_ms.saturating_mul(3)),
        // Only `usecase/keep_log.rs` decides when a snapshot is taken and what is purged.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: raft.lag_entries,
        max_payload_entries: 64,
        install_snapshot_timeout: 60_000,
        ..openraft::Config::default()
    };
    made.validate().map_err(with_text(NodeError::RaftConfig))
}
