//! The `assent` command: cluster, keys, statements, decisions.
//!
//! It parses the command line, runs one subcommand and turns its outcome into an exit code. What a subcommand does
//! stands in its own file under `command`.

mod args;
mod command;
mod connect;
mod deliver;
mod demo;
mod dev;
mod draft;
mod edge;
mod exit;
#[cfg(test)]
mod fake;
mod files;
mod govern;
mod keys;
mod log;
mod output;
mod signals;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{CliError, Exit};
use output::Output;

/// Parsing and signing allocate much in small pieces; `benches` measured what this saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// May this execute, now? Run a cluster, sign evidence, ask, revoke, verify.
#[derive(Debug, Parser)]
#[command(
    name = "assent",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Example:\n  assent status --endpoint http://127.0.0.1:7400\n  assent authorize --lineage job-1 --action run --subject-file job.py --trust node-keys.pem -- python3 job.py"
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Clap ends with 2 by itself; help and version are no errors.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let output = cli.output;
    if lacks_its_command(std::env::args_os()) {
        let error = CliError::usage("nothing stands behind `--`");
        output.error(&error);
        return error.exit.into();
    }
    let exit = run(cli).unwrap_or_else(|error| {
        output.error(&error);
        error.exit
    });
    log::finish();
    exit.into()
}

/// Whether nothing stands behind the first `--`, as happens when a script's variable is empty. The command that was to be
/// run is then missing, which differs from asking without one.
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
}
