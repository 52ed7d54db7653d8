//! The two clocks of a client, and the only place of this crate that reads them.

use assent_proof::Millis;
use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// The clocks that a client reads. Tests replace them.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock. It may be wrong and it may jump, so it can only shorten an allow.
    fn wall(&self) -> Millis;

    /// The time since some fixed moment, on a clock that is never set and that continues while the host sleeps. `None`
    /// if the system has no such clock: then no allow can be relied on.
    fn boot(&self) -> Option<Duration>;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemClock;

/// The clock that continues while the host sleeps. `std::time::Instant` reads `CLOCK_MONOTONIC`, which on Linux stops
/// while the host sleeps.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "openbsd"))]
const BOOT: Option<ClockId> = Some(ClockId::CLOCK_BOOTTIME);
/// On Apple's systems `CLOCK_MONOTONIC` goes on while the host sleeps.
#[cfg(target_vendor = "apple")]
const BOOT: Option<ClockId> = Some(ClockId::CLOCK_MONOTONIC);
/// No clock of other systems is known to go on while the host sleeps.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd", target_vendor = "apple")))]
const BOOT: Option<ClockId> = None;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the client's clock, which tests replace")]
    fn wall(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> Option<Duration> {
        clock_gettime(BOOT?).ok().map(Duration::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_clocks_can_be_read_and_go_on() {
        let (wall, boot) = (SystemClock.wall(), SystemClock.boot().unwrap());
        std::thread::sleep(Duration::from_millis(5));
        assert!(wall.0 > 1_600_000_000_000);
        assert!(SystemClock.boot().unwrap() >= boot + Duration::from_millis(5));
    }
}
