//! `assent-jepsen sim`: runs seeds by number, prints the results as a table, and prints the command that shows a
//! failure again.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::TypedValueParser;

use super::nemesis::Kind;
use super::run::{Config, run};
use super::seed::SeedReport;
use super::seeds::{Plan, SeedsReport, parse_range, run_seeds};
use super::shrink::shrink;
use super::table;
use crate::mutants::{Mutant, activate};
use crate::output::{Progress, print, say};

/// How long a run lasts unless told otherwise, in simulated seconds.
const SECONDS: u64 = 20;
/// How many seeds pass between two lines of progress, where stderr is no terminal.
const PROGRESS_EACH: u64 = 10;

/// Run whole clusters in simulation, seed by seed, and judge them.
///
/// Each seed is one process and one thread: 3 or 5 nodes with their real code on a simulated network, disk and clock,
/// callers over HTTP, and a nemesis. The same seed of the same build gives the same run. Every run is judged by every
/// invariant that is checked. If one is violated, the exit code is 1, and the command prints how to show it again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  assent-jepsen sim --seeds 0..30 --seconds 60
  assent-jepsen sim --seed 7 --nodes 5 --minutes 2 --faults partition,power-cut --history h.jsonl
  assent-jepsen sim --seed 7 --shrink")]
pub struct SimArgs {
    /// One seed
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from A up to, but not including, B
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// Number of nodes at the beginning, 3 or 5
    #[arg(long, default_value_t = 3, value_parser = clap::builder::PossibleValuesParser::new(["3", "5"]).map(|n| n.parse::<u64>().unwrap_or(3)))]
    nodes: u64,
    /// How long faults are made, in simulated seconds [default: 20]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// The same in minutes
    #[arg(long, value_name = "M", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: Option<u64>,
    /// Kinds of faults, `all` or `none`
    #[arg(long, value_name = "KIND,…", default_value = "all", value_parser = parse_faults)]
    faults: Faults,
    /// Number of callers
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    clients: u64,
    /// Break the nodes on purpose with this defect; the build that has the defects is made first
    #[arg(long, value_name = "NAME")]
    mutant: Option<Mutant>,
    /// Faults to leave out, by their number in the run; everything else stays as similar as possible
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    skip: Vec<u64>,
    /// Write what the nodes log, with simulated times, to FILE (one seed)
    #[arg(long, value_name = "FILE", requires = "seed")]
    trace: Option<PathBuf>,
    /// Write the history to FILE (one seed)
    #[arg(long, value_name = "FILE", requires = "seed")]
    history: Option<PathBuf>,
    /// After a violation, leave out every fault that it does not need
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Number of seeds at once [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: Option<u64>,
    /// Run this one seed in this process, and print its report as JSON
    #[arg(long, hide = true, requires = "seed")]
    here: bool,
}

/// Kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Kind>);

/// The largest number of seeds of one command.
const SEEDS_MAX: u64 = 1_000_000;

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    parse_range(text, SEEDS_MAX)
}

fn parse_faults(text: &str) -> Result<Faults, String> {
    match text {
        "all" => Ok(Faults(Kind::ALL.to_vec())),
        "none" => Ok(Faults(Vec::new())),
        names => names.split(',').map(str::parse).collect::<Result<_, _>>().map(Faults),
    }
}

impl SimArgs {
    fn lasts(&self) -> Duration {
        let seconds = self.minutes.map(|minutes| minutes.saturating_mul(60)).or(self.seconds);
        Duration::from_secs(seconds.unwrap_or(SECONDS))
    }

    fn config(&self, seed: u64) -> Config {
        Config {
            seed,
            nodes: self.nodes,
            lasts: self.lasts(),
            faults: self.faults.0.clone(),
            clients: self.clients,
            skip: self.skip.iter().copied().collect(),
        }
    }

    /// The arguments that describe the run, except the seed.
    fn arguments(&self) -> Vec<String> {
        let faults = match self.faults.0.as_slice() {
            [] => "none".to_owned(),
            all if all == Kind::ALL => "all".to_owned(),
            some => some.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","),
        };
        let mut arguments = vec!["--nodes".to_owned(), self.nodes.to_string()];
        arguments.extend(["--seconds".to_owned(), self.lasts().as_secs().to_string()]);
        arguments.extend(["--clients".to_owned(), self.clients.to_string()]);
        arguments.extend(["--faults".to_owned(), faults]);
        if !self.skip.is_empty() {
            let skip: Vec<String> = self.skip.iter().map(u64::to_string).collect();
            arguments.extend(["--skip".to_owned(), skip.join(",")]);
        }
        if let Some(mutant) = self.mutant {
            arguments.extend(["--mutant".to_owned(), mutant.name().to_owned()]);
        }
        arguments
    }

    fn seeds(&self) -> Vec<u64> {
        match (&self.seeds, self.seed) {
            (Some(range), _) => range.clone().collect(),
            (None, seed) => vec![seed.unwrap_or(1)],
        }
    }

    fn jobs(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(cores)
    }
}

/// Runs the command. Returns whether nothing was violated.
pub fn sim(args: &SimArgs, json: bool) -> Result<bool, String> {
    if let Some(mutant) = args.mutant {
        activate(mutant)?;
    }
    if args.here {
        let report = here(args)?;
        let told = serde_json::to_string(&report).map_err(|error| error.to_string())?;
        print(&told).map_err(|error| error.to_string())?;
        return Ok(report.violations.is_empty());
    }
    let mut arguments = vec!["sim".to_owned(), "--here".to_owned()];
    arguments.extend(args.arguments());
    for (flag, path) in [("--trace", &args.trace), ("--history", &args.history)] {
        if let Some(path) = path {
            arguments.extend([flag.to_owned(), path.display().to_string()]);
        }
    }
    let plan = Plan { seeds: args.seeds(), arguments, jobs: args.jobs(), stop_at_first: false };
    let progress = Progress::of(u64::try_from(plan.seeds.len()).unwrap_or(u64::MAX), 1, PROGRESS_EACH);
    let mut report =
        run_seeds(&plan, &mut |seed, all| tell(&progress, seed, all)).map_err(|error| error.to_string())?;
    report.check_reach(&args.faults.0, args.nodes);
    let told = if json {
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?
    } else {
        table::text(&report, &args.faults.0, &args.arguments())
    };
    print(&told).map_err(|error| error.to_string())?;
    if let (true, Some((seed, found))) = (args.shrink, report.violations.first()) {
        shrink(&plan.arguments, *seed, &found.invariant, &args.arguments(), &mut say)
            .map_err(|error| error.to_string())?;
    }
    Ok(report.is_good())
}

/// Runs one seed in this process.
fn here(args: &SimArgs) -> Result<SeedReport, String> {
    let seed = args.seed.unwrap_or(1);
    if let Some(path) = &args.trace {
        super::trace::begin(path).map_err(|error| format!("writing `{}`: {error}", path.display()))?;
    }
    let folder = tempfile::tempdir().map_err(|error| format!("making a folder: {error}"))?;
    let ran = run(&args.config(seed), folder.path(), &mut |_| {});
    let (report, history) = SeedReport::of(seed, args.nodes, ran);
    if let Some(path) = &args.history {
        history.save(path).map_err(|error| format!("writing `{}`: {error}", path.display()))?;
    }
    Ok(report)
}

/// Prints the progress on stderr, and a seed's violations at once.
fn tell(progress: &Progress, seed: &SeedReport, all: &SeedsReport) {
    for found in &seed.violations {
        progress.interrupt(&format!("seed {}: {} violated: {}", seed.seed, found.invariant, found.what));
    }
    progress.tell(all.seeds, || {
        format!(
            "seeds, {} operations, {} allows, {} violations, {:.1} simulated seconds a second and core",
            all.ops,
            all.allows,
            all.violations.len(),
            all.speed()
        )
    });
}
