//! Runs many seeds, each in a process of its own and as many at once as there are cores, and adds up their results.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::nemesis::Kind;
use super::rare::SOMETIMES;
use super::seed::{Found, SeedReport};

/// From this number of seeds on, the rates of success of all seeds together are checked.
const SUBSTANCE_SEEDS: u64 = 5;

/// From this much simulated time on, in milliseconds, every possible event must have happened: three hours.
const REACH_MS: u64 = 3 * 3_600_000;

/// What is run for each seed: arguments of this program, to which the seed is appended.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The arguments that all have in common.
    pub arguments: Vec<String>,
    /// How many processes at once.
    pub jobs: usize,
    /// Whether to end after the first seed that shows a violation.
    pub stop_at_first: bool,
}

/// The results of all seeds together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedsReport {
    /// How many seeds ran to their end.
    pub seeds: u64,
    /// How much time was simulated, in milliseconds.
    pub simulated_ms: u64,
    /// How much time it took, in milliseconds, on so many cores.
    pub wall_ms: u64,
    /// How many processes at once.
    pub jobs: usize,
    /// Operations by callers.
    pub ops: u64,
    /// Those that succeeded.
    pub ok: u64,
    /// Allows among them.
    pub allows: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Denies and refusals by their first code.
    pub denies: BTreeMap<String, u64>,
    /// How many faults were drawn.
    pub drawn: u64,
    /// How often each fault had an effect.
    pub faults: BTreeMap<String, u64>,
    /// How often each rare thing happened.
    pub sometimes: BTreeMap<String, u64>,
    /// How many things each check looked at.
    pub looked_at: BTreeMap<String, u64>,
    /// The violations, by seed.
    pub violations: Vec<(u64, Found)>,
    /// What the seeds together should show and do not.
    pub together: Vec<Found>,
}

/// What a seed is a violation of whose process was ended by a signal: a panic while another one unwinds aborts it. No
/// check names it, so it never counts as the check that a defect is made for.
const ABORTED: &str = "aborted";

/// Why the seeds could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SeedsError {
    /// A process could not be started.
    #[error("starting the process of a seed: {0}")]
    Start(#[from] io::Error),
    /// A process was ended by a signal.
    #[error("the process of seed {seed} was ended: {problem}")]
    Aborted {
        /// The seed.
        seed: u64,
        /// What it printed instead of a report.
        problem: String,
    },
    /// A process ended without a report.
    #[error("the process of seed {seed} ended without a report: {problem}")]
    NoReport {
        /// The seed.
        seed: u64,
        /// What it printed instead.
        problem: String,
    },
}

/// Reads `A..B`, the seeds from A up to, but not including, B: at least one, and at most `seeds_max`.
///
/// # Errors
/// The text is not such a range; the error is a message for people.
pub fn parse_range(text: &str, seeds_max: u64) -> Result<Range<u64>, String> {
    let problem = || format!("`{text}` is not `A..B` with A below B, and at most {seeds_max} seeds");
    let (from, to) = text.split_once("..").ok_or_else(problem)?;
    let (from, to): (u64, u64) = (from.parse().map_err(|_| problem())?, to.parse().map_err(|_| problem())?);
    let count = to.checked_sub(from).filter(|count| (1..=seeds_max).contains(count));
    count.map(|_| from..to).ok_or_else(problem)
}

/// Runs all seeds, and tells `progress` of each seed as it ends. The final report is in the order of the seeds.
pub fn run_seeds(
    plan: &Plan,
    progress: &mut dyn FnMut(&SeedReport, &SeedsReport),
) -> Result<SeedsReport, SeedsError> {
    let begun = tokio::time::Instant::now();
    let program = std::env::current_exe()?;
    let next = AtomicUsize::new(0);
    let jobs = plan.jobs.clamp(1, plan.seeds.len().max(1));
    let mut all = SeedsReport { jobs, ..SeedsReport::default() };
    thread::scope(|scope| {
        let (told, reports) = mpsc::channel();
        for _ in 0..jobs {
            let (told, next, program) = (told.clone(), &next, &program);
            scope.spawn(move || {
                while let Some(seed) = plan.seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if told.send(one(program, &plan.arguments, *seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(told);
        for report in reports {
            let report = match report {
                // A finding like any other: the other seeds have to be run all the same.
                Err(SeedsError::Aborted { seed, problem }) => {
                    all.seeds = all.seeds.saturating_add(1);
                    let found = Found { invariant: ABORTED.to_owned(), what: problem, window: Vec::new() };
                    all.violations.push((seed, found));
                    if plan.stop_at_first {
                        next.store(usize::MAX / 2, Ordering::Relaxed);
                        break;
                    }
                    continue;
                }
                report => report?,
            };
            all.add(&report);
            all.wall_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            progress(&report, &all);
            if plan.stop_at_first && !all.violations.is_empty() {
                // The seeds in progress run to their end; no other begins.
                next.store(usize::MAX / 2, Ordering::Relaxed);
                break;
            }
        }
        Ok(())
    })
    .map(|()| {
        // Whichever seed ended first, the same seeds give the same report.
        all.violations.sort_by_key(|(seed, _)| *seed);
        all.check_substance();
        all
    })
}

fn one(program: &std::path::Path, arguments: &[String], seed: u64) -> Result<SeedReport, SeedsError> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .args(["--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = said.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let problem = format!("{error}; {}; {}", output.status, tail.join(" | "));
        match output.status.signal() {
            Some(_) => SeedsError::Aborted { seed, problem },
            None => SeedsError::NoReport { seed, problem },
        }
    })
}

impl SeedsReport {
    fn add(&mut self, report: &SeedReport) {
        self.seeds = self.seeds.saturating_add(1);
        self.simulated_ms = self.simulated_ms.saturating_add(report.simulated_ms);
        self.ops = self.ops.saturating_add(report.ops);
        self.ok = self.ok.saturating_add(report.ok);
        self.allows = self.allows.saturating_add(report.allows);
        self.drawn = self.drawn.saturating_add(report.drawn);
        self.unknown = self.unknown.saturating_add(report.unknown);
        for (into, from) in [
            (&mut self.denies, &report.denies),
            (&mut self.faults, &report.faults),
            (&mut self.sometimes, &report.sometimes),
            (&mut self.looked_at, &report.looked_at),
        ] {
            for (what, count) in from {
                let sum = into.entry(what.clone()).or_insert(0);
                *sum = sum.saturating_add(*count);
            }
        }
        self.violations.extend(report.violations.iter().map(|found| (report.seed, found.clone())));
    }

    /// M2: over enough time, every kind of fault that was asked for had an effect, and every rare event happened.
    pub fn check_reach(&mut self, kinds: &[Kind], nodes: u64) {
        if self.simulated_ms < REACH_MS {
            return;
        }
        let all = kinds.len() == Kind::ALL.len();
        let fired = |kind: &&Kind| self.faults.get(kind.name()).copied().unwrap_or(0) > 0;
        let silent =
            kinds.iter().filter(|kind| kind.is_possible(nodes) && !fired(kind)).map(|kind| kind.name());
        let happened = |what: &str| self.sometimes.get(what).copied().unwrap_or(0) > 0;
        let missed = SOMETIMES.iter().map(|(what, _)| *what).filter(|what| all && !happened(what));
        let missing: Vec<&str> = silent.chain(missed).collect();
        if !missing.is_empty() {
            let what = format!("never in all that time: {}", missing.join(", "));
            self.together.push(Found { invariant: "M2".to_owned(), what, window: Vec::new() });
        }
    }

    /// M3 for all seeds together: at least 30 % of the operations succeed, and at least 10 % are allows.
    fn check_substance(&mut self) {
        let few = |count: u64, percent: u64| count.saturating_mul(100) < self.ops.saturating_mul(percent);
        if self.seeds >= SUBSTANCE_SEEDS && (few(self.ok, 30) || few(self.allows, 10)) {
            let what = format!(
                "of {} operations only {} succeeded and {} were allows",
                self.ops, self.ok, self.allows
            );
            self.together.push(Found { invariant: "M3".to_owned(), what, window: Vec::new() });
        }
    }

    /// Whether nothing is wrong with any seed, nor with all of them together.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.together.is_empty()
    }

    /// Simulated seconds in one second of one core.
    pub fn speed(&self) -> f64 {
        let cores = u32::try_from(self.jobs).unwrap_or(1).max(1);
        let wall = Duration::from_millis(self.wall_ms).as_secs_f64() * f64::from(cores);
        if wall > 0.0 { Duration::from_millis(self.simulated_ms).as_secs_f64() / wall } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many seeds in which every possible event happened.
    fn eventful(nodes: u64) -> SeedsReport {
        let possible = Kind::ALL.iter().filter(|kind| kind.is_possible(nodes));
        SeedsReport {
            seeds: 300,
            simulated_ms: REACH_MS,
            ops: 1000,
            ok: 300,
            allows: 100,
            faults: possible.map(|kind| (kind.name().to_owned(), 1)).collect(),
            sometimes: SOMETIMES.iter().map(|(what, _)| ((*what).to_owned(), 1)).collect(),
            ..SeedsReport::default()
        }
    }

    fn judged(mut report: SeedsReport, nodes: u64) -> Vec<(String, String)> {
        report.check_reach(Kind::ALL, nodes);
        report.check_substance();
        assert_eq!(report.is_good(), report.together.is_empty());
        report.together.into_iter().map(|found| (found.invariant, found.what)).collect()
    }

    #[test]
    fn a_nemesis_that_does_nothing_is_noticed() {
        assert_eq!(judged(eventful(3), 3), []);
        let found = judged(SeedsReport { faults: BTreeMap::new(), ..eventful(3) }, 3);
        let names: Vec<&str> =
            Kind::ALL.iter().map(|kind| kind.name()).filter(|name| *name != "ring").collect();
        assert_eq!(found, [("M2".to_owned(), format!("never in all that time: {}", names.join(", ")))]);
    }

    #[test]
    fn one_kind_of_fault_or_one_rare_thing_that_never_comes_is_noticed() {
        for kind in Kind::ALL {
            let mut report = eventful(5);
            report.faults.insert(kind.name().to_owned(), 0);
            assert_eq!(
                judged(report, 5),
                [("M2".to_owned(), format!("never in all that time: {}", kind.name()))]
            );
        }
        for (what, _) in SOMETIMES {
            let mut report = eventful(5);
            report.sometimes.remove(*what);
            assert_eq!(judged(report, 5), [("M2".to_owned(), format!("never in all that time: {what}"))]);
        }
    }

    #[test]
    fn seeds_of_which_few_operations_succeed_or_allow_show_too_little() {
        for (ok, allows) in [(299, 100), (300, 99)] {
            let found = judged(SeedsReport { ok, allows, ..eventful(3) }, 3);
            assert!(matches!(found.as_slice(), [(id, _)] if id == "M3"), "{found:?}");
        }
    }
}
