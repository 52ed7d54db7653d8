//! The cost of answers: memory, and the time of other callers.

use crate::cluster_support::*;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::{Answered, Caller, Submitted};

/// Three nodes that allow [`request`], with patience.
async fn cluster(folder: &std::path::Path, change: impl Fn(&mut Config)) -> Vec<Node> {
    let mut nodes = Vec::new();
    for mut config in configs(folder) {
        config.deadlines.authorize_ms = 1_000;
        change(&mut config);
        nodes.push(start(&config).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    let answer = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(matches!(answer, Submitted::Accepted { .. }), "{answer:?}");
    nodes
}

async fn ask(node: &Node, requests: usize) -> Vec<Answered> {
    node.service().authorize(Caller::local(), vec![request(); requests]).await
}

fn says(answer: &Answered, code: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(&format!("\"code\":\"{code}\""))
}

/// Rule R9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unwritten_answers_hold_their_memory_and_requests_without_memory_are_denied_as_overloaded() {
    let folder = tempfile::tempdir().unwrap();
    // Room for one slice of answers as large as they can get.
    let nodes = cluster(folder.path(), |config| config.limits.answer_kib = 8_192).await;
    let held = ask(&nodes[0], 1).await;
    assert_eq!(held[0].status, 200);
    let denied = ask(&nodes[0], 64).await;
    assert_eq!(denied.len(), 64);
    for answer in &denied {
        assert!(answer.status == 503 && says(answer, "overloaded"), "{answer:?}");
    }
    // A single question still has room, and so does the batch once the answer is gone.
    assert_eq!(ask(&nodes[0], 1).await[0].status, 200);
    drop(held);
    assert!(ask(&nodes[0], 64).await.iter().all(|answer| answer.status == 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_questions_are_answered_while_long_batches_are_decided() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = cluster(folder.path(), |_| ()).await;
    let long = || async {
        for answer in ask(&nodes[0], 1_000).await {
            // The rest of a batch whose time is over is denied and not evaluated.
            assert!(answer.status == 200 || says(&answer, "deadline_exceeded"), "{answer:?}");
        }
    };
    let short = async {
        for _ in 0..20 {
            let answers = ask(&nodes[0], 1).await;
            assert_eq!(answers[0].status, 200, "{answers:?}");
        }
    };
    tokio::join!(long(), long(), short);
}
