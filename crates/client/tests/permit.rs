//! What the client tells its caller if the allow of a permit did not come, or came without the permit's receipt.

use crate::support::*;
use assent_api::DecisionBody;
use assent_api::Verdict::{Allow, Deny};
use assent_client::{Client, ClientConfig, FirstEndpoint, Trust};
use assent_proof::{AuthorizeRequest, Code, Millis, SigningKey, sign_batch};
use std::time::Duration;

const NONCE: &str = "run-17";

/// The question of every test.
fn asked() -> AuthorizeRequest {
    AuthorizeRequest { nonce: Some(NONCE.to_owned()), ..request("run") }
}

fn client(endpoints: &[&str]) -> Client {
    trusting(Trust::keys([node_id()]).unwrap(), endpoints)
}

fn trusting(trust: Trust, endpoints: &[&str]) -> Client {
    let mut config = ClientConfig::new(endpoints.iter().copied(), trust);
    config.first_endpoint = FirstEndpoint::AsListed;
    config.deadline = Duration::from_secs(2);
    config.clock = FakeClock::at(Millis(5_000));
    Client::new(config).unwrap()
}

fn deny(code: Code) -> Vec<u8> {
    decision(Deny, asked().to_json(), &[code]).to_vec()
}

/// An allow of a permit for that question, signed by this key.
fn allow(key: &SigningKey) -> Do {
    Do::Answer(200, signed(&permitted(asked().to_json()), key))
}

/// What a node answers to that question if it comes as an authorize: no permit is recorded.
fn read() -> DecisionBody {
    decision(Allow, asked().to_json(), &[])
}

/// What comes back from an endpoint that may have recorded a permit.
fn lost() -> Vec<Do> {
    vec![
        Do::Drop,
        allow(&SigningKey::from_seed([7; 32])),
        Do::Answer(200, signed(&read(), &node_key())),
        Do::Answer(200, b"{}".to_vec()),
        Do::Answer(503, deny(Code::NoQuorum)),
        problem(Code::InternalError, 500),
    ]
}

#[tokio::test]
async fn a_permit_that_may_have_been_recorded_and_is_then_denied_is_an_error_that_names_its_nonce() {
    for (kind, first) in lost().into_iter().enumerate() {
        let a = Server::start(vec![first]).await;
        let b = Server::start(vec![Do::Answer(403, deny(Code::EvidenceMissing))]).await;
        let error = client(&[&a.endpoint, &b.endpoint]).permit(&asked()).await.unwrap_err();
        assert_eq!((error.nonce(), a.requests(), b.requests()), (Some(NONCE), 1, 1), "{kind}: {error}");
        assert!(error.to_string().contains(NONCE), "{kind}: {error}");
        assert!(error.remedy().contains("ask again with `--nonce run-17`"), "{kind}: {}", error.remedy());
        assert_eq!(error.code(), "outcome_unknown", "{kind}: {error}");
        // The deny is obeyed all the same.
        let denied = error.into_end().unwrap();
        assert!(!denied.is_allow() && !denied.is_cannot_know(), "{kind}");
    }
}

#[tokio::test]
async fn a_permit_whose_outcome_is_unknown_is_an_error_that_names_its_nonce() {
    for (kind, only) in lost().into_iter().enumerate() {
        let a = Server::start(vec![only]).await;
        let error = client(&[&a.endpoint, &dead_endpoint().await]).permit(&asked()).await.unwrap_err();
        assert_eq!((error.nonce(), a.requests()), (Some(NONCE), 1), "{kind}: {error}");
        assert!(error.into_end().map_or(true, |denied| denied.is_cannot_know()), "{kind}");
    }
}

#[tokio::test]
async fn a_permit_that_an_endpoint_may_have_recorded_is_found_by_its_nonce_at_another_one() {
    for (kind, first) in lost().into_iter().enumerate() {
        let (a, b) = (Server::start(vec![first]).await, Server::start(vec![allow(&node_key())]).await);
        let permitted = client(&[&a.endpoint, &b.endpoint]).permit(&asked()).await.unwrap();
        assert!(permitted.is_allow() && a.bodies()[0] == b.bodies()[0], "{kind}");
    }
}

#[tokio::test]
async fn a_permit_that_no_endpoint_can_have_recorded_names_no_nonce() {
    let dead = dead_endpoint().await;
    let a = Server::start(vec![Do::Answer(403, deny(Code::EvidenceMissing)), problem(Code::Malformed, 400)])
        .await;
    let client = client(&[&dead, &a.endpoint]);
    assert!(!client.permit(&asked()).await.unwrap().is_allow());
    let error = client.permit(&asked()).await.unwrap_err();
    assert_eq!((error.nonce(), error.code()), (None, "malformed"));
    assert_eq!(error.into_end().unwrap_err().code(), "malformed");
    let error = self::client(&[&dead]).permit(&asked()).await.unwrap_err();
    assert_eq!((error.nonce(), error.code()), (None, "unavailable"));
    assert_eq!(error.into_end().unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn a_permit_whose_allow_breaks_off_is_obeyed_as_a_deny_if_it_names_one_and_the_error_names_its_nonce() {
    // The action of that name is in the allow, and a deny that cannot be read has that word too.
    let asked = AuthorizeRequest { nonce: Some(NONCE.to_owned()), ..request("deny") };
    let mut allow = signed(&permitted(asked.to_json()), &node_key());
    allow.pop();
    let a = Server::start(vec![Do::Answer(200, allow)]).await;
    let error = client(&[&a.endpoint]).permit(&asked).await.unwrap_err();
    assert_eq!((error.code(), error.nonce()), ("deny_not_understood", Some(NONCE)), "{error}");
    assert!(error.remedy().contains("ask again with `--nonce run-17`"), "{}", error.remedy());
}

/// Allows without the receipt of a permit in the bytes that count, and whether the caller believes unsigned allows.
fn without_a_permits_receipt() -> Vec<(Vec<u8>, bool)> {
    let receipts = sign_batch(vec![read().to_leaf(&[9; 16])], &node_key());
    // The field is there, and the node has not signed it.
    let beside = DecisionBody { permit: Some(receipt(b"")), ..read() }.signed(&receipts[0]);
    let unsigned = String::from_utf8(read().to_vec()).unwrap();
    let null = unsigned.replacen(r#""reasons":[]"#, r#""reasons":[],"permit":null"#, 1);
    assert_ne!(null, unsigned);
    vec![
        (signed(&read(), &node_key()), false),
        (beside.to_vec(), false),
        (unsigned.into_bytes(), true),
        (null.into_bytes(), true),
    ]
}

fn trust(unverified: bool) -> Trust {
    if unverified { Trust::Unverified } else { Trust::keys([node_id()]).unwrap() }
}

#[tokio::test]
async fn an_allow_without_a_permits_receipt_is_no_permit_and_the_next_node_is_asked_with_the_same_nonce() {
    for (kind, (bytes, unverified)) in without_a_permits_receipt().into_iter().enumerate() {
        let a = Server::start(vec![Do::Answer(200, bytes)]).await;
        let b = Server::start(vec![allow(&node_key()), allow(&node_key())]).await;
        let client = trusting(trust(unverified), &[&a.endpoint, &b.endpoint]);
        for _ in 0..2 {
            let decided = client.permit(&asked()).await.unwrap();
            assert!(decided.is_allow() && decided.body().permit.is_some(), "{kind}");
        }
        // The second call goes straight to the one whose permit can be relied on.
        assert_eq!((a.requests(), b.requests()), (1, 2), "{kind}");
        assert_eq!(a.bodies()[0], b.bodies()[0], "{kind}");
    }
}

#[tokio::test]
async fn an_allow_without_a_permits_receipt_is_an_error_with_code_remedy_and_nonce_if_nothing_better_came() {
    for (kind, (bytes, unverified)) in without_a_permits_receipt().into_iter().enumerate() {
        let answer = || Do::Answer(200, bytes.clone());
        let (a, b) = (Server::start(vec![answer()]).await, Server::start(vec![answer()]).await);
        let client = trusting(trust(unverified), &[&a.endpoint, &b.endpoint]);
        let error = client.permit(&asked()).await.unwrap_err();
        assert_eq!((error.code(), error.nonce()), ("decision_untrusted", Some(NONCE)), "{kind}: {error}");
        let remedy = error.remedy();
        assert!(remedy.contains("--nonce run-17") && remedy.contains("who answers"), "{kind}: {remedy}");
        assert_eq!((a.requests(), b.requests()), (1, 1), "each is asked once: {error}");
        for server in [&a, &b] {
            let place = server.endpoint.trim_start_matches("http://");
            assert!(error.to_string().contains(place), "it names `{place}`: {error}");
        }
    }
}

#[tokio::test]
async fn an_authorize_needs_no_permits_receipt() {
    let a = Server::start(vec![Do::Answer(200, signed(&read(), &node_key()))]).await;
    assert!(client(&[&a.endpoint]).authorize(&asked()).await.unwrap().is_allow());
}
