//! Submissions: the client sends the same bytes again until the outcome is known, and says so if it is not known.

use crate::support::*;
use assent_api::{BatchMode, BatchResponse, BatchResult};
use assent_client::{Client, ClientConfig, ClientError, FirstEndpoint, SubmitError, Trust};
use assent_proof::Code;
use bytes::Bytes;
use std::time::Duration;

fn client(endpoints: &[&str]) -> Client {
    let mut config = ClientConfig::new(endpoints.iter().copied(), Trust::NoAllow);
    config.deadline = Duration::from_secs(1);
    config.first_endpoint = FirstEndpoint::AsListed;
    config.attempt_timeout = Duration::from_millis(250);
    config.response_bytes_max = 100_000;
    Client::new(config).unwrap()
}

#[tokio::test]
async fn an_accepted_envelope_brings_its_receipt() {
    let server = Server::start(vec![Do::Accept(201), Do::Accept(200)]).await;
    let (client, envelope) = (client(&[&server.endpoint]), envelope(1));
    let first = client.submit(envelope.clone()).await.unwrap();
    let second = client.submit(envelope.clone()).await.unwrap();
    assert!(first.fresh && !second.fresh);
    assert_eq!(first.receipt, second.receipt);
    assert_eq!(first.receipt.evidence_id, id(&envelope));
    assert_eq!(server.bodies(), [envelope.clone(), envelope]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_bytes() {
    for bad in [
        Do::Drop,
        Do::Slow(Duration::from_secs(30), Box::new(Do::Drop)),
        unknown(),
        Do::Huge(200_000),
        Do::Answer(502, b"<html>bad gateway</html>".to_vec()),
        problem(Code::NoQuorum, 503),
        problem(Code::Overloaded, 429),
    ] {
        let a = Server::start(vec![bad]).await;
        let b = Server::start(vec![Do::Accept(200)]).await;
        let envelope = envelope(1);
        let submitted = client(&[&a.endpoint, &b.endpoint]).submit(envelope.clone()).await.unwrap();
        assert!(!submitted.fresh);
        assert_eq!((a.bodies(), b.bodies()), (vec![envelope.clone()], vec![envelope]));
    }
}

#[tokio::test]
async fn one_endpoint_is_tried_again_too() {
    let dropped = Server::start(vec![Do::Drop, unknown(), Do::Drop]).await;
    assert!(client(&[&dropped.endpoint]).submit(envelope(1)).await.is_ok());
    assert_eq!(dropped.requests(), 4);
}

#[tokio::test]
async fn at_the_deadline_an_envelope_that_was_sent_is_unknown() {
    let server = Server::start((0..99).map(|_| Do::Drop).collect()).await;
    let started = tokio::time::Instant::now();
    let error = client(&[&server.endpoint, &dead_endpoint().await]).submit(envelope(1)).await.unwrap_err();
    assert_eq!((error.code(), error.is_definite()), ("outcome_unknown", false));
    assert!(error.remedy().contains("same bytes"));
    assert!(started.elapsed() < Duration::from_millis(1300));
}

#[tokio::test]
async fn one_attempt_that_may_have_been_taken_makes_the_outcome_unknown() {
    let mut script = vec![unknown()];
    script.extend((0..99).map(|_| problem(Code::NoQuorum, 503)));
    let server = Server::start(script).await;
    assert_eq!(client(&[&server.endpoint]).submit(envelope(1)).await.unwrap_err().code(), "outcome_unknown");
}

#[tokio::test]
async fn what_no_node_took_is_unavailable_not_unknown() {
    let dead = dead_endpoint().await;
    let error = client(&[&dead]).submit(envelope(1)).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");

    let server = Server::start((0..99).map(|_| problem(Code::NoQuorum, 503)).collect()).await;
    let error = client(&[&server.endpoint, &dead]).submit(envelope(1)).await.unwrap_err();
    assert_eq!((error.code(), error.problem().unwrap().code), ("unavailable", Code::NoQuorum));
}

#[tokio::test]
async fn a_refusal_is_definite_and_not_asked_elsewhere() {
    let a = Server::start(vec![problem(Code::LineageFragmented, 409)]).await;
    let b = Server::start(vec![]).await;
    let error = client(&[&a.endpoint, &b.endpoint]).submit(envelope(1)).await.unwrap_err();
    assert_eq!((error.code(), error.is_definite(), b.requests()), ("lineage_fragmented", true, 0));
}

#[tokio::test]
async fn answers_that_are_not_the_apis_are_neither_receipt_nor_refusal() {
    let other = receipt(&envelope(2)).to_vec();
    for (status, bytes) in [
        (200, b"OK".to_vec()),
        (201, b"{}".to_vec()),
        (201, other),
        (404, b"<html>not here</html>".to_vec()),
        (302, Vec::new()),
        (204, Vec::new()),
    ] {
        let server = Server::start(vec![Do::Answer(status, bytes)]).await;
        let error = client(&[&server.endpoint]).submit(envelope(1)).await.unwrap_err();
        // Something between may have passed it on.
        assert!(
            matches!(error, SubmitError::Unknown(ClientError::OutcomeUnknown { .. })),
            "{status}: {error}"
        );
        assert!(
            error.to_string().contains("not the API's") && error.remedy().contains("same bytes again"),
            "{error}"
        );
        assert_eq!(server.requests(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_batch_that_a_node_sheds_as_a_whole_is_sent_again_and_its_one_problem_is_said_in_the_end() {
    let envelopes = [Bytes::from(envelope(1)), Bytes::from(envelope(2))];
    let accepted = |place: usize| BatchResult::accepted(receipt(&envelopes[place]), true);
    let response = BatchResponse { results: vec![accepted(0), accepted(1)] };
    let a = Server::start(vec![problem(Code::Overloaded, 429)]).await;
    let b = Server::start(vec![Do::Answer(200, response.to_vec())]).await;
    let both = client(&[&a.endpoint, &b.endpoint]);
    assert_eq!(both.submit_batch(BatchMode::Each, &envelopes).await.unwrap(), response);
    assert_eq!(a.bodies(), b.bodies());
    let full = Server::start((0..99).map(|_| problem(Code::Overloaded, 429)).collect()).await;
    let error = client(&[&full.endpoint]).submit_batch(BatchMode::Each, &envelopes).await.unwrap_err();
    // Nothing of it was taken: its outcome is known, and it is no refusal.
    assert!(
        matches!(error, SubmitError::NotTaken(ClientError::Unavailable { .. })) && !error.is_definite(),
        "{error}"
    );
    assert_eq!(error.problem().map(|problem| problem.code), Some(Code::Overloaded));
}

#[tokio::test]
async fn a_nodes_own_fault_leaves_the_outcome_of_a_submission_unknown() {
    let fault = || Do::Answer(500, assent_api::Problem::fault("lost").to_vec());
    let server = Server::start((0..99).map(|_| fault()).collect()).await;
    let error = client(&[&server.endpoint]).submit(envelope(1)).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unknown(ClientError::OutcomeUnknown { .. })), "{error}");
    assert!(server.requests() > 1, "it was not sent again");
}

#[tokio::test]
async fn a_batch_with_an_envelope_that_is_no_json_is_refused_before_it_is_sent() {
    let server = Server::start(vec![]).await;
    let envelopes = [Bytes::from(envelope(1)), Bytes::from_static(b"{}],\"mode\":\"all\"")];
    let error = client(&[&server.endpoint]).submit_batch(BatchMode::Each, &envelopes).await.unwrap_err();
    assert_eq!((error.code(), server.requests()), ("malformed", 0));
    assert_eq!(error.problem().and_then(|problem| problem.field.as_deref()), Some("envelopes[1]"));
}

#[tokio::test]
async fn a_batch_brings_one_result_each() {
    let envelopes = [Bytes::from(envelope(1)), Bytes::from(envelope(2))];
    let refused = assent_api::Problem::new(Code::HeadMoved, 409, "taken");
    let accepted = BatchResult::accepted(receipt(&envelopes[0]), true);
    let response = BatchResponse { results: vec![accepted.clone(), BatchResult::refused(refused)] };
    let short = BatchResponse { results: vec![accepted] };
    let server =
        Server::start(vec![Do::Drop, Do::Answer(200, response.to_vec()), Do::Answer(200, short.to_vec())])
            .await;
    let client = client(&[&server.endpoint]);
    assert_eq!(client.submit_batch(BatchMode::Each, &envelopes).await.unwrap(), response);
    assert_eq!(client.submit_batch(BatchMode::Each, &envelopes).await.unwrap_err().code(), "outcome_unknown");
    let (mode, sent) = assent_api::parse_batch(&server.bodies()[1]).unwrap();
    assert_eq!((mode, sent), (BatchMode::Each, envelopes.iter().map(|bytes| bytes.to_vec()).collect()));
}
