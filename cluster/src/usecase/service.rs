//! The use cases of one node as one value that can be cloned: their parts, and the queues and places that they share.
//!
//! Each use case adds its own methods in its own file. This file names none of them.

use std::sync::{Arc, Weak};

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use assent_api::Call;

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
use super::within;
use crate::access::{Account, Caller, OwnPace};
use crate::config::Config;
use crate::metrics::{Limited, Metrics};
use crate::quotas::{Admitted, QuotaError, Quotas};
use crate::shares::{DoorLane, Inside, NoShare, Pool, Share};

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
    /// What each caller may have under way, and make in a second.
    pub(super) quotas: Arc<Quotas>,
    /// One place for each authorize request that is not in a long call, from its arrival to its answer.
    pub(super) authorize_room: Pool,
    /// The room for long calls.
    pub(super) lane: Lane,
    /// The room for the answers under way.
    pub(super) answer_budget: AnswerBudget,
    /// One place for each KiB of answers to batches that are being written.
    pub(super) batch_room: Pool,
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
    /// One place for each KiB of request bodies that is held.
    pub(super) body_room: Pool,
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

    /// Room for a request body of this size.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn body_room(&self, caller: &Caller, bytes: usize) -> Result<Share, NoShare> {
        self.inner.body_room.take(&caller.account(), bytes.div_ceil(1024).max(1))
    }

    /// Admits a request, which is counted for this account, and charges one for it.
    ///
    /// # Errors
    /// Which quota of the account is used up.
    pub(crate) fn admit(&self, account: Account, pace: OwnPace) -> Result<Admitted, QuotaError> {
        let admitted = self.inner.quotas.admit(account, (pace.rate, pace.burst));
        admitted.inspect_err(|why| self.over_quota(why))
    }

    /// Charges an admitted request for as many requests as it turns out to have.
    ///
    /// # Errors
    /// The caller may not make so many now.
    pub(crate) fn charge(&self, admitted: &Admitted, requests: usize) -> Result<(), QuotaError> {
        admitted.costs(requests).inspect_err(|why| self.over_quota(why))
    }

    /// Lets an admitted request in once the node may work on it. A call of this kind waits for no longer than its own
    /// deadline.
    ///
    /// # Errors
    /// Its turn did not come in time.
    pub(crate) async fn let_in(
        &self,
        admitted: &Admitted,
        lane: DoorLane,
        until: Instant,
    ) -> Result<Inside, QuotaError> {
        let inside = admitted.enter(lane, until).await;
        if inside.as_ref().map_or(true, |inside| !inside.waited().is_zero()) {
            self.metrics().limited(&Limited::CallerWork);
        }
        inside
    }

    /// When a call of this kind that arrives now gives up at the door.
    pub(crate) fn patience(&self, call: Call) -> Instant {
        let deadlines = &self.config().deadlines;
        within(match call {
            Call::Authorize => deadlines.authorize_ms,
            Call::Submission => deadlines.submit_ms,
            Call::Read | Call::Feed => deadlines.read_ms,
            Call::Manage | Call::Clock => deadlines.membership_ms,
        })
    }

    fn over_quota(&self, why: &QuotaError) {
        self.metrics().limited(match why {
            QuotaError::Requests { .. } => &Limited::CallerRequests,
            QuotaError::Rate { .. } => &Limited::CallerRate,
            QuotaError::Work { .. } => &Limited::CallerWork,
        });
    }

    /// The node's configuration.
    pub fn config(&self) -> &Config {
        &self.inner.parts.config
    }
}
