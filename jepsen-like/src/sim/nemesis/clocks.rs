//! Faults of clocks.

use super::super::clock::{let_pass, right_at};
use super::super::cluster::SimCluster;
use super::super::dice::Dice;
use super::Undo;
use super::kind::Kind;

/// The largest jump, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// More than a clock may be ahead of registry time to be trusted without an operator, in milliseconds.
const ELEVEN_YEARS_MS: u64 = 11 * 365 * 24 * HOUR_MS;
/// The smallest leap, in milliseconds: twice as much as a clock may be ahead of registry time to be trusted at once.
const LEAP_MS_MIN: u64 = 1_200_000;
/// A small leap, in milliseconds: less than a clock may be ahead of registry time to be trusted at once, and more than
/// the clock bound. [`LEAP_MS_MIN`] minus such a leap is still more than the former.
pub(super) const SMALL_MS: (u64, u64) = (60_000, 570_000);
/// How far registry time may be behind the right time when clocks go back: less than the smallest such leap.
const TOLD_WITHIN_MS: i64 = 10_000;
/// A jump after which other nodes still accept a node's announcement of its address, in milliseconds: they do so up to
/// a minute.
const HEEDED_MS: (u64, u64) = (1_000, 55_000);

pub(super) fn begin(kind: Kind, cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    match kind {
        Kind::ClocksLeap => return leap(cluster, dice),
        Kind::ClocksBack => return go_back(cluster, dice),
        Kind::TimePasses => {
            let_pass(i64::try_from(dice.between(LEAP_MS_MIN, HOUR_MS)).ok()?);
            return Some((cluster.ids(), Undo::Nothing));
        }
        _ => {}
    }
    let id = *dice.pick(&cluster.running())?;
    let machine = cluster.machine(id)?;
    let sign = if dice.chance(1, 2) { 1 } else { -1 };
    let far = match kind {
        // Around the clock bound of half a second.
        Kind::ClockStep => dice.between(50, 900),
        Kind::ClockJump => match dice.below(4) {
            0 => dice.between(SMALL_MS.0, SMALL_MS.1),
            1 => ELEVEN_YEARS_MS,
            _ => dice.between(1_000, HOUR_MS),
        },
        Kind::ClockDrift => {
            let ppm = i64::try_from(dice.between(1_000, 200_000)).ok()?;
            let now_ms = i64::try_from(cluster.now().as_millis()).ok()?;
            machine.clock.drift(sign * ppm, now_ms);
            return Some((vec![id], Undo::Clock(id)));
        }
        _ => return None,
    };
    machine.clock.jump(sign * i64::try_from(far).ok()?);
    Some((vec![id], Undo::Clock(id)))
}

/// Makes the clocks of all machines leap by the same amount, also of those that are down.
fn leap(cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let far = dice.chance(1, 2);
    let by = if far { ELEVEN_YEARS_MS } else { dice.between(LEAP_MS_MIN, HOUR_MS) };
    let by = i64::try_from(by).ok()?;
    // If much time has passed without a stamp, registry time may be an hour back too. A running node does not go back
    // with it, but a node that is started meanwhile remembers no later time, and trusts at once a clock that is near
    // registry time.
    let by = if far && dice.chance(1, 4) { by.saturating_neg() } else { by };
    leap_all(cluster, by)
}

/// Sets the clocks of all machines back by minutes, but only if every voter knows that registry time is near the right
/// time. Then the clocks are behind registry time, and a node that is started meanwhile must not trust them either.
fn go_back(cluster: &mut SimCluster<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let right_ms = right_at(i64::try_from(cluster.now().as_millis()).ok()?);
    let voters = cluster.voters();
    let is_told = |id: &u64| {
        let told = cluster.machine(*id).and_then(|machine| machine.registry_time());
        told.is_some_and(|told| right_ms.saturating_sub(told.0) <= TOLD_WITHIN_MS)
    };
    if voters.is_empty() || !voters.iter().all(is_told) {
        return None;
    }
    let by = i64::try_from(dice.between(SMALL_MS.0, SMALL_MS.1)).ok()?;
    leap_all(cluster, by.saturating_neg())
}

fn leap_all(cluster: &SimCluster<'_>, by_ms: i64) -> Option<(Vec<u64>, Undo)> {
    let ids = cluster.ids();
    for id in &ids {
        cluster.machine(*id)?.clock.leap(by_ms);
    }
    Some((ids.clone(), Undo::Clocks(ids, by_ms)))
}

/// Makes one clock jump while a member moves: by so little that the other nodes still accept that node's announcement,
/// or by more.
pub(super) fn skew_during_move(cluster: &SimCluster<'_>, id: u64, dice: &mut Dice) -> Option<Undo> {
    let (least, most) = *dice.pick(&[HEEDED_MS, SMALL_MS, (SMALL_MS.1, HOUR_MS)])?;
    let by_ms = i64::try_from(dice.between(least, most)).ok()?;
    let by_ms = if dice.chance(1, 2) { by_ms } else { by_ms.saturating_neg() };
    cluster.machine(id)?.clock.jump(by_ms);
    Some(Undo::Clock(id))
}
