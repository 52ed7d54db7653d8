//! The leader dies at every moment of a membership change: the change is completed or never happened, and the next
//! change works.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use assent_jepsen::{Cluster, Evidence};
use tokio::time::{Instant, sleep};
use turns::runs_today;

#[path = "turns/today.rs"]
mod turns;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How long after a change was asked for the leader dies.
const DELAYS_MS: [u64; 6] = [0, 3, 8, 15, 30, 60];

/// Waits until the members are these voters and nothing is under way.
async fn settled(cluster: &Cluster, voters: &[u64]) {
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let members = cluster.get(1, "/v1/cluster/members").await;
        let all = members.body["members"].as_array().cloned().unwrap_or_default();
        let found: Vec<u64> =
            all.iter().filter(|m| m["role"] == "voter").filter_map(|m| m["id"].as_u64()).collect();
        if members.body["changing"] == false && members.body["leader"].is_u64() && found == voters {
            return;
        }
        assert!(
            Instant::now() < until,
            "the members are not {voters:?}: {members:?}\n{}",
            cluster.node_log(1)
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Asks for a change and kills the leader so much later; answers whether it was done, if that is known.
async fn struck(cluster: &mut Cluster, delay_ms: u64, method: &str, path: &str) {
    let leader = cluster.leader().await.unwrap();
    let through = cluster.nodes.iter().map(|node| node.id).find(|id| *id != leader).unwrap();
    {
        let asked = async {
            match method {
                "DELETE" => cluster.delete(through, path).await,
                _ => cluster.post(through, path, "").await,
            }
        };
        let strike = async {
            sleep(Duration::from_millis(delay_ms)).await;
            let pid = nix::unistd::Pid::from_raw(cluster.node(leader).unwrap().pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        };
        let (_, ()) = tokio::join!(asked, strike);
    }
    cluster.ended(leader).unwrap();
    cluster.restart(leader).unwrap();
}

#[tokio::test]
async fn a_change_survives_the_death_of_the_leader_at_any_moment() {
    if !runs_today(2) {
        return;
    }
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let (governance, attestation) = (cluster.key("governance").unwrap(), cluster.key("attestation").unwrap());
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    for (round, delay) in DELAYS_MS.into_iter().enumerate() {
        let id = 4 + u64::try_from(round).unwrap();
        cluster.start_newcomer(id).unwrap();
        cluster.grant_newcomer(id).await.unwrap();
        assert_eq!(cluster.add_learner(1, id).await.unwrap().status, Some(200));
        struck(&mut cluster, delay, "POST", &format!("/v1/cluster/members/{id}/promote")).await;
        // Asked for again until it is so: a change that was made is no mistake to ask for.
        assert_eq!(cluster.promote(1, id).await.unwrap().status, Some(200));
        settled(&cluster, &[1, 2, 3, id]).await;
        cluster.node_ready(id, SETTLES_WITHIN).await.unwrap();
        struck(&mut cluster, delay, "DELETE", &format!("/v1/cluster/members/{id}")).await;
        let until = Instant::now() + SETTLES_WITHIN;
        loop {
            let removed = cluster.delete(1, &format!("/v1/cluster/members/{id}")).await;
            if matches!(removed.status, Some(200 | 404)) {
                break;
            }
            assert!(Instant::now() < until, "{removed:?}");
            sleep(Duration::from_millis(100)).await;
        }
        settled(&cluster, &[1, 2, 3]).await;
        let asked = cluster.authorize(id, &evidence.request()).await;
        assert!(!asked.is_allow(), "node {id} was removed: {asked:?}");
        for id in 1..=3 {
            cluster.node_ready(id, SETTLES_WITHIN).await.unwrap();
            assert!(cluster.decide(id, &evidence.request()).await.is_allow());
            let log =
                std::fs::read_to_string(cluster.dev_directory().join(format!("node-{id}.log"))).unwrap();
            assert!(!log.contains("put back to an older copy"), "a sound voter was locked out:\n{log}");
        }
        cluster.nodes.retain(|node| node.id != id);
    }
}
