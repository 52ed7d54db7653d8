//! What the peers' clocks said, and whether this node may trust its own.
//!
//! A reading binds the peer's wall clock to a moment of local elapsed time: halfway between ping and pong. It is
//! compared with the own wall clock only when asked, so a jump of the own clock shows at once and not with the
//! next ping. Owns the readings; never reads a clock itself and never adjusts one. Whether the peers' clocks and the own one have
//! leapt together does not show here: that is `usecase::anchor`'s.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use assent_proof::Millis;

use crate::env::Moment;
use crate::raft::types::NodeId;

/// A reading older than this says nothing any more.
const AGE_MAX: Duration = Duration::from_secs(5);
/// Readings kept of each peer: more than the pings of [`AGE_MAX`] on two connections.
const READINGS_MAX: usize = 64;

/// One peer's clock, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// The local moment it belongs to.
    at: Instant,
    /// The peer's wall clock at that moment.
    theirs: Millis,
    /// How far that was ahead of the time that the peer trusted by its own boot time, in milliseconds; none if the peer did not trust it.
    anchored: Option<i64>,
    /// How long ping and pong took together: the reading is off by at most half of it.
    rtt: Duration,
}

/// The readings as they come in.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadingBook {
    peers: BTreeMap<NodeId, VecDeque<Reading>>,
}

impl ReadingBook {
    /// A pong arrived at `received` for a ping sent at `sent`.
    pub(super) fn record(
        &mut self,
        peer: NodeId,
        sent: Instant,
        received: Instant,
        theirs: Millis,
        anchored: Option<i64>,
    ) {
        let rtt = received.saturating_duration_since(sent);
        let readings = self.peers.entry(peer).or_default();
        if readings.len() >= READINGS_MAX {
            readings.pop_front();
        }
        readings.push_back(Reading { at: sent + rtt / 2, theirs, anchored, rtt });
    }

    /// The last round trip to the peer.
    pub(super) fn rtt(&self, peer: NodeId) -> Option<Duration> {
        Some(self.peers.get(&peer)?.back()?.rtt)
    }

    /// The readings, to be compared with `own`, this node's clocks at `now`.
    pub(super) fn at(&self, now: Instant, own: Moment) -> ClockReadings {
        ClockReadings { peers: self.peers.clone(), now, own }
    }
}

/// One peer's clock against the own one, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerClock {
    /// Whose clock.
    pub peer: NodeId,
    /// Theirs minus ours, in milliseconds.
    pub offset_ms: i64,
    /// How far the peer's clock was ahead of the time that the peer trusts by its own boot time, in milliseconds, when it was read;
    /// none if the peer did not trust its clock.
    pub anchored: Option<i64>,
    /// How long ago it was read, in milliseconds.
    pub age_ms: u64,
    /// The round trip of that reading, in milliseconds: the offset is off by at most half of it.
    pub rtt_ms: u64,
}

/// The peers' clocks against the own one, at one moment.
#[derive(Debug, Clone)]
pub struct ClockReadings {
    peers: BTreeMap<NodeId, VecDeque<Reading>>,
    now: Instant,
    own: Moment,
}

/// Who agrees with the own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Whether a quorum of voters does, this node included.
    pub quorum: bool,
    /// How far the time that another such voter trusts by its boot time is ahead of the own clock, in milliseconds, if that is within
    /// the bound too. Of several the earliest.
    pub vouched: Option<i64>,
}

impl ClockReadings {
    /// The own clocks that these readings are held against.
    pub fn own(&self) -> Moment {
        self.own
    }

    /// When the own clocks were read.
    pub fn read_at(&self) -> Instant {
        self.now
    }

    /// Whether a quorum of `voters`, `me` included, read within the last 5 s, lies within `bound_ms` of the own
    /// clock. A reading whose round trip is over the bound cannot tell and is passed over. A single voter is
    /// always sure; no voters at all never are.
    pub fn sure(&self, voters: &[NodeId], me: NodeId, bound_ms: u64) -> bool {
        self.agreement(voters, me, bound_ms).quorum
    }

    /// Who of `voters`, `me` included, agrees with the own clock, by the rules of [`sure`](Self::sure).
    ///
    /// Rule R1 (RFC-EG-033 §6, timestamp-bound proof continuity): A node is sure of its clock only while more
    /// than half of the voters, itself included, have clocks that it has read within the last 5 s and that
    /// differ from its own by at most the bound (500 ms by default).
    pub fn agreement(&self, voters: &[NodeId], me: NodeId, bound_ms: u64) -> Agreement {
        let mut distinct = voters.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let (mut agreeing, mut vouched) = (0usize, None);
        for voter in &distinct {
            if *voter == me {
                agreeing = agreeing.saturating_add(1);
            } else if let Some(clock) = self.agrees(*voter, bound_ms) {
                agreeing = agreeing.saturating_add(1);
                let trusted = clock.anchored.map(|ahead_ms| clock.offset_ms.saturating_sub(ahead_ms));
                let near = trusted.filter(|trusted_ms| trusted_ms.unsigned_abs() <= bound_ms);
                vouched = [vouched, near].into_iter().flatten().min();
            }
        }
        Agreement { quorum: agreeing > distinct.len() / 2, vouched }
    }

    /// The peer's newest reading that can tell, if it lies within the bound.
    fn agrees(&self, peer: NodeId, bound_ms: u64) -> Option<PeerClock> {
        self.newest(peer, Duration::from_millis(bound_ms))
            .filter(|clock| clock.offset_ms.unsigned_abs() <= bound_ms)
    }

    /// The newest fresh reading of a peer with a round trip of at most `rtt_max`.
    fn newest(&self, peer: NodeId, rtt_max: Duration) -> Option<PeerClock> {
        let readings = self.peers.get(&peer)?;
        let reading = readings.iter().rev().find(|reading| reading.rtt <= rtt_max)?;
        let age = self.now.saturating_duration_since(reading.at);
        if age > AGE_MAX {
            return None;
        }
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let theirs_now = reading.theirs.0.saturating_add_unsigned(age_ms);
        let rtt_ms = u64::try_from(reading.rtt.as_millis()).unwrap_or(u64::MAX);
        let offset_ms = theirs_now.saturating_sub(self.own.wall.0);
        Some(PeerClock { peer, offset_ms, anchored: reading.anchored, age_ms, rtt_ms })
    }

    /// The newest fresh reading of each peer, by node id.
    pub fn offsets(&self) -> Vec<PeerClock> {
        self.peers.keys().filter_map(|peer| self.newest(*peer, Duration::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Readings taken `ages` ms before now, each with an offset and a round trip.
    fn readings(of: &[(NodeId, i64, u64, u64)]) -> ClockReadings {
        let now = Instant::now() + Duration::from_secs(60);
        let own = Millis(1_000_000);
        let mut book = ReadingBook::default();
        for (peer, offset, rtt, age) in of {
            let middle = now - MS(*age);
            let theirs = Millis(own.0 - i64::try_from(*age).unwrap() + offset);
            book.record(*peer, middle - MS(*rtt) / 2, middle + MS(*rtt) / 2, theirs, None);
        }
        book.at(now, Moment { wall: own, boot_ms: 0 })
    }

    #[tokio::test]
    async fn a_single_voter_is_sure_and_no_voters_never_are() {
        assert!(readings(&[]).sure(&[1], 1, 500));
        assert!(!readings(&[]).sure(&[], 1, 500));
    }

    #[tokio::test]
    async fn without_readings_two_or_more_voters_are_unsure() {
        assert!(!readings(&[]).sure(&[1, 2], 1, 500));
        assert!(!readings(&[]).sure(&[1, 2, 3], 1, 500));
    }

    /// Rule R1.
    #[tokio::test]
    async fn one_agreeing_peer_of_two_is_a_quorum_with_oneself() {
        assert!(readings(&[(2, 500, 10, 100)]).sure(&[1, 2, 3], 1, 500));
        assert!(readings(&[(2, -500, 10, 100), (3, 90_000, 10, 100)]).sure(&[1, 2, 3], 1, 500));
        assert!(!readings(&[(2, 501, 10, 100)]).sure(&[1, 2, 3], 1, 500));
        assert!(!readings(&[(2, -501, 10, 100), (3, 3_600_000, 10, 100)]).sure(&[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn of_five_voters_two_peers_must_agree() {
        assert!(!readings(&[(2, 0, 1, 0)]).sure(&[1, 2, 3, 4, 5], 1, 500));
        assert!(readings(&[(2, 0, 1, 0), (5, 0, 1, 0)]).sure(&[1, 2, 3, 4, 5], 1, 500));
    }

    #[tokio::test]
    async fn a_peer_that_is_no_voter_and_a_voter_named_twice_do_not_count() {
        assert!(!readings(&[(9, 0, 1, 0)]).sure(&[1, 2, 3], 1, 500));
        assert!(!readings(&[]).sure(&[1, 1, 1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn a_node_that_is_no_voter_needs_a_quorum_of_the_others() {
        assert!(!readings(&[(2, 0, 1, 0)]).sure(&[2, 3, 4], 1, 500));
        assert!(readings(&[(2, 0, 1, 0), (3, 0, 1, 0)]).sure(&[2, 3, 4], 1, 500));
    }

    /// Rule R1.
    #[tokio::test]
    async fn readings_older_than_five_seconds_are_forgotten() {
        assert!(readings(&[(2, 0, 1, 4_900)]).sure(&[1, 2, 3], 1, 500));
        assert!(!readings(&[(2, 0, 1, 5_100)]).sure(&[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn a_slow_round_trip_cannot_tell_and_an_older_quick_one_still_does() {
        assert!(!readings(&[(2, 0, 600, 0)]).sure(&[1, 2, 3], 1, 500));
        assert!(readings(&[(2, 0, 10, 900), (2, 700, 600, 400)]).sure(&[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn the_newest_reading_decides() {
        assert!(!readings(&[(2, 0, 10, 900), (2, 700, 10, 400)]).sure(&[1, 2, 3], 1, 500));
        assert!(readings(&[(2, 700, 10, 900), (2, 0, 10, 400)]).sure(&[1, 2, 3], 1, 500));
    }

    #[tokio::test]
    async fn a_jump_of_the_own_clock_shows_before_the_next_ping() {
        let mut after_jump = readings(&[(2, 0, 10, 100), (3, 0, 10, 100)]);
        assert!(after_jump.sure(&[1, 2, 3], 1, 500));
        after_jump.own.wall = after_jump.own.wall.saturating_add(3_600_000);
        assert!(!after_jump.sure(&[1, 2, 3], 1, 500));
        assert_eq!(after_jump.offsets()[0].offset_ms, -3_600_000);
    }

    #[tokio::test]
    async fn extreme_clocks_saturate_instead_of_wrapping() {
        let now = Instant::now() + Duration::from_secs(60);
        let mut book = ReadingBook::default();
        book.record(2, now, now, Millis(i64::MIN), Some(i64::MAX));
        book.record(3, now, now, Millis(i64::MAX), Some(i64::MIN));
        let at = |wall: i64| book.at(now, Moment { wall: Millis(wall), boot_ms: 0 });
        assert!(!at(i64::MAX).sure(&[1, 2, 4], 1, 500));
        assert!(!at(i64::MIN).sure(&[1, 3, 4], 1, 500));
    }

    #[tokio::test]
    async fn only_another_voter_that_agrees_and_is_anchored_vouches_and_for_the_time_that_it_trusts() {
        let now = Instant::now() + Duration::from_secs(60);
        let vouched = |of: &[(NodeId, i64, Option<i64>)]| {
            let mut book = ReadingBook::default();
            for (peer, theirs, anchored) in of {
                book.record(*peer, now, now, Millis(*theirs), *anchored);
            }
            let own = Moment { wall: Millis(1_000_000), boot_ms: 7 };
            book.at(now, own).agreement(&[1, 2, 3], 1, 500)
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

    #[tokio::test]
    async fn the_book_stays_bounded() {
        let now = Instant::now();
        let mut book = ReadingBook::default();
        for _ in 0..1000 {
            book.record(2, now, now + MS(1), Millis(0), None);
        }
        assert_eq!(book.peers[&2].len(), READINGS_MAX);
        assert_eq!(book.rtt(2), Some(MS(1)));
    }
}
