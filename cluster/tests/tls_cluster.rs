//! Three real nodes with TLS between them: what strangers reach, and how certificates are replaced under load.

use std::path::Path;
use std::time::Duration;

use assent_api::NodeRole;
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::peer::{
    Acknowledged, Append, Identity, PeerError, Probe, StoreProgress, Vote, request_frame,
};
use assent_cluster::raft::types::TypeConfig;
use assent_cluster::usecase::Caller;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use openraft::vote::leader_id_std::CommittedLeaderId;
use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::cluster_support::certificates::{REREAD, Says, TestCa, replace};
use crate::cluster_support::dialer::Dialer;
use crate::cluster_support::http::get;
use crate::cluster_support::load::Load;
use crate::cluster_support::*;
use crate::peer_support::{
    SOON, SPOKEN, asked, cluster_id, frame_bytes, hello_bytes, identity, node_of, node_with, quick,
};

/// The kinds of the frames with which a connection begins.
const HELLO: u8 = 1;
const REFUSAL: u8 = 2;
const READY: u8 = 3;
/// The bytes of a frame before its body: the length of the rest, the kind and the request id.
const FRAME_HEAD: usize = 4 + 1 + 8;
/// Where a hello has the id of its sender's store.
const STORE_AT: std::ops::Range<usize> = 56..72;
/// A log index that no node of these tests comes to.
const FORGED_INDEX: u64 = 1 << 20;

/// Configurations of three nodes with certificates of this CA.
fn secured(folder: &Path, ca: &TestCa) -> Vec<Config> {
    let mut configs = configs(folder);
    let (cluster, crl) = (cluster_id(&configs), ca.revoke(&[], 86_400));
    for config in &mut configs {
        // A machine that other tests use too may take a while, which is not what is tried here.
        config.deadlines.authorize_ms = 1_000;
        config.deadlines.submit_ms = 10_000;
        let id = config.node_id;
        let mut tls = ca.issue(&format!("peer-{id}"), &Says::node(cluster, id).serial(id));
        tls.crl = Some(crl.clone());
        config.peer_tls = Some(tls);
    }
    configs
}

fn store_id(node: &Node) -> [u8; 16] {
    hex::decode(node.service().status(Caller::local()).node.store_id).unwrap().try_into().unwrap()
}

fn term(node: &Node) -> u64 {
    node.service().status(Caller::local()).term
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_vote_without_the_nodes_certificate_changes_no_term_and_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    let configs = secured(folder.path(), &ca);
    let mut nodes = start_all(&configs).await;
    let stores: Vec<[u8; 16]> = nodes.iter().map(store_id).collect();
    nodes.remove(2).shutdown().await;
    for node in &nodes {
        ready(node).await;
    }
    let before: Vec<u64> = nodes.iter().map(term).collect();
    let cluster = cluster_id(&configs);

    // One in plain text, and one with another cluster's certificate of the same CA. A node refuses to start with a
    // certificate that is not its own, so this one claims to be of that cluster.
    let other_cluster = [9; 32];
    let shown = ca.issue("foreign", &Says::node(other_cluster, 3));
    let foreign = Identity { cluster_id: other_cluster, ..identity(3) };
    let liars = [
        node_of(&configs, 3, stores[2]).await,
        node_with(foreign, "127.0.0.1:0", &[], quick(), 0, Some(shown)).await,
    ];
    for liar in &liars {
        for config in &configs[..2] {
            liar.hub.ensure_peer(config.node_id, &config.peer_listen);
        }
        sleep(Duration::from_millis(600)).await;
        for config in &configs[..2] {
            let forged = Vote(VoteRequest::new(openraft::impls::Vote::new(1 << 50, 3), None));
            let asked = liar.hub.call(config.node_id, &forged, Duration::from_millis(200)).await;
            assert!(matches!(asked, Err(PeerError::Unreachable(_))), "{asked:?}");
        }
    }
    for (node, before) in nodes.iter().zip(before) {
        assert_eq!(term(node), before);
        ready(node).await;
    }

    // Node 3's own certificate opens the door to what node 3 may do.
    let tls = configs[2].peer_tls.clone();
    let own = Identity { cluster_id: cluster, node_id: 3, store_id: stores[2], rules_version: 1 };
    let peer = node_with(own, "127.0.0.1:0", &[], quick(), 0, tls).await;
    *peer.script.store_progress.lock().unwrap() =
        Some(StoreProgress { started: true, term: 1 << 30, log_end: 1 << 30 });
    peer.hub.ensure_peer(1, &configs[0].peer_listen);
    assert!(asked(&peer, 1, &Probe {}).await.is_ok());
}

/// All that a node says at once if it waits for no answer: its hello to that node, that the connection is open, and a vote
/// and an append of this term.
fn all_at_once(cluster: [u8; 32], (from, store): (u64, [u8; 16]), to: u64, term: u64) -> Vec<u8> {
    let mut hello = hello_bytes(cluster, from, to, SPOKEN);
    hello[STORE_AT].copy_from_slice(&store);
    // Its log ends there, so it has not lost what it acknowledged.
    let log_end = hello.len() - 8..;
    hello[log_end].copy_from_slice(&FORGED_INDEX.to_be_bytes());
    let last = openraft::LogId::new(CommittedLeaderId::new(term - 1), FORGED_INDEX);
    let mut vote = VoteRequest::<TypeConfig>::new(openraft::Vote::new(term, from), Some(last));
    // As if the leader had asked it to take over, so that no lease stands in its way.
    vote.leadership_transfer = true;
    let rpc = AppendEntriesRequest::<TypeConfig> {
        vote: openraft::Vote::new_committed(term, from),
        prev_log_id: None,
        entries: vec![],
        leader_commit: None,
    };
    let acknowledged = vec![Acknowledged { node: from, term, index: FORGED_INDEX }];
    let (vote, append) = (request_frame(1, &Vote(vote)), request_frame(2, &Append { rpc, acknowledged }));
    [frame_bytes(HELLO, &hello), frame_bytes(READY, &[]), vote.unwrap().to_vec(), append.unwrap().to_vec()]
        .concat()
}

/// Fails if a member that was removed reaches Raft, since its certificate is good until it expires or is revoked, or if a
/// node keeps anything of what it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_with_a_good_certificate_is_refused_before_raft_and_nothing_of_it_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    let configs = secured(folder.path(), &ca);
    let mut nodes = start_all(&configs).await;
    let (cluster, store) = (cluster_id(&configs), store_id(&nodes[2]));
    nodes.remove(2).shutdown().await;
    for node in &nodes {
        ready(node).await;
    }
    let until = Instant::now() + Duration::from_secs(20);
    while nodes[0].service().remove_member(Caller::local(), 3).await.is_err() {
        assert!(Instant::now() < until, "node 3 was never removed");
        sleep(Duration::from_millis(100)).await;
    }
    let counts = |node: &Node| node.service().status(Caller::local()).voters.contains(&3);
    eventually("both know that it was removed", || !nodes.iter().any(counts)).await;
    let held = |node: &Node| (term(node), node.service().remembers(3));
    let before: Vec<_> = nodes.iter().map(held).collect();

    let dialer = Dialer::new(configs[2].peer_tls.as_ref().unwrap());
    for _ in 0..3 {
        for (config, (term, _)) in configs.iter().zip(&before) {
            let to = config.peer_listen.parse().unwrap();
            let said = all_at_once(cluster, (3, store), config.node_id, term + 5);
            let answer = dialer.exchange(to, &said).await.expect("the certificate is good");
            assert_eq!(answer[4], REFUSAL, "{answer:?}");
            let told = String::from_utf8_lossy(&answer[FRAME_HEAD..]);
            assert!(told.starts_with("this node was removed from the cluster"), "{told}");
            let length = u32::from_be_bytes(answer[..4].try_into().unwrap());
            assert_eq!(answer.len(), 4 + length as usize, "something follows the refusal: {answer:?}");
        }
    }
    sleep(Duration::from_millis(500)).await;
    for (node, (term_before, remembered)) in nodes.iter().zip(&before) {
        let (term, remembers) = held(node);
        assert_eq!(term, *term_before);
        // What a node knows of a member that was removed it may forget at any time.
        assert!(remembers.is_none() || remembers == *remembered, "{remembers:?}, before {remembered:?}");
        ready(node).await;
    }
    let goes_on = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(goes_on.problem().is_none(), "{goes_on:?}");
    for node in nodes {
        node.shutdown().await;
    }
}

/// What a node keeps of its cluster, and no stranger may change.
#[derive(Debug, PartialEq)]
struct Kept {
    term: u64,
    leader: Option<u64>,
    role: NodeRole,
    voters: Vec<u64>,
    learners: Vec<u64>,
    /// The members' ids, peer and client addresses and stores.
    members: Vec<(u64, String, String, String)>,
    /// Where nodes 1 to 5 are, as far as this node knows.
    addresses: Vec<Option<String>>,
    /// The peers that it has a connection with.
    connected: Vec<u64>,
    revision: u64,
}

async fn kept(node: &Node) -> Kept {
    let status = node.service().status(Caller::local());
    let members = node.service().members(Caller::local()).await.members;
    let connected = status.peers.iter().filter(|peer| peer.connected);
    Kept {
        term: status.term,
        leader: status.leader,
        role: status.role,
        connected: connected.map(|peer| peer.id).collect(),
        voters: status.voters,
        learners: status.learners,
        members: members
            .into_iter()
            .map(|member| (member.id, member.peer, member.client, member.store_id))
            .collect(),
        addresses: (1..=5).map(|id| node.service().peer_known(id)).collect(),
        revision: status.revision,
    }
}

/// How a node refuses what dials its peer port.
#[derive(Debug, Clone, Copy)]
enum Refused {
    /// In the handshake of TLS, so before a frame is read.
    InTls,
    /// By its hello, with a reason that begins so.
    ByHello(&'static str),
}

impl Refused {
    fn check(self, what: &str, answer: std::io::Result<Vec<u8>>) {
        match (self, answer) {
            // The alert of TLS is all that comes.
            (Refused::InTls, Err(error)) => {
                assert!(error.to_string().contains("fatal alert"), "{what}: {error}");
            }
            (Refused::InTls, Ok(answer)) => panic!("{what}: {answer:?}"),
            (Refused::ByHello(reason), Ok(answer)) => {
                assert_eq!(answer.get(4), Some(&REFUSAL), "{what}: {answer:?}");
                let told = String::from_utf8_lossy(&answer[FRAME_HEAD..]);
                assert!(told.starts_with(reason), "{what}: {told}");
                let length = u32::from_be_bytes(answer[..4].try_into().unwrap());
                assert_eq!(answer.len(), 4 + length as usize, "{what}: something follows the refusal");
            }
            (Refused::ByHello(_), Err(error)) => panic!("{what}: {error}"),
        }
    }
}

/// Fails if a real node lets one of these certificates reach Raft, or keeps anything of what is said with it. Each says
/// that it is a member, with the member's own store, and hands in a vote and an append of a later term.
#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_certificate_of_a_peer_changes_a_term_an_address_or_anything_that_a_real_node_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, stranger) = (TestCa::new(folder.path(), "ca"), TestCa::new(folder.path(), "stranger"));
    let configs = secured(folder.path(), &ca);
    ca.revoke(&[99], 86_400);
    let mut nodes = start_all(&configs).await;
    let (cluster, stores) = (cluster_id(&configs), nodes.iter().map(store_id).collect::<Vec<_>>());
    nodes.remove(2).shutdown().await;
    for node in &nodes {
        ready(node).await;
    }
    let until = Instant::now() + Duration::from_secs(20);
    while nodes[0].service().remove_member(Caller::local(), 3).await.is_err() {
        assert!(Instant::now() < until, "node 3 was never removed");
        sleep(Duration::from_millis(100)).await;
    }
    let is_without = |node: &Node| {
        let status = node.service().status(Caller::local());
        status.voters == [1, 2] && status.learners.is_empty()
    };
    eventually("both know that it was removed", || nodes.iter().all(is_without)).await;
    for node in &nodes {
        ready(node).await;
    }

    for (node, other) in [(1_u64, 2_u64), (2, 1)] {
        let dialed = &nodes[node as usize - 1];
        let before = kept(dialed).await;
        let right = || Says::node(cluster, other).serial(50);
        let issue = |name: &str, says: Says| ca.issue(&format!("{name}-{node}"), &says);
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (expired, of_the_future) =
            (Says { from_s: -7_200, until_s: -60, ..right() }, Says { from_s: 600, ..right() });
        let member_3 = configs[2].peer_tls.as_ref().unwrap();
        let in_tls = Refused::InTls;
        let (as_removed, as_another) = (
            Refused::ByHello("this node was removed from the cluster"),
            Refused::ByHello("it says that it is node"),
        );
        for (what, shown, from, refused) in [
            ("a caller's", issue("a", Says::uri("spiffe://example.org/slurm/ctl")), other, in_tls),
            ("another cluster's", issue("b", Says::node([9; 32], other)), other, in_tls),
            ("another node's", issue("c", Says::node(cluster, 4)), other, as_another),
            ("the dialed node's own", issue("d", Says::node(cluster, node)), other, in_tls),
            ("an expired one", issue("e", expired), other, in_tls),
            ("one of the future", issue("f", of_the_future), other, in_tls),
            ("a revoked one", issue("g", right().serial(99)), other, in_tls),
            ("one for servers only", issue("h", Says { usages, ..right() }), other, in_tls),
            ("another CA's", stranger.issue(&format!("i-{node}"), &right()), other, in_tls),
            ("a removed member's", member_3.clone(), 3, as_removed),
            ("a removed member's, for another", member_3.clone(), other, as_another),
        ] {
            let store = stores[from as usize - 1];
            let said = all_at_once(cluster, (from, store), node, before.term + 5);
            let dialer = Dialer::new(&shown);
            let exchanged = timeout(SOON, dialer.exchange(dialed.peer_addr(), &said)).await;
            refused.check(what, exchanged.unwrap_or_else(|_| panic!("{what}: the connection is kept")));
            assert_eq!(kept(dialed).await, before, "{what}");
        }
        // What was taken in would have had its effect by then.
        sleep(Duration::from_millis(500)).await;
        assert_eq!(kept(dialed).await, before);
        for id in 1..=5 {
            let remembered = dialed.service().remembers(id);
            let is_real = |(term, index): (u64, u64)| term <= before.term && index < FORGED_INDEX;
            assert!(remembered.is_none_or(is_real), "node {node} remembers {remembered:?} of node {id}");
        }
    }
    for node in &nodes {
        ready(node).await;
    }
    let goes_on = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(goes_on.problem().is_none(), "{goes_on:?}");

    // The same bytes with the right certificate do have an effect, so it is the certificate that keeps the others out.
    let forged = term(&nodes[0]) + 5;
    let said = all_at_once(cluster, (2, stores[1]), 1, forged);
    let mut stream = Dialer::new(configs[1].peer_tls.as_ref().unwrap())
        .connect(nodes[0].peer_addr())
        .await
        .expect("the certificate is good");
    stream.write_all(&said).await.unwrap();
    let (until, mut read) = (Instant::now() + SOON, Vec::new());
    while term(&nodes[0]) < forged {
        assert!(Instant::now() < until, "no later term, after {:?}", String::from_utf8_lossy(&read));
        let _ = timeout(Duration::from_millis(100), stream.read_buf(&mut read)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_is_renewed_under_load_and_no_call_of_a_client_fails() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    let configs = secured(folder.path(), &ca);
    let nodes = start_all(&configs).await;
    let cluster = cluster_id(&configs);
    let authorized = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(authorized.problem().is_none());
    let loads: Vec<Load> =
        nodes.iter().enumerate().map(|(at, node)| Load::on(node, &format!("load-{at}"))).collect();
    let began = Instant::now();
    sleep(Duration::from_secs(2)).await;
    let ends = |node: &Node| node.service().status(Caller::local()).node.peer_certificate_end.unwrap().0;
    let list = |node: &Node| node.service().status(Caller::local()).node.peer_revocation_list_end.unwrap().0;
    let before: Vec<i64> = nodes.iter().map(ends).collect();
    let lists_before: Vec<i64> = nodes.iter().map(list).collect();
    for id in 1..=3 {
        let says = Says { until_s: 2 * 86_400, ..Says::node(cluster, id).serial(10 + id) };
        ca.issue(&format!("peer-{id}"), &says);
        sleep(Duration::from_secs(1)).await;
    }
    sleep(REREAD).await;
    for (node, before) in nodes.iter().zip(before) {
        assert!(ends(node) > before);
    }
    // The certificates of before are withdrawn. Nothing rests on them any more.
    ca.revoke(&[1, 2, 3], 86_400);
    sleep(REREAD).await;
    for (node, before) in nodes.iter().zip(lists_before) {
        assert!(list(node) > before, "the end of the list that was replaced is shown");
    }
    for load in loads {
        let said = load.end().await;
        assert!(said.allowed_after(began) > 100, "{} allows", said.allowed());
        let failed: Vec<_> =
            said.asked.iter().chain(&said.submitted).filter(|answer| !answer.yes).map(|a| &a.said).collect();
        assert!(failed.is_empty(), "{} calls failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    }
}

/// It fails if the metrics do not show which file of `peer_tls` cannot be used, or show it after it was put right.
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_show_which_file_of_peer_tls_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    let other = TestCa::new(folder.path(), "other");
    let node = alone(folder.path(), |config| {
        let cluster = cluster_id(std::slice::from_ref(config));
        let mut tls = ca.issue("peer-1", &Says::node(cluster, 1));
        tls.crl = Some(ca.revoke(&[], 86_400));
        config.peer_tls = Some(tls);
        config.health_listen = Some("127.0.0.1:0".to_owned());
        config.health_metrics = true;
    })
    .await;
    let shown = async || -> Vec<bool> {
        let page = get(node.health_addr().unwrap(), "/metrics").await.unwrap();
        let line = |of: &str, file: &str, value: u8| {
            let line = format!("assent_tls_files_unusable{{of=\"{of}\",file=\"{file}\"}} {value}");
            page.lines().any(|shown| shown == line)
        };
        assert!(["cert", "ca", "crl"].iter().all(|file| line("clients", file, 0)), "{page}");
        ["cert", "ca", "crl"].map(|file| line("peers", file, 1)).to_vec()
    };
    let until_shown = async |wanted: [bool; 3]| {
        let until = Instant::now() + REREAD;
        while shown().await != wanted {
            assert!(Instant::now() < until, "{:?} is shown, not {wanted:?}", shown().await);
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert_eq!(shown().await, [false; 3]);
    let good = std::fs::read_to_string(ca.ca_file()).unwrap();
    replace(&ca.ca_file(), "no certificate");
    until_shown([false, true, false]).await;
    // Neither the own certificate nor the list is of the CA that is left.
    replace(&ca.ca_file(), &std::fs::read_to_string(other.ca_file()).unwrap());
    until_shown([true, false, true]).await;
    replace(&ca.ca_file(), &good);
    until_shown([false; 3]).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_certificate_is_revoked_denies_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    let configs = secured(folder.path(), &ca);
    let nodes = start_all(&configs).await;
    ca.revoke(&[3], 86_400);
    let until = Instant::now() + REREAD;
    while nodes[2].service().ready().await.is_ok() && Instant::now() < until {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(nodes[2].service().ready().await.is_err());
    for node in &nodes[..2] {
        ready(node).await;
    }
    // It cannot make the others choose another leader, however long it tries.
    let before = [term(&nodes[0]), term(&nodes[1])];
    sleep(Duration::from_secs(2)).await;
    assert_eq!([term(&nodes[0]), term(&nodes[1])], before);
}
