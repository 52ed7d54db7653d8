//! Readings of the peers' clocks.
//!
//! A reading assigns the peer's wall clock to a moment of local elapsed time: halfway between ping and pong. It is
//! compared with this node's wall clock only when it is used, so a leap of this node's clock shows at once and not
//! with the next ping. This module owns the readings. It never reads a clock itself, never adjusts one, and never
//! decides which readings make a node sure of its clock: `usecase/agreement.rs` does.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use assent_proof::Millis;

use crate::env::Moment;
use crate::raft::types::NodeId;

/// The number of readings that are kept of each peer. It is more than the pings of 5 s on two connections. After 5 s
/// a reading does not count any more.
const READINGS_MAX: usize = 64;

/// One reading of one peer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// The local moment to which it belongs.
    at: Instant,
    /// The peer's wall clock at that moment.
    theirs: Millis,
    /// How far that was ahead of the time that the peer trusted by its own boot time, in milliseconds. None if the
    /// peer did not trust it.
    anchored: Option<i64>,
    /// The time between ping and pong. The reading is off by at most half of it.
    rtt: Duration,
}

/// The readings, as they arrive.
#[derive(Debug, Clone, Default)]
pub struct ReadingBook {
    peers: BTreeMap<NodeId, VecDeque<Reading>>,
}

impl ReadingBook {
    /// Records a pong that arrived at `received` for a ping that was sent at `sent`. The pong contains the peer's
    /// wall clock, `theirs`, and how far that is ahead of the time that the peer trusts by its own boot time, in
    /// milliseconds, or none if the peer does not trust it.
    pub fn record(
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
    pub fn at(&self, now: Instant, own: Moment) -> ClockReadings {
        ClockReadings { peers: self.peers.clone(), now, own }
    }
}

/// One reading of one peer's clock, compared with this node's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerClock {
    /// The peer.
    pub peer: NodeId,
    /// The peer's clock minus this node's, in milliseconds.
    pub offset_ms: i64,
    /// How far the peer's clock was ahead of the time that the peer trusts by its own boot time when it was read, in
    /// milliseconds. None if the peer did not trust its clock.
    pub anchored: Option<i64>,
    /// How long ago it was read.
    pub age: Duration,
    /// The round trip of that reading: the offset is off by at most half of it.
    pub rtt: Duration,
}

/// The readings of the peers' clocks, compared with this node's clocks at one moment.
#[derive(Debug, Clone)]
pub struct ClockReadings {
    peers: BTreeMap<NodeId, VecDeque<Reading>>,
    now: Instant,
    own: Moment,
}

impl ClockReadings {
    /// This node's clocks, with which the readings are compared.
    pub fn own(&self) -> Moment {
        self.own
    }

    /// When this node's clocks were read.
    pub fn read_at(&self) -> Instant {
        self.now
    }

    /// The readings of a peer, the newest first.
    pub fn of(&self, peer: NodeId) -> impl Iterator<Item = PeerClock> {
        let readings = self.peers.get(&peer).into_iter().flatten().rev();
        readings.map(move |reading| self.against_own(peer, reading))
    }

    /// The newest reading of each peer, by node id.
    pub fn newest(&self) -> Vec<PeerClock> {
        self.peers.keys().filter_map(|peer| self.of(*peer).next()).collect()
    }

    fn against_own(&self, peer: NodeId, reading: &Reading) -> PeerClock {
        let age = self.now.saturating_duration_since(reading.at);
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let theirs_now = reading.theirs.0.saturating_add_unsigned(age_ms);
        let offset_ms = theirs_now.saturating_sub(self.own.wall.0);
        PeerClock { peer, offset_ms, anchored: reading.anchored, age, rtt: reading.rtt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[tokio::test]
    async fn a_reading_is_held_against_the_own_clock_of_now_and_the_newest_comes_first() {
        let now = Instant::now() + MS(60_000);
        let mut book = ReadingBook::default();
        book.record(2, now - MS(900), now - MS(700), Millis(1_000), None);
        book.record(2, now - MS(110), now - MS(90), Millis(1_900), Some(3));
        let readings = book.at(now, Moment { wall: Millis(1_500), boot_ms: 0 });
        let newest = PeerClock { peer: 2, offset_ms: 500, anchored: Some(3), age: MS(100), rtt: MS(20) };
        let older = PeerClock { peer: 2, offset_ms: 300, anchored: None, age: MS(800), rtt: MS(200) };
        assert_eq!(readings.of(2).collect::<Vec<_>>(), [newest, older]);
        assert_eq!(readings.newest(), [newest]);
        assert_eq!(readings.of(3).next(), None);
        let after_jump = book.at(now, Moment { wall: Millis(3_601_500), boot_ms: 0 });
        assert_eq!(after_jump.newest(), [PeerClock { offset_ms: 500 - 3_600_000, ..newest }]);
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
