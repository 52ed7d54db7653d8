//! Following the ledger: on from where it was, on any node, and never over an answer that does not join.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use assent_api::{EndBody, EndReason, EventBody, EventLine, HeartbeatBody};
use assent_client::{Client, ClientConfig, EventsFilter, Trust};
use assent_proof::{Code, EvidenceId, EvidenceKind, LineageName, Millis};
use support::*;

fn event(revision: u64) -> EventLine {
    EventLine::Event(Box::new(EventBody {
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
    EventLine::Heartbeat { heartbeat: HeartbeatBody { revision, ledger_revision: 9 } }
}

fn answer(events: &[u64], last: EventLine) -> Do {
    let mut lines: Vec<u8> = events.iter().flat_map(|revision| event(*revision).to_line()).collect();
    lines.extend(last.to_line());
    Do::Answer(200, lines)
}

fn client(servers: &[&Server], deadline: Duration) -> Client {
    let mut config = ClientConfig::new(servers.iter().map(|server| &server.endpoint), Trust::NoAllow);
    config.deadline = deadline;
    Client::new(config).unwrap()
}

fn revisions(page: &assent_client::EventsPage) -> Vec<u64> {
    page.events.iter().map(|event| event.revision).collect()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_follower_goes_on_where_it_was_whatever_breaks_in_between() {
    let end = EventLine::End { end: EndBody { reason: EndReason::Stopping, revision: 5 } };
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
    let mut follower = client(&[&server], LONG).follow_events(EventsFilter::default(), 3);
    assert_eq!(revisions(&follower.next().await.unwrap()), [4, 5]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [6]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [0; 0]);
    assert_eq!(revisions(&follower.next().await.unwrap()), [7]);
    assert_eq!(follower.revision(), 7);
    let paths: Vec<String> = server.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    let asked = |after| format!("/v1/events?after={after}&limit=1000&waitMs=5000");
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
        Do::Answer(200, b"{}\n".to_vec()),
        Do::Answer(200, vec![]),
    ] {
        let server = Server::start(vec![wrong, answer(&[4], heartbeat(4))]).await;
        let mut follower = client(&[&server], LONG).follow_events(EventsFilter::default(), 3);
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
    let mut follower = client(&[&server], LONG).follow_events(filter, 3);
    assert_eq!(follower.next_confirmed().await.unwrap().revision, 12);
    assert_eq!(revisions(&follower.next_confirmed().await.unwrap()), [13]);
    let path = server.seen.lock().unwrap()[0].0.clone();
    let filters = "kind=revocation&kind=policy&domain=prod.eu&lineage=_governance&equivocations=true";
    assert_eq!(path, format!("/v1/events?after=3&limit=1000&{filters}&confirmed=true"));
}

#[tokio::test]
async fn after_a_wait_in_vain_the_next_node_is_asked() {
    let deaf = Server::start(vec![answer(&[], heartbeat(3)), answer(&[], heartbeat(3))]).await;
    let hearing = Server::start(vec![answer(&[4], heartbeat(4)), answer(&[5], heartbeat(5))]).await;
    let mut follower = client(&[&deaf, &hearing], LONG).follow_events(EventsFilter::default(), 3);
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
        client(&[&server], Duration::from_millis(300)).follow_events(EventsFilter::default(), 3);
    let error = follower.next().await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert!(server.requests() > 1 && server.requests() < 10, "{} requests", server.requests());
    assert_eq!(follower.revision(), 3);

    let refusing = Server::start(vec![problem(Code::Malformed, 400)]).await;
    let mut follower = client(&[&refusing], LONG).follow_events(EventsFilter::default(), 3);
    assert_eq!(follower.next().await.unwrap_err().code(), "malformed");
    assert_eq!(refusing.requests(), 1);
}
