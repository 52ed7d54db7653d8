//! TLS of the client port over real sockets: who gets in, who does not, and what happens when files are replaced.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::cluster_support::authority::{Authority, DAY_MS, OPS, now_ms, put, serve_tls, token};
use crate::cluster_support::http::get;
use crate::cluster_support::*;
use assent_client::{
    BearerToken, CertificateFiles, Client, ClientConfig, ClientError, ClientTls, TokenSource, Trust,
};
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

/// It fails if a node starts whose certificate is for no server, or that would refuse every caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_with_a_certificate_that_is_for_no_server_or_lists_of_another_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (mut authority, other) =
        (Authority::new(folder.path(), "own"), Authority::new(folder.path(), "other"));
    let (_, tokens) = token(folder.path());
    let mut config = configs(folder.path()).swap_remove(0);
    serve_tls(&mut config, &mut authority, &tokens);

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
}

/// It fails if a node whose clock is wrong, or whose certificate has expired, does not start. No client takes the certificate,
/// and a renewed one is shown without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_an_expired_certificate_starts_and_shows_the_renewed_one_once_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let mut own = None;
    let node = alone(folder.path(), |config| {
        let files = serve_tls(config, &mut authority, &tokens);
        put_node_certificate(&mut authority, &files, now_ms() - 100 * DAY_MS);
        own = Some(files);
    })
    .await;
    let own = own.unwrap();
    let (ops, _) = authority.caller(OPS);
    let error = status(&node, authority.shows(Some(ops.clone()))).await.unwrap_err();
    assert_eq!(error.code(), "node_certificate_refused", "{error}");

    put_node_certificate(&mut authority, &own, now_ms() - DAY_MS);
    let until = Instant::now() + Duration::from_secs(20);
    while status(&node, authority.shows(Some(ops.clone()))).await.is_err() {
        assert!(Instant::now() < until, "the renewed certificate is not shown");
        sleep(Duration::from_millis(200)).await;
    }
    node.shutdown().await;
}

/// Puts a new certificate of the node in the place of its old one, as if it were issued at that time.
fn put_node_certificate(authority: &mut Authority, own: &CertificateFiles, at_ms: i64) {
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let name = NodeName { trust_domain, cluster_id: [7; 32], node_id: 1 };
    let request = CertificateRequest::node(&name, &["127.0.0.1".to_owned()]).unwrap();
    // Serial numbers from 200 on are not used otherwise.
    let serial = [200 + u8::try_from((now_ms() - at_ms) / DAY_MS % 50).unwrap(); 16];
    let issued = authority.ca.issue(&request, at_ms, serial).unwrap();
    put(&own.key, issued.key_pem.as_bytes());
    put(&own.cert, issued.certificate_pem.as_bytes());
}

/// The value of `assent_tls_files_unusable` for a file of `client_tls`.
async fn is_unusable(node: &Node, file: &str) -> bool {
    let page = get(node.health_addr().unwrap(), "/metrics").await.unwrap();
    for file in ["cert", "ca", "crl"] {
        let unset = format!("assent_tls_files_unusable{{of=\"peers\",file=\"{file}\"}} 0");
        assert!(page.lines().any(|line| line == unset), "no `{unset}`: {page}");
    }
    let begin = format!("assent_tls_files_unusable{{of=\"clients\",file=\"{file}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&begin));
    match value.unwrap_or_else(|| panic!("no `{begin}`: {page}")) {
        "0" => false,
        "1" => true,
        value => panic!("{value}"),
    }
}

/// It fails if a certificate of the node that cannot be shown keeps what is revoked after it from being known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_certificate_of_the_node_keeps_no_revocation_and_no_withdrawn_authority_from_being_known() {
    let folder = tempfile::tempdir().unwrap();
    let (mut authority, mut other) =
        (Authority::new(folder.path(), "own"), Authority::new(folder.path(), "other"));
    let (secret, tokens) = token(folder.path());
    let (cas, lists) = (folder.path().join("cas.pem"), folder.path().join("lists.pem"));
    let mut own = None;
    let both = |authority: &Authority, other: &Authority| {
        let all = |paths: [&Path; 2]| paths.map(|path| fs::read(path).unwrap()).concat();
        put(&cas, &all([authority.ca.certificate_path(), other.ca.certificate_path()]));
        put(&lists, &all([authority.ca.crl_path(), other.ca.crl_path()]));
    };
    let node = alone(folder.path(), |config| {
        own = Some(serve_tls(config, &mut authority, &tokens));
        other.ca.write_crl(now_ms() - DAY_MS).unwrap();
        both(&authority, &other);
        let tls = config.client_tls.as_mut().unwrap();
        (tls.ca, tls.crl) = (Some(cas.clone()), Some(lists.clone()));
        config.health_listen = Some("127.0.0.1:0".to_owned());
        config.health_metrics = true;
    })
    .await;
    let own = own.unwrap();
    let good = (fs::read(&own.cert).unwrap(), fs::read(&own.key).unwrap());
    let shown = Some(TokenSource::Value(BearerToken::new(secret.expose()).unwrap()));
    let audit = ClientTls { token: shown, ..authority.shows(None) };
    let (caller, _) = authority.caller(OPS);
    let (foreign, _) = other.caller(OPS);
    let foreign = authority.shows(Some(foreign));
    assert_eq!(status(&node, foreign.clone()).await.unwrap(), 1);
    for file in ["cert", "ca", "crl"] {
        assert!(!is_unusable(&node, file).await, "{file}");
    }

    let expired = |authority: &mut Authority| {
        put_node_certificate(authority, &own, now_ms() - 110 * DAY_MS);
    };
    let client_only = |_: &mut Authority| {
        put(&own.key, &fs::read(&caller.key).unwrap());
        put(&own.cert, &fs::read(&caller.cert).unwrap());
    };
    let wrong_key = |_: &mut Authority| put(&own.key, &fs::read(&caller.key).unwrap());
    type Spoil<'a> = &'a dyn Fn(&mut Authority);
    let bad: [(&str, Spoil<'_>); 3] =
        [("expired", &expired), ("client only", &client_only), ("wrong key", &wrong_key)];
    for (what, spoil) in bad {
        put(&own.key, &good.1);
        put(&own.cert, &good.0);
        let (ops, issued) = authority.caller(OPS);
        let ops = authority.shows(Some(ops));
        status(&node, ops.clone()).await.unwrap();
        spoil(&mut authority);
        sleep(Duration::from_secs(7)).await;
        assert!(is_unusable(&node, "cert").await && !is_unusable(&node, "crl").await, "{what}");

        authority.ca.revoke(&issued.serial, now_ms()).unwrap();
        both(&authority, &other);
        let until = Instant::now() + Duration::from_secs(20);
        while status(&node, ops.clone()).await.is_ok() {
            assert!(Instant::now() < until, "{what}: the list was not read");
            sleep(Duration::from_millis(200)).await;
        }
        // The certificate of before is still shown.
        status(&node, audit.clone()).await.unwrap();
    }

    // The other authority is withdrawn, and its list is left in the file.
    put(&cas, &fs::read(authority.ca.certificate_path()).unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    while status(&node, foreign.clone()).await.is_ok() {
        assert!(Instant::now() < until, "the authority was not withdrawn");
        sleep(Duration::from_millis(200)).await;
    }
    // And so is the own one, although no list is of the authority that is left then.
    let (ops, _) = authority.caller(OPS);
    let ops = authority.shows(Some(ops));
    status(&node, ops.clone()).await.unwrap();
    put(&lists, &fs::read(authority.ca.crl_path()).unwrap());
    put(&cas, &fs::read(other.ca.certificate_path()).unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    while status(&node, ops.clone()).await.is_ok() {
        assert!(Instant::now() < until, "the authority was not withdrawn");
        sleep(Duration::from_millis(200)).await;
    }
    assert!(is_unusable(&node, "crl").await);
    let error = status(&node, foreign).await.unwrap_err();
    assert_eq!(error.code(), "caller_certificate_refused", "{error}");

    put(&own.key, &good.1);
    put(&own.cert, &good.0);
    both(&authority, &other);
    let until = Instant::now() + Duration::from_secs(20);
    while is_unusable(&node, "cert").await || is_unusable(&node, "crl").await {
        assert!(Instant::now() < until, "the files are right again");
        sleep(Duration::from_millis(200)).await;
    }
    node.shutdown().await;
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
