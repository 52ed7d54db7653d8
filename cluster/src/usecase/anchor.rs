//! Whether this node may trust its wall clock, although all clocks of a quorum may have leapt together.
//!
//! If the clocks of a quorum agree, that proves only that they show the same time. A hypervisor, a time server or an
//! operator can set all of them wrong at once, and registry time never goes back. So the node compares its wall clock
//! also with boot time, which cannot be set, and with registry time. An [`Anchor`] is the difference between wall
//! clock and boot time that the node trusted last.
//!
//! A node uses its clock only while
//! (a) a quorum agrees with it within the bound,
//! (b) the node is anchored, and the wall clock lies within the bound of its anchor, and
//! (c) the wall clock is not behind registry time by more than the bound.
//!
//! A node starts without an anchor. If (b) fails, the clock has leapt. The node trusts it again as soon as it is back
//! at its anchor, or once there is a new anchor. While (a) and (c) hold, and the wall clock is behind the latest time
//! that this process trusted by at most the bound, a new anchor is set
//! 1. at once, if this process was never anchored and the wall clock is at most [`SMALL_LEAP_MS`] ahead of registry
//!    time;
//! 2. at once, at the time that another voter trusts, if that voter's clock and that time lie within the bound of this
//!    wall clock;
//! 3. once, for the whole time to settle, (a) has held and the wall clock has kept to boot time without a break, if the
//!    wall clock is at most [`AHEAD_MS_MAX`] ahead of registry time, and has leapt by at most as much in all since this
//!    process was anchored first;
//! 4. by an operator's confirmation, however far ahead the clock is, and also if it was set back. Leaps are counted
//!    from there on.
//!
//! So the node does not trust clocks that leap again and again, or run too fast, before they have kept to boot time
//! for a while. It follows their leaps for 31 days in all. Rule 2 takes over what another voter trusts and adds
//! nothing to it, so two voters whose clocks run away together cannot vouch for each other step by step.
//!
//! The caller passes readings in. This module reads no clock itself, takes no lock, and never changes what `apply`
//! does.

use std::time::Duration;

use tokio::time::Instant;

use assent_proof::Millis;

pub(crate) use self::unsure::Unsure;
use crate::env::Moment;

mod unsure;

/// A wall clock that is at most this far ahead of registry time is trusted at once. A restart can make it leap this
/// far.
pub(super) const SMALL_LEAP_MS: i64 = 10 * 60 * 1_000;
/// A wall clock that is at most this far ahead of registry time (31 days) is trusted without an operator, once it has
/// settled. The sum of its leaps, since this process or an operator trusted it first, may not exceed this either.
pub(crate) const AHEAD_MS_MAX: i64 = 31 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// The anchor follows the wall clock by one millisecond in this many of boot time. That is twice the 500 ppm by which
/// NTP slews, so slewing, and small steps over weeks, do not count as a leap. A leap of one hour takes 42 days this
/// way, in which an operator can see it.
const SLIDE_ONE_IN: u64 = 1_000;
/// If a quorum was not checked for this long, its agreement does not count as unbroken. While a host sleeps, only
/// boot time goes on.
const BREAK_MS: u64 = 5_000;

/// What the clock is judged by, all at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockObservation {
    /// This node's clocks.
    pub(super) moment: Moment,
    /// When they were read, in elapsed time.
    pub(super) at: Instant,
    /// Whether a quorum agrees within the bound.
    pub(super) quorum: bool,
    /// How far the time that another voter trusts is ahead of this wall clock, in milliseconds. It is present only if
    /// an agreeing voter trusts such a time within the bound.
    pub(super) vouched: Option<i64>,
    /// The registry's time, as this node has applied it.
    pub(super) registry_time: Millis,
}

impl ClockObservation {
    /// How far the wall clock is ahead of registry time, in milliseconds; negative if it is behind.
    pub(super) fn ahead_ms(&self) -> i64 {
        self.moment.wall.since(self.registry_time)
    }

    fn is_behind(&self, bound_ms: u64) -> bool {
        self.ahead_ms() < 0 && self.ahead_ms().unsigned_abs() > bound_ms
    }
}

/// Why the wall clock came to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrustReason {
    /// It is where it was trusted to be before it leapt.
    Returned,
    /// It is near registry time.
    NearRegistryTime,
    /// Another voter vouches for it.
    Vouched,
    /// A quorum has agreed for long enough.
    Settled,
}

/// What an observation has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// By how much the wall clock leapt against boot time, in milliseconds, if it left its anchor.
    pub(super) leapt_ms: Option<i64>,
    /// Why the wall clock came to be trusted, if it did.
    pub(super) anchored: Option<TrustReason>,
}

/// What an operator has confirmed: the wall clock, and how far it was ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// The wall clock when the operator confirmed it.
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
    /// The time that is trusted at this boot time.
    fn at(self, boot_ms: u64) -> Millis {
        Millis(self.offset_ms.saturating_add_unsigned(boot_ms))
    }

    /// Follows the wall clock a little.
    ///
    /// Rule R140 (RFC-EG-033 §6, timestamp-bound proof continuity): The anchor follows the wall clock by at
    /// most one millisecond in each second of boot time.
    fn slide(&mut self, moment: Moment) {
        let passed_ms = moment.boot_ms.saturating_sub(self.slid_boot_ms);
        let steps = passed_ms / SLIDE_ONE_IN;
        self.slid_boot_ms = self.slid_boot_ms.saturating_add(steps.saturating_mul(SLIDE_ONE_IN));
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        let away_ms = moment.offset_ms().saturating_sub(self.offset_ms);
        self.offset_ms = self.offset_ms.saturating_add(away_ms.clamp(steps.saturating_neg(), steps));
    }
}

/// An agreement that may become an anchor, once it has lasted long enough.
#[derive(Debug, Clone, Copy)]
struct Settling {
    since: Instant,
    /// When it was observed last, in elapsed time and in boot time.
    looked: (Instant, u64),
    offset_ms: i64,
}

/// The difference between wall clock and boot time that this node trusts, or what it takes until there is one.
#[derive(Debug)]
pub(crate) struct Anchor {
    bound_ms: u64,
    settle: Duration,
    /// None if this process was never anchored.
    trusted: Option<Trusted>,
    /// Whether the wall clock has left its anchor.
    away: bool,
    /// The point from which leaps are counted: where this process was anchored first, or where an operator last
    /// confirmed the clock. It follows the wall clock as an anchor does.
    reference: Option<Trusted>,
    /// The latest time that was trusted.
    latest: Option<Millis>,
    settling: Option<Settling>,
    confirmed: Option<Confirmed>,
}

impl Anchor {
    /// No anchor yet. A clock may differ by `bound_ms`, and settles in `settle_ms`.
    pub(crate) fn new(bound_ms: u64, settle_ms: u64) -> Self {
        Self {
            bound_ms,
            settle: Duration::from_millis(settle_ms),
            trusted: None,
            away: false,
            reference: None,
            latest: None,
            settling: None,
            confirmed: None,
        }
    }

    /// The trusted difference, in milliseconds. The wall clock may have left it.
    pub(super) fn offset_ms(&self) -> Option<i64> {
        self.trusted.map(|trusted| trusted.offset_ms)
    }

    /// What an operator has confirmed since the last leap.
    pub(super) fn confirmed(&self) -> Option<Confirmed> {
        self.confirmed
    }

    /// How much longer a quorum must agree at `at`, in milliseconds.
    fn left_ms(&self, at: Instant) -> u64 {
        let agreed = self.settling.map_or(Duration::ZERO, |from| at.saturating_duration_since(from.since));
        u64::try_from(self.settle.saturating_sub(agreed).as_millis()).unwrap_or(u64::MAX)
    }

    /// By how much the wall clock is behind the latest time that was trusted, in milliseconds, if that is more than the
    /// bound.
    ///
    /// Rule R135 (RFC-EG-033 §6, timestamp-bound proof continuity): A wall clock that is more than the bound
    /// behind the latest time that the process trusted is not trusted until it has caught up or an operator
    /// has confirmed it.
    fn set_back_ms(&self, moment: Moment) -> Option<u64> {
        let behind_ms = u64::try_from(self.latest?.since(moment.wall)).unwrap_or(0);
        (behind_ms > self.bound_ms).then_some(behind_ms)
    }

    /// By how much the wall clock has leapt ahead since the point from which leaps are counted, in milliseconds.
    fn leapt_ms(&self, moment: Moment) -> i64 {
        let reference = self.reference.map(|reference| reference.offset_ms);
        reference.map_or(0, |offset_ms| moment.offset_ms().saturating_sub(offset_ms))
    }

    /// Why the wall clock is not trusted while it is not within the bound of its anchor, although a quorum agrees and
    /// the clock is not behind registry time.
    ///
    /// Rule R138 (RFC-EG-033 §6, timestamp-bound proof continuity): A wall clock that has leapt is trusted
    /// again after a whole minute in which, without a break, a quorum agrees and the clock keeps to boot
    /// time, unless it is more than 31 days ahead of registry time or has leapt by more than that in all
    /// since the first anchor or an operator's last confirmation.
    pub(super) fn doubt(&self, observation: &ClockObservation) -> Unsure {
        let (ahead_ms, leapt_ms) = (observation.ahead_ms(), self.leapt_ms(observation.moment));
        if let Some(behind_ms) = self.set_back_ms(observation.moment) {
            Unsure::SetBack { behind_ms }
        } else if ahead_ms > AHEAD_MS_MAX {
            Unsure::TooFarAhead { ahead_ms }
        } else if leapt_ms > AHEAD_MS_MAX {
            Unsure::LeaptTooFar { leapt_ms }
        } else {
            Unsure::Settling { ahead_ms, left_ms: self.left_ms(observation.at) }
        }
    }

    /// Takes an observation in. The watch calls it several times a second.
    pub(super) fn observe(&mut self, observation: &ClockObservation) -> Changes {
        let mut changes = Changes::default();
        if let Some(trusted) = self.trusted {
            let away_ms = observation.moment.offset_ms().saturating_sub(trusted.offset_ms);
            if away_ms.unsigned_abs() <= self.bound_ms {
                changes.anchored = self.away.then_some(TrustReason::Returned);
                self.hold(trusted, observation.moment);
                return changes;
            }
            if !self.away {
                changes.leapt_ms = Some(away_ms);
                (self.away, self.settling, self.confirmed) = (true, None, None);
            }
        }
        changes.anchored = self.settle(observation);
        changes
    }

    /// Handles a wall clock that is within the bound of its anchor.
    fn hold(&mut self, mut trusted: Trusted, moment: Moment) {
        trusted.slide(moment);
        if let Some(reference) = &mut self.reference {
            reference.slide(moment);
        }
        self.latest = self.latest.max(Some(trusted.at(moment.boot_ms)));
        (self.trusted, self.away, self.settling) = (Some(trusted), false, None);
    }

    /// Whether the clock may be anchored now, and how.
    ///
    /// Rule R136 (RFC-EG-033 §6, timestamp-bound proof continuity): A process that was never anchored is
    /// anchored as soon as a quorum agrees, if its wall clock is at most 10 minutes ahead of registry time.
    ///
    /// Rule R137 (RFC-EG-033 §6, timestamp-bound proof continuity): A node is anchored at the time that
    /// another voter trusts, if that time and that voter's clock both lie within the bound of its own wall
    /// clock.
    ///
    /// Rule R138 (RFC-EG-033 §6, timestamp-bound proof continuity): A wall clock that has leapt is trusted
    /// again after a whole minute in which, without a break, a quorum agrees and the clock keeps to boot
    /// time, unless it is more than 31 days ahead of registry time or has leapt by more than that in all
    /// since the first anchor or an operator's last confirmation.
    fn settle(&mut self, observation: &ClockObservation) -> Option<TrustReason> {
        if !observation.quorum
            || observation.is_behind(self.bound_ms)
            || self.set_back_ms(observation.moment).is_some()
        {
            self.settling = None;
            return None;
        }
        let offset_ms = observation.moment.offset_ms();
        let looked = (observation.at, observation.moment.boot_ms);
        let unbroken = self.settling.filter(|from| {
            let in_boot_ms = looked.1.saturating_sub(from.looked.1);
            let elapsed = observation.at.saturating_duration_since(from.looked.0);
            // Compared with where the agreement began, so that a clock that runs away never settles.
            offset_ms.abs_diff(from.offset_ms) <= self.bound_ms
                && in_boot_ms <= BREAK_MS
                && elapsed <= Duration::from_millis(BREAK_MS)
        });
        let settling = match unbroken {
            Some(from) => Settling { looked, ..from },
            None => Settling { since: observation.at, looked, offset_ms },
        };
        self.settling = Some(settling);
        let never_anchored = self.trusted.is_none();
        let (how, offset_ms) = if never_anchored && observation.ahead_ms() <= SMALL_LEAP_MS {
            (TrustReason::NearRegistryTime, offset_ms)
        } else if let Some(theirs_ms) = observation.vouched {
            // The anchor is the time that the other voter trusts, not the time that this clock shows. Otherwise two
            // clocks that run away could anchor each other in turns.
            (TrustReason::Vouched, offset_ms.saturating_add(theirs_ms))
        } else if matches!(self.doubt(observation), Unsure::Settling { left_ms: 0, .. }) {
            (TrustReason::Settled, offset_ms)
        } else {
            return None;
        };
        self.trust(observation.moment, offset_ms);
        Some(how)
    }

    fn trust(&mut self, moment: Moment, offset_ms: i64) {
        let trusted = Trusted { offset_ms, slid_boot_ms: moment.boot_ms };
        self.trusted = Some(trusted);
        self.reference = self.reference.or(Some(trusted));
        self.latest = self.latest.max(Some(trusted.at(moment.boot_ms)));
        (self.away, self.settling) = (false, None);
    }

    /// Takes an operator's confirmation of the clock as it is now. Returns what was confirmed, or none if the node is
    /// anchored here already. In both cases leaps are counted from here on.
    ///
    /// Rule R139 (RFC-EG-033 §6, timestamp-bound proof continuity): An operator's confirmation makes the wall
    /// clock trusted even if it is far ahead or was set back, but never without a quorum that agrees and
    /// never behind registry time.
    ///
    /// # Errors
    /// If no quorum agrees, or the clock is behind registry time. A confirmation changes neither.
    pub(super) fn confirm(&mut self, observation: &ClockObservation) -> Result<Option<Confirmed>, Unsure> {
        let offset_ms = observation.moment.offset_ms();
        let holds =
            self.trusted.is_some_and(|trusted| offset_ms.abs_diff(trusted.offset_ms) <= self.bound_ms);
        let judged = judge(observation, holds, self.bound_ms, || self.doubt(observation));
        match judged {
            Ok(_) => {
                self.reference = self.trusted;
                Ok(None)
            }
            Err(
                Unsure::SetBack { .. }
                | Unsure::Settling { .. }
                | Unsure::TooFarAhead { .. }
                | Unsure::LeaptTooFar { .. },
            ) => {
                let confirmed = Confirmed { wall: observation.moment.wall, ahead_ms: observation.ahead_ms() };
                (self.reference, self.latest) = (None, None);
                self.trust(observation.moment, offset_ms);
                self.confirmed = Some(confirmed);
                Ok(Some(confirmed))
            }
            Err(unsure @ (Unsure::NoQuorum { .. } | Unsure::Behind { .. })) => Err(unsure),
        }
    }
}

/// The wall clock of an observation, if it may be used. The caller must use the reading that was judged, since
/// another reading could come after a leap. `holds` is whether it lies within the bound of the node's anchor. `doubt`
/// tells why it may not be used if it does not.
///
/// Rule R134 (RFC-EG-033 §6, timestamp-bound proof continuity): A node is not sure of a wall clock that is
/// behind registry time by more than the bound or further from its anchor than the bound.
pub(super) fn judge(
    observation: &ClockObservation,
    holds: bool,
    bound_ms: u64,
    doubt: impl FnOnce() -> Unsure,
) -> Result<Millis, Unsure> {
    if !observation.quorum {
        Err(Unsure::NoQuorum { bound_ms })
    } else if observation.is_behind(bound_ms) {
        Err(Unsure::Behind { behind_ms: observation.ahead_ms().unsigned_abs() })
    } else if holds {
        Ok(observation.moment.wall)
    } else {
        Err(doubt())
    }
}

#[cfg(test)]
mod tests;
