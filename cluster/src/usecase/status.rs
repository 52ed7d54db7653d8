//! How this node sees the cluster. Local: no barrier, and no decision depends on it.

use assent_api::{
    LogBody, NodeRole, PeerBody, ProcessBody, SelfBody, SnapshotBody, SnapshotDirection, StatusBody,
};
use assent_proof::{Cursor, Millis};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::{Caller, Service};
use crate::peer::PeerStatus;
use crate::raft::network::{Direction, Progress};
use crate::raft::types::NodeId;

impl Service {
    /// What this node knows right now.
    pub fn status(&self, _caller: &Caller) -> StatusBody {
        let parts = self.parts();
        let metrics = parts.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let voters: Vec<u64> = membership.voter_ids().collect();
        let learners = membership.nodes().map(|(id, _)| *id).filter(|id| !voters.contains(id)).collect();
        let (peer, client) = parts.config.addresses();
        let Cursor { history, revision } = parts.ledger();
        let (peers, clients) = (parts.hub.tls(), parts.client_tls.as_ref());
        StatusBody {
            cluster_id: parts.identity.cluster_id.to_string(),
            history,
            origin: parts.identity.origin.clone(),
            node_id: parts.config.node_id,
            role: match metrics.state {
                ServerState::Leader => NodeRole::Leader,
                ServerState::Candidate => NodeRole::Candidate,
                ServerState::Learner => NodeRole::Learner,
                _ => NodeRole::Follower,
            },
            leader: metrics.current_leader,
            term: metrics.current_term,
            revision,
            last_log: metrics.last_log_index,
            applied: metrics.last_applied.map(|log_id| log_id.index),
            voters,
            learners,
            clock: parts.clock_body(),
            node: SelfBody {
                peer,
                client,
                store_id: hex::encode(parts.identity.store_id),
                key: parts.identity.key.public(),
                peer_certificate_end: peers.map(|tls| Millis(tls.not_after_ms())),
                client_certificate_end: clients.map(|tls| Millis(tls.not_after_ms())),
                peer_revocation_list_end: peers.and_then(|tls| tls.next_update_ms()).map(Millis),
                client_revocation_list_end: clients.and_then(|tls| tls.next_update_ms()).map(Millis),
            },
            member: parts.is_member(),
            removed: parts.membership_status().removed(),
            silenced: parts.silenced_body(),
            rules: parts.rules().unwrap_or(0),
            rules_known: parts.rules_known(),
            peers: parts.hub.status().into_iter().map(peer_body).collect(),
            log: LogBody {
                first: parts.storage.log.range().map(|(first, _)| first),
                last: parts.storage.log.range().map(|(_, last)| last),
                bytes: parts.storage.log.bytes(),
            },
            snapshots: parts.storage.transfers.all().into_iter().map(snapshot_body).collect(),
            process: self.process(),
            disk: self.disk_body(),
            refused_callers: parts.metrics.callers_refused(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: u64::try_from(self.inner.started.elapsed().as_millis()).ok(),
        }
    }

    /// What this process has open, if streams are open files.
    fn process(&self) -> Option<ProcessBody> {
        let parts = self.parts();
        let files = parts.env.net.open_files()?;
        Some(ProcessBody {
            connections: parts.metrics.connections_now(),
            connections_max: u64::try_from(parts.config.limits.connections).unwrap_or(u64::MAX),
            open_files: files.used,
            open_files_max: files.limit,
        })
    }
}

fn peer_body(peer: PeerStatus) -> PeerBody {
    PeerBody {
        id: peer.id,
        connected: peer.connected,
        rtt_ms: peer.rtt_ms,
        problem: peer.problem.filter(|_| !peer.connected),
    }
}

fn snapshot_body((direction, peer, progress): (Direction, NodeId, Progress)) -> SnapshotBody {
    SnapshotBody {
        direction: match direction {
            Direction::Sending => SnapshotDirection::Sending,
            Direction::Receiving => SnapshotDirection::Receiving,
        },
        peer,
        rows: progress.rows,
        rows_total: progress.rows_total,
        bytes: progress.bytes,
        resumed: progress.resumed,
        age_ms: u64::try_from(progress.since.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
