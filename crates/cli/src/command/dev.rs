//! `assent dev`: a local cluster of real node processes until Ctrl-C.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::Args as ClapArgs;
use tokio::time::{Instant, sleep};

use super::node::told_to_stop;
use crate::dev::{Layout, Lock, Nodes};
use crate::exit::{CliError, Exit};
use crate::output::Output;

/// Longest that a cluster may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that ended is started again after this long, with `--respawn`.
const RESPAWN_AFTER: Duration = Duration::from_millis(500);

/// Run a local cluster of real nodes until Ctrl-C.
///
/// The first time it makes keys, a genesis file with the domain `dev.local` (one authority a role, a policy that asks
/// for an affirming attestation no older than five minutes) and writes DIR/dev.json. Started again on the same
/// directory it resumes the same cluster. It prints `export` lines to paste into a shell.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent dev --nodes 3 --data ./dev-data --base-port 7400")]
pub(crate) struct Args {
    /// How many nodes, 3 or 5: by default as many as DIR has, 3 if it is new
    #[arg(long, value_parser = clap::value_parser!(u16).range(3..=5))]
    nodes: Option<u16>,
    /// The cluster's directory
    #[arg(long, value_name = "DIR", default_value = "dev-data")]
    data: PathBuf,
    /// Node n serves clients on this port + n - 1, and peers 100 above: by default as before, 7400 if DIR is new
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Start a node again half a second after its process ended
    #[arg(long)]
    respawn: bool,
}

/// Runs the cluster.
pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    if args.nodes == Some(4) {
        return Err(CliError::usage("a cluster has 3 or 5 nodes"));
    }
    std::fs::create_dir_all(&args.data).map_err(|error| CliError::file("make", &args.data, &error))?;
    let _lock = Lock::take(&args.data)?;
    let layout = Layout::open(&args.data, args.nodes, args.base_port)?;
    layout.check_ports()?;
    // Heard from before the first process on: a signal while they start must end them too.
    let mut stop = pin!(told_to_stop());
    let mut nodes = tokio::select! {
        biased;
        () = &mut stop => return Ok(Exit::Ok),
        nodes = async { Nodes::start(layout) } => nodes?,
    };
    let done = tokio::select! {
        done = serve(&mut nodes, args.respawn, output) => done,
        () = &mut stop => Ok(()),
    };
    output.say("stopping the nodes");
    nodes.stop().await;
    done.map(|()| Exit::Ok)
}

/// Waits for the nodes, says where they are, and watches them for ever.
async fn serve(nodes: &mut Nodes, respawn: bool, output: Output) -> Result<(), CliError> {
    let started = Instant::now();
    nodes.ready(READY_WITHIN, |ready, total| output.say(&format!("{ready} of {total} nodes ready"))).await?;
    output.say(&format!("the cluster is ready after {} ms; Ctrl-C ends it", started.elapsed().as_millis()));
    let layout = nodes.layout();
    output.result(&layout.dev, || layout.exports())?;
    watch(nodes, respawn, output).await
}

/// Says when a node ends, and starts it again if that is wanted.
async fn watch(nodes: &mut Nodes, respawn: bool, output: Output) -> Result<(), CliError> {
    let mut due: Vec<(u64, Instant)> = Vec::new();
    loop {
        for (id, status) in nodes.ended() {
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
        sleep(LOOK_EVERY).await;
    }
}
