//! One entry of the table of peers: the peer, its live connections, and the last problem with it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peer::addresses::Addresses;
use crate::peer::connection::Connection;
use crate::peer::serve::Admission;
use crate::raft::types::NodeId;

/// The shortest time between two log lines about the same problem with the same peer.
const REPEAT_LOG_AFTER: Duration = Duration::from_secs(30);
/// The shortest time between two log lines about different problems, so that an unknown peer cannot fill the log.
const OTHER_LOG_AFTER: Duration = Duration::from_secs(1);

/// One peer, connected or not.
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// Cancelled to end its dialing.
    pub(super) gone: CancellationToken,
    pub(super) addresses: Mutex<Addresses>,
    /// Whether it refused this node as removed when it last answered.
    pub(super) says_removed: AtomicBool,
    pub(super) slots: Mutex<Slots>,
    /// Notified when the peer has dialed this node. Then the peer is up, so the pause before the next dial can end.
    pub(super) is_up: Notify,
    /// Notified when this node should dial the peer anew, although it is connected.
    pub(super) redial: Notify,
    pub(super) problem: Mutex<Problem>,
    pub(super) admission: Arc<Admission>,
}

/// The live connections with one peer.
#[derive(Default)]
pub(super) struct Slots {
    /// The one that this node dialed.
    pub(super) dialed: Option<Arc<Connection>>,
    /// The one that the peer dialed.
    pub(super) accepted: Option<Arc<Connection>>,
}

impl Slots {
    fn slot(&mut self, connection: &Connection) -> &mut Option<Arc<Connection>> {
        if connection.dialed_to().is_some() { &mut self.dialed } else { &mut self.accepted }
    }

    /// Puts a new connection into its slot, and returns the one that was there.
    pub(super) fn put(&mut self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        self.slot(&connection).replace(connection)
    }

    /// Takes an ended connection out, and returns whether it was there.
    pub(super) fn remove(&mut self, connection: &Arc<Connection>) -> bool {
        let slot = self.slot(connection);
        let there = slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection));
        if there {
            *slot = None;
        }
        there
    }

    /// Takes both connections out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Arc<Connection>> + use<> {
        [self.dialed.take(), self.accepted.take()].into_iter().flatten()
    }
}

/// The last problem. It is logged when it changes, and then from time to time.
#[derive(Default)]
pub(super) struct Problem {
    pub(super) text: Option<String>,
    logged: Option<Instant>,
}

impl Problem {
    pub(super) fn note(&mut self, peer: Option<NodeId>, text: String) {
        let pause = if self.text.as_ref() == Some(&text) { REPEAT_LOG_AFTER } else { OTHER_LOG_AFTER };
        if self.logged.is_none_or(|logged| logged.elapsed() >= pause) {
            tracing::warn!(peer, problem = text, "no peer connection");
            self.logged = Some(Instant::now());
        }
        self.text = Some(text);
    }
}
