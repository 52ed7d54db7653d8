//! Hostile MessagePack and a forged vote, from a peer that says hello as a member of a cluster of three.

use std::future::pending;
use std::time::Duration;

use assent_cluster::peer::{Vote, request_frame};
use assent_cluster::raft::types::TypeConfig;
use assent_cluster::usecase::Caller;
use openraft::raft::VoteRequest;
use openraft::vote::leader_id_std::CommittedLeaderId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::beside::{Beside, state};
use crate::cluster_support::http::{ask, status};
use crate::cluster_support::{authorization, configs, ready, start_all};
use crate::peer_support::{Raw, SPOKEN, cluster_id, hello_bytes};

/// Kinds of frames: a pong, an append, a vote, a snapshot's beginning, a submission.
const KINDS: [u8; 5] = [0x05, 0x10, 0x11, 0x14, 0x21];
/// Longer than a node bears a connection on which nothing arrives, which is a second.
const WATCHED: Duration = Duration::from_secs(3);

/// Whether the node ends this connection, on which the peer goes on pinging.
async fn ends(raw: Raw) -> bool {
    let (mut reading, mut writing) = raw.stream.into_split();
    let until_the_end = async {
        let mut sink = [0; 4096];
        while reading.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    };
    let pinging = async {
        for id in 0_u64.. {
            let ping = [&11_u32.to_be_bytes()[..], &[4], &id.to_be_bytes(), &[0x91, 0x00]].concat();
            if writing.write_all(&ping).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        // The other side of the connection says whether it has ended.
        pending::<()>().await;
    };
    tokio::select! {
        () = until_the_end => true,
        () = pinging => false,
        () = sleep(WATCHED) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_messagepack_and_a_forged_vote_end_the_peers_connection_and_change_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    for config in &mut configs {
        config.deadlines.authorize_ms = 1_000;
        config.deadlines.submit_ms = 10_000;
    }
    let mut nodes = start_all(&configs).await;
    // Node 3 leaves its name and its store to a false peer.
    let gone = nodes.remove(2);
    let store = hex::decode(gone.service().status(Caller::local()).node.store_id).unwrap();
    gone.shutdown().await;
    for node in &nodes {
        ready(node).await;
    }
    let node = &nodes[1];
    let answer = ask(node.client_addr(), "POST /v1/envelopes", &authorization()).await.unwrap();
    assert_eq!(status(&answer), 201, "{answer}");
    // The leader has applied it. Node 2 may still have to.
    let revision = nodes.iter().map(|node| state(node).0).max().unwrap();

    let mut hello = hello_bytes(cluster_id(&configs), 3, 2, SPOKEN);
    hello[56..72].copy_from_slice(&store);
    let at = hello.len() - 16;
    // More than node 3 ever acknowledged.
    hello[at..at + 8].copy_from_slice(&(1_u64 << 30).to_be_bytes());
    hello[at + 8..].copy_from_slice(&(1_u64 << 30).to_be_bytes());
    let opened = async || {
        let mut raw = Raw::connect(node.peer_addr()).await;
        raw.frame(1, 0, &hello).await;
        assert_eq!(raw.read().await.unwrap().0, 1, "a hello comes back");
        raw.frame(3, 0, &[]).await;
        raw
    };
    assert!(!ends(opened().await).await, "a peer that only pings loses its connection");

    let beside = Beside::at(node.client_addr(), Duration::from_secs(1));
    let nested = vec![0x91; 200_000];
    for kind in KINDS {
        for (what, body) in [
            ("200,000 nested arrays", &nested[..]),
            ("an array of 4 Gi elements", &[0x91, 0xdd, 0xff, 0xff, 0xff, 0xff]),
            ("bytes of 4 GiB", &[0x91, 0xc6, 0xff, 0xff, 0xff, 0xff]),
            ("text of 4 GiB", &[0x91, 0xdb, 0xff, 0xff, 0xff, 0xff]),
            ("a byte that is no MessagePack", &[0xc1]),
            ("trailing bytes", &[0x90, 0x00]),
        ] {
            let mut raw = opened().await;
            raw.frame(kind, 7, body).await;
            assert!(ends(raw).await, "a frame of kind {kind:#04x} with {what}");
        }
    }
    let last = openraft::LogId::new(CommittedLeaderId::new(1 << 40), 1 << 40);
    let mut vote = VoteRequest::<TypeConfig>::new(openraft::Vote::new(1 << 63, 3), Some(last));
    // As if the leader had asked it to take over, so that no lease stands in its way.
    vote.leadership_transfer = true;
    let mut raw = opened().await;
    raw.bytes(&request_frame(8, &Vote(vote)).unwrap()).await;
    assert!(ends(raw).await, "a vote for the term 2^63");

    beside.was_answered().await;
    let (now, term) = state(node);
    assert_eq!(now, revision);
    assert!(term < 1 << 20, "node 2 is in term {term}");
    for node in nodes {
        node.shutdown().await;
    }
}
