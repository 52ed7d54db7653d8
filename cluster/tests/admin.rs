//! The admin listener and the health listener over real sockets: what answers where, to whom, and within which bounds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster_support::authority::{Authority, OPS, caller, put, serve_tls, token};
use crate::cluster_support::http::{ask, get, is_200, status};
use crate::cluster_support::raw::{SURELY, kept, problem, to_the_end};
use crate::cluster_support::*;
use assent_client::{
    BearerToken, CertificateFiles, Client, ClientConfig, ClientError, ClientTls, TokenSource, Trust,
};
use assent_cluster::access::{CallerConfig, Role, Token};
use assent_cluster::config::Config;
use assent_cluster::env::PROBE_CONNECTIONS;
use assent_proof::Code;
use assent_tls::{Authorities, OwnCertificate, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

const ANY_PORT: &str = "127.0.0.1:0";
/// The calls of the admin listener.
const ADMIN_CALLS: [&str; 7] = [
    "GET /v1/cluster/members",
    "POST /v1/cluster/members",
    "DELETE /v1/cluster/members/9",
    "PATCH /v1/cluster/members/9",
    "POST /v1/cluster/members/9/promote",
    "POST /v1/cluster/leader",
    "POST /v1/clock/confirm",
];

/// The body of an answer.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

/// An operator's token and the file that lists its digest.
fn operators_token(folder: &Path) -> (Token, PathBuf) {
    let token = Token::generate(|bytes| bytes.fill(9));
    let file = folder.join("operators.tokens");
    put(&file, format!("{}\n", token.digest()).as_bytes());
    (token, file)
}

fn with_token(tls: ClientTls, token: &Token) -> ClientTls {
    ClientTls { token: Some(TokenSource::Value(BearerToken::new(token.expose()).unwrap())), ..tls }
}

/// A client of the node's client port and, if an address is given, of its admin listener.
fn client(clients: SocketAddr, admin: Option<SocketAddr>, tls: ClientTls) -> Client {
    let mut config = ClientConfig::new([format!("https://{clients}")], Trust::NoAllow);
    config.admin = admin.iter().map(|admin| format!("https://127.0.0.1:{}", admin.port())).collect();
    config.deadline = Duration::from_secs(10);
    config.tls = Some(tls);
    Client::new(config).unwrap()
}

/// It fails if any row of `On::Admin` becomes one of `On::Both`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_operators_are_on_the_admin_listener_and_not_on_the_client_port() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.admin_listen = Some(ANY_PORT.into())).await;
    let (clients, admin) = (node.client_addr(), node.admin_addr().unwrap());
    // If one of the calls is carried out, it finds no node 9.
    let nothing = br#"{"to":9}"#;
    for call in ADMIN_CALLS {
        let answer = ask(clients, call, nothing).await.unwrap();
        let (_, problem) = problem(&answer);
        assert_eq!((problem.status, problem.code), (404, Code::TargetUnknown), "{call}");
        assert!(
            problem.detail.contains("admin listener") && problem.remedy.contains("--admin"),
            "{problem:?}"
        );
        let answer = ask(admin, call, nothing).await.unwrap();
        assert!(!answer.contains("target_unknown"), "{call}: {answer}");
    }
    // Nothing was removed on the way, and both listeners show the node.
    assert!(is_200(admin, "/v1/cluster/members").await);
    for address in [clients, admin] {
        assert!(is_200(address, "/v1/cluster/status").await && is_200(address, "/v1/cluster/digest").await);
    }
    for path in ["/livez", "/metrics", "/v1/domains"] {
        let (_, problem) = problem(&get(admin, path).await.unwrap());
        assert_eq!((problem.status, problem.code), (404, Code::TargetUnknown), "{path}");
        assert!(problem.remedy.contains("client_listen"), "{}", problem.remedy);
        assert!(is_200(clients, path).await, "{path}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_plain_http_and_no_admin_listener_has_every_call_on_its_client_port() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |_| {}).await;
    assert_eq!((node.admin_addr(), node.health_addr()), (None, None));
    assert!(is_200(node.client_addr(), "/v1/cluster/members").await);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_only_an_operator_lists_the_members_and_only_at_the_admin_listener() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (audit, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        config.admin_listen = Some(ANY_PORT.into());
    })
    .await;
    let (clients, admin) = (node.client_addr(), node.admin_addr());
    let (ops, _) = authority.caller(OPS);
    let shown = authority.shows(Some(ops));

    let operator = client(clients, admin, shown.clone());
    assert_eq!(operator.members().await.unwrap().node_id, 1);
    assert_eq!(operator.status().await.unwrap().node_id, 1);

    // The same operator, at the client port.
    let error = client(clients, None, shown).members().await.unwrap_err();
    assert_eq!(error.code(), "target_unknown", "{error}");
    assert!(error.remedy().contains("--admin"), "{}", error.remedy());

    for tls in [with_token(authority.shows(None), &audit), authority.shows(None)] {
        let error = client(clients, admin, tls).members().await.unwrap_err();
        assert_eq!(error.code(), "caller_not_permitted", "{error}");
    }
    // An auditor may see the status at the client port, and nothing at the admin listener.
    let audit = with_token(authority.shows(None), &audit);
    let there = format!("https://{}", admin.unwrap());
    let auditor = client(clients, admin, audit);
    assert_eq!(auditor.status().await.unwrap().node_id, 1);
    assert_eq!(auditor.status_at(&there).await.unwrap_err().code(), "caller_not_permitted");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_tls_and_no_admin_listener_has_the_calls_of_operators_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
    })
    .await;
    let (ops, _) = authority.caller(OPS);
    let error = client(node.client_addr(), None, authority.shows(Some(ops))).members().await.unwrap_err();
    assert_eq!(error.code(), "target_unknown", "{error}");
    assert!(error.remedy().contains("set `admin_listen`"), "{}", error.remedy());
    node.shutdown().await;
}

/// Callers with other roles than the two of `serve_tls`: an operator by a token, and an auditor by a certificate.
fn add_callers(config: &mut Config, operators: PathBuf) {
    config.callers.extend([
        CallerConfig { tokens: Some(operators), ..caller("ops-token", &[Role::Operator]) },
        CallerConfig {
            certificate: Some("spiffe://example.org/audit".to_owned()),
            ..caller("audit-certificate", &[Role::Auditor])
        },
    ]);
}

/// It fails if the listener takes the configuration of loopback (`Demand::Admin`, `Counts::Any`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_listener_that_other_machines_reach_demands_the_certificate_of_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (audit, tokens) = token(folder.path());
    let (secret, operators) = operators_token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        add_callers(config, operators);
        config.admin_listen = Some("0.0.0.0:0".into());
    })
    .await;
    let (ops, _) = authority.caller(OPS);
    let (audit_certificate, _) = authority.caller("spiffe://example.org/audit");
    let (clients, admin) = (node.client_addr(), node.admin_addr());
    let members = async |tls: ClientTls| -> Result<u64, ClientError> {
        Ok(client(clients, admin, tls).members().await?.node_id)
    };
    let shows = |certificate: &CertificateFiles| authority.shows(Some(certificate.clone()));

    assert_eq!(members(shows(&ops)).await.unwrap(), 1);
    assert_eq!(members(with_token(shows(&ops), &secret)).await.unwrap(), 1);

    // A token alone does not get through the handshake, and neither does a caller that shows nothing.
    for tls in [with_token(authority.shows(None), &secret), authority.shows(None)] {
        let error = members(tls).await.unwrap_err();
        assert_eq!(error.code(), "caller_certificate_refused", "{error}");
    }
    // Neither does a token give rights to the certificate of somebody else, nor a certificate to a token.
    for tls in [
        shows(&audit_certificate),
        with_token(shows(&audit_certificate), &secret),
        with_token(shows(&ops), &audit),
    ] {
        let error = members(tls).await.unwrap_err();
        assert_eq!(error.code(), "caller_not_permitted", "{error}");
    }
    node.shutdown().await;
}

/// A connection from another address of this machine.
async fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

/// It fails if one address may have all the places of an admin listener that other machines reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_the_places_of_operators_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        config.admin_listen = Some("0.0.0.0:0".into());
        config.limits.admin_connections = 8;
    })
    .await;
    let (ops, _) = authority.caller(OPS);
    let (clients, admin) = (node.client_addr(), node.admin_addr());
    let there: SocketAddr = format!("127.0.0.1:{}", admin.unwrap().port()).parse().unwrap();
    let from = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect_from("127.0.0.2", there).await);
    }
    // A quarter of the places is two.
    for stream in &mut silent[2..] {
        let closed = timeout(SURELY, stream.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    let members = client(clients, admin, authority.shows(Some(ops))).members().await;
    assert_eq!(members.unwrap().node_id, 1);
    // The silent ones may stay for 10 s.
    assert!(from.elapsed() < Duration::from_secs(5), "{:?}", from.elapsed());
    drop(silent);
    node.shutdown().await;
}

/// It fails if somebody who is no operator keeps a place of the admin listener.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_somebody_else_gets_one_answer_at_the_admin_listener_and_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        config.admin_listen = Some("0.0.0.0:0".into());
    })
    .await;
    let (stranger, _) = authority.caller("spiffe://example.org/stranger");
    let own = OwnCertificate::read(&stranger.cert, &stranger.key).unwrap();
    let authorities = Authorities::read(authority.ca.certificate_path(), None).unwrap();
    let tls = assent_tls::client(Some(&own), &authorities, Arc::new(DefaultTimeProvider)).unwrap();
    let port = node.admin_addr().unwrap().port();
    for asked in [b"GET /v1/cluster/members HTTP/1.1\r\nhost: node\r\n\r\n".as_slice(), b""] {
        let from = Instant::now();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(tls.clone()).connect(name, stream).await.unwrap();
        stream.write_all(asked).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        // A connection that ends without a goodbye ends the answer too.
        let _ = timeout(SURELY, stream.read_to_end(&mut answer)).await.expect("it is closed");
        // Without the rule it could stay for 10 s, and for 75 s after an answer.
        assert!(from.elapsed() < Duration::from_secs(6), "{:?}", from.elapsed());
        let answer = String::from_utf8(answer).unwrap();
        if asked.is_empty() {
            assert_eq!(answer, "");
        } else {
            let (head, problem) = problem(&answer);
            assert_eq!((problem.status, problem.code), (401, Code::CallerNotPermitted), "{answer}");
            assert!(head.contains("connection: close"), "{head}");
        }
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_listener_on_loopback_takes_an_operators_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let (secret, operators) = operators_token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        add_callers(config, operators);
        config.admin_listen = Some(ANY_PORT.into());
    })
    .await;
    let tls = with_token(authority.shows(None), &secret);
    let members = client(node.client_addr(), node.admin_addr(), tls).members().await.unwrap();
    assert_eq!(members.node_id, 1);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_and_clients_take_no_places_from_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.admin_listen = Some(ANY_PORT.into());
        config.limits.admin_connections = 1;
        config.limits.connections = 2;
    })
    .await;
    let (clients, admin) = (node.client_addr(), node.admin_addr().unwrap());
    // Clients take all their places, and an operator gets in.
    let held = [kept(clients).await, kept(clients).await];
    assert!(is_200(admin, "/v1/cluster/status").await);
    drop(held);
    // The one place of the admin listener may be given back a little later.
    let room = async {
        while !is_200(admin, "/v1/cluster/status").await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SURELY, room).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let operator = TcpStream::connect(admin).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let mut one_more = TcpStream::connect(admin).await.unwrap();
    let closed = timeout(SURELY, one_more.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let page = get(clients, "/metrics").await.unwrap();
    let refused = page
        .lines()
        .find_map(|line| line.strip_prefix("assent_refused_admin_connections_total "))
        .unwrap()
        .parse::<u64>();
    assert!(refused.unwrap() >= 1, "{page}");
    assert!(page.contains("assent_refused_connections_total 0\n"), "{page}");
    drop(operator);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_listener_says_one_word_and_shows_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| config.health_listen = Some(ANY_PORT.into())).await;
    let health = node.health_addr().unwrap();
    for path in ["/livez", "/readyz"] {
        let answer = get(health, path).await.unwrap();
        assert!(answer.to_lowercase().contains("content-type: text/plain"), "{answer}");
        assert_eq!((status(&answer), body(&answer)), (200, "ok\n"), "{path}");
    }
    for path in ["/metrics", "/v1/cluster/status", "/v1/cluster/members", "/v1/domains", "/"] {
        assert_eq!(status(&get(health, path).await.unwrap()), 404, "{path}");
    }
    assert_eq!(status(&ask(health, "POST /v1/authorize", b"{}").await.unwrap()), 404);
    assert_eq!(status(&ask(health, "POST /livez", b"").await.unwrap()), 405);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_listener_shows_metrics_only_if_the_configuration_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.health_listen = Some(ANY_PORT.into());
        config.health_metrics = true;
    })
    .await;
    let page = get(node.health_addr().unwrap(), "/metrics").await.unwrap();
    assert_eq!(status(&page), 200);
    assert!(page.contains("assent_connections "), "{page}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_quorum_is_live_and_says_unready_without_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.health_listen = Some(ANY_PORT.into());
    let node = start(&config).await;
    let health = node.health_addr().unwrap();
    assert!(is_200(health, "/livez").await);
    let answer = get(health, "/readyz").await.unwrap();
    assert_eq!((status(&answer), body(&answer)), (503, "unready\n"), "{answer}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_tells_probes_that_it_is_not_ready_until_its_clients_have_gone() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.health_listen = Some(ANY_PORT.into());
        config.deadlines.drain_ms = 1_500;
    })
    .await;
    let (health, clients) = (node.health_addr().unwrap(), node.client_addr());
    let looked = async {
        sleep(Duration::from_millis(500)).await;
        let answer = get(health, "/readyz").await.unwrap();
        assert_eq!((status(&answer), body(&answer)), (503, "unready\n"), "{answer}");
        assert!(is_200(clients, "/v1/cluster/status").await, "clients are still served");
    };
    tokio::join!(node.shutdown(), looked);
    for gone in [health, clients] {
        assert!(TcpStream::connect(gone).await.is_err(), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_have_few_places_lose_them_soon_and_take_none_from_clients() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), |config| {
        config.health_listen = Some(ANY_PORT.into());
        config.limits.connections = 1;
    })
    .await;
    let (health, clients) = (node.health_addr().unwrap(), node.client_addr());
    let from = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..PROBE_CONNECTIONS {
        silent.push(TcpStream::connect(health).await.unwrap());
    }
    let mut one_more = TcpStream::connect(health).await.unwrap();
    let closed = timeout(SURELY, one_more.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(from.elapsed() < Duration::from_secs(2), "it was closed at once");
    assert!(is_200(clients, "/v1/cluster/status").await);
    for stream in &mut silent {
        assert_eq!(to_the_end(stream).await, "");
    }
    let held_for = from.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&held_for), "{held_for:?}");
    assert!(is_200(health, "/livez").await);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_have_one_of_its_listeners_does_not_start_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind(ANY_PORT).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for field in ["admin_listen", "health_listen"] {
        let mut config = configs(folder.path()).swap_remove(0);
        config.data_dir = folder.path().join(field);
        match field {
            "admin_listen" => config.admin_listen = Some(address.clone()),
            _ => config.health_listen = Some(address.clone()),
        }
        let why = refuses_to_start(&config).await;
        assert!(why.contains(field) && why.contains(&address), "{why}");
    }
}
