//! Chaos: a real cluster under load, broken again and again, and what it answered meanwhile.
//!
//! [`run`] starts a cluster, the load ([`Load`]) and a nemesis whose faults a seed decides. The [`Recorder`] writes everything into a
//! [`History`] as a simulated run has it. [`judge`](fn@crate::check::judge) holds the history to the invariants
//! that are judged in chaos, and [`measure`] says how long what took. Timing is real: the same seed makes the same faults, not the
//! same run.

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

/// Longest run: the history is kept in memory.
pub const SECONDS_MAX: u64 = 3_600;
/// The load runs so long before the first fault.
const WARM_UP: Duration = Duration::from_secs(1);

/// What a run is to be.
#[derive(Debug, Clone)]
pub struct ChaosConfig {
    /// 3 or 5.
    pub nodes: u16,
    /// No fault begins after this.
    pub seconds: u64,
    /// No more faults than this.
    pub faults_max: usize,
    /// Decides the faults.
    pub seed: u64,
    /// The kinds of faults.
    pub kinds: Vec<Kind>,
    /// Whether now and then so many nodes are struck that no quorum is left.
    pub majorities: bool,
    /// The load.
    pub load: LoadConfig,
}

/// Breaks a cluster of its own, and gives what the run showed and its history. `say` is told what goes on.
///
/// # Errors
/// The harness could not do its work, or a node never came back; wrong answers are no error but in the report.
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
