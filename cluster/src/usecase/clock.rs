//! The clock of this node: what it may be used for, what watches it, and how an operator confirms it.
//!
//! This module owns how the [`Anchor`](super::anchor::Anchor) is fed and asked. Everything that is stamped or decided
//! takes its time from [`Parts::judged`], from one reading.

use assent_api::{Call, ClockBody, ClockConfirmed, ClockReading, ClockStanding, Problem};
use assent_proof::{Code, Millis, Refusal, Seconds};

use super::agreement::{agreement, fresh};
use super::anchor::{Anchor, ClockObservation, Unsure, judge};
use super::problem::of_refusal;
use super::{Caller, Parts, Service};
use crate::locked::lock;

/// The largest difference between the time that an operator names and the node's clock, in milliseconds. It shows
/// that the operator has read this clock.
pub(crate) const NAMED_WITHIN_MS: u64 = 60_000;

/// What the watch over the clock has found.
pub(super) struct Watched {
    /// Whether a quorum agrees.
    pub(super) quorum: bool,
    /// Why the node is not sure, if it is not.
    pub(super) unsure: Option<Unsure>,
}

impl Parts {
    /// Observes everything that the clock is judged by, now.
    fn observe_clock(&self) -> ClockObservation {
        let readings = self.hub.clock();
        let agreement = agreement(&readings, &self.voters(), self.config.node_id, self.config.clock_bound_ms);
        ClockObservation {
            moment: readings.own(),
            at: readings.read_at(),
            quorum: agreement.quorum,
            vouched: agreement.vouched,
            // A registry always has a genesis. Without one, no clock is near its time.
            registry_time: self.storage.applied.borrow().registry_time.unwrap_or(Millis(0)),
        }
    }

    fn with_anchor<T>(&self, work: impl FnOnce(&mut Anchor) -> T) -> T {
        let mut anchor = lock(&self.anchor);
        let done = work(&mut anchor);
        // While the anchor is locked, so that the newest value is the one that stays.
        self.hub.trusted().set(anchor.offset_ms(), self.config.clock_bound_ms);
        done
    }

    /// The clock's time, or why this node is not sure of it. The caller must use the reading that was judged: another
    /// reading could come after a leap. While the clock is where it is trusted to be, this takes no lock on the
    /// anchor. Otherwise it looks at the anchor, so that a node that was just started, or whose clock was just set
    /// right, need not wait for the watch.
    ///
    /// Rule R141 (RFC-EG-033 §6, timestamp-bound proof continuity): The reading of the clock that was judged
    /// is the reading that stamps or decides.
    pub(crate) fn judged(&self) -> Result<Millis, Unsure> {
        let observation = self.observe_clock();
        if observation.quorum && !self.hub.trusted().holds(observation.moment) {
            self.take_in(&observation);
        }
        self.judge(&observation)
    }

    fn judge(&self, observation: &ClockObservation) -> Result<Millis, Unsure> {
        let holds = self.hub.trusted().holds(observation.moment);
        let doubt = || self.with_anchor(|anchor| anchor.doubt(observation));
        judge(observation, holds, self.config.clock_bound_ms, doubt)
    }

    /// The clock's time, if this node may trust it.
    pub(crate) fn sure_now(&self) -> Option<Millis> {
        self.judged().ok()
    }

    /// Looks at the clock and moves the anchor. The watch calls it several times a second.
    pub(super) fn watch_clock(&self) -> Watched {
        let observation = self.observe_clock();
        self.take_in(&observation);
        Watched { quorum: observation.quorum, unsure: self.judge(&observation).err() }
    }

    /// Moves the anchor by an observation, and logs what that has changed.
    fn take_in(&self, observation: &ClockObservation) {
        let changes = self.with_anchor(|anchor| anchor.observe(observation));
        let ahead_ms = observation.ahead_ms();
        if let Some(leapt_ms) = changes.leapt_ms {
            tracing::warn!(leapt_ms, ahead_ms, "the wall clock leapt against boot time, and is not trusted");
        }
        if let Some(how) = changes.anchored {
            tracing::info!(?how, ahead_ms, "the wall clock is trusted from here on");
        }
    }

    /// The state of this node's clock. Local: no decision depends on it.
    pub(super) fn clock_body(&self) -> ClockBody {
        let observation = self.observe_clock();
        let unsure = self.judge(&observation).err();
        let confirmed = self.with_anchor(|anchor| anchor.confirmed());
        let settle_left_ms = match unsure {
            Some(Unsure::Settling { left_ms, .. }) => Some(left_ms),
            Some(
                Unsure::NoQuorum { .. }
                | Unsure::Behind { .. }
                | Unsure::SetBack { .. }
                | Unsure::TooFarAhead { .. }
                | Unsure::LeaptTooFar { .. },
            )
            | None => None,
        };
        let fresh = fresh(&self.hub.clock());
        let readings = fresh.iter().map(|clock| ClockReading {
            peer: clock.peer,
            offset_ms: clock.offset_ms,
            age_ms: u64::try_from(clock.age.as_millis()).unwrap_or(u64::MAX),
        });
        ClockBody {
            sure: unsure.is_none(),
            bound_ms: self.config.clock_bound_ms,
            readings: readings.collect(),
            standing: Some(unsure.map_or(ClockStanding::Sure, Unsure::standing)),
            detail: unsure.map(Unsure::detail),
            remedy: unsure.map(|unsure| unsure.remedy().to_owned()),
            anchored: self.hub.trusted().holds(observation.moment),
            wall: Some(observation.moment.wall),
            registry_time: Some(observation.registry_time),
            registry_time_ahead_ms: Some(observation.ahead_ms().saturating_neg()),
            settle_left_ms,
            confirmed: confirmed
                .map(|confirmed| ClockConfirmed { wall: confirmed.wall, ahead_ms: confirmed.ahead_ms }),
        }
    }
}

impl Service {
    /// Takes an operator's confirmation that this node's clock, which shows `time`, is right. It counts however far
    /// the clock is ahead of registry time, and also if the clock was set back. The other nodes follow a confirmed
    /// clock ahead, but not back. The confirmation holds until the clock leaps again or the node stops.
    ///
    /// # Errors
    /// `times_invalid` if `time` is not within a minute of the node's clock; `clock_uncertain` if no quorum agrees,
    /// or if the clock is behind registry time.
    pub fn confirm_clock(&self, caller: &Caller, time: Seconds) -> Result<ClockBody, Box<Problem>> {
        let parts = self.parts();
        let observation = parts.observe_clock();
        let wall = observation.moment.wall;
        if wall.since(time.to_millis()).unsigned_abs() > NAMED_WITHIN_MS {
            let detail = format!(
                "`{time}` is not within a minute of this node's clock, which shows `{}`",
                wall.to_seconds()
            );
            let refusal = Refusal::at(Code::TimesInvalid, "time", detail);
            let problem = *of_refusal(&refusal, Call::Manage);
            let remedy =
                "name the present time by a clock that you trust; if the node's differs, set that one right";
            return Err(Box::new(Problem { remedy: remedy.to_owned(), ..problem }));
        }
        match parts.with_anchor(|anchor| anchor.confirm(&observation)) {
            Ok(Some(confirmed)) => {
                let ahead_ms = confirmed.ahead_ms;
                tracing::warn!(%caller, %time, ahead_ms, "an operator has confirmed this node's clock");
            }
            Ok(None) => {
                tracing::info!(%caller, %time, "an operator has confirmed a clock that is trusted already")
            }
            Err(unsure) => return Err(unsure.problem(Call::Manage)),
        }
        Ok(parts.clock_body())
    }
}
