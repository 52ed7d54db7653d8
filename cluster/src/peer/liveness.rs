//! Whether the other side of a connection is still there.
//!
//! This module owns what has arrived from it, and two of the conditions that end a connection: silence, and no proof
//! that it hears this side after a call waited too long. It reads no clock: its caller passes the time.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::limits::PeerLimits;

/// The number of pings whose answers are awaited at once. Older ones are forgotten.
const PINGS_MAX: usize = 16;

/// What has arrived from the other side.
pub(super) struct Liveness {
    /// When anything arrived, and how many bytes there were by then.
    received: Instant,
    received_bytes: u64,
    /// When there was a proof that it also hears this side: an answer, or a report that more bytes have reached it.
    answered: Instant,
    /// How many of this side's bytes have reached it, by its last report.
    reached_bytes: u64,
    /// Since when it must prove that it hears this side.
    suspected: Option<Instant>,
    next_ping: u64,
    pings: BTreeMap<u64, Instant>,
}

impl Liveness {
    /// The state of a connection that starts now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            received: now,
            received_bytes: 0,
            answered: now,
            reached_bytes: 0,
            suspected: None,
            next_ping: 1,
            pings: BTreeMap::new(),
        }
    }

    /// Notes that bytes arrived, `bytes` in all so far.
    pub(super) fn heard(&mut self, now: Instant, bytes: u64) {
        self.received = now;
        self.received_bytes = bytes;
    }

    /// Notes the other side's report that this many of this side's bytes have reached it.
    pub(super) fn reached(&mut self, now: Instant, bytes: u64) {
        if bytes > self.reached_bytes {
            self.reached_bytes = bytes;
            self.answered = now;
        }
    }

    /// Notes an answer.
    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = now;
    }

    /// Notes a pong. Returns when its ping was sent, if that is still known.
    pub(super) fn ponged(&mut self, now: Instant, id: u64) -> Option<Instant> {
        self.answered = now;
        self.pings.remove(&id)
    }

    /// Notes a ping that is sent now. Returns its id, and the number of received bytes that it reports.
    pub(super) fn ping(&mut self, now: Instant) -> (u64, u64) {
        let id = self.next_ping;
        self.next_ping = id.wrapping_add(1);
        if self.pings.len() >= PINGS_MAX {
            self.pings.pop_first();
        }
        self.pings.insert(id, now);
        (id, self.received_bytes)
    }

    /// Notes that a call that was sent at `sent` has waited too long. Returns whether the other side must prove
    /// itself from now on. It need not if it must do so already, or if an answer to any call has arrived since.
    pub(super) fn suspect(&mut self, now: Instant, sent: Instant) -> bool {
        let answered = self.answered;
        let begins = answered < sent && self.suspected.is_none_or(|since| answered >= since);
        if begins {
            self.suspected = Some(now);
        }
        begins
    }

    /// When to check again, and whether the other side must prove itself; or why it counts as gone.
    pub(super) fn judge(&mut self, now: Instant, limits: &PeerLimits) -> Result<(Instant, bool), String> {
        let silent_until = self.received + limits.silence_max;
        if now >= silent_until {
            return Err(format!("nothing was received for {} ms", limits.silence_max.as_millis()));
        }
        let Some(since) = self.suspected else { return Ok((silent_until, false)) };
        if self.answered >= since {
            self.suspected = None;
            return Ok((silent_until, false));
        }
        let trusted_until = since + limits.suspicion_max;
        if now >= trusted_until {
            let waited = limits.suspicion_max.as_millis();
            return Err(format!("no sign within {waited} ms that the peer hears this node"));
        }
        Ok((silent_until.min(trusted_until), true))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn limits() -> PeerLimits {
        PeerLimits { silence_max: MS(1_000), suspicion_max: MS(300), ..PeerLimits::default() }
    }

    #[tokio::test]
    async fn a_side_that_is_silent_for_too_long_is_gone() {
        let begin = Instant::now();
        let mut liveness = Liveness::new(begin);
        liveness.heard(begin + MS(500), 10);
        assert_eq!(liveness.judge(begin + MS(1_499), &limits()), Ok((begin + MS(1_500), false)));
        let gone = liveness.judge(begin + MS(1_500), &limits()).unwrap_err();
        assert_eq!(gone, "nothing was received for 1000 ms");
    }

    #[tokio::test]
    async fn a_side_under_suspicion_is_gone_unless_it_shows_in_time_that_it_hears_this_one() {
        let begin = Instant::now();
        for proves in [false, true] {
            let mut liveness = Liveness::new(begin);
            assert!(liveness.suspect(begin + MS(200), begin + MS(100)));
            assert!(!liveness.suspect(begin + MS(250), begin + MS(100)), "it is under suspicion already");
            assert_eq!(liveness.judge(begin + MS(250), &limits()), Ok((begin + MS(500), true)));
            // Bytes alone are no proof that it hears anything.
            liveness.heard(begin + MS(300), 10);
            if proves {
                liveness.reached(begin + MS(400), 1);
                assert_eq!(liveness.judge(begin + MS(500), &limits()), Ok((begin + MS(1_300), false)));
            } else {
                let gone = liveness.judge(begin + MS(500), &limits()).unwrap_err();
                assert_eq!(gone, "no sign within 300 ms that the peer hears this node");
            }
        }
    }

    #[tokio::test]
    async fn a_call_that_was_sent_before_the_last_answer_raises_no_suspicion() {
        let begin = Instant::now();
        let mut liveness = Liveness::new(begin);
        liveness.answered(begin + MS(150));
        assert!(!liveness.suspect(begin + MS(200), begin + MS(100)));
    }

    #[tokio::test]
    async fn a_pong_is_matched_with_its_ping_once_and_only_the_newest_pings_are_known() {
        let begin = Instant::now();
        let mut liveness = Liveness::new(begin);
        let ids: Vec<u64> = (0..20).map(|after| liveness.ping(begin + MS(after)).0).collect();
        assert_eq!(liveness.ponged(begin + MS(30), ids[19]), Some(begin + MS(19)));
        assert_eq!(liveness.ponged(begin + MS(30), ids[19]), None);
        assert_eq!(liveness.ponged(begin + MS(30), ids[0]), None);
    }
}
