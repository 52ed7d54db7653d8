//! `assent dev`: a local cluster of real node processes that runs until Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use tokio::time::{Instant, sleep};

use crate::dev::{Chaos, Layout, Lock, Nodes};
use crate::exit::{CliError, Exit};
use crate::log;
use crate::output::Output;
use crate::signals::Signals;

/// The longest time that a cluster may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the certificates are looked at, which end in 30 days or later.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(3600);
/// With `--respawn`, a node that ended is started again after this time.
const RESPAWN_AFTER: Duration = Duration::from_millis(500);

/// Run a local cluster of real nodes until Ctrl-C.
///
/// On its first start, the command makes keys and a genesis file in DIR. The genesis file has the domain `dev.local`,
/// with one authority for each role and a policy that requires an affirming attestation no older than five minutes. If
/// you start the command again on the same directory, it resumes the same cluster. It writes DIR/dev.json, and prints
/// `export` lines to paste into a shell.
///
/// Without `--tls` the nodes serve plain HTTP on loopback, and every program on this machine may do everything. With it
/// the command makes a certificate authority in DIR/tls, certificates of the nodes, and callers: `operator`, `scheduler`,
/// `gateway`, `submitter` and `auditor` with one role each, and `developer` with all five. Each has a certificate and a
/// token. A certificate is renewed 30 days before its end.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  assent dev --nodes 3 --data ./dev-data --base-port 7400\n  assent dev --tls\n  assent dev --chaos 5"
)]
pub(crate) struct Args {
    /// The number of nodes, 3 or 5; by default as many as DIR has, or 3 if DIR is new
    #[arg(long, value_parser = clap::value_parser!(u16).range(3..=5))]
    nodes: Option<u16>,
    /// The cluster's directory
    #[arg(long, value_name = "DIR", default_value = "dev-data")]
    data: PathBuf,
    /// Node n serves clients on port PORT + n - 1, and peers 100 ports above that; by default the port that DIR has
    /// used before, or 7400 if DIR is new
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Serve TLS and tell callers apart; `--tls=false` serves plain HTTP again. By default as DIR has it, or plain HTTP
    /// if DIR is new
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    tls: Option<bool>,
    /// Start a node again half a second after its process has ended
    #[arg(long)]
    respawn: bool,
    /// To test a client, kill, pause or restart one random node after the other, this long after the last node is
    /// back; never more than a minority at once
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "10",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    chaos: Option<u64>,
}

/// Runs the cluster.
pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    if args.nodes == Some(4) {
        return Err(CliError::usage("a cluster has 3 or 5 nodes"));
    }
    log::start_talk();
    std::fs::create_dir_all(&args.data).map_err(|error| CliError::file("make", &args.data, &error))?;
    let _lock = Lock::take(&args.data)?;
    let layout = Layout::open(&args.data, args.nodes, args.base_port, args.tls)?;
    layout.check_ports()?;
    // Listen before the first process is started: a signal that comes while the nodes start must end them too.
    let mut signals = Signals::listen();
    let mut nodes = Nodes::start(layout)?;
    let done = tokio::select! {
        done = serve(&mut nodes, &args, output) => done,
        () = signals.told_to_stop() => Ok(()),
    };
    output.say("stopping the nodes; a second signal ends them at once");
    tokio::select! {
        () = nodes.stop() => return done.map(|()| Exit::Ok),
        () = signals.told_to_stop() => {}
    }
    nodes.kill_all().await;
    let detail = "a second signal ended the nodes at once; what was acknowledged is on disk";
    Err(CliError::new("stopped_at_once", detail, "start the cluster again on the same directory"))
}

/// Waits for the nodes, prints their addresses, and watches them. It returns only if that fails.
async fn serve(nodes: &mut Nodes, args: &Args, output: Output) -> Result<(), CliError> {
    let started = Instant::now();
    nodes.ready(READY_WITHIN, |ready, total| output.say(&format!("{ready} of {total} nodes ready"))).await?;
    output.say(&format!("the cluster is ready after {} ms; Ctrl-C ends it", started.elapsed().as_millis()));
    let layout = nodes.layout();
    output.say(layout.door());
    output.result(&layout.dev, || layout.exports())?;
    let chaos = args.chaos.map(|seconds| Chaos::every(Duration::from_secs(seconds)));
    watch(nodes, args.respawn, chaos, output).await
}

/// Reports each node that ends, starts it again with `--respawn`, injects faults with `--chaos`, and renews certificates.
async fn watch(
    nodes: &mut Nodes,
    respawn: bool,
    mut chaos: Option<Chaos>,
    output: Output,
) -> Result<(), CliError> {
    let mut due: Vec<(u64, Instant)> = Vec::new();
    let mut certificates_due = Instant::now() + CERTIFICATES_EVERY;
    loop {
        for (id, status) in nodes.ended() {
            if chaos.as_mut().is_some_and(|chaos| chaos.expected(id)) {
                continue;
            }
            if respawn {
                output.say(&format!("node {id} ended ({status}) and is started again"));
                due.push((id, Instant::now() + RESPAWN_AFTER));
            } else {
                output.say(&format!("node {id} ended ({status}) and stays down"));
            }
        }
        let now = Instant::now();
        for (id, _) in due.extract_if(.., |(_, at)| *at <= now).collect::<Vec<_>>() {
            nodes.restart(id)?;
        }
        if now >= certificates_due {
            certificates_due = now + CERTIFICATES_EVERY;
            if let Err(error) = nodes.layout().renew_certificates() {
                output.say(&format!(
                    "no certificate was renewed, the next try is in an hour: {}",
                    error.detail
                ));
            }
        }
        if let Some(chaos) = &mut chaos {
            chaos.look(nodes, output).await?;
        }
        sleep(LOOK_EVERY).await;
    }
}
