//! `assent-jepsen ledgers`: runs ledgers by number, and reports the differences between the rules and the model, each
//! with the command that shows it again.

use std::fmt::Write;
use std::ops::Range;

use clap::Args;

use super::many::{Found, LedgersReport, run_ledgers};
use super::profile::Profile;
use crate::mutants::{Mutant, activate};
use crate::output::{Progress, print};
use crate::sim::seeds::parse_range;

/// The largest number of seeds of one command.
const SEEDS_MAX: u64 = 1_000_000_000;

/// How many ledgers pass between two lines of progress, where stderr is no terminal.
const PROGRESS_EACH: u64 = 2_000;
/// How many ledgers pass between two of them on a terminal.
const PROGRESS_EACH_ON_TERMINAL: u64 = 50;

/// Grow random ledgers, and compare the rules with the model of the rules, step by step.
///
/// Each seed is one ledger of about ten to eighty statements, each followed by requests. The rules that the nodes run,
/// and the model that was written from the documents, must answer alike. A difference is shrunk: every step is left
/// out that it does not need. The exit code is 1 if they differ, or if an event never occurred that must occur in so
/// many ledgers.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  assent-jepsen ledgers --seeds 0..20000
  assent-jepsen ledgers --seeds 0..5000000 --profile words --jobs 8
  assent-jepsen ledgers --seeds 0..200000 --profile peers
  assent-jepsen --output json ledgers --seeds 17..18 > report.json")]
pub struct LedgersArgs {
    /// Seeds from A up to, but not including, B
    #[arg(long, value_name = "A..B", default_value = "0..2000", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// What all ledgers consist of [default: each seed draws one]
    #[arg(long, value_enum, value_name = "NAME")]
    profile: Option<Profile>,
    /// Number of threads [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: Option<u64>,
    /// Break the rules on purpose with this defect, which the model does not have
    #[arg(long, value_name = "MUTANT")]
    mutant: Option<Mutant>,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    parse_range(text, SEEDS_MAX)
}

/// Runs the command. Returns whether nothing was found.
///
/// # Errors
/// A registry to begin with cannot be founded, or the report cannot be written.
pub fn ledgers(args: &LedgersArgs, json: bool) -> Result<bool, String> {
    if let Some(mutant) = args.mutant {
        activate(mutant)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(cores);
    let progress = Progress::of(count(&args.seeds), PROGRESS_EACH_ON_TERMINAL, PROGRESS_EACH);
    let report = run_ledgers(&args.seeds, args.profile, jobs, &mut |all| {
        progress.tell(all.ledgers, || {
            format!("ledgers, {} steps, {} kinds of differences", all.steps, all.findings.len())
        });
    })
    .map_err(|error| error.to_string())?;
    let told = if json {
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?
    } else {
        text(&report, args.mutant)
    };
    print(&told).map_err(|error| error.to_string())?;
    Ok(report.is_good())
}

fn count(seeds: &Range<u64>) -> u64 {
    seeds.end.saturating_sub(seeds.start)
}

/// The whole report for people.
fn text(report: &LedgersReport, mutant: Option<Mutant>) -> String {
    let mut out = String::new();
    let (seconds, tenths) = (report.wall_ms / 1000, report.wall_ms % 1000 / 100);
    let _ = writeln!(
        out,
        "{} ledgers, {} steps in {seconds}.{tenths} s with {} threads",
        report.ledgers, report.steps, report.jobs
    );
    for (title, counts) in [("answers", &report.tally), ("events", &report.events)] {
        let _ = writeln!(out, "{title}");
        for (what, count) in counts {
            let _ = writeln!(out, "  {count:>9} {what}");
        }
    }
    for found in &report.findings {
        let _ = writeln!(
            out,
            "\nseed {}, profile {}: {} (in {} ledgers)",
            found.seed,
            found.profile.name(),
            found.kind,
            found.times
        );
        let _ = writeln!(out, "  {}", found.detail);
        for step in &found.steps {
            let _ = writeln!(out, "  {step}");
        }
        let _ = writeln!(out, "{}", reproduce(found, mutant));
    }
    for event in &report.missing {
        let _ = writeln!(out, "\nnever in all ledgers: {event}");
    }
    out
}

/// The command that shows a finding again.
fn reproduce(found: &Found, mutant: Option<Mutant>) -> String {
    let flag = mutant.map_or_else(String::new, |mutant| format!(" --mutant {}", mutant.name()));
    format!(
        "REPRODUCE WITH: cargo run -p assent-jepsen --profile sim -- ledgers --seeds {}..{} --profile {}{flag}",
        found.seed,
        found.seed.saturating_add(1),
        found.profile.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!(parse_seeds("3..5"), Ok(3..5));
        for wrong in ["5..5", "6..5", "5", "a..b", "0..1000000001"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_finding_is_told_with_its_steps_and_how_to_see_it_again() {
        let found = Found {
            kind: "submit release: rules accepted model claims_invalid".to_owned(),
            times: 3,
            seed: 17,
            profile: Profile::Words,
            detail: "more about it".to_owned(),
            steps: vec!["#0 release".to_owned()],
        };
        let report = LedgersReport { findings: vec![found], ..LedgersReport::default() };
        assert!(!report.is_good());
        let told = text(&report, None);
        let lines: Vec<&str> = told.lines().rev().take(4).collect();
        assert_eq!(
            lines,
            [
                "REPRODUCE WITH: cargo run -p assent-jepsen --profile sim -- ledgers --seeds 17..18 --profile words",
                "  #0 release",
                "  more about it",
                "seed 17, profile words: submit release: rules accepted model claims_invalid (in 3 ledgers)",
            ]
        );
    }
}
