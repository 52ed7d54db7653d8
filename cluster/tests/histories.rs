//! Histories of real nodes: a reader can tell what was read before a recovery, or from another cluster, from what is
//! there now.

use std::path::Path;
use std::time::Duration;

use crate::cluster_support::*;
use assent_api::{DecisionBody, EventLine, Problem, ReceiptBody};
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::recover::{inspect, recover};
use assent_cluster::usecase::{Caller, EventsAsk, Follower, PollAsk, Submitted};
use assent_proof::{Code, Cursor, DomainName, EvidenceKind, History, PublicKey, Seconds, verify_decision};
use assent_registry::query::{self, EventFilter};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// What the genesis file of these tests makes.
const GENESIS: u64 = 6;

fn history(node: &Node) -> History {
    node.service().status(Caller::local()).history
}

/// The history of the same cluster in another epoch.
fn in_epoch(history: History, epoch: u64) -> History {
    History::new(*history.cluster(), epoch).unwrap()
}

async fn accept(node: &Node, bytes: Vec<u8>) -> ReceiptBody {
    match node.service().submit(Caller::local(), Bytes::from(bytes)).await {
        Submitted::Accepted { receipt, .. } => receipt,
        other => panic!("{other:?}"),
    }
}

fn local() -> Follower {
    Follower::new(Caller::local().clone(), || Caller::local().clone())
}

fn ask(after: Option<Cursor>) -> EventsAsk {
    EventsAsk { filter: EventFilter::default(), after }
}

/// What came after a cursor, and how far that is.
async fn poll(
    node: &Node,
    after: Option<Cursor>,
) -> Result<(Vec<(u64, EvidenceKind)>, Cursor), Box<Problem>> {
    let wishes = PollAsk { limit: 1000, wait: Duration::ZERO, confirmed: false };
    let (stop, half_closed) = (CancellationToken::new(), CancellationToken::new());
    let polled = node.service().poll_events(local(), ask(after), wishes, &stop, &half_closed);
    let bytes = polled.await?;
    let mut events = Vec::new();
    for line in std::str::from_utf8(&bytes).unwrap().lines() {
        match serde_json::from_str(line).unwrap() {
            EventLine::Event(event) => events.push((event.revision, event.kind)),
            EventLine::Heartbeat { heartbeat } => {
                let at = Cursor { history: heartbeat.history, revision: heartbeat.revision };
                return Ok((events, at));
            }
            EventLine::End { end } => panic!("{end:?}"),
        }
    }
    panic!("an answer without a last line");
}

/// What a poll and a stream are both refused with.
async fn refused(node: &Node, after: Cursor) -> Box<Problem> {
    let problem = poll(node, Some(after)).await.unwrap_err();
    let stream = node.service().stream_events(local(), ask(Some(after)), CancellationToken::new());
    let streamed = stream.await.expect_err("a stream is refused too");
    assert_eq!((streamed.code, streamed.status), (problem.code, problem.status));
    problem
}

/// A node that root has recovered as a cluster of its own.
async fn recovered(config: &Config) -> Node {
    let env = environment(config).await;
    let survivor = inspect(config, &env).await.unwrap();
    let draft = in_root().draft(&claims::recovery(survivor.epoch + 1, &[survivor.key]));
    let envelope = draft.slot(survivor.sequence, survivor.parent).sign(&[&key(1)]);
    recover(config, &env, &envelope).await.unwrap();
    drop(env);
    let node = start(config).await;
    ready(&node).await;
    node
}

/// A node that is a cluster of its own, of the genesis file that lies in the folder.
async fn alone(config: &Config) -> Node {
    let mut config = config.clone();
    config.voters.truncate(1);
    let node = start(&config).await;
    ready(&node).await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_resumes_after_a_recovery_gets_a_resume_point_and_misses_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = start_all(&configs).await;
    let first = accept(&nodes[0], authorization()).await;
    let ended = history(&nodes[0]);
    assert_eq!((first.history, ended.epoch(), first.revision), (ended, 1, GENESIS + 1));
    ready(&nodes[0]).await;
    nodes.remove(0).shutdown().await;
    ready(&nodes[0]).await;

    // What only these two hold is lost later.
    let mut lost = first;
    for lineage in ["lost-1", "lost-2", "lost-3"] {
        lost = accept(&nodes[0], authorization_for(lineage)).await;
    }
    ready(&nodes[0]).await;
    let (_, seen) = poll(&nodes[0], None).await.unwrap();
    assert_eq!((seen, lost.cursor()), (Cursor { history: ended, revision: GENESIS + 4 }, seen));
    for node in nodes {
        node.shutdown().await;
    }

    let node = recovered(&configs[0]).await;
    let in_force = in_epoch(ended, 2);
    assert_eq!(history(&node), in_force);
    accept(&node, quarantine("exec-1")).await;
    let receipt = accept(&node, authorization_for("new")).await;
    // The new ledger has grown to the revision that the follower has seen of the old one.
    assert_eq!(receipt.cursor(), Cursor { history: in_force, revision: seen.revision });

    let shared = GENESIS + 1;
    let problem = refused(&node, seen).await;
    assert_eq!((problem.code, problem.status), (Code::HistoryMismatch, 409));
    assert_eq!((problem.history, problem.shared_revision), (Some(in_force), Some(shared)));
    assert!(problem.detail.contains(&format!("read again after {shared}")), "{}", problem.detail);
    let (events, at) = poll(&node, Some(Cursor { history: in_force, revision: shared })).await.unwrap();
    let expected = [EvidenceKind::Recovery, EvidenceKind::Containment, EvidenceKind::ExecutionAuthorization];
    assert_eq!(events, [8, 9, 10].into_iter().zip(expected).collect::<Vec<_>>());
    assert_eq!(at, receipt.cursor());
    // Who has read no further than that has nothing to take back.
    let problem = refused(&node, Cursor { history: ended, revision: shared }).await;
    assert!(problem.detail.contains("go on after it"), "{}", problem.detail);

    // A revision and a receipt of the ended history are not taken for ones of this.
    let asked = request().not_before(lost.cursor());
    let answer = node.service().authorize(Caller::local(), vec![asked]).await.remove(0);
    let body: DecisionBody = serde_json::from_slice(&answer.body).unwrap();
    let codes: Vec<Code> = body.reasons.iter().map(|reason| reason.code).collect();
    assert_eq!((answer.status, codes), (403, vec![Code::HistoryMismatch]));
    let trusted: Vec<PublicKey> = vec![key(11).public()];
    let signed = verify_decision(&answer.body, &trusted).unwrap();
    let named = signed.decision.get("history").and_then(assent_proof::Json::as_str).unwrap().to_owned();
    assert_eq!((named, body.history), (in_force.to_string(), in_force));
    // The same for the page of a lineage.
    let page = |history| {
        let read =
            node.service().read_on(Caller::local(), Some(Cursor { history, revision: 1 }), |rows, _| {
                query::lineage(
                    rows,
                    &DomainName::root(),
                    &assent_proof::LineageName::governance(),
                    Some(0),
                    9,
                )
            });
        async move { read.await.map(|page| page.unwrap().history).map_err(|problem| problem.code) }
    };
    assert_eq!(page(ended).await, Err(Code::HistoryMismatch));
    assert_eq!(page(in_force).await, Ok(in_force));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_a_cluster_that_was_made_anew_at_the_same_address_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = configs(folder.path()).swap_remove(0);
    let node = alone(&config).await;
    let (_, seen) = poll(&node, None).await.unwrap();
    node.shutdown().await;
    std::fs::remove_dir_all(&config.data_dir).unwrap();
    write_genesis(folder.path(), &genesis_until(Seconds(now().0 + 7200)));
    let node = alone(&config).await;
    let in_force = history(&node);
    assert_ne!(in_force.cluster(), seen.history.cluster());
    let problem = refused(&node, seen).await;
    assert_eq!((problem.code, problem.status), (Code::HistoryMismatch, 409));
    assert_eq!((problem.history, problem.shared_revision), (Some(in_force), Some(0)));
    assert_eq!(poll(&node, None).await.unwrap().0.len() as u64, GENESIS);
    node.shutdown().await;
}

fn write_genesis(folder: &Path, bytes: &[u8]) {
    std::fs::write(folder.join("genesis.json"), bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_founded_twice_from_one_genesis_file_is_detected_only_by_its_shorter_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let config = configs(folder.path()).swap_remove(0);
    let node = alone(&config).await;
    let seen = accept(&node, authorization()).await.cursor();
    node.shutdown().await;
    std::fs::remove_dir_all(&config.data_dir).unwrap();
    let node = alone(&config).await;
    assert_eq!(history(&node), seen.history, "one file, one name");
    assert_eq!(refused(&node, seen).await.code, Code::CursorBeyondLedger);
    accept(&node, authorization_for("another")).await;
    assert_eq!(poll(&node, Some(seen)).await.unwrap().1, seen);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_beyond_the_ledger_is_an_error_once_a_quorum_has_confirmed_it_and_no_wait() {
    let folder = tempfile::tempdir().unwrap();
    let config = configs(folder.path()).swap_remove(0);
    let node = alone(&config).await;
    let at = |revision| Cursor { history: history(&node), revision };
    let problem = refused(&node, at(GENESIS + 1)).await;
    assert_eq!((problem.code, problem.status), (Code::CursorBeyondLedger, 409));
    assert_eq!((problem.history, problem.ledger_revision), (Some(history(&node)), Some(GENESIS)));
    assert_eq!(poll(&node, Some(at(GENESIS))).await.unwrap(), (vec![], at(GENESIS)));
    let beyond = node.service().read_on(Caller::local(), Some(at(u64::MAX)), |rows, _| query::history(rows));
    assert_eq!(beyond.await.unwrap_err().code, Code::CursorBeyondLedger);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_no_node_says_that_its_caller_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let node = start(&configs[0]).await;
    let known = history(&node);
    for wrong in [
        Cursor { history: known, revision: 100 },
        Cursor { history: in_epoch(known, 2), revision: 3 },
        Cursor { history: History::founded([9; 32]), revision: 3 },
    ] {
        let problem = refused(&node, wrong).await;
        assert_eq!((problem.code, problem.status), (Code::NoQuorum, 503), "{wrong}");
    }
    // What lies in its ledger it tells without one: it is committed.
    let (events, _) = poll(&node, Some(Cursor { history: known, revision: 3 })).await.unwrap();
    assert_eq!(events.len(), 3);
    node.shutdown().await;
}
