//! Members that move to other addresses, and what the membership says about them.

use std::time::Duration;

use assent_api::MemberAddresses;
use assent_cluster::config::PeerConfig;
use assent_cluster::env::{Clock, RealClock};
use assent_cluster::peer::{Append, Introduce, Moved, PeerError};
use assent_cluster::raft::types::{PeerNode, TypeConfig};
use assent_cluster::usecase::Caller;
use assent_proof::{Code, Millis, SigningKey};
use openraft::alias::EntryOf;
use openraft::entry::RaftEntry;
use openraft::raft::AppendEntriesRequest;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, Membership};
use tokio::time::sleep;

use crate::cluster_support::http::{ask, status};
use crate::cluster_support::members::{address, member, moves, ready_all, ready_says, stop, store_of};
use crate::cluster_support::*;
use crate::peer_support::{asked, cluster_id, connected, member_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_voters_that_both_moved_find_each_other_and_the_membership_says_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    stop(ready_all(&configs).await).await;
    // No node's configuration says where the others are now.
    moves(&mut configs[0]);
    moves(&mut configs[1]);
    let nodes = ready_all(&configs).await;
    stop(nodes).await;
    // From here on the membership says it: the third may be away, whose word brought the two together.
    let two = ready_all(&configs[..2]).await;
    stop(two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_voters_that_all_moved_find_each_other_where_their_configurations_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    stop(ready_all(&configs).await).await;
    configs.iter_mut().for_each(moves);
    let peers: Vec<PeerConfig> = configs
        .iter()
        .map(|config| PeerConfig { id: config.node_id, peer: config.peer_listen.clone() })
        .collect();
    for config in &mut configs {
        config.peers = peers.clone();
    }
    stop(ready_all(&configs).await).await;
    for config in &mut configs {
        config.peers = Vec::new();
    }
    stop(ready_all(&configs).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_addresses_can_be_changed_and_no_two_members_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let nodes = ready_all(&configs).await;
    let before = member(&nodes[0], 3).await;
    // Until node 3 has seen that the membership has it where it is: before that it would say so itself.
    sleep(Duration::from_secs(3)).await;
    let update = async |id, peer: Option<&str>, client: Option<&str>| {
        let read = |text: &str| text.parse().unwrap();
        let to = MemberAddresses { peer: peer.map(read), client: client.map(read) };
        nodes[0].service().update_member(Caller::local(), id, to).await
    };
    let taken = &configs[0].client_listen;
    for (peer, client) in [(Some(taken.as_str()), None), (None, Some(taken.as_str()))] {
        let refused = update(3, peer, client).await.unwrap_err();
        assert_eq!((refused.code, refused.status), (Code::MemberExists, 409), "{refused:?}");
    }
    // What no member may have is refused by the API already, and so is another spelling of what one has.
    let port = taken.rsplit_once(':').unwrap().1;
    for (claimed, why) in [
        ("0.0.0.0:7500".to_owned(), "peer_advertise"),
        ("[::]:7400".to_owned(), "peer_advertise"),
        ("224.0.0.1:7500".to_owned(), "multicast"),
        (format!("localhost:{port}"), taken.as_str()),
        (format!("127.1:{port}"), taken.as_str()),
        (format!("[::ffff:127.0.0.1]:{port}"), taken.as_str()),
        (format!("127.0.0.1:0{port}"), taken.as_str()),
        (format!("127.0.0.1:+{port}"), taken.as_str()),
    ] {
        for field in ["peer", "client"] {
            let body = format!(r#"{{"{field}":"{claimed}"}}"#);
            let path = "PATCH /v1/cluster/members/3";
            let refused = ask(nodes[0].client_addr(), path, body.as_bytes()).await.unwrap();
            assert_eq!(status(&refused), 400, "{claimed}: {refused}");
            assert!(refused.contains(r#""code":"malformed""#) && refused.contains(why), "{refused}");
        }
    }
    let now = member(&nodes[0], 3).await;
    assert_eq!((&now.peer, &now.client), (&before.peer, &before.client));
    // One spelling of its number, too.
    for id in ["03", "+3", "0x3"] {
        let path = format!("PATCH /v1/cluster/members/{id}");
        let refused = ask(nodes[0].client_addr(), &path, br#"{"client":"10.0.0.9:7400"}"#).await.unwrap();
        assert!(refused.contains("without a sign or leading zeros"), "{refused}");
    }
    let refused = update(9, Some("10.0.0.9:7500"), None).await.unwrap_err();
    assert_eq!((refused.code, refused.status), (Code::MemberUnknown, 404), "{refused:?}");
    // Nobody answers there yet: an operator may say it before it is so.
    let moved = address();
    let members = update(3, None, Some(&moved)).await.unwrap();
    let after = members.member(3).unwrap().clone();
    assert_eq!(after.client, moved);
    assert_eq!((&after.peer, &after.store_id, after.key), (&before.peer, &before.store_id, before.key));
    assert_eq!(after.role, before.role);
    // The same again is no mistake, and what an operator says holds until the node is started again.
    update(3, None, Some(&moved)).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(member(&nodes[1], 3).await.client, moved);
    for node in &nodes {
        ready(node).await;
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_recent_announcement_signed_by_its_own_key_moves_a_member() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    let store_id = store_of(&nodes[2]).await;
    nodes.remove(2).shutdown().await;
    ready(&nodes[0]).await;
    let before = member(&nodes[0], 3).await;
    let peer = member_of(&configs, 3, store_id, &[1, 2]).await;
    let cluster_id = cluster_id(&configs);
    // There it answers.
    let peer_addr = peer.hub.local_addr().to_string();
    let elsewhere = PeerNode { peer_addr, client_addr: address(), store_id, key: None };
    let said = |id, store_id, ago_ms: i64, key: &SigningKey| {
        let node = PeerNode { store_id, ..elsewhere.clone() };
        Moved::signed(&cluster_id, id, &node, Millis(RealClock.now().0 - ago_ms), key)
    };
    let own = key(13);
    for (false_word, why) in [
        (said(3, store_id, 0, &key(12)), "not signed"),
        (said(3, [9; 16], 0, &own), "another store"),
        (said(4, store_id, 0, &own), "not a member"),
        (said(3, store_id, 120_000, &own), "set the clocks right"),
        (said(3, store_id, -120_000, &own), "set the clocks right"),
        (Moved { peer_addr: address(), ..said(3, store_id, 0, &own) }, "not signed"),
    ] {
        for to in [1, 2] {
            let answer = asked(&peer, to, &false_word).await.unwrap();
            let refused = answer.unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
    let now = member(&nodes[0], 3).await;
    assert_eq!((now.peer, now.client), (before.peer, before.client));
    // Its own word moves it, through whichever node it says it.
    for node in &nodes {
        let mut now = member(node, 3).await;
        for _ in 0..100 {
            if now.peer == elsewhere.peer_addr {
                break;
            }
            // It says it again and again, as a node does: another change may be under way.
            let _ = asked(&peer, 1, &said(3, store_id, 0, &own)).await.unwrap();
            sleep(Duration::from_millis(100)).await;
            now = member(node, 3).await;
        }
        assert_eq!((now.peer, now.client), (elsewhere.peer_addr.clone(), elsewhere.client_addr.clone()));
    }
    peer.hub.shutdown().await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_founders_with_one_key_found_no_cluster_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    let shared = configs[0].node_key.clone();
    let own = std::mem::replace(&mut configs[2].node_key, shared);
    let mut nodes = Vec::new();
    for config in &configs {
        nodes.push(start(config).await);
    }
    for node in &nodes {
        let problem = ready_says(node, Code::MemberExists).await;
        assert!(problem.detail.contains("nodes 1 and 3 have the same key"), "{problem:?}");
        assert!(node.service().status(Caller::local()).voters.is_empty());
    }
    // With a key of its own the cluster is founded.
    nodes.remove(2).shutdown().await;
    configs[2].node_key = own;
    nodes.push(start(&configs[2]).await);
    for node in &nodes {
        ready(node).await;
    }
    stop(nodes).await;
}

/// The same address, as a configuration may have spelled it before that was checked.
fn respelled(address: &str) -> String {
    format!("localhost:{}", address.rsplit_once(':').unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founded_cluster_starts_with_respelled_voters_and_keeps_its_stored_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    stop(ready_all(&configs).await).await;
    let founded = configs[0].voters.clone();
    for voter in configs.iter_mut().flat_map(|config| &mut config.voters) {
        (voter.peer, voter.client) = (respelled(&voter.peer), respelled(&voter.client));
    }
    let nodes = start_all(&configs).await;
    // A node says at most once a second where it is.
    sleep(Duration::from_secs(3)).await;
    for node in &nodes {
        for voter in &founded {
            let seen = member(node, voter.id).await;
            assert_eq!((&seen.peer, &seen.client), (&voter.peer, &voter.client));
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cluster_is_founded_with_respelled_voters_and_the_error_names_the_spelling_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.voters.truncate(1);
    let listens = config.voters[0].client.clone();
    config.voters[0].client = respelled(&listens);
    let node = start(&config).await;
    let problem = ready_says(&node, Code::Malformed).await;
    assert!(problem.detail.contains(&format!("write `{listens}`")), "{problem:?}");
    assert!(node.service().status(Caller::local()).voters.is_empty());
    node.shutdown().await;
    // In its one spelling it is founded.
    config.voters[0].client = listens;
    let node = start(&config).await;
    ready(&node).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_leaders_name_brings_a_member_in_whose_id_would_end_growth() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let mut nodes = ready_all(&configs).await;
    let store_id = store_of(&nodes[2]).await;
    nodes.remove(2).shutdown().await;
    ready(&nodes[0]).await;
    let peer = member_of(&configs, 3, store_id, &[1]).await;
    let status = nodes[0].service().status(Caller::local());
    let last = status.last_log.unwrap();
    let term = status.term + 1;
    let at = |index: u64, term: u64| openraft::LogId::new(CommittedLeaderId::new(term), index);
    let within_range = [3 + (1 << 20) + 2, 1 << 32].map(|id| (id, true));
    let beyond_it = [(1 << 32) + 1, (1 << 63) - 1].map(|id| (id, false));
    for (far, is_an_id) in within_range.into_iter().chain(beyond_it) {
        let members = [1, 2, 3, far].map(|id: u64| (id, PeerNode::default()));
        let voters = std::collections::BTreeSet::from([1, 2, 3]);
        let membership = Membership::new(vec![voters], std::collections::BTreeMap::from(members)).unwrap();
        let entry = EntryOf::<TypeConfig>::new(at(last + 1, term), EntryPayload::Membership(membership));
        let rpc = AppendEntriesRequest::<TypeConfig> {
            vote: openraft::Vote::new_committed(term, 3),
            prev_log_id: Some(at(last, status.term)),
            entries: vec![entry],
            leader_commit: None,
        };
        let answer = asked(&peer, 1, &Append { rpc, acknowledged: Vec::new() }).await;
        match answer {
            Err(PeerError::Refused(why)) if is_an_id => assert!(why.contains("skips more than"), "{why}"),
            // No node has such an id anywhere: whoever says so is hung up on.
            Err(PeerError::Lost(_)) if !is_an_id => connected(&peer, 1).await,
            other => panic!("{far}: {other:?}"),
        }
    }
    let introduced = Introduce { members: vec![((1 << 63) - 1, PeerNode::default())] };
    assert!(matches!(asked(&peer, 1, &introduced).await, Err(PeerError::Lost(_))));
    peer.hub.shutdown().await;
    assert_eq!(nodes[0].service().members(Caller::local()).await.next_id, 4);
    stop(nodes).await;
}
