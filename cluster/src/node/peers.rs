//! The peers of a starting node. From this step on other nodes can connect. They are told to wait until Raft and the
//! use cases run.

use std::sync::{Arc, OnceLock};

use super::disk::Disk;
use super::error::{NodeError, with_text};
use super::starting::Starting;
use crate::handler::PeerHandler;
use crate::introductions::Introductions;
use crate::peer::{Identity, PeerAddress, PeerHub, PeerLimits};
use crate::raft::network::{RaftService, Transfers};

/// The parts of a node that talk with its peers.
pub(super) struct Peers {
    pub(super) hub: PeerHub,
    pub(super) handler: Arc<PeerHandler>,
    /// The service that answers Raft's messages.
    pub(super) raft: RaftService,
    pub(super) transfers: Transfers,
    pub(super) introductions: Introductions,
}

impl Peers {
    /// Listens for peers and dials them.
    pub(super) async fn start(starting: &Starting, disk: &Disk) -> Result<Self, NodeError> {
        let Starting { config, own, access: _, env, tasks, client_tls: _, audit: _ } = starting;
        let store = &disk.store;
        let transfers = Transfers::default();
        let introductions = Introductions::default();
        let raft = RaftService::new(store.registry.clone(), env.blocking.clone(), transfers.clone());
        let handler = Arc::new(PeerHandler {
            raft: raft.clone(),
            service: OnceLock::new(),
            log: store.log.clone(),
            applied: disk.applied.clone(),
            remembered: disk.remembered.clone(),
            introductions: introductions.clone(),
            node_id: config.node_id,
            store_id: store.store_id,
            key: own.key.public(),
            founders: config.is_founder().then(|| config.voters.iter().map(|voter| voter.id).collect()),
        });
        let identity = Identity {
            cluster_id: own.cluster_id.0,
            node_id: config.node_id,
            store_id: store.store_id,
            rules_version: config.rules_known,
        };
        let addresses = config
            .voters
            .iter()
            .map(|voter| PeerAddress { id: voter.id, addr: voter.peer.clone() })
            .collect();
        let (listen, limits) = (config.peer_listen.clone(), PeerLimits::default());
        let (handing, tls) = (handler.clone(), starting.peer_tls()?);
        let hub = PeerHub::start(env, identity, listen, addresses, handing, limits, tls, tasks.part());
        let addr = &config.peer_listen;
        let unheard = |problem: String| NodeError::Peers { addr: addr.clone(), problem };
        let hub = hub.await.map_err(with_text(unheard))?;
        Ok(Self { hub, handler, raft, transfers, introductions })
    }
}
