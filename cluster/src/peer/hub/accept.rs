//! Peers that dial this node: the listener, and the handshake with each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::env::{BoxStream, Listener};
use crate::locked::lock;
use crate::log_throttle::LogThrottle;
use crate::peer::frame::FrameError;
use crate::peer::handshake::{self, HandshakeError, Opened};
use crate::peer::refusals::PeerBound;
use crate::peer::tls::Proven;
use crate::raft::types::NodeId;
use crate::tasks::Why;

use super::Inner;

/// The pause after the listener failed to accept, for example for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Inner {
    /// Accepts until the hub stops.
    pub(super) async fn accept_all(self: Arc<Self>, mut listener: Box<dyn Listener>) -> Why {
        let mut trouble = LogThrottle::default();
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes_max));
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return "the node stops",
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // If too many unknown peers connect at once, this connection is closed. A peer dials again.
                Ok((stream, remote)) => {
                    let Ok(permit) = handshakes.clone().try_acquire_owned() else {
                        self.refusals.count(PeerBound::Handshakes);
                        continue;
                    };
                    let inner = self.clone();
                    self.tasks.passing("connection from a peer", async move {
                        let opened = inner.accept_one(stream, &remote).await;
                        drop(permit);
                        let Some((opened, proven)) = opened else { return };
                        match inner.accepted_peer(opened.hello.node_id) {
                            Ok(peer) => inner.run(&peer, opened, None, proven).await,
                            // Other nodes were accepted while this one shook hands.
                            Err(problem) => lock(&inner.unknown_peers).note(None, problem),
                        }
                    });
                }
                Err(error) => {
                    if let Some(more) = trouble.tell() {
                        tracing::warn!(%error, more, "cannot accept a peer's connection");
                    }
                    self.pause(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Shakes hands with a node that has dialed this one.
    async fn accept_one(&self, stream: BoxStream, remote: &str) -> Option<(Opened, Option<Proven>)> {
        let claims = self.claims();
        let room = |id: NodeId| self.room_for(id);
        let shaking = async {
            let (stream, proven) = match &self.tls {
                Some(tls) => tls.accept(stream).await.map(|(stream, proven)| (stream, Some(proven)))?,
                None => (stream, None),
            };
            let node = proven.as_ref().map(|proven| proven.node);
            let opened =
                handshake::accept(stream, node, &self.identity, claims, &*self.handler, &room).await?;
            Ok::<_, HandshakeError>((opened, proven))
        };
        let opened = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return None,
            opened = timeout(self.limits.handshake_timeout, shaking) => opened,
        };
        let problem = match opened {
            Ok(Ok(opened)) => return Some(opened),
            Ok(Err(error)) if error.only_looked() => return None,
            Ok(Err(error)) => {
                if let HandshakeError::Frame(FrameError::Length { .. }) = error {
                    self.refusals.count(PeerBound::HandshakeSize);
                }
                error.explained()
            }
            Err(_) => {
                self.refusals.count(PeerBound::HandshakeTime);
                "no handshake within the deadline".to_owned()
            }
        };
        // Only the host is logged: every dial comes from another port, and the same problem should be logged once.
        let host = remote.rsplit_once(':').map_or(remote, |(host, _)| host);
        lock(&self.unknown_peers).note(None, format!("{problem} (from `{host}`)"));
        None
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => {}
            () = sleep(pause) => {}
        }
    }
}
