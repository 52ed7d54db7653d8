//! The use cases of one node as one value that can be cloned: their parts, and the queues and places that they share.
//!
//! Each use case adds its own methods in its own file. This file names none of them.

use std::sync::{Arc, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::answer_budget::AnswerBudget;
use super::events::Feeds;
use super::growth::Growth;
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

/// A service that does not keep the node alive. The peers' handler holds one, because the service holds the hub, and
/// the hub holds the handler.
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
    /// When the service was started.
    pub(super) started: Instant,
    /// Calls that wait for the next read barrier.
    pub(super) rounds: mpsc::Sender<Joined>,
    /// One permit for each authorize request that is not in a long call, from its arrival to its answer.
    pub(super) authorize_room: Arc<Semaphore>,
    /// The room for long calls.
    pub(super) lane: Lane,
    /// The room for the answers under way.
    pub(super) answer_budget: AnswerBudget,
    /// One permit for each KiB of answers to batches that are being written.
    pub(super) batch_room: Arc<Semaphore>,
    /// Envelopes that were checked and wait to be proposed.
    pub(super) submissions: PerUrgency<mpsc::Sender<Pending>>,
    /// The places for what clients submit.
    pub(super) places: Places,
    /// The places for what peers forward.
    pub(super) peers_places: Places,
    /// The bounds on the growth of the registry.
    pub(super) growth: Growth,
    /// The turns of verification, one for each piece that is running.
    pub(super) turns: Turns,
    /// One permit for each KiB of request bodies that is held.
    pub(super) body_room: Arc<Semaphore>,
    /// The room for the feeds of events.
    pub(super) feeds: Feeds,
    /// One permit for each digest of the registry that is being made.
    pub(super) digests: Arc<Semaphore>,
    /// When keys end.
    pub(super) key_ends: Walks,
}

impl Service {
    /// A service that does not keep the node alive.
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

    /// Room for a request body of this size, if there is any.
    pub(crate) fn body_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        self.inner.body_room.clone().try_acquire_many_owned(kib).ok()
    }

    /// The node's configuration.
    pub fn config(&self) -> &Config {
        &self.inner.parts.config
    }
}
