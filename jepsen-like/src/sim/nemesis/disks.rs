//! Faults of disks.

use super::super::dice::Dice;
use super::super::stage::Stage;
use super::Undo;
use super::kind::Kind;

pub(super) fn begin(_kind: Kind, _stage: &mut Stage<'_>, _dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    None
}

pub(super) fn heal(_stage: &mut Stage<'_>, _id: u64) {}
