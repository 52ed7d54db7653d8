//! How the client judges decisions: only a decision with no contradiction allows.

use crate::support::*;
use assent_api::Verdict::{Allow, Deny};
use assent_client::{Client, ClientConfig, ClientError, Decision, FirstEndpoint, PermitError, Trust};
use assent_proof::{Code, Millis, SigningKey};
use std::sync::Arc;
use std::time::Duration;

/// What the caller's wall clock says: 4 s after the node decided, by the node's clock.
const NOW: Millis = Millis(5000);

fn keys() -> Trust {
    Trust::keys([SigningKey::from_seed([41; 32]).public(), node_id()]).unwrap()
}

fn client_at(clock: &Arc<FakeClock>, endpoints: &[&str], trust: Trust) -> Client {
    let mut config = ClientConfig::new(endpoints.iter().copied(), trust);
    config.deadline = Duration::from_secs(2);
    config.first_endpoint = FirstEndpoint::AsListed;
    config.attempt_timeout = Duration::from_millis(300);
    config.response_bytes_max = 100_000;
    config.clock = Arc::<FakeClock>::clone(clock);
    Client::new(config).unwrap()
}

fn client(endpoints: &[&str], trust: Trust) -> Client {
    client_at(&FakeClock::at(NOW), endpoints, trust)
}

async fn ask(what: Do, trust: Trust) -> Result<Decision, ClientError> {
    let server = Server::start(vec![what]).await;
    client(&[&server.endpoint], trust).authorize(&request("run")).await
}

/// Asks a server that answers `bytes`. `pass` moves the clock after the server was asked and before it answers.
async fn ask_while(
    clock: &Arc<FakeClock>,
    bytes: Vec<u8>,
    pass: fn(&FakeClock),
) -> Result<Decision, ClientError> {
    let server =
        Server::start(vec![Do::Slow(Duration::from_millis(100), Box::new(Do::Answer(200, bytes)))]).await;
    let (client, request) = (client_at(clock, &[&server.endpoint], keys()), request("run"));
    let asking = client.authorize(&request);
    let passing = async {
        while server.requests() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pass(clock);
    };
    tokio::join!(asking, passing).0
}

fn allow() -> assent_api::DecisionBody {
    decision(Allow, request("run").to_json(), &[])
}

#[tokio::test]
async fn a_signed_allow_for_this_request_allows() {
    let bytes = signed(&allow(), &node_key());
    let decision = ask(Do::Answer(200, bytes.clone()), keys()).await.unwrap();
    assert!(decision.is_allow() && !decision.is_cannot_know());
    assert_eq!((decision.signer(), decision.bytes().to_vec()), (Some(node_id()), bytes));
}

#[tokio::test]
async fn an_unsigned_allow_allows_only_where_the_caller_says_unverified() {
    let unverified = ask(Do::Answer(200, allow().to_vec()), Trust::Unverified).await.unwrap();
    assert_eq!((unverified.is_allow(), unverified.signer()), (true, None));
    for trust in [keys(), Trust::NoAllow] {
        let error = ask(Do::Answer(200, allow().to_vec()), trust).await.unwrap_err();
        assert_eq!(error.code(), "decision_untrusted");
    }
}

#[tokio::test]
async fn a_client_that_trusts_nothing_believes_no_allow_and_every_deny() {
    let error = ask(Do::Answer(200, signed(&allow(), &node_key())), Trust::NoAllow).await.unwrap_err();
    assert_eq!(error.code(), "decision_untrusted");
    let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]);
    assert!(!ask(Do::Answer(403, deny.to_vec()), Trust::NoAllow).await.unwrap().is_allow());
}

#[tokio::test]
async fn an_allow_that_something_speaks_against_is_untrusted() {
    let other_request = decision(Allow, request("delete").to_json(), &[]);
    let with_reason = decision(Allow, request("run").to_json(), &[Code::EvidenceMissing]);
    let over = assent_api::DecisionBody { valid_until: NOW, ..allow() };
    for (bytes, trust) in [
        (signed(&allow(), &SigningKey::from_seed([7; 32])), keys()),
        (allow().to_vec(), keys()),
        (signed(&other_request, &node_key()), keys()),
        (other_request.to_vec(), Trust::Unverified),
        (with_reason.to_vec(), Trust::Unverified),
        (signed(&over, &node_key()), keys()),
        (over.to_vec(), Trust::Unverified),
        (allow().signed(&receipt_of_deny()).to_vec(), keys()),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let error = ask(Do::Answer(200, bytes), trust).await.unwrap_err();
        assert_eq!(error.code(), "decision_untrusted", "{error}: {text}");
    }
}

fn receipt_of_deny() -> assent_proof::DecisionReceipt {
    let deny = decision(Deny, request("run").to_json(), &[]);
    assent_proof::sign_batch(vec![deny.to_leaf(&[9; 16])], &node_key()).remove(0)
}

/// The node decides an allow of 9 s.
fn nine_seconds() -> Vec<u8> {
    signed(&allow(), &node_key())
}

#[tokio::test]
async fn an_allow_that_runs_out_on_its_way_is_untrusted() {
    let passes: [fn(&FakeClock); 3] =
        [|clock| clock.pass(9_000), |clock| clock.suspend(9_000), |clock| clock.set_wall(Millis(10_000))];
    for pass in passes {
        let error = ask_while(&FakeClock::at(Millis(1000)), nine_seconds(), pass).await.unwrap_err();
        assert_eq!(error.code(), "decision_untrusted", "{error}");
    }
}

#[tokio::test]
async fn an_allows_time_counts_from_before_the_question_was_sent() {
    // By this wall clock, which is an hour slow, the allow would hold for an hour and 9 s.
    let clock = FakeClock::at(Millis(1000 - 3_600_000));
    let decision = ask_while(&clock, nine_seconds(), |clock| clock.pass(4_000)).await.unwrap();
    let allowed = decision.allowed().unwrap();
    assert_eq!(allowed.left(), Duration::from_secs(5));
    clock.pass(4_999);
    assert!(!allowed.is_over());
    clock.pass(1);
    assert!(allowed.is_over());
}

#[tokio::test]
async fn a_caller_whose_wall_clock_is_an_hour_slow_gets_no_hour_more() {
    let clock = FakeClock::at(Millis(1000 - 3_600_000));
    let (one, many) =
        (nine_seconds(), format!("{{\"decisions\":[{}]}}", String::from_utf8(nine_seconds()).unwrap()));
    let permit = signed(&permitted(request("run").to_json()), &node_key());
    let script = vec![Do::Answer(200, one), Do::Answer(200, permit), Do::Answer(200, many.into_bytes())];
    let server = Server::start(script).await;
    let client = client_at(&clock, &[&server.endpoint], keys());
    let decisions = [
        client.authorize(&request("run")).await.unwrap(),
        client.permit(&request("run")).await.unwrap(),
        client.authorize_batch(&[request("run")]).await.unwrap().remove(0).unwrap(),
    ];
    clock.pass(8_999);
    assert!(decisions.iter().all(|decision| !decision.allowed().unwrap().is_over()));
    clock.pass(1);
    assert!(decisions.iter().all(|decision| decision.allowed().unwrap().is_over()));
}

#[tokio::test]
async fn a_host_that_slept_finds_its_allow_over() {
    let clock = FakeClock::at(Millis(1000));
    let decision = ask_while(&clock, nine_seconds(), |_| {}).await.unwrap();
    clock.suspend(60_000);
    let allowed = decision.allowed().unwrap();
    assert_eq!((allowed.left(), allowed.over_for()), (Duration::ZERO, Duration::from_secs(51)));
}

#[tokio::test]
async fn a_200_that_is_no_allow_never_allows() {
    for bytes in [
        b"{}".to_vec(),
        b"true".to_vec(),
        b"allow".to_vec(),
        b"{\"decision\":\"allow\"}".to_vec(),
        b"[\"allow\"]".to_vec(),
        b"<html>200</html>".to_vec(),
        Vec::new(),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let error = ask(Do::Answer(200, bytes), Trust::Unverified).await.unwrap_err();
        assert_eq!(error.code(), "answer_invalid", "{error}: {text}");
    }
}

#[tokio::test]
async fn an_allow_under_another_status_never_allows() {
    for status in [201, 204, 302, 400, 403, 404, 429, 500, 503] {
        let result = ask(Do::Answer(status, allow().to_vec()), Trust::Unverified).await;
        assert!(result.is_err(), "{status}: {result:?}");
    }
}

#[tokio::test]
async fn a_deny_is_believed_unsigned_and_says_why() {
    let deny = decision(Deny, request("run").to_json(), &[Code::RuntimeStale]);
    let decision = ask(Do::Answer(403, deny.to_vec()), keys()).await.unwrap();
    assert!(!decision.is_allow() && !decision.is_cannot_know());
    assert_eq!((decision.signer(), decision.body().reasons[0].code), (None, Code::RuntimeStale));
}

#[tokio::test]
async fn malformed_input_is_refused_with_the_field() {
    let error = ask(problem(Code::Malformed, 400), Trust::Unverified).await.unwrap_err();
    assert_eq!((error.code(), error.is_definite()), ("malformed", true));
}

#[tokio::test]
async fn what_cannot_know_is_asked_elsewhere_and_the_last_deny_comes_back() {
    let cannot = || {
        let deny = decision(Deny, request("run").to_json(), &[Code::NoQuorum]);
        Do::Answer(503, signed(&deny, &node_key()))
    };
    let (a, b, dead) =
        (Server::start(vec![cannot()]).await, Server::start(vec![cannot()]).await, dead_endpoint().await);
    let denied = client(&[&a.endpoint, &dead, &b.endpoint], keys()).authorize(&request("run")).await.unwrap();
    assert!(denied.is_cannot_know() && !denied.is_allow());
    assert_eq!((a.requests(), b.requests()), (1, 1));

    let b = Server::start(vec![Do::Answer(200, signed(&allow(), &node_key()))]).await;
    let client = client(&[&dead, &a.endpoint, &b.endpoint], keys());
    // `a` has run out of script and answers a receipt with 201, which is no decision.
    assert!(client.authorize(&request("run")).await.unwrap().is_allow());
    assert_eq!((a.requests(), b.requests()), (2, 1));
}

#[tokio::test]
async fn dropped_slow_and_huge_answers_are_asked_elsewhere() {
    for bad in [
        Do::Drop,
        Do::Slow(Duration::from_secs(30), Box::new(Do::Drop)),
        Do::Huge(200_000),
        Do::Answer(500, b"oops".to_vec()),
        Do::Answer(503, b"oops".to_vec()),
    ] {
        let a = Server::start(vec![bad]).await;
        let good = Do::Answer(200, signed(&allow(), &node_key()));
        let again = Do::Answer(200, signed(&allow(), &node_key()));
        let b = Server::start(vec![good, again]).await;
        let client = client(&[&a.endpoint, &b.endpoint], keys());
        assert!(client.authorize(&request("run")).await.unwrap().is_allow());
        // The second question goes straight to the one that answered.
        assert!(client.authorize(&request("run")).await.unwrap().is_allow());
        assert_eq!((a.requests(), b.requests()), (1, 2));
    }
}

#[tokio::test]
async fn with_nobody_there_the_answer_is_an_error_in_time() {
    let started = tokio::time::Instant::now();
    let silent =
        Server::start((0..9).map(|_| Do::Slow(Duration::from_secs(30), Box::new(Do::Drop))).collect()).await;
    let dead = dead_endpoint().await;
    let error =
        client(&[&dead, &silent.endpoint], Trust::Unverified).authorize(&request("run")).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert!(error.to_string().contains("no answer within `300` ms"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_batch_that_a_node_sheds_is_asked_elsewhere_and_allows_nothing_where_all_shed_it() {
    let requests = [request("run")];
    let shed = || problem(Code::Overloaded, 503);
    let good = format!("{{\"decisions\":[{}]}}", String::from_utf8(nine_seconds()).unwrap());
    let (a, b) = (
        Server::start(vec![shed(), shed()]).await,
        Server::start(vec![shed(), Do::Answer(200, good.into_bytes())]).await,
    );
    let client = client(&[&a.endpoint, &b.endpoint], keys());
    let error = client.authorize_batch(&requests).await.unwrap_err();
    assert_eq!(
        (error.code(), error.problem().map(|problem| problem.code)),
        ("unavailable", Some(Code::Overloaded))
    );
    assert!(client.authorize_batch(&requests).await.unwrap()[0].as_ref().unwrap().is_allow());
    assert_eq!((a.requests(), b.requests()), (2, 2));
}

#[tokio::test]
async fn a_batch_is_checked_one_by_one() {
    let requests = [request("run"), request("delete")];
    let good = signed(&allow(), &node_key());
    let deny = decision(Deny, request("delete").to_json(), &[Code::ActionNotPermitted]).to_vec();
    let body = |decisions: &[&[u8]]| {
        let list: Vec<_> = decisions.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        format!("{{\"decisions\":[ {} ]}}", list.join(" , ")).into_bytes()
    };
    let server = Server::start(vec![
        Do::Answer(200, body(&[&good, &deny])),
        Do::Answer(200, body(&[&good])),
        Do::Answer(200, body(&[&good, &good])),
        Do::Answer(200, b"{\"decisions\":{}}".to_vec()),
    ])
    .await;
    let client = client(&[&server.endpoint], keys());
    let decisions = client.authorize_batch(&requests).await.unwrap();
    let allows: Vec<bool> = decisions.iter().map(|decision| decision.as_ref().unwrap().is_allow()).collect();
    assert_eq!(allows, [true, false]);
    // One too few; an allow of another request; no list.
    assert_eq!(client.authorize_batch(&requests).await.unwrap_err().code(), "answer_invalid");
    assert_eq!(client.authorize_batch(&requests).await.unwrap_err().code(), "decision_untrusted");
    assert_eq!(client.authorize_batch(&requests).await.unwrap_err().code(), "answer_invalid");
}

/// A deny of `action` whose reason has a code that no build knows.
fn newer_deny(action: &str) -> Vec<u8> {
    let known = decision(Deny, request(action).to_json(), &[Code::EvidenceMissing]).to_vec();
    String::from_utf8(known).unwrap().replace("evidence_missing", "moon_wrong").into_bytes()
}

/// A batch's answer with these decisions.
fn batch(decisions: &[&[u8]]) -> Do {
    let list: Vec<_> = decisions.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    Do::Answer(200, format!("{{\"decisions\":[{}]}}", list.join(",")).into_bytes())
}

#[tokio::test]
async fn a_deny_of_a_newer_node_ends_the_call_and_no_other_endpoint_is_asked() {
    let newer = newer_deny("run");
    let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]);
    let twice = String::from_utf8(deny.to_vec()).unwrap().replacen('{', r#"{"decision":"allow","#, 1);
    let no_quorum =
        String::from_utf8(assent_api::Problem::new(Code::NoQuorum, 403, "as told").to_vec()).unwrap();
    let with_problem = no_quorum.replacen('{', r#"{"decision":"deny","#, 1);
    for (status, bytes) in [
        (403, newer.clone()),
        (200, newer.clone()),
        (404, newer.clone()),
        (403, newer[..newer.len() / 2].to_vec()),
        (403, b"{\"decision\":\"deny\"}".to_vec()),
        (200, b"{\"decision\":\"defer\"}".to_vec()),
        (200, twice.into_bytes()),
        // A problem document as well, with a code that would be asked elsewhere.
        (403, with_problem.into_bytes()),
        // The status denies.
        (403, b"{\"decision\":\"allow\"}".to_vec()),
        (403, nine_seconds()),
        (403, allow().to_vec()),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = || Do::Answer(status, bytes.clone());
        let good = || Do::Answer(200, nine_seconds());
        let a = Server::start(vec![answer(), answer(), answer()]).await;
        let b = Server::start(vec![good(), good(), batch(&[&nine_seconds()])]).await;
        let client = client(&[&a.endpoint, &b.endpoint], keys());
        let requests = [request("run")];
        for error in [
            client.authorize(&request("run")).await.unwrap_err(),
            client.permit(&request("run")).await.or_else(PermitError::into_end).unwrap_err(),
            client.authorize_batch(&requests).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.code(), error.is_definite()),
                ("deny_not_understood", false),
                "{error}: {text}"
            );
        }
        assert_eq!((a.requests(), b.requests()), (3, 0), "{status}: {text}");
    }
}

#[tokio::test]
async fn a_deny_is_obeyed_under_every_status_that_does_not_say_that_nothing_was_judged() {
    let deny = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]).to_vec();
    for status in [200, 201, 302, 400, 403, 404] {
        let a = Server::start(vec![Do::Answer(status, deny.clone()), Do::Answer(status, deny.clone())]).await;
        let b = Server::start(vec![Do::Answer(200, nine_seconds())]).await;
        let client = client(&[&a.endpoint, &b.endpoint], keys());
        let asked = [
            client.authorize(&request("run")).await,
            client.permit(&request("run")).await.or_else(PermitError::into_end),
        ];
        assert!(asked.into_iter().all(|decided| !decided.unwrap().is_allow()), "{status}");
        assert_eq!((a.requests(), b.requests()), (2, 0), "{status}");
    }
    // A newer node that cannot know is asked elsewhere by its status.
    let a = Server::start(vec![Do::Answer(503, newer_deny("run"))]).await;
    let b = Server::start(vec![Do::Answer(200, nine_seconds())]).await;
    assert!(client(&[&a.endpoint, &b.endpoint], keys()).authorize(&request("run")).await.unwrap().is_allow());
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[tokio::test]
async fn a_deny_under_403_is_final_whatever_its_reasons_are() {
    for codes in [&[Code::NoQuorum][..], &[Code::EvidenceMissing, Code::NoQuorum], &[Code::Overloaded]] {
        let deny = decision(Deny, request("run").to_json(), codes).to_vec();
        let a = Server::start(vec![Do::Answer(403, deny.clone()), Do::Answer(403, deny.clone())]).await;
        let b = Server::start(vec![Do::Answer(200, nine_seconds())]).await;
        let asked = client(&[&a.endpoint, &b.endpoint], keys());
        for decided in [
            asked.authorize(&request("run")).await.unwrap(),
            asked.permit(&request("run")).await.or_else(PermitError::into_end).unwrap(),
        ] {
            assert!(!decided.is_allow() && !decided.is_cannot_know(), "{codes:?}");
        }
        assert_eq!((a.requests(), b.requests()), (2, 0), "{codes:?}");
        // Under 503 the same deny says that the node cannot know.
        let a = Server::start(vec![Do::Answer(503, deny)]).await;
        let asked = client(&[&a.endpoint, &b.endpoint], keys());
        assert!(asked.authorize(&request("run")).await.unwrap().is_allow(), "{codes:?}");
        assert_eq!((a.requests(), b.requests()), (1, 1), "{codes:?}");
    }
}

#[tokio::test]
async fn a_deny_of_a_newer_node_in_a_batch_is_a_deny_of_that_element_alone() {
    let requests = [request("run"), request("delete")];
    let (allow, newer) = (nine_seconds(), newer_deny("delete"));
    let a = Server::start(vec![batch(&[&allow, &newer])]).await;
    let b = Server::start(vec![batch(&[&allow, &allow])]).await;
    let asked = client(&[&a.endpoint, &b.endpoint], keys());
    let decisions = asked.authorize_batch(&requests).await.unwrap();
    assert!(decisions[0].as_ref().unwrap().is_allow());
    let deny = decisions[1].as_ref().unwrap_err();
    assert_eq!(deny.bytes.to_vec(), newer);
    assert!(deny.to_string().contains("`moon_wrong`"), "{deny}");
    assert_eq!((a.requests(), b.requests()), (1, 0));
}

#[tokio::test]
async fn a_batch_with_a_deny_of_which_not_everything_can_be_read_is_not_asked_elsewhere() {
    let requests = [request("run"), request("delete")];
    let known = decision(Deny, request("run").to_json(), &[Code::EvidenceMissing]).to_vec();
    let newer = newer_deny("run");
    let unsigned = allow().to_vec();
    for elements in [
        &[&known[..], b"{}"][..],
        &[&newer[..], b"{}"],
        &[&known[..]],
        &[&newer[..]],
        &[&unsigned[..], &known[..]],
        &[&unsigned[..], &newer[..]],
    ] {
        let a = Server::start(vec![batch(elements)]).await;
        let b = Server::start(vec![batch(&[&nine_seconds(), &nine_seconds()])]).await;
        let asked = client(&[&a.endpoint, &b.endpoint], keys());
        let error = asked.authorize_batch(&requests).await.unwrap_err();
        assert_eq!((error.code(), a.requests(), b.requests()), ("decision_untrusted", 1, 0), "{error}");
    }
}

#[tokio::test]
async fn a_deny_in_a_batch_that_cannot_be_read_at_all_ends_the_call() {
    let requests = [request("run"), request("delete")];
    let deny = String::from_utf8(newer_deny("run")).unwrap();
    let signed = String::from_utf8(nine_seconds()).unwrap();
    for (status, body) in [
        (200, format!("{{\"decisions\":[{deny},{{\"decision\":\"al")),
        (200, format!("{{\"decisions\":[{deny}],\"decisions\":[{signed},{signed}]}}")),
        (200, format!("{{\"decisions\":[{deny},{signed}]}} x")),
        (201, format!("{{\"decisions\":[{deny},{deny}]}}")),
        (403, format!("{{\"decisions\":[{deny},{deny}]}}")),
    ] {
        let a = Server::start(vec![Do::Answer(status, body.clone().into_bytes())]).await;
        let b = Server::start(vec![batch(&[&nine_seconds(), &nine_seconds()])]).await;
        let asked = client(&[&a.endpoint, &b.endpoint], keys());
        let error = asked.authorize_batch(&requests).await.unwrap_err();
        assert_eq!(
            (error.code(), a.requests(), b.requests()),
            ("deny_not_understood", 1, 0),
            "{body}: {error}"
        );
    }
}
