//! Members come and go while the cluster works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_jepsen::{Answer, Cluster, Evidence, id_of};
use assent_proof::{EvidenceId, SigningKey};

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

async fn prepared(cluster: &Cluster) -> Evidence {
    let evidence = Evidence::new(cluster, "exec").await.unwrap();
    let (governance, attestation) = (cluster.key("governance").unwrap(), cluster.key("attestation").unwrap());
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    evidence
}

/// Submits to these nodes in turn until told to stop; answers what was acknowledged.
async fn load(cluster: &Cluster, evidence: &Evidence, through: &[u64], stop: &AtomicBool) -> Vec<EvidenceId> {
    let audit = cluster.key("runtime").unwrap();
    let mut acknowledged = Vec::new();
    let mut slot = (0, None);
    while !stop.load(Ordering::Relaxed) || acknowledged.len() < 10 {
        let bytes = evidence.integrity(&audit, slot, "m");
        let to = through[acknowledged.len() % through.len()];
        cluster.accept(to, &bytes).await.unwrap();
        slot = (slot.0 + 1, id_of(&bytes));
        acknowledged.extend(id_of(&bytes));
    }
    acknowledged
}

fn code(answer: &Answer) -> (Option<u16>, Option<&str>) {
    (answer.status, answer.text("code"))
}

#[tokio::test]
async fn a_cluster_grows_from_three_to_five_and_shrinks_to_three_others_under_load() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = prepared(&cluster).await;
    for id in [4, 5] {
        cluster.start_newcomer(id).unwrap();
        cluster.grant_newcomer(id).await.unwrap();
    }
    let stop = AtomicBool::new(false);
    let changes = async {
        for id in [4, 5] {
            let added = cluster.add_learner(1 + id % 3, id).await.unwrap();
            assert_eq!(added.status, Some(200), "{added:?}");
            let promoted = cluster.promote(1 + id % 3, id).await.unwrap();
            assert_eq!(promoted.status, Some(200), "{promoted:?}");
            cluster.node_ready(id, SETTLES_WITHIN).await.unwrap();
        }
        let asked = cluster.decide(5, &evidence.request()).await;
        assert!(asked.is_allow(), "{asked:?}");
        // The leader goes too, whoever it is: it hands leadership over first.
        for id in [1, 2] {
            let removed = cluster.delete(4, &format!("/v1/cluster/members/{id}")).await;
            assert_eq!(removed.status, Some(200), "{removed:?}");
        }
        let members = cluster.get(5, "/v1/cluster/members").await;
        let ids: Vec<u64> =
            members.body["members"].as_array().unwrap().iter().map(|m| m["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [3, 4, 5], "{members:?}");
        assert_eq!(members.number("nextId"), Some(6));
        stop.store(true, Ordering::Relaxed);
    };
    let (acknowledged, ()) = tokio::join!(load(&cluster, &evidence, &[3], &stop), changes);
    for id in 3..=5 {
        cluster.node_ready(id, SETTLES_WITHIN).await.unwrap();
        for evidence_id in &acknowledged {
            let stored = cluster.get(id, &format!("/v1/envelopes/{evidence_id}")).await;
            assert_eq!(stored.status, Some(200), "node {id} lost `{evidence_id}`");
        }
    }
    // Who was removed answers nothing, whatever it still believes.
    for id in [1, 2] {
        let asked = cluster.authorize(id, &evidence.request()).await;
        assert_eq!(asked.status, Some(503), "{asked:?}");
        let status = cluster.get(id, "/v1/cluster/status").await;
        assert_ne!(status.text("role"), Some("leader"), "{status:?}");
    }
    // A number is used once.
    let again = cluster.add_learner(3, 1).await.unwrap();
    assert_eq!(code(&again), (Some(409), Some("member_exists")), "{again:?}");
    // The new members do without the old ones.
    cluster.kill(1).unwrap();
    cluster.kill(2).unwrap();
    cluster.kill(3).unwrap();
    let asked = cluster.decide(5, &evidence.request()).await;
    assert!(asked.is_allow(), "{asked:?}");
}

/// Waits until the node is a learner that has applied what the cluster was prepared with.
async fn follows_as_learner(cluster: &Cluster, id: u64) {
    for _ in 0..200 {
        let status = cluster.get(id, "/v1/cluster/status").await;
        if status.text("role") == Some("learner") && status.number("revision") > Some(5) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Rule R2.
#[tokio::test]
async fn a_learner_never_allows_and_its_key_must_be_granted() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = prepared(&cluster).await;
    cluster.start_newcomer(4).unwrap();
    let waiting = cluster.authorize(4, &evidence.request()).await;
    assert!(matches!(waiting.status, None | Some(503)), "{waiting:?}");
    let refused = cluster.add_learner(2, 4).await.unwrap();
    assert_eq!(code(&refused), (Some(403), Some("authority_unknown")), "{refused:?}");
    cluster.grant_newcomer(4).await.unwrap();
    let added = cluster.add_learner(2, 4).await.unwrap();
    assert_eq!(added.status, Some(200), "{added:?}");
    let again = cluster.add_learner(3, 4).await.unwrap();
    assert_eq!(again.status, Some(200), "the same again is no mistake: {again:?}");
    follows_as_learner(&cluster, 4).await;
    let asked = cluster.authorize(4, &evidence.request()).await;
    assert_eq!(asked.status, Some(503), "{asked:?}");
    assert!(asked.body.to_string().contains("not a voter"), "{asked:?}");
    assert_eq!(cluster.get(4, "/readyz").await.status, Some(503));
    for (path, expected) in [
        ("/v1/cluster/members/9/promote", (Some(404), Some("member_unknown"))),
        ("/v1/cluster/members/x/promote", (Some(400), Some("malformed"))),
        ("/v1/cluster/members/04/promote", (Some(400), Some("malformed"))),
    ] {
        let answer = cluster.post(1, path, "").await;
        assert_eq!(code(&answer), expected, "{answer:?}");
    }
    let transfer = cluster.post(1, "/v1/cluster/leader", r#"{"to":4}"#).await;
    assert_eq!(code(&transfer), (Some(404), Some("member_unknown")), "{transfer:?}");
    // A revoked node is not promoted.
    let in_root = evidence.in_domain("_root");
    let key = assent_jepsen::newcomer_key(4);
    cluster.accept(1, &in_root.revocation(&key, &cluster.key("root").unwrap())).await.unwrap();
    let answer = cluster.post(1, "/v1/cluster/members/4/promote", "").await;
    assert_eq!(code(&answer), (Some(403), Some("authority_unknown")), "{answer:?}");
}

/// Rule R70.
#[tokio::test]
async fn a_learner_leaves_it_to_the_leader_which_keys_are_known() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = prepared(&cluster).await;
    cluster.start_newcomer(4).unwrap();
    cluster.grant_newcomer(4).await.unwrap();
    let added = cluster.add_learner(2, 4).await.unwrap();
    assert_eq!(added.status, Some(200), "{added:?}");
    follows_as_learner(&cluster, 4).await;
    // A key that has no grant is refused for good, though a learner passes no barrier.
    let stranger = SigningKey::from_seed([77; 32]);
    let refused = cluster.submit(4, &evidence.integrity(&stranger, (0, None), "m")).await.unwrap();
    assert_eq!(code(&refused), (Some(403), Some("authority_unknown")), "{refused:?}");
    // A key is known as soon as its grant is acknowledged, also where the grant is not applied yet.
    let governance = cluster.key("governance").unwrap();
    let chain = cluster.get(1, &format!("/v1/lineages/{}/_governance?limit=1", cluster.domain)).await;
    let head: Option<EvidenceId> = chain.text("head").and_then(|head| head.parse().ok());
    let mut slot = (chain.number("sequence").map_or(0, |last| last + 1), head);
    for number in 0..10 {
        let fresh = SigningKey::from_seed([100 + number; 32]);
        let grant = evidence.grant(&fresh, "runtime", &governance, slot);
        cluster.accept(1, &grant).await.unwrap();
        slot = (slot.0 + 1, id_of(&grant));
        cluster.accept(4, &evidence.integrity(&fresh, (0, None), "m")).await.unwrap();
    }
}

#[tokio::test]
async fn the_last_quorum_cannot_be_removed_by_mistake() {
    let mut cluster = Cluster::start(3).await.unwrap();
    cluster.kill(3).unwrap();
    // Until the leader has noticed.
    let mut refused = cluster.delete(1, "/v1/cluster/members/2").await;
    for _ in 0..50 {
        if refused.status == Some(409) {
            break;
        }
        assert_ne!(refused.status, Some(200), "two of three were there, one of two would not be a quorum");
        tokio::time::sleep(Duration::from_millis(100)).await;
        refused = cluster.delete(1, "/v1/cluster/members/2").await;
    }
    assert_eq!(code(&refused), (Some(409), Some("quorum_at_risk")), "{refused:?}");
    let gone = cluster.delete(2, "/v1/cluster/members/3").await;
    assert_eq!(gone.status, Some(200), "{gone:?}");
    // Two that are there may become one, and that one may not become none.
    let gone = cluster.delete(1, "/v1/cluster/members/2").await;
    assert_eq!(gone.status, Some(200), "{gone:?}");
    let last = cluster.delete(1, "/v1/cluster/members/1").await;
    assert_eq!(code(&last), (Some(409), Some("quorum_at_risk")), "{last:?}");
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
}

#[tokio::test]
async fn leadership_moves_to_the_voter_that_is_named() {
    let cluster = Cluster::start(3).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let to = 1 + leader % 3;
    let moved = cluster.post(leader, "/v1/cluster/leader", format!(r#"{{"to":{to}}}"#)).await;
    assert_eq!(moved.status, Some(200), "{moved:?}");
    assert_eq!(cluster.leader().await.unwrap(), to);
}

#[tokio::test]
async fn a_node_that_was_away_follows_a_leader_that_it_never_heard_of() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = prepared(&cluster).await;
    cluster.stop(1).unwrap();
    cluster.start_newcomer(4).unwrap();
    // Node 1 is away: the harness has to ask somebody else.
    cluster.nodes.rotate_left(1);
    cluster.grant_newcomer_through(2, 4).await.unwrap();
    assert_eq!(cluster.add_learner(2, 4).await.unwrap().status, Some(200));
    assert_eq!(cluster.promote(2, 4).await.unwrap().status, Some(200));
    let moved = cluster.post(2, "/v1/cluster/leader", r#"{"to":4}"#).await;
    assert_eq!(moved.status, Some(200), "{moved:?}");
    cluster.restart(1).unwrap();
    cluster.node_ready(1, SETTLES_WITHIN).await.unwrap();
    let status = cluster.get(1, "/v1/cluster/status").await;
    assert_eq!(status.body["voters"], serde_json::json!([1, 2, 3, 4]), "{status:?}");
    assert!(cluster.decide(1, &evidence.request()).await.is_allow());
}

#[tokio::test]
async fn two_changes_at_once_are_made_one_after_the_other_or_one_is_told_to_wait() {
    let mut cluster = Cluster::start(3).await.unwrap();
    for id in [4, 5] {
        cluster.start_newcomer(id).unwrap();
        cluster.grant_newcomer(id).await.unwrap();
    }
    let (four, five) = tokio::join!(cluster.add_learner(1, 4), cluster.add_learner(2, 5));
    for answer in [four.unwrap(), five.unwrap()] {
        // Five first leaves no number for four: ids only grow.
        let told = [Some("membership_busy"), Some("member_exists")];
        assert!(answer.status == Some(200) || told.contains(&answer.text("code")), "{answer:?}");
    }
    let members = cluster.get(3, "/v1/cluster/members").await;
    let ids: Vec<u64> =
        members.body["members"].as_array().unwrap().iter().map(|m| m["id"].as_u64().unwrap()).collect();
    assert!(ids.len() >= 4, "{members:?}");
    assert_eq!(members.body["changing"], false, "{members:?}");
}

#[tokio::test]
async fn a_node_that_is_asked_to_remove_itself_says_that_it_is_done() {
    let mut cluster = Cluster::start(3).await.unwrap();
    cluster.start_newcomer(4).unwrap();
    cluster.grant_newcomer(4).await.unwrap();
    assert_eq!(cluster.add_learner(1, 4).await.unwrap().status, Some(200));
    assert_eq!(cluster.promote(4, 4).await.unwrap().status, Some(200));
    let removed = cluster.delete(4, "/v1/cluster/members/4").await;
    assert_eq!(removed.status, Some(200), "{removed:?}");
    let members = cluster.get(1, "/v1/cluster/members").await;
    assert!(members.body["members"].as_array().unwrap().iter().all(|m| m["id"] != 4), "{members:?}");
    // Soon nobody talks to it any more.
    for _ in 0..100 {
        let status = cluster.get(1, "/v1/cluster/status").await;
        if status.body["peers"].as_array().unwrap().iter().all(|peer| peer["id"] != 4) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("node 1 still knows the way to node 4");
}
