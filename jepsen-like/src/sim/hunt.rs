//! `assent-jepsen mutants`: breaks the nodes on purpose, one defect at a time, and counts the seeds until a check
//! notices.
//!
//! A check that no defect can make fail shows nothing. In addition there is a green control: the nodes without a
//! defect, over the same seeds, in which no check may find a violation.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;

use super::seeds::{Plan, SeedsError, run_seeds};
use crate::check::{INVARIANTS, Setting};
use crate::mutants::{Mutant, build, go_on_with_mutants};
use crate::output::{print, say};
use crate::table::{Side, Table};

/// The pseudo-invariant that one seed gives one trace.
const SAME_TRACE: &str = "M1";

/// Break the nodes on purpose, and see that the checks notice.
///
/// Each mutant is a deliberate defect. All of them are applied as patches to a copy of the work tree, which is built
/// first. For each mutant, seeds are run until the check that it is made for notices, or the budget is spent; that
/// check is the first of those that are meant to notice. The green control runs without a defect. The exit code is 1
/// if no check that is meant to notice catches some mutant, or if the control is not green.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  cargo run -p assent-jepsen --profile sim -- mutants --budget 50
  cargo run -p assent-jepsen --profile sim -- mutants --only cache-allow-1s,lease-read
  cargo run -p assent-jepsen --profile sim -- mutants --build")]
pub struct MutantsArgs {
    /// Only build the nodes with the mutants, and print the path of the program; without `--mutant` it does the same
    /// as this one
    #[arg(long)]
    build: bool,
    /// The largest number of seeds for each mutant
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    budget: u64,
    /// The number of seeds of the green control
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    control: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// How long faults are made in each seed, in simulated seconds
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Number of nodes at the beginning
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: u64,
    /// Only these mutants
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<Mutant>,
    /// Only COUNT mutants, beginning at a place in the list that TURN gives: a rotating selection
    #[arg(long, value_names = ["COUNT", "TURN"], num_args = 2, conflicts_with = "only")]
    handful: Vec<u64>,
    /// Number of seeds at once [default: the number of cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// The result for one mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caught {
    /// The mutant.
    pub mutant: String,
    /// The checks that are meant to notice. The first is the one that it is made for.
    pub meant_for: Vec<String>,
    /// How many seeds it took until the first one noticed; none if it did not within the budget, or judges no
    /// histories.
    pub named: Option<u64>,
    /// Which of them noticed first, and how many seeds it took; none if none did within the budget.
    pub caught: Option<(String, u64)>,
    /// Checks that noticed although they are not meant to.
    pub also: Vec<String>,
}

/// The results for all mutants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hunted {
    /// One row for each mutant.
    pub mutants: Vec<Caught>,
    /// How many seeds the control ran.
    pub control: u64,
    /// The violations that the checks found without a defect.
    pub false_alarms: Vec<String>,
}

/// Runs the command. Returns whether every mutant was caught and the control is green.
pub fn mutants(args: &MutantsArgs, json: bool) -> Result<bool, String> {
    if args.build {
        let program = build().map_err(|error| error.to_string())?;
        print(&program.display().to_string()).map_err(|error| error.to_string())?;
        return Ok(true);
    }
    go_on_with_mutants().map_err(|error| error.to_string())?;
    let hunted = hunt(args, &mut say).map_err(|error| error.to_string())?;
    let told = if json {
        serde_json::to_string_pretty(&hunted).map_err(|error| error.to_string())?
    } else {
        hunted.to_text()
    };
    print(&told).map_err(|error| error.to_string())?;
    Ok(hunted.false_alarms.is_empty() && hunted.mutants.iter().all(|caught| caught.caught.is_some()))
}

fn hunt(args: &MutantsArgs, tell: &mut dyn FnMut(&str)) -> Result<Hunted, SeedsError> {
    let all = Mutant::ALL;
    let wanted: Vec<Mutant> = match args.handful.as_slice() {
        [count, turn] => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(all.len());
            let from = usize::try_from(*turn).unwrap_or(0).wrapping_mul(count) % all.len().max(1);
            all.iter().cycle().skip(from).take(count).copied().collect()
        }
        _ if args.only.is_empty() => all.to_vec(),
        _ => all.iter().copied().filter(|mutant| args.only.contains(mutant)).collect(),
    };
    let mut false_alarms = Vec::new();
    if args.control > 0 {
        let report = run_seeds(&plan(args, None, args.first, args.control), &mut |_, _| {})?;
        for (seed, found) in &report.violations {
            false_alarms.push(format!("seed {seed}: {}: {}", found.invariant, found.what));
        }
        false_alarms
            .extend(report.together.iter().map(|found| format!("{}: {}", found.invariant, found.what)));
        tell(&format!("control: {} seeds, {} complaints", args.control, false_alarms.len()));
    }
    let mut rows = Vec::new();
    for mutant in wanted {
        let row = one(args, mutant)?;
        tell(row.cells().join("  ").trim_end());
        rows.push(row);
    }
    Ok(Hunted { mutants: rows, control: args.control, false_alarms })
}

fn one(args: &MutantsArgs, mutant: Mutant) -> Result<Caught, SeedsError> {
    let caught_by = mutant.caught_by();
    let mut row = Caught {
        mutant: mutant.name().to_owned(),
        meant_for: caught_by.iter().map(|id| (*id).to_owned()).collect(),
        named: None,
        caught: None,
        also: Vec::new(),
    };
    let jobs = u64::try_from(jobs(args)).unwrap_or(1);
    let mut done = 0;
    let made_for = caught_by.first().copied().filter(|id| judges_seeds(id));
    let is_done = |row: &Caught| row.caught.is_some() && (row.named.is_some() || made_for.is_none());
    while done < args.budget && !is_done(&row) {
        let count = jobs.min(args.budget.saturating_sub(done));
        let mut traces = Vec::new();
        let plan = plan(args, Some(mutant), args.first.saturating_add(done), count);
        let report = run_seeds(&plan, &mut |seed, _| traces.push((seed.seed, seed.trace.clone())))?;
        let mut violations: Vec<(u64, String)> =
            report.violations.into_iter().map(|(seed, found)| (seed, found.invariant)).collect();
        if caught_by.contains(&SAME_TRACE) {
            let again = run_seeds(&plan, &mut |seed, _| {
                if !traces.contains(&(seed.seed, seed.trace.clone())) {
                    violations.push((seed.seed, SAME_TRACE.to_owned()));
                }
            })?;
            violations.extend(again.violations.into_iter().map(|(seed, found)| (seed, found.invariant)));
        }
        let rank = |id: &str| caught_by.iter().position(|meant| *meant == id);
        violations.sort_by_key(|(seed, id)| (*seed, rank(id).unwrap_or(usize::MAX)));
        for (seed, invariant) in violations {
            if let Some(rank) = rank(&invariant) {
                let needed = seed.saturating_sub(args.first).saturating_add(1);
                if rank == 0 {
                    row.named.get_or_insert(needed);
                }
                row.caught.get_or_insert((invariant, needed));
            } else if !row.also.contains(&invariant) {
                row.also.push(invariant);
            }
        }
        done = done.saturating_add(count);
    }
    Ok(row)
}

/// Whether an invariant is judged in seeds at all: other tests show some invariants, so that no number of seeds
/// violates them.
fn judges_seeds(id: &str) -> bool {
    let mut judged = INVARIANTS.iter().filter(|invariant| invariant.is_judged_in(Setting::Simulation));
    id == SAME_TRACE || judged.any(|invariant| invariant.id == id)
}

fn jobs(args: &MutantsArgs) -> usize {
    args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

fn plan(args: &MutantsArgs, mutant: Option<Mutant>, first: u64, count: u64) -> Plan {
    let mut arguments = vec!["sim".to_owned(), "--here".to_owned()];
    arguments.extend(["--seconds".to_owned(), args.seconds.to_string()]);
    arguments.extend(["--nodes".to_owned(), args.nodes.to_string()]);
    if let Some(mutant) = mutant {
        arguments.extend(["--mutant".to_owned(), mutant.name().to_owned()]);
        if let Some(faults) = mutant.faults() {
            arguments.extend(["--faults".to_owned(), faults.to_owned()]);
        }
    }
    let seeds = (first..first.saturating_add(count)).collect();
    Plan { seeds, arguments, jobs: jobs(args), stop_at_first: false }
}

/// The number of seeds in the list, and the median.
fn count_and_median(mut seeds: Vec<u64>) -> (usize, u64) {
    seeds.sort_unstable();
    (seeds.len(), seeds.get(seeds.len() / 2).copied().unwrap_or(0))
}

impl Caught {
    /// The cells of the mutant's row: its name, the checks that are meant to notice, when the first of them did, when
    /// any did, and other checks.
    fn cells(&self) -> [String; 5] {
        let made_for = self.meant_for.first().map_or("", String::as_str);
        let named = match self.named {
            Some(seeds) => format!("{made_for} in {seeds}"),
            None => format!("{made_for} never"),
        };
        let caught = self
            .caught
            .as_ref()
            .map_or_else(|| "NOT CAUGHT".to_owned(), |(check, seeds)| format!("{check} in {seeds}"));
        [self.mutant.clone(), self.meant_for.join(" "), named, caught, self.also.join(" ")]
    }
}

impl Hunted {
    fn to_text(&self) -> String {
        let titles = ["mutant", "meant for", "the first", "any", "also violated"];
        let mut table = Table::new(&titles.map(|title| (title, Side::Left)));
        for row in &self.mutants {
            table.row(row.cells());
        }
        let mut out = table.to_text("");
        let any = self.mutants.iter().filter_map(|row| row.caught.as_ref().map(|(_, seeds)| *seeds));
        let (any, any_median) = count_and_median(any.collect());
        let (named, named_median) =
            count_and_median(self.mutants.iter().filter_map(|row| row.named).collect());
        let all = self.mutants.len();
        let _ = writeln!(out, "by a check that it is meant for: {any} of {all}, median seeds {any_median}");
        let _ = writeln!(out, "by the first of these: {named} of {all}, median seeds {named_median}");
        let _ = writeln!(out, "control: {} seeds, {} complaints", self.control, self.false_alarms.len());
        for alarm in &self.false_alarms {
            let _ = writeln!(out, "  {alarm}");
        }
        out
    }
}
