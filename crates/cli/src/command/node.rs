//! `assent node`: one node, from a configuration file, until it is told to stop.

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
use crate::signals::{Signals, notify_ready, notify_stopping, survive_hangups};

/// Longest that a node waits for its data directory.
const DIRECTORY_WITHIN: Duration = Duration::from_secs(5);
/// Longest that a node goes on without the process that started it.
const PARENTLESS_FOR: Duration = Duration::from_secs(1);

/// Run one node of a cluster, until SIGTERM or Ctrl-C.
///
/// The node's log goes to stderr; `ASSENT_LOG` filters it (`info`, `assent_cluster=debug`, …), and a value that cannot be followed
/// is a warning. Lines that nobody reads in time are lost and counted; the node never waits for them. The first signal stops it in order: leadership is handed over, what is
/// under way is answered. A second one ends it at once. SIGHUP changes nothing. Under systemd use `Type=notify`: the node reports
/// when it serves and when it stops. It raises its limit of open files as far as the hard limit (`LimitNOFILE=`) allows, and has
/// as many client connections as that leaves room for, at most `limits.connections`.
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
    let lost_lines = log::start_node(args.log);
    let mut signals = Signals::listen();
    survive_hangups();
    let remedy = "mend what the error names and start the node again";
    let mut config = Config::load(&args.config)
        .map_err(|error| CliError::new("config_invalid", error.to_string(), remedy))?;
    cap_connections(&mut config)?;
    let id = config.node_id;
    let env = data_directory(&config).await?;
    let node = tokio::select! {
        started = Node::start(config, env) => {
            started.map_err(|error| CliError::new("node_not_started", error.to_string(), remedy))?
        }
        () = signals.told_to_stop() => {
            output.say("told to stop before it served: nothing was promised yet");
            // As a crash here would: opening a large store must not hold the end up.
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
            // What is on disk is in doubt. No destructor may write to it any more, and work that hangs on a
            // dead disk must not keep the process alive.
            end(1)
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
                    end(1)
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

/// Makes room for the node's open files, and caps its client connections at what fits.
fn cap_connections(config: &mut Config) -> Result<(), CliError> {
    let remedy = "raise the hard limit of open files: `LimitNOFILE=` under systemd, `ulimit -Hn` in a shell";
    let wanted = config.limits.connections;
    let file_budget = reserve_open_files(wanted)
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

/// Says that the node serves. Nobody waits until it is read: that may be never.
fn say_ready(output: Output, id: u64, client: String) {
    let saying = move || {
        let said = output.result(&serde_json::json!({ "node": id, "client": client }), || {
            format!("ready: node {id} serves clients on {client}")
        });
        if let Err(error) = said {
            tracing::warn!(%error, "stdout takes nothing");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("ready".to_owned()).spawn(saying) {
        tracing::warn!(%error, "no thread to say on stdout that the node serves");
    }
}

/// What to do about a node that ended by itself.
fn remedy_for(cause: &str) -> &'static str {
    // The cause says itself which build to start.
    if cause.contains("start this node with") {
        return "install that build, then start the node again; nothing on its disk is damaged";
    }
    if cause.starts_with("the task `") {
        return "start the node again, and report this with the log: it is a defect of the program";
    }
    "look at the disk and the log, then start the node again"
}

/// Ends the process, with its last words said.
fn end(code: i32) -> ! {
    log::finish();
    std::process::exit(code)
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
