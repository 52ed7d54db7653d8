//! The command line of `assent-jepsen`.

mod chaos;
mod check;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use assent_jepsen::ledgers::command::{LedgersArgs, ledgers};
use assent_jepsen::output::say;
use assent_jepsen::parsers::command::{ParsersArgs, parsers};
use assent_jepsen::sim::command::{SimArgs, sim};
use assent_jepsen::sim::hunt::{MutantsArgs, mutants};

/// Exit code: the command line is wrong.
const USAGE: u8 = 64;

/// Cause faults in real and simulated clusters of Assent, and judge what they answered meanwhile.
#[derive(Debug, Parser)]
#[command(
    name = "assent-jepsen",
    max_term_width = 110,
    after_help = "Example:\n  assent-jepsen chaos --seconds 60\n  assent-jepsen sim --seeds 0..10\n  assent-jepsen ledgers --seeds 0..20000\n  assent-jepsen parsers --minutes 480\n  assent-jepsen check history.jsonl"
)]
struct Cli {
    /// The form of the results on stdout
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// The form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Chaos(chaos::ChaosArgs),
    Sim(SimArgs),
    Mutants(MutantsArgs),
    Ledgers(LedgersArgs),
    Parsers(ParsersArgs),
    Check(check::CheckArgs),
}

/// Carries out the command line.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return code.into();
        }
    };
    match cli.command {
        Command::Chaos(args) => args.run(cli.output),
        Command::Sim(args) => ended(sim(&args, cli.output == Output::Json)),
        Command::Ledgers(args) => ended(ledgers(&args, cli.output == Output::Json)),
        Command::Parsers(args) => ended(parsers(&args, cli.output == Output::Json)),
        Command::Mutants(args) => ended(mutants(&args, cli.output == Output::Json)),
        Command::Check(args) => args.run(cli.output),
    }
}

/// Exit code 0 if all is well, 1 if something was found.
fn ended(good: Result<bool, String>) -> ExitCode {
    match good {
        Ok(good) => u8::from(!good).into(),
        Err(problem) => {
            say(&format!("error: {problem}"));
            USAGE.into()
        }
    }
}
