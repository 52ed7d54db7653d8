//! Accepts the connections of one listener: as many as the limit allows and, on the client port, a few more for probes of
//! the node's state.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Extension, Router};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::addresses::{self, Addresses};
use super::caller::{Counts, Visitor};
use super::connection::{self, Terms};
use super::front::BeyondLimit;
use super::handshake::handshake;
use super::verifications::Verifications;
use crate::access::Source;
use crate::client_tls::{Accepted, ClientTls, Demand};
use crate::env::{BoxStream, Listener};
use crate::locked::lock;
use crate::log_throttle::LogThrottle;
use crate::metrics::{Limited, Metrics};
use crate::tasks::{Tasks, Why};
use crate::usecase::Service;

/// The pause after the listener failed to accept, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One part in so many of the places beyond the limit is for addresses that have as many connections as one address may
/// have.
const ADDRESS_SHARE: usize = 4;

/// How long a request under way may still take on the connection of a caller whose certificate was withdrawn.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(30);

/// Cancelled when the node stops. It ends what would otherwise go on for ever.
#[derive(Debug, Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// How a listener serves its connections.
pub(super) struct Rules {
    /// The name of the task that accepts.
    pub(super) task: &'static str,
    pub(super) router: Router,
    /// `None` for plain HTTP.
    pub(super) tls: Option<(Arc<ClientTls>, Demand)>,
    pub(super) counts: Counts,
    /// The number of connections at once.
    pub(super) places: usize,
    /// The number of connections at once from one address.
    pub(super) per_address: usize,
    /// The number of TLS handshakes at once from one address.
    pub(super) handshakes: usize,
    pub(super) terms: Terms,
    pub(super) beyond: Beyond,
    /// Where its connections are served, if not on the runtime of the node itself.
    pub(super) runtime: Option<Handle>,
}

/// What becomes of connections beyond the places of their listener.
pub(super) enum Beyond {
    /// So many of them are served on these terms, as probes. The connections within the limit and those beyond it are
    /// counted as those of clients.
    Probes(usize, Terms),
    /// Each is closed at once. They are counted, and the log says so and names the setting.
    Operators(&'static str),
    /// Each is closed at once.
    Closed,
}

/// A listener that is being served.
pub(super) struct Listening {
    local_addr: SocketAddr,
    stop: CancellationToken,
    connections: Tasks,
}

/// Serves a listener until it is told to stop.
pub(super) fn listen(
    (listener, local_addr): (Box<dyn Listener>, SocketAddr),
    rules: Rules,
    service: &Service,
) -> Listening {
    let (stop, parts) = (CancellationToken::new(), service.parts());
    let Rules { task, router, tls, counts, places, per_address, handshakes, terms, beyond, runtime } = rules;
    let connections = parts.tasks.part().on(runtime.clone());
    let beyond = match beyond {
        Beyond::Probes(places, terms) => Full::Probes {
            room: Arc::new(Semaphore::new(places)),
            terms,
            address_room: Arc::new(Semaphore::new(places / ADDRESS_SHARE)),
            address_terms: Terms { beyond: Some(BeyondLimit::Address(per_address)), ..terms },
        },
        Beyond::Operators(limit) => Full::Operators { limit, places, per_address, trouble: Mutex::default() },
        Beyond::Closed => Full::Closed,
    };
    let acceptor = Acceptor {
        router: router.layer(Extension(Stopping(stop.clone()))),
        metrics: parts.metrics.clone(),
        service: service.clone(),
        tls,
        counts,
        trouble: Arc::default(),
        room: Arc::new(Semaphore::new(places)),
        terms,
        beyond,
        addresses: Addresses::new(per_address, handshakes),
        verifications: Arc::default(),
        stop: stop.clone(),
        connections: connections.clone(),
    };
    parts.tasks.on(runtime).lasting(task, acceptor.run(listener));
    Listening { local_addr, stop, connections }
}

impl Listening {
    /// The address at which clients reach it.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts no more connections, ends streams, and lets requests under way end. After `within` it ends them too.
    pub(super) async fn shutdown(&self, within: Duration) {
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
    tls: Option<(Arc<ClientTls>, Demand)>,
    counts: Counts,
    /// Limits what the log says of handshakes.
    trouble: Arc<Mutex<LogThrottle>>,
    room: Arc<Semaphore>,
    terms: Terms,
    beyond: Full,
    /// The connections of each address.
    addresses: Arc<Addresses>,
    /// The signatures of tokens that are verified for each address.
    verifications: Arc<Verifications>,
    stop: CancellationToken,
    connections: Tasks,
}

/// [`Beyond`], while it is in use.
enum Full {
    Probes {
        room: Arc<Semaphore>,
        terms: Terms,
        /// Those of the places that are for addresses with too many connections.
        address_room: Arc<Semaphore>,
        address_terms: Terms,
    },
    Operators {
        limit: &'static str,
        places: usize,
        per_address: usize,
        trouble: Mutex<LogThrottle>,
    },
    Closed,
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
            match self.beyond {
                Full::Probes { .. } => {
                    self.serve(
                        stream,
                        (remote, counted),
                        self.terms,
                        Counted::new(self.metrics.clone(), room),
                    );
                }
                Full::Operators { .. } | Full::Closed => {
                    self.serve(stream, (remote, counted), self.terms, room)
                }
            }
            return;
        }
        match &self.beyond {
            Full::Probes { room, terms, .. } => match room.clone().try_acquire_owned() {
                Ok(room) => self.serve(stream, (remote, counted), *terms, room),
                // It is closed at once, and its client tries another node.
                Err(_) => self.metrics.connection_refused(),
            },
            Full::Operators { limit, places, trouble, .. } => {
                self.metrics.admin_connection_refused();
                if let Some(more) = lock(trouble).tell() {
                    tracing::warn!(%remote, limit, places, more, "a connection of an operator is closed: as many are open as may be");
                }
            }
            Full::Closed => {}
        }
    }

    /// Answers probes and refusals on a few connections of addresses that have too many.
    fn admit_beyond_address(&self, stream: BoxStream, remote: String, counted: addresses::Counted) {
        match &self.beyond {
            Full::Probes { room, address_room, address_terms, .. } => {
                let places = address_room.clone().try_acquire_owned();
                if let Ok(place) = places
                    && let Ok(room) = room.clone().try_acquire_owned()
                {
                    return self.serve(stream, (remote, counted), *address_terms, (place, room));
                }
            }
            Full::Operators { limit, per_address, trouble, .. } => {
                self.metrics.admin_connection_refused();
                if let Some(more) = lock(trouble).tell() {
                    tracing::warn!(%remote, limit, per_address, more, "a connection of an operator is closed: as many are open from its address as may be");
                }
            }
            Full::Closed => {}
        }
        self.metrics.limited(&Limited::ConnectionsPerAddress);
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
        let (tasks, counts) = (self.connections.clone(), self.counts);
        let verifications = self.verifications.clone();
        self.connections.passing("connection of a client", async move {
            let _place = place;
            let head_until = Instant::now() + terms.timeouts.head;
            let times = (head_until, terms.linger);
            let tls = tls.as_ref().map(|(tls, demand)| (&**tls, *demand));
            let from = (&service, remote.as_str(), &counted);
            let accepted = handshake(stream, tls, times, from, &trouble, &stop).await;
            let Some(Accepted { stream, caller }) = accepted else { return };
            let certificate = caller.as_ref().map(|caller| caller.id().clone());
            let source = Source::of(&remote);
            let remote = remote.into();
            let visitor = Visitor { service, remote, source, certificate, counts, verifications };
            // Its certificate is refused whatever it asks. So it gets one answer, which says why, and keeps no place.
            let (terms, head_until) = if visitor.is_refused() {
                let brief = Terms::brief(terms.timeouts, terms.beyond);
                (brief, head_until.min(Instant::now() + brief.timeouts.head))
            } else {
                (terms, head_until)
            };
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
