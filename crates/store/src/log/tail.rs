//! The present state of the log, ahead of what is on disk: its range, its newest entries and its small
//! values.
//!
//! Invariant: the slots are the log's last entries without a gap, and every entry that is not durable yet is
//! among them. So the entries before the slots are on disk unchanged, whatever still waits for the committer.

use std::collections::VecDeque;

use bytes::Bytes;

use super::entry::LogEntry;
use super::state::LogState;
use crate::StoreError;

/// The log's logical state.
pub(super) struct Tail<E> {
    /// First and last index, if there are entries.
    range: Option<(u64, u64)>,
    slots: VecDeque<Slot<E>>,
    slots_bytes: usize,
    recent_bytes_max: usize,
    /// The last index that was purged, and the caller's name for it.
    pub(super) purged: Option<(u64, Bytes)>,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) remembered: Option<Bytes>,
    /// The number that the next append gets.
    next_append: u64,
}

struct Slot<E> {
    entry: E,
    bytes: usize,
    append: u64,
}

/// Where the entries of a range are.
pub(super) struct Located<E> {
    /// `from..until` is on disk.
    pub(super) on_disk: Option<(u64, u64)>,
    /// The entries that follow it.
    pub(super) in_memory: Vec<E>,
}

impl<E: LogEntry> Tail<E> {
    pub(super) fn new(state: LogState, recent_bytes_max: usize) -> Self {
        Self {
            range: state.range,
            slots: VecDeque::new(),
            slots_bytes: 0,
            recent_bytes_max,
            purged: state.purged,
            vote: state.vote,
            committed: state.committed,
            remembered: state.remembered,
            next_append: 0,
        }
    }

    /// First and last index, if there are entries.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        self.range
    }

    /// Adds entries at the end and answers the append's number.
    pub(super) fn append(&mut self, entries: &[E]) -> Result<u64, StoreError> {
        let mut expected = match (self.range, &self.purged) {
            (Some((_, last)), _) => Some(last.saturating_add(1)),
            (None, Some((purged, _))) => Some(purged.saturating_add(1)),
            // An empty log may start at any index: after a snapshot it does not start at 0.
            (None, None) => None,
        };
        for entry in entries {
            let found = entry.index();
            match expected {
                Some(expected) if expected != found => return Err(StoreError::Gap { found, expected }),
                _ => expected = Some(found.saturating_add(1)),
            }
        }
        let append = self.next_append;
        self.next_append += 1;
        for entry in entries {
            let index = entry.index();
            self.range = Some((self.range.map_or(index, |(first, _)| first), index));
            let bytes = entry.size();
            self.slots_bytes += bytes;
            self.slots.push_back(Slot { entry: entry.clone(), bytes, append });
        }
        Ok(append)
    }

    /// Drops the slots that are durable and beyond the bound of memory. Appends up to `append` are durable.
    pub(super) fn durable(&mut self, append: u64) {
        while self.slots_bytes > self.recent_bytes_max {
            match self.slots.front() {
                Some(slot) if slot.append <= append => {}
                _ => break,
            }
            if let Some(slot) = self.slots.pop_front() {
                self.slots_bytes -= slot.bytes;
            }
        }
    }

    /// Removes everything from `from` on. Answers whether anything was removed.
    pub(super) fn truncate(&mut self, from: u64) -> bool {
        let Some((first, last)) = self.range else { return false };
        if from > last {
            return false;
        }
        for _ in 0..(last - from).saturating_add(1) {
            match self.slots.pop_back() {
                Some(slot) => self.slots_bytes -= slot.bytes,
                None => break,
            }
        }
        self.range = if from > first { Some((first, from - 1)) } else { None };
        true
    }

    /// Removes everything up to `upto`. Answers whether this changed anything.
    pub(super) fn purge(&mut self, upto: u64, position: Bytes) -> bool {
        if self.purged.as_ref().is_some_and(|(purged, _)| *purged >= upto) {
            return false;
        }
        self.purged = Some((upto, position));
        if let Some((first, last)) = self.range
            && upto >= first
        {
            let kept = last.saturating_sub(upto);
            while self.slots.len() as u64 > kept {
                if let Some(slot) = self.slots.pop_front() {
                    self.slots_bytes -= slot.bytes;
                }
            }
            self.range = if upto >= last { None } else { Some((upto + 1, last)) };
        }
        true
    }

    /// Where `from..until` is, as far as the log has it. The part in memory ends once it has `bytes_max`, but
    /// has at least one entry if none is on disk.
    pub(super) fn locate(&self, from: u64, until: u64, bytes_max: usize) -> Located<E> {
        let nothing = Located { on_disk: None, in_memory: Vec::new() };
        let Some((first, last)) = self.range else { return nothing };
        let from = from.max(first);
        let until = until.min(last.saturating_add(1));
        if from >= until {
            return nothing;
        }
        let cached_from = last.saturating_add(1).saturating_sub(self.slots.len() as u64);
        let on_disk = (from < cached_from).then(|| (from, until.min(cached_from)));
        let skip = from.saturating_sub(cached_from) as usize;
        let take = until.saturating_sub(from.max(cached_from)) as usize;
        let mut room = bytes_max;
        let in_memory = self
            .slots
            .iter()
            .skip(skip)
            .take(take)
            .enumerate()
            .take_while(|(position, slot)| {
                let fits = slot.bytes <= room || (*position == 0 && on_disk.is_none());
                room = room.saturating_sub(slot.bytes);
                fits
            })
            .map(|(_, slot)| slot.entry.clone())
            .collect();
        Located { on_disk, in_memory }
    }
}
