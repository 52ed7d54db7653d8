//! Each operation on an open file, and the faults that can happen in it.

use std::io;

use nix::errno::Errno;

use super::faults::{FaultKind, IoFault};
use super::medium::{FileId, Medium, power_off};
use super::sectors::Sectors;
use super::trace::Event;
use crate::sim::dice::Dice;

/// Longer files are refused, because a database that a fault has confused may ask for any length.
const FILE_BYTES_MAX: usize = 1 << 30;

impl Medium {
    pub(super) fn len(&mut self, mount: u64, id: FileId) -> io::Result<u64> {
        self.check(mount)?;
        Ok(self.file(id)?.sectors.len() as u64)
    }

    pub(super) fn read(&mut self, mount: u64, id: FileId, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(mount)?;
        self.trace.note(Event::Read, id, offset, out.len(), &[]);
        if self.fires(id, |fault| matches!(fault, IoFault::ReadFails))?.is_some() {
            self.count(FaultKind::ReadFailed, 1);
            return Err(Errno::EIO.into());
        }
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        if self.file(id)?.sectors.read(offset, out) {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    pub(super) fn write(&mut self, mount: u64, id: FileId, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(mount)?;
        self.trace.note(Event::Write, id, offset, data.len(), data);
        self.hold(id);
        let (at, end) = (place(offset, 0)?, place(offset, data.len())?);
        self.cut_comes(id, FaultKind::CutMidWrite, |sectors, dice| sectors.write(at, part_of(data, dice)))?;
        if let Some((fault, mut dice)) = self.fires(id, is_write_fault)? {
            self.file(id)?.sectors.write(at, part_of(data, &mut dice));
            return Err(self.refused(fault));
        }
        let missing = end.saturating_sub(self.file(id)?.sectors.len()).saturating_sub(self.room());
        let fitting = data.get(..data.len().saturating_sub(missing)).unwrap_or_default();
        self.file(id)?.sectors.write(at, fitting);
        if missing > 0 { Err(self.refused(IoFault::WriteFull)) } else { Ok(()) }
    }

    pub(super) fn set_len(&mut self, mount: u64, id: FileId, len: u64) -> io::Result<()> {
        self.check(mount)?;
        self.trace.note(Event::SetLen, id, len, 0, &[]);
        self.hold(id);
        let len = place(len, 0)?;
        self.cut_comes(id, FaultKind::CutMidWrite, |sectors, dice| {
            if dice.chance(1, 2) {
                sectors.set_len(len);
            }
        })?;
        if let Some((fault, _)) = self.fires(id, is_write_fault)? {
            return Err(self.refused(fault));
        }
        if len.saturating_sub(self.file(id)?.sectors.len()) > self.room() {
            return Err(self.refused(IoFault::WriteFull));
        }
        self.file(id)?.sectors.set_len(len);
        Ok(())
    }

    pub(super) fn sync(&mut self, mount: u64, id: FileId) -> io::Result<()> {
        self.check(mount)?;
        self.trace.note(Event::Sync, id, 0, 0, &[]);
        self.cut_comes(id, FaultKind::CutMidSync, Sectors::sync_partly)?;
        if let Some((IoFault::SyncStalls(delay), _)) =
            self.fires(id, |fault| matches!(fault, IoFault::SyncStalls(_)))?
        {
            self.stalls(id, delay);
            self.count(FaultKind::SyncStalled, 1);
        } else {
            self.hold(id);
            self.caught_up(id);
        }
        if let Some((_, mut dice)) = self.fires(id, |fault| matches!(fault, IoFault::SyncFails))? {
            let lost = self.file(id)?.sectors.sync_failing(&mut dice);
            self.count(FaultKind::SyncFailed, 1);
            self.count(FaultKind::SectorLost, lost);
            return Err(Errno::EIO.into());
        }
        if self.file(id)?.sectors.sync() {
            self.count(FaultKind::SyncLied, 1);
        }
        Ok(())
    }

    /// Cuts the power, or ends the process, if that is due at this operation: before it, or after `amid` has done a
    /// part of it.
    fn cut_comes(
        &mut self,
        id: FileId,
        amid_kind: FaultKind,
        amid: impl FnOnce(&mut Sectors, &mut Dice),
    ) -> io::Result<()> {
        let Some(mut cut) = self.armed.cut_now() else { return Ok(()) };
        if cut.dice.chance(1, 2) {
            self.count(FaultKind::CutBefore, 1);
        } else {
            self.count(amid_kind, 1);
            amid(&mut self.file(id)?.sectors, &mut cut.dice);
        }
        match cut.unsynced {
            Some(unsynced) => self.cut(unsynced, &mut cut.dice),
            None => self.kill(),
        }
        Err(power_off())
    }

    fn fires(&mut self, id: FileId, sort: impl Fn(&IoFault) -> bool) -> io::Result<Option<(IoFault, Dice)>> {
        let file = self.files.get(&id).ok_or_else(power_off)?;
        Ok(self.armed.fire(&file.name, sort))
    }

    fn refused(&mut self, fault: IoFault) -> io::Error {
        if fault == IoFault::WriteFull {
            self.count(FaultKind::DiskFull, 1);
            return Errno::ENOSPC.into();
        }
        self.count(FaultKind::WriteFailed, 1);
        Errno::EIO.into()
    }

    /// By how many bytes files may still grow.
    fn room(&self) -> usize {
        let Some(capacity) = self.capacity_bytes else { return usize::MAX };
        usize::try_from(capacity.saturating_sub(self.used_bytes())).unwrap_or(usize::MAX)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.files.values().map(|file| file.sectors.len() as u64).fold(0, u64::saturating_add)
    }
}

fn is_write_fault(fault: &IoFault) -> bool {
    matches!(fault, IoFault::WriteFails | IoFault::WriteFull)
}

/// The end of `len` bytes at `offset`.
fn place(offset: u64, len: usize) -> io::Result<usize> {
    let end = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(len));
    end.filter(|end| *end <= FILE_BYTES_MAX).ok_or_else(|| Errno::EFBIG.into())
}

/// The first bytes of `data`: none, all, or any number between.
fn part_of<'a>(data: &'a [u8], dice: &mut Dice) -> &'a [u8] {
    let taken = dice.below(data.len() as u64 + 1);
    data.get(..usize::try_from(taken).unwrap_or(0)).unwrap_or_default()
}
