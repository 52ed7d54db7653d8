//! Whether this node may trust its wall clock, though all clocks of a quorum may have leapt together.
//!
//! That a quorum agrees says only that its clocks show the same. A hypervisor, a time server or an operator can set all of them
//! wrong at once, and registry time never goes back. So the wall clock is also held against boot time, which nobody can set, and
//! against registry time. An [`Anchor`] is the difference between wall clock and boot time that was trusted last.
//!
//! A node uses its clock only while
//! (a) a quorum agrees with it within the bound,
//! (b) the node is anchored, and the wall clock lies within the bound of its anchor, and
//! (c) the wall clock is not behind registry time by more than the bound.
//!
//! A node begins without an anchor, and loses it when (b) fails. While (a) and (c) hold it is anchored
//! 1. at once, if the wall clock is at most [`SMALL_LEAP_MS`] ahead of registry time, or if another voter that agrees is anchored;
//! 2. once (a) has held without a break for the time to settle, if it is at most [`AHEAD_MS_MAX`] ahead of registry time;
//! 3. by an operator's word, however far ahead it is.
//!
//! Driven by readings; reads no clock itself, takes no lock, and never changes what `apply` does.

use std::time::Duration;

use tokio::time::Instant;

use assent_api::ClockStanding;
use assent_proof::Millis;

use crate::env::Moment;

/// A wall clock that is at most so far ahead of registry time is trusted at once: as much as it can leap in a restart.
pub(super) const SMALL_LEAP_MS: i64 = 10 * 60 * 1_000;
/// A wall clock that is at most so far ahead of registry time is trusted without an operator, once it has settled: 31 days.
pub(crate) const AHEAD_MS_MAX: i64 = 31 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// The anchor follows the wall clock by one millisecond in so many of boot time. That is twice the 500 ppm by which NTP slews, so that
/// slewing, and small steps over weeks, are no leap; and an hour takes it 42 days, in which an operator sees it coming.
const SLIDE_ONE_IN: u64 = 1_000;
/// A quorum that was not looked at for so long has not agreed without a break. While a host sleeps only boot time goes on.
const BREAK_MS: u64 = 5_000;

/// What there is to judge by, all of one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// This node's clocks.
    pub(super) moment: Moment,
    /// When they were read, in elapsed time.
    pub(super) at: Instant,
    /// Whether a quorum agrees within the bound.
    pub(super) quorum: bool,
    /// Whether another voter that agrees is anchored.
    pub(super) vouched: bool,
    /// The registry's time, as this node has applied it.
    pub(super) registry_time: Millis,
}

impl Look {
    /// How far the wall clock is ahead of registry time, in milliseconds; negative if it is behind.
    pub(super) fn ahead_ms(&self) -> i64 {
        self.moment.wall.since(self.registry_time)
    }

    fn is_behind(&self, bound_ms: u64) -> bool {
        self.ahead_ms() < 0 && self.ahead_ms().unsigned_abs() > bound_ms
    }
}

/// Why a node is not sure of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsure {
    /// No quorum agrees.
    NoQuorum {
        /// How close a clock has to be, in milliseconds.
        bound_ms: u64,
    },
    /// The wall clock is behind registry time by more than the bound.
    Behind {
        /// By how much, in milliseconds.
        behind_ms: u64,
    },
    /// The node was started, or its wall clock leapt against boot time, and has to settle.
    Settling {
        /// How far it is ahead of registry time, in milliseconds.
        ahead_ms: i64,
        /// How long a quorum still has to agree, in milliseconds.
        left_ms: u64,
    },
    /// The same, and the wall clock is so far ahead of registry time that an operator has to confirm it.
    TooFarAhead {
        /// How far, in milliseconds.
        ahead_ms: i64,
    },
}

impl Unsure {
    /// In one word.
    pub(crate) fn standing(self) -> ClockStanding {
        match self {
            Unsure::NoQuorum { .. } => ClockStanding::NoQuorum,
            Unsure::Behind { .. } => ClockStanding::Behind,
            Unsure::Settling { .. } => ClockStanding::Settling,
            Unsure::TooFarAhead { .. } => ClockStanding::TooFarAhead,
        }
    }

    /// Whether it is only that no quorum agrees, which a node without a quorum says otherwise.
    pub(crate) fn is_for_want_of_a_quorum(self) -> bool {
        matches!(self, Unsure::NoQuorum { .. })
    }

    /// What is wrong, one sentence.
    pub(crate) fn detail(self) -> String {
        match self {
            Unsure::NoQuorum { bound_ms } => {
                format!("this node's clock is not within {bound_ms} ms of a quorum's")
            }
            Unsure::Behind { behind_ms } => {
                format!("this node's clock is {} behind registry time", span(behind_ms))
            }
            Unsure::Settling { ahead_ms, left_ms } => format!(
                "since this node's start, or since its clock leapt against boot time, nothing vouches for its clock, which is {} ahead \
                 of registry time; a quorum has to agree for {} s more",
                span(ahead_ms.unsigned_abs()),
                left_ms.div_ceil(1_000)
            ),
            Unsure::TooFarAhead { ahead_ms } => format!(
                "this node's clock is {} ahead of registry time, and more than 31 days take an operator's word",
                span(ahead_ms.unsigned_abs())
            ),
        }
    }

    /// What to do about it.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Unsure::NoQuorum { .. } => "synchronize the nodes' clocks; ask another node",
            Unsure::Behind { .. } => {
                "set the nodes' clocks right; if they are right, the registry waits until they reach its time"
            }
            Unsure::Settling { .. } => {
                "wait until the clocks have settled; if they are wrong, set them right before that"
            }
            Unsure::TooFarAhead { .. } => {
                "set the nodes' clocks right; if they are right, confirm them with `assent clock confirm`"
            }
        }
    }

    /// What is wrong and what to do, for where there is one text for both.
    pub(crate) fn told(self) -> String {
        match self {
            // Its remedy is the code's.
            Unsure::NoQuorum { .. } => self.detail(),
            Unsure::Behind { .. } | Unsure::Settling { .. } | Unsure::TooFarAhead { .. } => {
                format!("{}: {}", self.detail(), self.remedy())
            }
        }
    }
}

/// A length of time, in the largest unit of which there are two.
fn span(ms: u64) -> String {
    let units = [(86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "s")];
    let fits = units.iter().find(|(unit, _)| ms / unit >= 2);
    fits.map_or_else(|| format!("{ms} ms"), |(unit, name)| format!("{} {name}", ms / unit))
}

/// By which rule a node was anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The wall clock is about at registry time.
    NearRegistryTime,
    /// Another voter vouches for it.
    Vouched,
    /// A quorum has agreed for long enough.
    Settled,
}

/// What a look has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// By how much the wall clock leapt against boot time, in milliseconds, if it left its anchor.
    pub(super) leapt_ms: Option<i64>,
    /// How the node was anchored, if it was.
    pub(super) anchored: Option<How>,
}

/// What an operator has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// The wall clock then.
    pub(super) wall: Millis,
    /// How far it was ahead of registry time, in milliseconds.
    pub(super) ahead_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct Trusted {
    /// Wall clock minus boot time.
    offset_ms: i64,
    /// The boot time up to which the anchor has followed the wall clock.
    slid_boot_ms: u64,
}

impl Trusted {
    /// Follows the wall clock a little.
    fn slide(&mut self, moment: Moment) {
        let passed_ms = moment.boot_ms.saturating_sub(self.slid_boot_ms);
        let steps = passed_ms / SLIDE_ONE_IN;
        self.slid_boot_ms = self.slid_boot_ms.saturating_add(steps.saturating_mul(SLIDE_ONE_IN));
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        let away_ms = moment.offset_ms().saturating_sub(self.offset_ms);
        self.offset_ms = self.offset_ms.saturating_add(away_ms.clamp(steps.saturating_neg(), steps));
    }
}

/// An agreement that may become an anchor.
#[derive(Debug, Clone, Copy)]
struct Settling {
    since: Instant,
    /// When it was looked at last, in elapsed time and in boot time.
    looked: (Instant, u64),
    offset_ms: i64,
}

/// The difference between wall clock and boot time that this node trusts, or what it takes until there is one.
#[derive(Debug)]
pub(crate) struct Anchor {
    bound_ms: u64,
    settle: Duration,
    trusted: Option<Trusted>,
    settling: Option<Settling>,
    confirmed: Option<Confirmed>,
}

impl Anchor {
    /// None yet. A clock may be off by `bound_ms`, and settles in `settle_ms`.
    pub(crate) fn new(bound_ms: u64, settle_ms: u64) -> Self {
        let settle = Duration::from_millis(settle_ms);
        Self { bound_ms, settle, trusted: None, settling: None, confirmed: None }
    }

    /// The difference that is trusted, in milliseconds.
    pub(super) fn offset_ms(&self) -> Option<i64> {
        self.trusted.map(|trusted| trusted.offset_ms)
    }

    /// What an operator has confirmed since the last leap.
    pub(super) fn confirmed(&self) -> Option<Confirmed> {
        self.confirmed
    }

    /// How long a quorum still has to agree at `at`, in milliseconds.
    pub(super) fn left_ms(&self, at: Instant) -> u64 {
        let agreed = self.settling.map_or(Duration::ZERO, |from| at.saturating_duration_since(from.since));
        u64::try_from(self.settle.saturating_sub(agreed).as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes a look in. To be called several times a second.
    pub(super) fn look(&mut self, look: &Look) -> Changes {
        let mut changes = Changes::default();
        if let Some(trusted) = &mut self.trusted {
            let offset_ms = look.moment.offset_ms();
            if offset_ms.abs_diff(trusted.offset_ms) <= self.bound_ms {
                trusted.slide(look.moment);
                return changes;
            }
            changes.leapt_ms = Some(offset_ms.saturating_sub(trusted.offset_ms));
            (self.trusted, self.settling, self.confirmed) = (None, None, None);
        }
        changes.anchored = self.settle(look);
        changes
    }

    /// Whether the clock may be anchored now, and how.
    fn settle(&mut self, look: &Look) -> Option<How> {
        if !look.quorum || look.is_behind(self.bound_ms) {
            self.settling = None;
            return None;
        }
        let offset_ms = look.moment.offset_ms();
        let looked = (look.at, look.moment.boot_ms);
        let unbroken = self.settling.filter(|from| {
            let in_boot_ms = looked.1.saturating_sub(from.looked.1);
            let elapsed = look.at.saturating_duration_since(from.looked.0);
            offset_ms.abs_diff(from.offset_ms) <= self.bound_ms
                && in_boot_ms <= BREAK_MS
                && elapsed <= Duration::from_millis(BREAK_MS)
        });
        let settling = match unbroken {
            Some(from) => Settling { looked, ..from },
            None => Settling { since: look.at, looked, offset_ms },
        };
        self.settling = Some(settling);
        let ahead_ms = look.ahead_ms();
        let how = if ahead_ms <= SMALL_LEAP_MS {
            How::NearRegistryTime
        } else if look.vouched {
            How::Vouched
        } else if ahead_ms <= AHEAD_MS_MAX && self.left_ms(look.at) == 0 {
            How::Settled
        } else {
            return None;
        };
        self.trust(look);
        Some(how)
    }

    fn trust(&mut self, look: &Look) {
        let Moment { boot_ms, .. } = look.moment;
        self.trusted = Some(Trusted { offset_ms: look.moment.offset_ms(), slid_boot_ms: boot_ms });
        self.settling = None;
    }

    /// Takes an operator's word for the clock as it is now: what it was taken for, or nothing if the node is anchored here already.
    ///
    /// # Errors
    /// If no quorum agrees, or the clock is behind registry time: a word changes neither.
    pub(super) fn confirm(&mut self, look: &Look) -> Result<Option<Confirmed>, Unsure> {
        let holds = self
            .trusted
            .is_some_and(|trusted| look.moment.offset_ms().abs_diff(trusted.offset_ms) <= self.bound_ms);
        match judge(look, holds, self.bound_ms, || 0) {
            Ok(_) => Ok(None),
            Err(Unsure::Settling { .. } | Unsure::TooFarAhead { .. }) => {
                let confirmed = Confirmed { wall: look.moment.wall, ahead_ms: look.ahead_ms() };
                self.trust(look);
                self.confirmed = Some(confirmed);
                Ok(Some(confirmed))
            }
            Err(unsure @ (Unsure::NoQuorum { .. } | Unsure::Behind { .. })) => Err(unsure),
        }
    }
}

/// The wall clock of a look, if it may be used: the reading that was judged is the one to use, since another could fall behind a
/// leap. `holds` is whether it lies within the bound of the node's anchor; `left_ms` is how long it still has to settle if not.
pub(super) fn judge(
    look: &Look,
    holds: bool,
    bound_ms: u64,
    left_ms: impl FnOnce() -> u64,
) -> Result<Millis, Unsure> {
    let ahead_ms = look.ahead_ms();
    if !look.quorum {
        Err(Unsure::NoQuorum { bound_ms })
    } else if look.is_behind(bound_ms) {
        Err(Unsure::Behind { behind_ms: ahead_ms.unsigned_abs() })
    } else if holds {
        Ok(look.moment.wall)
    } else if ahead_ms > AHEAD_MS_MAX {
        Err(Unsure::TooFarAhead { ahead_ms })
    } else {
        Err(Unsure::Settling { ahead_ms, left_ms: left_ms() })
    }
}

#[cfg(test)]
mod tests;
