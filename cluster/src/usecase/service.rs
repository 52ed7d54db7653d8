//! The use cases of one node, as one thing that can be cloned: what they work with, and the queues and places that they share.
//!
//! Each use case adds its own methods in its own file. None of them is named here.

use std::sync::{Arc, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::answer_budget::AnswerBudget;
use super::events::Feeds;
use super::joined::Joined;
use super::key_ends::Walks;
use super::lane::Lane;
use super::parts::Parts;
use super::pending::Pending;
use super::turns::Turns;
use super::urgency::{PerUrgency, Places};
use crate::config::Config;
use crate::metrics::Metrics;

/// The use cases of one node. Clones share it.
#[derive(Clone)]
pub struct Service {
    pub(super) inner: Arc<Inner>,
}

/// A service that does not keep the node alive. The peers' handler holds one, since the service holds the hub
/// that holds the handler.
#[derive(Clone)]
pub(crate) struct WeakService {
    inner: Weak<Inner>,
}

impl WeakService {
    /// The service, while the node runs.
    pub(crate) fn upgrade(&self) -> Option<Service> {
        self.inner.upgrade().map(|inner| Service { inner })
    }
}

/// What the clones of a service share.
pub(crate) struct Inner {
    /// What the use cases work with.
    pub(super) parts: Parts,
    /// When it was started.
    pub(super) started: Instant,
    /// Calls that wait for the next read barrier.
    pub(super) rounds: mpsc::Sender<Joined>,
    /// One permit an authorize request of a call that is not long, from its arrival to its answer.
    pub(super) authorize_room: Arc<Semaphore>,
    /// What long calls may take.
    pub(super) lane: Lane,
    /// What the answers under way may take.
    pub(super) answer_budget: AnswerBudget,
    /// One permit a KiB of answers to batches that are being written.
    pub(super) batch_room: Arc<Semaphore>,
    /// What was looked at and waits to be proposed.
    pub(super) submissions: PerUrgency<mpsc::Sender<Pending>>,
    /// Places for what clients submit.
    pub(super) places: Places,
    /// Places for what peers forward.
    pub(super) peers_places: Places,
    /// One a piece of verification that is being worked on.
    pub(super) turns: Turns,
    /// One permit a KiB of request bodies held.
    pub(super) body_room: Arc<Semaphore>,
    /// What the feeds of events may take.
    pub(super) feeds: Feeds,
    /// One permit a digest of the registry being made.
    pub(super) digests: Arc<Semaphore>,
    /// When keys end.
    pub(super) key_ends: Walks,
}

impl Service {
    /// The same, without keeping the node alive.
    pub(crate) fn downgrade(&self) -> WeakService {
        WeakService { inner: Arc::downgrade(&self.inner) }
    }

    /// What the use cases work with.
    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// The node's metrics, for the page.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.parts.metrics
    }

    /// Room for a request body of so many bytes, if there is any.
    pub(crate) fn body_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        self.inner.body_room.clone().try_acquire_many_owned(kib).ok()
    }

    /// The node's configuration.
    pub fn config(&self) -> &Config {
        &self.inner.parts.config
    }
}
