//! What the fields of a configuration are if the file does not set them.

use std::path::PathBuf;
use std::thread::available_parallelism;

use assent_registry::RulesVersion;

use super::{Config, DeadlineConfig, LimitConfig, RaftConfig, VoterConfig};
use crate::audit::AuditConfig;
use crate::raft::types::NodeId;

impl Config {
    /// A configuration with defaults for all fields that can have one, except that `plain_http` is set. The node
    /// listens at the addresses that `voters` gives for it.
    pub fn new(
        node_id: NodeId,
        data_dir: PathBuf,
        genesis: PathBuf,
        node_key: PathBuf,
        voters: Vec<VoterConfig>,
    ) -> Self {
        let own = voters.iter().find(|voter| voter.id == node_id);
        Self {
            node_id,
            data_dir,
            genesis,
            node_key,
            client_listen: own.map(|voter| voter.client.clone()).unwrap_or_default(),
            peer_listen: own.map(|voter| voter.peer.clone()).unwrap_or_default(),
            peer_tls: None,
            plain_http: true,
            admin_listen: None,
            health_listen: None,
            health_metrics: false,
            public_read: false,
            simulated_network: false,
            client_advertise: None,
            peer_advertise: None,
            voters,
            peers: Vec::new(),
            client_tls: None,
            callers: Vec::new(),
            jwt_issuers: Vec::new(),
            audit: AuditConfig::default(),
            raft: RaftConfig::default(),
            deadlines: DeadlineConfig::default(),
            limits: LimitConfig::default(),
            rules_known: newest_rules(),
            clock_bound_ms: default_clock_bound_ms(),
            clock_settle_ms: default_clock_settle_ms(),
        }
    }
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 150,
            election_max_ms: 300,
            snapshot_every_entries: 20_000,
            keep_entries: 5_000,
            lag_entries: 25_000,
            log_mib: 512,
            log_age_s: 7 * 24 * 3600,
        }
    }
}

impl Default for DeadlineConfig {
    fn default() -> Self {
        Self {
            authorize_ms: 250,
            submit_ms: 2_000,
            read_ms: 1_000,
            membership_ms: 10_000,
            http_head_ms: 10_000,
            http_idle_ms: 75_000,
            http_body_ms: 5_000,
            http_write_ms: 10_000,
            events_heartbeat_ms: 3_000,
            events_slow_ms: 5_000,
            shutdown_ms: 3_000,
            drain_ms: 0,
            task_late_ms: 30_000,
        }
    }
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_address: 512,
            handshakes_per_address: 32,
            caller_requests: 1_024,
            caller_rate: 50_000,
            caller_burst: 100_000,
            caller_work: default_caller_work(),
            admin_connections: 64,
            authorize_queue: 8_192,
            authorize_batch: 1_024,
            answer_kib: 256 * 1024,
            barriers: 2,
            submit_queue: 8_192,
            submit_batch: 256,
            submit_batch_bytes: 1 << 20,
            verifications: 4,
            body_kib: 256 * 1024,
            event_streams: 256,
            proposals: 2,
            registry_flush_ms: 5_000,
            issuer_rate: 500,
            issuer_burst: 5_000,
            lineage_statements: 100_000,
            domain_mib_per_year: 0,
            disk_reserve_mib: 1_024,
        }
    }
}

/// Four for each core, so that each has work while calls wait for the disk and for other nodes.
fn default_caller_work() -> usize {
    const OF_A_CORE: usize = 4;
    const LEAST: usize = 8;
    available_parallelism().map_or(LEAST, |cores| cores.get().saturating_mul(OF_A_CORE).max(LEAST))
}

pub(super) fn newest_rules() -> u32 {
    RulesVersion::NEWEST.0
}

pub(super) fn default_clock_bound_ms() -> u64 {
    500
}

pub(super) fn default_clock_settle_ms() -> u64 {
    60_000
}
