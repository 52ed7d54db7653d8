//! The lane of long calls: they have places and turns of their own, so that they take none from the others.
//!
//! A call with more than [`SHORT`] requests is long. What long calls cost (reading their bodies, deciding them) is done in pieces
//! of a few milliseconds off the async threads, and each piece waits for its turn. A large body first waits for one of a few
//! places and is not read before it has one. So what the node has no time for costs it no more than to take the body's bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use assent_api::MAX_BATCH;

use crate::config::LimitConfig;

/// A call with more requests than this is long. Were a few let through as if they were one, a crowd that posts batches of so many would
/// shut single questions out.
pub(super) const SHORT: usize = 1;
/// Pieces of long calls that are worked on at a time. The other threads are for what is short.
const PIECES_AT_ONCE: usize = 1;

/// What long calls may take.
pub(super) struct Lane {
    /// One permit a large body, from before it is read until its requests are decided.
    places: Arc<Semaphore>,
    /// One permit a request of a long call, from its arrival to its answer.
    room: Arc<Semaphore>,
    /// One permit a piece that is being worked on.
    turns: Arc<Semaphore>,
    requests_max: usize,
}

impl Lane {
    /// As many large bodies at once as fit if each of them is a full batch.
    pub(super) fn new(limits: &LimitConfig) -> Self {
        let requests_max = limits.long_queue();
        let places = requests_max.checked_div(MAX_BATCH).unwrap_or(0).max(1);
        Self {
            places: Arc::new(Semaphore::new(places)),
            room: Arc::new(Semaphore::new(requests_max)),
            turns: Arc::new(Semaphore::new(PIECES_AT_ONCE)),
            requests_max,
        }
    }

    /// Room for the requests of long calls.
    pub(super) fn room(&self) -> &Arc<Semaphore> {
        &self.room
    }

    /// Requests of long calls between arrival and answer.
    pub(super) fn waiting(&self) -> usize {
        self.requests_max.saturating_sub(self.room.available_permits())
    }

    /// A place for a large body, if there is one by `until`. Bodies get places in the order in which they came.
    ///
    /// Rule R9 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A call for which the node has no place or no
    /// room is allowed nothing (`overloaded`).
    pub(super) async fn place(&self, until: Instant) -> Option<OwnedSemaphorePermit> {
        timeout_at(until, self.places.clone().acquire_owned()).await.ok()?.ok()
    }

    /// The turn for one piece of work, if it comes by `until`. The work holds it, so that it is not given on while the work of a caller
    /// that went away still runs.
    pub(super) async fn turn(&self, until: Instant) -> Option<OwnedSemaphorePermit> {
        timeout_at(until, self.turns.clone().acquire_owned()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lane() -> Lane {
        Lane::new(&LimitConfig { authorize_queue: 2 * MAX_BATCH, ..LimitConfig::default() })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_without_a_place_waits_for_a_while_and_no_longer() {
        let lane = lane();
        let held = lane.place(soon()).await.unwrap();
        assert!(lane.place(soon()).await.is_none());
        drop(held);
        assert!(lane.place(soon()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_piece_of_long_calls_is_worked_on_at_a_time() {
        let lane = lane();
        let held = lane.turn(soon()).await.unwrap();
        assert!(lane.turn(soon()).await.is_none());
        drop(held);
        assert!(lane.turn(soon()).await.is_some());
    }

    #[test]
    fn a_full_batch_has_room_in_the_smallest_lane_and_a_second_one_has_none() {
        let lane = lane();
        let full = u32::try_from(MAX_BATCH).unwrap();
        let held = lane.room().clone().try_acquire_many_owned(full).unwrap();
        assert_eq!(lane.waiting(), MAX_BATCH);
        assert!(lane.room().clone().try_acquire_many_owned(1).is_err());
        drop(held);
        assert_eq!(lane.waiting(), 0);
    }
}
