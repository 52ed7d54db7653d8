//! Chaos: a real cluster under load, broken again and again, and what it answered meanwhile.
//!
//! [`run`] starts a cluster, the load ([`Load`]) and a nemesis whose faults a seed decides; everything goes into a
//! [`History`], which [`judge`] searches for wrong answers and [`measure`] for how long what took. Timing is real: the
//! same seed makes the same faults, not the same run.

mod history;
mod judge;
mod load;
mod measure;
mod nemesis;
mod plan;
mod report;
mod rounds;
mod settle;
mod shared;

use std::time::Duration;

use tokio::time::sleep;

pub use history::{
    Asked, At, Digest, Fault, Found, History, Kind, Outcome, Receipt, Restricted, Stored, Struck, Submission,
};
pub use judge::{Rule, Wrong, judge};
pub use load::{Load, LoadConfig};
pub use measure::{DENY_WITHIN, Measures, Spread, Submissions, Windows, measure};
pub use nemesis::strike;
pub use plan::{Plan, Planned, Seeded};
pub use report::Report;
pub use settle::settle;

use crate::cluster::Cluster;
use crate::error::HarnessError;

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

/// Breaks a cluster of its own and reports. `say` is told what goes on.
///
/// # Errors
/// The harness could not do its work, or a node never came back; wrong answers are no error but in the report.
pub async fn run(config: ChaosConfig, say: impl Fn(&str)) -> Result<Report, HarnessError> {
    say(&format!("starting {} nodes, seed {}", config.nodes, config.seed));
    let mut cluster = Cluster::start(config.nodes).await?;
    let load = Load::start(&cluster, LoadConfig { seed: config.seed, ..config.load }).await?;
    sleep(WARM_UP).await;
    let mut faults: Vec<Fault> = Vec::new();
    for planned in Plan::new(config.seed, &config.kinds, config.majorities).take(config.faults_max) {
        if load.at().as_secs() >= config.seconds {
            break;
        }
        let number = faults.len() + 1;
        let told = |what: &str| {
            say(&format!("{:6.1} s, fault {number}: {what}; {}", load.at().as_secs_f64(), load.so_far()));
        };
        faults.push(strike(&mut cluster, &planned, || load.at(), told).await?);
        sleep(planned.calm).await;
    }
    say("ending the load");
    let mut history = load.stop().await?;
    history.faults = faults;
    settle(&cluster, &mut history, config.seed, &say).await?;
    Ok(Report::new(config, &history))
}
