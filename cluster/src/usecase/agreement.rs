//! Which of the peers' clock readings make this node sure that the clocks of a quorum agree with its own.
//!
//! This module owns that rule, as functions of readings. It takes no readings, keeps none and reads no clock.
//! Readings cannot show that all clocks have leapt together: `anchor` decides about that.

use std::time::Duration;

use crate::peer::{ClockReadings, PeerClock};
use crate::raft::types::NodeId;

/// The age beyond which a reading does not count any more.
const AGE_MAX: Duration = Duration::from_secs(5);

/// Whether other clocks agree with this node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Whether the clocks of a quorum of voters do, this node's included.
    pub quorum: bool,
    /// How far the time that another agreeing voter trusts by its boot time is ahead of this node's clock, in
    /// milliseconds, if that is within the bound too. If there are several, it is the earliest.
    pub vouched: Option<i64>,
}

/// Whether a quorum of `voters`, `me` included, agrees with this node's clock within `bound_ms`. If the round trip of a
/// reading is longer than the bound, the reading is too inexact and is skipped. A single voter always agrees with
/// itself. If there are no voters, there is no quorum.
///
/// Rule R133 (RFC-EG-033 §6, timestamp-bound proof continuity): A node is sure of its clock only while more
/// than half of the voters, itself included, have clocks that it has read within the last 5 s and that differ
/// from its own by at most the bound (500 ms by default).
pub fn agreement(readings: &ClockReadings, voters: &[NodeId], me: NodeId, bound_ms: u64) -> Agreement {
    let mut distinct = voters.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let (mut agreeing, mut vouched) = (0usize, None);
    for voter in &distinct {
        if *voter == me {
            agreeing = agreeing.saturating_add(1);
        } else if let Some(clock) = agrees(readings, *voter, bound_ms) {
            agreeing = agreeing.saturating_add(1);
            let trusted = clock.anchored.map(|ahead_ms| clock.offset_ms.saturating_sub(ahead_ms));
            let near = trusted.filter(|trusted_ms| trusted_ms.unsigned_abs() <= bound_ms);
            vouched = [vouched, near].into_iter().flatten().min();
        }
    }
    Agreement { quorum: agreeing > distinct.len() / 2, vouched }
}

/// The peer's newest reading with a short enough round trip, if it still counts and lies within the bound.
fn agrees(readings: &ClockReadings, peer: NodeId, bound_ms: u64) -> Option<PeerClock> {
    let rtt_max = Duration::from_millis(bound_ms);
    let newest = readings.of(peer).find(|clock| clock.rtt <= rtt_max)?;
    (is_fresh(&newest) && newest.offset_ms.unsigned_abs() <= bound_ms).then_some(newest)
}

/// The newest reading of each peer that still counts, by node id.
pub(super) fn fresh(readings: &ClockReadings) -> Vec<PeerClock> {
    readings.newest().into_iter().filter(is_fresh).collect()
}

fn is_fresh(clock: &PeerClock) -> bool {
    clock.age <= AGE_MAX
}

#[cfg(test)]
mod tests {
    use assent_proof::Millis;
    use tokio::time::Instant;

    use super::*;
    use crate::env::Moment;
    use crate::peer::ReadingBook;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    /// The own wall clock, at first.
    const OWN: Millis = Millis(1_000_000);

    /// Readings taken `ages` ms before now, each with an offset and a round trip.
    fn readings(of: &[(NodeId, i64, u64, u64)]) -> ClockReadings {
        readings_at(of, OWN)
    }

    /// The same, held against another time of the own clock.
    fn readings_at(of: &[(NodeId, i64, u64, u64)], own: Millis) -> ClockReadings {
        let now = Instant::now() + Duration::from_secs(60);
        let mut book = ReadingBook::default();
        for (peer, offset, rtt, age) in of {
            let middle = now - MS(*age);
            let theirs = Millis(OWN.0 - i64::try_from(*age).unwrap() + offset);
            book.record(*peer, middle - MS(*rtt) / 2, middle + MS(*rtt) / 2, theirs, None);
        }
        book.at(now, Moment { wall: own, boot_ms: 0 })
    }

    fn sure(readings: &ClockReadings, voters: &[NodeId], me: NodeId, bound_ms: u64) -> bool {
        agreement(readings, voters, me, bound_ms).quorum
    }

    #[tokio::test]
    async fn a_single_voter_is_sure_and_no_voters_never_are() {
        assert!(sure(&readings(&[]), &[1], 1, 500));
        assert!(!sure(&readings(&[]), &[], 1, 500));
    }

    #[tokio::test]
    async fn without_readings_two_or_more_voters_are_unsure() {
        assert!(!sure(&readings(&[]), &[1, 2], 1, 500));
        assert!(!sure(&readings(&[]), &[1, 2, 3], 1, 500));
    }

    /// Rule R133.
    #[tokio::test]
    async fn one_agreeing_peer_of_two_is_a_quorum_with_oneself() {
        assert!(sure(&readings(&[(2, 500, 10, 100)]), &[1, 2, 3], 1, 500));
        assert!(sure(&readings(&[(2, -500, 10, 100), (3, 90_000, 10, 100)]), &[1, 2, 3], 1, 500));
        assert!(!sure(&readings(&[(2, 501, 10, 100)]), &[1, 2, 3], 1, 500));
        assert!(!sure(&readings(&[(2, -501, 10, 100), (3, 3_600_000, 10, 100)]), &[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn of_five_voters_two_peers_must_agree() {
        assert!(!sure(&readings(&[(2, 0, 1, 0)]), &[1, 2, 3, 4, 5], 1, 500));
        assert!(sure(&readings(&[(2, 0, 1, 0), (5, 0, 1, 0)]), &[1, 2, 3, 4, 5], 1, 500));
    }

    #[tokio::test]
    async fn a_peer_that_is_no_voter_and_a_voter_named_twice_do_not_count() {
        assert!(!sure(&readings(&[(9, 0, 1, 0)]), &[1, 2, 3], 1, 500));
        assert!(!sure(&readings(&[]), &[1, 1, 1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn a_node_that_is_no_voter_needs_a_quorum_of_the_others() {
        assert!(!sure(&readings(&[(2, 0, 1, 0)]), &[2, 3, 4], 1, 500));
        assert!(sure(&readings(&[(2, 0, 1, 0), (3, 0, 1, 0)]), &[2, 3, 4], 1, 500));
    }

    /// Rule R133.
    #[tokio::test]
    async fn readings_older_than_five_seconds_are_forgotten() {
        assert!(sure(&readings(&[(2, 0, 1, 4_900)]), &[1, 2, 3], 1, 500));
        assert!(!sure(&readings(&[(2, 0, 1, 5_100)]), &[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn a_slow_round_trip_cannot_tell_and_an_older_quick_one_still_does() {
        assert!(!sure(&readings(&[(2, 0, 600, 0)]), &[1, 2, 3], 1, 500));
        assert!(sure(&readings(&[(2, 0, 10, 900), (2, 700, 600, 400)]), &[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn the_newest_reading_decides() {
        assert!(!sure(&readings(&[(2, 0, 10, 900), (2, 700, 10, 400)]), &[1, 2, 3], 1, 500));
        assert!(sure(&readings(&[(2, 700, 10, 900), (2, 0, 10, 400)]), &[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn a_jump_of_the_own_clock_shows_before_the_next_ping() {
        let of = [(2, 0, 10, 100), (3, 0, 10, 100)];
        assert!(sure(&readings(&of), &[1, 2, 3], 1, 500));
        let after_jump = readings_at(&of, Millis(OWN.0 + 3_600_000));
        assert!(!sure(&after_jump, &[1, 2, 3], 1, 500));
        assert_eq!(fresh(&after_jump)[0].offset_ms, -3_600_000);
    }

    #[tokio::test]
    async fn a_peer_is_listed_while_its_newest_reading_is_at_most_five_seconds_old() {
        let of = [(2, 0, 10, 4_900), (3, 0, 10, 5_100), (4, 7, 90_000, 100)];
        let listed: Vec<NodeId> = fresh(&readings(&of)).iter().map(|clock| clock.peer).collect();
        assert_eq!(listed, [2, 4]);
    }

    #[tokio::test]
    async fn extreme_clocks_saturate_instead_of_wrapping() {
        let now = Instant::now() + Duration::from_secs(60);
        let mut book = ReadingBook::default();
        book.record(2, now, now, Millis(i64::MIN), Some(i64::MAX));
        book.record(3, now, now, Millis(i64::MAX), Some(i64::MIN));
        let at = |wall: i64| book.at(now, Moment { wall: Millis(wall), boot_ms: 0 });
        assert!(!sure(&at(i64::MAX), &[1, 2, 4], 1, 500));
        assert!(!sure(&at(i64::MIN), &[1, 3, 4], 1, 500));
    }

    #[tokio::test]
    async fn only_another_anchored_voter_that_agrees_vouches_for_the_time_that_it_trusts() {
        let now = Instant::now() + Duration::from_secs(60);
        let vouched = |of: &[(NodeId, i64, Option<i64>)]| {
            let mut book = ReadingBook::default();
            for (peer, theirs, anchored) in of {
                book.record(*peer, now, now, Millis(*theirs), *anchored);
            }
            let own = Moment { wall: Millis(1_000_000), boot_ms: 7 };
            agreement(&book.at(now, own), &[1, 2, 3], 1, 500)
        };
        let agrees = |vouched: Option<i64>| Agreement { quorum: true, vouched };
        let alone = Agreement { quorum: false, vouched: None };
        assert_eq!(vouched(&[(2, 1_000_500, Some(0))]), agrees(Some(500)));
        assert_eq!(vouched(&[(2, 1_000_500, None)]), agrees(None));
        assert_eq!(vouched(&[(2, 1_000_501, Some(0))]), alone);
        assert_eq!(vouched(&[(9, 1_000_000, Some(0))]), alone, "no voter");
        // Its clock and this one run ahead together of what it trusts.
        assert_eq!(vouched(&[(2, 1_000_000, Some(500))]), agrees(Some(-500)));
        assert_eq!(vouched(&[(2, 999_999, Some(500))]), agrees(None));
        assert_eq!(vouched(&[(2, 1_000_100, Some(0)), (3, 1_000_000, Some(50))]), agrees(Some(-50)));
    }
}
