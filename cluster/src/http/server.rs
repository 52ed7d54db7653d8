//! Accepts connections: as many as the limit allows, and a few more for probes of the node's state.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Extension, Router};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::addresses::{self, Addresses};
use super::caller::Visitor;
use super::connection::{self, Terms};
use super::front::Beyond;
use super::handshake::handshake;
use super::socket::ClientTimeouts;
use crate::access::Source;
use crate::client_tls::{Accepted, ClientTls};
use crate::config::Config;
use crate::env::{BoxStream, Listener, Net, PROBE_CONNECTIONS};
use crate::log_throttle::LogThrottle;
use crate::metrics::{Limited, Metrics};
use crate::tasks::{Tasks, Why};
use crate::usecase::Service;

/// The pause after the listener failed to accept, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client has to leave after the last answer on its connection.
const LINGER: Duration = Duration::from_secs(1);
/// How long a client beyond the limit may take to send its request's head. It is short, because there are few such
/// places.
const PROBE_HEAD_WITHIN: Duration = Duration::from_secs(2);
/// How many of the places beyond the limit are for addresses that have as many connections as one address may have.
const ADDRESS_PROBES: usize = PROBE_CONNECTIONS / 4;
/// How long a client beyond the limit may take to leave after its answer.
const PROBE_LINGER: Duration = Duration::from_millis(250);

/// How long a request under way may still take on the connection of a caller whose certificate was withdrawn.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(30);

/// Cancelled when the node stops. It ends what would otherwise go on for ever.
#[derive(Debug, Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// A listener that is being served.
pub(crate) struct Serving {
    local_addr: SocketAddr,
    stop: CancellationToken,
    connections: Tasks,
}

/// Listens on the client address and serves `router` until it is told to stop.
pub(crate) async fn serve(
    net: &Arc<dyn Net>,
    config: &Config,
    (service, tls): (Service, Option<Arc<ClientTls>>),
    router: Router,
    metrics: Arc<Metrics>,
    tasks: &Tasks,
) -> io::Result<Serving> {
    let listener = net.listen(config.client_listen.clone()).await?;
    let local_addr = listener.local_addr()?;
    let stop = CancellationToken::new();
    let connections = tasks.part();
    let timeouts = ClientTimeouts {
        head: Duration::from_millis(config.deadlines.http_head_ms),
        idle: Duration::from_millis(config.deadlines.http_idle_ms),
        write: Duration::from_millis(config.deadlines.http_write_ms),
    };
    let limits = &config.limits;
    let probe_terms = Terms {
        timeouts: ClientTimeouts { head: timeouts.head.min(PROBE_HEAD_WITHIN), ..timeouts },
        linger: PROBE_LINGER,
        beyond: Some(Beyond::All(limits.connections)),
    };
    let acceptor = Acceptor {
        router: router.layer(Extension(Stopping(stop.clone()))),
        metrics,
        service,
        tls,
        trouble: Arc::default(),
        room: Arc::new(Semaphore::new(config.limits.connections)),
        terms: Terms { timeouts, linger: LINGER, beyond: None },
        probe_room: Arc::new(Semaphore::new(PROBE_CONNECTIONS)),
        probe_terms,
        addresses: Addresses::new(limits.connections_per_address, limits.handshakes_per_address),
        address_room: Arc::new(Semaphore::new(ADDRESS_PROBES)),
        address_terms: Terms { beyond: Some(Beyond::Address(limits.connections_per_address)), ..probe_terms },
        stop: stop.clone(),
        connections: connections.clone(),
    };
    tasks.lasting("accept clients", acceptor.run(listener));
    Ok(Serving { local_addr, stop, connections })
}

impl Serving {
    /// The address at which clients reach it.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts no more connections, ends streams, and lets requests under way end. After `within` it ends them too.
    pub(crate) async fn shutdown(&self, within: Duration) {
        self.stop.cancel();
        // What has not ended by then is dropped when the process ends.
        let _ = timeout(within, self.connections.all_ended()).await;
    }
}

struct Acceptor {
    router: Router,
    metrics: Arc<Metrics>,
    /// It says who a caller is.
    service: Service,
    /// `None` for plain HTTP.
    tls: Option<Arc<ClientTls>>,
    /// Limits what the log says of handshakes.
    trouble: Arc<Mutex<LogThrottle>>,
    room: Arc<Semaphore>,
    terms: Terms,
    /// The places beyond the limit.
    probe_room: Arc<Semaphore>,
    probe_terms: Terms,
    /// The connections of each address.
    addresses: Arc<Addresses>,
    /// Those of the places beyond the limit that are for addresses with too many connections.
    address_room: Arc<Semaphore>,
    address_terms: Terms,
    stop: CancellationToken,
    connections: Tasks,
}

/// Counts a connection, however it ends.
struct Counted {
    metrics: Arc<Metrics>,
    _room: OwnedSemaphorePermit,
}

impl Counted {
    fn new(metrics: Arc<Metrics>, room: OwnedSemaphorePermit) -> Self {
        metrics.connected();
        Self { metrics, _room: room }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}

impl Acceptor {
    async fn run(self, mut listener: Box<dyn Listener>) -> Why {
        let mut trouble = LogThrottle::default();
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return "the node stops",
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Err(error) => {
                    if let Some(more) = trouble.tell() {
                        tracing::warn!(%error, more, "cannot accept a client connection");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
                Ok((stream, remote)) => self.admit(stream, remote),
            }
        }
    }

    fn admit(&self, stream: BoxStream, remote: String) {
        let counted = self.addresses.count(&Source::of(&remote));
        if !counted.within {
            return self.admit_beyond_address(stream, remote, counted);
        }
        if let Ok(room) = self.room.clone().try_acquire_owned() {
            self.serve(stream, (remote, counted), self.terms, Counted::new(self.metrics.clone(), room));
        } else if let Ok(room) = self.probe_room.clone().try_acquire_owned() {
            self.serve(stream, (remote, counted), self.probe_terms, room);
        } else {
            // It is closed at once, and its client tries another node.
            self.metrics.connection_refused();
        }
    }

    /// Answers probes and refusals on a few connections of addresses that have too many.
    fn admit_beyond_address(&self, stream: BoxStream, remote: String, counted: addresses::Counted) {
        let room = self.address_room.clone().try_acquire_owned();
        match room.and_then(|room| Ok((room, self.probe_room.clone().try_acquire_owned()?))) {
            Ok(rooms) => self.serve(stream, (remote, counted), self.address_terms, rooms),
            Err(_) => self.metrics.limited(&Limited::ConnectionsPerAddress),
        }
    }

    /// Serves a connection, which holds its place until it is over.
    fn serve(
        &self,
        stream: BoxStream,
        (remote, counted): (String, addresses::Counted),
        terms: Terms,
        place: impl Send + 'static,
    ) {
        let (router, metrics, stop) = (self.router.clone(), self.metrics.clone(), self.stop.clone());
        let (service, tls, trouble) = (self.service.clone(), self.tls.clone(), self.trouble.clone());
        let tasks = self.connections.clone();
        self.connections.passing("connection of a client", async move {
            let _place = place;
            let head_until = Instant::now() + terms.timeouts.head;
            let times = (head_until, terms.linger);
            let from = (remote.as_str(), &counted);
            let accepted =
                handshake(stream, tls.as_deref(), times, from, (&*trouble, &*metrics), &stop).await;
            let Some(Accepted { stream, caller }) = accepted else { return };
            let certificate = caller.as_ref().map(|caller| caller.id().clone());
            let source = Source::of(&remote);
            let visitor = Visitor { service, remote: remote.into(), source, certificate };
            // It ends this connection alone.
            let stop = stop.child_token();
            let serving =
                connection::serve((stream, head_until), terms, visitor, router, metrics, tasks, stop.clone());
            let Some(caller) = caller else { return serving.await };
            tokio::select! {
                () = serving => {}
                () = withdrawn(caller.withdrawn(), &stop) => {}
            }
        });
    }
}

/// Ends a connection whose certificate was withdrawn: the request under way is the last one, and it gets a while.
async fn withdrawn(withdrawn: &CancellationToken, stop: &CancellationToken) {
    withdrawn.cancelled().await;
    stop.cancel();
    sleep(WITHDRAWN_WITHIN).await;
}
