//! The client over real TLS: which certificates it takes, what it shows, and which side an error names.

use crate::support::*;
use assent_client::load::{Call, LoadConfig, Stop, Work, judge_submit, run};
use assent_client::{
    BearerToken, CertificateFiles, Client, ClientConfig, ClientError, ClientTls, Clock, EventsFilter,
    FirstEndpoint, SubmitError, TokenSource, Trust,
};
use assent_proof::Code;
use assent_tls::ca::{Ca, CertificateRequest};
use assent_tls::{Authorities, NodeName, OwnCertificate, SpiffeId, TrustDomain};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const SECRET: &str = "assent_c2VjcmV0c2VjcmV0";

/// Far less than the deadline of a call that insists, and more than a busy machine needs for a few handshakes.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Now, by the client's own clock.
fn now() -> i64 {
    assent_client::SystemClock.wall().0
}

/// A CA that was made 200 days ago, so that it can have issued certificates that have expired.
struct Authority {
    ca: Ca,
    dir: TempDir,
    issued: u8,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let domain = TrustDomain::parse("example.org").unwrap();
        let ca = Ca::create(&dir.path().join("ca"), &domain, now() - 200 * DAY_MS, [200; 16]).unwrap();
        Authority { ca, dir, issued: 0 }
    }

    fn ca_file(&self) -> PathBuf {
        self.ca.certificate_path().to_owned()
    }

    fn issue(&mut self, request: &CertificateRequest, at_ms: i64) -> CertificateFiles {
        self.issued += 1;
        let new = self.ca.issue(request, at_ms, [self.issued; 16]).unwrap();
        let path = |kind: &str| self.dir.path().join(format!("{}.{kind}", self.issued));
        let files = CertificateFiles { cert: path("pem"), key: path("key") };
        put(&files.cert, new.certificate_pem.as_bytes());
        put(&files.key, new.key_pem.as_bytes());
        files
    }

    /// The certificate of a node under this name, issued so many days ago.
    fn node(&mut self, host: &str, days_ago: i64) -> CertificateFiles {
        let trust_domain = TrustDomain::parse("example.org").unwrap();
        let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: 1 };
        let request = CertificateRequest::node(&name, &[host.to_owned()]).unwrap();
        self.issue(&request, now() - days_ago * DAY_MS)
    }

    fn caller(&mut self, days_ago: i64) -> CertificateFiles {
        let id = SpiffeId::parse("spiffe://example.org/slurm/ctl").unwrap();
        self.issue(&CertificateRequest::caller(id).unwrap(), now() - days_ago * DAY_MS)
    }
}

/// Writes a secret, and gives it its name when it is complete.
fn put(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

fn own(files: &CertificateFiles) -> OwnCertificate {
    OwnCertificate::read(&files.cert, &files.key).unwrap()
}

/// A node that asks for the caller's certificate, and may do without one.
fn node(files: &CertificateFiles, callers: &Authority) -> TlsAcceptor {
    let callers = Authorities::read(&callers.ca_file(), None).unwrap();
    let config = assent_tls::server(&own(files), Some(Arc::new(callers)), Arc::new(DefaultTimeProvider));
    TlsAcceptor::from(config.unwrap())
}

/// A node that demands the caller's certificate.
fn demanding_node(files: &CertificateFiles, callers: &Authority) -> TlsAcceptor {
    let callers = Arc::new(Authorities::read(&callers.ca_file(), None).unwrap());
    let admit: assent_tls::Admit = Arc::new(|_| Ok(()));
    let time = Arc::new(DefaultTimeProvider);
    let config = assent_tls::mutual_server(&own(files), callers, admit, time, b"http/1.1");
    TlsAcceptor::from(config.unwrap())
}

fn trusting(authority: &Authority) -> ClientTls {
    ClientTls { ca: Some(authority.ca_file()), ..ClientTls::default() }
}

fn config(endpoint: &str, tls: ClientTls) -> ClientConfig {
    let mut config = ClientConfig::new([endpoint], Trust::NoAllow);
    config.deadline = Duration::from_secs(2);
    config.tls = Some(tls);
    config
}

fn client(server: &Server, tls: ClientTls) -> Client {
    Client::new(config(&server.endpoint, tls)).unwrap()
}

/// The error of a read, which asks once.
async fn refused(server: &Server, tls: ClientTls) -> ClientError {
    let error = client(server, tls).envelope(&id(&envelope(1))).await.unwrap_err();
    assert_eq!(server.requests(), 0, "{error}");
    error
}

fn assert_says(error: &ClientError, code: &str, detail: &str, remedy: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(detail), "{error}");
    assert!(error.remedy().contains(remedy), "{}", error.remedy());
}

#[tokio::test]
async fn a_node_whose_certificate_is_right_is_asked_and_gets_the_token() {
    let mut authority = Authority::new();
    let node_files = authority.node("127.0.0.1", 1);
    let server = Server::start_with(Some(node(&node_files, &authority)), vec![]).await;
    let tls = ClientTls {
        certificate: Some(authority.caller(1)),
        token: Some(TokenSource::Value(BearerToken::new(SECRET).unwrap())),
        ..trusting(&authority)
    };
    let client = client(&server, tls);
    for n in 0..3 {
        assert!(client.submit(envelope(n)).await.unwrap().fresh);
    }
    let shown = server.shown.lock().unwrap().clone();
    assert_eq!(shown, vec![Some(format!("Bearer {SECRET}")); 3]);
    assert!(!format!("{client:?}").contains(SECRET));
}

#[tokio::test]
async fn the_load_generator_speaks_tls_and_sends_the_token_too() {
    let mut authority = Authority::new();
    let node_files = authority.node("127.0.0.1", 1);
    let server = Server::start_with(Some(demanding_node(&node_files, &authority)), vec![]).await;
    let mut config = LoadConfig::new([&server.endpoint], 2);
    config.warm_up = Duration::ZERO;
    config.stop = Stop::Operations(10);
    config.tls = Some(ClientTls {
        certificate: Some(authority.caller(1)),
        token: Some(TokenSource::Value(BearerToken::new(SECRET).unwrap())),
        ..trusting(&authority)
    });
    let work = Work::Repeat((0..4).map(|n| Call::post("/v1/envelopes", envelope(n)).unwrap()).collect());
    let report = run(config, work, judge_submit).await.unwrap();
    assert_eq!(report.unexpected, 0, "{report:?}");
    let shown = server.shown.lock().unwrap().clone();
    assert!(shown.len() >= 10 && shown.iter().all(|shown| shown == &Some(format!("Bearer {SECRET}"))));
}

#[tokio::test]
async fn this_side_refuses_a_node_of_another_ca_with_another_name_or_out_of_its_time() {
    let (mut authority, mut other) = (Authority::new(), Authority::new());
    for (files, detail, remedy) in [
        (other.node("127.0.0.1", 1), "this side refused the node's certificate", "--ca"),
        (authority.node("127.0.0.2", 1), "is not for `127.0.0.1`", "name or address"),
        (authority.node("node-1", 1), "is not for `127.0.0.1`", "name or address"),
        (authority.node("127.0.0.1", 100), "expired at", "renew the node's certificate"),
    ] {
        let server = Server::start_with(Some(node(&files, &authority)), vec![]).await;
        let error = refused(&server, trusting(&authority)).await;
        assert_says(&error, "node_certificate_refused", detail, remedy);
    }
}

#[tokio::test]
async fn the_node_refuses_a_caller_without_a_certificate_or_with_a_wrong_one() {
    let (mut authority, mut other) = (Authority::new(), Authority::new());
    let node_files = authority.node("127.0.0.1", 1);
    for (shown, demands, detail, remedy) in [
        (None, true, "the caller showed none", "--cert"),
        (Some(other.caller(1)), false, "the node refused this caller's certificate", "node's log"),
        (Some(authority.caller(100)), false, "the node refused this caller's certificate", "node's log"),
    ] {
        let acceptor =
            if demands { demanding_node(&node_files, &authority) } else { node(&node_files, &authority) };
        let server = Server::start_with(Some(acceptor), vec![]).await;
        let tls = ClientTls { certificate: shown, ..trusting(&authority) };
        let error = refused(&server, tls.clone()).await;
        assert_says(&error, "caller_certificate_refused", detail, remedy);
        // The node has read nothing, so it is certain that nothing was submitted.
        let submitted = client(&server, tls).submit(envelope(1)).await.unwrap_err();
        assert!(matches!(submitted, SubmitError::NotTaken(ClientError::Tls(_))), "{submitted}");
        assert_eq!(server.requests(), 0);
    }
}

#[tokio::test]
async fn an_endpoint_without_tls_is_told_from_a_node_that_refuses() {
    let authority = Authority::new();
    let plain = Server::start(vec![]).await;
    let endpoint = plain.endpoint.replace("http://", "https://");
    let client = Client::new(config(&endpoint, trusting(&authority))).unwrap();
    let error = client.envelope(&id(&envelope(1))).await.unwrap_err();
    assert_says(&error, "tls_failed", "does not speak TLS", "http://");
}

#[tokio::test]
async fn a_node_that_speaks_tls_is_found_behind_an_endpoint_of_plain_http() {
    let mut authority = Authority::new();
    let node_files = authority.node("127.0.0.1", 1);
    let server = Server::start_with(Some(node(&node_files, &authority)), vec![]).await;
    let endpoint = server.endpoint.replace("https://", "http://");
    let mut config = ClientConfig::new([endpoint], Trust::NoAllow);
    config.deadline = Duration::from_secs(60);
    let client = Client::new(config).unwrap();
    let error = client.envelope(&id(&envelope(1))).await.unwrap_err();
    assert_says(&error, "tls_failed", "this port speaks TLS", "write the endpoint with `https://`");
    // The port has read nothing, and asking it again would not change that.
    let begun = Instant::now();
    let submitted = client.submit(envelope(1)).await.unwrap_err();
    assert!(matches!(submitted, SubmitError::NotTaken(ClientError::Tls(_))), "{submitted}");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(server.requests(), 0);
}

/// A client with a long deadline that asks these endpoints in this order.
fn insisting(endpoints: &[&str], tls: ClientTls) -> Client {
    let mut config = ClientConfig::new(endpoints.iter().copied(), Trust::NoAllow);
    config.first_endpoint = FirstEndpoint::AsListed;
    config.deadline = Duration::from_secs(60);
    config.tls = Some(tls);
    Client::new(config).unwrap()
}

#[tokio::test]
async fn a_caller_whose_certificate_every_node_refuses_is_told_so_at_once() {
    let (mut authority, mut other) = (Authority::new(), Authority::new());
    let node_files = authority.node("127.0.0.1", 1);
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start_with(Some(node(&node_files, &authority)), vec![]).await);
    }
    let endpoints: Vec<&str> = servers.iter().map(|server| server.endpoint.as_str()).collect();
    let dead = dead_endpoint().await.replace("http://", "https://");
    let tls = ClientTls { certificate: Some(other.caller(1)), ..trusting(&authority) };
    // Where the others cannot be reached, the refusal of one node is all that there is.
    for endpoints in [&endpoints[..], &endpoints[..1], &[dead.as_str(), endpoints[0], dead.as_str()]] {
        let client = insisting(endpoints, tls.clone());
        let begun = Instant::now();
        let submitted = client.submit(envelope(1)).await.unwrap_err();
        assert!(matches!(submitted, SubmitError::NotTaken(ClientError::Tls(_))), "{submitted}");
        assert_eq!(submitted.code(), "caller_certificate_refused");
        assert!(submitted.to_string().contains("the node refused this caller's certificate"), "{submitted}");
        let followed = client.follow_events(EventsFilter::default(), None).next().await.unwrap_err();
        assert_eq!(followed.code(), "caller_certificate_refused", "{followed}");
        assert!(begun.elapsed() < AT_ONCE, "{endpoints:?}: {:?}", begun.elapsed());
    }
    assert!(servers.iter().all(|server| server.requests() == 0));
}

#[tokio::test]
async fn a_certificate_that_one_node_refuses_is_shown_to_the_next_one() {
    let (mut authority, other) = (Authority::new(), Authority::new());
    let node_files = authority.node("127.0.0.1", 1);
    // The first node knows the callers of another CA only.
    let refusing = Server::start_with(Some(node(&node_files, &other)), vec![]).await;
    let shedding = problem(Code::NoQuorum, 503);
    let taking = Server::start_with(Some(node(&node_files, &authority)), vec![shedding]).await;
    let tls = ClientTls { certificate: Some(authority.caller(1)), ..trusting(&authority) };
    let client = insisting(&[&refusing.endpoint, &taking.endpoint], tls);
    // The second node takes the caller, so it is asked again although it cannot answer at first.
    assert!(client.submit(envelope(1)).await.unwrap().fresh);
    assert_eq!((refusing.requests(), taking.requests()), (0, 2));
}

#[tokio::test]
async fn a_node_whose_certificate_this_side_refuses_does_not_keep_a_submission_from_the_others() {
    let (mut authority, mut other) = (Authority::new(), Authority::new());
    let (foreign, own) = (other.node("127.0.0.1", 1), authority.node("127.0.0.1", 1));
    let wrong = Server::start_with(Some(node(&foreign, &authority)), vec![]).await;
    let right = Server::start_with(Some(node(&own, &authority)), vec![]).await;
    let client = insisting(&[&wrong.endpoint, &right.endpoint], trusting(&authority));
    assert!(client.submit(envelope(1)).await.unwrap().fresh);
    // Alone, it ends the call.
    let begun = Instant::now();
    let submitted =
        insisting(&[&wrong.endpoint], trusting(&authority)).submit(envelope(1)).await.unwrap_err();
    assert_eq!(submitted.code(), "node_certificate_refused", "{submitted}");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_on_the_next_connection() {
    let mut authority = Authority::new();
    let node_files = authority.node("127.0.0.1", 1);
    let server = Server::start_with(Some(demanding_node(&node_files, &authority)), vec![]).await;
    let (expired, renewed) = (authority.caller(100), authority.caller(1));
    let tls = ClientTls { certificate: Some(expired.clone()), ..trusting(&authority) };
    let client = client(&server, tls);
    let error = client.envelope(&id(&envelope(1))).await.unwrap_err();
    assert_eq!(error.code(), "caller_certificate_refused", "{error}");
    // The certificate is there before its key: they do not belong together, and the client goes on with the old pair.
    put(&expired.cert, &fs::read(&renewed.cert).unwrap());
    let error = client.envelope(&id(&envelope(1))).await.unwrap_err();
    assert_says(&error, "caller_certificate_refused", "files of this side changed and cannot be used", "log");
    put(&expired.key, &fs::read(&renewed.key).unwrap());
    assert!(client.submit(envelope(1)).await.unwrap().fresh);
}

#[tokio::test]
async fn a_token_goes_over_plain_http_to_this_machine_only() {
    let server = Server::start(vec![]).await;
    let token = || Some(TokenSource::Value(BearerToken::new(SECRET).unwrap()));
    let tls = ClientTls { token: token(), ..ClientTls::default() };
    let local = client(&server, tls.clone());
    assert!(local.submit(envelope(1)).await.unwrap().fresh);
    assert_eq!(server.shown.lock().unwrap().clone(), [Some(format!("Bearer {SECRET}"))]);
    for elsewhere in ["http://192.0.2.1:7400", "http://node-1:7400", "192.0.2.1:7400"] {
        let error = Client::new(config(elsewhere, tls.clone())).unwrap_err();
        assert_says(&error, "config_invalid", "is plain HTTP to another machine", "write `https://");
        // Nor with a call that names its endpoint.
        let error = local.status_at(elsewhere).await.unwrap_err();
        assert_says(&error, "config_invalid", "is plain HTTP to another machine", "write `https://");
        let mut load = LoadConfig::new([elsewhere], 1);
        load.tls = Some(tls.clone());
        let work = Work::Repeat(vec![Call::get("/livez").unwrap()]);
        assert_eq!(run(load, work, judge_submit).await.unwrap_err().code(), "config_invalid");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_errors_before_anything_is_asked() {
    let mut authority = Authority::new();
    let (caller, other) = (authority.caller(1), authority.caller(1));
    let endpoint = "https://127.0.0.1:1";
    let mismatched = CertificateFiles { cert: caller.cert.clone(), key: other.key };
    let missing = ClientTls { ca: Some("/nowhere/ca.pem".into()), ..ClientTls::default() };
    for tls in [
        missing,
        ClientTls { ca: Some(caller.key.clone()), ..ClientTls::default() },
        ClientTls { certificate: Some(mismatched), ..trusting(&authority) },
    ] {
        let error = Client::new(config(endpoint, tls)).unwrap_err();
        assert_eq!(error.code(), "config_invalid", "{error}");
    }
    let error = Client::new(ClientConfig::new([endpoint], Trust::NoAllow)).unwrap_err();
    assert_says(&error, "config_invalid", "needs the certificate of the CA", "`--ca`");
}
