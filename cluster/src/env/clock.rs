//! The wall clock and boot time. This module has the only calls to them in the node. It never decides whether they
//! are right: `usecase::anchor` does.

use std::time::{Duration, UNIX_EPOCH};

use assent_proof::Millis;
use nix::time::{ClockId, clock_gettime};

/// The largest time between the readings of the two clocks of a [`Moment`], in milliseconds of boot time.
const APART_MS_MAX: u64 = 10;
/// How often the clocks are read at most until the readings are that close.
const READS_MAX: usize = 4;

/// Reads the machine's clocks.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, by this machine's wall clock. It may leap and may run backwards.
    fn now(&self) -> Millis;

    /// Milliseconds since an arbitrary moment, on a clock that cannot be set and that goes on while the host sleeps.
    /// It starts anew when the host is started again.
    fn boot_ms(&self) -> u64;
}

/// Both clocks of a machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Millis,
    /// Boot time, in milliseconds.
    pub boot_ms: u64,
}

impl Moment {
    /// Reads both clocks. If the thread was held up between the two readings, that would look like a leap, so they
    /// are read again.
    pub fn of(clock: &dyn Clock) -> Self {
        let mut before = clock.boot_ms();
        let mut read = Self { wall: clock.now(), boot_ms: clock.boot_ms() };
        for _ in 1..READS_MAX {
            if read.boot_ms.saturating_sub(before) <= APART_MS_MAX {
                break;
            }
            before = read.boot_ms;
            read = Self { wall: clock.now(), boot_ms: clock.boot_ms() };
        }
        read
    }

    /// How far the wall clock is ahead of boot time, in milliseconds. It changes only when the wall clock leaps, or
    /// runs at another rate than boot time.
    pub fn offset_ms(self) -> i64 {
        self.wall.0.saturating_sub_unsigned(self.boot_ms)
    }
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

/// The clock that goes on while the host sleeps.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "openbsd"))]
const BOOT: ClockId = ClockId::CLOCK_BOOTTIME;
/// On Apple's systems this clock goes on while the host sleeps. On other systems it may stand still. The wall clock
/// has then leapt after a sleep, and the node is unsure for a while.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
const BOOT: ClockId = ClockId::CLOCK_MONOTONIC;

impl Clock for RealClock {
    fn now(&self) -> Millis {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the environment's clock, the one place that reads it"
        )]
        let now = std::time::SystemTime::now();
        // A clock before 1970 reads as 1970. That is far from every peer's clock, so the node is not sure and denies.
        let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot_ms(&self) -> u64 {
        // If boot time cannot be read, it stands still. The wall clock then moves away from it, and the node is not
        // sure.
        let since = clock_gettime(BOOT).map(Duration::from).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_real_clock_reads_milliseconds_of_this_century() {
        let now = RealClock.now().0;
        assert!(now > 1_600_000_000_000, "{now} is before 2020");
        assert!(now < 4_102_444_800_000, "{now} is after 2100");
    }

    #[test]
    fn boot_time_goes_on_and_both_clocks_go_together() {
        let first = Moment::of(&RealClock);
        let second = Moment::of(&RealClock);
        assert!(first.boot_ms > 0 && second.boot_ms >= first.boot_ms);
        assert!(first.offset_ms().abs_diff(second.offset_ms()) < 60_000, "{first:?} {second:?}");
    }

    /// Clocks that say what they are told, the wall clock and boot time in turn.
    struct Told(Mutex<VecDeque<u64>>);

    impl Told {
        fn next(&self) -> u64 {
            self.0.lock().unwrap().pop_front().unwrap()
        }
    }

    impl Clock for Told {
        fn now(&self) -> Millis {
            Millis(i64::try_from(self.next()).unwrap())
        }

        fn boot_ms(&self) -> u64 {
            self.next()
        }
    }

    #[test]
    fn a_thread_that_is_held_up_between_the_two_clocks_reads_them_again() {
        // Boot time, the wall clock, and boot time two seconds later; then both at once.
        let told = Told(Mutex::new([100, 1_000_100, 2_100, 1_002_100, 2_101].into()));
        assert_eq!(Moment::of(&told), Moment { wall: Millis(1_002_100), boot_ms: 2_101 });
        // As often as it is tried, and no more.
        let told = Told(Mutex::new([0, 1, 100, 2, 200, 3, 300, 4, 400].into()));
        assert_eq!(Moment::of(&told), Moment { wall: Millis(4), boot_ms: 400 });
    }

    #[test]
    fn extreme_clocks_saturate_instead_of_wrapping() {
        assert_eq!(Moment { wall: Millis(i64::MIN), boot_ms: u64::MAX }.offset_ms(), i64::MIN);
        assert_eq!(Moment { wall: Millis(i64::MAX), boot_ms: 0 }.offset_ms(), i64::MAX);
    }
}
