//! How often each bound of the peer transport has refused something, for the page of metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// A bound of the peer transport, as the page of metrics names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerBound {
    /// `handshakes_max`: a connection was closed, because too many were shaking hands.
    Handshakes,
    /// `handshake_timeout`: a node that dialed this one did not finish its handshake in time.
    HandshakeTime,
    /// `HANDSHAKE_FRAME_MAX`: a node that dialed this one announced a larger frame, or one without its own head.
    HandshakeSize,
    /// `peers_max`: a node that dialed this one was one too many.
    Peers,
    /// `frame_bytes_max`: a peer announced a larger frame, or one without its own head.
    FrameSize,
    /// The largest term and log index, and what else no cluster can have: a hello, a request or an answer claimed more.
    Claims,
    /// `append_lane_max`: an append was refused.
    Appends,
    /// `control_requests_max`: a vote, a read barrier, a probe, a step of a snapshot or the like was refused.
    Requests,
    /// `submissions_max` and `submission_bytes_max`: a submission was refused.
    Submissions,
    /// `queue_bytes_max` and `queue_frames_max`: a peer that does not read its answers lost its connection.
    Answers,
}

impl PeerBound {
    const ALL: [Self; 10] = [
        Self::Handshakes,
        Self::HandshakeTime,
        Self::HandshakeSize,
        Self::Peers,
        Self::FrameSize,
        Self::Claims,
        Self::Appends,
        Self::Requests,
        Self::Submissions,
        Self::Answers,
    ];

    fn word(self) -> &'static str {
        match self {
            PeerBound::Handshakes => "handshakes",
            PeerBound::HandshakeTime => "handshake_time",
            PeerBound::HandshakeSize => "handshake_size",
            PeerBound::Peers => "peers",
            PeerBound::FrameSize => "frame_size",
            PeerBound::Claims => "claims",
            PeerBound::Appends => "appends",
            PeerBound::Requests => "requests",
            PeerBound::Submissions => "submissions",
            PeerBound::Answers => "answers",
        }
    }
}

/// A count for each bound.
#[derive(Debug, Default)]
pub(super) struct Refusals([AtomicU64; PeerBound::ALL.len()]);

impl Refusals {
    /// Counts one refusal.
    pub(super) fn count(&self, bound: PeerBound) {
        for (each, count) in PeerBound::ALL.iter().zip(&self.0) {
            if *each == bound {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How often each bound has refused something, by the bound's word.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = PeerBound::ALL.iter().zip(&self.0);
        counts.map(|(bound, count)| (bound.word(), count.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if two bounds share a count or a word, or if one has none.
    #[test]
    fn each_bound_has_a_count_of_its_own() {
        for bound in PeerBound::ALL {
            let refusals = Refusals::default();
            refusals.count(bound);
            let counted: Vec<_> = refusals.counts().into_iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(bound.word(), 1)]);
        }
    }
}
