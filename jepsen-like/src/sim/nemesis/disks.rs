//! Faults of disks after which a machine may or may not continue.

use std::time::Duration;

use super::super::cluster::SimCluster;
use super::super::dice::Dice;
use super::super::disk::IoFault;
use super::Undo;
use super::kind::Kind;
use super::processes::unsynced;

/// Within how many writes and syncs an armed power cut happens: a few commits.
const CUT_WITHIN_OPS: u64 = 80;
/// The same in messages to peers.
const CUT_WITHIN_MESSAGES: u64 = 60;

pub(super) fn begin(kind: Kind, cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    match kind {
        Kind::PowerCutInWrite => return cut_in_write(cluster, dice),
        Kind::PowerCutInSend => return cut_in_send(cluster, dice),
        _ => {}
    }
    let id = match cluster.leader() {
        Some(leader) if dice.chance(1, 2) => leader,
        _ => *dice.pick(&cluster.running())?,
    };
    let disk = &cluster.machine(id)?.disk;
    // One of its two databases, or the first that is used.
    let prefix = *dice.pick(&["", "log", "registry"])?;
    match kind {
        Kind::FsyncFails => disk.arm(IoFault::SyncFails, prefix, 0..dice.between(1, 3), dice.fork("sync")),
        Kind::WriteFails => disk.arm(IoFault::WriteFails, prefix, 0..dice.between(1, 3), dice.fork("write")),
        Kind::ReadFails => disk.arm(IoFault::ReadFails, prefix, 0..dice.between(1, 3), dice.fork("read")),
        Kind::DiskFull => disk.set_capacity(Some(disk.used_bytes())),
        Kind::SlowDisk => {
            let stall = Duration::from_millis(if dice.chance(1, 4) { 5_000 } else { dice.between(5, 400) });
            disk.arm(IoFault::SyncStalls(stall), prefix, 0..u64::MAX, dice.fork("stall"));
        }
        _ => return None,
    }
    Some((vec![id], Undo::Disks(vec![id])))
}

/// Cuts the power inside a write of one machine, or of all machines within a few writes of one another.
fn cut_in_write(cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let running = cluster.running();
    let ids = if dice.chance(1, 3) { running } else { vec![*dice.pick(&running)?] };
    let after = dice.below(CUT_WITHIN_OPS);
    for id in &ids {
        let how = unsynced(dice);
        cluster.machine(*id)?.disk.arm_power_cut(after, how, dice.fork(&format!("cut {id}")));
    }
    Some((ids.clone(), Undo::Disks(ids)))
}

/// Cuts the power between two messages of one machine.
fn cut_in_send(cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let id = match cluster.leader() {
        Some(leader) if dice.chance(1, 2) => leader,
        _ => *dice.pick(&cluster.running())?,
    };
    let machine = cluster.machine(id)?;
    if !machine.wires.are_free() {
        return None;
    }
    let how = unsynced(dice);
    machine.wires.cut_power(dice.below(CUT_WITHIN_MESSAGES), machine.disk.clone(), how, dice.fork("cut"));
    Some((vec![id], Undo::Wires(vec![id])))
}

/// Ends the faults of a disk.
pub(super) fn heal(cluster: &mut SimCluster<'_>, id: u64) {
    if let Some(machine) = cluster.machine(id) {
        machine.disk.disarm();
        machine.disk.set_capacity(None);
    }
}
