//! The client against real nodes: it sends only once what is refused for good, and an endpoint that accepts and never
//! answers costs a share of the deadline.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn ends with them")]

use std::time::Duration;

use crate::cluster_support::members::stop;
use crate::cluster_support::*;
use assent_client::{Client, ClientConfig, FirstEndpoint, Trust};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::{BatchTree, Checkpoint, Claims, EvidenceId, Role, Seconds, leaf_hash};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const PEER: &str = "registry.example/us-1";

/// A client that asks `first`, if there is one, and then the nodes as listed; only an attempt's share ends before the deadline.
fn config(first: Option<&str>, nodes: &[Node], deadline: Duration) -> ClientConfig {
    let nodes = nodes.iter().map(|node| format!("http://{}", node.client_addr()));
    let endpoints: Vec<String> = first.map(str::to_owned).into_iter().chain(nodes).collect();
    let keys = (11..14).map(|seed| key(seed).public());
    let mut config = ClientConfig::new(endpoints, Trust::keys(keys).unwrap());
    config.first_endpoint = FirstEndpoint::AsListed;
    config.deadline = deadline;
    config.attempt_timeout = deadline;
    config
}

/// An endpoint that accepts every connection and never answers.
async fn hung() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    (endpoint, accepting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hung_first_endpoint_the_nodes_after_it_answer_within_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = start_all(&configs(folder.path())).await;
    let (hung, accepting) = hung().await;
    // A quarter of this is the share of one of four endpoints.
    let deadline = 8 * SECOND;
    let client = || {
        let mut patient = config(Some(&hung), &nodes, deadline);
        patient.hedge_after = Some(deadline);
        Client::new(patient).unwrap()
    };
    let started = Instant::now();
    assert!(client().submit(authorization()).await.unwrap().fresh);
    assert!(started.elapsed() < 5 * SECOND, "{:?}", started.elapsed());

    let started = Instant::now();
    assert!(client().authorize(&request()).await.unwrap().is_allow());
    assert!(started.elapsed() < 5 * SECOND, "{:?}", started.elapsed());

    // With a second question while the first one is open, it is a quarter of the share.
    let hedging = Client::new(config(Some(&hung), &nodes, deadline)).unwrap();
    let started = Instant::now();
    assert!(hedging.authorize(&request()).await.unwrap().is_allow());
    assert!(started.elapsed() < 3 * SECOND / 2, "{:?}", started.elapsed());
    accepting.abort();
    stop(nodes).await;
}

/// A statement in the lineage `peer`.
fn about_peer(claims: &Claims) -> Draft {
    in_prod().about("peer").draft(claims).lineage("peer")
}

/// A first checkpoint of the peer with a proof that it extends another one, which there is not.
fn diverging(trust: EvidenceId) -> Vec<u8> {
    let root = BatchTree::new(vec![leaf_hash(b"leaf")]).root();
    let text = Checkpoint { origin: PEER.to_owned(), size: 1, root }.to_text();
    let note = signed_note(&text, PEER, &key(80), &[key(81)], 1_795_374_000);
    let draft = about_peer(&claims::continuity(note.to_string(), vec![[1; 32]]));
    draft.slot(1, Some(trust)).references(&[trust]).sign(&[&key(26)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_does_not_retry_a_peer_checkpoint_that_does_not_extend_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = start_all(&configs(folder.path())).await;
    let client = Client::new(config(None, &nodes, 10 * SECOND)).unwrap();
    let chain = nodes.first().unwrap().service().read(Caller::local(), |rows, _| {
        assent_registry::query::governance_slot(rows, &"prod.eu".parse().unwrap())
    });
    let (slot, parent) = chain.await.unwrap();
    let granted = grant(key(26).public(), Role::Zone).slot(slot, parent).sign(&[&key(3), &key(26)]);
    client.submit(granted).await.unwrap();
    let not_after = Seconds(now().0 + 600);
    let trust = claims::trust(PEER, key(80).public(), &[key(81).public()], not_after);
    let trust = about_peer(&trust).sign(&[&key(26)]);
    let trust = client.submit(trust).await.unwrap().receipt.evidence_id;

    let started = Instant::now();
    let error = client.submit(diverging(trust)).await.unwrap_err();
    assert!(started.elapsed() < 5 * SECOND, "{:?}", started.elapsed());
    assert_eq!((error.code(), error.is_definite()), ("registry_diverged", true), "{error}");
    assert_eq!(error.problem().map(|problem| problem.status), Some(409));
    assert!(error.remedy().contains("peer"), "{}", error.remedy());
    stop(nodes).await;
}
