//! The wall clock. Owns the only call to it in the node; never decides whether it is right (see `peer::clock`).

use std::time::UNIX_EPOCH;

use assent_proof::Millis;

/// Reads the wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, as this machine believes. May jump and may run backwards.
    fn now(&self) -> Millis;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Millis {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the environment's clock, the one place that reads it"
        )]
        let now = std::time::SystemTime::now();
        // A clock before 1970 reads as 1970: far from every peer's, so that the node is unsure and stays silent.
        let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_clock_reads_milliseconds_of_this_century() {
        let now = RealClock.now().0;
        assert!(now > 1_600_000_000_000, "{now} is before 2020");
        assert!(now < 4_102_444_800_000, "{now} is after 2100");
    }
}
