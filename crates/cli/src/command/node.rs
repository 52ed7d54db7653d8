//! `assent node`: one node, from a configuration file, until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use tokio::time::{Instant, sleep, timeout};
use tracing_subscriber::EnvFilter;

use assent_cluster::config::Config;
use assent_cluster::env::Environment;
use assent_cluster::node::Node;

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::signals::{Signals, notify_ready, notify_stopping, survive_hangups};

/// Longest that a node waits for its data directory.
const DIRECTORY_WITHIN: Duration = Duration::from_secs(5);
/// Longest that a node goes on without the process that started it.
const PARENTLESS_FOR: Duration = Duration::from_secs(1);

/// The form of the log on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Run one node of a cluster, until SIGTERM or Ctrl-C.
///
/// The node's log goes to stderr; `ASSENT_LOG` filters it (`info`, `assent_cluster=debug`, …). The first signal stops it in
/// order: leadership is handed over, what is under way is answered. A second one ends it at once. SIGHUP changes nothing.
/// Under systemd use `Type=notify`: the node reports when it serves and when it stops.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent node --config /etc/assent/node-1.toml")]
pub(crate) struct Args {
    /// The node's configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The form of the log
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    log: LogForm,
    /// Stop when stdin ends, as it does when the process that started this one is gone
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

/// Runs the node.
pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    start_log(args.log);
    let mut signals = Signals::listen();
    survive_hangups();
    let remedy = "mend what the error names and start the node again";
    let config = Config::load(&args.config)
        .map_err(|error| CliError::new("config_invalid", error.to_string(), remedy))?;
    let id = config.node_id;
    let env = data_directory(&config).await?;
    let node = tokio::select! {
        started = Node::start(config, env) => {
            started.map_err(|error| CliError::new("node_not_started", error.to_string(), remedy))?
        }
        () = signals.told_to_stop() => {
            output.say("told to stop before it served: nothing was promised yet");
            // As a crash here would: opening a large store must not hold the end up.
            std::process::exit(0)
        }
    };
    let client = node.client_addr().to_string();
    output.result(&serde_json::json!({ "node": id, "client": client }), || {
        format!("ready: node {id} serves clients on {client}")
    })?;
    notify_ready(&format!("node {id} serves clients on {client}"));
    tokio::select! {
        cause = node.failed() => {
            // The cause says itself which build to start.
            let remedy = match cause.contains("start this node with") {
                true => "install that build, then start the node again; nothing on its disk is damaged",
                false => "look at the disk and the log, then start the node again",
            };
            output.error(&CliError::new("node_failed", cause, remedy));
            // What is on disk is in doubt. No destructor may write to it any more, and work that hangs on a
            // dead disk must not keep the process alive.
            std::process::exit(1)
        }
        () = signals.told_to_stop() => {
            tracing::info!("stopping; a second signal ends it at once");
            notify_stopping("handing over and finishing what is under way");
            tokio::select! {
                () = node.shutdown() => Ok(Exit::Ok),
                () = signals.told_to_stop() => {
                    let detail = "ended at once by a second signal; what was acknowledged is on disk";
                    let remedy = "start the node again; it replays its log";
                    output.error(&CliError::new("stopped_at_once", detail, remedy));
                    std::process::exit(1)
                }
            }
        }
        () = parent_gone(), if args.exit_with_parent => {
            // Nobody is left who could end it if it took long; what was acknowledged is on disk anyway.
            let _ = timeout(PARENTLESS_FOR, node.shutdown()).await;
            Ok(Exit::Ok)
        }
    }
}

/// The node's world. A process that is just ending may still hold the directory: that is waited for.
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

fn start_log(form: LogForm) {
    let filter =
        EnvFilter::try_from_env("ASSENT_LOG").unwrap_or_else(|_| EnvFilter::new("info,openraft=error"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // There is one log a process; a second one would be a mistake that changes nothing.
    let _ = match form {
        LogForm::Text => log.with_ansi(false).try_init(),
        LogForm::Json => log.json().try_init(),
    };
}

/// Waits until stdin ends. What is written to it means nothing.
///
/// It reads in a thread of its own: the runtime would wait for one of its threads at the end, and so for the parent.
async fn parent_gone() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
