//! `assent demo`: a cluster of three real node processes allows, denies and recovers, in less than half a minute.

use clap::Args as ClapArgs;
use tokio::time::Instant;

use crate::demo::{DemoCluster, Report, steps};
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::signals::Signals;

/// Watch three real nodes allow, deny after a revocation, deny without a leader, and allow again.
///
/// The demo starts three node processes on free ports in a temporary directory, and removes everything at its end. It
/// ends with exit code 1 if any step did not go as it should.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent demo\n  assent --output json demo")]
pub(crate) struct Args {}

/// Runs the demo.
pub(crate) async fn run(_: Args, output: Output) -> Result<Exit, CliError> {
    let interrupted = || CliError::new("interrupted", "the demo was interrupted", "run it again");
    let mut signals = Signals::listen();
    let started = Instant::now();
    let mut cluster = tokio::select! {
        biased;
        () = signals.told_to_stop() => return Err(interrupted()),
        cluster = DemoCluster::set() => cluster?,
    };
    let mut report = Report::new(output);
    let told = tokio::select! {
        told = steps::run(&mut cluster, &mut report, started) => told,
        () = signals.told_to_stop() => Err(interrupted()),
    };
    cluster.clear().await;
    told?;
    report.finish()?;
    Ok(if report.is_ok() { Exit::Ok } else { Exit::Failed })
}
