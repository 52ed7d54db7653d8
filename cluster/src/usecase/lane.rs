//! The lane of long calls. They have places and turns of their own, so that they take none from other calls.
//!
//! A call with more than [`SHORT`] requests is long. The work on long calls (reading their bodies, deciding them)
//! runs off the async threads, in pieces of a few milliseconds, and each piece waits for its turn. A large body first
//! waits for one of a few places, and is not read before it has one. So if the node has no time for a body, that body
//! costs it only the transfer of its bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use assent_api::MAX_BATCH;

use crate::config::LimitConfig;

/// A call with more requests than this is long. If calls of a few requests counted as short, many clients that send
/// such batches would keep single requests out.
pub(super) const SHORT: usize = 1;
/// How many pieces of long calls run at a time. The other threads are for short calls.
const PIECES_AT_ONCE: usize = 1;

/// The room for long calls.
pub(super) struct Lane {
    /// One permit for each large body, from before it is read until its requests are decided.
    places: Arc<Semaphore>,
    /// One permit for each request of a long call, from its arrival to its answer.
    room: Arc<Semaphore>,
    /// One permit for each piece that is running.
    turns: Arc<Semaphore>,
    requests_max: usize,
}

impl Lane {
    /// Room for as many large bodies at once as fit if each of them is a full batch.
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

    /// The number of requests of long calls between arrival and answer.
    pub(super) fn waiting(&self) -> usize {
        self.requests_max.saturating_sub(self.room.available_permits())
    }

    /// A place for a large body, if one is free by `until`. Bodies get places in the order in which they came.
    ///
    /// Rule R9 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A call for which the node has no place or no
    /// room is allowed nothing (`overloaded`).
    pub(super) async fn place(&self, until: Instant) -> Option<OwnedSemaphorePermit> {
        timeout_at(until, self.places.clone().acquire_owned()).await.ok()?.ok()
    }

    /// The turn for one piece of work, if it comes by `until`. The work holds the turn, so that the turn is not
    /// passed on while the work of a caller that left still runs.
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
