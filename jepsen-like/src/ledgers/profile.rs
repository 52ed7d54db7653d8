//! The profiles of random ledgers: which statements a ledger consists of.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::sim::dice::Dice;

/// Which statements a ledger consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Every kind except a new root, in two domains, 50 to 80 steps.
    Wide,
    /// The statements of one or two attesters in one lineage, and what restricts or releases them.
    Words,
    /// One governance key and one orchestration key, authorizations with uses, validations and permits.
    Slots,
    /// Governance and root keys that are revoked, and governance that is replaced.
    Governance,
    /// Quarantines, isolations and invalidations by several keys, and their releases.
    Holds,
    /// Trusts in other registries, their checkpoints, what becomes of both, and recoveries.
    Peers,
}

impl Profile {
    /// Every one.
    pub const ALL: &'static [Profile] =
        &[Profile::Wide, Profile::Words, Profile::Slots, Profile::Governance, Profile::Holds, Profile::Peers];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Wide => "wide",
            Profile::Words => "words",
            Profile::Slots => "slots",
            Profile::Governance => "governance",
            Profile::Holds => "holds",
            Profile::Peers => "peers",
        }
    }

    /// The profile of a seed. Small ledgers find more in the same time, so one ledger in 29 is wide.
    pub fn of(seed: u64) -> Self {
        match Dice::new(seed).fork("profile").below(29) {
            0 => Profile::Wide,
            1..=10 => Profile::Words,
            11..=16 => Profile::Slots,
            17..=20 => Profile::Governance,
            21..=24 => Profile::Holds,
            _ => Profile::Peers,
        }
    }

    /// The fewest and the most steps of a ledger.
    pub(super) fn steps(self) -> (u64, u64) {
        match self {
            Profile::Wide => (50, 80),
            Profile::Words | Profile::Slots => (10, 22),
            Profile::Governance | Profile::Holds => (12, 25),
            Profile::Peers => (16, 30),
        }
    }

    /// The times that may pass before a step, in milliseconds.
    pub(super) fn pauses(self) -> &'static [i64] {
        match self {
            Profile::Wide => &[0, 0, 137, 1000, 2900, 9000],
            Profile::Words | Profile::Slots | Profile::Governance | Profile::Holds => {
                &[0, 137, 1000, 1000, 1500]
            }
            // Often whole seconds, since trusts end at whole seconds, and long enough that some trusts end.
            Profile::Peers => &[0, 500, 1000, 1000, 3000],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_drawn_and_goes_by_its_name() {
        for profile in Profile::ALL {
            assert!((0..1000).any(|seed| Profile::of(seed) == *profile), "{profile:?}");
            assert_eq!(Profile::from_str(profile.name(), false), Ok(*profile));
        }
    }
}
