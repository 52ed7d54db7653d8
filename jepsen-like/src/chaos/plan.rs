//! Which fault comes next: a function of the seed alone.

use std::time::Duration;

use super::fault::{Kind, Struck};

/// Numbers that look random and come from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_number().checked_rem(end).unwrap_or(0)
    }

    fn between(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.below(to_ms.saturating_sub(from_ms)))
    }
}

/// A fault that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is done.
    pub kind: Kind,
    /// To what part of the cluster. Which nodes that is depends on who leads then.
    pub struck: Struck,
    /// Which of the followers, or which ones first.
    pub pick: u64,
    /// How long it lasts.
    pub hold: Duration,
    /// How long all is well after it.
    pub calm: Duration,
}

/// The faults of a seed, one after the other, without end.
#[derive(Debug, Clone)]
pub struct Plan {
    numbers: Seeded,
    kinds: Vec<Kind>,
    majorities: bool,
}

impl Plan {
    /// The plan of a seed, with these kinds of faults.
    pub fn new(seed: u64, kinds: &[Kind], majorities: bool) -> Self {
        Self { numbers: Seeded::new(seed), kinds: kinds.to_vec(), majorities }
    }
}

impl Iterator for Plan {
    type Item = Planned;

    /// The next fault. There is none only if there are no kinds.
    fn next(&mut self) -> Option<Planned> {
        let kinds = u64::try_from(self.kinds.len()).unwrap_or(0);
        let kind = self.kinds.get(usize::try_from(self.numbers.below(kinds)).unwrap_or(0)).copied()?;
        let struck = match self.numbers.below(100) {
            0..45 => Struck::Leader,
            45..85 => Struck::Follower,
            _ if self.majorities => Struck::Majority,
            _ => Struck::Follower,
        };
        let hold = match (kind, struck) {
            (Kind::Pause, _) => self.numbers.between(200, 3_000),
            // Long enough for questions to be asked without a quorum.
            (_, Struck::Majority) => self.numbers.between(800, 1_600),
            (_, _) => self.numbers.between(100, 900),
        };
        let calm = self.numbers.between(200, 600);
        Some(Planned { kind, struck, pick: self.numbers.next_number(), hold, calm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plans_the_same_faults_and_another_seed_others() {
        let faults = |seed| Plan::new(seed, &Kind::ALL, true).take(50).collect::<Vec<_>>();
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
    }

    #[test]
    fn every_kind_strikes_every_part_in_a_hundred_faults() {
        for seed in 0..5 {
            let faults: Vec<Planned> = Plan::new(seed, &Kind::ALL, true).take(100).collect();
            for kind in Kind::ALL {
                for struck in [Struck::Leader, Struck::Follower, Struck::Majority] {
                    let there = faults.iter().any(|fault| (fault.kind, fault.struck) == (kind, struck));
                    assert!(there, "seed {seed} never has a {} of the {}", kind.name(), struck.name());
                }
            }
        }
        let only: Vec<Planned> = Plan::new(1, &[Kind::Kill], false).take(100).collect();
        assert!(only.iter().all(|fault| fault.kind == Kind::Kill && fault.struck != Struck::Majority));
    }
}
