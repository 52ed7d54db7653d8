//! Clocks that a test moves, and what a node reports of its own clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_api::{ClockBody, DecisionBody, ReasonBody};
use assent_cluster::config::Config;
use assent_cluster::env::{Clock, Environment, RealClock};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::{Code, Millis};

use super::{environment, request};

/// The machine's clocks, some milliseconds off. Clones are the same clocks.
#[derive(Clone, Default)]
pub struct Moved(Arc<Mutex<Off>>);

#[derive(Clone, Copy, Default)]
struct Off {
    wall_ms: i64,
    boot_ms: u64,
}

impl Clock for Moved {
    fn now(&self) -> Millis {
        RealClock.now().saturating_add(self.0.lock().unwrap().wall_ms)
    }

    fn boot_ms(&self) -> u64 {
        RealClock.boot_ms() + self.0.lock().unwrap().boot_ms
    }
}

impl Moved {
    /// The wall clock is off by so much from here on; boot time knows nothing of it.
    pub fn set(&self, wall_ms: i64) {
        self.0.lock().unwrap().wall_ms = wall_ms;
    }

    /// So much time passes at once, by both clocks.
    pub fn pass(&self, ms: u64) {
        let mut off = self.0.lock().unwrap();
        off.wall_ms += i64::try_from(ms).unwrap();
        off.boot_ms += ms;
    }
}

/// Starts a node that reads these clocks.
pub async fn start_by(config: &Config, clock: &Moved) -> Node {
    let env = Environment { clock: Arc::new(clock.clone()), ..environment(config).await };
    Node::start(config.clone(), env).await.unwrap()
}

/// How a node stands with its clock.
pub fn clock_of(node: &Node) -> ClockBody {
    node.service().status(Caller::local()).clock
}

/// Whether `exec-1` may run: the reasons why not, each with its detail and its remedy.
pub async fn reasons(node: &Node) -> Vec<(Code, String)> {
    let answer = node.service().authorize(Caller::local(), vec![request()]).await.remove(0);
    let body: DecisionBody = serde_json::from_slice(&answer.body).unwrap();
    let told = |ReasonBody { code, detail, remedy, .. }| (code, format!("{detail}: {remedy}"));
    body.reasons.into_iter().map(told).collect()
}

/// Asks until the node answers with exactly these reasons: what it says of them.
pub async fn until(node: &Node, expected: &[Code]) -> String {
    let mut last = Vec::new();
    for _ in 0..400 {
        last = reasons(node).await;
        if last.iter().map(|(code, _)| *code).eq(expected.iter().copied()) {
            return last.into_iter().map(|(_, detail)| detail).collect::<Vec<_>>().join("; ");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it answers {last:?}, not {expected:?}: {:?}", clock_of(node));
}

/// Asks until the node is not sure of its clock and says so in these words.
pub async fn until_unsure(node: &Node, words: &str) {
    for _ in 0..400 {
        if let [(Code::ClockUncertain, detail)] = reasons(node).await.as_slice()
            && detail.contains(words)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not say {words:?}: {:?}, {:?}", reasons(node).await, clock_of(node));
}
