//! What a caller is told of a permit whose allow did not come.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use assent_api::Verdict::{Allow, Deny};
use assent_client::{Client, ClientConfig, FirstEndpoint, Trust};
use assent_proof::{AuthorizeRequest, Code, Millis, SigningKey};
use std::time::Duration;
use support::*;

const NONCE: &str = "run-17";

/// The question of every test.
fn asked() -> AuthorizeRequest {
    AuthorizeRequest { nonce: Some(NONCE.to_owned()), ..request("run") }
}

fn client(endpoints: &[&str]) -> Client {
    let mut config = ClientConfig::new(endpoints.iter().copied(), Trust::keys([node_id()]).unwrap());
    config.first_endpoint = FirstEndpoint::AsListed;
    config.deadline = Duration::from_secs(2);
    config.clock = ToldClock::at(Millis(5_000));
    Client::new(config).unwrap()
}

fn deny(code: Code) -> Vec<u8> {
    decision(Deny, asked().to_json(), &[code]).to_vec()
}

/// An allow of that question, signed by this key.
fn allow(key: &SigningKey) -> Do {
    Do::Answer(200, signed(&decision(Allow, asked().to_json(), &[]), key))
}

/// What comes back from an endpoint that may have recorded a permit.
fn lost() -> Vec<Do> {
    vec![
        Do::Drop,
        allow(&SigningKey::from_seed([7; 32])),
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
    assert_eq!((error.nonce(), error.clone().into_end().unwrap_err().code()), (None, "malformed"));
    let error = self::client(&[&dead]).permit(&asked()).await.unwrap_err();
    assert_eq!((error.nonce(), error.clone().into_end().unwrap_err().code()), (None, "unavailable"));
}
