//! The `assent` command: cluster, keys, statements, decisions.
//!
//! It parses the command line, runs one subcommand and turns the outcome into an exit code. Each subcommand is in a
//! file of its own under `command`.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // They panic when the reader is gone; `Output` does not.

mod args;
mod certificates;
mod command;
mod connect;
mod deliver;
mod demo;
mod dev;
mod draft;
mod each_node;
mod edge;
mod exit;
#[cfg(test)]
mod fake;
mod files;
mod govern;
mod help;
mod key_locks;
mod keys;
mod log;
mod members;
mod output;
mod runtimes;
mod signals;
mod slotted;
mod table;
mod tokens;
mod unsettled;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use exit::{CliError, Exit};
use output::Output;

/// Parsing and signing allocate much in small pieces; `benches` measured what this saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `--help` ends with.
const AFTER_HELP: &str = "\
Example:
  assent status --endpoint http://127.0.0.1:7400
  assent authorize --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem -- python3 job.py
  assent status --endpoint https://node-1:7400 --ca ca.pem \\
    --token-file operator.token

Exit code:
   0  done, or allowed
  10  denied
  11  the cluster cannot know, or cannot be reached
  12  `watch` stopped its command because it is denied
  13  `watch` stopped its command because no node said in time that it may go on
  14  what was read or delivered belongs to a history that is not in force, or lies beyond the ledger in force
  64  the command line is wrong
   1  any other failure; the error says what failed, why, and what to do
Otherwise `watch` ends with the exit code of its command, and so do `authorize` and `permit` if they run a command.";

/// May this execute now? Run a cluster, sign evidence, ask for decisions, revoke keys, and verify offline.
#[derive(Debug, Parser)]
#[command(
    name = "assent",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = AFTER_HELP
)]
struct Cli {
    /// The form of the results on stdout
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// Every subcommand.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(command::demo::Args),
    Dev(command::dev::Args),
    Node(command::node::Args),
    Genesis(command::genesis::Args),
    Key(command::key::Args),
    Cert(command::cert::Args),
    Statement(command::statement::Args),
    Sign(command::sign::Args),
    Submit(command::submit::Args),
    Authorize(Box<command::authorize::Args>),
    Permit(Box<command::permit::Args>),
    Watch(Box<command::watch::Args>),
    Events(command::events::Args),
    Revoke(command::revoke::Args),
    Contain(command::contain::Args),
    Release(command::release::Args),
    Reconcile(command::reconcile::Args),
    Lineage(command::lineage::Args),
    Envelope(command::envelope::Args),
    Authority(command::authority::Args),
    Domain(command::domain::Args),
    Status(command::status::Args),
    Member(Box<command::member::Args>),
    Leader(command::leader::Args),
    Clock(command::clock::Args),
    Recover(command::recover::Args),
    Verify(command::verify::Args),
    #[command(hide = true)]
    WatchChild(command::watch::ChildArgs),
    #[command(hide = true)]
    WatchGuard(command::watch::GuardArgs),
}

impl Command {
    async fn run(self, output: Output) -> Result<Exit, CliError> {
        match self {
            Command::Demo(args) => command::demo::run(args, output).await,
            Command::Dev(args) => command::dev::run(args, output).await,
            Command::Node(args) => command::node::run(args, output).await,
            Command::Genesis(args) => command::genesis::run(args, output).await,
            Command::Key(args) => command::key::run(args, output).await,
            Command::Cert(args) => command::cert::run(args, output).await,
            Command::Statement(args) => command::statement::run(args, output).await,
            Command::Sign(args) => command::sign::run(args, output).await,
            Command::Submit(args) => command::submit::run(args, output).await,
            Command::Authorize(args) => command::authorize::run(*args, output).await,
            Command::Permit(args) => command::permit::run(*args, output).await,
            Command::Watch(args) => command::watch::run(*args, output).await,
            Command::Events(args) => command::events::run(args, output).await,
            Command::Revoke(args) => command::revoke::run(args, output).await,
            Command::Contain(args) => command::contain::run(args, output).await,
            Command::Release(args) => command::release::run(args, output).await,
            Command::Reconcile(args) => command::reconcile::run(args, output).await,
            Command::Lineage(args) => command::lineage::run(args, output).await,
            Command::Envelope(args) => command::envelope::run(args, output).await,
            Command::Authority(args) => command::authority::run(args, output).await,
            Command::Domain(args) => command::domain::run(args, output).await,
            Command::Status(args) => command::status::run(args, output).await,
            Command::Member(args) => command::member::run(*args, output).await,
            Command::Leader(args) => command::leader::run(args, output).await,
            Command::Clock(args) => command::clock::run(args, output).await,
            Command::Recover(args) => command::recover::run(args, output).await,
            Command::Verify(args) => command::verify::run(args, output).await,
            Command::WatchChild(args) => command::watch::run_child(&args),
            Command::WatchGuard(args) => command::watch::run_guard(&args, output).await,
        }
    }
}

fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(error) => {
            // Clap itself would end with 2. Help and version are not errors.
            let json = asks_for_json(std::env::args_os());
            if !error.use_stderr() {
                let output = if json { Output::Json } else { Output::Text };
                let printed = output.help(&error);
                return printed.map_or_else(|error| ended_by(&error, output), |()| Exit::Ok).into();
            }
            if json {
                Output::Json.error(&CliError::usage(told_by(&error)));
            } else {
                let _ = error.print();
            }
            return Exit::Usage.into();
        }
    };
    let output = cli.output;
    if lacks_its_command(std::env::args_os()) {
        return ended_by(&CliError::usage("nothing follows `--`"), output).into();
    }
    let exit = run(cli).unwrap_or_else(|error| ended_by(&error, output));
    log::finish();
    exit.into()
}

/// Reads the command line, as `Cli::try_parse` does, with examples in the help that clap does not break.
fn parsed() -> Result<Cli, clap::Error> {
    let mut command = help::with_whole_examples(Cli::command());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Prints the error that ends the program, and returns its exit code.
fn ended_by(error: &CliError, output: Output) -> Exit {
    output.error(error);
    error.exit
}

/// Whether a command line that could not be parsed asks for JSON. Arguments after `--` belong to another program.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut names_a_form = false;
    for argument in arguments.take_while(|argument| argument != "--") {
        if argument == "--output=json" || (names_a_form && argument == "json") {
            return true;
        }
        names_a_form = argument == "--output";
    }
    false
}

/// What is wrong with the command line, in one line.
fn told_by(error: &clap::Error) -> String {
    let kind = error.kind();
    if matches!(kind, ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        return "no command is given".to_owned();
    }
    let text = error.render().to_string();
    let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|mark| text.find(mark)).min();
    let what = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    what.trim_start_matches("error:").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether nothing follows the first `--`, as happens if a script's variable is empty. The command to run is then
/// missing, which differs from a question without a command.
fn lacks_its_command(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut from_there = arguments.skip_while(|argument| argument != "--");
    from_there.next().is_some() && from_there.next().is_none()
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(cli.command.run(cli.output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_behind_two_dashes_is_a_missing_command() {
        let lacks = |arguments: &[&str]| {
            lacks_its_command(arguments.iter().map(|argument| OsString::from(*argument)))
        };
        assert!(lacks(&["assent", "authorize", "--"]));
        assert!(!lacks(&["assent", "authorize"]));
        assert!(!lacks(&["assent", "authorize", "--", "job"]));
        assert!(!lacks(&["assent", "authorize", "--", "job", "--"]));
    }

    #[test]
    fn every_exit_code_is_in_the_help_and_in_the_docs() {
        let readme = include_str!("../../../README.md");
        let page = include_str!("../../../docs/command.md");
        for exit in [
            Exit::Ok,
            Exit::Failed,
            Exit::Deny,
            Exit::CannotKnow,
            Exit::Stopped,
            Exit::StoppedUnknown,
            Exit::OtherHistory,
            Exit::Usage,
        ] {
            let number = exit.number();
            assert!(AFTER_HELP.contains(&format!("\n  {number:>2}  ")), "{number}");
            for text in [readme, page] {
                assert!(text.contains(&format!("\n| {number} | ")), "{number}");
            }
        }
    }

    #[test]
    fn the_form_of_an_error_is_read_from_a_command_line_that_is_wrong() {
        let asks =
            |arguments: &[&str]| asks_for_json(arguments.iter().map(|argument| OsString::from(*argument)));
        assert!(asks(&["assent", "--output", "json", "nonsense"]));
        assert!(asks(&["assent", "status", "--nonsense", "--output=json"]));
        assert!(!asks(&["assent", "--output", "text", "json"]));
        assert!(!asks(&["assent", "authorize", "--", "job", "--output", "json"]));
    }
}
