//! Slow syncs: until a slow sync is over, a power cut undoes what it made durable and everything that its process did
//! after it.
//!
//! Work runs at once, and its caller waits afterwards, in simulated time, for as long as the work's syncs would have
//! taken. Until then the work counts as still inside its first slow sync. So if the power is cut, nothing that the
//! work did from that sync on has happened. If a process is merely killed, the kernel carries out its sync.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SimDisk;
use super::medium::{FileId, Medium};
use super::sectors::Sectors;

/// Syncs in progress, for which the caller that ran the work must wait. When this is dropped they are over.
#[derive(Debug)]
pub struct Stall {
    disk: SimDisk,
    number: u64,
    lasts: Duration,
}

impl Stall {
    /// How long they take.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.disk.medium().stalls.under_way.retain(|held| held.number != self.number);
    }
}

/// The stalled work of one disk.
#[derive(Default)]
pub(super) struct Stalls {
    /// How long the syncs of the running work have taken so far. `Some` as soon as one stalled.
    lasts: Option<Duration>,
    next: u64,
    /// In the order in which they began. The last one belongs to the running work, if one of its syncs stalled.
    under_way: Vec<Held>,
}

/// Files as they were when the work's first slow sync began, or before the work touched them later.
struct Held {
    number: u64,
    files: BTreeMap<FileId, (String, Sectors)>,
}

impl SimDisk {
    /// The slow syncs since the last call, for which the caller that ran the work must wait in simulated time.
    pub fn take_stall(&self) -> Option<Stall> {
        let mut medium = self.medium();
        let lasts = medium.stalls.lasts.take()?;
        let number = medium.stalls.under_way.last()?.number;
        Some(Stall { disk: self.clone(), number, lasts })
    }
}

impl Medium {
    /// Makes a sync of the file take long.
    pub(super) fn stalls(&mut self, id: FileId, delay: Duration) {
        match &mut self.stalls.lasts {
            Some(lasts) => *lasts = lasts.saturating_add(delay),
            None => {
                self.stalls.lasts = Some(delay);
                let number = self.stalls.next;
                self.stalls.next += 1;
                self.stalls.under_way.push(Held { number, files: BTreeMap::new() });
            }
        }
        self.hold(id);
    }

    /// Called before the file changes: if the running work is inside a slow sync, the file is kept as it was.
    pub(super) fn hold(&mut self, id: FileId) {
        if self.stalls.lasts.is_none() {
            return;
        }
        if let (Some(held), Some(file)) = (self.stalls.under_way.last_mut(), self.files.get(&id)) {
            held.files.entry(id).or_insert_with(|| (file.name.clone(), file.sectors.clone()));
        }
    }

    /// A sync of the file took no time, or the file was removed: earlier slow syncs of it are over.
    pub(super) fn caught_up(&mut self, id: FileId) {
        if self.stalls.lasts.is_none() {
            self.stalls.under_way.retain(|held| !held.files.contains_key(&id));
        }
    }

    /// Undoes, at a power cut, what work inside a slow sync did from that sync on.
    pub(super) fn take_back(&mut self) {
        for held in std::mem::take(&mut self.stalls).under_way.into_iter().rev() {
            for (id, (name, sectors)) in held.files {
                self.names.insert(name.clone(), id);
                self.put_back(id, name, sectors);
            }
        }
    }

    /// Carries out the syncs, as the kernel does when a process ends.
    pub(super) fn carry_out(&mut self) {
        self.stalls = Stalls { next: self.stalls.next, ..Stalls::default() };
    }
}
