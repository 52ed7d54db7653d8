//! One connection, from its handshake to its end, whichever side dialed.

use std::sync::Arc;

use tokio::time::Instant;

use assent_proof::Millis;

use crate::locked::lock;
use crate::peer::connection::{Connection, EndsWith, TASK_ENDED};
use crate::peer::handshake::Opened;
use crate::peer::message::Pong;
use crate::peer::serve::Server;
use crate::peer::tls::Proven;
use crate::raft::types::NodeId;

use super::Inner;
use super::entry::Peer;

impl Inner {
    /// Puts a connection into its peer's slot and runs it until it ends.
    pub(super) async fn run(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        opened: Opened,
        dialed_to: Option<String>,
        proven: Option<Proven>,
    ) {
        let Opened { hello, reader, writer } = opened;
        let bounds = (self.limits.clone(), self.refusals.clone());
        let connection =
            Arc::new(Connection::new(peer.id, hello, dialed_to, proven, bounds, self.clock.clone()));
        let former = lock(&peer.slots).put(connection.clone());
        // Whatever ends this function, the connection has ended then.
        let _slot = Slot { peer: peer.clone(), connection: connection.clone() };
        if let Some(former) = former {
            // Calls may be under way on it. The peer may have shown a new certificate.
            self.tasks.passing("retire a connection", async move { former.retire().await });
        }
        if self.stopping.is_cancelled() {
            connection.close("this node is stopping");
        }
        lock(&peer.problem).text = None;
        let dialed = connection.dialed_to().is_some();
        if !dialed {
            peer.is_up.notify_one();
        }
        tracing::info!(peer = peer.id, dialed, "peer connection opens");
        let server = Server {
            connection: connection.clone(),
            handler: self.handler.clone(),
            clock: self.clock.clone(),
            trusted: self.trusted.clone(),
            admission: peer.admission.clone(),
            tasks: self.tasks.clone(),
            stopping: self.stopping.clone(),
            on_pong: if dialed { self.pong_recorder(peer.id) } else { Box::new(|_, _, _| {}) },
        };
        // One task each, so that a large body being decoded holds up neither pings nor writing.
        let read = EndsWith(connection.clone());
        let reading = self.tasks.passing("read from a peer", async move {
            let _read = read;
            server.read(reader).await;
        });
        let (kept, keeper) = (EndsWith(connection.clone()), connection.clone());
        let keeping = self.tasks.passing("keep a connection to a peer alive", async move {
            let _kept = kept;
            keeper.keep_alive().await;
        });
        connection.write(writer).await;
        for task in [reading, keeping] {
            // The task has logged itself why it failed.
            let _ = task.await;
        }
    }

    /// Records the pongs of that peer. It does so only for a connection that this node dialed: on another one, any
    /// node that dials in could send any time.
    fn pong_recorder(&self, peer: NodeId) -> Box<dyn Fn(Instant, Instant, Pong) + Send + Sync> {
        let readings = self.readings.clone();
        Box::new(move |sent, received, Pong { now_ms, anchored }| {
            lock(&readings).record(peer, sent, received, Millis(now_ms), anchored);
        })
    }
}

/// A connection in its peer's slot. When this is dropped, the connection is ended and removed from the slot.
struct Slot {
    peer: Arc<Peer>,
    connection: Arc<Connection>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.close(TASK_ENDED);
        let mut slots = lock(&self.peer.slots);
        if slots.remove(&self.connection) {
            lock(&self.peer.problem).text = self.connection.ended();
        }
    }
}
