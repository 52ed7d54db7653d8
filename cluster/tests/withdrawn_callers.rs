//! What a caller has left open on the client port when its credential is withdrawn: an idle connection, a long poll and a
//! stream of events. Each ends within a minute. Over real sockets, with real certificates and tokens.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster_support::authority::{caller, put, token};
use crate::cluster_support::certificates::{Says, TestCa};
use crate::cluster_support::http::get;
use crate::cluster_support::token_callers::{KeptCall, shows};
use crate::cluster_support::*;
use assent_cluster::access::{CallerConfig, Role};
use assent_cluster::config::{ClientTlsConfig, Config, PeerTlsConfig};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_tls::{Authorities, OwnCertificate};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(60);
/// For how long the certificate that expires is good.
const GOOD_FOR: Duration = Duration::from_secs(10);
const REVOKED: &str = "spiffe://example.org/revoked";
const EXPIRING: &str = "spiffe://example.org/expiring";
const GOOD: &str = "spiffe://example.org/good";
/// The serial number of the certificate that is revoked.
const SERIAL: u64 = 2;

/// Callers with certificates of this CA, and one with a token. A connection may be idle for longer than any of this takes.
fn serve(config: &mut Config, ca: &TestCa, tokens: &Path) {
    let own = ca.issue("own", &Says::node([7; 32], 1).serial(1));
    config.plain_http = false;
    config.client_tls = Some(ClientTlsConfig {
        cert: own.cert,
        key: own.key,
        ca: Some(ca.ca_file()),
        crl: Some(ca.revoke(&[], 86_400)),
    });
    let by_certificate = |name: &str, id: &str| CallerConfig {
        certificate: Some(id.to_owned()),
        ..caller(name, &[Role::Auditor])
    };
    config.callers = vec![
        by_certificate("revoked", REVOKED),
        by_certificate("expiring", EXPIRING),
        by_certificate("good", GOOD),
        CallerConfig { tokens: Some(tokens.to_owned()), ..caller("token", &[Role::Auditor]) },
    ];
    config.deadlines.http_idle_ms = 600_000;
    config.health_listen = Some("127.0.0.1:0".to_owned());
    config.health_metrics = true;
}

/// What makes connections that show this certificate, or none.
fn connector(ca: &TestCa, certificate: Option<&PeerTlsConfig>) -> TlsConnector {
    let own = certificate.map(|files| OwnCertificate::read(&files.cert, &files.key).unwrap());
    let authorities = Authorities::read(&ca.ca_file(), None).unwrap();
    let config = assent_tls::client(own.as_ref(), &authorities, Arc::new(DefaultTimeProvider)).unwrap();
    TlsConnector::from(config)
}

/// A request without a body.
fn ask_for(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: node\r\n{headers}\r\n").into_bytes()
}

/// What one caller has left open.
struct Left {
    /// A kept connection, on which a request was answered.
    idle: KeptCall,
    /// A connection on which a poll waits, or will wait.
    poll: KeptCall,
    /// A connection with a stream of events.
    stream: KeptCall,
}

impl Left {
    async fn open(connector: &TlsConnector, address: SocketAddr, headers: &str, events: &str) -> Self {
        let mut idle = KeptCall::open(connector, address).await.unwrap();
        assert_eq!(idle.ask(&ask_for("/v1/domains", headers)).await.unwrap().0, 200);
        let mut stream = KeptCall::open(connector, address).await.unwrap();
        stream.send(&ask_for(events, &format!("{headers}accept: text/event-stream\r\n"))).await;
        Self { idle, poll: KeptCall::open(connector, address).await.unwrap(), stream }
    }

    /// Fails unless the node ends all three by then.
    async fn ends(mut self, what: &str, within: Duration) {
        let all = async { tokio::join!(self.idle.rest(), self.poll.rest(), self.stream.rest()) };
        let ended = timeout(within, all).await;
        let (idle, _, stream) = ended.unwrap_or_else(|_| panic!("{what}: they are open after {within:?}"));
        assert_eq!(idle, "", "{what}: nothing was asked, and nothing is said");
        assert!(stream.starts_with("HTTP/1.1 200"), "{what}: it was no stream: {stream}");
    }
}

/// Reads a stream until it says this. It must not end before.
async fn says(stream: &mut KeptCall, wanted: &str) {
    let mut told = String::new();
    while !told.contains(wanted) {
        let more = stream.next_piece().await;
        told.push_str(&more.unwrap_or_else(|| panic!("the stream has ended without `{wanted}`: {told}")));
    }
}

/// Waits until so many feeds are open.
async fn feeds_are_open(node: &Node, feeds: usize) {
    let (health, line) = (node.health_addr().unwrap(), format!("assent_event_feeds {feeds}"));
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let page = get(health, "/metrics").await.unwrap();
        if page.lines().any(|shown| shown == line) {
            return;
        }
        assert!(Instant::now() < until, "no `{line}`: {page}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// It fails if what is open is not looked at again: an idle connection, which asks nothing, or a stream, which never ends by
/// itself. It fails too if what other callers have open is ended. It takes about 50 s, nearly all of which it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_polls_and_streams_end_within_a_minute_after_their_credential_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestCa::new(folder.path(), "ca");
    let (secret, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| serve(config, &ca, &tokens)).await;
    let (address, status) = (node.client_addr(), node.service().status(Caller::local()));
    let events = format!("/v1/events?history={}&after={}", status.history, status.revision);
    let poll = format!("{events}&waitMs=30000");

    let revoked = ca.issue("revoked", &Says::uri(REVOKED).serial(SERIAL));
    let mut revoked = Left::open(&connector(&ca, Some(&revoked)), address, "", &events).await;
    revoked.poll.send(&ask_for(&poll, "")).await;
    let good = ca.issue("good", &Says::uri(GOOD).serial(3));
    let mut good = Left::open(&connector(&ca, Some(&good)), address, "", &events).await;
    let header = shows(&secret);
    let Left { mut idle, poll: mut polls, mut stream } =
        Left::open(&connector(&ca, None), address, &header, &events).await;
    let asked = ask_for(&poll, &header);
    let refused = tokio::spawn(async move { timeout(WITHIN, polls.ask(&asked)).await });
    let until_s = i64::try_from(GOOD_FOR.as_secs()).unwrap();
    let expiring = ca.issue("expiring", &Says { until_s, ..Says::uri(EXPIRING).serial(4) });
    let mut expiring = Left::open(&connector(&ca, Some(&expiring)), address, "", &events).await;
    expiring.poll.send(&ask_for(&poll, "")).await;
    // Four streams and three polls.
    feeds_are_open(&node, 7).await;

    ca.revoke(&[SERIAL], 86_400);
    put(&tokens, b"# withdrawn\n");
    let of_token = async {
        let told = says(&mut stream, "caller_not_permitted");
        timeout(WITHIN, told).await.expect("the stream goes on without its token");
        let (status, body) = refused.await.unwrap().expect("the poll waits on").expect("it is answered");
        let body = String::from_utf8_lossy(&body);
        assert!(status == 401 && body.contains("caller_not_permitted"), "{status} {body}");
        // A token is shown with each request, so the connection has nothing that could be withdrawn.
        let (status, _) = idle.ask(&ask_for("/v1/domains", &header)).await.expect("it is answered");
        assert_eq!(status, 401);
    };
    tokio::join!(
        revoked.ends("the certificate was revoked", WITHIN),
        expiring.ends("the certificate has expired", GOOD_FOR + WITHIN),
        of_token,
    );

    let (status, _) = good.idle.ask(&ask_for("/v1/domains", "")).await.expect("its connection was ended");
    assert_eq!(status, 200);
    let answer = node.service().submit(Caller::local(), authorization().into()).await;
    assert!(answer.problem().is_none(), "{answer:?}");
    let news = says(&mut good.stream, "exec-1");
    timeout(Duration::from_secs(20), news).await.expect("its stream says nothing of what is new");
    node.shutdown().await;
}
