//! The faults that can be made on a disk, and counters of how often each happened.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::Unsynced;
use crate::sim::dice::Dice;

/// A fault of the medium that shows in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoFault {
    /// A sync answers EIO. As Linux has it, part of what was unsynced never becomes durable, readers see it all the
    /// same, and the next sync succeeds.
    SyncFails,
    /// A write or change of length answers EIO. The first bytes of a write may have been taken.
    WriteFails,
    /// A write or change of length answers ENOSPC. The first bytes of a write may have been taken.
    WriteFull,
    /// A read answers EIO.
    ReadFails,
    /// A sync takes this much longer; [`SimDisk::take_stall`](super::SimDisk::take_stall) returns the delay. A power
    /// cut before the delay is over undoes the sync.
    SyncStalls(Duration),
}

/// Everything that can happen to a disk, in the order of its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The power was cut, by itself or as armed.
    PowerCut,
    /// The power was cut, or the process was killed, right before a write, change of length or sync.
    CutBefore,
    /// Either happened in the middle of a write or change of length.
    CutMidWrite,
    /// Either happened in the middle of a sync.
    CutMidSync,
    /// A power cut kept an unsynced sector.
    SectorKept,
    /// A power cut dropped an unsynced sector.
    SectorDropped,
    /// A power cut tore an unsynced sector.
    SectorTorn,
    /// A power cut took back an unsynced change of length.
    LengthDropped,
    /// A power cut removed a new file that was never synced.
    FileVanished,
    /// A process ended, and the power stayed on.
    Killed,
    /// A sync failed.
    SyncFailed,
    /// A failed sync gave up on a sector.
    SectorLost,
    /// A sync succeeded although an earlier one had given up on sectors of the same file.
    SyncLied,
    /// Readers no longer saw sectors on which a failed sync had given up.
    CacheDropped,
    /// A write failed.
    WriteFailed,
    /// A read failed.
    ReadFailed,
    /// There was no room for a write.
    DiskFull,
    /// A sync took long.
    SyncStalled,
    /// A bit flipped.
    BitFlipped,
    /// A file was cut short.
    Truncated,
    /// A range was zeroed.
    Zeroed,
    /// An old copy was put back.
    Restored,
    /// Everything was erased.
    Wiped,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::PowerCut,
        Self::CutBefore,
        Self::CutMidWrite,
        Self::CutMidSync,
        Self::SectorKept,
        Self::SectorDropped,
        Self::SectorTorn,
        Self::LengthDropped,
        Self::FileVanished,
        Self::Killed,
        Self::SyncFailed,
        Self::SectorLost,
        Self::SyncLied,
        Self::CacheDropped,
        Self::WriteFailed,
        Self::ReadFailed,
        Self::DiskFull,
        Self::SyncStalled,
        Self::BitFlipped,
        Self::Truncated,
        Self::Zeroed,
        Self::Restored,
        Self::Wiped,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::PowerCut => "power_cut",
            Self::CutBefore => "cut_before",
            Self::CutMidWrite => "cut_mid_write",
            Self::CutMidSync => "cut_mid_sync",
            Self::SectorKept => "sector_kept",
            Self::SectorDropped => "sector_dropped",
            Self::SectorTorn => "sector_torn",
            Self::LengthDropped => "length_dropped",
            Self::FileVanished => "file_vanished",
            Self::Killed => "killed",
            Self::SyncFailed => "sync_failed",
            Self::SectorLost => "sector_lost",
            Self::SyncLied => "sync_lied",
            Self::CacheDropped => "cache_dropped",
            Self::WriteFailed => "write_failed",
            Self::ReadFailed => "read_failed",
            Self::DiskFull => "disk_full",
            Self::SyncStalled => "sync_stalled",
            Self::BitFlipped => "bit_flipped",
            Self::Truncated => "truncated",
            Self::Zeroed => "zeroed",
            Self::Restored => "restored",
            Self::Wiped => "wiped",
        }
    }
}

/// How often each fault happened, in the order of [`FaultKind`]; faults that never happened are included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultCounts(BTreeMap<FaultKind, u64>);

impl Default for FaultCounts {
    fn default() -> Self {
        Self(FaultKind::ALL.into_iter().map(|kind| (kind, 0)).collect())
    }
}

impl FaultCounts {
    /// How often this one happened.
    pub fn get(&self, kind: FaultKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// All of them with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (FaultKind, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    /// Adds what happened to another disk.
    pub fn add_all(&mut self, other: &FaultCounts) {
        for (kind, count) in other.iter() {
            self.add(kind, count);
        }
    }

    pub(super) fn add(&mut self, kind: FaultKind, times: u64) {
        let count = self.0.entry(kind).or_default();
        *count = count.saturating_add(times);
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, count)) in self.iter().filter(|(_, count)| *count > 0).enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{}={count}", kind.name())?;
        }
        Ok(())
    }
}

/// The faults that are armed.
#[derive(Debug, Default)]
pub(super) struct Armed {
    pub(super) cut: Option<Cut>,
    pub(super) faults: Vec<Pending>,
}

/// An armed power cut or kill.
#[derive(Debug)]
pub(super) struct Cut {
    /// How many operations are still carried out.
    pub(super) after_ops: u64,
    /// `None` leaves the power on and only ends the process.
    pub(super) unsynced: Option<Unsynced>,
    pub(super) dice: Dice,
}

/// An armed fault of calls.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) fault: IoFault,
    pub(super) prefix: String,
    /// Which of the next calls, counted from 0.
    pub(super) calls: Range<u64>,
    pub(super) dice: Dice,
}

impl Armed {
    /// The power cut, if it happens at this operation.
    pub(super) fn cut_now(&mut self) -> Option<Cut> {
        let cut = self.cut.as_mut()?;
        if cut.after_ops == 0 {
            return self.cut.take();
        }
        cut.after_ops -= 1;
        None
    }

    /// The first fault of that sort that is due at this call on `file`, and the dice to carry it out with.
    pub(super) fn fire(&mut self, file: &str, sort: impl Fn(&IoFault) -> bool) -> Option<(IoFault, Dice)> {
        let mut fired = None;
        for pending in &mut self.faults {
            if !sort(&pending.fault) || !file.starts_with(&pending.prefix) {
                continue;
            }
            if pending.calls.start > 0 {
                pending.calls.start -= 1;
            } else if fired.is_none() {
                fired = Some((pending.fault, Dice::new(pending.dice.next_u64())));
            }
            // An unbounded fault stays unbounded.
            if pending.calls.end < u64::MAX {
                pending.calls.end = pending.calls.end.saturating_sub(1);
            }
        }
        self.faults.retain(|pending| pending.calls.end > 0);
        fired
    }
}
