//! How far this node's wall clock is trusted to be ahead of its boot time.
//!
//! `usecase::anchor` judges the clock and sets this value. It is compared with both clocks wherever they are read:
//! before a decision or a stamp, and before each pong, which tells a peer what time this node trusts. Reading it
//! takes no lock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::env::Moment;

/// The value for a clock that is not trusted.
const NONE: i64 = i64::MIN;

/// The trusted difference between wall clock and boot time. At first there is none.
#[derive(Debug)]
pub struct TrustedOffset {
    offset_ms: AtomicI64,
    bound_ms: AtomicU64,
}

impl Default for TrustedOffset {
    fn default() -> Self {
        Self { offset_ms: AtomicI64::new(NONE), bound_ms: AtomicU64::new(0) }
    }
}

impl TrustedOffset {
    /// Trusts a difference with a bound to either side, both in milliseconds, or trusts none any more. A node's bound
    /// never changes.
    pub fn set(&self, offset_ms: Option<i64>, bound_ms: u64) {
        self.bound_ms.store(bound_ms, Ordering::Relaxed);
        // The smallest number means none. No clock has that difference.
        self.offset_ms.store(offset_ms.unwrap_or(NONE), Ordering::Relaxed);
    }

    /// Whether the wall clock is where it is trusted to be.
    pub fn holds(&self, moment: Moment) -> bool {
        self.ahead_ms(moment).is_some()
    }

    /// How far the wall clock is ahead of the trusted time, in milliseconds, if it is within the bound of that time.
    pub fn ahead_ms(&self, moment: Moment) -> Option<i64> {
        let trusted = self.offset_ms.load(Ordering::Relaxed);
        let bound_ms = self.bound_ms.load(Ordering::Relaxed);
        let ahead_ms = moment.offset_ms().saturating_sub(trusted);
        (trusted != NONE && ahead_ms.unsigned_abs() <= bound_ms).then_some(ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use assent_proof::Millis;

    use super::*;

    #[test]
    fn a_clock_is_trusted_within_the_bound_of_what_was_trusted_and_not_before_anything_was() {
        let at = |wall: i64| Moment { wall: Millis(wall), boot_ms: 100 };
        let trusted = TrustedOffset::default();
        assert!(!trusted.holds(at(0)));
        assert!(!trusted.holds(Moment { wall: Millis(i64::MIN), boot_ms: 0 }));
        trusted.set(Some(900), 500);
        assert!(trusted.holds(at(1_000)) && trusted.holds(at(500)) && trusted.holds(at(1_500)));
        assert!(!trusted.holds(at(499)) && !trusted.holds(at(1_501)));
        assert_eq!([499, 500, 1_500].map(|wall| trusted.ahead_ms(at(wall))), [None, Some(-500), Some(500)]);
        trusted.set(None, 500);
        assert!(!trusted.holds(at(1_000)));
    }
}
