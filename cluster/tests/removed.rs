//! Members that were removed: what they know of their removal, and from which node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use assent_cluster::node::Node;
use assent_cluster::peer::Append;
use assent_cluster::raft::types::{PeerNode, TypeConfig};
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use openraft::alias::EntryOf;
use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, Membership};
use tokio::time::sleep;

use crate::cluster_support::members::{ready_all, ready_says, stop, store_of};
use crate::cluster_support::*;
use crate::peer_support::{asked, member_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_says_that_it_was_removed_whether_its_log_says_so_or_its_peers_do() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    assert_eq!(nodes[2].service().status(Caller::local()).removed, None);
    // It is down when it is removed, and never gets the entry that says so.
    nodes.remove(2).shutdown().await;
    ready(&nodes[0]).await;
    let removed = async |nodes: &[Node], id| {
        for _ in 0..100 {
            if nodes[0].service().remove_member(Caller::local(), id).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("node {id} was never removed");
    };
    removed(&nodes, 3).await;
    let third = start(&configs[2]).await;
    let problem = ready_says(&third, Code::MemberRemoved).await;
    assert_eq!(problem.status, 503);
    assert!(problem.detail.contains("members that refuse it say so"), "{problem:?}");
    assert!(problem.remedy.contains("new member"), "{problem:?}");
    let status = third.service().status(Caller::local());
    assert!(status.member, "by its own log it is one");
    assert!(!status.removed.unwrap().said_by.is_empty());
    // It writes that down at once, which takes an fsync.
    sleep(Duration::from_secs(1)).await;
    third.shutdown().await;
    // One that runs when it is removed has it in its log, if the entry reached it, and after a start too.
    removed(&nodes, 2).await;
    let second = nodes.remove(1);
    ready_says(&second, Code::MemberRemoved).await;
    assert!(second.service().status(Caller::local()).removed.is_some());
    second.shutdown().await;
    let second = start(&configs[1]).await;
    ready_says(&second, Code::MemberRemoved).await;
    sleep(Duration::from_secs(1)).await;
    second.shutdown().await;
    ready(&nodes[0]).await;
    assert_eq!(nodes[0].service().status(Caller::local()).removed, None);
    stop(nodes).await;
    // Started again while the whole cluster is down, either still says it.
    for config in &configs[1..] {
        let alone = start(config).await;
        let problem = ready_says(&alone, Code::MemberRemoved).await;
        assert!(problem.remedy.contains("new member"), "{problem:?}");
        assert!(alone.service().status(Caller::local()).removed.is_some());
        alone.shutdown().await;
    }
}

/// That the node says that it was removed, and that nobody told it.
async fn says_so_by_its_own_log(node: &Node) {
    let problem = ready_says(node, Code::MemberRemoved).await;
    assert_eq!(problem.status, 503);
    assert!(problem.detail.contains("as its own log says"), "{problem:?}");
    let status = node.service().status(Caller::local());
    assert!(!status.member, "{status:?}");
    assert_eq!(status.removed.unwrap().said_by, Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_own_log_says_that_it_was_removed_needs_nobody_to_tell_it() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    let store_id = store_of(&nodes[0]).await;
    // The one with the largest id: of the members that are left, none has a larger one.
    let third = nodes.remove(2);
    stop(nodes).await;
    sleep(Duration::from_secs(1)).await;
    // A leader in the place of node 1, which refuses nobody, sends the entry that leaves node 3 out.
    let leader = member_of(&configs, 1, store_id, &[3]).await;
    for _ in 0..50 {
        let status = third.service().status(Caller::local());
        if status.removed.is_some() {
            break;
        }
        let applied = third.service().digest(Caller::local()).await.unwrap().applied.unwrap();
        let at = |index: u64, term: u64| openraft::LogId::new(CommittedLeaderId::new(term), index);
        let (next, term) = (applied.index + 1, status.term + 1);
        let members = BTreeMap::from([
            (1_u64, PeerNode { store_id, ..PeerNode::default() }),
            (2, PeerNode { store_id: [2; 16], ..PeerNode::default() }),
        ]);
        let membership = Membership::new(vec![BTreeSet::from([1_u64, 2])], members).unwrap();
        let entry = EntryOf::<TypeConfig>::new(at(next, term), EntryPayload::Membership(membership));
        let rpc = AppendEntriesRequest::<TypeConfig> {
            vote: openraft::Vote::new_committed(term, 1),
            prev_log_id: Some(at(applied.index, applied.term)),
            entries: vec![entry],
            leader_commit: Some(at(next, term)),
        };
        // Whatever is answered, the next look tells.
        let _ = asked(&leader, 3, &Append { rpc, acknowledged: Vec::new() }).await;
        sleep(Duration::from_millis(200)).await;
    }
    says_so_by_its_own_log(&third).await;
    leader.hub.shutdown().await;
    third.shutdown().await;
    // After a start too, with nobody else there.
    let third = start(&configs[2]).await;
    says_so_by_its_own_log(&third).await;
    third.shutdown().await;
}
