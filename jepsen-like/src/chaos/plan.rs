//! Chooses the next fault: a function of the seed alone.

use std::time::Duration;

use super::fault::{Kind, Struck};
use crate::sim::dice::Dice;

/// A fault that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What is done.
    pub kind: Kind,
    /// Which part of the cluster it strikes. The nodes depend on which node leads then.
    pub struck: Struck,
    /// Which follower is struck, or which nodes are struck first.
    pub pick: u64,
    /// How long it lasts.
    pub hold: Duration,
    /// How long there is no fault after it.
    pub calm: Duration,
}

/// The faults of a seed, one after another, without end.
#[derive(Debug, Clone)]
pub struct Plan {
    dice: Dice,
    kinds: Vec<Kind>,
    majorities: bool,
}

impl Plan {
    /// The plan of a seed, with these kinds of faults.
    pub fn new(seed: u64, kinds: &[Kind], majorities: bool) -> Self {
        Self { dice: Dice::new(seed), kinds: kinds.to_vec(), majorities }
    }
}

impl Iterator for Plan {
    type Item = Planned;

    /// The next fault. It is `None` only if no kinds were given.
    fn next(&mut self) -> Option<Planned> {
        let kind = self.dice.pick(&self.kinds).copied()?;
        let struck = match self.dice.below(100) {
            0..45 => Struck::Leader,
            45..85 => Struck::Follower,
            _ if self.majorities => Struck::Majority,
            _ => Struck::Follower,
        };
        let hold_ms = match (kind, struck) {
            (Kind::Pause, _) => self.dice.between(200, 2_999),
            // Long enough for clients to ask while there is no quorum.
            (_, Struck::Majority) => self.dice.between(800, 1_599),
            (_, _) => self.dice.between(100, 899),
        };
        let calm_ms = self.dice.between(200, 599);
        let (hold, calm) = (Duration::from_millis(hold_ms), Duration::from_millis(calm_ms));
        Some(Planned { kind, struck, pick: self.dice.next_u64(), hold, calm })
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
