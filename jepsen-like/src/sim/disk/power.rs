//! Which unsynced writes a power cut leaves.

use super::sectors::SECTOR_BYTES;
use crate::sim::dice::Dice;

/// What happens to writes that no sync has made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// All of them survive.
    Keep,
    /// None of them survives.
    Drop,
    /// Each sector, each length and each new file's name survives or not, by chance.
    Mixed,
    /// The same as `Mixed`, and a sector may also be partly new and partly old.
    Torn,
}

impl Unsynced {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Keep, Self::Drop, Self::Mixed, Self::Torn];

    /// Decides for one file.
    pub(super) fn sector_loss(self, dice: &mut Dice) -> SectorLoss {
        match self {
            Self::Keep => SectorLoss { weight: EIGHTHS, tears: false },
            Self::Drop => SectorLoss { weight: 0, tears: false },
            Self::Mixed => SectorLoss::mixed(dice),
            Self::Torn => SectorLoss { tears: true, ..SectorLoss::mixed(dice) },
        }
    }
}

const EIGHTHS: u64 = 8;

/// Decides sector by sector.
#[derive(Debug)]
pub(super) struct SectorLoss {
    /// How many of eight survive. It is drawn for each file, since a fair coin would hardly ever lose just one of
    /// many.
    weight: u64,
    tears: bool,
}

/// What happens to one sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectorOutcome {
    Kept,
    Dropped,
    /// The first part, up to byte `at`, is one version, and the rest is the other.
    Torn {
        at: usize,
        new_first: bool,
    },
}

impl SectorLoss {
    /// Lets some sectors through: none, all, or any number between.
    pub(super) fn mixed(dice: &mut Dice) -> Self {
        Self { weight: dice.below(EIGHTHS + 1), tears: false }
    }

    pub(super) fn keeps(&mut self, dice: &mut Dice) -> bool {
        dice.chance(self.weight, EIGHTHS)
    }

    pub(super) fn outcome(&mut self, dice: &mut Dice) -> SectorOutcome {
        if self.tears && dice.chance(1, 3) {
            let at = dice.between(1, SECTOR_BYTES as u64 - 1);
            return SectorOutcome::Torn {
                at: usize::try_from(at).unwrap_or(1),
                new_first: dice.chance(1, 2),
            };
        }
        if self.keeps(dice) { SectorOutcome::Kept } else { SectorOutcome::Dropped }
    }
}
