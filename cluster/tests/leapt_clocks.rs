//! Clocks of all nodes that leap together, or seem to. After a leap the nodes deny and stamp nothing until the clocks
//! have settled or an operator has confirmed them. If there was no leap, the nodes notice nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster_support::clocks::{Moved, clock_of, start_by, until, until_unsure};
use crate::cluster_support::*;
use assent_api::{ClockStanding, NewMember};
use assent_cluster::config::Config;
use assent_cluster::env::{Clock, Environment};
use assent_cluster::node::Node;
use assent_cluster::recover::{inspect, recover, recover_at};
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Code, Seconds};
use bytes::Bytes;
use tokio::time::sleep;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;
/// How long clocks settle here where they are meant to.
const SETTLE_MS: u64 = 3_000;
/// Longer than any test waits.
const NEVER_MS: u64 = 3_600_000;

/// Grants and authorizations outlast everything here.
fn far() -> Seconds {
    now().saturating_add(20 * 365 * 24 * 3_600)
}

fn forever(lineage: &str) -> Bytes {
    Bytes::from(authorization_until(lineage, far(), None))
}

/// The configurations of three nodes, and the clocks that they will read.
fn three(folder: &Path, settle_ms: u64) -> (Vec<Config>, Vec<Moved>) {
    let mut configs = configs(folder);
    std::fs::write(folder.join("genesis.json"), genesis_until(far())).unwrap();
    for config in &mut configs {
        config.clock_settle_ms = settle_ms;
    }
    (configs, (0..3).map(|_| Moved::default()).collect())
}

async fn start_with(configs: &[Config], clocks: &[Moved]) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (config, clock) in configs.iter().zip(clocks) {
        nodes.push(start_by(config, clock).await);
    }
    nodes
}

/// Three nodes that allow `exec-1`.
async fn allowing(folder: &Path, settle_ms: u64) -> (Vec<Config>, Vec<Node>, Vec<Moved>) {
    let (configs, clocks) = three(folder, settle_ms);
    let nodes = start_with(&configs, &clocks).await;
    for node in &nodes {
        ready(node).await;
    }
    accepted(&nodes[0], "exec-1").await;
    all_allow(&nodes).await;
    (configs, nodes, clocks)
}

async fn all_allow(nodes: &[Node]) {
    for node in nodes {
        until(node, &[]).await;
    }
}

/// Hands an authorization in until it is accepted.
async fn accepted(node: &Node, lineage: &str) {
    let mut last = None;
    for _ in 0..400 {
        let outcome = node.service().submit(Caller::local(), forever(lineage)).await;
        if matches!(outcome, Submitted::Accepted { .. }) {
            return;
        }
        last = Some(outcome);
        sleep(Duration::from_millis(25)).await;
    }
    panic!("{last:?}");
}

/// Hands one in until it is refused since a clock is uncertain: what is said of that.
async fn refused(node: &Node, lineage: &str) -> (String, String) {
    let mut last = None;
    for _ in 0..400 {
        match node.service().submit(Caller::local(), forever(lineage)).await {
            Submitted::NotTaken(problem) if problem.code == Code::ClockUncertain => {
                return (problem.detail, problem.remedy);
            }
            accepted @ Submitted::Accepted { .. } => panic!("{accepted:?}"),
            other => last = Some(other),
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("{last:?}");
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown().await;
    }
}

fn confirm(node: &Node, clock: &Moved) -> Result<assent_api::ClockBody, Code> {
    let time = Clock::now(clock).to_seconds();
    node.service().confirm_clock(Caller::local(), time).map_err(|problem| problem.code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_for_eight_days_the_nodes_allow_again_unaided_once_their_clocks_have_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (configs, nodes, clocks) = allowing(folder.path(), SETTLE_MS).await;
    stop(nodes).await;
    for clock in &clocks {
        clock.set(i64::try_from(8 * DAY_MS).unwrap());
    }
    let nodes = start_with(&configs, &clocks).await;
    until_unsure(&nodes[0], "8 days ahead of registry time").await;
    all_allow(&nodes).await;
    accepted(&nodes[0], "exec-2").await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_idle_days_and_sleeping_hosts_are_no_leap_and_allows_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing settles here: what leapt would be unsure to the end.
    let (_, nodes, clocks) = allowing(folder.path(), NEVER_MS).await;
    for clock in &clocks {
        clock.pass(40 * DAY_MS);
    }
    all_allow(&nodes).await;
    assert!(clock_of(&nodes[0]).registry_time_ahead_ms.unwrap() < -i64::try_from(39 * DAY_MS).unwrap());
    assert!(nodes.iter().all(|node| clock_of(node).anchored));
    accepted(&nodes[0], "exec-2").await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_were_paused_while_no_boot_time_went_on_allow_again_unaided() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, clocks) = allowing(folder.path(), SETTLE_MS).await;
    for clock in &clocks {
        clock.set(8 * 3_600_000);
    }
    for node in &nodes {
        until_unsure(node, "8 hours ahead of registry time").await;
    }
    all_allow(&nodes).await;
    assert_eq!(clock_of(&nodes[0]).standing, Some(ClockStanding::Sure));
    stop(nodes).await;
}

/// Rule R142.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_eleven_years_ahead_stamp_nothing_and_everything_works_once_they_are_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let (configs, nodes, clocks) = allowing(folder.path(), SETTLE_MS).await;
    let before = nodes[0].service().status(Caller::local());
    stop(nodes).await;
    for clock in &clocks {
        clock.set(11 * YEAR_MS);
    }
    let nodes = start_with(&configs, &clocks).await;
    for node in &nodes {
        until_unsure(node, "confirm them with `assent clock confirm`").await;
        assert_eq!(clock_of(node).standing, Some(ClockStanding::TooFarAhead));
    }
    // However long they agree.
    sleep(Duration::from_millis(2 * SETTLE_MS)).await;
    let (detail, remedy) = refused(&nodes[0], "exec-2").await;
    assert!(detail.contains("4015 days ahead of registry time"), "{detail}");
    assert!(remedy.contains("`assent clock confirm`"), "{remedy}");
    let not_ready = nodes[0].service().ready().await.unwrap_err();
    assert_eq!((not_ready.code, &not_ready.remedy), (Code::ClockUncertain, &remedy));
    // So is a change of the membership that takes a clock, through the leader and through the others.
    for node in &nodes {
        let new = NewMember {
            id: 4,
            peer: "10.0.0.4:7500".parse().unwrap(),
            client: "10.0.0.4:7400".parse().unwrap(),
            store_id: "0f".repeat(16),
            key: key(14).public(),
        };
        let refused = node.service().add_member(Caller::local(), new).await.unwrap_err();
        assert_eq!((refused.code, refused.status), (Code::ClockUncertain, 503), "{refused:?}");
        assert_eq!(refused.remedy, remedy);
        assert!(refused.detail.ends_with("an operator must confirm it"), "{refused:?}");
    }
    let after = nodes[0].service().status(Caller::local());
    assert_eq!((after.revision, after.clock.registry_time), (before.revision, before.clock.registry_time));
    for clock in &clocks {
        clock.set(0);
    }
    all_allow(&nodes).await;
    accepted(&nodes[0], "exec-2").await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_confirmation_on_one_node_holds_for_all_nodes_but_not_for_a_later_leap() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, clocks) = allowing(folder.path(), SETTLE_MS).await;
    for clock in &clocks {
        clock.set(11 * YEAR_MS);
    }
    for node in &nodes {
        until_unsure(node, "4015 days ahead of registry time").await;
    }
    // Not the time that another clock shows.
    assert_eq!(confirm(&nodes[0], &Moved::default()).unwrap_err(), Code::TimesInvalid);
    until_unsure(&nodes[0], "4015 days ahead of registry time").await;
    let told = confirm(&nodes[0], &clocks[0]).unwrap();
    assert_eq!(told.standing, Some(ClockStanding::Sure));
    assert!(told.confirmed.unwrap().ahead_ms > 10 * YEAR_MS);
    all_allow(&nodes).await;
    accepted(&nodes[1], "exec-2").await;
    assert!(clock_of(&nodes[0]).confirmed.is_some() && clock_of(&nodes[1]).confirmed.is_none());
    for clock in &clocks {
        clock.set(12 * YEAR_MS);
    }
    for node in &nodes {
        until_unsure(node, "365 days ahead of registry time").await;
        eventually("it is forgotten", || clock_of(node).confirmed.is_none()).await;
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_founded_from_an_old_genesis_after_an_operators_confirmation() {
    let folder = tempfile::tempdir().unwrap();
    let (configs, clocks) = three(folder.path(), SETTLE_MS);
    for clock in &clocks {
        clock.set(i64::try_from(40 * DAY_MS).unwrap());
    }
    let nodes = start_with(&configs, &clocks).await;
    for node in &nodes {
        until_unsure(node, "40 days ahead of registry time").await;
    }
    confirm(&nodes[2], &clocks[2]).unwrap();
    accepted(&nodes[0], "exec-1").await;
    all_allow(&nodes).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_restarted_in_a_long_idle_cluster_allows_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (configs, mut nodes, clocks) = allowing(folder.path(), NEVER_MS).await;
    for clock in &clocks {
        clock.pass(40 * DAY_MS);
    }
    all_allow(&nodes).await;
    nodes.remove(2).shutdown().await;
    let again = start_by(&configs[2], &clocks[2]).await;
    until(&again, &[]).await;
    nodes.push(again);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_behind_registry_time_are_unsure_until_they_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, clocks) = allowing(folder.path(), 1_000).await;
    accepted(&nodes[0], "exec-2").await;
    for clock in &clocks {
        clock.set(-6_000);
    }
    for node in &nodes {
        until_unsure(node, "behind registry time").await;
    }
    assert_eq!(confirm(&nodes[0], &clocks[0]).unwrap_err(), Code::ClockUncertain, "no word helps");
    assert!(clock_of(&nodes[0]).registry_time_ahead_ms.unwrap() > 0);
    all_allow(&nodes).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_set_back_an_hour_allow_nothing_until_an_operator_confirms_them_on_each_node() {
    let folder = tempfile::tempdir().unwrap();
    let (_, nodes, clocks) = allowing(folder.path(), NEVER_MS).await;
    // Two idle hours, so that an hour back is ahead of registry time still.
    for clock in &clocks {
        clock.pass(7_200_000);
    }
    all_allow(&nodes).await;
    for clock in &clocks {
        clock.set(3_600_000);
    }
    for node in &nodes {
        until_unsure(node, "behind the latest time that this node trusted").await;
        until_unsure(node, "confirm them on each node with `assent clock confirm`").await;
        assert_eq!(clock_of(node).standing, Some(ClockStanding::Behind));
        assert!(clock_of(node).registry_time_ahead_ms.unwrap() < 0);
    }
    assert!(confirm(&nodes[0], &clocks[0]).unwrap().confirmed.is_some());
    until(&nodes[0], &[]).await;
    until_unsure(&nodes[1], "behind the latest time that this node trusted").await;
    for (node, clock) in nodes.iter().zip(&clocks).skip(1) {
        confirm(node, clock).unwrap();
    }
    all_allow(&nodes).await;
    stop(nodes).await;
}

/// Rule R148.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_is_not_stamped_eleven_years_ahead_without_an_operators_confirmation() {
    let folder = tempfile::tempdir().unwrap();
    let (configs, nodes, clocks) = allowing(folder.path(), SETTLE_MS).await;
    stop(nodes).await;
    clocks[0].set(11 * YEAR_MS);
    let env = environment(&configs[0]).await;
    let env = Environment { clock: Arc::new(clocks[0].clone()), ..env };
    let before = inspect(&configs[0], &env).await.unwrap();
    let recovery = in_root().draft(&claims::recovery(before.epoch + 1, &[before.key]));
    let time = Clock::now(&clocks[0]).to_seconds();
    let envelope = recovery.slot(before.sequence, before.parent).issued(time).sign(&[&key(1)]);
    let refused = recover(&configs[0], &env, &envelope).await.unwrap_err().to_string();
    assert!(refused.contains("more than 31 days ahead of registry time"), "{refused}");
    let refused = recover_at(&configs[0], &env, &envelope, Some(now())).await.unwrap_err().to_string();
    assert!(refused.contains("is not within a minute"), "{refused}");
    assert_eq!(inspect(&configs[0], &env).await.unwrap(), before, "nothing was written");
    let after = recover_at(&configs[0], &env, &envelope, Some(time)).await.unwrap();
    assert_eq!((after.epoch, after.revision), (before.epoch + 1, before.revision + 1));
}
