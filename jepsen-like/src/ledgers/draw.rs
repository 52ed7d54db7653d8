//! What the random ledgers and the simulation's callers draw in the same way: claims that are good or bad, a slot that
//! is the next one or an older one, a time around an acceptance, one of several things to release, and the half of a
//! conflict that stands.
//!
//! It owns no state, and it never computes whether what it draws will be accepted.

use assent_proof::{AttestationStatus, Claims, EvidenceId, Millis, PolicyVerdict, Seconds};

use crate::sim::dice::Dice;

/// The values that issuers state, and how often they are bad.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    /// The measurement that policies approve.
    pub(crate) measurement: &'static str,
    /// The digest that policies approve.
    pub(crate) digest: &'static str,
    /// One value in this many is one that policies do not approve.
    pub(crate) bad_one_in: u64,
}

/// An id that no statement has.
pub(crate) const NOTHING: EvidenceId = EvidenceId([9; 32]);

/// A measurement that no policy approves.
pub(crate) const OTHER: &str = "sha256:other";

impl Pool {
    fn bad(&self, dice: &mut Dice) -> bool {
        dice.chance(1, self.bad_one_in)
    }

    fn measured(&self, dice: &mut Dice) -> String {
        if self.bad(dice) { OTHER.to_owned() } else { self.measurement.to_owned() }
    }

    /// An attestation.
    pub(crate) fn attestation(&self, dice: &mut Dice) -> Claims {
        let status = match dice.below(self.bad_one_in) {
            0 => AttestationStatus::Contraindicated,
            1 => AttestationStatus::Warning,
            _ => AttestationStatus::Affirming,
        };
        Claims::RuntimeAttestation {
            verifier: "simulated".to_owned(),
            status,
            measurement: self.measured(dice),
        }
    }

    /// A runtime's own measurement.
    pub(crate) fn integrity(&self, dice: &mut Dice) -> Claims {
        Claims::RuntimeIntegrity { measured: self.measured(dice) }
    }

    /// A policy check.
    pub(crate) fn validation(&self, dice: &mut Dice) -> Claims {
        let verdict = if self.bad(dice) { PolicyVerdict::Fail } else { PolicyVerdict::Pass };
        Claims::PolicyValidation { policy_digest: self.digest.to_owned(), verdict }
    }
}

/// Whether some policy may treat the claims as a negative: any claims except the best possible ones.
pub(crate) fn is_negative(claims: &Claims) -> bool {
    match claims {
        Claims::RuntimeAttestation { status, measurement, .. } => {
            *status != AttestationStatus::Affirming || measurement == OTHER
        }
        Claims::RuntimeIntegrity { measured } => measured == OTHER,
        Claims::PolicyValidation { verdict, .. } => *verdict == PolicyVerdict::Fail,
        _ => false,
    }
}

/// A slot of a chain of which `taken` slots are taken: the next one or, one time in `older_one_in`, any taken one.
pub(crate) fn sequence(dice: &mut Dice, taken: u64, older_one_in: u64) -> u64 {
    if taken > 0 && dice.chance(1, older_one_in) { dice.below(taken) } else { taken }
}

/// An `invalidSince`: the second of one of these acceptances, the second before it or the second after it, and never
/// later than now. If there is no acceptance, it is within the last ten seconds.
pub(crate) fn invalid_since(dice: &mut Dice, accepted: &[Millis], now: Seconds) -> Seconds {
    let around = match dice.pick(accepted) {
        Some(at) => at.to_seconds().saturating_add(signed(dice.below(3)).saturating_sub(1)),
        None => now.saturating_add(signed(dice.below(11)).saturating_neg()),
    };
    around.min(now)
}

/// One of several: half of the time the newest, else any of them.
pub(crate) fn one_of(dice: &mut Dice, ids: &[EvidenceId]) -> Option<EvidenceId> {
    if dice.chance(1, 2) { ids.last().copied() } else { dice.pick(ids).copied() }
}

/// A reconciliation: either half may stand, and either may be named first.
pub(crate) fn reconciliation(dice: &mut Dice, halves: [EvidenceId; 2]) -> Claims {
    let [first, second] = halves;
    let conflict = if dice.chance(1, 3) { [second, first] } else { halves };
    let canonical = if dice.chance(1, 2) { first } else { second };
    Claims::Reconciliation { conflict, canonical }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(0)
}
