//! TLS between nodes: which certificates are refused, by which side, and what becomes of connections when certificates
//! are replaced or withdrawn.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use crate::cluster_support::certificates;
use std::time::Duration;

use assent_cluster::config::PeerTlsConfig;
use assent_cluster::env::RealClock;
use assent_cluster::peer::{PeerLimits, PeerTls, Probe};
use assent_cluster::raft::types::NodeId;
use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::cluster_support::certificates::{Says, TestCa};
use crate::cluster_support::dialer::Dialer;
use crate::peer_support::*;

/// A CA, and the folder of its files.
fn ca() -> (tempfile::TempDir, TestCa) {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    (folder, ca)
}

async fn secured(id: NodeId, peers: &[(NodeId, String)], tls: PeerTlsConfig) -> Node {
    node_with(identity(id), "127.0.0.1:0", peers, quick(), 0, Some(tls)).await
}

/// A file with these CAs.
fn bundle(folder: &std::path::Path, file: &str, cas: &[&TestCa]) -> std::path::PathBuf {
    let path = folder.join(file);
    let text: String = cas.iter().map(|ca| std::fs::read_to_string(ca.ca_file()).unwrap()).collect();
    certificates::replace(&path, &text);
    path
}

fn node_certificate(ca: &TestCa, id: NodeId) -> PeerTlsConfig {
    ca.issue(&format!("node-{id}"), &Says::node(CLUSTER, id).serial(id))
}

/// Nodes 1 and 2 with certificates. Each dials the other.
async fn secured_pair(ca: &TestCa) -> (Node, Node) {
    let two = secured(2, &[], node_certificate(ca, 2)).await;
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(ca, 1)).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    connected(&one, 2).await;
    connected(&two, 1).await;
    (one, two)
}

#[tokio::test]
async fn nodes_with_certificates_of_one_ca_talk() {
    let (_folder, ca) = ca();
    let (one, two) = secured_pair(&ca).await;
    assert!(asked(&one, 2, &Probe {}).await.is_ok());
    assert!(asked(&two, 1, &Probe {}).await.is_ok());
}

/// What node 1 says when it dials node 2 and shows this certificate. Node 2 must have seen nothing of it.
async fn refused_to_dial(ca: &TestCa, shown: PeerTlsConfig) -> String {
    refused_by(secured(2, &[], node_certificate(ca, 2)).await, shown).await
}

async fn refused_by(two: Node, shown: PeerTlsConfig) -> String {
    // Node 1 does not check its own certificate, so that it can show a wrong one.
    let dialer = Dialer::new(&shown);
    let refused = broken_off(&dialer, &two).await;
    assert!(two.hub.hello(1).is_none() && two.hub.hello(3).is_none(), "node 2 knows a peer");
    assert!(two.script.appended.lock().unwrap().is_empty());
    refused
}

/// A frame with the hello of node 1 to node 2.
fn hello_frame() -> Vec<u8> {
    frame_bytes(1, &hello_bytes(CLUSTER, 1, 2, SPOKEN))
}

/// With what the node breaks the connection of this dialer off. It gets a hello of node 1 all the same.
async fn broken_off(dialer: &Dialer, node: &Node) -> String {
    match dialer.exchange(node.hub.local_addr(), &hello_frame()).await {
        Ok(read) if read.is_empty() => "closed without a word".to_owned(),
        Ok(read) => String::from_utf8_lossy(&read).into_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_dialer_is_refused_by_its_certificate_before_its_hello_is_read() {
    let (folder, ca) = ca();
    let stranger = TestCa::new(folder.path(), "stranger");
    let right = || Says::node(CLUSTER, 1);
    let client_only = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for (what, shown) in [
        ("another CA's", stranger.issue("a", &right())),
        ("a caller's", ca.issue("b", &Says::uri("spiffe://example.org/slurm/ctl"))),
        ("another cluster's", ca.issue("c", &Says::node([9; 32], 1))),
        ("the dialed node's own", ca.issue("d", &Says::node(CLUSTER, 2))),
        (
            "another trust domain's",
            ca.issue("e", &Says::uri(right().uris[0].replace("example.org", "example.com"))),
        ),
        ("an expired one", ca.issue("f", &Says { from_s: -7_200, until_s: -60, ..right() })),
        ("one of the future", ca.issue("g", &Says { from_s: 600, ..right() })),
        ("one for servers only", ca.issue("h", &Says { usages: client_only, ..right() })),
        ("a CA's", ca.issue("i", &Says { is_ca: true, ..right() })),
        ("one without a SPIFFE id", ca.issue("j", &Says { uris: Vec::new(), ..right() })),
        (
            "one with two SPIFFE ids",
            ca.issue("k", &Says { uris: [right().uris, Says::node(CLUSTER, 3).uris].concat(), ..right() }),
        ),
    ] {
        let refused = refused_to_dial(&ca, shown).await;
        assert!(refused.contains("fatal alert"), "{what}: {refused}");
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_so_is_every_one_once_the_list_is_too_old() {
    let (_folder, ca) = ca();
    let two_with = |crl| PeerTlsConfig { crl: Some(crl), ..node_certificate(&ca, 2) };
    let shown = || ca.issue("shown", &Says::node(CLUSTER, 1).serial(77));
    let two = secured(2, &[], two_with(ca.revoke(&[5, 77], 3_600))).await;
    let refused = refused_by(two, shown()).await;
    assert!(refused.contains("fatal alert"), "{refused}");
    let two = secured(2, &[], two_with(ca.revoke(&[], -30))).await;
    let refused = refused_by(two, shown()).await;
    assert!(refused.contains("fatal alert"), "{refused}");
    let two = secured(2, &[], two_with(ca.revoke(&[5], 3_600))).await;
    let answered = refused_or_hello(&Dialer::new(&shown()), &two).await;
    assert_eq!(answered, "a hello");
}

/// `a hello` if the node answers the hello of node 1 with its own.
async fn refused_or_hello(dialer: &Dialer, node: &Node) -> String {
    let mut stream = dialer.connect(node.hub.local_addr()).await.unwrap();
    stream.write_all(&hello_frame()).await.unwrap();
    let mut head = [0; 5];
    match stream.read_exact(&mut head).await {
        Ok(_) if head[4] == 1 => "a hello".to_owned(),
        Ok(_) => format!("a frame of kind {}", head[4]),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_dialer_without_a_certificate_or_without_tls_is_refused() {
    let (_folder, ca) = ca();
    let two = secured(2, &[], node_certificate(&ca, 2)).await;
    let bare = Dialer::with(|builder| builder.with_no_client_auth(), &[b"assent-peer"]);
    let refused = broken_off(&bare, &two).await;
    assert!(refused.contains("CertificateRequired"), "{refused}");

    let mut raw = Raw::connect(two.hub.local_addr()).await;
    raw.frame(1, 0, &hello_bytes(CLUSTER, 1, 2, SPOKEN)).await;
    // An alert of TLS may come first.
    let mut rest = Vec::new();
    let _ = raw.stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 16, "{rest:?}");
    assert!(two.hub.hello(1).is_none());

    // A node without TLS does not talk to one with TLS, in either direction.
    let one = node(1, &[(2, two.hub.local_addr().to_string())]).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    eventually("a problem on both sides", || !problem(&one, 2).is_empty() && !problem(&two, 1).is_empty())
        .await;
    assert!(!one.hub.is_connected(2) && !two.hub.is_connected(1));
}

#[tokio::test]
async fn a_client_of_another_protocol_is_refused_even_with_a_nodes_certificate() {
    let (_folder, ca) = ca();
    let two = secured(2, &[], node_certificate(&ca, 2)).await;
    let shown = ca.issue("shown", &Says::node(CLUSTER, 1));
    use rustls_pki_types::pem::PemObject;
    let chain = vec![rustls_pki_types::CertificateDer::from_pem_file(&shown.cert).unwrap()];
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let key = rustls_pki_types::PrivateKeyDer::from_pem_file(&shown.key).unwrap();
        let (chain, finish) = (chain.clone(), key);
        let dialer = Dialer::with(|builder| builder.with_client_auth_cert(chain, finish).unwrap(), alpn);
        let refused = broken_off(&dialer, &two).await;
        assert!(!refused.contains("assent"), "{refused}");
        assert!(two.hub.hello(1).is_none());
    }
}

#[tokio::test]
async fn a_hello_of_another_node_than_the_certificates_is_refused_with_the_reason() {
    let (_folder, ca) = ca();
    let two = secured(2, &[], node_certificate(&ca, 2)).await;
    // Node 3's certificate, and the hello of node 1.
    let refused = broken_off(&Dialer::new(&ca.issue("shown", &Says::node(CLUSTER, 3))), &two).await;
    let expected = "it says that it is node `1`, and its certificate is that of node `3`";
    assert!(refused.contains(expected), "{refused}");
    assert!(two.hub.hello(1).is_none() && two.hub.hello(3).is_none());
}

/// The problem that node 1 has with whoever shows this certificate at the address of node 2. Both sides say something.
async fn refused_to_answer(ca: &TestCa, cluster: [u8; 32], id: NodeId, shown: PeerTlsConfig) -> String {
    let identity = assent_cluster::peer::Identity { cluster_id: cluster, ..identity(id) };
    let two = node_with(identity, "127.0.0.1:0", &[], quick(), 0, Some(shown)).await;
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(ca, 1)).await;
    eventually("a problem", || !problem(&one, 2).is_empty()).await;
    assert!(!one.hub.is_connected(2) && two.hub.hello(1).is_none());
    problem(&one, 2)
}

#[tokio::test]
async fn a_dialed_node_is_refused_by_its_certificate_and_the_dialer_says_why() {
    let (folder, ca) = ca();
    let stranger = TestCa::new(folder.path(), "stranger");
    let says = |id| Says::node(CLUSTER, id);
    let problem = refused_to_answer(&ca, CLUSTER, 3, node_certificate(&ca, 3)).await;
    assert!(problem.contains("that of node 3, and node 2 was dialed"), "{problem}");
    let other = ca.issue("other", &Says::node([9; 32], 2));
    let problem = refused_to_answer(&ca, [9; 32], 2, other).await;
    assert!(problem.contains("is a node of another cluster"), "{problem}");
    let problem = refused_to_answer(&ca, CLUSTER, 2, stranger.issue("stranger-2", &says(2))).await;
    assert!(problem.to_lowercase().contains("ca"), "{problem}");
    let expired = ca.issue("expired", &Says { from_s: -7_200, until_s: -60, ..says(2) });
    let problem = refused_to_answer(&ca, CLUSTER, 2, expired).await;
    assert!(problem.contains("expired"), "{problem}");
}

#[tokio::test]
async fn the_node_whose_certificate_is_refused_says_that_the_other_log_has_the_reason() {
    let (folder, ca) = ca();
    let stranger = TestCa::new(folder.path(), "stranger");
    let two = secured(2, &[], node_certificate(&ca, 2)).await;
    // Node 1 believes both CAs, and shows the certificate of the one that node 2 does not believe.
    let both = bundle(folder.path(), "bundle.pem", &[&ca, &stranger]);
    let shown = PeerTlsConfig { ca: both, ..stranger.issue("node-1", &Says::node(CLUSTER, 1)) };
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], shown).await;
    eventually("a problem", || problem(&one, 2).contains("the other side refused this side's certificate"))
        .await;
}

#[tokio::test]
async fn a_nodes_certificate_must_be_its_own_before_it_starts() {
    let (_folder, ca) = ca();
    let load = |says: &Says| {
        let files = ca.issue("own", says);
        let loaded = PeerTls::load(files, CLUSTER, 1, std::sync::Arc::new(RealClock));
        loaded.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(load(&Says::node(CLUSTER, 1)), "");
    assert!(load(&Says::node(CLUSTER, 2)).contains("issue one for this node"));
    assert!(load(&Says::node([9; 32], 1)).contains("issue one for this node"));
    assert!(!load(&Says::uri("spiffe://example.org/slurm")).is_empty());
    assert!(!load(&Says { uris: Vec::new(), ..Says::node(CLUSTER, 1) }).is_empty());
    // Peers refuse an expired certificate, but the clock may be wrong and the file may be replaced, so the node starts.
    assert_eq!(load(&Says { from_s: -7_200, until_s: -60, ..Says::node(CLUSTER, 1) }), "");
}

/// Why a node with these files does not start, or nothing.
fn refused_to_load(files: PeerTlsConfig) -> String {
    let loaded = PeerTls::load(files, CLUSTER, 1, std::sync::Arc::new(RealClock));
    loaded.err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn a_node_does_not_start_with_a_certificate_of_no_ca_of_its_own_file() {
    let (folder, ca) = ca();
    let stranger = TestCa::new(folder.path(), "stranger");
    // A CA that was made anew under the same name.
    let elsewhere = tempfile::tempdir().unwrap();
    let namesake = TestCa::new(elsewhere.path(), "ca");
    let own = node_certificate(&ca, 1);
    for other in [&stranger, &namesake] {
        let why = refused_to_load(PeerTlsConfig { ca: other.ca_file(), ..own.clone() });
        assert!(why.contains("was issued by no CA of") && why.contains("node-1.pem"), "{why}");
    }
    // The CA is being replaced: the file has the new one too, and the certificate is still of the old one, or already of
    // the new one.
    let both = bundle(folder.path(), "bundle.pem", &[&stranger, &ca]);
    assert_eq!(refused_to_load(PeerTlsConfig { ca: both.clone(), ..own }), "");
    let new = stranger.issue("new", &Says::node(CLUSTER, 1));
    assert_eq!(refused_to_load(PeerTlsConfig { ca: both, ..new }), "");
}

#[tokio::test]
async fn a_node_does_not_start_with_revocation_lists_of_which_none_is_of_its_ca() {
    let (folder, ca) = ca();
    let stranger = TestCa::new(folder.path(), "stranger");
    let own = node_certificate(&ca, 1);
    let why = refused_to_load(PeerTlsConfig { crl: Some(stranger.revoke(&[], 3_600)), ..own.clone() });
    assert!(why.contains("has no revocation list") && why.contains("stranger-crl.pem"), "{why}");
    assert_eq!(refused_to_load(PeerTlsConfig { crl: Some(ca.revoke(&[], 3_600)), ..own }), "");
}

#[tokio::test]
async fn an_older_list_does_not_bring_back_a_node_whose_certificate_is_revoked() {
    let (_folder, ca) = ca();
    let crl = ca.revoke(&[], 3_600);
    let old = std::fs::read_to_string(&crl).unwrap();
    let two = secured(2, &[], PeerTlsConfig { crl: Some(crl.clone()), ..node_certificate(&ca, 2) }).await;
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(&ca, 1)).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    connected(&two, 1).await;
    ca.revoke(&[1], 3_600);
    eventually("the end", || !two.hub.is_connected(1) && two.hub.hello(1).is_none()).await;

    certificates::replace(&crl, &old);
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        assert!(!two.hub.is_connected(1) && two.hub.hello(1).is_none());
        sleep(Duration::from_millis(50)).await;
    }
    // A list with a higher number is taken.
    ca.revoke(&[], 3_600);
    connected(&two, 1).await;
}

/// It fails if a CA stays trusted because the node's own certificate, or the only list, is of that CA.
#[tokio::test]
async fn a_ca_that_is_withdrawn_is_withdrawn_even_if_the_nodes_own_certificate_is_of_it() {
    let (folder, ca) = ca();
    let crl = ca.revoke(&[], 3_600);
    let cas = bundle(folder.path(), "cas-of-two.pem", &[&ca]);
    let files = PeerTlsConfig { ca: cas.clone(), crl: Some(crl), ..node_certificate(&ca, 2) };
    let two = secured(2, &[], files).await;
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(&ca, 1)).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    connected(&one, 2).await;
    connected(&two, 1).await;
    let other = TestCa::new(folder.path(), "other");
    bundle(folder.path(), "cas-of-two.pem", &[&other]);
    eventually("the end", || !two.hub.is_connected(1) && two.hub.hello(1).is_none()).await;
    eventually("the end", || !one.hub.is_connected(2)).await;
    sleep(Duration::from_millis(300)).await;
    assert!(!two.hub.is_connected(1) && two.hub.hello(1).is_none());
    // The CA is put back.
    bundle(folder.path(), "cas-of-two.pem", &[&ca]);
    connected(&one, 2).await;
    connected(&two, 1).await;
}

/// It fails if a node whose new certificate is bad shows it, or does not read what was revoked since.
#[tokio::test]
async fn a_bad_certificate_of_the_node_is_not_shown_and_keeps_no_revocation_from_being_known() {
    let (folder, ca) = ca();
    let stranger = TestCa::new(folder.path(), "stranger");
    let right = || Says::node(CLUSTER, 2).serial(2);
    let server_only = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for (what, from, says) in [
        ("another CA's", &stranger, right()),
        ("another node's", &ca, Says::node(CLUSTER, 3)),
        ("an expired one", &ca, Says { from_s: -7_200, until_s: -60, ..right() }),
        ("one of the future", &ca, Says { from_s: 600, until_s: 90_000, ..right() }),
        ("one for servers only", &ca, Says { usages: server_only, ..right() }),
        ("a revoked one", &ca, right().serial(66)),
    ] {
        let crl = ca.revoke(&[66], 3_600);
        let files = PeerTlsConfig { crl: Some(crl), ..ca.issue("two", &right()) };
        let two = secured(2, &[], files.clone()).await;
        let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(&ca, 1)).await;
        two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
        connected(&two, 1).await;
        connected(&one, 2).await;
        let ends = two.hub.tls().unwrap().not_after_ms();

        let bad = from.issue("bad", &says);
        std::fs::rename(&bad.key, &files.key).unwrap();
        std::fs::rename(&bad.cert, &files.cert).unwrap();
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            assert!(one.hub.call(2, &Probe {}, SOON).await.is_ok(), "{what}");
            assert!(two.hub.call(1, &Probe {}, SOON).await.is_ok(), "{what}");
        }
        assert_eq!(two.hub.tls().unwrap().not_after_ms(), ends, "{what}");

        ca.revoke(&[66, 1], 3_600);
        eventually(what, || !two.hub.is_connected(1) && two.hub.hello(1).is_none()).await;
    }
}

/// It fails if one old list of a file keeps what the others revoke from being known.
#[tokio::test]
async fn an_old_list_beside_a_new_one_keeps_no_revocation_from_being_known() {
    let (folder, ca) = ca();
    let other = TestCa::new(folder.path(), "other");
    let text = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let old = text(other.revoke(&[], 3_600));
    let new = text(other.revoke(&[], 3_600));
    let crl = folder.path().join("lists.pem");
    certificates::replace(&crl, &format!("{new}{}", text(ca.revoke(&[], 3_600))));
    let cas = bundle(folder.path(), "bundle.pem", &[&other, &ca]);
    let files = PeerTlsConfig { ca: cas, crl: Some(crl.clone()), ..node_certificate(&ca, 2) };
    let two = secured(2, &[], files).await;
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(&ca, 1)).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    connected(&two, 1).await;
    certificates::replace(&crl, &format!("{old}{}", text(ca.revoke(&[1], 3_600))));
    eventually("the end", || !two.hub.is_connected(1) && two.hub.hello(1).is_none()).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_on_new_connections_and_no_call_fails_meanwhile() {
    let (_folder, ca) = ca();
    let (one, two) = secured_pair(&ca).await;
    let before = one.hub.tls().unwrap().not_after_ms();
    for round in 1..=3 {
        for id in [1, 2] {
            let says = Says { until_s: 86_400 + 1_000 * round, ..Says::node(CLUSTER, id) };
            ca.issue(&format!("node-{id}"), &says);
        }
        let until = Instant::now() + Duration::from_millis(700);
        while Instant::now() < until {
            for (node, to) in [(&one, 2), (&two, 1)] {
                node.hub.call(to, &Probe {}, SOON).await.expect("a call while certificates are renewed");
            }
        }
        assert!(one.hub.tls().unwrap().not_after_ms() >= before + 1_000_000 * (round - 1) + 900_000);
    }
    assert!(one.hub.is_connected(2) && two.hub.is_connected(1));
}

#[tokio::test]
async fn connections_of_a_revoked_certificate_end_and_do_not_come_back() {
    let (_folder, ca) = ca();
    let crl = ca.revoke(&[], 3_600);
    let with = |id| PeerTlsConfig { crl: Some(crl.clone()), ..node_certificate(&ca, id) };
    let two = secured(2, &[], with(2)).await;
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], with(1)).await;
    two.hub.ensure_peer(1, &one.hub.local_addr().to_string());
    connected(&one, 2).await;
    connected(&two, 1).await;
    // The certificate of node 1 is revoked. Node 1 reads the same list, and refuses nobody.
    ca.revoke(&[1], 3_600);
    eventually("the end", || !two.hub.is_connected(1) && two.hub.hello(1).is_none()).await;
    eventually("the end", || !one.hub.is_connected(2)).await;
    sleep(Duration::from_millis(300)).await;
    assert!(!two.hub.is_connected(1) && two.hub.hello(1).is_none());
    assert!(problem(&two, 1).contains("revoked"), "{}", problem(&two, 1));
    // It is taken back: the same connections again.
    ca.revoke(&[], 3_600);
    connected(&two, 1).await;
    connected(&one, 2).await;
}

#[tokio::test]
async fn connections_end_when_the_certificate_expires_or_its_ca_is_withdrawn() {
    let (folder, ca) = ca();
    let (soon, said) = (2, Says::node(CLUSTER, 1));
    let two = secured(2, &[], node_certificate(&ca, 2)).await;
    let brief = ca.issue("node-1", &Says { until_s: soon, ..said });
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], brief).await;
    met(&two, 1).await;
    eventually("the end", || two.hub.hello(1).is_none()).await;
    drop(one);

    // Node 2 believes both CAs, and then only that of its own certificate.
    let other = TestCa::new(folder.path(), "other");
    let both = bundle(folder.path(), "bundle.pem", &[&ca, &other]);
    let certificate = other.issue("other-2", &Says::node(CLUSTER, 2));
    let two = secured(2, &[], PeerTlsConfig { ca: both.clone(), ..certificate }).await;
    let trusts =
        PeerTlsConfig { ca: bundle(folder.path(), "both.pem", &[&ca, &other]), ..node_certificate(&ca, 1) };
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], trusts).await;
    met(&two, 1).await;
    certificates::replace(&both, &std::fs::read_to_string(other.ca_file()).unwrap());
    eventually("the end", || two.hub.hello(1).is_none() && one.hub.hello(2).is_none()).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let (_folder, ca) = ca();
    let (one, two) = secured_pair(&ca).await;
    let good = std::fs::read_to_string(ca.ca_file()).unwrap();
    for bad in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        certificates::replace(&ca.ca_file(), bad);
        sleep(Duration::from_millis(200)).await;
        assert!(one.hub.call(2, &Probe {}, SOON).await.is_ok(), "{bad:?}");
        assert!(two.hub.call(1, &Probe {}, SOON).await.is_ok(), "{bad:?}");
    }
    certificates::replace(&ca.ca_file(), &good);
    assert!(one.hub.call(2, &Probe {}, SOON).await.is_ok());
}

#[tokio::test]
async fn strangers_who_say_nothing_within_tls_keep_no_peer_out_for_long() {
    let (_folder, ca) = ca();
    let limits = PeerLimits { handshakes_max: 8, ..quick() };
    let tls = Some(node_certificate(&ca, 2));
    let two = node_with(identity(2), "127.0.0.1:0", &[], limits, 0, tls).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(tokio::net::TcpStream::connect(two.hub.local_addr()).await.unwrap());
    }
    let one = secured(1, &[(2, two.hub.local_addr().to_string())], node_certificate(&ca, 1)).await;
    connected(&one, 2).await;
}
