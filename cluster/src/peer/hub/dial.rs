//! Peers that this node dials, again and again, one task for each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::env::BoxStream;
use crate::locked::lock;
use crate::peer::handshake::{self, HandshakeError, Opened};
use crate::peer::tls::Proven;
use crate::raft::types::NodeId;

use super::Inner;
use super::entry::Peer;

/// A connection that lived this long was a good one: the next dial follows quickly.
const GOOD_AFTER: Duration = Duration::from_millis(200);

/// A connection that this node has dialed.
struct Dialed {
    opened: Opened,
    addr: String,
    proven: Option<Proven>,
}

impl Inner {
    /// Dials, runs the connection, and dials again, until the hub stops.
    pub(super) async fn dial_forever(self: Arc<Self>, peer: Arc<Peer>) {
        let mut pause = self.limits.redial_min;
        while !peer.gone.is_cancelled() {
            let started = Instant::now();
            // A task of its own, so that a panic on one connection does not prevent the next one.
            let (inner, dialed) = (self.clone(), peer.clone());
            let one = self.tasks.passing("connection to a peer", async move {
                let Dialed { opened, addr, proven } = inner.dial_once(&dialed).await?;
                inner.run(&dialed, opened, Some(addr), proven).await;
                Ok::<(), String>(())
            });
            let ended = tokio::select! {
                biased;
                ended = one => ended,
                // The connection goes on until the next one takes its place.
                () = peer.redial.notified() => continue,
            };
            match ended {
                Ok(Ok(())) => {
                    if started.elapsed() >= GOOD_AFTER {
                        pause = self.limits.redial_min;
                    }
                }
                Ok(Err(problem)) => lock(&peer.problem).note(Some(peer.id), problem),
                Err(error) => {
                    lock(&peer.problem)
                        .note(Some(peer.id), format!("a task of the connection failed: {error}"));
                }
            }
            tokio::select! {
                biased;
                () = peer.gone.cancelled() => return,
                () = sleep(pause) => {}
                () = async {
                    peer.is_up.notified().await;
                    sleep(self.limits.redial_min).await;
                } => {}
            }
            pause = (pause * 2).min(self.limits.redial_max);
        }
    }

    /// Dials once, and returns the connection with its address. After a failure another address is next, if there is
    /// one.
    async fn dial_once(&self, peer: &Peer) -> Result<Dialed, String> {
        let addr = lock(&peer.addresses).present().ok_or("its address is not known")?;
        match self.dial_at(peer, &addr).await {
            Ok((opened, proven)) => Ok(Dialed { opened, addr, proven }),
            Err(problem) => {
                lock(&peer.addresses).failed(&addr);
                Err(problem)
            }
        }
    }

    async fn dial_at(&self, peer: &Peer, addr: &str) -> Result<(Opened, Option<Proven>), String> {
        let stream = self.connect(addr).await?;
        let claims = self.claims();
        let shaking = async {
            let (stream, proven) = self.secure(stream, peer.id).await?;
            let opened = handshake::dial(stream, &self.identity, peer.id, claims, &*self.handler).await?;
            Ok::<_, HandshakeError>((opened, proven))
        };
        let opened = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Err("this node is stopping".to_owned()),
            opened = timeout(self.limits.handshake_timeout, shaking) => opened,
        };
        match opened {
            Ok(Ok(opened)) => {
                peer.says_removed.store(false, Ordering::Relaxed);
                Ok(opened)
            }
            Ok(Err(error)) => {
                peer.says_removed.store(error.says_removed(), Ordering::Relaxed);
                Err(error.explained())
            }
            Err(_) => Err(format!("no handshake with `{addr}` within the deadline")),
        }
    }

    /// The stream to node `target`, secured if this node uses TLS, and what the node at its other end has proven.
    pub(super) async fn secure(
        &self,
        stream: BoxStream,
        target: NodeId,
    ) -> io::Result<(BoxStream, Option<Proven>)> {
        match &self.tls {
            Some(tls) => tls.dial(stream, target).await.map(|(stream, proven)| (stream, Some(proven))),
            None => Ok((stream, None)),
        }
    }

    /// A stream to whatever listens at this address.
    pub(super) async fn connect(&self, addr: &str) -> Result<BoxStream, String> {
        let connect = timeout(self.limits.connect_timeout, self.net.connect(addr.to_owned()));
        let stream = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Err("this node is stopping".to_owned()),
            stream = connect => stream,
        };
        match stream {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(format!("cannot connect to `{addr}`: {error}")),
            Err(_) => Err(format!("cannot connect to `{addr}`: no answer")),
        }
    }
}
