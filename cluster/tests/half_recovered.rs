//! A `recover` that is killed between its steps: what it leaves on the disk, and how an operator continues.

use assent_cluster::raft::codec;
use assent_cluster::raft::log::LogRecord;
use assent_cluster::recover::{Survivor, inspect, recover};
use assent_cluster::usecase::Caller;
use assent_store::{Store, StoreOptions};

use crate::cluster_support::*;

/// Root's statement that recovers this node.
fn recovery(survivor: &Survivor) -> Vec<u8> {
    in_root()
        .draft(&claims::recovery(survivor.epoch + 1, &[survivor.key]))
        .slot(survivor.sequence, survivor.parent)
        .sign(&[&key(1)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_killed_after_any_step_is_completed_once_by_the_same_statement() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    for node in start_all(&configs).await {
        node.shutdown().await;
    }
    let config = &configs[0];
    let env = environment(config).await;
    let before = inspect(config, &env).await.unwrap();
    let statement = recovery(&before);

    // Killed after the vote: that is all that it has written.
    let store =
        Store::<LogRecord>::open(env.disk.clone(), env.run_blocking(), [0; 16], StoreOptions::default());
    let store = store.await.unwrap();
    let vote = codec::encode_vote(&openraft::Vote::new(before.term + 1, before.node_id));
    store.log.save_vote(vote.into()).await.unwrap();
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    drop(store);
    let voted = Survivor { term: before.term + 1, ..before.clone() };
    assert_eq!(inspect(config, &env).await.unwrap(), voted, "a vote alone recovers nothing");

    // Killed after the entries: it could not say that the node is recovered.
    recover(config, &env, &statement).await.unwrap();
    let after = inspect(config, &env).await.unwrap();
    assert_eq!((after.epoch, after.log_last), (before.epoch + 1, before.log_last + 2));
    assert_eq!((&after.voters[..], after.term), (&[before.node_id][..], before.term + 2));
    let again = recover(config, &env, &statement).await.unwrap_err();
    assert!(!again.may_be_done() && again.to_string().contains("in epoch 2 already: start it"), "{again}");
    assert_eq!(inspect(config, &env).await.unwrap(), after, "a refusal changes nothing");

    drop(env);
    let node = start(config).await;
    ready(&node).await;
    assert_eq!(node.service().status(Caller::local()).history.epoch(), 2);
    node.shutdown().await;
}
