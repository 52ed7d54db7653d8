//! A bucket of tokens, which fills at a steady pace. It is kept as the time at which it is full again.

use std::time::Duration;

use tokio::time::Instant;

/// How many requests a caller may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// In a second, for as long as it likes. At least 1.
    pub(crate) rate: u64,
    /// At once, after it has made none for long enough.
    pub(crate) burst: u64,
}

impl Pace {
    /// The time in which this many tokens come.
    fn time_of(self, tokens: u64) -> Duration {
        let nanos = u128::from(tokens).saturating_mul(1_000_000_000).checked_div(u128::from(self.rate));
        Duration::from_nanos(nanos.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(u64::MAX))
    }
}

/// A caller's bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes tokens if there are so many.
    pub(crate) fn take(&mut self, pace: Pace, tokens: u64, now: Instant) -> bool {
        // Nothing ever comes at such a pace. The configuration has none.
        if pace.rate == 0 {
            return false;
        }
        let full_at = self.full_at.max(now).checked_add(pace.time_of(tokens));
        let Some(full_at) = full_at else { return false };
        let fits = full_at.saturating_duration_since(now) <= pace.time_of(pace.burst);
        if fits {
            self.full_at = full_at;
        }
        fits
    }

    /// Gives tokens back that were not used.
    pub(crate) fn give_back(&mut self, pace: Pace, tokens: u64) {
        self.full_at = self.full_at.checked_sub(pace.time_of(tokens)).unwrap_or(self.full_at);
    }

    /// Whether it is full, so that a new one would be the same.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PACE: Pace = Pace { rate: 10, burst: 20 };

    fn takes(bucket: &mut Bucket, tokens: u64) -> bool {
        bucket.take(PACE, tokens, Instant::now())
    }

    /// It fails if the bucket is larger or smaller than its burst, or fills at another pace.
    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let mut bucket = Bucket::full(Instant::now());
        assert!(!takes(&mut bucket, 21));
        assert!(takes(&mut bucket, 20));
        assert!(!takes(&mut bucket, 1));
        advance(Duration::from_millis(99)).await;
        assert!(!takes(&mut bucket, 1));
        advance(Duration::from_millis(1)).await;
        assert!(takes(&mut bucket, 1) && !takes(&mut bucket, 1));
        // However long it waits, it holds no more than its burst.
        advance(Duration::from_secs(3_600)).await;
        assert!(bucket.is_full(Instant::now()));
        assert!(!takes(&mut bucket, 21) && takes(&mut bucket, 20));
    }

    /// It fails if a refund is lost, or if it makes the bucket larger than its burst.
    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_can_be_taken_again_and_nothing_beyond_the_burst() {
        let mut bucket = Bucket::full(Instant::now());
        assert!(takes(&mut bucket, 20));
        bucket.give_back(PACE, 15);
        assert!(takes(&mut bucket, 15) && !takes(&mut bucket, 1));
        advance(Duration::from_secs(2)).await;
        bucket.give_back(PACE, 15);
        assert!(!takes(&mut bucket, 21) && takes(&mut bucket, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_and_the_smallest_pace_do_not_overflow() {
        let now = Instant::now();
        for pace in [
            Pace { rate: 1, burst: u64::MAX },
            Pace { rate: u64::MAX, burst: 1 },
            Pace { rate: 1 << 24, burst: 1 << 24 },
        ] {
            let mut bucket = Bucket::full(now);
            assert!(bucket.take(pace, 1, now), "{pace:?}");
        }
        assert!(!Bucket::full(now).take(Pace { rate: 0, burst: 0 }, u64::MAX, now));
    }
}
