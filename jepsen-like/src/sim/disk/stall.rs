//! Syncs that take long: until one is over, a power cut takes back what it made durable and all that its process did after it.
//!
//! Work runs on the spot, and its asker waits afterwards, in simulated time, for as long as its syncs would have taken. To
//! everybody else the work is still inside its first slow sync until then: so what the work did from that sync on has not happened
//! yet, if the power goes. A process that is merely killed has its sync carried out by the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SimDisk;
use super::medium::{FileId, Medium};
use super::sectors::Sectors;

/// Syncs under way, for whoever ran the work to wait for. When it is dropped they are over.
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
    /// How long the syncs of the work that runs took so far. Some as soon as one stalled.
    lasts: Option<Duration>,
    next: u64,
    /// In the order in which they began. The last is of the work that runs, if one of its syncs stalled.
    under_way: Vec<Held>,
}

/// Files as they were when the work's first slow sync began, or before the work touched them after that.
struct Held {
    number: u64,
    files: BTreeMap<FileId, (String, Sectors)>,
}

impl SimDisk {
    /// The slow syncs since the last call, for whoever ran the work to wait for in simulated time.
    pub fn take_stall(&self) -> Option<Stall> {
        let mut medium = self.medium();
        let lasts = medium.stalls.lasts.take()?;
        let number = medium.stalls.under_way.last()?.number;
        Some(Stall { disk: self.clone(), number, lasts })
    }

    /// Whether a slow sync is under way. What it, or the work after it, came to is told to nobody before it is over.
    pub fn is_syncing(&self) -> bool {
        !self.medium().stalls.under_way.is_empty()
    }
}

impl Medium {
    /// A sync of the file takes long.
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

    /// The file is about to change: if the work that runs is inside a slow sync, that has not happened yet.
    pub(super) fn hold(&mut self, id: FileId) {
        if self.stalls.lasts.is_none() {
            return;
        }
        if let (Some(held), Some(file)) = (self.stalls.under_way.last_mut(), self.files.get(&id)) {
            held.files.entry(id).or_insert_with(|| (file.name.clone(), file.sectors.clone()));
        }
    }

    /// A sync of the file took no time, or it was removed: so whoever was at it before is done.
    pub(super) fn caught_up(&mut self, id: FileId) {
        if self.stalls.lasts.is_none() {
            self.stalls.under_way.retain(|held| !held.files.contains_key(&id));
        }
    }

    /// The power goes: work inside a slow sync did nothing from there on.
    pub(super) fn take_back(&mut self) {
        for held in std::mem::take(&mut self.stalls).under_way.into_iter().rev() {
            for (id, (name, sectors)) in held.files {
                self.names.insert(name.clone(), id);
                self.put_back(id, name, sectors);
            }
        }
    }

    /// The process ends, and the kernel carries its syncs out.
    pub(super) fn carry_out(&mut self) {
        self.stalls = Stalls { next: self.stalls.next, ..Stalls::default() };
    }
}
