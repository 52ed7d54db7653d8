//! How long an allow may be relied on. This is the only place that decides it.
//!
//! A node states by its own clock when it decided and until when the decision holds. The caller's wall clock may
//! differ from the node's clock by any amount, so it cannot tell when the allow ends. Instead, the client counts the
//! length of the allow, `validUntil − evaluatedAt`, from the moment before it sent the request: the node cannot have
//! decided earlier. It counts on a clock that continues while the host sleeps. The wall clock can only make the allow
//! end earlier.

use assent_proof::Millis;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;

/// The moment before a question was sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    clock: Arc<dyn Clock>,
    /// The moment by the clock that continues while the host sleeps.
    boot: Option<Duration>,
}

impl Asked {
    /// This moment.
    pub(crate) fn now(clock: &Arc<dyn Clock>) -> Self {
        Asked { clock: Arc::clone(clock), boot: clock.boot() }
    }
}

/// An allow and the time for which it may be relied on. A caller must check it again right before it acts on the
/// allow.
#[derive(Clone, Debug)]
pub struct Allowed {
    clock: Arc<dyn Clock>,
    /// The end, by the clock that goes on while the host sleeps.
    until_boot: Duration,
    /// The end by the wall clock: the decision's `validUntil`.
    until_wall: Millis,
}

impl Allowed {
    /// An allow that was decided and runs out at these moments of the node's clock.
    ///
    /// # Errors
    /// Says why the allow cannot be relied on: it is over, or no clock can tell.
    pub(crate) fn new(asked: &Asked, evaluated_at: Millis, valid_until: Millis) -> Result<Self, String> {
        let Some(boot) = asked.boot else {
            return Err("this system has no clock that goes on while it sleeps".to_owned());
        };
        // An allow that ends before it begins lasts for no time.
        let lasts = milliseconds(valid_until.since(evaluated_at));
        let clock = Arc::clone(&asked.clock);
        let allowed = Allowed { clock, until_boot: boot.saturating_add(lasts), until_wall: valid_until };
        if allowed.is_over() {
            let (lasts, over, wall) = (lasts.as_millis(), allowed.over_for(), allowed.clock.wall());
            return Err(format!(
                "it was valid for `{lasts}` ms, until `{valid_until}` ms; that was over `{}` ms ago, and the clock here \
                 says `{wall}` ms",
                over.as_millis()
            ));
        }
        Ok(allowed)
    }

    /// How much longer the allow may be relied on; zero once it is over.
    pub fn left(&self) -> Duration {
        let Some(boot) = self.clock.boot() else { return Duration::ZERO };
        let by_wall = milliseconds(self.until_wall.since(self.clock.wall()));
        self.until_boot.saturating_sub(boot).min(by_wall)
    }

    /// Whether the allow may no longer be relied on.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// For how long the allow has been over; zero while it may be relied on.
    pub fn over_for(&self) -> Duration {
        let Some(boot) = self.clock.boot() else { return Duration::MAX };
        let by_wall = milliseconds(self.clock.wall().since(self.until_wall));
        boot.saturating_sub(self.until_boot).max(by_wall)
    }
}

/// So many milliseconds; none for a negative number.
fn milliseconds(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A clock that is told what time it is: the wall clock, and the clock that goes on while the host sleeps.
    #[derive(Debug)]
    struct Told(Mutex<(i64, Option<u64>)>);

    impl Told {
        fn at(wall_ms: i64, boot_ms: u64) -> Arc<Told> {
            Arc::new(Told(Mutex::new((wall_ms, Some(boot_ms)))))
        }

        fn set(&self, wall_ms: i64, boot_ms: Option<u64>) {
            *self.0.lock().unwrap() = (wall_ms, boot_ms);
        }
    }

    impl Clock for Told {
        fn wall(&self) -> Millis {
            Millis(self.0.lock().unwrap().0)
        }

        fn boot(&self) -> Option<Duration> {
            self.0.lock().unwrap().1.map(Duration::from_millis)
        }
    }

    const HOUR: i64 = 3_600_000;
    /// When the node decided, by its own clock.
    const DECIDED: i64 = 1_000 * HOUR;

    /// An allow of 5 s, asked for now.
    fn allow(clock: &Arc<Told>) -> Result<Allowed, String> {
        let clock: Arc<dyn Clock> = Arc::<Told>::clone(clock);
        Allowed::new(&Asked::now(&clock), Millis(DECIDED), Millis(DECIDED + 5_000))
    }

    #[test]
    fn a_slow_wall_clock_does_not_prolong_an_allow() {
        let clock = Told::at(DECIDED - HOUR, 70);
        let allowed = allow(&clock).unwrap();
        assert_eq!(allowed.left(), Duration::from_secs(5));
        clock.set(DECIDED - HOUR + 4_999, Some(5_069));
        assert_eq!(allowed.left(), Duration::from_millis(1));
        clock.set(DECIDED - HOUR + 5_000, Some(5_070));
        assert!(allowed.is_over());
        clock.set(DECIDED - HOUR + 7_000, Some(7_070));
        assert_eq!((allowed.left(), allowed.over_for()), (Duration::ZERO, Duration::from_secs(2)));
    }

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_prolong_an_allow() {
        let clock = Told::at(DECIDED, 70);
        let allowed = allow(&clock).unwrap();
        clock.set(DECIDED - 24 * HOUR, Some(5_070));
        assert!(allowed.is_over());
    }

    #[test]
    fn a_fast_wall_clock_shortens_an_allow() {
        let clock = Told::at(DECIDED + 4_000, 70);
        let allowed = allow(&clock).unwrap();
        assert_eq!(allowed.left(), Duration::from_secs(1));
        clock.set(DECIDED + 5_000, Some(1_070));
        assert!(allowed.is_over());
        assert!(allow(&clock).unwrap_err().contains("over"));
    }

    #[test]
    fn an_allow_goes_on_running_out_while_the_host_sleeps() {
        let clock = Told::at(DECIDED - HOUR, 70);
        let allowed = allow(&clock).unwrap();
        // The host sleeps for a minute. Its wall clock has not been set again yet.
        clock.set(DECIDED - HOUR, Some(60_070));
        assert!(allowed.is_over());
        assert_eq!(allowed.over_for(), Duration::from_secs(55));
    }

    #[test]
    fn without_a_clock_that_goes_on_no_allow_is_relied_on() {
        let clock = Told::at(DECIDED, 70);
        let allowed = allow(&clock).unwrap();
        clock.set(DECIDED, None);
        assert!(allowed.is_over() && allowed.over_for() == Duration::MAX);
        assert!(allow(&clock).is_err());
    }

    #[test]
    fn an_allow_that_ends_before_it_begins_lasts_for_no_time() {
        let clock: Arc<dyn Clock> = Told::at(0, 70);
        let asked = Asked::now(&clock);
        for (evaluated, until) in [(5, 5), (6, 5), (i64::MAX, i64::MIN)] {
            assert!(Allowed::new(&asked, Millis(evaluated), Millis(until)).is_err(), "{evaluated} {until}");
        }
    }
}
