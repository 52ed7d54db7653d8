//! What a caller may do over TLS: by the domains of its entry, without a credential, and never by a name or a claim that
//! the caller chooses. Over real sockets.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster_support::authority::{Authority, OPS, caller, put, serve_tls, token};
use crate::cluster_support::http::status;
use crate::cluster_support::jwt::{ISSUER, Signer, issuer as issuer_of, jwks as jwks_of};
use crate::cluster_support::over_tls::{connector, exchange};
use crate::cluster_support::raw::post;
use crate::cluster_support::*;
use assent_api::authorize_batch_body;
use assent_cluster::access::{CallerConfig, JwtIdentity, Role, Token};
use assent_cluster::usecase::Caller;
use assent_fixtures::claims::Authorization;
use assent_fixtures::policy::open_policy;
use assent_proof::{AuthorizeRequest, Claims, Code, Seconds};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

const ANY_PORT: &str = "127.0.0.1:0";
/// The domains of these registries, each with the seed of its governance key.
const DOMAINS: [(&str, u8); 2] = [("prod.eu", 3), ("prod.us", 4)];

/// A genesis file with two domains, whose policies require nothing but an authorization.
fn two_domains() -> Vec<u8> {
    let later = Seconds(now().0 + 3_600);
    let mut genesis = Genesis::new(ORIGIN, now(), &[key(1)], 1, &key(2));
    for node in 11..14 {
        let grant = grant_until(&in_root(), key(node).public(), assent_proof::Role::Registry, later);
        genesis.node(&key(node), grant);
    }
    for (name, seed) in DOMAINS {
        let place = place_in(name);
        genesis.domain(&place.domain, &[key(seed)], 1);
        let policy = place.draft(&Claims::Policy(open_policy()));
        genesis.govern(&Chain::new().sign(policy, &[&key(seed)]));
    }
    genesis.bytes()
}

/// An authorization of what [`asked_in`] asks in that domain.
fn authorized_in((name, seed): (&str, u8)) -> Vec<u8> {
    let times = (Seconds(now().0 - 60), Seconds(now().0 + 600));
    let claims = Authorization::of(&["run"], times.0, times.1).claims();
    place_in(name).draft(&claims).lineage("exec-1").sign(&[&key(seed)])
}

fn asked_in(name: &str) -> AuthorizeRequest {
    place_in(name).request("run")
}

/// A token of this seed, and the file that lists its digest.
fn token_of(folder: &Path, seed: u8) -> (Token, PathBuf) {
    let token = Token::generate(|bytes| bytes.fill(seed));
    let file = folder.join(format!("{seed}.tokens"));
    put(&file, format!("{}\n", token.digest()).as_bytes());
    (token, file)
}

/// The code and whether there is a receipt, for each decision of a batch's answer; an allow has no code.
fn decided(answer: &str) -> Vec<(Option<String>, bool)> {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    let decision = |decision: &Value| {
        let code = decision["reasons"][0]["code"].as_str().map(str::to_owned);
        assert_eq!(decision["decision"] == "allow", code.is_none(), "{decision}");
        (code, !decision["receipt"].is_null())
    };
    body["decisions"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(decision).collect()
}

/// It fails if the domains of an entry are not looked at in a batch, if one request in another domain denies the whole
/// batch, or if the decisions change places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_batch_a_narrowed_caller_is_denied_each_request_of_another_domain_and_the_others_are_decided() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let ((narrow, narrow_file), (wide, wide_file)) =
        (token_of(folder.path(), 21), token_of(folder.path(), 22));
    let node = alone(folder.path(), |config| {
        fs::write(&config.genesis, two_domains()).unwrap();
        serve_tls(config, &mut authority, &tokens);
        let own = Some(vec!["prod.eu".parse().unwrap()]);
        config.callers.extend([
            CallerConfig { tokens: Some(narrow_file), domains: own, ..caller("narrow", &[Role::Scheduler]) },
            CallerConfig { tokens: Some(wide_file), ..caller("wide", &[Role::Scheduler]) },
        ]);
    })
    .await;
    for domain in DOMAINS {
        let answer = node.service().submit(Caller::local(), authorized_in(domain).into()).await;
        assert!(answer.problem().is_none(), "{domain:?}: {answer:?}");
    }
    let connector = connector(authority.ca.certificate_path(), None);
    let ask = async |token: &Token, domains: &[&str]| {
        let requests: Vec<AuthorizeRequest> = domains.iter().map(|name| asked_in(name)).collect();
        let headers = format!("authorization: Bearer {}\r\nconnection: close\r\n", token.expose());
        let asked = post("/v1/authorize:batch", &headers, &authorize_batch_body(&requests));
        let answer = exchange(&connector, node.client_addr(), &asked).await;
        assert_eq!(status(&answer), 200, "{answer}");
        decided(&answer)
    };
    let allow = || (None::<String>, true);
    // Nothing was evaluated, so nothing is signed.
    let denied = || (Some(Code::CallerNotPermitted.as_str().to_owned()), false);
    // Without the entry's domains, all of them are allowed.
    assert_eq!(ask(&wide, &["prod.eu", "prod.us"]).await, [allow(), allow()]);

    let mixed = ["prod.us", "prod.eu", "prod.us", "prod.eu"];
    assert_eq!(ask(&narrow, &mixed).await, [denied(), allow(), denied(), allow()]);
    assert_eq!(ask(&narrow, &["prod.eu", "prod.eu"]).await, [allow(), allow()]);
    assert_eq!(ask(&narrow, &["prod.us", "prod.us"]).await, [denied(), denied()]);
    // A domain that is not there is refused in the same words as one that is.
    assert_eq!(ask(&narrow, &["prod.mars"]).await, [denied()]);
    node.shutdown().await;
}

/// A row of the table of calls on the page of callers: the method, the path, and on which listener it answers.
fn rows() -> Vec<(String, String, String)> {
    let page = include_str!("../../docs/callers.md");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (method, path) = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?.split_once(' ')?;
        let on = *cells.get(2)?;
        let is_row = path.starts_with('/') && ["client", "admin", "both"].contains(&on);
        is_row.then(|| (method.to_owned(), path.to_owned(), on.to_owned()))
    };
    page.lines().filter_map(row).collect()
}

/// The bytes of a request for a row, which names a domain or a member where the path has a place for one.
fn request_for(method: &str, path: &str, query: &str) -> Vec<u8> {
    let path = path.replace("{domain}", "prod.eu").replace("{lineage}", "exec-1");
    let path = path.replace("{evidence_id}", "x").replace("{id}", "x");
    let asks = path == "/v1/authorize" || path == "/v1/permits";
    let body = if asks { request().to_json().to_vec() } else { Vec::new() };
    let length = body.len();
    let head = format!(
        "{method} {path}{query} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), &body].concat()
}

/// Whether this answer refuses the caller, as a problem or as a deny.
fn refuses(answer: &str) -> bool {
    let code = format!("\"code\":\"{}\"", Code::CallerNotPermitted);
    let refuses = answer.contains(&code);
    assert!(!refuses || matches!(status(answer), 401 | 403), "{answer}");
    refuses
}

/// It fails if `public_read` opens any call more than the list of keys, if that list is open without it, or if a new call
/// is open to a caller that shows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_shows_nothing_gets_the_health_and_with_public_read_the_key_list_and_nothing_else() {
    let rows = rows();
    assert_eq!(rows.len(), 24, "{rows:?}");
    for public_read in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::new(folder.path(), "own");
        let (_, tokens) = token(folder.path());
        let node = alone(folder.path(), |config| {
            serve_tls(config, &mut authority, &tokens);
            config.admin_listen = Some(ANY_PORT.into());
            config.public_read = public_read;
        })
        .await;
        let stranger = connector(authority.ca.certificate_path(), None);
        let (clients, admin) = (node.client_addr(), node.admin_addr().unwrap());
        let mut open = Vec::new();
        for (method, path, on) in &rows {
            let listeners = match on.as_str() {
                "client" => vec![("client", clients)],
                "admin" => vec![("admin", admin)],
                _ => vec![("client", clients), ("admin", admin)],
            };
            let query = if path == "/v1/authorities" { "?domain=_root" } else { "" };
            for (listener, address) in listeners {
                let answer = exchange(&stranger, address, &request_for(method, path, query)).await;
                if !refuses(&answer) {
                    assert_eq!(status(&answer), 200, "{method} {path}: {answer}");
                    open.push(format!("{listener} {method} {path}"));
                }
            }
        }
        let health = ["client GET /livez", "client GET /readyz"];
        let keys = public_read.then_some("client GET /v1/authorities");
        let expected: Vec<&str> = keys.into_iter().chain(health).collect();
        assert_eq!(open, expected, "with `public_read = {public_read}`");
        // The list of keys is that of nodes and root, and no domain's.
        let of_domain = request_for("GET", "/v1/authorities", "?domain=prod.eu");
        let answer = exchange(&stranger, clients, &of_domain).await;
        assert!(refuses(&answer), "{answer}");
        node.shutdown().await;
    }
}

/// The answers to the call that every role may make, and to one that only operators may make.
async fn answers(
    connector: &TlsConnector,
    (clients, admin): (SocketAddr, SocketAddr),
    token: Option<&str>,
) -> (u16, u16) {
    let shown = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{shown}\r\n");
    let read = exchange(connector, clients, get("/v1/cluster/status").as_bytes()).await;
    let managed = exchange(connector, admin, get("/v1/cluster/members").as_bytes()).await;
    (status(&read), status(&managed))
}

/// It fails if a role is taken from the path of a SPIFFE id or from a claim of a JSON web token, or if the table is not
/// compared exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_in_a_certificate_and_no_claim_of_a_token_gives_a_role_without_an_entry_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut authority = Authority::new(folder.path(), "own");
    let (_, tokens) = token(folder.path());
    let issuer = Signer::new("one");
    let jwks = folder.path().join("jwks.json");
    fs::write(&jwks, jwks_of(&[&issuer])).unwrap();
    let node = alone(folder.path(), |config| {
        serve_tls(config, &mut authority, &tokens);
        config.admin_listen = Some(ANY_PORT.into());
        let reader = JwtIdentity { issuer: ISSUER.to_owned(), subject: "reader".to_owned() };
        config.callers.push(CallerConfig { jwt: Some(reader), ..caller("reads", &[Role::Auditor]) });
        config.jwt_issuers = vec![issuer_of(&jwks)];
    })
    .await;
    let addresses = (node.client_addr(), node.admin_addr().unwrap());
    let ca = authority.ca.certificate_path().to_owned();

    // The certificate of the table's operator, so that what follows is refused for its name alone.
    let (operator, _) = authority.caller(OPS);
    let operator = connector(&ca, Some(&operator));
    assert_eq!(answers(&operator, addresses, None).await, (200, 200));
    for id in [
        "spiffe://example.org/operator",
        "spiffe://example.org/node/1",
        "spiffe://example.org/role/operator",
        "spiffe://example.org/ops/operator",
        "spiffe://example.org/Ops",
    ] {
        let (files, _) = authority.caller(id);
        let shows = connector(&ca, Some(&files));
        assert_eq!(answers(&shows, addresses, None).await, (401, 401), "{id}");
    }
    // The certificate of a node is one of no caller.
    let own = authority.node();
    let shows = connector(&ca, Some(&own));
    assert_eq!(answers(&shows, addresses, None).await, (401, 401));

    let bare = connector(&ca, None);
    let until = Instant::now() + Duration::from_secs(20);
    // A node accepts no JSON web token until it is sure of its clock.
    while answers(&bare, addresses, Some(&issuer.token(0))).await != (200, 403) {
        assert!(Instant::now() < until, "the token of the table's reader is not accepted");
        sleep(Duration::from_millis(200)).await;
    }
    for (name, value) in [
        ("role", json!("operator")),
        ("roles", json!(["operator"])),
        ("groups", json!(["operator", "system:masters"])),
        ("scope", json!("operator")),
        ("name", json!("ops")),
        ("domains", json!(["_root"])),
    ] {
        for (subject, expected) in [("reader", (200, 403)), ("operator", (401, 401)), ("ops", (401, 401))] {
            let mut claims = json!({"iss": ISSUER, "sub": subject, "aud": "assent", "exp": now().0 + 3_600});
            claims[name] = value.clone();
            let token = issuer.token_of(&claims);
            let found = answers(&bare, addresses, Some(&token)).await;
            assert_eq!(found, expected, "`{name}` in a token of `{subject}`");
        }
    }
    node.shutdown().await;
}
