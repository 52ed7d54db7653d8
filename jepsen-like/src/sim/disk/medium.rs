//! The medium behind all mounts: its files by name, and which mounts may still touch them.

use std::collections::BTreeMap;
use std::io;

use super::Unsynced;
use super::faults::{Armed, FaultCounts, FaultKind};
use super::sectors::Sectors;
use super::stall::Stalls;
use super::trace::{Event, Trace};
use crate::sim::dice::Dice;

pub(super) type FileId = u64;

/// A file, for as long as it has a name or an open handle.
pub(super) struct File {
    pub(super) name: String,
    pub(super) sectors: Sectors,
    handles: u64,
    removed: bool,
}

/// The state that a disk's handles share.
#[derive(Default)]
pub(super) struct Medium {
    pub(super) names: BTreeMap<String, FileId>,
    pub(super) files: BTreeMap<FileId, File>,
    next_id: FileId,
    /// Number of the newest mount; the others are dead.
    mount: u64,
    /// Whether the newest mount lives.
    mounted: bool,
    /// Whether a mount died and none was made since.
    dead: bool,
    pub(super) armed: Armed,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) stalls: Stalls,
    pub(super) counts: FaultCounts,
    /// Failures of work that has not ended yet.
    pub(super) untold: u64,
    pub(super) trace: Trace,
}

impl Medium {
    pub(super) fn mount(&mut self) -> u64 {
        if self.mounted {
            self.kill();
        }
        self.mount += 1;
        (self.mounted, self.dead) = (true, false);
        self.trace.note(Event::Mount, self.mount, 0, 0, &[]);
        self.mount
    }

    pub(super) fn is_mounted(&self) -> bool {
        self.mounted
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// The process ends. What it wrote stays, durable or not.
    pub(super) fn kill(&mut self) {
        self.carry_out();
        self.unmount();
        self.count(FaultKind::Killed, 1);
    }

    /// Cuts the power.
    pub(super) fn cut(&mut self, unsynced: Unsynced, dice: &mut Dice) {
        self.take_back();
        self.unmount();
        self.count(FaultKind::PowerCut, 1);
        let mut vanished = Vec::new();
        for (id, file) in &mut self.files {
            let sector_loss = unsynced.sector_loss(dice);
            let sector_counts = file.sectors.cut(sector_loss, dice);
            if sector_counts.vanished {
                vanished.push((*id, file.name.clone()));
            }
            for (kind, times) in [
                (FaultKind::SectorKept, sector_counts.kept),
                (FaultKind::SectorDropped, sector_counts.dropped),
                (FaultKind::SectorTorn, sector_counts.torn),
                (FaultKind::LengthDropped, u64::from(sector_counts.length_dropped)),
                (FaultKind::FileVanished, u64::from(sector_counts.vanished)),
            ] {
                self.counts.add(kind, times);
                self.trace.note(Event::Fault(kind), *id, times, 0, &[]);
            }
        }
        for (id, name) in vanished {
            self.files.remove(&id);
            self.names.remove(&name);
        }
    }

    pub(super) fn drop_cache(&mut self) {
        let dropped = self.files.values_mut().filter_map(|file| file.sectors.drop_cache().then_some(1)).sum();
        self.count(FaultKind::CacheDropped, dropped);
    }

    /// Ends the newest mount, and removes files that only its handles held.
    fn unmount(&mut self) {
        (self.mounted, self.dead) = (false, true);
        self.armed.cut = None;
        self.files.retain(|_, file| !file.removed);
        for file in self.files.values_mut() {
            file.handles = 0;
        }
    }

    pub(super) fn check(&mut self, mount: u64) -> io::Result<()> {
        if self.mounted && self.mount == mount {
            return Ok(());
        }
        self.trace.refused();
        Err(power_off())
    }

    pub(super) fn open(&mut self, mount: u64, name: &str) -> io::Result<FileId> {
        self.check(mount)?;
        let known = self.names.get(name).copied();
        let id = known.unwrap_or_else(|| self.put(name, Sectors::default()));
        if let Some(file) = self.files.get_mut(&id) {
            file.handles += 1;
        }
        self.trace.note(Event::Open, id, 0, 0, name.as_bytes());
        Ok(id)
    }

    /// Puts a new file of that name in place of any old one.
    pub(super) fn put(&mut self, name: &str, sectors: Sectors) -> FileId {
        let id = self.next_id;
        self.next_id += 1;
        self.names.insert(name.to_owned(), id);
        self.files.insert(id, File { name: name.to_owned(), sectors, handles: 0, removed: false });
        id
    }

    /// Puts a file back as it was, whether it still exists or not.
    pub(super) fn put_back(&mut self, id: FileId, name: String, sectors: Sectors) {
        self.files.insert(id, File { name, sectors, handles: 0, removed: false });
    }

    pub(super) fn remove(&mut self, mount: u64, name: &str) -> io::Result<()> {
        self.check(mount)?;
        if let Some(id) = self.names.get(name).copied() {
            self.hold(id);
            self.caught_up(id);
        }
        if let Some(id) = self.names.remove(name) {
            self.trace.note(Event::Remove, id, 0, 0, name.as_bytes());
            if let Some(file) = self.files.get_mut(&id) {
                file.removed = true;
            }
            self.forget_if_unused(id);
        }
        Ok(())
    }

    /// A handle is dropped.
    pub(super) fn let_go(&mut self, mount: u64, id: FileId) {
        if self.mounted && self.mount == mount {
            if let Some(file) = self.files.get_mut(&id) {
                file.handles = file.handles.saturating_sub(1);
            }
            self.forget_if_unused(id);
        }
    }

    fn forget_if_unused(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| file.removed && file.handles == 0) {
            self.files.remove(&id);
        }
    }

    pub(super) fn file(&mut self, id: FileId) -> io::Result<&mut File> {
        self.files.get_mut(&id).ok_or_else(power_off)
    }

    pub(super) fn count(&mut self, kind: FaultKind, times: u64) {
        self.counts.add(kind, times);
        self.trace.note(Event::Fault(kind), 0, times, 0, &[]);
    }
}

/// The error of every call on a dead mount.
pub(super) fn power_off() -> io::Error {
    io::Error::other("the power is off")
}
