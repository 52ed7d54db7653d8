//! A node's disk in a simulation: it survives the node's processes and loses what a real one may lose.
//!
//! A [`SimDisk`] is the medium. Each life of a process [mounts](SimDisk::mount) it and reaches its files only through
//! that mount. When the power is cut, or the process is killed, the mount is dead: its handles return errors, and
//! nothing that they do reaches the medium any more, not even a database's last flush.
//!
//! In memory a file is as it was last written; on the medium it is as it was last synced. A power cut decides by
//! seeded chance and by a policy, [`Unsynced`], what survives of the difference, sector by sector. It can be armed to
//! happen in the middle of a commit. Faults can be armed for later calls, or applied to data at rest; each counts how
//! often it happened.
//!
//! All chance comes from the [`Dice`] that the caller passes; there are no threads, no clock and no waiting. A new
//! file's name is durable with the file's first sync and may vanish before it; a removal is durable at once.

mod damage;
mod faults;
mod medium;
mod mount;
mod ops;
mod power;
mod sectors;
mod stall;
mod trace;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dice::Dice;
pub use damage::{Damage, Image};
use faults::{Cut, Pending};
pub use faults::{FaultCounts, FaultKind, IoFault};
use medium::Medium;
pub use mount::Mounted;
pub use power::Unsynced;
pub use sectors::SECTOR_BYTES;
pub use stall::Stall;
pub use trace::Traffic;

/// One node's medium, empty at first. Clones are the same medium.
#[derive(Clone, Default)]
pub struct SimDisk {
    medium: Arc<Mutex<Medium>>,
}

impl SimDisk {
    /// A medium with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the disk for one life of a process. A mount that was still alive is dead then, as if its process had been
    /// killed.
    pub fn mount(&self) -> Mounted {
        let mount = self.medium().mount();
        Mounted::new(self.clone(), mount)
    }

    /// Cuts the power: every mount is dead for ever, and `unsynced` and `dice` decide what survives of the data that
    /// were not synced. An armed power cut is disarmed; other faults stay armed, and a capacity stays set.
    pub fn power_cut(&self, unsynced: Unsynced, dice: &mut Dice) {
        self.medium().cut(unsynced, dice);
    }

    /// Ends the process and leaves the power on: every mount is dead for ever, all written data stay readable, and a
    /// later power cut may still lose what was not synced. An armed power cut is disarmed.
    pub fn kill(&self) {
        self.medium().kill();
    }

    /// Drops from memory everything that does not wait to be written, as the kernel may do at any time and does on
    /// request: sectors on which a failed sync gave up are then gone for readers too. Mounts stay alive.
    pub fn drop_cache(&self) {
        self.medium().drop_cache();
    }

    /// Cuts the power after `after_ops` more writes, changes of length and syncs, right before the next one or in the
    /// middle of it; what survives is decided as in [`power_cut`](Self::power_cut). Replaces an armed power cut.
    pub fn arm_power_cut(&self, after_ops: u64, unsynced: Unsynced, dice: Dice) {
        self.medium().armed.cut = Some(Cut { after_ops, unsynced: Some(unsynced), dice });
    }

    /// Ends the process, as [`kill`](Self::kill) does, after `after_ops` more writes, changes of length and syncs,
    /// right before the next one or in the middle of it. Replaces an armed power cut.
    pub fn arm_kill(&self, after_ops: u64, dice: Dice) {
        self.medium().armed.cut = Some(Cut { after_ops, unsynced: None, dice });
    }

    /// Makes later calls fail, on files whose name starts with `prefix`. `calls` says which of them, counted from 0
    /// over the calls that the fault can affect: `0..1` is the next one, `0..u64::MAX` all from now on.
    pub fn arm(&self, fault: IoFault, prefix: &str, calls: Range<u64>, dice: Dice) {
        self.medium().armed.faults.push(Pending { fault, prefix: prefix.to_owned(), calls, dice });
    }

    /// Disarms everything, a power cut included. A capacity stays set.
    pub fn disarm(&self) {
        self.medium().armed = Default::default();
    }

    /// Sets how many bytes all files may have together, including open files without a name. A write or change of
    /// length beyond that returns ENOSPC. `None`, the initial value, sets no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.medium().capacity_bytes = bytes;
    }

    /// Whether a mount died and the disk was not mounted again: the host must then be crashed.
    pub fn is_dead(&self) -> bool {
        self.medium().is_dead()
    }

    /// Whether a mount lives.
    pub fn is_mounted(&self) -> bool {
        self.medium().is_mounted()
    }

    /// Runs blocking work. Failures in it count as told once the work has ended, which may be later: the caller waits
    /// for this with the value that is returned.
    pub fn work(&self, job: impl FnOnce()) -> Work {
        let before = self.failures();
        job();
        let failed = self.failures().saturating_sub(before);
        self.medium().untold += failed;
        Work { disk: self.clone(), failed }
    }

    /// How many failed writes and syncs a caller was told of.
    pub fn failures_told(&self) -> u64 {
        self.failures().saturating_sub(self.medium().untold)
    }

    fn failures(&self) -> u64 {
        let counts = self.counts();
        [FaultKind::SyncFailed, FaultKind::WriteFailed, FaultKind::DiskFull]
            .into_iter()
            .map(|kind| counts.get(kind))
            .sum()
    }

    /// Bytes of all files, including open files without a name.
    pub fn used_bytes(&self) -> u64 {
        self.medium().used_bytes()
    }

    /// How often each fault happened.
    pub fn counts(&self) -> FaultCounts {
        self.medium().counts.clone()
    }

    /// How much was done to the disk.
    pub fn traffic(&self) -> Traffic {
        self.medium().trace.traffic()
    }

    /// A hash of everything that was done to the disk and happened to it, in order.
    pub fn trace_digest(&self) -> u64 {
        self.medium().trace.digest()
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        // A panic cannot leave the state half changed.
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work on a disk, which lasts until this is dropped.
#[derive(Debug)]
pub struct Work {
    disk: SimDisk,
    failed: u64,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.disk.medium().untold -= self.failed;
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let medium = self.medium();
        f.debug_struct("SimDisk")
            .field("files", &medium.names.keys())
            .field("mounted", &medium.is_mounted())
            .finish_non_exhaustive()
    }
}
