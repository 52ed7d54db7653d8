//! `assent node`: runs one node with a configuration file until it is told to stop.
//!
//! It owns the node's process: its log, its signals, its limit of open files, and the exit code. What the node does is
//! the business of `assent-cluster`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use tokio::time::{Instant, sleep, timeout};

use assent_cluster::config::Config;
use assent_cluster::env::{Environment, reserve_open_files};
use assent_cluster::node::Node;

use crate::exit::{CliError, Exit};
use crate::log::{self, LogForm};
use crate::output::Output;
use crate::runtimes::Runtimes;
use crate::signals::{Signals, notify_ready, notify_stopping, survive_hangups};

/// The longest time that a node waits for its data directory.
const DIRECTORY_WITHIN: Duration = Duration::from_secs(5);
/// The longest time that a node takes to stop after the process that started it has ended.
const PARENTLESS_FOR: Duration = Duration::from_secs(1);

/// Run one node of a cluster until SIGTERM or Ctrl-C.
///
/// The node's log goes to stderr. `ASSENT_LOG` filters it (`info`, `assent_cluster=debug`, …); if the node cannot use
/// the value, it logs a warning. Lines that no reader takes in time are lost and counted; the node never waits for a
/// reader.
///
/// The first signal stops the node in order: the node hands leadership over and answers the calls that are under way.
/// A second signal ends the node at once. SIGHUP changes nothing. Under systemd, use `Type=notify`: the node reports
/// when it serves and when it stops.
///
/// The node raises its limit of open files as far as the hard limit (`LimitNOFILE=`) allows. It accepts as many client
/// connections as that limit leaves room for, at most `limits.connections`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent node --config /etc/assent/node-1.toml")]
pub(crate) struct Args {
    /// The node's configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of the log
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
    /// Stop when stdin ends, which happens when the process that started this one has ended
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// Runs the node.
pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let lost_lines = log::start_node(args.log);
    let mut signals = Signals::listen();
    survive_hangups();
    let remedy = "correct what the error names, and start the node again";
    let mut config = Config::load(&args.config)
        .map_err(|error| CliError::new("config_invalid", error.to_string(), remedy))?;
    cap_connections(&mut config)?;
    let id = config.node_id;
    let runtimes = Runtimes::start(config.limits.verifications)?;
    let env = runtimes.serve(data_directory(&config).await?);
    let node = tokio::select! {
        started = Node::start(config, env) => {
            started.map_err(|error| CliError::new("node_not_started", error.to_string(), remedy))?
        }
        () = signals.told_to_stop() => {
            output.say("the node was told to stop before it served; it has acknowledged nothing");
            // The node ends as in a crash: opening a large store must not delay the end.
            end(0)
        }
    };
    node.service().metrics().count_lost_lines(lost_lines);
    node.service().metrics().show_process();
    let client = node.client_addr().to_string();
    say_ready(output, id, client.clone());
    notify_ready(&format!("node {id} serves clients on {client}"));
    tokio::select! {
        cause = node.failed() => {
            let remedy = remedy_for(&cause);
            output.error(&CliError::new("node_failed", cause, remedy));
            // The state of the disk is in doubt. No destructor may write to the disk any more, and work that hangs on
            // a dead disk must not keep the process alive.
            end(1)
        }
        () = signals.told_to_stop() => {
            tracing::info!("stopping; a second signal ends it at once");
            notify_stopping("handing leadership over and finishing the calls under way");
            tokio::select! {
                () = node.shutdown() => Ok(Exit::Ok),
                () = signals.told_to_stop() => {
                    let detail = "a second signal ended the node at once; what was acknowledged is on disk";
                    let remedy = "start the node again; it replays its log";
                    output.error(&CliError::new("stopped_at_once", detail, remedy));
                    end(1)
                }
            }
        }
        () = parent_gone(), if args.exit_with_parent => {
            // No process is left that could end this one if it took long. What was acknowledged is on disk in any
            // case.
            let _ = timeout(PARENTLESS_FOR, node.shutdown()).await;
            Ok(Exit::Ok)
        }
    }
}

/// Opens the node's data directory. If a process that is about to end still holds the directory, this waits for it.
async fn data_directory(config: &Config) -> Result<Environment, CliError> {
    let until = Instant::now() + DIRECTORY_WITHIN;
    loop {
        match Environment::real(&config.data_dir) {
            Ok(env) => return Ok(env),
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy && Instant::now() < until => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(CliError::file("use", &config.data_dir, &error)),
        }
    }
}

/// Raises the limit of open files, and caps the client connections at what fits into it.
fn cap_connections(config: &mut Config) -> Result<(), CliError> {
    let remedy = "raise the hard limit of open files: `LimitNOFILE=` under systemd, `ulimit -Hn` in a shell";
    let wanted = config.limits.connections;
    let file_budget = reserve_open_files(wanted, config.other_connections())
        .map_err(|error| CliError::new("too_few_files", error.to_string(), remedy))?;
    if file_budget.connections < wanted {
        tracing::warn!(
            connections = file_budget.connections,
            wanted,
            open_files_max = file_budget.limit,
            needed = file_budget.needed,
            remedy,
            "fewer client connections than `limits.connections`: the limit of open files leaves no room for more"
        );
        config.limits.connections = file_budget.connections;
    }
    Ok(())
}

/// Prints that the node serves. It does not wait for a reader of stdout, since there may never be one.
fn say_ready(output: Output, id: u64, client: String) {
    let saying = move || {
        let said = output.result(&serde_json::json!({ "node": id, "client": client }), || {
            format!("ready: node {id} serves clients on {client}")
        });
        if let Err(error) = said {
            tracing::warn!(%error, "could not print on stdout that the node serves");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("ready".to_owned()).spawn(saying) {
        tracing::warn!(%error, "could not start a thread to print on stdout that the node serves");
    }
}

/// The remedy for a node that ended by itself.
fn remedy_for(cause: &str) -> &'static str {
    // The cause names the build to start.
    if cause.contains("start this node with") {
        return "install that build, then start the node again; nothing on its disk is damaged";
    }
    if cause.starts_with("the task `") {
        return "start the node again, and report this with the log: it is a bug in the program";
    }
    "check the disk and the log, then start the node again"
}

/// Ends the process after its log is written.
fn end(code: i32) -> ! {
    log::finish();
    std::process::exit(code)
}

/// Waits until stdin ends. What is written to stdin is ignored.
///
/// It reads in a thread of its own. At its end, the runtime would wait for a thread of its pool, and so for the
/// parent.
async fn parent_gone() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error counts as the end.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
