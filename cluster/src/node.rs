//! A node: how it is put together, and how it is stopped.
//!
//! [`Node::start`] runs the steps of a start in their order: files, disk, peers, Raft, use cases, watches and HTTP.
//! [`Node::shutdown`] stops them in the right order. This module owns the order of the steps. It never answers a
//! call itself.

mod disk;
mod error;
mod founding;
mod own;
mod peers;
mod raft;
mod service;
mod starting;
mod watches;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use assent_store::Store;

use self::disk::{Disk, load_remembered};
use self::founding::found_registry;
use self::peers::Peers;
use self::raft::start_raft;
use self::service::start_service;
use self::starting::Starting;
use self::watches::start_watches;
use crate::config::Config;
use crate::env::{Environment, blocking};
use crate::http::{self, ListenerKind, NotListening};
use crate::peer::PeerHub;
use crate::raft::log::LogRecord;
use crate::usecase::Service;

pub(crate) use self::disk::open_store;
pub use self::error::NodeError;
pub(crate) use self::error::with_text;
pub(crate) use self::founding::belongs_to;
pub(crate) use self::own::OwnFiles;

/// How often a node checks whether it must end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running node.
pub struct Node {
    service: Service,
    serving: http::Serving,
    hub: PeerHub,
    store: Store<LogRecord>,
    watches: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node in the given environment. Returns as soon as the node serves. It can answer only once it has a
    /// quorum, which `/readyz` shows.
    ///
    /// The order of the steps matters. The node checks everything on its disk before it listens for peers. It starts
    /// Raft before it admits a peer. It serves clients last.
    pub async fn start(config: Config, env: Environment) -> Result<Self, NodeError> {
        let starting = Starting::check(config, env)?;
        let store = open_store(&starting.config, &starting.env).await?;
        found_registry(&starting, &store.registry).await?;
        let remembered = load_remembered(&store.log, starting.own.known)?;
        let (disk, machine) = Disk::check(&starting, store, remembered)?;
        let peers = Peers::start(&starting, &disk).await?;
        let raft = start_raft(&starting, &disk, &peers, machine).await?;
        let client_tls = starting.client_tls.clone();
        let (service, recovery) = start_service(starting, &disk, &peers, raft);
        let watches = start_watches(&service, &peers.handler, client_tls.as_ref(), recovery);
        let serving = http::serve(&service, client_tls).await.map_err(not_listening)?;
        Ok(Self { service, serving, hub: peers.hub, store: disk.store, watches })
    }

    /// The address at which clients reach the node.
    pub fn client_addr(&self) -> SocketAddr {
        self.serving.client_addr()
    }

    /// The address at which operators reach the node, if it has an admin listener.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.serving.admin_addr()
    }

    /// The address at which probes reach the node, if it has a health listener.
    pub fn health_addr(&self) -> Option<SocketAddr> {
        self.serving.health_addr()
    }

    /// The address at which peers reach the node.
    pub fn peer_addr(&self) -> SocketAddr {
        self.hub.local_addr()
    }

    /// The use cases.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Resolves with the cause when the node must end: its store failed, Raft stopped, or a task ended that must run
    /// as long as the node. From then on the node denies everything, and its process should exit.
    pub async fn failed(&self) -> String {
        let parts = self.service.parts();
        let mut health = self.store.health().watch();
        loop {
            if let Some(cause) = parts.fatal() {
                return cause;
            }
            tokio::select! {
                changed = health.changed() => if changed.is_err() { return "the store is gone".to_owned() },
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Stops the node gracefully. `/readyz` answers that it is not ready, and the node hands its leadership over. It
    /// answers the calls under way and makes everything durable. Until its clients have gone, it answers as usual. Its health
    /// listener closes after that, so that probes hear to the last that the node is not ready.
    pub async fn shutdown(self) {
        let parts = self.service.parts();
        let until = Duration::from_millis(parts.config.deadlines.shutdown_ms);
        let drained = sleep(Duration::from_millis(parts.config.deadlines.drain_ms));
        self.service.begin_stop();
        tokio::join!(self.service.leave_leadership(until), drained);
        self.serving.shutdown(until).await;
        for watch in self.watches {
            watch.abort();
            // The abort cancels the task, so its error is expected.
            let _ = watch.await;
        }
        if let Err(error) = parts.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        self.hub.shutdown().await;
        if let Err(error) = self.store.log.close().await {
            tracing::warn!(%error, "the log did not close cleanly");
        }
        let registry = self.store.registry.clone();
        match blocking(&*parts.env.blocking, move || registry.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the registry was not made durable; the log replays it"),
            Err(error) => tracing::warn!(%error, "the registry was not made durable; the log replays it"),
        }
    }
}

fn not_listening(not: NotListening) -> NodeError {
    let NotListening { kind, addr, problem } = not;
    match kind {
        ListenerKind::Clients => NodeError::Clients { addr, problem },
        ListenerKind::Admin => NodeError::Admin { addr, problem },
        ListenerKind::Health => NodeError::Health { addr, problem },
    }
}
