//! A node's wall clock: the simulated time, moved, jumping and drifting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use assent_cluster::env::Clock;
use assent_proof::Millis;

/// When every simulation begins: 2026-01-01, in unix milliseconds.
pub const BEGIN_MS: i64 = 1_767_225_600_000;

/// One node's clock. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct SimClock {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How far it is ahead of the simulated time, in milliseconds.
    ahead_ms: AtomicI64,
    /// How much it gains in a million milliseconds.
    drift_ppm: AtomicI64,
    /// Since when it drifts so, in milliseconds of the run.
    since_ms: AtomicI64,
}

/// The simulated time since the run began, in milliseconds. Nodes cannot read it.
pub fn elapsed_ms() -> i64 {
    let elapsed = turmoil::in_simulation().then(turmoil::sim_elapsed).flatten().unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

impl SimClock {
    /// Jumps by so many milliseconds, forwards or backwards.
    pub fn jump(&self, by_ms: i64) {
        self.state.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// From `now_ms` of the run on it gains so many milliseconds in a million; what it gained so far stays.
    pub fn drift(&self, ppm: i64, now_ms: i64) {
        let gained = self.gained(now_ms);
        self.state.ahead_ms.fetch_add(gained, Ordering::Relaxed);
        self.state.drift_ppm.store(ppm, Ordering::Relaxed);
        self.state.since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Is right again, and stays so.
    pub fn set_right(&self) {
        self.state.ahead_ms.store(0, Ordering::Relaxed);
        self.state.drift_ppm.store(0, Ordering::Relaxed);
    }

    fn gained(&self, now_ms: i64) -> i64 {
        let since = now_ms.saturating_sub(self.state.since_ms.load(Ordering::Relaxed));
        since.saturating_mul(self.state.drift_ppm.load(Ordering::Relaxed)) / 1_000_000
    }

    fn at(&self, now_ms: i64) -> i64 {
        let ahead = self.state.ahead_ms.load(Ordering::Relaxed);
        BEGIN_MS.saturating_add(now_ms).saturating_add(ahead).saturating_add(self.gained(now_ms))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        Millis(self.at(elapsed_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_jumps_drifts_and_keeps_what_it_gained() {
        let clock = SimClock::default();
        assert_eq!(clock.at(500), BEGIN_MS + 500);
        clock.jump(-2_000);
        assert_eq!(clock.at(500), BEGIN_MS - 1_500);
        clock.drift(100_000, 1_000);
        assert_eq!(clock.at(2_000), BEGIN_MS + 2_000 - 2_000 + 100);
        clock.drift(0, 2_000);
        assert_eq!(clock.at(9_000), BEGIN_MS + 9_000 - 2_000 + 100);
        clock.set_right();
        assert_eq!(clock.at(9_000), BEGIN_MS + 9_000);
    }
}
