//! A rolling upgrade: two versions of the rules in one cluster, with replicas that stay equal throughout.

use std::path::Path;
use std::time::Duration;

use crate::cluster_support::*;
use assent_cluster::config::Config;
use assent_cluster::env::Environment;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Caller, Submitted};
use assent_proof::{Claims, Envelope, EvidenceKind, Role, Statement};
use bytes::Bytes;

/// An audit event in a lineage that this authorization began, which the rules of version 2 want to have `detail`.
fn event(lineage: &str, authorization: &[u8], detail: Option<&str>) -> Bytes {
    let claims = Claims::AuditLineage { event: "started".to_owned(), detail: detail.map(str::to_owned) };
    let draft = in_prod().draft(&claims).lineage(lineage).references(&[id_of(authorization)]);
    draft.sign(&[&key(20)]).into()
}

async fn submit(node: &Node, envelope: impl Into<Bytes>) -> Result<(), String> {
    match node.service().submit(Caller::local(), envelope.into()).await.problem() {
        None => Ok(()),
        Some(problem) => Err(format!("{}: {}", problem.code, problem.detail)),
    }
}

/// The authorization that an event refers to, and the event.
async fn report(node: &Node, lineage: &str) -> Result<(), String> {
    let authorization = authorization_for(lineage);
    submit(node, authorization.clone()).await.unwrap();
    submit(node, event(lineage, &authorization, None)).await
}

fn rules(node: &Node) -> u32 {
    node.service().status(Caller::local()).rules
}

/// How many keys have signed the `rules` statement in the ledger.
async fn signers(node: &Node) -> usize {
    let found = node.service().read(Caller::local(), |rows, _| {
        use assent_registry::query;
        let leaves = (0..query::revision(rows)?).filter_map(|index| query::leaf(rows, index).transpose());
        for leaf in leaves {
            let envelope = Envelope::parse(&query::envelope(rows, &leaf?.0)?.unwrap()).unwrap();
            if Statement::parse(&envelope.payload).unwrap().kind == EvidenceKind::Rules {
                return Ok(envelope.signatures.len());
            }
        }
        Ok(0)
    });
    found.await.unwrap()
}

/// Every row of a stopped node's registry, in order.
async fn rows(config: &Config) -> Vec<u8> {
    let env = Environment::real(&config.data_dir).unwrap();
    let run = env.run_blocking();
    let store = assent_store::Store::<assent_cluster::raft::log::LogRecord>::open(
        env.disk.clone(),
        run,
        [0; 16],
        assent_store::StoreOptions::default(),
    );
    let store = store.await.unwrap();
    let registry = store.registry.clone();
    let all = tokio::task::spawn_blocking(move || {
        let source = registry.snapshot().unwrap();
        let (mut chunks, mut all) = (source.chunks(), Vec::new());
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            all.extend(chunk.rows);
        }
        all
    });
    let all = all.await.unwrap();
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    all
}

fn upgraded(folder: &Path) -> (Vec<Config>, Vec<Config>) {
    let old = configs(folder);
    let new = old.iter().cloned().map(|config| Config { rules_known: 2, ..config }).collect();
    (old, new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_whose_key_was_revoked_holds_the_raise_up_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = upgraded(folder.path());
    let mut nodes = vec![start(&old[0]).await, start(&new[1]).await, start(&new[2]).await];
    for node in &nodes {
        ready(node).await;
    }
    submit(&nodes[1], node_revocation(key(13).public())).await.unwrap();
    // Now the last build knows the next rules, and still one voter may not sign.
    nodes.remove(0).shutdown().await;
    nodes.insert(0, start(&new[0]).await);
    ready(&nodes[0]).await;
    let log = |node: &Node| node.service().status(Caller::local()).log.last;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let before = log(&nodes[0]);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(nodes.iter().all(|node| rules(node) == 1), "raised with the signature of a revoked key");
    assert_eq!(log(&nodes[0]), before, "what would be refused is not proposed again and again");
    let until = tokio::time::Instant::now() + Duration::from_secs(15);
    while let Err(problem) = nodes[0].service().remove_member(Caller::local(), 3).await {
        assert!(tokio::time::Instant::now() < until, "{problem:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nodes.remove(2).shutdown().await;
    eventually("both follow the new rules", || nodes.iter().all(|node| rules(node) == 2)).await;
    assert_eq!(signers(&nodes[0]).await, 2);
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_are_raised_once_every_voter_knows_them_and_replicas_stay_equal() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = upgraded(folder.path());
    // Two are upgraded, one is not: all follow the old rules.
    let mut nodes = vec![start(&new[0]).await, start(&new[1]).await, start(&old[2]).await];
    for node in &nodes {
        ready(node).await;
    }
    let chain = nodes[0].service().read(Caller::local(), |rows, _| {
        assent_registry::query::governance_slot(rows, &"prod.eu".parse().unwrap())
    });
    let (sequence, parent) = chain.await.unwrap();
    let audit = grant(key(20).public(), Role::Audit).slot(sequence, parent).sign(&[&key(3), &key(20)]);
    submit(&nodes[0], audit).await.unwrap();
    for (place, lineage) in ["a-0", "a-1", "a-2"].iter().enumerate() {
        report(&nodes[place], lineage).await.unwrap();
    }
    let authorization = authorization_for("kept");
    submit(&nodes[1], authorization.clone()).await.unwrap();
    let kept = event("kept", &authorization, None);
    submit(&nodes[1], kept.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(nodes.iter().all(|node| rules(node) == 1), "raised although a voter does not know them");

    // The last one is upgraded, under load.
    nodes.remove(2).shutdown().await;
    report(&nodes[0], "b-0").await.unwrap();
    nodes.push(start(&new[2]).await);
    ready(&nodes[2]).await;
    eventually("all follow the new rules", || nodes.iter().all(|node| rules(node) == 2)).await;
    assert_eq!(signers(&nodes[0]).await, 3, "each voter has signed that its build knows them");
    for (place, lineage) in ["c-0", "c-1", "c-2"].iter().enumerate() {
        let authorization = authorization_for(lineage);
        submit(&nodes[place], authorization.clone()).await.unwrap();
        let refused = submit(&nodes[place], event(lineage, &authorization, None)).await.unwrap_err();
        assert!(refused.starts_with("claims_invalid"), "{refused}");
        submit(&nodes[place], event(lineage, &authorization, Some("why"))).await.unwrap();
    }
    // What was accepted under the old rules stands.
    let answer = nodes[1].service().submit(Caller::local(), kept).await;
    assert!(matches!(answer, Submitted::Accepted { fresh: false, .. }), "{answer:?}");

    // A build that does not know them stops instead of guessing, and harms nobody.
    nodes.remove(2).shutdown().await;
    let env = environment(&old[2]).await;
    let error = Node::start(old[2].clone(), env).await.err().unwrap().to_string();
    assert!(error.contains("newer build"), "{error}");
    ready(&nodes[0]).await;
    nodes.push(start(&new[2]).await);
    ready(&nodes[2]).await;

    let revision = nodes[0].service().status(Caller::local()).revision;
    let equal = || nodes.iter().all(|node| node.service().status(Caller::local()).revision == revision);
    eventually("all have applied the same", equal).await;
    for node in nodes {
        node.shutdown().await;
    }
    let first = rows(&new[0]).await;
    assert!(!first.is_empty());
    for config in &new[1..] {
        assert!(rows(config).await == first, "node {} differs", config.node_id);
    }
}
