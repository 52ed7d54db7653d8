//! Chaos: faults in a real cluster under load, and the checks of what the cluster answered meanwhile.
//!
//! [`run`] starts a cluster, the load ([`Load`]) and a nemesis whose faults a seed decides. The [`Recorder`] writes
//! everything into a [`History`] of the same form as a simulated run's. [`judge`](fn@crate::check::judge) holds the
//! history to the invariants that are judged in chaos, and [`measure`] computes the durations. Timing is real: the
//! same seed makes the same faults, but not the same run.

mod fault;
mod load;
mod measure;
mod nemesis;
mod plan;
mod recorder;
mod report;
mod rounds;
mod settle;
mod shared;

use std::time::Duration;

use tokio::time::sleep;

pub use fault::{At, Fault, Kind, Struck};
pub use load::{Load, LoadConfig};
pub use measure::{DENY_WITHIN, Measures, Spread, Submissions, Windows, measure};
pub use nemesis::strike;
pub use plan::{Plan, Planned};
pub use recorder::Recorder;
pub use report::{Report, Wrong};
pub use settle::settle;

use crate::cluster::Cluster;
use crate::error::HarnessError;
use crate::history::History;

/// The longest run in seconds: the history is kept in memory.
pub const SECONDS_MAX: u64 = 3_600;
/// How long the load runs before the first fault.
const WARM_UP: Duration = Duration::from_secs(1);

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct ChaosConfig {
    /// The number of nodes: 3 or 5.
    pub nodes: u16,
    /// No fault begins after this many seconds.
    pub seconds: u64,
    /// There are no more faults than this.
    pub faults_max: usize,
    /// The seed of the faults.
    pub seed: u64,
    /// The kinds of faults.
    pub kinds: Vec<Kind>,
    /// Whether a fault sometimes strikes so many nodes that no quorum is left.
    pub majorities: bool,
    /// The load.
    pub load: LoadConfig,
}

/// Runs faults on a cluster that it starts for this purpose, and returns what the run showed and its history. `say`
/// receives a line about each step.
///
/// # Errors
/// The harness could not do its work, or a node never came back. A wrong answer is not an error: the report states it.
pub async fn run(config: ChaosConfig, say: impl Fn(&str)) -> Result<(Report, History), HarnessError> {
    say(&format!("starting {} nodes, seed {}", config.nodes, config.seed));
    let mut cluster = Cluster::start(config.nodes).await?;
    let load = Load::start(&cluster, LoadConfig { seed: config.seed, ..config.load }).await?;
    sleep(WARM_UP).await;
    let recorder = load.recorder();
    let plan = Plan::new(config.seed, &config.kinds, config.majorities).take(config.faults_max);
    for (number, planned) in (1..).zip(plan) {
        if load.at().as_secs() >= config.seconds {
            break;
        }
        let told = |what: &str| {
            say(&format!("{:6.1} s, fault {number}: {what}; {}", load.at().as_secs_f64(), load.so_far()));
        };
        strike(&mut cluster, &planned, &recorder, told).await?;
        sleep(planned.calm).await;
    }
    say("ending the load");
    load.stop().await?;
    settle(&cluster, &recorder, config.seed, &say).await?;
    let history = recorder.take();
    Ok((Report::new(config, &history), history))
}
