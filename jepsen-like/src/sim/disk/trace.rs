//! A running hash of everything that was done to a disk, by which two runs are compared, and counters of it.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::faults::FaultKind;
use super::medium::FileId;

/// How much was done to a disk since its creation.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Calls that read.
    pub reads: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Calls that set a length.
    pub resizes: u64,
    /// Calls that synced.
    pub syncs: u64,
    /// How many bytes calls asked for.
    pub read_bytes: u64,
    /// How many bytes calls wanted to write.
    pub written_bytes: u64,
    /// Calls on mounts that were dead.
    pub refused: u64,
}

impl Traffic {
    /// Writes, changes of length and syncs: the operations at which a power cut can be armed.
    pub fn ops(&self) -> u64 {
        self.writes.saturating_add(self.resizes).saturating_add(self.syncs)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Mount,
    Open,
    Remove,
    Read,
    Write,
    SetLen,
    Sync,
    Fault(FaultKind),
}

impl Event {
    fn code(self) -> u64 {
        match self {
            Self::Mount => 1,
            Self::Open => 2,
            Self::Remove => 3,
            Self::Read => 4,
            Self::Write => 5,
            Self::SetLen => 6,
            Self::Sync => 7,
            Self::Fault(kind) => 0x100 | kind as u64,
        }
    }
}

/// The hash and the counts so far.
#[derive(Debug, Default)]
pub(super) struct Trace {
    digest: u64,
    traffic: Traffic,
}

impl Trace {
    /// Adds one event, which decides the meaning of `offset`.
    pub(super) fn note(&mut self, event: Event, file: FileId, offset: u64, len: usize, content: &[u8]) {
        let traffic = &mut self.traffic;
        match event {
            Event::Read => {
                traffic.reads += 1;
                traffic.read_bytes = traffic.read_bytes.saturating_add(len as u64);
            }
            Event::Write => {
                traffic.writes += 1;
                traffic.written_bytes = traffic.written_bytes.saturating_add(len as u64);
            }
            Event::SetLen => traffic.resizes += 1,
            Event::Sync => traffic.syncs += 1,
            Event::Mount | Event::Open | Event::Remove | Event::Fault(_) => {}
        }
        let words = [event.code(), file, offset, len as u64, xxh3_64(content)];
        let record = words.map(u64::to_le_bytes);
        self.digest = xxh3_64_with_seed(record.as_flattened(), self.digest);
    }

    /// Counts a call on a dead mount. It changed nothing, so the hash stays as it is.
    pub(super) fn refused(&mut self) {
        self.traffic.refused += 1;
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }
}
