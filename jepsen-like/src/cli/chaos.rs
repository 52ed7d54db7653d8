//! `assent-jepsen chaos`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use assent_jepsen::HarnessError;
use assent_jepsen::chaos::{ChaosConfig, Kind, LoadConfig, Report, SECONDS_MAX, run};
use assent_jepsen::history::History;
use assent_jepsen::output::{print, say};

use super::{Output, USAGE};

/// Kill, pause and stop the nodes of a cluster of its own under load.
///
/// The command starts real node processes in a temporary directory. It asks every node, submits through the real
/// client, revokes and quarantines, and makes one fault after another. It reports how long denies lasted, and every
/// wrong answer. The run is judged by the invariants that jepsen-like/README.md lists for chaos. Among them: no allow
/// after an acknowledged restriction or without a quorum, no acknowledged envelope that is missing or different on
/// some node, no two receipts for the same bytes, and the same state on all nodes. The exit code is 1 if any invariant
/// is violated. The seed decides the faults; the timing is real. A run of more than 120 s asks and submits less often,
/// so that its history fits into memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  assent-jepsen chaos --nodes 5 --seconds 120 --seed 7 --faults kill,pause
  assent-jepsen --output json chaos > report.json")]
pub(super) struct ChaosArgs {
    /// Number of nodes, 3 or 5
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=5))]
    nodes: u16,
    /// Begin no fault after this many seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Seed of the faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Kinds of faults
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Fault::Kill, Fault::Pause, Fault::Stop])]
    faults: Vec<Fault>,
    /// Never strike so many nodes that no quorum is left
    #[arg(long)]
    minority_only: bool,
    /// Write the history to FILE, which `check --of chaos` judges again
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// A kind of fault, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The process is killed (SIGKILL).
    Kill,
    /// The process is paused for a while (SIGSTOP).
    Pause,
    /// The process is stopped gracefully (SIGTERM).
    Stop,
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Kill => Kind::Kill,
            Fault::Pause => Kind::Pause,
            Fault::Stop => Kind::Stop,
        }
    }
}

impl ChaosArgs {
    /// Runs the faults, and prints what the cluster answered.
    pub(super) fn run(&self, output: Output) -> ExitCode {
        if self.nodes == 4 {
            say("error: usage: a cluster has 3 or 5 nodes\nremedy: see `assent-jepsen chaos --help`");
            return USAGE.into();
        }
        match chaos(self) {
            Ok((report, history)) => {
                if let Some(path) = &self.history
                    && let Err(error) = history.save(path)
                {
                    return failed(&format!("writing `{}`: {error}", path.display()));
                }
                let text = match output {
                    Output::Text => report.to_text(),
                    Output::Json => report.to_json().to_string(),
                };
                match print(&text) {
                    Ok(()) => u8::from(!report.is_good()).into(),
                    Err(error) => failed(&error.to_string()),
                }
            }
            Err(error) => failed(&error.to_string()),
        }
    }
}

fn failed(problem: &str) -> ExitCode {
    say(&format!("error: {problem}"));
    1.into()
}

fn chaos(args: &ChaosArgs) -> Result<(Report, History), HarnessError> {
    assent_jepsen::build_binary()?;
    let config = ChaosConfig {
        nodes: args.nodes,
        seconds: args.seconds,
        faults_max: usize::MAX,
        seed: args.seed,
        kinds: args.faults.iter().map(|fault| Kind::from(*fault)).collect(),
        majorities: !args.minority_only,
        load: LoadConfig::lasting(args.seconds),
    };
    let failed = |error: std::io::Error| HarnessError::Unexpected(format!("starting the runtime: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        tokio::select! {
            ran = run(config, say) => ran,
            // Dropping the run ends the cluster's processes and removes its directory.
            _ = tokio::signal::ctrl_c() => Err(HarnessError::Unexpected("interrupted".to_owned())),
        }
    })
}
