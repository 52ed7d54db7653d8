//! Puts the use cases of a starting node together from its parts.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;

use super::disk::Disk;
use super::own::OwnFiles;
use super::peers::Peers;
use super::starting::Starting;
use crate::announced_addresses::AnnouncedAddresses;
use crate::audit::Trail;
use crate::metrics::Metrics;
use crate::usecase::{Anchor, Core, Lifecycle, MemberGossip, NodeIdentity, Parts, Service, Storage};

/// Starts the use cases, and lets them answer the peers. Also returns the sender by which the newest recovery
/// statement is passed to them.
pub(super) fn start_service(
    starting: Starting,
    disk: &Disk,
    peers: &Peers,
    raft: Core,
) -> (Service, watch::Sender<Option<Bytes>>) {
    let Starting { config, own, access, env, tasks, client_tls, audit } = starting;
    let OwnFiles { genesis, cluster_id, key, known: _ } = own;
    let store = &disk.store;
    let (recovery, shown) = watch::channel(None);
    let metrics = Arc::new(Metrics::new(config.rules_known));
    let trail = Trail::new(config.node_id, &config.audit, audit, env.clock.clone(), metrics.clone());
    let parts = Parts {
        env,
        access: Arc::new(access),
        client_tls,
        trail: Arc::new(trail),
        raft,
        hub: peers.hub.clone(),
        verifier: disk.verifier.clone(),
        metrics,
        identity: NodeIdentity {
            key,
            cluster_id,
            origin: genesis.origin().to_owned(),
            store_id: store.store_id,
        },
        storage: Storage {
            registry: store.registry.clone(),
            health: store.health(),
            applied: disk.applied.clone(),
            log: store.log.clone(),
            remembered: disk.remembered.clone(),
            transfers: peers.transfers.clone(),
        },
        gossip: MemberGossip {
            introductions: peers.introductions.clone(),
            announced_addresses: AnnouncedAddresses::default(),
        },
        lifecycle: Lifecycle {
            not_founded: Mutex::default(),
            recovery: shown,
            stopping: AtomicBool::new(false),
            ends: tasks.ends(),
        },
        tasks,
        anchor: Mutex::new(Anchor::new(config.clock_bound_ms, config.clock_settle_ms)),
        managing: tokio::sync::Mutex::default(),
        config,
    };
    let service = Service::start(parts);
    // It is set only once, here. Until then the peers are told to wait.
    let _ = peers.handler.service.set(service.downgrade());
    (service, recovery)
}
