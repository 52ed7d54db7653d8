//! Faults of processes and of whole machines.

use std::time::Duration;

use super::super::cluster::{End, SimCluster};
use super::super::dice::Dice;
use super::super::disk::{IoFault, Unsynced};
use super::kind::Kind;
use super::{Undo, down};

pub(super) fn begin(kind: Kind, cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let mut running = cluster.running();
    dice.shuffle(&mut running);
    if let (Some(leader), true) = (cluster.leader(), dice.chance(1, 2)) {
        running.retain(|id| *id != leader);
        running.insert(0, leader);
    }
    match kind {
        Kind::Kill => {
            // Usually one, sometimes so many that no quorum is left.
            let count = if dice.chance(1, 5) { running.len() / 2 + 1 } else { 1 };
            down(cluster, running.get(..count)?, End::Kill, dice)
        }
        Kind::CrashLoop => down(cluster, running.get(..1)?, End::Kill, dice),
        Kind::PowerCut => {
            let how = unsynced(dice);
            down(cluster, running.get(..1)?, End::PowerCut(how), dice)
        }
        Kind::PowerCutAll if dice.chance(1, 2) => slow_then_dark(cluster, running, dice),
        Kind::PowerCutAll => {
            let how = unsynced(dice);
            down(cluster, &running, End::PowerCut(how), dice)
        }
        Kind::Stop => {
            let id = *running.first()?;
            cluster.machine(id)?.ask_to_stop();
            Some((vec![id], Undo::Nothing))
        }
        _ => None,
    }
}

/// Makes every disk slow and cuts the power while they sync, everywhere at once and with the loss of everything that
/// is not synced: this exposes a node that acknowledged too early.
fn slow_then_dark(
    cluster: &mut SimCluster<'_>,
    running: Vec<u64>,
    dice: &mut Dice,
) -> Option<(Vec<u64>, Undo)> {
    let stall = Duration::from_millis(dice.between(200, 2_000));
    for id in &running {
        let disk = &cluster.machine(*id)?.disk;
        disk.arm(IoFault::SyncStalls(stall), "", 0..u64::MAX, dice.fork(&format!("stall {id}")));
    }
    Some((running.clone(), Undo::PowerCut(running, dice.fork("cut"))))
}

/// What happens to data that were not synced.
pub(super) fn unsynced(dice: &mut Dice) -> Unsynced {
    let all = [Unsynced::Keep, Unsynced::Drop, Unsynced::Mixed, Unsynced::Torn];
    dice.pick(&all).copied().unwrap_or(Unsynced::Drop)
}
