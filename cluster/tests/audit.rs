//! The audit trail of real nodes: what is in it, what never is, and what nodes do for one another's callers.

use crate::peer_support;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_api::{MAX_BATCH, authorize_batch_body};
use assent_client::{BearerToken, CertificateFiles, Client, ClientConfig, ClientTls, TokenSource, Trust};
use assent_cluster::access::{CallerConfig, Role, Token};
use assent_cluster::audit::{AuditClass, AuditConfig};
use assent_cluster::config::{ClientTlsConfig, Config};
use assent_cluster::node::Node;
use assent_cluster::peer::{Behalf, Manage, ManageError, ManageFor, Message};
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use assent_tls::ca::{Ca, CertificateRequest};
use assent_tls::{Authorities, NodeName, OwnCertificate, ServerName, SpiffeId, TrustDomain};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

use crate::cluster_support::certificates::{Says, TestCa};
use crate::cluster_support::edge::{Edge, start_behind};
use crate::cluster_support::http::{ask, status as status_of};
use crate::cluster_support::raw::{exchange, post, problem};
use crate::cluster_support::*;
use crate::peer_support::{SOON, asked, cluster_id, member_of};

const OPS: &str = "spiffe://example.org/ops";
const STRANGER: &str = "spiffe://example.org/stranger";
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

fn now_ms() -> i64 {
    now().0 * 1_000
}

fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// The configuration with a trail in this folder.
fn audited(config: &mut Config, folder: &Path) -> PathBuf {
    let path = folder.join(format!("audit-{}.jsonl", config.node_id));
    config.audit = AuditConfig { path: Some(path.clone()), ..AuditConfig::default() };
    path
}

/// The lines of a trail.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of a class.
fn of(lines: &[Value], class: AuditClass) -> Vec<&Value> {
    lines.iter().filter(|line| line["class"] == class.as_str()).collect()
}

/// A caller with a token of its own.
fn with_token(folder: &Path, name: &str, seed: u8, role: Role) -> (Token, CallerConfig) {
    let token = Token::generate(|bytes| bytes.fill(seed));
    let file = folder.join(format!("{name}.tokens"));
    put(&file, format!("{}\n", token.digest()).as_bytes());
    let config = CallerConfig {
        name: name.to_owned(),
        certificate: None,
        tokens: Some(file),
        jwt: None,
        roles: vec![role],
        domains: None,
        rate: None,
        burst: None,
    };
    (token, config)
}

struct Door {
    ca: PathBuf,
    ops: CertificateFiles,
    /// It is good, and the table does not list it.
    stranger: CertificateFiles,
    secrets: Vec<String>,
}

/// Makes the certificates of a node and of an operator, and lets the node serve TLS to these callers.
fn serve_tls(config: &mut Config, folder: &Path, callers: &[CallerConfig]) -> Door {
    let domain = TrustDomain::parse("example.org").unwrap();
    let mut ca = Ca::create(&folder.join("ca"), &domain, now_ms() - 200 * DAY_MS, [99; 16]).unwrap();
    let name = NodeName { trust_domain: domain, cluster_id: [7; 32], node_id: 1 };
    let mut secrets = Vec::new();
    let mut issue = |request: &CertificateRequest, serial: u8| {
        let new = ca.issue(request, now_ms() - DAY_MS, [serial; 16]).unwrap();
        let (cert, key) = (folder.join(format!("{serial}.pem")), folder.join(format!("{serial}.key")));
        put(&cert, new.certificate_pem.as_bytes());
        put(&key, new.key_pem.as_bytes());
        // The longest line of the key's body.
        secrets.extend(new.key_pem.lines().max_by_key(|line| line.len()).map(str::to_owned));
        CertificateFiles { cert, key }
    };
    let own = issue(&CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap(), 1);
    let ops = issue(&CertificateRequest::caller(SpiffeId::parse(OPS).unwrap()).unwrap(), 2);
    let stranger = issue(&CertificateRequest::caller(SpiffeId::parse(STRANGER).unwrap()).unwrap(), 3);
    let ca = ca.certificate_path().to_owned();
    config.plain_http = false;
    config.client_tls =
        Some(ClientTlsConfig { cert: own.cert.clone(), key: own.key, ca: Some(ca.clone()), crl: None });
    let operator = CallerConfig {
        name: "ops".to_owned(),
        certificate: Some(OPS.to_owned()),
        tokens: None,
        jwt: None,
        roles: vec![Role::Operator],
        domains: None,
        rate: None,
        burst: None,
    };
    config.callers = [&[operator], callers].concat();
    Door { ca, ops, stranger, secrets }
}

fn client(node: &Node, door: &Door, certificate: Option<CertificateFiles>, token: Option<&Token>) -> Client {
    let mut config = ClientConfig::new([format!("https://{}", node.client_addr())], Trust::NoAllow);
    config.deadline = Duration::from_secs(10);
    config.admin = node.admin_addr().map(|admin| format!("https://{admin}")).into_iter().collect();
    let token = token.map(|token| TokenSource::Value(BearerToken::new(token.expose()).unwrap()));
    config.tls = Some(ClientTls { ca: Some(door.ca.clone()), certificate, token });
    Client::new(config).unwrap()
}

/// Fails if a class of calls is left out, if a refused caller is not told apart, if a change is made before its entry is
/// there, or if a credential, a key or a body gets into the trail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_has_each_call_with_its_caller_and_never_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let (asks, scheduler) = with_token(folder.path(), "sched", 1, Role::Scheduler);
    let (hands_in, submitter) = with_token(folder.path(), "authority", 2, Role::Submitter);
    let (reads, auditor) = with_token(folder.path(), "audits", 3, Role::Auditor);
    let stranger = Token::generate(|bytes| bytes.fill(4));
    let (mut door, mut trail) = (None, None);
    let node = alone(folder.path(), |config| {
        door = Some(serve_tls(config, folder.path(), &[scheduler, submitter, auditor]));
        config.admin_listen = Some(format!("127.0.0.1:{}", free_port()));
        trail = Some(audited(config, folder.path()));
    })
    .await;
    let (door, trail) = (door.unwrap(), trail.unwrap());
    assert_eq!(fs::metadata(&trail).unwrap().permissions().mode() & 0o777, 0o600);

    let envelope = authorization();
    client(&node, &door, None, Some(&hands_in)).submit(envelope.clone()).await.unwrap();
    // This client believes no allow, but the node gives one.
    let _ = client(&node, &door, None, Some(&asks)).authorize(&request()).await;
    client(&node, &door, None, Some(&reads)).status().await.unwrap();
    // There is no such member. The call is one of an operator all the same.
    client(&node, &door, Some(door.ops.clone()), None).remove_member(99).await.unwrap_err();
    client(&node, &door, None, Some(&reads)).remove_member(99).await.unwrap_err();
    client(&node, &door, None, Some(&stranger)).status().await.unwrap_err();
    client(&node, &door, None, None).status().await.unwrap_err();

    let refused = node.service().status(Caller::local()).refused_callers;
    let reasons: Vec<&str> = refused.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["nothing_shown", "role", "token_not_listed"]);
    node.shutdown().await;

    let written = lines(&trail);
    let submission = of(&written, AuditClass::Submission)[0];
    assert_eq!(submission["who"], serde_json::json!({"name": "authority", "by": "token"}));
    assert_eq!((&submission["decision"], &submission["status"]), (&"accepted".into(), &201.into()));
    assert!(submission["what"]["evidence"].as_str().unwrap().starts_with("blake3:"), "{submission}");
    assert!(submission["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{submission}");
    assert!(submission["latencyMs"].is_u64() && submission["revision"].is_u64(), "{submission}");

    let decision = of(&written, AuditClass::Decision)[0];
    assert_eq!(decision["who"]["name"], "sched");
    assert_eq!(decision["what"]["domain"], "prod.eu");
    assert!(decision["decision"] == "allow" || decision["codes"].is_array(), "{decision}");

    let read = of(&written, AuditClass::Read)[0];
    assert_eq!(
        (&read["who"]["name"], &read["what"]["route"]),
        (&"audits".into(), &"/v1/cluster/status".into())
    );

    let admin = of(&written, AuditClass::Admin);
    assert!(admin.len() > 1, "{written:#?}");
    assert_eq!((&admin[0]["phase"], &admin[0]["who"]["by"]), (&"asked".into(), &"certificate".into()));
    assert_eq!((&admin[1]["phase"], &admin[1]["request"]), (&"answered".into(), &admin[0]["request"]));

    let refused = of(&written, AuditClass::Refused);
    let who: Vec<(&Value, &Value)> =
        refused.iter().map(|line| (&line["who"]["name"], &line["who"]["why"])).collect();
    assert!(who.contains(&(&"audits".into(), &Value::Null)), "{who:?}");
    assert!(who.contains(&(&Value::Null, &"token_not_listed".into())), "{who:?}");
    assert!(who.contains(&(&Value::Null, &"nothing_shown".into())), "{who:?}");
    for line in refused {
        assert_eq!(line["codes"], serde_json::json!(["caller_not_permitted"]), "{line}");
        let why = line["who"]["why"].as_str().unwrap_or("role");
        assert_eq!(line["reason"], why, "{line}");
    }

    let text = fs::read_to_string(&trail).unwrap();
    let mut never = door.secrets;
    for token in [&asks, &hands_in, &reads, &stranger] {
        never.push(token.expose().trim_start_matches("assent_").to_owned());
    }
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    never.push(envelope["payload"].as_str().unwrap()[..40].to_owned());
    never.push(envelope["signatures"][0]["sig"].as_str().unwrap()[..40].to_owned());
    assert!(never.iter().all(|secret| secret.len() >= 40), "{never:?}");
    for secret in never.iter().map(String::as_str).chain(["assent_", "Bearer", "PRIVATE KEY"]) {
        assert!(!text.contains(secret), "the trail has `{secret}`");
    }
}

/// What comes back over TLS, from a caller that shows this certificate. It is empty if there is no connection.
async fn over_tls(
    door: &Door,
    certificate: Option<&CertificateFiles>,
    address: SocketAddr,
    request: &str,
) -> String {
    let own = certificate.map(|files| OwnCertificate::read(&files.cert, &files.key).unwrap());
    let authorities = Authorities::read(&door.ca, None).unwrap();
    let tls = assent_tls::client(own.as_ref(), &authorities, Arc::new(DefaultTimeProvider)).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut answer = Vec::new();
    if let Ok(mut stream) = TlsConnector::from(tls).connect(name, stream).await
        && stream.write_all(request.as_bytes()).await.is_ok()
    {
        // A connection that ends without a goodbye ends the answer too.
        let _ = stream.read_to_end(&mut answer).await;
    }
    String::from_utf8(answer).unwrap()
}

/// Fails if a call without a route is left out of the trail, or if text of the caller's own that may be a secret is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_has_no_route_on_its_listener_is_in_the_trail_as_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (reads, auditor) = with_token(folder.path(), "audits", 3, Role::Auditor);
    let (mut door, mut trail) = (None, None);
    let node = alone(folder.path(), |config| {
        door = Some(serve_tls(config, folder.path(), &[auditor]));
        config.admin_listen = Some(format!("127.0.0.1:{}", free_port()));
        config.health_listen = Some("127.0.0.1:0".to_owned());
        trail = Some(audited(config, folder.path()));
    })
    .await;
    let (door, trail) = (door.unwrap(), trail.unwrap());
    let (clients, admin) = (node.client_addr(), node.admin_addr().unwrap());
    let shows = format!("authorization: Bearer {}\r\n", reads.expose());
    let secret = format!("assent_{}", "s".repeat(43));
    for (address, line, headers, status) in [
        (clients, "DELETE /v1/cluster/members/3".to_owned(), shows.as_str(), 404),
        (clients, format!("GET /v1/nowhere/{secret}/x?token={secret}"), shows.as_str(), 404),
        (clients, "PUT /v1/domains".to_owned(), shows.as_str(), 405),
        (admin, "BREW /v1/domains".to_owned(), "", 404),
        (clients, "GET /v1/unknown-caller".to_owned(), "", 404),
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: node\r\n{headers}connection: close\r\n\r\n");
        let answer = over_tls(&door, None, address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
    let health = "GET /v1/domains HTTP/1.1\r\nhost: node\r\n\r\n";
    let answer = exchange(node.health_addr().unwrap(), health.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let counted = node.service().status(Caller::local()).refused_callers;
    assert_eq!((counted["listener"], counted["path"], counted["method"]), (2, 3, 1), "{counted:?}");
    node.shutdown().await;

    let written = lines(&trail);
    let found: Vec<String> = of(&written, AuditClass::Refused)
        .iter()
        .map(|line| {
            assert!(line["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            assert_eq!(
                (&line["decision"], &line["phase"]),
                (&"refused".into(), &"answered".into()),
                "{line}"
            );
            let who = line["who"]["name"].as_str().or(line["who"]["why"].as_str()).unwrap();
            let (what, word) = (&line["what"], |value: &Value| value.as_str().unwrap_or("-").to_owned());
            format!(
                "{who} {} {} {} {} {} {}",
                word(&what["method"]),
                word(&what["route"]),
                word(&what["path"]),
                word(&line["reason"]),
                line["status"],
                word(&line["codes"][0])
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "audits DELETE /v1/cluster/members/{id} - listener 404 target_unknown",
            "audits GET nowhere /v1/nowhere/…/x path 404 target_unknown",
            "audits PUT /v1/domains - method 405 malformed",
            "nothing_shown other /v1/domains - listener 404 target_unknown",
            "nothing_shown GET nowhere /v1/unknown-caller path 404 target_unknown",
            "nothing_shown GET nowhere /v1/domains path 404 target_unknown",
        ]
    );
    let text = fs::read_to_string(&trail).unwrap();
    assert!(!text.contains("assent_") && !text.contains("sss"), "{text}");
}

/// Fails if an operator cannot see who was refused, or if a name that nothing has verified looks like one that was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_certificate_is_named_in_the_trail_and_to_its_holder_if_it_was_verified() {
    let folder = tempfile::tempdir().unwrap();
    let domain = TrustDomain::parse("example.org").unwrap();
    let other = folder.path().join("other");
    let mut other = Ca::create(&other, &domain, now_ms() - 200 * DAY_MS, [98; 16]).unwrap();
    let wanted = CertificateRequest::caller(SpiffeId::parse(OPS).unwrap()).unwrap();
    let forged = other.issue(&wanted, now_ms() - DAY_MS, [4; 16]).unwrap();
    let path = |kind: &str| folder.path().join(format!("forged.{kind}"));
    put(&path("pem"), forged.certificate_pem.as_bytes());
    put(&path("key"), forged.key_pem.as_bytes());
    let forged = CertificateFiles { cert: path("pem"), key: path("key") };
    let (mut door, mut trail) = (None, None);
    let node = alone(folder.path(), |config| {
        door = Some(serve_tls(config, folder.path(), &[]));
        trail = Some(audited(config, folder.path()));
    })
    .await;
    let (door, trail) = (door.unwrap(), trail.unwrap());
    let request = "GET /v1/domains HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    let told = over_tls(&door, Some(&door.stranger), node.client_addr(), request).await;
    assert!(told.starts_with("HTTP/1.1 401") && told.contains(STRANGER), "{told}");
    // This one learns nothing but the alert.
    assert_eq!(over_tls(&door, Some(&forged), node.client_addr(), request).await, "");
    node.shutdown().await;

    let written = lines(&trail);
    let refused = of(&written, AuditClass::Refused);
    let by = |why: &str| refused.iter().find(|line| line["reason"] == why).unwrap();
    let expected =
        serde_json::json!({"by": "unknown", "why": "certificate_not_listed", "certificate": STRANGER});
    assert_eq!(by("certificate_not_listed")["who"], expected);
    let who = &by("handshake")["who"];
    assert_eq!((&who["certificate"], &who["why"]), (&Value::Null, &"handshake".into()), "{who}");
    assert!(who["unverified"].as_str().unwrap().contains(&format!("`{OPS}`")), "{who}");
}

/// Fails if a request beyond a limit is left out of the trail and of the counts, is there as one that was answered, or does
/// not say which limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_beyond_a_limit_of_its_caller_or_address_is_in_the_trail_as_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut trail = None;
    let node = alone(folder.path(), |config| {
        (config.limits.caller_rate, config.limits.caller_burst) = (1, MAX_BATCH);
        config.limits.connections_per_address = 3;
        trail = Some(audited(config, folder.path()));
    })
    .await;
    let (address, close) = (node.client_addr(), "connection: close\r\n");
    let batch = post("/v1/authorize:batch", close, &authorize_batch_body(&vec![request(); MAX_BATCH]));
    let first = exchange(address, &batch).await;
    assert!(first.starts_with("HTTP/1.1 200"), "{}", &first[..first.len().min(600)]);
    let (head, beyond) = problem(&exchange(address, &batch).await);
    assert!(beyond.detail.contains("limits.caller_rate"), "{head} {}", beyond.detail);
    // One of a few is beyond the rate of one a second.
    let single = post("/v1/authorize", close, &request().to_json().to_vec());
    let mut is_beyond = false;
    for _ in 0..50 {
        is_beyond = is_beyond || exchange(address, &single).await.starts_with("HTTP/1.1 503");
    }
    assert!(is_beyond, "no request is beyond the rate");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let status = b"GET /v1/cluster/status HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    let (head, beyond) = problem(&exchange(address, status).await);
    assert!(beyond.detail.contains("limits.connections_per_address"), "{head} {}", beyond.detail);
    let counted = node.service().status(Caller::local()).refused_callers;
    let reasons: Vec<&str> = counted.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["caller_rate", "connections_per_address"]);
    drop(held);
    node.shutdown().await;

    let written = lines(&trail.unwrap());
    let refused = of(&written, AuditClass::Refused);
    for (route, reason, decision) in [
        ("/v1/authorize:batch", "caller_rate", "refused"),
        ("/v1/authorize", "caller_rate", "deny"),
        ("connection", "connections_per_address", "refused"),
    ] {
        let line = refused.iter().find(|line| line["what"]["route"] == route);
        let line = line.unwrap_or_else(|| panic!("no line of {route}: {refused:?}"));
        assert_eq!((&line["reason"], &line["decision"]), (&reason.into(), &decision.into()), "{line}");
        assert_eq!(
            (&line["status"], &line["codes"]),
            (&503.into(), &serde_json::json!(["overloaded"])),
            "{line}"
        );
        assert!(line["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    let batches = of(&written, AuditClass::Decision);
    let batch = batches.iter().find(|line| line["what"]["route"] == "/v1/authorize:batch").unwrap();
    assert_eq!((&batch["status"], &batch["reason"]), (&200.into(), &Value::Null), "{batch}");
}

fn leader_of(nodes: &[Node]) -> u64 {
    nodes[0].service().status(Caller::local()).leader.unwrap()
}

/// Fails if one of the two nodes does not say who the caller was, or says it under another id.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_in_the_trails_of_both_nodes_with_its_caller() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    let trails: Vec<PathBuf> = configs.iter_mut().map(|config| audited(config, folder.path())).collect();
    let nodes = start_all(&configs).await;
    let leader = leader_of(&nodes);
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let at = nodes[follower as usize - 1].client_addr();

    let answer = ask(at, "POST /v1/envelopes", &authorization()).await.unwrap();
    assert_eq!(status_of(&answer), 201, "{answer}");
    let body = format!("{{\"to\":{follower}}}");
    let answer = ask(at, "POST /v1/cluster/leader", body.as_bytes()).await.unwrap();
    assert_eq!(status_of(&answer), 200, "{answer}");
    for node in nodes {
        node.shutdown().await;
    }

    let (here, there) = (lines(&trails[follower as usize - 1]), lines(&trails[leader as usize - 1]));
    let local = serde_json::json!({"by": "local"});
    for (class, route) in
        [(AuditClass::Submission, "/v1/envelopes"), (AuditClass::Admin, "/v1/cluster/leader")]
    {
        let of_class = of(&here, class);
        let asked = of_class.iter().find(|line| line["what"]["route"] == route).unwrap();
        let request = &asked["request"];
        let sent = of_class.iter().find(|line| line["forwardedTo"] == leader).unwrap();
        let of_leader = of(&there, class);
        let received = of_leader.iter().find(|line| line["forwardedFrom"] == follower).unwrap();
        for line in [asked, sent, received] {
            assert_eq!((&line["who"], &line["request"]), (&local, request), "{line}");
        }
        if class == AuditClass::Admin {
            assert_eq!((&asked["phase"], &received["phase"]), (&"asked".into(), &"asked".into()));
        }
    }
}

/// The entries of a class about this route at a follower, and those about what it forwarded: first its own, then the leader's.
fn forwarded<'l>(
    (here, there): (&'l [Value], &'l [Value]),
    (class, route): (AuditClass, &str),
    (follower, leader): (u64, u64),
) -> [&'l Value; 3] {
    let find = |lines: &'l [Value], is: &dyn Fn(&Value) -> bool| -> &'l Value {
        let found = of(lines, class).into_iter().find(|line| is(line));
        found.unwrap_or_else(|| panic!("no line of `{route}`: {lines:#?}"))
    };
    [
        find(here, &|line| line["what"]["route"] == route),
        find(here, &|line| line["forwardedTo"] == leader),
        find(there, &|line| line["forwardedFrom"] == follower),
    ]
}

/// Fails if the leader does not say which caller of the follower it works for, how the follower has identified it, or under
/// which id the follower has the request, once callers have names and all connections are TLS.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_over_tls_for_a_named_caller_is_in_the_trails_of_both_nodes_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (hands_in, submitter) = with_token(folder.path(), "authority", 2, Role::Submitter);
    let mut configs = configs(folder.path());
    let door = serve_tls(&mut configs[0], folder.path(), &[submitter]);
    let (clients, callers) = (configs[0].client_tls.clone(), configs[0].callers.clone());
    let (peers, cluster) = (TestCa::new(folder.path(), "peers"), cluster_id(&configs));
    for config in &mut configs {
        let id = config.node_id;
        let says = Says::node(cluster, id).serial(id);
        config.peer_tls = Some(peers.issue(&format!("peer-{id}"), &says));
        (config.plain_http, config.client_tls, config.callers) = (false, clients.clone(), callers.clone());
        config.admin_listen = Some(format!("127.0.0.1:{}", free_port()));
        config.deadlines.submit_ms = 10_000;
    }
    let trails: Vec<PathBuf> = configs.iter_mut().map(|config| audited(config, folder.path())).collect();
    let nodes = start_all(&configs).await;
    let leader = leader_of(&nodes);
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let at = &nodes[follower as usize - 1];
    client(at, &door, None, Some(&hands_in)).submit(authorization()).await.unwrap();
    client(at, &door, Some(door.ops.clone()), None).transfer_leader(Some(follower)).await.unwrap();
    for node in nodes {
        node.shutdown().await;
    }

    let (here, there) = (lines(&trails[follower as usize - 1]), lines(&trails[leader as usize - 1]));
    for (class, route, who) in [
        (AuditClass::Submission, "/v1/envelopes", serde_json::json!({"name": "authority", "by": "token"})),
        (AuditClass::Admin, "/v1/cluster/leader", serde_json::json!({"name": "ops", "by": "certificate"})),
    ] {
        let entries = forwarded((&here, &there), (class, route), (follower, leader));
        let request = entries[0]["request"].as_str().unwrap();
        assert!(!request.is_empty());
        for line in entries {
            assert_eq!((&line["who"], &line["request"]), (&who, &request.into()), "{line}");
        }
    }
    for trail in &trails {
        let text = fs::read_to_string(trail).unwrap();
        assert!(!text.contains(hands_in.expose().trim_start_matches("assent_")), "the trail has a token");
    }
}

/// What the leader says to a change that a peer hands in.
async fn handed_in<M>(peer: &peer_support::Node, nodes: &[Node], change: &M) -> Code
where
    M: Message<Reply = Result<assent_api::MembersBody, ManageError>>,
{
    let until = Instant::now() + SOON * 4;
    loop {
        let leader = nodes[0].service().status(Caller::local()).leader.filter(|leader| *leader != 3);
        if let Some(leader) = leader
            && let Ok(Err(ManageError::Refused(why))) = asked(peer, leader, change).await
        {
            return why.code;
        }
        assert!(Instant::now() < until, "no leader refuses it");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Fails if a node changes the membership for a caller of whom the other node does not say that it is an operator, or if
/// one that does not lead goes on to the change without judging the caller.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_a_node_forwards_for_no_operator_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    let trails: Vec<PathBuf> = configs.iter_mut().map(|config| audited(config, folder.path())).collect();
    let mut nodes = start_all(&configs).await;
    let store_id = nodes[2].service().status(Caller::local()).node.store_id;
    let store_id: [u8; 16] = hex::decode(store_id).unwrap().try_into().unwrap();
    nodes.remove(2).shutdown().await;
    let peer = member_of(&configs, 3, store_id, &[1, 2]).await;
    let behalf = Behalf {
        name: "mallory".to_owned(),
        by: "token".to_owned(),
        request: "3-1-1".to_owned(),
        operator: false,
    };
    // In the form of protocol version 6, which does not say who has asked for it, and in that of version 7.
    assert_eq!(handed_in(&peer, &nodes, &Manage::Remove(3)).await, Code::CallerNotPermitted);
    let change = ManageFor { manage: Manage::Remove(3), behalf };
    assert_eq!(handed_in(&peer, &nodes, &change).await, Code::CallerNotPermitted);
    // A node that does not lead may lead in the next moment. At most one of the two leads.
    for to in [1, 2] {
        for answer in [asked(&peer, to, &change).await, asked(&peer, to, &Manage::Remove(3)).await] {
            match answer {
                Ok(Err(ManageError::Refused(why))) => assert_eq!(why.code, Code::CallerNotPermitted),
                other => panic!("node {to}: {other:?}"),
            }
        }
    }
    let status = nodes[0].service().status(Caller::local());
    assert!(status.voters.contains(&3), "{:?}", status.voters);
    for node in nodes {
        node.shutdown().await;
    }
    let written: Vec<Value> = trails[..2].iter().flat_map(|trail| lines(trail)).collect();
    let refused = of(&written, AuditClass::Refused);
    for why in ["mallory", "not_said"] {
        let told = |line: &&&Value| line["who"]["name"] == why || line["who"]["why"] == why;
        let line = refused.iter().find(told).unwrap_or_else(|| panic!("no line of {why}: {refused:?}"));
        assert_eq!((&line["forwardedFrom"], &line["what"]["member"]), (&3.into(), &3.into()), "{line}");
    }
}

/// Where a frame has its kind, and where a hello has the versions that its sender speaks.
const KIND_AT: usize = 4;
const VERSIONS_AT: usize = 13 + 8;
const HELLO: u8 = 1;
const SUBMIT: u8 = 0x21;
const SUBMIT_FOR: u8 = 0x27;
/// The kind of a request that no build knows.
const UNKNOWN: u8 = 0x6f;

/// Fails if a follower notes each of its attempts at the same leader.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_sent_to_a_leader_again_is_noted_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut configs = configs(folder.path());
    let trails: Vec<PathBuf> = configs.iter_mut().map(|config| audited(config, folder.path())).collect();
    let attempts: Arc<Mutex<usize>> = Arc::default();
    let mut nodes = Vec::new();
    for config in &configs {
        let (edge, attempts) = (Edge::default(), attempts.clone());
        // The leader does not know the first three attempts, so the follower cannot tell what became of them.
        edge.write_ahead(move |_, frame| {
            if frame[KIND_AT] != SUBMIT_FOR {
                return None;
            }
            let mut attempts = attempts.lock().unwrap();
            *attempts += 1;
            let mut unknown = frame.to_vec();
            (*attempts <= 3).then(|| {
                unknown[KIND_AT] = UNKNOWN;
                unknown
            })
        });
        nodes.push(start_behind(config, &edge).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    let leader = leader_of(&nodes);
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let service = nodes[follower as usize - 1].service();
    let submitted = service.submit(Caller::local(), authorization().into()).await;
    assert!(submitted.problem().is_none(), "{submitted:?}");
    assert!(*attempts.lock().unwrap() > 3);
    for node in nodes {
        node.shutdown().await;
    }
    let written = lines(&trails[follower as usize - 1]);
    let sent: Vec<&Value> = written.iter().filter(|line| line["forwardedTo"] == leader).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
}

/// Fails if a node sends a peer a form that its build does not know, or makes a change that such a peer forwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_protocol_version_6_is_sent_the_form_that_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let configs = configs(folder.path());
    let kinds: Arc<Mutex<BTreeSet<u8>>> = Arc::default();
    let mut nodes = Vec::new();
    for config in &configs {
        let (edge, kinds) = (Edge::default(), kinds.clone());
        edge.write_ahead(move |_, frame| {
            kinds.lock().unwrap().insert(frame[KIND_AT]);
            let mut hello = frame.to_vec();
            (frame[KIND_AT] == HELLO).then(|| {
                hello[VERSIONS_AT..VERSIONS_AT + 4].copy_from_slice(&[0, 6, 0, 6]);
                hello
            })
        });
        nodes.push(start_behind(config, &edge).await);
    }
    for node in &nodes {
        ready(node).await;
    }
    let leader = leader_of(&nodes);
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let service = nodes[follower as usize - 1].service();
    let submitted = service.submit(Caller::local(), authorization().into()).await;
    assert!(submitted.problem().is_none(), "{submitted:?}");
    let why = service.transfer_leader(Caller::local(), Some(follower)).await.unwrap_err();
    assert_eq!(why.code, Code::CallerNotPermitted, "{why:?}");
    let kinds = kinds.lock().unwrap().clone();
    assert!(kinds.contains(&SUBMIT) && !kinds.contains(&SUBMIT_FOR), "{kinds:x?}");
    for node in nodes {
        node.shutdown().await;
    }
}
