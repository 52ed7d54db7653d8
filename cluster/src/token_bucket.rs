//! A token bucket: it bounds how much is done at once, and how much in the long run.
//!
//! This file owns the arithmetic, which is of integers and exact. It reads no clock: each call gives the time, by a
//! clock that never runs backwards. It does not bound how many buckets there are, which their keeper does. A keeper may
//! drop a bucket that is full, because a new one is full too.

use tokio::time::Instant;

/// A token, in the unit in which a bucket counts: a billionth of a token. A bucket gets as many of these units in a
/// nanosecond as it gets tokens in a second, so no part of a token is lost, however often a bucket is looked at.
const TOKEN: u128 = 1_000_000_000;

/// How much a bucket holds, and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The refill: how many tokens come in a second, until the bucket is full. With 0 none ever come, and a bucket gives
    /// its capacity once.
    pub(crate) rate: u64,
    /// The capacity: the most tokens that a bucket holds, and so the most that it gives at once.
    pub(crate) burst: u64,
}

/// A bucket of tokens. It is full at first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    pace: Pace,
    /// How much it lacked of its capacity, in billionths of a token. Never more than the capacity.
    lacked: u128,
    /// When that was so.
    at: Instant,
}

/// So many tokens in billionths of a token. The largest number of tokens fits.
fn billionths(tokens: u64) -> u128 {
    u128::from(tokens).saturating_mul(TOKEN)
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn full(pace: Pace, now: Instant) -> Self {
        Self { pace, lacked: 0, at: now }
    }

    /// Whether it has so many tokens at `now`. It gives none.
    pub(crate) fn has(&self, tokens: u64, now: Instant) -> bool {
        self.lacks_without(tokens, now).is_some()
    }

    /// Takes so many tokens, if it has them at `now`. Otherwise it takes none and returns `false`.
    pub(crate) fn take(&mut self, tokens: u64, now: Instant) -> bool {
        let Some(lacked) = self.lacks_without(tokens, now) else { return false };
        // A caller may have read the clock before another one did that came first.
        *self = Self { lacked, at: self.at.max(now), ..*self };
        true
    }

    /// Gives so many tokens back that were taken and not used. It never gets more than full.
    pub(crate) fn give_back(&mut self, tokens: u64) {
        self.lacked = self.lacked.saturating_sub(billionths(tokens));
    }

    /// Whether it is full at `now`, so that a new one would be the same.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.lacks(now) == 0
    }

    /// What it lacks of its capacity at `now`, in billionths of a token. A time before the last one counts as the last
    /// one.
    fn lacks(&self, now: Instant) -> u128 {
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        self.lacked.saturating_sub(nanos.saturating_mul(u128::from(self.pace.rate)))
    }

    /// What it would lack without so many tokens, if it has them.
    fn lacks_without(&self, tokens: u64, now: Instant) -> Option<u128> {
        let lacks = self.lacks(now).saturating_add(billionths(tokens));
        (lacks <= billionths(self.pace.burst)).then_some(lacks)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bucket(rate: u64, burst: u64) -> (TokenBucket, Instant) {
        let start = Instant::now();
        (TokenBucket::full(Pace { rate, burst }, start), start)
    }

    /// It fails if the bucket is larger or smaller than its burst, or fills at another pace.
    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let (mut bucket, start) = bucket(10, 20);
        assert!(bucket.is_full(start) && !bucket.take(21, start));
        assert!(bucket.take(20, start) && !bucket.take(1, start));
        let after = |ms| start + Duration::from_millis(ms);
        assert!(!bucket.take(1, after(99)));
        assert!(bucket.take(1, after(100)) && !bucket.take(1, after(100)));
        assert!(!bucket.is_full(after(2_099)) && bucket.is_full(after(2_100)));
        // However long it waits, it holds no more than its burst.
        let later = after(3_600_000);
        assert!(!bucket.take(21, later) && bucket.take(20, later) && !bucket.take(1, later));
    }

    /// It fails if a part of a token is lost or won whenever the bucket is asked.
    #[test]
    fn a_bucket_that_is_asked_often_fills_as_fast_as_one_that_is_not() {
        for rate in [3, 7, 50, 999, 99_991] {
            let (mut bucket, start) = bucket(rate, rate);
            assert!(bucket.take(rate, start));
            let mut taken: u64 = 0;
            for us in (0..=1_000_000).step_by(7).chain([1_000_000]) {
                let now = start + Duration::from_micros(us);
                while bucket.take(1, now) {
                    taken += 1;
                }
            }
            assert_eq!(taken, rate, "in one second at {rate} a second");
        }
    }

    #[test]
    fn a_look_takes_nothing_and_what_cannot_be_taken_whole_is_not_taken_in_part() {
        let (mut bucket, start) = bucket(1, 3);
        assert!(bucket.has(3, start) && bucket.has(3, start) && !bucket.has(4, start));
        assert!(!bucket.take(4, start) && bucket.is_full(start));
        assert!(bucket.take(2, start) && bucket.has(1, start) && !bucket.has(2, start));
        assert!(bucket.take(0, start) && bucket.has(1, start));
    }

    /// It fails if a refund is lost, or if it makes the bucket larger than its burst.
    #[test]
    fn what_is_given_back_can_be_taken_again_and_nothing_beyond_the_burst() {
        let (mut bucket, start) = bucket(10, 20);
        assert!(bucket.take(20, start));
        bucket.give_back(15);
        assert!(!bucket.take(16, start) && bucket.take(15, start));
        let later = start + Duration::from_secs(2);
        assert!(bucket.is_full(later));
        bucket.give_back(15);
        assert!(!bucket.take(21, later) && bucket.take(20, later));
        bucket.give_back(u64::MAX);
        assert!(!bucket.take(21, later) && bucket.take(20, later));
    }

    #[test]
    fn without_a_rate_a_bucket_gives_its_burst_once_and_again_only_what_is_given_back() {
        let (mut bucket, start) = bucket(0, 5);
        let later = start + Duration::from_secs(1_000_000_000);
        assert!(bucket.take(5, start) && !bucket.take(1, later) && !bucket.is_full(later));
        bucket.give_back(2);
        assert!(bucket.take(2, later) && !bucket.take(1, later));
        let (mut empty, start) = self::bucket(0, 0);
        assert!(empty.take(0, start) && !empty.take(1, start));
    }

    /// It fails if a caller that read the clock early gets what came since then twice, or empties the bucket.
    #[test]
    fn a_time_before_the_last_one_counts_as_the_last_one() {
        let (mut bucket, start) = bucket(10, 20);
        let later = start + Duration::from_secs(1);
        assert!(bucket.take(20, later));
        assert!(!bucket.take(1, start) && !bucket.has(1, start));
        bucket.give_back(2);
        assert!(bucket.take(1, start), "one of the two that were given back");
        assert!(bucket.take(1, later) && !bucket.take(1, later), "nothing came between the two times again");
        assert!(bucket.take(10, later + Duration::from_secs(1)));
    }

    #[test]
    fn the_largest_and_the_smallest_pace_do_not_overflow() {
        // Longer than the units of 128 bits last at the largest rate.
        let thousands_of_years = Duration::from_secs(100_000_000_000);
        for (rate, burst) in
            [(1, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX), (1 << 24, 1 << 24), (0, u64::MAX)]
        {
            let (mut bucket, start) = bucket(rate, burst);
            let said = format!("{rate} a second, {burst} at once");
            assert!(bucket.take(burst, start) && !bucket.take(1, start), "{said}");
            assert!(!bucket.take(u64::MAX, start), "{said}");
            let later = start + thousands_of_years;
            assert_eq!(bucket.take(1, later), rate > 0, "{said}");
            bucket.give_back(u64::MAX);
            assert!(bucket.is_full(start), "{said}");
        }
    }
}
