//! Faults of clocks.

use super::super::dice::Dice;
use super::super::stage::Stage;
use super::Undo;
use super::kind::Kind;

/// The largest jump, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

pub(super) fn begin(kind: Kind, stage: &mut Stage<'_>, dice: &mut Dice) -> Option<(Vec<u64>, Undo)> {
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
