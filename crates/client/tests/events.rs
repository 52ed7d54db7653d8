//! Following the ledger: the client continues where it stopped, on any node, and never past an answer that does not
//! join.

use crate::support;
use std::time::Duration;

use crate::support::*;
use assent_api::{EndBody, EndReason, EventBody, EventLine, HeartbeatBody, Problem};
use assent_client::{
    Client, ClientConfig, ClientError, Cursor, EventFollower, EventsFilter, FirstEndpoint, Trust,
};
use assent_proof::{Code, EvidenceId, EvidenceKind, LineageName, Millis};

fn event(revision: u64) -> EventLine {
    EventLine::Event(Box::new(EventBody {
        history: history(1),
        revision,
        ledger_index: revision - 1,
        evidence_id: EvidenceId([1; 32]),
        kind: EvidenceKind::Policy,
        domain: "prod.eu".parse().unwrap(),
        lineage: LineageName::governance(),
        issuers: vec![],
        sequence: Some(0),
        accepted_at: Millis(1),
        equivocation: false,
        restricts: None,
    }))
}

fn heartbeat(revision: u64) -> EventLine {
    EventLine::Heartbeat { heartbeat: HeartbeatBody { history: history(1), revision, ledger_revision: 9 } }
}

fn answer(events: &[u64], last: EventLine) -> Do {
    let mut lines: Vec<u8> = events.iter().flat_map(|revision| event(*revision).to_line()).collect();
    lines.extend(last.to_line());
    Do::Answer(200, lines)
}

fn client(servers: &[&Server], deadline: Duration) -> Client {
    let mut config = ClientConfig::new(servers.iter().map(|server| &server.endpoint), Trust::NoAllow);
    config.deadline = deadline;
    config.first_endpoint = FirstEndpoint::AsListed;
    Client::new(config).unwrap()
}

fn revisions(page: &assent_client::EventsPage) -> Vec<u64> {
    page.events.iter().map(|event| event.revision).collect()
}

fn at(revision: u64) -> Cursor {
    Cursor { history: history(1), revision }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_follower_goes_on_where_it_was_whatever_breaks_in_between() {
    let end =
        EventLine::End { end: EndBody { reason: EndReason::Stopping, history: history(1), revision: 5 } };
    let mut cut = event(6).to_line();
    cut.truncate(40);
    let server = Server::start(vec![
        answer(&[4, 5], heartbeat(5)),
        Do::Drop,
        answer(&[], end),
        Do::Answer(200, cut),
        Do::Answer(200, event(6).to_line()),
        problem(Code::Overloaded, 503),
        answer(&[6], heartbeat(6)),
        answer(&[], heartbeat(6)),
        answer(&[7], heartbeat(7)),
    ])
    .await;
    let mut follower = client(&[&server], LONG).follow_events(EventsFilter::default(), Some(at(3)));
    assert_eq!(revisions(&follower.next().await.unwrap()), [4, 5]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [6]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [0; 0]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [7]);
    assert_eq!(follower.cursor(), Some(at(7)));
    let paths: Vec<String> = server.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    let asked = |after| format!("/v1/events?history={}&after={after}&limit=1000&waitMs=5000", history(1));
    assert_eq!(paths, [3, 5, 5, 5, 5, 5, 5, 6, 6].map(asked));
}

#[tokio::test]
async fn an_answer_with_a_gap_a_repeat_or_a_step_back_counts_as_none() {
    for wrong in [
        answer(&[5], heartbeat(5)),
        answer(&[4, 6], heartbeat(6)),
        answer(&[4, 4], heartbeat(4)),
        answer(&[3], heartbeat(3)),
        answer(&[4, 5], heartbeat(4)),
        answer(&[4], heartbeat(9)),
        answer(&[], heartbeat(2)),
        // A newer node's event.
        Do::Answer(
            200,
            String::from_utf8(event(4).to_line()).unwrap().replace("policy", "moon").into_bytes(),
        ),
    ] {
        let server = Server::start(vec![wrong, answer(&[4], heartbeat(4))]).await;
        let mut follower = client(&[&server], LONG).follow_events(EventsFilter::default(), Some(at(3)));
        assert_eq!(revisions(&follower.next().await.unwrap()), [4]);
        assert_eq!(server.requests(), 2);
    }
}

#[tokio::test]
async fn a_filter_goes_with_every_question_and_leaves_gaps_but_never_goes_back() {
    let server = Server::start(vec![
        answer(&[5, 8], heartbeat(12)),
        answer(&[12], heartbeat(13)),
        answer(&[13], heartbeat(13)),
    ])
    .await;
    let filter = EventsFilter {
        kinds: vec![EvidenceKind::Revocation, EvidenceKind::Policy],
        domains: vec!["prod.eu".parse().unwrap()],
        lineages: vec![LineageName::governance()],
        equivocations: true,
    };
    let mut follower = client(&[&server], LONG).follow_events(filter, Some(at(3)));
    assert_eq!(follower.next_confirmed().await.unwrap().cursor, at(12));
    assert_eq!(revisions(&follower.next_confirmed().await.unwrap()), [13]);
    let path = server.seen.lock().unwrap()[0].0.clone();
    let filters = "kind=revocation&kind=policy&domain=prod.eu&lineage=_governance&equivocations=true";
    let asked = format!("/v1/events?history={}&after=3&limit=1000&{filters}&confirmed=true", history(1));
    assert_eq!(path, asked);
}

#[tokio::test]
async fn after_a_wait_in_vain_the_next_node_is_asked() {
    let deaf = Server::start(vec![answer(&[], heartbeat(3)), answer(&[], heartbeat(3))]).await;
    let hearing = Server::start(vec![answer(&[4], heartbeat(4)), answer(&[5], heartbeat(5))]).await;
    let mut follower = client(&[&deaf, &hearing], LONG).follow_events(EventsFilter::default(), Some(at(3)));
    assert!(follower.next().await.unwrap().events.is_empty());
    assert_eq!(revisions(&follower.next().await.unwrap()), [4]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [5]);
    assert_eq!((deaf.requests(), hearing.requests()), (1, 2));
}

#[tokio::test]
async fn a_follower_gives_up_after_a_while_and_can_be_asked_again() {
    let script = (0..100).map(|_| problem(Code::Overloaded, 503)).collect();
    let server = Server::start(script).await;
    let mut follower =
        client(&[&server], Duration::from_millis(300)).follow_events(EventsFilter::default(), Some(at(3)));
    let error = follower.next().await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert!(server.requests() > 1 && server.requests() < 10, "{} requests", server.requests());
    assert_eq!(follower.cursor(), Some(at(3)));

    let refusing = Server::start(vec![problem(Code::Malformed, 400)]).await;
    let mut follower = client(&[&refusing], LONG).follow_events(EventsFilter::default(), Some(at(3)));
    assert_eq!(follower.next().await.unwrap_err().code(), "malformed");
    assert_eq!(refusing.requests(), 1);
}

#[tokio::test]
async fn a_call_for_events_ends_within_its_deadline_at_an_endpoint_that_never_answers() {
    let second = Duration::from_secs(1);
    let hung = hung_endpoint().await;
    let asking = |endpoints: &[&str], deadline| {
        let mut config = ClientConfig::new(endpoints.iter().copied(), Trust::NoAllow);
        config.deadline = deadline;
        config.first_endpoint = FirstEndpoint::AsListed;
        Client::new(config).unwrap().follow_events(EventsFilter::default(), Some(at(3)))
    };
    for confirmed in [false, true] {
        let mut follower = asking(&[&hung.endpoint], second);
        let started = tokio::time::Instant::now();
        let asked = if confirmed { follower.next_confirmed().await } else { follower.next().await };
        let took = started.elapsed();
        assert_eq!(asked.unwrap_err().code(), "unavailable");
        assert!(took >= second * 9 / 10 && took < second * 18 / 10, "{confirmed}: {took:?}");
    }
    // What is left is enough for a node that has nothing to tell and waits for as long as it is asked to.
    let idle = Server::start(vec![answer(&[], heartbeat(3))]).await;
    let started = tokio::time::Instant::now();
    let page = asking(&[&hung.endpoint, &idle.endpoint], 4 * second).next().await.unwrap();
    assert!(page.events.is_empty() && started.elapsed() < 4 * second, "{:?}", started.elapsed());
    let path = idle.seen.lock().unwrap()[0].0.clone();
    let (_, wait) = path.split_once("waitMs=").unwrap();
    // Of 4 s the first endpoint had 2 s to wait and 1 s to answer.
    assert!(wait.parse::<u64>().unwrap() <= 500, "{path}");
}

#[tokio::test]
async fn a_node_that_says_retry_after_is_not_asked_before_and_the_other_one_is() {
    let server = Server::start(vec![Do::Busy(Code::Overloaded, 503, 1), answer(&[4], heartbeat(4))]).await;
    let started = tokio::time::Instant::now();
    assert_eq!(revisions(&follower(&[&server]).next().await.unwrap()), [4]);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());

    let a = Server::start(vec![Do::Busy(Code::Overloaded, 503, 60)]).await;
    let b = Server::start(vec![problem(Code::NoQuorum, 503), answer(&[4], heartbeat(4))]).await;
    assert_eq!(revisions(&follower(&[&a, &b]).next().await.unwrap()), [4]);
    assert_eq!((a.requests(), b.requests()), (1, 2));
}

/// A node's answer that a quorum has confirmed: this history is in force.
fn in_force(epoch: u64, shared_revision: Option<u64>) -> Do {
    let problem = Problem {
        history: Some(history(epoch)),
        shared_revision,
        ..Problem::new(Code::HistoryMismatch, 409, "as told")
    };
    Do::Answer(409, problem.to_vec())
}

fn ends_at(ledger_revision: u64) -> Do {
    let problem = Problem {
        history: Some(history(1)),
        ledger_revision: Some(ledger_revision),
        ..Problem::new(Code::CursorBeyondLedger, 409, "as told")
    };
    Do::Answer(409, problem.to_vec())
}

fn follower(servers: &[&Server]) -> EventFollower {
    client(servers, LONG).follow_events(EventsFilter::default(), Some(at(3)))
}

#[tokio::test]
async fn a_follower_begins_in_whichever_history_is_in_force_and_stays_in_that_one() {
    let server = Server::start(vec![answer(&[1], heartbeat(1)), answer(&[2], heartbeat(2))]).await;
    let mut follower = client(&[&server], LONG).follow_events(EventsFilter::default(), None);
    assert_eq!(follower.cursor(), None);
    assert_eq!(follower.next().await.unwrap().cursor, at(1));
    assert_eq!(follower.next().await.unwrap().cursor, at(2));
    let paths: Vec<String> = server.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    let then = format!("/v1/events?history={}&after=1&limit=1000&waitMs=5000", history(1));
    assert_eq!(paths, ["/v1/events?limit=1000&waitMs=5000".to_owned(), then]);
    // What a person stores is read again.
    let stored = follower.cursor().unwrap().to_string();
    assert_eq!(stored.parse::<Cursor>().unwrap(), at(2));
}

#[tokio::test]
async fn an_answer_of_another_history_than_was_asked_for_counts_as_none() {
    let told = |revision| HeartbeatBody { history: history(2), revision, ledger_revision: 9 };
    let empty = EventLine::Heartbeat { heartbeat: told(3) };
    let mut mixed = event(4).to_line();
    mixed.extend(EventLine::Heartbeat { heartbeat: told(4) }.to_line());
    for wrong in [answer(&[], empty), Do::Answer(200, mixed)] {
        let server = Server::start(vec![wrong, answer(&[4], heartbeat(4))]).await;
        assert_eq!(revisions(&follower(&[&server]).next().await.unwrap()), [4]);
        assert_eq!(server.requests(), 2);
    }
}

#[tokio::test]
async fn a_later_epoch_is_final_at_once_and_says_from_where_to_go_on() {
    for (shared, from) in [(9, 3), (3, 3), (2, 2), (0, 0)] {
        let recovered = Server::start(vec![in_force(2, Some(shared))]).await;
        let other = Server::start(vec![]).await;
        let mut follower = follower(&[&recovered, &other]);
        let ClientError::HistoryChanged(change) = follower.next().await.unwrap_err() else {
            panic!("another error");
        };
        assert_eq!((recovered.requests(), other.requests()), (1, 0));
        assert_eq!((change.cursor, change.in_force), (at(3), history(2)));
        assert_eq!(change.resume_at(), Cursor { history: history(2), revision: from });
        assert_eq!(change.keeps_all(), shared >= 3);
        assert_eq!(follower.cursor(), Some(at(3)), "it goes nowhere by itself");
        follower.go_to(change.resume_at());
        assert_eq!(follower.cursor(), Some(change.resume_at()));
    }
}

#[tokio::test]
async fn a_place_that_is_elsewhere_is_looked_for_at_each_other_endpoint_once_and_for_no_longer() {
    // Another cluster, an epoch that these nodes have not come to, a ledger that is shorter.
    let another = || {
        let problem = Problem {
            history: Some(assent_client::History::founded([9; 32])),
            shared_revision: Some(0),
            ..Problem::new(Code::HistoryMismatch, 409, "as told")
        };
        Do::Answer(409, problem.to_vec())
    };
    let beyond = || ends_at(2);
    let told: [(&dyn Fn() -> Do, &str); 2] =
        [(&another, "history_mismatch"), (&beyond, "cursor_beyond_ledger")];
    for (told, code) in told {
        let (a, b) = (Server::start(vec![told()]).await, Server::start(vec![told()]).await);
        assert_eq!(follower(&[&a, &b]).next().await.unwrap_err().code(), code);
        assert_eq!((a.requests(), b.requests()), (1, 1));

        let (a, b) =
            (Server::start(vec![told()]).await, Server::start(vec![answer(&[4], heartbeat(4))]).await);
        assert_eq!(revisions(&follower(&[&a, &b]).next().await.unwrap()), [4]);
        let asked = b.seen.lock().unwrap()[0].0.clone();
        assert!(!asked.contains("waitMs"), "it is looked at, and not waited at: {asked}");

        // One that cannot know is no reason to go on asking.
        let (a, b) =
            (Server::start(vec![told()]).await, Server::start(vec![problem(Code::NoQuorum, 503)]).await);
        assert_eq!(follower(&[&a, &b]).next().await.unwrap_err().code(), code);
        assert_eq!((a.requests(), b.requests()), (1, 1));
    }
}

#[tokio::test]
async fn without_a_quorum_nothing_is_known_of_a_place_and_it_is_asked_again() {
    let server = Server::start(vec![problem(Code::NoQuorum, 503), answer(&[4], heartbeat(4))]).await;
    assert_eq!(revisions(&follower(&[&server]).next().await.unwrap()), [4]);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_follower_ends_at_once_where_nothing_but_wrong_services_answer() {
    for body in [&b"{}\n"[..], b"{}", b"", b"<html>welcome</html>", b"[]", b"{\"id\":1}\n{\"id\":2}\n"] {
        let wrong = || Do::Answer(200, body.to_vec());
        let (a, b) = (Server::start(vec![wrong()]).await, Server::start(vec![wrong()]).await);
        let started = tokio::time::Instant::now();
        let error = follower(&[&a, &b]).next().await.unwrap_err();
        assert_eq!((error.code(), a.requests(), b.requests()), ("answer_invalid", 1, 1), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_stopping_node_that_is_asked_which_history_is_in_force_is_a_node_that_cannot_know() {
    let end =
        EventLine::End { end: EndBody { reason: EndReason::Stopping, history: history(1), revision: 5 } };
    let stopping = || answer(&[], end.clone());
    let (a, b) = (Server::start(vec![stopping()]).await, Server::start(vec![stopping()]).await);
    let error = client(&[&a, &b], LONG).history_in_force().await.unwrap_err();
    assert_eq!((error.code(), a.requests(), b.requests()), ("unavailable", 1, 1), "{error}");
    assert!(error.to_string().contains("the feed ended: stopping"), "{error}");

    let (a, b) =
        (Server::start(vec![stopping()]).await, Server::start(vec![support::in_force(history(1))]).await);
    assert_eq!(client(&[&a, &b], LONG).history_in_force().await.unwrap(), history(1));
    assert_eq!((a.requests(), b.requests()), (1, 1));
}
