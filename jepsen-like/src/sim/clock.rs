//! A node's clocks. The wall clock is the simulated time, shifted, with jumps and drift; boot time runs as simulated
//! time does.
//!
//! Time can also pass for all nodes at once without being counted in boot time, as when every machine is switched off
//! or paused together.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use assent_cluster::env::Clock;
use assent_proof::Millis;

/// The time at which every simulation begins: 2026-01-01, in unix milliseconds.
pub const BEGIN_MS: i64 = 1_767_225_600_000;

thread_local! {
    /// Milliseconds that have passed in this thread's run in addition to the simulated time.
    static PASSED_MS: Cell<i64> = const { Cell::new(0) };
}

/// Begins a run on this thread.
pub fn begin_this_thread() {
    PASSED_MS.set(0);
}

/// Lets this much time pass at once, for nodes and callers alike. Boot time does not count it.
pub fn let_pass(ms: i64) {
    PASSED_MS.set(PASSED_MS.get().saturating_add(ms));
}

/// The right wall clock, in unix milliseconds. Nodes cannot read it.
pub fn right_ms() -> i64 {
    right_at(elapsed_ms())
}

/// The right wall clock after this many simulated milliseconds of the run, in unix milliseconds. For code outside of
/// every simulated host, which cannot read the simulated time.
pub(super) fn right_at(now_ms: i64) -> i64 {
    BEGIN_MS.saturating_add(now_ms).saturating_add(PASSED_MS.get())
}

/// One node's clock. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct SimClock {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How far it is ahead of the simulated time, in milliseconds.
    ahead_ms: AtomicI64,
    /// How far all clocks have leapt together, in milliseconds; only a leap back undoes it.
    leapt_ms: AtomicI64,
    /// How many milliseconds it gains in a million.
    drift_ppm: AtomicI64,
    /// Since when it drifts at this rate, in milliseconds of the run.
    since_ms: AtomicI64,
}

/// The simulated time since the run began, in milliseconds. Nodes cannot read it.
pub fn elapsed_ms() -> i64 {
    let elapsed = turmoil::in_simulation().then(turmoil::sim_elapsed).flatten().unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

impl SimClock {
    /// Jumps by this many milliseconds, forwards or backwards.
    pub fn jump(&self, by_ms: i64) {
        self.state.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Leaps by this many milliseconds, together with the clocks of all other nodes, until it leaps back.
    pub fn leap(&self, by_ms: i64) {
        self.state.leapt_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// From `now_ms` of the run on, gains this many milliseconds in a million. What it gained before stays.
    pub fn drift(&self, ppm: i64, now_ms: i64) {
        let gained = self.gained(now_ms);
        self.state.ahead_ms.fetch_add(gained, Ordering::Relaxed);
        self.state.drift_ppm.store(ppm, Ordering::Relaxed);
        self.state.since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Makes it as right as the clocks of all other nodes again.
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
        let leapt = self.state.leapt_ms.load(Ordering::Relaxed);
        right_at(now_ms).saturating_add(ahead).saturating_add(leapt).saturating_add(self.gained(now_ms))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        Millis(self.at(elapsed_ms()))
    }

    fn boot_ms(&self) -> u64 {
        u64::try_from(elapsed_ms()).unwrap_or(0)
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

    #[test]
    fn a_leap_of_all_clocks_stays_until_it_is_taken_back_and_time_that_passed_stays_for_ever() {
        begin_this_thread();
        let clock = SimClock::default();
        clock.leap(3_600_000);
        clock.jump(5);
        clock.set_right();
        assert_eq!(clock.at(500), BEGIN_MS + 500 + 3_600_000);
        clock.leap(-3_600_000);
        let_pass(1_000);
        assert_eq!((clock.at(500), right_at(500)), (BEGIN_MS + 1_500, BEGIN_MS + 1_500));
        begin_this_thread();
        assert_eq!(clock.at(500), BEGIN_MS + 500);
    }
}
