//! What an `Authorization` header says, and which caller it makes.

use http::HeaderValue;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::access::Token;
use crate::http::test_node::{OPS, SCHEDULER, node, serve_tls};

#[test]
fn a_token_is_read_from_exactly_one_header() {
    let mut headers = HeaderMap::new();
    assert_eq!(bearer("/v1/domains", &headers), None);
    headers.append(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    assert_eq!(bearer("/v1/domains", &headers), None);
    headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer assent_x"));
    assert_eq!(bearer("/v1/domains", &headers), Some("assent_x"));
    for bad in ["Bearer", "Bearer\t", "bearer "] {
        headers.insert(AUTHORIZATION, HeaderValue::from_static(bad));
        assert_eq!(bearer("/v1/domains", &headers), Some(""), "{bad}");
    }
    headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer assent_x"));
    headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer assent_y"));
    assert_eq!(bearer("/v1/domains", &headers), Some(""));
    headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    assert_eq!(bearer("/v1/domains", &headers), Some(""));
}

/// Fails if anyone can make the node verify a signature by asking what everyone may ask without a quota.
#[test]
fn a_token_is_not_looked_at_where_a_call_is_open_to_everyone() {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
    for path in OPEN_TO_EVERYONE {
        assert_eq!(bearer(path, &headers), None, "{path}");
    }
    assert_eq!(bearer("/metrics", &headers), Some("a.b.c"));
}

/// The header that a caller shows, in pieces that come close to a good one, or as any bytes.
fn authorization(good: String) -> impl Strategy<Value = Vec<u8>> {
    let scheme = proptest::sample::select(vec![
        "Bearer",
        "bearer",
        "BEARER",
        "bEaReR",
        "Bearer ",
        "\tBearer",
        "Beare",
        "Bearerx",
        "Bearer:",
        "\"Bearer\"",
        "Basic",
        "Basic eDp5,Bearer",
        "Negotiate",
        "",
        "Bearer Bearer",
    ]);
    let between = proptest::sample::select(vec![" ", "", "\t", "  ", " \t ", ",", "=", "\u{a0}"]);
    let tokens = vec![
        good.clone(),
        good.to_uppercase(),
        format!("{good}x"),
        format!("{good}, {good}"),
        good.chars().take(40).collect(),
        String::new(),
        "assent_".to_owned(),
        "a.b.c".to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        "x".to_owned(),
        "eDp5".to_owned(),
    ];
    let token = proptest::sample::select(tokens);
    let behind = proptest::sample::select(vec!["", " ", "\t", ",", "\u{e9}"]);
    let near = (scheme, between, token, behind).prop_map(|(scheme, between, token, behind)| {
        format!("{scheme}{between}{token}{behind}").into_bytes()
    });
    prop_oneof![4 => near, 1 => proptest::collection::vec(any::<u8>(), 0..80)]
}

/// What the rules say of these headers: the good token, none at all, or something that is no good.
#[derive(Debug, PartialEq)]
enum Says {
    Good,
    Nothing,
    Bad,
}

/// The rules once more, in other words than the program has them.
fn says(headers: &[HeaderValue], good: &str) -> Says {
    let header = match headers {
        [] => return Says::Nothing,
        [header] => header.as_bytes(),
        [_, _, ..] => return Says::Bad,
    };
    if !header.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Says::Bad;
    }
    let text = String::from_utf8(header.to_vec()).unwrap();
    let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    if let [scheme, token] = words.as_slice()
        && scheme.to_lowercase() == "bearer"
        && *token == good
    {
        return Says::Good;
    }
    let lower = text.to_lowercase();
    if lower.contains("bearer") || lower.contains("assent_") { Says::Bad } else { Says::Nothing }
}

/// It fails if any header gives a caller more than the rules say, or if a certificate makes up for a bad token.
#[tokio::test]
async fn no_authorization_header_makes_another_caller_than_the_rules_say() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::generate(|bytes| bytes.fill(7));
    let node = node(folder.path(), |config| serve_tls(config, folder.path(), &token)).await;
    let good = token.expose().to_owned();
    let shown = proptest::sample::select(vec![
        None,
        Some(OPS),
        Some(SCHEDULER),
        Some("spiffe://example.org/stranger"),
    ]);
    let headers = prop_oneof![
        1 => proptest::collection::vec(authorization(good.clone()), 0..=0),
        6 => proptest::collection::vec(authorization(good.clone()), 1..=1),
        2 => proptest::collection::vec(authorization(good.clone()), 2..=3),
    ];
    let counts = proptest::sample::select(vec![Counts::Any, Counts::OperatorsCertificate, Counts::Nothing]);
    let mut runner = TestRunner::new(ProptestConfig { cases: 4_000, ..ProptestConfig::default() });
    let found = runner.run(&(headers, shown, counts), |(headers, shown, counts)| {
        let values: Vec<HeaderValue> =
            headers.iter().filter_map(|header| HeaderValue::from_bytes(header).ok()).collect();
        let mut map = HeaderMap::new();
        for value in &values {
            map.append(AUTHORIZATION, value.clone());
        }
        let visitor = Visitor {
            service: node.service().clone(),
            remote: "127.0.0.1:9".into(),
            source: Source::of("127.0.0.1:9"),
            certificate: shown.map(|id| SpiffeId::parse(id).unwrap()),
            counts,
            verifications: Arc::default(),
        };
        let caller = visitor.identify("/v1/domains", &mut map);
        prop_assert!(!map.contains_key(AUTHORIZATION));
        let found = match caller.who() {
            Who::Named { name, .. } => Some(name.to_string()),
            Who::Unknown(_) => None,
            Who::Local | Who::Node => Some("a caller with every role".to_owned()),
        };
        let by_certificate = match shown {
            Some(OPS) => Some("ops"),
            Some(SCHEDULER) => Some("scheduler"),
            Some(_) | None => None,
        };
        let by_token = match says(&values, &good) {
            Says::Good => Some("by-token"),
            Says::Nothing => by_certificate,
            Says::Bad => None,
        };
        let expected = match counts {
            Counts::Any => by_token,
            // There a token can only take rights away from an operator.
            Counts::OperatorsCertificate if shown == Some(OPS) => by_token,
            Counts::OperatorsCertificate => by_certificate,
            Counts::Nothing => None,
        };
        prop_assert_eq!(found.as_deref(), expected);
        Ok(())
    });
    node.shutdown().await;
    found.unwrap();
}
