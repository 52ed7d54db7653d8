//! The lane of long calls. They have places and turns of their own, so that they take none from other calls.
//!
//! A call with more than [`SHORT`] requests is long. The work on long calls (reading their bodies, deciding them)
//! runs off the async threads, in pieces of a few milliseconds, and each piece waits for its turn. A large body first
//! waits for one of a few places, and is not read before it has one. So if the node has no time for a body, that body
//! costs it only the transfer of its bytes.
//!
//! Callers take turns at both, and one caller has at most half of the places for large bodies.

use tokio::time::Instant;

use assent_api::MAX_BATCH;

use crate::access::Account;
use crate::config::LimitConfig;
use crate::shares::{Gate, Pass, Pool};

/// A call with more requests than this is long. If calls of a few requests counted as short, many clients that send
/// such batches would keep single requests out.
pub(super) const SHORT: usize = 1;
/// How many pieces of long calls run at a time. The other threads are for short calls.
const PIECES_AT_ONCE: usize = 1;

/// The room for long calls.
pub(super) struct Lane {
    /// One pass for each large body, from before it is read until its requests are decided.
    places: Gate,
    /// One place for each request of a long call, from its arrival to its answer.
    room: Pool,
    /// One pass for each piece that is running.
    turns: Gate,
}

impl Lane {
    /// Room for as many large bodies at once as fit if each of them is a full batch. `room` has a place for each
    /// request.
    pub(super) fn new(limits: &LimitConfig, room: Pool) -> Self {
        let places = limits.long_queue().checked_div(MAX_BATCH).unwrap_or(0).max(1);
        Self {
            places: Gate::new(places, (places / 2).max(1)),
            room,
            turns: Gate::new(PIECES_AT_ONCE, PIECES_AT_ONCE),
        }
    }

    /// Room for the requests of long calls.
    pub(super) fn room(&self) -> &Pool {
        &self.room
    }

    /// The number of requests of long calls between arrival and answer.
    pub(super) fn waiting(&self) -> usize {
        self.room.taken()
    }

    /// A place for a large body, if one is free by `until`. Callers take turns, and each gets places in the order in
    /// which its bodies came.
    ///
    /// Rule R9 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A call for which the node has no place or no
    /// room is allowed nothing (`overloaded`).
    pub(super) async fn place(&self, account: &Account, until: Instant) -> Option<Pass> {
        self.places.pass(account, until).await
    }

    /// The turn for one piece of work, if it comes by `until`. The work holds the turn, so that the turn is not
    /// passed on while the work of a caller that left still runs.
    pub(super) async fn turn(&self, account: &Account, until: Instant) -> Option<Pass> {
        self.turns.pass(account, until).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lane() -> Lane {
        let limits = LimitConfig { authorize_queue: 2 * MAX_BATCH, ..LimitConfig::default() };
        Lane::new(&limits, Pool::new(limits.long_queue()))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_without_a_place_waits_for_a_while_and_no_longer() {
        let lane = lane();
        let held = lane.place(&Account::Common, soon()).await.unwrap();
        assert!(lane.place(&Account::Common, soon()).await.is_none());
        drop(held);
        assert!(lane.place(&Account::Common, soon()).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_piece_of_long_calls_is_worked_on_at_a_time() {
        let lane = lane();
        let held = lane.turn(&Account::Common, soon()).await.unwrap();
        assert!(lane.turn(&Account::Common, soon()).await.is_none());
        drop(held);
        assert!(lane.turn(&Account::Common, soon()).await.is_some());
    }

    #[test]
    fn a_full_batch_has_room_in_the_smallest_lane_and_a_second_one_has_none() {
        let lane = lane();
        let held = lane.room().take(&Account::Common, MAX_BATCH).unwrap();
        assert_eq!(lane.waiting(), MAX_BATCH);
        assert!(lane.room().take(&Account::Common, 1).is_err());
        drop(held);
        assert_eq!(lane.waiting(), 0);
    }
}
