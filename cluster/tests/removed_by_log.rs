//! A node whose own log says that it was removed. Whether that entry reaches a node that is removed is chance, so a peer brings it here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod cluster_support;
mod peer_support;

use std::collections::{BTreeMap, BTreeSet};

use assent_cluster::peer::{Append, Identity, Standing};
use assent_cluster::raft::types::{PeerNode, TypeConfig};
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use assent_registry::GenesisFile;
use openraft::alias::EntryOf;
use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, Membership};

use cluster_support::members::{ready_all, ready_says, stop, store_of};
use cluster_support::*;
use peer_support::{asked, connected, node_as, quick};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_own_log_says_that_it_was_removed_says_so_at_readyz() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    let store_id = store_of(&nodes[2]).await;
    nodes.remove(2).shutdown().await;
    ready(&nodes[0]).await;
    // Node 3, as node 1 sees it: it leads in the next term.
    let genesis = GenesisFile::parse(&std::fs::read(&configs[0].genesis).unwrap()).unwrap();
    let identity = Identity { cluster_id: genesis.cluster_id().0, node_id: 3, store_id, rules_version: 1 };
    let third = node_as(identity, "127.0.0.1:0", &[], quick(), 0).await;
    let standing = Standing { started: true, term: 1 << 30, log_end: 1 << 30 };
    *third.script.standing.lock().unwrap() = Some(standing);
    third.hub.ensure_peer(1, &configs[0].peer_listen);
    connected(&third, 1).await;
    let status = nodes[0].service().status(&Caller::Anonymous);
    assert_eq!(status.removed, None);
    let (last, term) = (status.last_log.unwrap(), status.term + 1);
    let at = |index: u64, term: u64| openraft::LogId::new(CommittedLeaderId::new(term), index);
    let members = BTreeMap::from([2, 3].map(|id: u64| (id, PeerNode::default())));
    let without = Membership::new(vec![BTreeSet::from([2, 3])], members).unwrap();
    let entry = EntryOf::<TypeConfig>::new(at(last + 1, term), EntryPayload::Membership(without));
    let rpc = AppendEntriesRequest::<TypeConfig> {
        vote: openraft::Vote::new_committed(term, 3),
        prev_log_id: Some(at(last, status.term)),
        entries: vec![entry],
        leader_commit: None,
    };
    // The new membership may end this very connection, before it is answered.
    let _ = asked(&third, 1, &Append { rpc, acknowledged: Vec::new() }).await;
    let problem = ready_says(&nodes[0], Code::MemberRemoved).await;
    assert_eq!(problem.status, 503);
    assert!(problem.detail.contains("as its own log says"), "{problem:?}");
    let removed = nodes[0].service().status(&Caller::Anonymous).removed.unwrap();
    assert_eq!(removed.said_by, Vec::<u64>::new());
    third.hub.shutdown().await;
    stop(nodes).await;
}
