//! TLS of the client port over real sockets: who gets in, who does not, and what happens when files are replaced.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::cluster_support::authority::{Authority, DAY_MS, OPS, now_ms, put, serve_tls, token};
use crate::cluster_support::http::get;
use crate::cluster_support::*;
use assent_client::{BearerToken, Client, ClientConfig, ClientError, ClientTls, TokenSource, Trust};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::Millis;
use assent_tls::ca::CertificateRequest;
use assent_tls::{NodeName, TrustDomain};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

fn client(node: &Node, tls: ClientTls) -> (Client, String) {
    let endpoint = format!("https://{}", node.client_addr());
    let mut config = ClientConfig::new([&endpoint], Trust::NoAllow);
    config.deadline = Duration::from_secs(10);
    config.tls = Some(tls);
    (Client::new(config).unwrap(), endpoint)
}

async fn status(node: &Node, tls: ClientTls) -> Result<u64, ClientError> {
    let (client, endpoint) = client(node, tls);
    Ok(client.status_at(&endpoint).await?.node_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_the_table_get_in_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (mut authority, mut other) =
        (Authority::new(folder.path(), "own"), Authority::new(folder.path(), "other"));
    let (secret, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
    })
    .await;

    let (ops, _) = authority.caller(OPS);
    assert_eq!(status(&node, authority.shows(Some(ops))).await.unwrap(), 1);
    let shown = Some(TokenSource::Value(BearerToken::new(secret.expose()).unwrap()));
    assert_eq!(status(&node, ClientTls { token: shown, ..authority.shows(None) }).await.unwrap(), 1);

    let wrong = Some(TokenSource::Value(BearerToken::new(&format!("assent_{}", "A".repeat(43))).unwrap()));
    let (stranger, _) = authority.caller("spiffe://example.org/stranger");
    for tls in [
        authority.shows(None),
        authority.shows(Some(stranger)),
        ClientTls { token: wrong, ..authority.shows(None) },
    ] {
        let error = status(&node, tls).await.unwrap_err();
        assert_eq!(error.code(), "caller_not_permitted", "{error}");
    }

    // The certificate of another CA, and that of a node, which may not call as if it were an operator.
    let (foreign, _) = other.caller(OPS);
    let error = status(&node, authority.shows(Some(foreign))).await.unwrap_err();
    assert_eq!(error.code(), "caller_certificate_refused", "{error}");
    let own = authority.node();
    let error = status(&node, authority.shows(Some(own))).await.unwrap_err();
    assert_eq!(error.code(), "caller_not_permitted", "{error}");

    // This side refuses a node that it does not trust.
    let error = status(&node, other.shows(None)).await.unwrap_err();
    assert_eq!(error.code(), "node_certificate_refused", "{error}");

    // Probes show nothing.
    let (probe, endpoint) = client(&node, authority.shows(None));
    assert!(probe.ready_at(&endpoint).await);
    node.shutdown().await;
}

/// It fails if the node shows no end of the files of its client port, that of another file, or that of a file which was
/// replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_show_when_the_clients_certificate_and_the_list_of_revoked_callers_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        config.health_listen = Some("127.0.0.1:0".to_owned());
        config.health_metrics = true;
    })
    .await;
    let days = |end: Option<Millis>| (end.unwrap().0 - now_ms()) as f64 / 86_400_000.0;
    let shown = || node.service().status(Caller::local()).node;
    let body = shown();
    // They were made as if it were yesterday: for 90 and for 30 days.
    assert!((days(body.client_certificate_end) - 89.0).abs() < 0.1, "{body:?}");
    assert!((days(body.client_revocation_list_end) - 29.0).abs() < 0.1, "{body:?}");
    assert!(body.peer_certificate_end.is_none() && body.peer_revocation_list_end.is_none(), "{body:?}");
    let page = get(node.health_addr().unwrap(), "/metrics").await.unwrap();
    for (name, end) in [
        ("certificate_end", body.client_certificate_end),
        ("revocation_list_end", body.client_revocation_list_end),
    ] {
        let begin = format!("assent_{name}_timestamp_seconds{{of=\"clients\"}} ");
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(&begin))
            .unwrap_or_else(|| panic!("no {begin}: {page}"));
        assert_eq!(value.parse::<f64>().unwrap() as i64, end.unwrap().0 / 1000);
    }
    assert!(!page.contains("timestamp_seconds{of=\"peers\"}"), "{page}");

    authority.ca.write_crl(now_ms()).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while days(shown().client_revocation_list_end) < 29.5 {
        assert!(Instant::now() < until, "the new list is not shown");
        sleep(Duration::from_millis(200)).await;
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_makes_no_handshake_or_speaks_plain_http_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        config.deadlines.http_head_ms = 500;
    })
    .await;
    let mut silent = TcpStream::connect(node.client_addr()).await.unwrap();
    let begun = Instant::now();
    let read = timeout(Duration::from_secs(5), silent.read(&mut [0; 16])).await.unwrap();
    assert!(read.is_err() || read.unwrap() == 0);
    assert!(begun.elapsed() >= Duration::from_millis(400));

    let plain = ClientConfig::new([format!("http://{}", node.client_addr())], Trust::NoAllow);
    let plain = Client::new(plain).unwrap();
    assert!(!plain.ready_at(&format!("http://{}", node.client_addr())).await);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_caller_is_out_within_a_minute_and_bad_files_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (secret, tokens) = token(folder.path());
    let mut own = None;
    let node = alone(folder.path(), |config| own = Some(serve_tls(config, &mut authority, &tokens))).await;
    let own = own.unwrap();

    // The node's certificate is replaced by something that is none, so the node goes on with the old one.
    let good = fs::read(&own.cert).unwrap();
    put(&own.cert, b"no certificate");
    sleep(Duration::from_secs(7)).await;
    let shown = Some(TokenSource::Value(BearerToken::new(secret.expose()).unwrap()));
    let audit = ClientTls { token: shown, ..authority.shows(None) };
    status(&node, audit.clone()).await.unwrap();
    put(&own.cert, &good);

    // One client holds its connection open, and its certificate is revoked.
    let (ops, issued) = authority.caller(OPS);
    let (held, endpoint) = client(&node, authority.shows(Some(ops)));
    held.status_at(&endpoint).await.unwrap();
    authority.ca.revoke(&issued.serial, now_ms()).unwrap();
    let (renewed, _) = authority.caller(OPS);
    let begun = Instant::now();
    let error = loop {
        // The others go on meanwhile, without a failed call.
        status(&node, audit.clone()).await.unwrap();
        status(&node, authority.shows(Some(renewed.clone()))).await.unwrap();
        match held.status_at(&endpoint).await {
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(60), "it is still in"),
            Err(error) if error.code() == "caller_certificate_refused" => break error,
            // The connection ended under the call.
            Err(error) => assert_eq!(error.code(), "unavailable", "{error}"),
        }
        sleep(Duration::from_millis(500)).await;
    };
    assert!(error.remedy().contains("log"), "{}", error.remedy());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_with_a_key_that_everybody_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let mut config = configs(folder.path()).swap_remove(0);
    let own = serve_tls(&mut config, &mut authority, &tokens);
    fs::set_permissions(&own.key, Permissions::from_mode(0o644)).unwrap();
    let why = refuses_to_start(&config).await;
    assert!(why.contains("client_tls") && why.contains("1.key"), "{why}");
}

/// It fails if a node starts that no client could call, or that would refuse every caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_with_a_certificate_that_no_client_takes_or_lists_of_another_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (mut authority, other) =
        (Authority::new(folder.path(), "own"), Authority::new(folder.path(), "other"));
    let (_, tokens) = token(folder.path());
    let mut config = configs(folder.path()).swap_remove(0);
    let own = serve_tls(&mut config, &mut authority, &tokens);

    let (caller, _) = authority.caller(OPS);
    let mut wrong = config.clone();
    if let Some(tls) = &mut wrong.client_tls {
        (tls.cert, tls.key) = (caller.cert.clone(), caller.key.clone());
    }
    let why = refuses_to_start(&wrong).await;
    assert!(why.contains("client_tls") && why.contains("is not for server authentication"), "{why}");

    let mut wrong = config.clone();
    if let Some(tls) = &mut wrong.client_tls {
        tls.crl = Some(other.ca.crl_path().to_owned());
    }
    let why = refuses_to_start(&wrong).await;
    assert!(why.contains("client_tls") && why.contains("has no revocation list"), "{why}");

    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: 1 };
    let request = CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap();
    let old = authority.ca.issue(&request, now_ms() - 100 * DAY_MS, [200; 16]).unwrap();
    put(&own.cert, old.certificate_pem.as_bytes());
    put(&own.key, old.key_pem.as_bytes());
    let why = refuses_to_start(&config).await;
    assert!(why.contains("client_tls") && why.contains("expired at"), "{why}");
}

/// It fails if a list that is older than the one in force is taken, or a certificate that no client takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_list_does_not_let_a_revoked_caller_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let mut own = None;
    let node = alone(folder.path(), |config| own = Some(serve_tls(config, &mut authority, &tokens))).await;
    let own = own.unwrap();
    let old = fs::read(authority.ca.crl_path()).unwrap();
    let (revoked, issued) = authority.caller(OPS);
    let (good, _) = authority.caller(OPS);
    let (revoked, good) = (authority.shows(Some(revoked)), authority.shows(Some(good)));
    status(&node, revoked.clone()).await.unwrap();

    authority.ca.revoke(&issued.serial, now_ms()).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while status(&node, revoked.clone()).await.is_ok() {
        assert!(Instant::now() < until, "the list was not read");
        sleep(Duration::from_millis(200)).await;
    }

    put(authority.ca.crl_path(), &old);
    let (caller, _) = authority.caller(OPS);
    let shown = (fs::read(&own.cert).unwrap(), fs::read(&own.key).unwrap());
    put(&own.cert, &fs::read(&caller.cert).unwrap());
    put(&own.key, &fs::read(&caller.key).unwrap());
    sleep(Duration::from_secs(7)).await;
    let error = status(&node, revoked.clone()).await.unwrap_err();
    assert_eq!(error.code(), "caller_certificate_refused", "{error}");
    status(&node, good.clone()).await.unwrap();

    // With the right certificate, the older list alone is refused too.
    put(&own.cert, &shown.0);
    put(&own.key, &shown.1);
    sleep(Duration::from_secs(7)).await;
    let error = status(&node, revoked).await.unwrap_err();
    assert_eq!(error.code(), "caller_certificate_refused", "{error}");
    status(&node, good).await.unwrap();
    node.shutdown().await;
}
