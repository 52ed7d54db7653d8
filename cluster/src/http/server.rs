//! Serving connections: bounded in number, with deadlines on each request's head and on each answer's progress.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::env::{BoxStream, Listener, Net};
use crate::metrics::Metrics;
use crate::seldom::Seldom;
use crate::tasks::{Tasks, Why};

/// The pause after the listener failed to accept, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Cancelled when the node stops; what would go on for ever ends then.
#[derive(Debug, Clone)]
pub(super) struct Stopping(pub(super) CancellationToken);

/// A listener being served.
pub(crate) struct Serving {
    local_addr: SocketAddr,
    stop: CancellationToken,
    connections: Tasks,
}

/// Listens on the client address and serves `router` until it is told to stop.
pub(crate) async fn serve(
    net: &Arc<dyn Net>,
    config: &Config,
    router: Router,
    metrics: Arc<Metrics>,
    tasks: &Tasks,
) -> io::Result<Serving> {
    let listener = net.listen(config.client_listen.clone()).await?;
    let local_addr = listener.local_addr()?;
    let stop = CancellationToken::new();
    let connections = tasks.part();
    let acceptor = Acceptor {
        router: router.layer(Extension(Stopping(stop.clone()))),
        metrics,
        room: Arc::new(Semaphore::new(config.limits.connections)),
        head_within: Duration::from_millis(config.deadlines.http_head_ms),
        write_within: Duration::from_millis(config.deadlines.http_write_ms),
        stop: stop.clone(),
        connections: connections.clone(),
    };
    tasks.lasting("accept clients", acceptor.run(listener));
    Ok(Serving { local_addr, stop, connections })
}

impl Serving {
    /// Where clients reach it.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no more connections, ends streams, lets requests under way end, and after `within` ends them.
    pub(crate) async fn shutdown(&self, within: Duration) {
        self.stop.cancel();
        // What has not ended by then is dropped with the process.
        let _ = timeout(within, self.connections.all_ended()).await;
    }
}

struct Acceptor {
    router: Router,
    metrics: Arc<Metrics>,
    room: Arc<Semaphore>,
    head_within: Duration,
    write_within: Duration,
    stop: CancellationToken,
    connections: Tasks,
}

/// A connection as it is counted, however it ends.
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
        let mut trouble = Seldom::default();
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
                Ok((stream, _)) => match self.room.clone().try_acquire_owned() {
                    Ok(room) => {
                        let connection = self.connection(stream);
                        let counted = Counted::new(self.metrics.clone(), room);
                        self.connections.passing("connection of a client", async move {
                            let _counted = counted;
                            connection.await;
                        });
                    }
                    // At the bound a connection is closed at once: its client tries another node.
                    Err(_) => self.metrics.connection_refused(),
                },
            }
        }
    }

    fn connection(&self, stream: BoxStream) -> impl Future<Output = ()> + Send + 'static {
        let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_within)
            .max_buf_size(64 * 1024)
            .keep_alive(true);
        let service = TowerToHyperService::new(self.router.clone());
        let stop = self.stop.clone();
        // A client that asks and never reads would otherwise keep its connection, and with it a place, for ever.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_within));
        async move {
            let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
            tokio::pin!(connection);
            tokio::select! {
                // A broken connection is its client's affair.
                _ = connection.as_mut() => return,
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
    }
}
