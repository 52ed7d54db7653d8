//! Everything by which the callers and the nodes of a cluster know one another is replaced while the callers ask.
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use assent_client::{
    BearerToken, CertificateFiles, Client, ClientConfig, ClientTls, FirstEndpoint, TokenSource, Trust,
};
use assent_cluster::access::{CallerConfig, Role, Token};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_tls::ca::CertificateRequest;
use assent_tls::{NodeName, TrustDomain};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster_support::authority::{Authority, OPS, caller, now_ms, put, serve_tls, token};
use crate::cluster_support::certificates::{Says, TestCa};
use crate::cluster_support::jwt::{Signer, issuer, jwks, reader};
use crate::cluster_support::*;
use crate::peer_support::cluster_id;

/// Every caller may ask for decisions, and see the status, by which the tests find out who gets in.
const ROLES: [Role; 2] = [Role::Scheduler, Role::Auditor];
const PAUSE: Duration = Duration::from_millis(10);
/// How long it may take until every node has read its files again, on a machine that is busy.
const SURELY: Duration = Duration::from_secs(20);

/// A caller that asks without an end, over the connections that it keeps.
struct Load {
    what: &'static str,
    ended: Arc<AtomicBool>,
    allowed: Arc<AtomicUsize>,
    asking: JoinHandle<Vec<String>>,
}

impl Load {
    fn of(what: &'static str, client: Client) -> Self {
        let (ended, allowed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let asking = tokio::spawn(ask(client, ended.clone(), allowed.clone()));
        Self { what, ended, allowed, asking }
    }

    fn allowed(&self) -> usize {
        self.allowed.load(Ordering::SeqCst)
    }
}

/// Asks until it is ended, and returns each answer that is no allow.
async fn ask(client: Client, ended: Arc<AtomicBool>, allowed: Arc<AtomicUsize>) -> Vec<String> {
    let mut failed = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        match client.authorize(&request()).await {
            Ok(decision) if decision.is_allow() => {
                allowed.fetch_add(1, Ordering::SeqCst);
            }
            Ok(decision) => failed.push(String::from_utf8_lossy(decision.bytes()).into_owned()),
            Err(error) => failed.push(format!("{}: {error}", error.code())),
        }
        sleep(PAUSE).await;
    }
    failed
}

/// Waits until each of them has been allowed some more.
async fn go_on(loads: &[Load]) {
    let before: Vec<usize> = loads.iter().map(Load::allowed).collect();
    let went_on = || loads.iter().zip(&before).all(|(load, before)| load.allowed() > before + 10);
    eventually("more allows of each caller", went_on).await;
}

/// A client of all nodes that asks this one first.
fn client(nodes: &[Node], first: usize, tls: ClientTls) -> Client {
    let turned = nodes[first..].iter().chain(&nodes[..first]);
    let endpoints = turned.map(|node| format!("https://{}", node.client_addr()));
    let trust = Trust::keys((11..14).map(|seed| key(seed).public())).unwrap();
    let mut config = ClientConfig::new(endpoints, trust);
    config.first_endpoint = FirstEndpoint::AsListed;
    config.tls = Some(tls);
    Client::new(config).unwrap()
}

/// `in`, or the code with which a node refuses a caller that shows this.
async fn told(client: &Client, node: &Node) -> String {
    match client.status_at(&format!("https://{}", node.client_addr())).await {
        Ok(_) => "in".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

/// Waits until each node says this to a caller that shows this on a new connection.
async fn all_say(nodes: &[Node], tls: &ClientTls, wanted: &str) {
    let until = Instant::now() + SURELY;
    for (place, node) in nodes.iter().enumerate() {
        loop {
            let said = told(&client(nodes, place, tls.clone()), node).await;
            if said == wanted {
                break;
            }
            assert!(Instant::now() < until, "node {} says {said}, not {wanted}", place + 1);
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Puts a new certificate and its key in the place of those that a node shows to its clients.
fn renew(authority: &mut Authority, own: &CertificateFiles, serial: u8) {
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: 1 };
    let request = CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap();
    let issued = authority.ca.issue(&request, now_ms(), [serial; 16]).unwrap();
    put(&own.key, issued.key_pem.as_bytes());
    put(&own.cert, issued.certificate_pem.as_bytes());
}

fn put_tokens(file: &Path, tokens: &[&Token]) {
    let lines: String = tokens.iter().map(|token| format!("{}\n", token.digest())).collect();
    put(file, lines.as_bytes());
}

fn put_cas(file: &Path, authorities: &[&Authority]) {
    let read = |authority: &&Authority| fs::read(authority.ca.certificate_path()).unwrap();
    put(file, &authorities.iter().map(read).collect::<Vec<_>>().concat());
}

/// It fails if a call fails while the nodes' certificate, the callers' CA, the tokens or the keys of an issuer are replaced and
/// the callers move in time, or if what was withdrawn still gets in: on a new connection or on one that was kept.
/// It takes about 35 s, nearly all of which it waits for files to be read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_callers_and_nodes_show_one_another_is_replaced_under_load_and_no_good_call_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut authority, mut next) =
        (Authority::new(folder.path(), "own"), Authority::new(folder.path(), "next"));
    let ((old_token, tokens), new_token) = (token(folder.path()), Token::generate(|bytes| bytes.fill(8)));
    let (old_key, new_key) = (Signer::new("one"), Signer::new("two"));
    let (cas, keys) = (path("cas.pem"), path("jwks.json"));
    put_cas(&cas, &[&authority]);
    put(&keys, jwks(&[&old_key]).as_bytes());

    let mut configs = configs(folder.path());
    let (peers, cluster) = (TestCa::new(folder.path(), "peers"), cluster_id(&configs));
    let mut shown_by_nodes = Vec::new();
    for config in &mut configs {
        let id = config.node_id;
        shown_by_nodes.push(serve_tls(config, &mut authority, &tokens));
        let tls = config.client_tls.as_mut().unwrap();
        (tls.ca, tls.crl) = (Some(cas.clone()), None);
        config.callers = vec![
            CallerConfig { certificate: Some(OPS.to_owned()), ..caller("by-certificate", &ROLES) },
            CallerConfig { tokens: Some(tokens.clone()), ..caller("by-token", &ROLES) },
            CallerConfig { jwt: Some(reader()), ..caller("by-jwt", &ROLES) },
        ];
        config.jwt_issuers = vec![issuer(&keys)];
        config.peer_tls = Some(peers.issue(&format!("peer-{id}"), &Says::node(cluster, id).serial(id)));
        // A machine that other tests use too may take a while, which is not what is tried here.
        config.deadlines.authorize_ms = 1_000;
        config.deadlines.submit_ms = 10_000;
    }
    let nodes = start_all(&configs).await;
    let authorized = nodes[0].service().submit(Caller::local(), authorization().into()).await;
    assert!(authorized.problem().is_none(), "{authorized:?}");

    // What the callers show. They look at their files as the nodes do.
    let (mine, _) = authority.caller(OPS);
    let (my_token, my_jwt) = (path("mine.token"), path("mine.jwt"));
    put(&my_token, old_token.expose().as_bytes());
    put(&my_jwt, old_key.token(1).as_bytes());
    let by_file =
        |file: &Path| ClientTls { token: Some(TokenSource::File(file.to_owned())), ..authority.shows(None) };
    let callers = [
        ("the caller by certificate", authority.shows(Some(mine.clone()))),
        ("the caller by token", by_file(&my_token)),
        ("the caller by JWT", by_file(&my_jwt)),
    ];
    // What those show that stay behind, and what those show that have moved.
    let by_value = |text: &str| ClientTls {
        token: Some(TokenSource::Value(BearerToken::new(text).unwrap())),
        ..authority.shows(None)
    };
    let (by_old_token, by_new_token) = (by_value(old_token.expose()), by_value(new_token.expose()));
    let (by_old_jwt, by_new_jwt) = (by_value(&old_key.token(2)), by_value(&new_key.token(2)));
    let (new_files, _) = next.caller(OPS);
    let by_new_certificate = authority.shows(Some(new_files.clone()));
    let (old_files, _) = authority.caller(OPS);
    let by_old_certificate = authority.shows(Some(old_files));
    for tls in [&by_old_certificate, &by_old_token, &by_old_jwt] {
        all_say(&nodes, tls, "in").await;
    }
    for (tls, code) in [
        (&by_new_certificate, "caller_certificate_refused"),
        (&by_new_token, "caller_not_permitted"),
        (&by_new_jwt, "caller_not_permitted"),
    ] {
        assert_eq!(told(&client(&nodes, 0, tls.clone()), &nodes[0]).await, code);
    }

    let mut loads = Vec::new();
    for first in 0..nodes.len() {
        for (what, tls) in &callers {
            loads.push(Load::of(what, client(&nodes, first, tls.clone())));
        }
    }
    go_on(&loads).await;

    // The nodes' certificates, and beside what the nodes trust, what they are to trust.
    let end = |node: &Node| node.service().status(Caller::local()).node.client_certificate_end.unwrap().0;
    let ends: Vec<i64> = nodes.iter().map(end).collect();
    for (serial, own) in (200..).zip(&shown_by_nodes) {
        renew(&mut authority, own, serial);
        go_on(&loads).await;
    }
    put_cas(&cas, &[&authority, &next]);
    go_on(&loads).await;
    put_tokens(&tokens, &[&old_token, &new_token]);
    go_on(&loads).await;
    put(&keys, jwks(&[&old_key, &new_key]).as_bytes());
    for tls in [&by_new_certificate, &by_new_token, &by_new_jwt] {
        all_say(&nodes, tls, "in").await;
    }
    let are_renewed = || nodes.iter().zip(&ends).all(|(node, before)| end(node) > *before);
    eventually("the nodes' new certificates", are_renewed).await;
    for tls in [&by_old_certificate, &by_old_token, &by_old_jwt] {
        all_say(&nodes, tls, "in").await;
    }

    // The callers move. They read a token again within 5 s, and nothing shows when they have.
    put(&mine.key, &fs::read(&new_files.key).unwrap());
    put(&mine.cert, &fs::read(&new_files.cert).unwrap());
    put(&my_token, new_token.expose().as_bytes());
    put(&my_jwt, new_key.token(1).as_bytes());
    sleep(Duration::from_secs(6)).await;
    go_on(&loads).await;

    // What they had before is withdrawn. The connections that were made with it are still there.
    let held = client(&nodes, 0, by_old_certificate.clone());
    for node in &nodes {
        assert_eq!(told(&held, node).await, "in");
    }
    put_cas(&cas, &[&next]);
    go_on(&loads).await;
    put_tokens(&tokens, &[&new_token]);
    go_on(&loads).await;
    put(&keys, jwks(&[&new_key]).as_bytes());
    all_say(&nodes, &by_old_certificate, "caller_certificate_refused").await;
    all_say(&nodes, &by_old_token, "caller_not_permitted").await;
    all_say(&nodes, &by_old_jwt, "caller_not_permitted").await;
    let until = Instant::now() + Duration::from_secs(60);
    for node in &nodes {
        loop {
            match told(&held, node).await.as_str() {
                "caller_certificate_refused" => break,
                // The second is for a connection that ended under the call.
                "in" | "unavailable" => assert!(Instant::now() < until, "the kept connection is still in"),
                other => panic!("{other}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
    for tls in [&by_new_certificate, &by_new_token, &by_new_jwt] {
        all_say(&nodes, tls, "in").await;
    }
    go_on(&loads).await;

    for load in loads {
        load.ended.store(true, Ordering::SeqCst);
        let failed = load.asking.await.unwrap();
        let told = &failed[..failed.len().min(3)];
        assert!(failed.is_empty(), "{} calls of {} failed: {told:?}", failed.len(), load.what);
    }
    for node in nodes {
        node.shutdown().await;
    }
}
