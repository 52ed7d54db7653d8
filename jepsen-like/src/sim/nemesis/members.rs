//! Members come, go and hand over; disks are lost.

use super::super::dice::Dice;
use super::super::stage::Stage;
use super::Undo;
use super::kind::Kind;

pub(super) struct Membership {}

impl Membership {
    pub(super) fn new(_dice: Dice, _spare: Vec<u64>) -> Self {
        Self {}
    }

    pub(super) fn begin(&mut self, _kind: Kind, _stage: &mut Stage<'_>) -> Option<(Vec<u64>, Undo)> {
        None
    }

    pub(super) fn tick(&mut self, _stage: &mut Stage<'_>) {}
}
