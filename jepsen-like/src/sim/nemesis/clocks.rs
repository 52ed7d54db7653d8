//! Faults of clocks.

use super::super::clock::let_pass;
use super::super::dice::Dice;
use super::super::stage::Stage;
use super::Undo;
use super::kind::Kind;

/// The largest jump, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// More than clocks are trusted by themselves to be ahead of registry time, in milliseconds.
const ELEVEN_YEARS_MS: u64 = 11 * 365 * 24 * HOUR_MS;
/// The least of a leap, in milliseconds: twice as much as a clock that is trusted at once may be ahead of registry time.
const LEAP_MS_MIN: u64 = 1_200_000;

pub(super) fn begin(kind: Kind, stage: &mut Stage<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    match kind {
        Kind::ClocksLeap => return leap(stage, dice),
        Kind::TimePasses => {
            let_pass(i64::try_from(dice.between(LEAP_MS_MIN, HOUR_MS)).ok()?);
            return Some((stage.ids(), Undo::Nothing));
        }
        _ => {}
    }
    let id = *dice.pick(&stage.running())?;
    let machine = stage.machine(id)?;
    let sign = if dice.chance(1, 2) { 1 } else { -1 };
    let far = match kind {
        // Around the bound of half a second.
        Kind::ClockStep => dice.between(50, 900),
        Kind::ClockJump => dice.between(1_000, HOUR_MS),
        Kind::ClockDrift => {
            let ppm = i64::try_from(dice.between(1_000, 200_000)).ok()?;
            let now_ms = i64::try_from(stage.now().as_millis()).ok()?;
            machine.clock.drift(sign * ppm, now_ms);
            return Some((vec![id], Undo::Clock(id)));
        }
        _ => return None,
    };
    machine.clock.jump(sign * i64::try_from(far).ok()?);
    Some((vec![id], Undo::Clock(id)))
}

/// The clocks of all machines leap by the same, also of those that are down.
fn leap(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
    let far = dice.chance(1, 2);
    let by = if far { ELEVEN_YEARS_MS } else { dice.between(LEAP_MS_MIN, HOUR_MS) };
    let by = i64::try_from(by).ok()?;
    // An hour back could be where registry time is, if much time has passed of which no stamp has told yet. A node that runs does not
    // go back with it, but one that is started meanwhile remembers no later time, and trusts at once what is near registry time.
    let by = if far && dice.chance(1, 4) { by.saturating_neg() } else { by };
    let ids = stage.ids();
    for id in &ids {
        stage.machine(*id)?.clock.leap(by);
    }
    Some((ids.clone(), Undo::Clocks(ids, by)))
}
