//! One file: what was written, and what a power cut would leave of it.
//!
//! Only the sectors in which the two differ are stored twice, so that a sync costs what was written since the last
//! one.

use std::collections::BTreeMap;

use super::power::{SectorLoss, SectorOutcome};
use crate::sim::dice::Dice;

/// How many bytes a disk writes as a whole, unless [`Unsynced::Torn`](super::Unsynced::Torn) says otherwise.
pub const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// What a power cut did to the sectors in question.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectorCounts {
    pub(super) kept: u64,
    pub(super) dropped: u64,
    pub(super) torn: u64,
    /// The length went back to the durable one.
    pub(super) length_dropped: bool,
    /// The file was never synced and is gone.
    pub(super) vanished: bool,
}

/// A file's bytes. A sector in neither map is the same on the medium and in memory, where both are taken to continue
/// with zeros.
#[derive(Clone, Default)]
pub(super) struct Sectors {
    /// What a reader sees.
    live: Vec<u8>,
    /// The length on the medium.
    durable_len: usize,
    /// Sectors written since the last sync, as they are on the medium.
    dirty: BTreeMap<usize, Box<Sector>>,
    /// Sectors on which a failed sync gave up, as they are on the medium: a later sync treats them as clean.
    lost: BTreeMap<usize, Box<Sector>>,
    /// The sectors that the newest non-empty sync made durable.
    newest: Vec<usize>,
    /// Whether the file's name is on the medium.
    named: bool,
}

impl Sectors {
    /// A file that is durable as it is.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { durable_len: bytes.len(), live: bytes, named: true, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Fills `out` from `offset` on; false if the file ends before that.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        let found = offset.checked_add(out.len()).and_then(|end| self.live.get(offset..end));
        if let Some(found) = found {
            out.copy_from_slice(found);
        }
        found.is_some()
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = offset.saturating_add(data.len());
        self.touch(offset, end);
        if end > self.live.len() {
            self.live.resize(end, 0);
        }
        overlay(&mut self.live, offset, data);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        if len < self.live.len() {
            self.touch(len, self.live.len());
        }
        self.live.resize(len, 0);
    }

    /// Makes everything durable, or claims to: returns true if it skipped sectors on which an earlier sync had given
    /// up.
    pub(super) fn sync(&mut self) -> bool {
        if !self.dirty.is_empty() {
            self.newest = std::mem::take(&mut self.dirty).into_keys().collect();
        }
        self.durable_len = self.live.len();
        self.named = true;
        !self.lost.is_empty()
    }

    /// A sync that fails. Some sectors reached the medium; the others never will unless they are written again.
    /// Returns how many these are.
    pub(super) fn sync_failing(&mut self, dice: &mut Dice) -> u64 {
        let mut sector_loss = SectorLoss::mixed(dice);
        let mut lost = 0;
        for (number, old) in std::mem::take(&mut self.dirty) {
            if !sector_loss.keeps(dice) {
                self.lost.insert(number, old);
                lost += 1;
            }
        }
        lost
    }

    /// A sync that a power cut interrupts: some sectors reached the medium, perhaps all of them.
    pub(super) fn sync_partly(&mut self, dice: &mut Dice) {
        let mut sector_loss = SectorLoss::mixed(dice);
        self.dirty.retain(|_, _| !sector_loss.keeps(dice));
        if sector_loss.keeps(dice) {
            self.durable_len = self.live.len();
            self.named = true;
        }
    }

    /// Drops the clean sectors from memory: where a failed sync left memory and medium different, readers now see the
    /// medium. Returns whether there were such sectors.
    pub(super) fn drop_cache(&mut self) -> bool {
        let lost = std::mem::take(&mut self.lost);
        for (number, old) in &lost {
            overlay(&mut self.live, number.saturating_mul(SECTOR_BYTES), old.as_slice());
        }
        !lost.is_empty()
    }

    /// Cuts the power: decides what survives, which then is the file.
    pub(super) fn cut(&mut self, mut sector_loss: SectorLoss, dice: &mut Dice) -> SectorCounts {
        let mut sector_counts = SectorCounts::default();
        if !self.named && !sector_loss.keeps(dice) {
            sector_counts.vanished = true;
            return sector_counts;
        }
        let len = if self.durable_len == self.live.len() || sector_loss.keeps(dice) {
            self.live.len()
        } else {
            sector_counts.length_dropped = true;
            self.durable_len
        };
        let mut survivors = std::mem::take(&mut self.lost);
        for (number, old) in std::mem::take(&mut self.dirty) {
            let new = self.written_over(number, &old);
            let survivor = match sector_loss.outcome(dice) {
                SectorOutcome::Kept => {
                    sector_counts.kept += 1;
                    new
                }
                SectorOutcome::Dropped => {
                    sector_counts.dropped += 1;
                    old
                }
                SectorOutcome::Torn { at, new_first } => {
                    sector_counts.torn += 1;
                    let (mut first, last) = if new_first { (new, old) } else { (old, new) };
                    overlay(first.as_mut_slice(), at, last.get(at..).unwrap_or_default());
                    first
                }
            };
            survivors.insert(number, survivor);
        }
        // The bytes behind the end may return with the old length.
        self.live.resize(self.live.len().max(len), 0);
        for (number, survivor) in survivors {
            overlay(&mut self.live, number.saturating_mul(SECTOR_BYTES), survivor.as_slice());
        }
        self.live.truncate(len);
        self.durable_len = len;
        self.named = true;
        sector_counts
    }

    /// The bytes on the medium; `None` if not even the name is there.
    pub(super) fn on_medium(&self) -> Option<Vec<u8>> {
        if !self.named {
            return None;
        }
        let mut bytes = self.live.clone();
        bytes.resize(self.live.len().max(self.durable_len), 0);
        for (number, old) in self.dirty.iter().chain(&self.lost) {
            overlay(&mut bytes, number.saturating_mul(SECTOR_BYTES), old.as_slice());
        }
        bytes.resize(self.durable_len, 0);
        Some(bytes)
    }

    /// The sectors that the newest sync made durable; in a file of redb, those of its last commit.
    pub(super) fn newest(&self) -> &[usize] {
        &self.newest
    }

    /// Changes one byte on the medium, and for readers too if they see the medium's bytes.
    pub(super) fn change_on_medium(&mut self, offset: usize, change: impl FnOnce(&mut u8)) {
        let (number, within) = (offset / SECTOR_BYTES, offset % SECTOR_BYTES);
        let copy = match self.dirty.get_mut(&number) {
            Some(copy) => Some(copy),
            None => self.lost.get_mut(&number),
        };
        let byte = match copy {
            Some(copy) => copy.get_mut(within),
            None => self.live.get_mut(offset),
        };
        if let Some(byte) = byte {
            change(byte);
        }
    }

    /// Remembers what is on the medium for the sectors of `start..end`, before they change in memory.
    fn touch(&mut self, start: usize, end: usize) {
        for number in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if self.dirty.contains_key(&number) {
                continue;
            }
            let old = match self.lost.remove(&number) {
                Some(old) => old,
                None => self.written_over(number, &Box::new([0; SECTOR_BYTES])),
            };
            self.dirty.insert(number, old);
        }
    }

    /// `under`, overwritten with as much of the sector as memory has.
    fn written_over(&self, number: usize, under: &Sector) -> Box<Sector> {
        let mut sector = Box::new(*under);
        let start = number.saturating_mul(SECTOR_BYTES).min(self.live.len());
        let end = start.saturating_add(SECTOR_BYTES).min(self.live.len());
        overlay(sector.as_mut_slice(), 0, self.live.get(start..end).unwrap_or_default());
        sector
    }
}

/// Copies `from` over `to` from `at` on, up to the end of `to`.
fn overlay(to: &mut [u8], at: usize, from: &[u8]) {
    for (to, from) in to.get_mut(at..).into_iter().zip([from]) {
        let len = to.len().min(from.len());
        if let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) {
            to.copy_from_slice(from);
        }
    }
}
