//! Which endpoint the client asks, when, and for how long: the table of what can be asked again, an attempt's share of
//! the deadline, a second attempt while the first one is still open, and `Retry-After`.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use assent_api::Verdict::{Allow, Deny};
use assent_api::{
    BatchMode, BatchResponse, BatchResult, Call, DecisionBody, MembersBody, Problem, Retry, retry_of,
    status_of,
};
use assent_client::{Client, ClientConfig, ClientError, EventsFilter, FirstEndpoint, PermitError, Trust};
use assent_proof::{Code, Cursor, Millis, SigningKey};
use bytes::Bytes;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A client that asks the endpoints as listed, and that only an attempt's share ends before the deadline.
fn config(endpoints: &[&str], deadline: Duration) -> ClientConfig {
    let mut config = ClientConfig::new(endpoints.iter().copied(), Trust::keys([node_id()]).unwrap());
    config.first_endpoint = FirstEndpoint::AsListed;
    config.deadline = deadline;
    config.attempt_timeout = Duration::from_secs(60);
    config.clock = FakeClock::at(Millis(5_000));
    config
}

fn client(endpoints: &[&str], deadline: Duration) -> Client {
    Client::new(config(endpoints, deadline)).unwrap()
}

/// The same, which asks no second endpoint while the first one is silent.
fn patient(endpoints: &[&str], deadline: Duration) -> Client {
    let mut config = config(endpoints, deadline);
    config.hedge_after = Some(deadline);
    Client::new(config).unwrap()
}

/// An allow of [`request`] for `run`, signed.
fn allow() -> Do {
    Do::Answer(200, signed(&decision(Allow, request("run").to_json(), &[]), &node_key()))
}

/// The same of a permit.
fn permit() -> Do {
    Do::Answer(200, signed(&permitted(request("run").to_json()), &node_key()))
}

fn members() -> Do {
    let body = MembersBody { node_id: 1, leader: Some(1), changing: false, next_id: 5, members: vec![] };
    Do::Answer(200, serde_json::to_vec(&body).unwrap())
}

#[tokio::test]
async fn a_submission_follows_the_table_of_codes() {
    for code in Code::ALL {
        let status = status_of(*code, Call::Submission);
        let a = Server::start(vec![problem(*code, status)]).await;
        let b = Server::start(vec![Do::Accept(201)]).await;
        let submitted = client(&[&a.endpoint, &b.endpoint], 10 * SECOND).submit(envelope(1)).await;
        match retry_of(*code, Call::Submission) {
            Retry::Final => {
                let error = submitted.unwrap_err();
                assert_eq!((error.code(), error.is_definite()), (code.as_str(), true));
                assert_eq!((a.requests(), b.requests()), (1, 0), "`{code}`");
            }
            Retry::Here | Retry::Elsewhere => {
                assert!(submitted.unwrap().fresh, "`{code}`");
                assert_eq!((a.requests(), b.requests()), (1, 1), "`{code}`");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_checkpoint_of_a_peer_is_sent_once_and_its_remedy_is_about_the_peer() {
    let refused = problem(Code::RegistryDiverged, status_of(Code::RegistryDiverged, Call::Submission));
    let server = Server::start(vec![refused]).await;
    let error = client(&[&server.endpoint], 10 * SECOND).submit(envelope(1)).await.unwrap_err();
    assert_eq!((error.code(), error.is_definite(), server.requests()), ("registry_diverged", true, 1));
    assert!(error.remedy().contains("peer"), "{}", error.remedy());
}

#[tokio::test]
async fn an_authorize_follows_the_table_of_codes() {
    for code in Code::ALL {
        let deny = decision(Deny, request("run").to_json(), &[*code]);
        let a = Server::start(vec![Do::Answer(deny.status(), deny.to_vec())]).await;
        let b = Server::start(vec![allow()]).await;
        let client = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
        let decided = client.authorize(&request("run")).await.unwrap();
        let is_final = retry_of(*code, Call::Authorize) == Retry::Final;
        assert_eq!(decided.is_allow(), !is_final, "`{code}`");
        assert_eq!((a.requests(), b.requests()), (1, usize::from(!is_final)), "`{code}`");
    }
}

#[tokio::test]
async fn a_change_is_asked_for_again_at_the_same_node_while_another_one_is_under_way() {
    let busy = || problem(Code::MembershipBusy, 409);
    let a = Server::start(vec![busy(), Do::Busy(Code::MembershipBusy, 409, 1), members()]).await;
    let b = Server::start(vec![]).await;
    let started = Instant::now();
    let changed = client(&[&a.endpoint, &b.endpoint], 10 * SECOND).promote_member(4).await.unwrap();
    assert_eq!((changed.next_id, a.requests(), b.requests()), (5, 3, 0));
    assert!(started.elapsed() >= SECOND, "the second answer said when");

    // At the deadline the node's word is the call's.
    let a = Server::start((0..99).map(|_| busy()).collect()).await;
    let error = client(&[&a.endpoint, &b.endpoint], SECOND).promote_member(4).await.unwrap_err();
    assert_eq!(error.code(), "membership_busy");
    assert!(a.requests() > 1 && b.requests() == 0);
}

#[tokio::test]
async fn a_hung_first_endpoint_leaves_time_for_the_next_one_in_every_call() {
    let hung = hung_endpoint().await;
    let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]).to_vec();
    let decisions = format!("{{\"decisions\":[{}]}}", String::from_utf8(deny).unwrap()).into_bytes();
    let batch = [Bytes::from(envelope(2))];
    let results = BatchResponse { results: vec![BatchResult::accepted(receipt(&batch[0]), true)] };
    let good = Server::start(vec![
        allow(),
        permit(),
        Do::Answer(200, decisions),
        Do::Answer(200, envelope(1)),
        Do::Accept(201),
        Do::Answer(200, results.to_vec()),
        members(),
    ])
    .await;
    for call in 0..7 {
        // A client of its own: the one before stays with the endpoint that answered.
        let client = patient(&[&hung.endpoint, &good.endpoint], 2 * SECOND);
        let (before, started) = (good.requests(), Instant::now());
        match call {
            0 => assert!(client.authorize(&request("run")).await.unwrap().is_allow()),
            1 => assert!(client.permit(&request("run")).await.unwrap().is_allow()),
            2 => assert_eq!(client.authorize_batch(&[request("run")]).await.unwrap().len(), 1),
            3 => assert!(client.envelope(&id(&envelope(1))).await.unwrap().is_some()),
            4 => assert!(client.submit(envelope(1)).await.unwrap().fresh),
            5 => assert_eq!(client.submit_batch(BatchMode::Each, &batch).await.unwrap(), results),
            _ => assert_eq!(client.promote_member(4).await.unwrap().next_id, 5),
        }
        // Half of the deadline is the share of one of two endpoints.
        let took = started.elapsed();
        assert!(took >= SECOND * 9 / 10 && took < SECOND * 3 / 2, "call {call} took {took:?}");
        assert_eq!(good.requests(), before + 1);
    }
}

#[tokio::test]
async fn while_one_endpoint_is_silent_a_question_or_a_read_is_asked_of_a_second_one() {
    let hung = hung_endpoint().await;
    let good = Server::start(vec![allow(), Do::Answer(200, envelope(1))]).await;
    // A quarter of a share of 4 s.
    let started = Instant::now();
    let asked = client(&[&hung.endpoint, &good.endpoint], 8 * SECOND);
    assert!(asked.authorize(&request("run")).await.unwrap().is_allow());
    let took = started.elapsed();
    assert!(took >= SECOND * 9 / 10 && took < 3 * SECOND, "{took:?}");

    let mut config = config(&[&hung.endpoint, &good.endpoint], 8 * SECOND);
    config.hedge_after = Some(SECOND / 10);
    let started = Instant::now();
    let read = Client::new(config).unwrap().envelope(&id(&envelope(1))).await.unwrap();
    assert!(read.is_some() && started.elapsed() < SECOND, "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_spends_changes_or_costs_much_is_asked_of_one_endpoint_at_a_time() {
    let slow = |then: Do| Do::Slow(Duration::from_millis(400), Box::new(then));
    let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]).to_vec();
    let decisions = format!("{{\"decisions\":[{}]}}", String::from_utf8(deny).unwrap()).into_bytes();
    let a = Server::start(vec![
        slow(permit()),
        slow(Do::Accept(201)),
        slow(Do::Answer(200, decisions)),
        slow(members()),
        slow(allow()),
    ])
    .await;
    let b = Server::start(vec![allow()]).await;
    let mut config = config(&[&a.endpoint, &b.endpoint], 8 * SECOND);
    config.hedge_after = Some(Duration::from_millis(50));
    let client = Client::new(config).unwrap();
    assert!(client.permit(&request("run")).await.unwrap().is_allow());
    assert!(client.submit(envelope(1)).await.unwrap().fresh);
    assert_eq!(client.authorize_batch(&[request("run")]).await.unwrap().len(), 1);
    assert_eq!(client.promote_member(4).await.unwrap().next_id, 5);
    assert_eq!((a.requests(), b.requests()), (4, 0));
    // A question spends nothing.
    assert!(client.authorize(&request("run")).await.unwrap().is_allow());
    assert_eq!((a.requests(), b.requests()), (5, 1));
}

#[tokio::test]
async fn a_second_endpoints_allow_counts_from_before_the_first_one_was_asked() {
    let (hung, good) = (hung_endpoint().await, Server::start(vec![allow()]).await);
    // An hour slow, so that the wall clock shortens nothing.
    let clock = FakeClock::at(Millis(1_000 - 3_600_000));
    let mut config = config(&[&hung.endpoint, &good.endpoint], 8 * SECOND);
    config.hedge_after = Some(SECOND / 2);
    config.clock = Arc::<FakeClock>::clone(&clock);
    let (client, request) = (Client::new(config).unwrap(), request("run"));
    let passing = async {
        while hung.accepted.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(good.requests(), 0, "only the first one has been asked");
        clock.pass(4_000);
    };
    let (decided, ()) = tokio::join!(client.authorize(&request), passing);
    // The node gave it 9 s.
    assert_eq!(decided.unwrap().allowed().unwrap().left(), 5 * SECOND);
}

#[tokio::test]
async fn a_second_endpoints_allow_is_held_against_the_same_keys_and_the_same_request() {
    let hung = hung_endpoint().await;
    let forged = signed(&decision(Allow, request("run").to_json(), &[]), &SigningKey::from_seed([7; 32]));
    let other = signed(&decision(Allow, request("delete").to_json(), &[]), &node_key());
    for bytes in [forged, other] {
        let liar = Server::start(vec![Do::Answer(200, bytes)]).await;
        let mut config = config(&[&hung.endpoint, &liar.endpoint], 4 * SECOND);
        config.hedge_after = Some(SECOND / 10);
        let error = Client::new(config).unwrap().authorize(&request("run")).await.unwrap_err();
        assert_eq!((error.code(), liar.requests()), ("decision_untrusted", 1));
    }
}

#[tokio::test]
async fn a_node_that_says_retry_after_is_not_asked_before() {
    for (code, status) in [(Code::Overloaded, 429), (Code::NoQuorum, 503)] {
        let server = Server::start(vec![Do::Busy(code, status, 1), Do::Accept(201)]).await;
        let started = Instant::now();
        assert!(client(&[&server.endpoint], 10 * SECOND).submit(envelope(1)).await.unwrap().fresh);
        assert!(started.elapsed() >= SECOND, "{:?}", started.elapsed());
        assert_eq!(server.requests(), 2);
    }
    // Meanwhile the other endpoint is asked.
    let a = Server::start(vec![Do::Busy(Code::Overloaded, 429, 60)]).await;
    let cannot = || problem(Code::NoQuorum, 503);
    let b = Server::start(vec![cannot(), cannot(), Do::Accept(201)]).await;
    assert!(client(&[&a.endpoint, &b.endpoint], 10 * SECOND).submit(envelope(1)).await.unwrap().fresh);
    assert_eq!((a.requests(), b.requests()), (1, 3));
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_ends_the_call_at_once() {
    let server = Server::start(vec![Do::Busy(Code::Overloaded, 429, 60)]).await;
    let started = Instant::now();
    let error = client(&[&server.endpoint], 10 * SECOND).submit(envelope(1)).await.unwrap_err();
    assert_eq!((error.code(), server.requests()), ("unavailable", 1));
    assert!(started.elapsed() < SECOND, "{:?}", started.elapsed());
}

#[tokio::test]
async fn clients_with_the_same_list_begin_at_different_nodes() {
    let (a, b) = (Server::start(vec![]).await, Server::start(vec![]).await);
    // All 64 begin at the same one with probability 2^-63.
    for n in 0..64 {
        let config = ClientConfig::new([&a.endpoint, &b.endpoint], Trust::NoAllow);
        assert!(Client::new(config).unwrap().submit(envelope(n)).await.unwrap().fresh);
    }
    assert!(a.requests() > 0 && b.requests() > 0, "{} and {}", a.requests(), b.requests());
}

#[tokio::test]
async fn a_final_code_of_a_node_that_says_that_it_failed_is_asked_elsewhere() {
    let failed = Problem::new(Code::Malformed, 500, "the answer cannot be written").to_vec();
    let a = Server::start(vec![Do::Answer(500, failed)]).await;
    let b = Server::start(vec![Do::Answer(200, envelope(1))]).await;
    let client = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
    assert!(client.envelope(&id(&envelope(1))).await.unwrap().is_some());
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

/// Allows that cannot be relied on: of a node whose key is not trusted, without a receipt, for another question, over. Each one has a
/// permit's receipt, so that a permit lacks nothing else.
fn not_to_be_relied_on() -> Vec<Vec<u8>> {
    let allowed = || permitted(request("run").to_json());
    let other = permitted(request("delete").to_json());
    let over = DecisionBody { valid_until: Millis(5_000), ..allowed() };
    vec![
        signed(&allowed(), &SigningKey::from_seed([7; 32])),
        allowed().to_vec(),
        signed(&other, &node_key()),
        signed(&over, &node_key()),
    ]
}

/// The answer of a node to a batch of one request.
fn batch_of_one(decision: &[u8]) -> Do {
    Do::Answer(200, [&b"{\"decisions\":["[..], decision, b"]}"].concat())
}

#[tokio::test]
async fn an_allow_that_cannot_be_relied_on_does_not_end_a_call_that_another_endpoint_can_answer() {
    let good = signed(&permitted(request("run").to_json()), &node_key());
    for (kind, bad) in not_to_be_relied_on().into_iter().enumerate() {
        for call in 0..3 {
            let answer = |bytes: &[u8]| match call {
                2 => batch_of_one(bytes),
                _ => Do::Answer(200, bytes.to_vec()),
            };
            let a = Server::start(vec![answer(&bad), answer(&bad)]).await;
            let b = Server::start(vec![answer(&good), answer(&good)]).await;
            let client = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
            for _ in 0..2 {
                let decided = match call {
                    0 => client.authorize(&request("run")).await.unwrap(),
                    1 => client.permit(&request("run")).await.unwrap(),
                    _ => client.authorize_batch(&[request("run")]).await.unwrap().remove(0).unwrap(),
                };
                assert_eq!((decided.is_allow(), decided.signer()), (true, Some(node_id())));
            }
            // The second call goes straight to the one whose allow can be relied on.
            assert_eq!((a.requests(), b.requests()), (1, 2), "call {call}, allow {kind}");
            // A permit that the first one recorded is found by the same nonce.
            assert_eq!(a.bodies()[0], b.bodies()[0], "call {call}, allow {kind}");
        }
        // A deny is an answer, and is obeyed.
        let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]);
        let a = Server::start(vec![Do::Answer(200, bad)]).await;
        let b = Server::start(vec![Do::Answer(403, deny.to_vec())]).await;
        let decided = client(&[&a.endpoint, &b.endpoint], 10 * SECOND).authorize(&request("run")).await;
        assert!(!decided.unwrap().is_allow(), "allow {kind}");
        assert_eq!((a.requests(), b.requests()), (1, 1), "allow {kind}");
    }
}

#[tokio::test]
async fn an_allow_that_cannot_be_relied_on_is_an_error_if_nothing_better_came() {
    for (kind, bad) in not_to_be_relied_on().into_iter().enumerate() {
        for call in 0..3 {
            for other in [
                Do::Answer(200, if call == 2 { b"{\"decisions\":[]}".to_vec() } else { bad.clone() }),
                Do::Answer(200, b"{}".to_vec()),
                Do::Drop,
                problem(Code::Overloaded, 503),
            ] {
                let answer = if call == 2 { batch_of_one(&bad) } else { Do::Answer(200, bad.clone()) };
                let (a, b) = (Server::start(vec![other]).await, Server::start(vec![answer]).await);
                let client = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
                let error = match call {
                    0 => client.authorize(&request("run")).await.unwrap_err(),
                    1 => client.permit(&request("run")).await.or_else(PermitError::into_end).unwrap_err(),
                    _ => client.authorize_batch(&[request("run")]).await.unwrap_err(),
                };
                assert_eq!(error.code(), "decision_untrusted", "call {call}, allow {kind}: {error}");
                assert_eq!((a.requests(), b.requests()), (1, 1), "each is asked once: {error}");
                for server in [&a, &b] {
                    let place = server.endpoint.trim_start_matches("http://");
                    assert!(error.to_string().contains(place), "it names `{place}`: {error}");
                }
            }
        }
    }
    // That nobody knows is a decision, and better than none.
    let cannot = decision(Deny, request("run").to_json(), &[Code::NoQuorum]);
    let a = Server::start(vec![Do::Answer(503, cannot.to_vec())]).await;
    let b = Server::start(vec![Do::Answer(200, not_to_be_relied_on().remove(0))]).await;
    let decided = client(&[&a.endpoint, &b.endpoint], 10 * SECOND).authorize(&request("run")).await;
    assert!(decided.unwrap().is_cannot_know());
}

/// What wrong services answer behind an endpoint's address.
fn foreign() -> Vec<Do> {
    vec![
        Do::Answer(200, b"{}".to_vec()),
        Do::Answer(200, b"<html>welcome</html>".to_vec()),
        Do::Answer(302, Vec::new()),
        Do::Answer(401, b"{\"title\":\"who are you\",\"status\":401}".to_vec()),
        Do::Answer(403, b"forbidden".to_vec()),
        Do::Answer(404, b"<html>not here</html>".to_vec()),
        Do::Answer(405, Vec::new()),
        Do::Answer(500, b"oops".to_vec()),
    ]
}

#[tokio::test]
async fn an_endpoint_that_is_no_node_does_not_end_a_call_that_another_one_can_answer() {
    let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]).to_vec();
    let decisions = format!("{{\"decisions\":[{}]}}", String::from_utf8(deny).unwrap()).into_bytes();
    let batch = [Bytes::from(envelope(2))];
    let results = BatchResponse { results: vec![BatchResult::accepted(receipt(&batch[0]), true)] };
    for call in 0..8 {
        let answer = || match call {
            0 => allow(),
            1 => permit(),
            2 => Do::Answer(200, decisions.clone()),
            3 => Do::Answer(200, envelope(1)),
            4 => Do::Accept(201),
            5 => Do::Answer(200, results.to_vec()),
            6 => members(),
            _ => in_force(history(1)),
        };
        // No node encodes its answers. The batch has a deny, which counts all the same.
        let encoded = (call != 2).then(|| Do::Gzip(Box::new(answer())));
        for (kind, what) in foreign().into_iter().chain(encoded).enumerate() {
            let wrong = Server::start(vec![what]).await;
            let good = Server::start(vec![answer()]).await;
            let client = client(&[&wrong.endpoint, &good.endpoint], 10 * SECOND);
            match call {
                0 => assert!(client.authorize(&request("run")).await.unwrap().is_allow()),
                1 => assert!(client.permit(&request("run")).await.unwrap().is_allow()),
                2 => assert_eq!(client.authorize_batch(&[request("run")]).await.unwrap().len(), 1),
                3 => assert!(client.envelope(&id(&envelope(1))).await.unwrap().is_some()),
                4 => assert!(client.submit(envelope(1)).await.unwrap().fresh),
                5 => assert_eq!(client.submit_batch(BatchMode::Each, &batch).await.unwrap(), results),
                6 => assert_eq!(client.promote_member(4).await.unwrap().next_id, 5),
                _ => assert_eq!(client.history_in_force().await.unwrap(), history(1)),
            }
            assert_eq!((wrong.requests(), good.requests()), (1, 1), "call {call}, answer {kind}");
        }
    }
}

#[tokio::test]
async fn a_follower_goes_on_at_another_endpoint_than_the_one_that_is_no_node() {
    let encoded = Do::Gzip(Box::new(in_force(history(1))));
    for what in foreign().into_iter().chain([encoded]) {
        let (wrong, good) =
            (Server::start(vec![what]).await, Server::start(vec![in_force(history(1))]).await);
        let client = client(&[&wrong.endpoint, &good.endpoint], 10 * SECOND);
        let page = client.follow_events(EventsFilter::default(), Some(at(1))).next().await.unwrap();
        assert_eq!((page.cursor, wrong.requests(), good.requests()), (at(1), 1, 1));
    }
}

fn at(revision: u64) -> Cursor {
    Cursor { history: history(1), revision }
}

#[tokio::test]
async fn where_no_endpoint_is_a_node_the_error_says_what_stood_at_each() {
    let wrong = || async {
        let (a, b) = (Do::Answer(200, b"{}".to_vec()), Do::Answer(404, b"<html>".to_vec()));
        (Server::start(vec![a]).await, Server::start(vec![b]).await)
    };
    for call in 0..4 {
        let (a, b) = wrong().await;
        let client = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
        let started = Instant::now();
        let error = match call {
            0 => client.authorize(&request("run")).await.unwrap_err(),
            1 => client.envelope(&id(&envelope(1))).await.unwrap_err(),
            2 => client.submit(envelope(1)).await.map_err(ClientError::from).unwrap_err(),
            _ => client.history_in_force().await.unwrap_err(),
        };
        // Something between may have passed an envelope on.
        let code = if call == 2 { "outcome_unknown" } else { "answer_invalid" };
        assert_eq!((error.code(), error.is_definite()), (code, false), "call {call}");
        assert!(call != 2 || error.remedy().contains("the same bytes again"), "{}", error.remedy());
        assert_eq!((a.requests(), b.requests()), (1, 1), "call {call}");
        assert!(started.elapsed() < 5 * SECOND, "each is asked once: {:?}", started.elapsed());
        let said = error.to_string();
        for (server, status) in [(&a, "status 200"), (&b, "status 404")] {
            let place = server.endpoint.trim_start_matches("http://");
            assert!(said.contains(place) && said.contains(status), "{said}");
        }
    }
    // Where another endpoint may be a node, it is not the wrong one alone that keeps the call from its answer.
    let (a, _) = wrong().await;
    let dead = dead_endpoint().await;
    let error = client(&[&a.endpoint, &dead], SECOND).authorize(&request("run")).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    let place = a.endpoint.trim_start_matches("http://");
    assert!(error.to_string().contains(place) && error.to_string().contains("not the API's"), "{error}");
}

#[tokio::test]
async fn an_envelope_that_a_wrong_service_took_is_unknown_while_no_node_has_answered() {
    for took in [Do::Answer(404, b"<html>".to_vec()), Do::Gzip(Box::new(Do::Accept(201)))] {
        let wrong = Server::start(vec![took]).await;
        let busy = Server::start((0..99).map(|_| problem(Code::NoQuorum, 503)).collect()).await;
        let error = client(&[&wrong.endpoint, &busy.endpoint], SECOND).submit(envelope(1)).await.unwrap_err();
        assert_eq!((error.code(), error.is_definite()), ("outcome_unknown", false));
        assert!(wrong.requests() == 1 && busy.requests() > 1, "{} and {}", wrong.requests(), busy.requests());
    }
}

/// A problem document with a code that no build knows.
fn newer_refusal(status: u16) -> Do {
    let known = String::from_utf8(Problem::new(Code::Malformed, status, "as told").to_vec()).unwrap();
    Do::Answer(status, known.replace("malformed", "moon_wrong").into_bytes())
}

#[tokio::test]
async fn a_refusal_of_a_newer_node_ends_the_call_and_no_other_endpoint_is_asked() {
    for status in [400, 403, 404, 409, 422] {
        for call in 0..6 {
            let a = Server::start(vec![newer_refusal(status)]).await;
            let b = Server::start(vec![allow()]).await;
            let client = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
            let error = match call {
                0 => client.authorize(&request("run")).await.unwrap_err(),
                1 => client.permit(&request("run")).await.or_else(PermitError::into_end).unwrap_err(),
                2 => client.authorize_batch(&[request("run")]).await.unwrap_err(),
                3 => client.envelope(&id(&envelope(1))).await.unwrap_err(),
                4 => client.submit(envelope(1)).await.map_err(ClientError::from).unwrap_err(),
                _ => client.follow_events(EventsFilter::default(), Some(at(1))).next().await.unwrap_err(),
            };
            let what = format!("call {call}, {status}: {error}");
            // What it says of an envelope is not known here, so nothing is settled by it.
            assert_eq!((error.code(), error.is_definite()), ("refusal_not_understood", false), "{what}");
            assert!(error.to_string().contains("`moon_wrong`: as told"), "{what}");
            assert_eq!((a.requests(), b.requests()), (1, 0), "{what}");
        }
    }
}

#[tokio::test]
async fn a_newer_node_that_cannot_do_it_now_is_asked_elsewhere_by_its_status() {
    for status in [429, 503] {
        let a = Server::start(vec![newer_refusal(status), newer_refusal(status)]).await;
        let b = Server::start(vec![Do::Answer(200, envelope(1)), Do::Accept(201)]).await;
        let read = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
        assert!(read.envelope(&id(&envelope(1))).await.unwrap().is_some());
        let submit = client(&[&a.endpoint, &b.endpoint], 10 * SECOND);
        assert!(submit.submit(envelope(1)).await.unwrap().fresh);
        assert_eq!((a.requests(), b.requests()), (2, 2), "{status}");
    }
    let alone = Server::start(vec![newer_refusal(503)]).await;
    let error = client(&[&alone.endpoint], SECOND).authorize(&request("run")).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert!(error.to_string().contains("status 503, `moon_wrong`"), "{error}");
}
