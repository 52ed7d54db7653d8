//! The step in which the leader is killed while the other nodes are asked continuously.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::demo_cluster::{Answer, DemoCluster, PATIENCE, ask};
use super::report::{Report, Step, fields, millis, ms};
use crate::exit::CliError;

/// How often each surviving node is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Most questions under way at once; they are not asked faster than they are answered for ever.
const ASKED_AT_ONCE: usize = 400;

/// What was heard since the leader died.
#[derive(Default)]
struct Heard {
    /// How many denies there were for each code.
    denies: BTreeMap<&'static str, usize>,
    /// The slowest of them.
    slowest_deny: Duration,
    /// The last deny, since the leader's death.
    last_deny: Option<Duration>,
    /// The first allow, since the leader's death.
    first_allow: Option<Duration>,
    /// The nodes that allowed again.
    allowed: BTreeSet<u64>,
    /// Answers that were neither an allow nor a deny that cannot know.
    strange: usize,
}

/// Kills the leader and asks the others every 20 ms until each has allowed again.
pub(super) async fn kill_the_leader(
    cluster: &mut DemoCluster,
    report: &mut Report,
    leader: u64,
    survivors: &[u64],
) -> Result<(), CliError> {
    let clients: Result<Vec<_>, CliError> =
        survivors.iter().map(|id| Ok((*id, cluster.client(&[*id])?))).collect();
    let clients = clients?;
    let question = cluster.question();
    cluster.nodes.kill(leader).await?;
    let died = Instant::now();
    let mut heard = Heard::default();
    let mut asked: JoinSet<(Duration, Answer)> = JoinSet::new();
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while heard.allowed.len() < survivors.len() && died.elapsed() < PATIENCE {
        tokio::select! {
            _ = ticks.tick(), if asked.len() < ASKED_AT_ONCE => {
                for (id, client) in &clients {
                    let (id, client, question) = (*id, client.clone(), question.clone());
                    asked.spawn(async move { (died.elapsed(), ask(id, client, question).await) });
                }
            }
            Some(answer) = asked.join_next() => {
                if let Ok((_, answer)) = answer {
                    heard.take(died.elapsed(), &answer);
                }
            }
        }
    }
    asked.shutdown().await;
    report.add(heard.step(leader, survivors, died.elapsed()))
}

impl Heard {
    fn take(&mut self, at: Duration, answer: &Answer) {
        if answer.is_allow() {
            self.first_allow.get_or_insert(at);
            self.allowed.insert(answer.node);
        } else if answer.is_cannot_know() {
            self.last_deny = Some(at);
            self.slowest_deny = self.slowest_deny.max(answer.took);
            for code in answer.codes() {
                let count = self.denies.entry(code).or_default();
                *count = count.saturating_add(1);
            }
        } else {
            self.strange = self.strange.saturating_add(1);
        }
    }

    fn step(self, leader: u64, survivors: &[u64], took: Duration) -> Step {
        let mut lines = Vec::new();
        for (code, count) in &self.denies {
            lines.push(format!("{count:>4} × DENY   {code}"));
        }
        lines.push(format!("slowest deny {}", ms(self.slowest_deny).trim_start()));
        match self.first_allow {
            Some(at) => lines.push(format!("first allow {} after the kill", ms(at).trim_start())),
            None => lines.push("no allow again".to_owned()),
        }
        if self.strange > 0 {
            lines.push(format!("{} answers were of another kind", self.strange));
        }
        let ok = !self.denies.is_empty() && self.strange == 0 && self.allowed.len() == survivors.len();
        let fields = fields([
            ("killed", json!(leader)),
            ("denies", json!(self.denies)),
            ("slowestDenyMs", json!(millis(self.slowest_deny))),
            ("lastDenyMs", json!(self.last_deny.map(millis))),
            ("firstAllowMs", json!(self.first_allow.map(millis))),
            ("otherAnswers", json!(self.strange)),
        ]);
        let title =
            format!("kill -9 of leader {leader}; the others, asked every 20 ms, deny until one leads");
        Step { name: "deny-while-leaderless", title, ok, took, lines, fields }
    }
}
