//! Shrinks a failing run: leaves out the faults that the violation does not need.

use super::seeds::{Plan, SeedsError, run_seeds};
use super::table::reproduce;

/// The largest number of runs that it takes.
const RUNS_MAX: usize = 120;

/// Leaves out as many faults as possible, first in halves, then one by one, and reports what it finds.
pub(super) fn shrink(
    arguments: &[String],
    seed: u64,
    invariant: &str,
    shown: &[String],
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<u64>, SeedsError> {
    let mut runs = 0;
    let mut still = |skip: &[u64]| -> Result<Option<u64>, SeedsError> {
        runs += 1;
        let plan =
            Plan { seeds: vec![seed], arguments: with_skip(arguments, skip), jobs: 1, stop_at_first: false };
        let report = run_seeds(&plan, &mut |_, _| {})?;
        let made = report.drawn;
        let violated = report.violations.iter().any(|(_, found)| found.invariant == invariant);
        Ok((runs <= RUNS_MAX && violated).then_some(made))
    };
    let Some(made) = still(&[])? else {
        tell("the violation does not show again, so nothing can be left out");
        return Ok(Vec::new());
    };
    let mut skipped: Vec<u64> = Vec::new();
    let mut kept: Vec<u64> = (0..made).collect();
    let mut width = kept.len().div_ceil(2).max(1);
    while !kept.is_empty() {
        let mut at = 0;
        while at < kept.len() {
            let part: Vec<u64> = kept.iter().copied().skip(at).take(width).collect();
            let mut trial = skipped.clone();
            trial.extend(&part);
            trial.sort_unstable();
            if still(&trial)?.is_some() {
                kept.retain(|fault| !part.contains(fault));
                skipped = trial;
                tell(&format!("{invariant} still violated with {} of {made} faults", kept.len()));
            } else {
                at += width;
            }
        }
        if width == 1 {
            break;
        }
        width = width.div_ceil(2);
    }
    let smaller = with_skip(shown, &skipped);
    tell(&format!("{} faults are left: {kept:?}\n{}", kept.len(), reproduce(seed, &smaller)));
    Ok(kept)
}

fn with_skip(arguments: &[String], skip: &[u64]) -> Vec<String> {
    let mut arguments = arguments.to_vec();
    if !skip.is_empty() {
        let list: Vec<String> = skip.iter().map(u64::to_string).collect();
        arguments.extend(["--skip".to_owned(), list.join(",")]);
    }
    arguments
}
