//! Streams and long polls over a ledger that a test makes up, in a time of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests are no nodes: what they spawn they wait for")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use assent_proof::{EvidenceId, EvidenceKind, History, LineageName, Millis};
use assent_registry::query::{Event, EventFilter};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::follower::Follower;
use super::super::poll;
use super::*;
use crate::access::{Caller, Credential, Domains, RoleSet, Unknown};
use crate::usecase::problem::ReadError;

const HEARTBEAT: Duration = Duration::from_secs(3);
const SLOW: Duration = Duration::from_secs(5);

/// A ledger of so many statements, in lineages with long names.
#[derive(Clone)]
struct Ledger {
    applied: Arc<watch::Sender<AppliedAt>>,
    reads: Arc<Mutex<usize>>,
    epoch: Arc<Mutex<u64>>,
}

fn history(epoch: u64) -> History {
    History::new([7; 32], epoch).unwrap()
}

fn applied(epoch: u64, revision: u64) -> AppliedAt {
    AppliedAt { revision, history: Some(history(epoch)), ..AppliedAt::default() }
}

impl Ledger {
    fn of(revision: u64) -> Self {
        let applied = watch::Sender::new(applied(1, revision));
        Self { applied: Arc::new(applied), reads: Arc::default(), epoch: Arc::new(Mutex::new(1)) }
    }

    fn grow(&self, revision: u64) {
        self.applied.send_replace(applied(*self.epoch.lock().unwrap(), revision));
    }

    /// Goes on in a later history, whose ledger has this size.
    fn recover(&self, revision: u64) {
        *self.epoch.lock().unwrap() = 2;
        self.grow(revision);
    }
}

impl Source for Ledger {
    async fn page(&self, filter: &EventFilter, after: u64, limit: usize) -> Result<EventPage, ReadError> {
        *self.reads.lock().unwrap() += 1;
        let revision = self.applied.borrow().revision;
        let history = history(*self.epoch.lock().unwrap());
        let mut page = EventPage { history, events: Vec::new(), covered: after, revision };
        while page.covered < revision && page.covered < after + 256 && page.events.len() < limit {
            page.covered += 1;
            if filter.kinds.is_empty() {
                page.events.push(event(page.covered));
            }
        }
        Ok(page)
    }

    fn applied(&self) -> watch::Receiver<AppliedAt> {
        self.applied.subscribe()
    }
}

fn event(revision: u64) -> Event {
    Event {
        ledger_index: revision - 1,
        revision,
        evidence_id: EvidenceId([1; 32]),
        kind: EvidenceKind::RuntimeAttestation,
        domain: "d".repeat(128).parse().unwrap(),
        lineage: LineageName::governance(),
        issuers: Vec::new(),
        sequence: Some(0),
        accepted_at: Millis(0),
        equivocation: false,
        restricts: None,
    }
}

fn after(revision: u64) -> Feed {
    Feed { filter: EventFilter::default(), after: Cursor { history: history(1), revision } }
}

fn local() -> Watch {
    Watch::new(Follower::new(Caller::local().clone(), || Caller::local().clone()), HEARTBEAT)
}

/// A caller with a token, which is good as long as the flag is set.
fn with_token(good: &Arc<AtomicBool>) -> Watch {
    let caller = Caller::named("a".into(), Credential::Token, RoleSet::ALL, Domains::All);
    let (good, known) = (good.clone(), caller.clone());
    let again = move || {
        if good.load(Ordering::Relaxed) { known.clone() } else { Caller::unknown(Unknown::TokenNotListed) }
    };
    Watch::new(Follower::new(caller, again), HEARTBEAT)
}

struct Stream {
    chunks: mpsc::Receiver<Bytes>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    unread: Vec<(u64, String, Value)>,
}

impl Stream {
    fn of(ledger: &Ledger, feed: Feed) -> Self {
        Self::by(ledger, feed, local())
    }

    fn by(ledger: &Ledger, feed: Feed, watch: Watch) -> Self {
        let stop = CancellationToken::new();
        let (pump, chunks) = Pump::new(ledger.clone(), feed, watch, HEARTBEAT, SLOW, stop.clone());
        Self { chunks, stop, task: tokio::spawn(pump.run(|_| {})), unread: Vec::new() }
    }

    /// The next event as id, name and data; nothing at the end.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        while self.unread.is_empty() {
            let chunk = self.chunks.recv().await?;
            self.unread = std::str::from_utf8(&chunk).unwrap().split_terminator("\n\n").map(read).collect();
        }
        Some(self.unread.remove(0))
    }
}

/// Id, name and data; every id is a cursor of the feed's history.
fn read(text: &str) -> (u64, String, Value) {
    let line = |n: usize, name: &str| text.lines().nth(n).unwrap().strip_prefix(name).unwrap();
    let id: Cursor = line(0, "id: ").parse().unwrap();
    assert_eq!(id.history, history(1));
    (id.revision, line(1, "event: ").to_owned(), serde_json::from_str(line(2, "data: ")).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_gapless_and_goes_on_as_the_ledger_grows() {
    let ledger = Ledger::of(1000);
    let mut stream = Stream::of(&ledger, after(10));
    assert_eq!(stream.next().await.unwrap().1, "heartbeat");
    for revision in 11..=1000 {
        assert_eq!(stream.next().await.unwrap().0, revision);
    }
    ledger.grow(1500);
    for revision in 1001..=1500 {
        let (id, name, data) = stream.next().await.unwrap();
        assert_eq!((id, name.as_str()), (revision, "runtime-attestation"));
        assert_eq!(data["revision"], revision);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_beats_and_says_how_far_the_filter_has_looked() {
    let ledger = Ledger::of(700);
    let mut ask = after(0);
    ask.filter.kinds.insert(EvidenceKind::Policy);
    let mut stream = Stream::of(&ledger, ask);
    assert_eq!(stream.next().await.unwrap().0, 0);
    let from = Instant::now();
    let (id, name, data) = stream.next().await.unwrap();
    assert_eq!((id, name.as_str()), (700, "heartbeat"));
    assert_eq!((data["revision"].as_u64(), data["ledgerRevision"].as_u64()), (Some(700), Some(700)));
    assert!(from.elapsed() >= HEARTBEAT && from.elapsed() < HEARTBEAT * 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_gets_that_reason_at_the_end_of_its_stream() {
    // Whichever chunk of a page it is that finds no room.
    for taken in 0..8 {
        let ledger = Ledger::of(10_000);
        let mut stream = Stream::of(&ledger, after(0));
        let (mut last, mut ends) = (0, 0);
        let mut look = |chunk: Bytes| {
            for (id, name, data) in std::str::from_utf8(&chunk).unwrap().split_terminator("\n\n").map(read) {
                match name.as_str() {
                    "heartbeat" => {}
                    "end" => {
                        assert_eq!((data["reason"].as_str(), id), (Some("too_slow"), last), "{taken} taken");
                        assert_eq!(data["revision"], last);
                        ends += 1;
                    }
                    _ => {
                        assert_eq!((id, ends), (last + 1, 0));
                        last = id;
                    }
                }
            }
        };
        for _ in 0..taken {
            look(stream.chunks.recv().await.unwrap());
        }
        // From here on nothing is taken until the stream has ended, and only a few pages were read for it.
        timeout(SLOW * 3, &mut stream.task).await.unwrap().unwrap();
        assert!(*ledger.reads.lock().unwrap() <= 6, "{} reads", ledger.reads.lock().unwrap());
        while let Some(chunk) = stream.chunks.recv().await {
            look(chunk);
        }
        assert!(last > 0 && ends == 1, "{taken} taken: {ends} ends after {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_little_but_something_is_never_ended() {
    let ledger = Ledger::of(3000);
    let mut stream = Stream::of(&ledger, after(0));
    let mut last = 0;
    while last < 3000 {
        tokio::time::sleep(SLOW - Duration::from_millis(10)).await;
        let chunk = stream.chunks.recv().await.unwrap();
        for (id, name, _) in std::str::from_utf8(&chunk).unwrap().split_terminator("\n\n").map(read) {
            assert!(name == "heartbeat" || id == last + 1, "{name} {id} after {last}");
            last = id;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopping_node_ends_idle_and_stuck_streams_at_once() {
    for revision in [0, 10_000] {
        let ledger = Ledger::of(revision);
        let mut stream = Stream::of(&ledger, after(0));
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.stop.cancel();
        timeout(Duration::from_millis(100), &mut stream.task).await.unwrap().unwrap();
        let mut end = None;
        while let Some(found) = stream.next().await {
            end = Some(found);
        }
        let (_, name, data) = end.unwrap();
        assert_eq!((name.as_str(), data["reason"].as_str()), ("end", Some("stopping")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_consumer() {
    let ledger = Ledger::of(0);
    let stream = Stream::of(&ledger, after(0));
    drop(stream.chunks);
    timeout(Duration::from_millis(100), stream.task).await.unwrap().unwrap();
}

async fn poll(ledger: &Ledger, feed: &Feed, limit: usize, wait: Duration) -> (Vec<u64>, Value, Duration) {
    poll_until(ledger, feed, limit, wait, &CancellationToken::new()).await
}

async fn poll_until(
    ledger: &Ledger,
    feed: &Feed,
    limit: usize,
    wait: Duration,
    half_closed: &CancellationToken,
) -> (Vec<u64>, Value, Duration) {
    let (from, stop) = (Instant::now(), CancellationToken::new());
    let ends = poll::Ends { until: from + wait, stop: &stop, half_closed, grace: HEARTBEAT, watch: local() };
    let answered = poll::answer(ledger, feed, limit, ends).await.unwrap();
    let lines: Vec<Value> = std::str::from_utf8(&answered.bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (last, events) = lines.split_last().unwrap();
    let revisions: Vec<u64> = events.iter().map(|event| event["revision"].as_u64().unwrap()).collect();
    assert_eq!(answered.events, revisions.len());
    (revisions, last.clone(), from.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_poll_answers_what_there_is_and_waits_only_for_what_is_not() {
    let ledger = Ledger::of(600);
    let wait = Duration::from_secs(10);
    let (events, last, took) = poll(&ledger, &after(0), 400, wait).await;
    assert_eq!((events, took), ((1..=400).collect(), Duration::ZERO));
    assert_eq!(last["heartbeat"]["revision"], 400);
    let (events, _, took) = poll(&ledger, &after(400), 400, wait).await;
    assert_eq!((events.len(), took), (200, Duration::ZERO));
    let (events, last, took) = poll(&ledger, &after(600), 400, wait).await;
    assert_eq!((events.len(), took >= wait), (0, true));
    assert_eq!(last["heartbeat"]["revision"], 600);

    // Nothing that is there by now was there when the caller's place was found: it waits, and never goes back.
    let growing = ledger.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        growing.grow(650);
        tokio::time::sleep(Duration::from_secs(1)).await;
        growing.grow(701);
    });
    let (events, last, took) = poll(&ledger, &after(700), 400, wait).await;
    assert_eq!(events, [701]);
    assert_eq!(last["heartbeat"]["ledgerRevision"], 701);
    assert!(took < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_poll_with_a_half_closed_caller_waits_one_heartbeat_more_and_returns_new_events() {
    let ledger = Ledger::of(600);
    let wait = Duration::from_secs(30);
    let half_closed = CancellationToken::new();
    half_closed.cancel();
    let (events, last, took) = poll_until(&ledger, &after(600), 400, wait, &half_closed).await;
    assert!(events.is_empty() && took >= HEARTBEAT && took < HEARTBEAT * 2, "{took:?}");
    assert_eq!(last["heartbeat"]["revision"], 600);
    // It never waits longer than its caller wished.
    let short = Duration::from_secs(1);
    let (_, _, took) = poll_until(&ledger, &after(600), 400, short, &half_closed).await;
    assert!(took >= short && took < HEARTBEAT, "{took:?}");
    let growing = ledger.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        growing.grow(601);
    });
    let (events, _, took) = poll_until(&ledger, &after(600), 400, wait, &half_closed).await;
    assert!(events == [601] && took < HEARTBEAT, "{events:?} after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_takes_nothing_costs_one_answer_a_bounded_number_of_reads() {
    let ledger = Ledger::of(1_000_000);
    let mut ask = after(0);
    ask.filter.kinds.insert(EvidenceKind::Policy);
    let (events, last, _) = poll(&ledger, &ask, 10, Duration::from_secs(10)).await;
    assert!(events.is_empty());
    assert_eq!(last["heartbeat"]["revision"], *ledger.reads.lock().unwrap() * 256);
    assert!(*ledger.reads.lock().unwrap() <= 64);
}

#[tokio::test(start_paused = true)]
async fn a_feed_is_of_one_history_and_ends_with_what_it_told_when_the_node_comes_to_a_later_one() {
    // The later ledger goes further than what was told, or less far: no number of it is told under the feed's name.
    for later in [12, 9] {
        let ledger = Ledger::of(10);
        let mut stream = Stream::of(&ledger, after(8));
        assert_eq!(stream.next().await.unwrap().1, "heartbeat");
        for revision in [9, 10] {
            assert_eq!(stream.next().await.unwrap().0, revision);
        }
        let waiting = ledger.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            waiting.recover(later);
        });
        // A poll that waits answers what it has come to, of its own history, and nothing of the new one.
        let (events, last, took) = poll(&ledger, &after(10), 9, Duration::from_secs(10)).await;
        assert!(events.is_empty() && took < Duration::from_secs(2), "{events:?} after {took:?}");
        let heartbeat = &last["heartbeat"];
        assert_eq!(heartbeat["history"], history(1).to_string());
        let told = (heartbeat["revision"].as_u64(), heartbeat["ledgerRevision"].as_u64());
        assert_eq!(told, (Some(10), Some(10)), "the later ledger ends at {later}");
        let (id, name, data) = stream.next().await.unwrap();
        assert_eq!((id, name.as_str(), data["reason"].as_str()), (10, "end", Some("history_changed")));
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_beat_that_is_due_when_the_node_has_come_to_a_later_history_is_an_end() {
    let ledger = Ledger::of(10);
    let mut stream = Stream::of(&ledger, after(10));
    let (_, name, data) = stream.next().await.unwrap();
    assert_eq!((name.as_str(), data["ledgerRevision"].as_u64()), ("heartbeat", Some(10)));
    // The later ledger is shorter, and nothing is there to read: only a beat comes.
    let recovered = ledger.clone();
    recovered.recover(9);
    let (id, name, data) = stream.next().await.unwrap();
    assert_eq!((id, name.as_str(), data["reason"].as_str()), (10, "end", Some("history_changed")));
    // So does a stream whose node came to it before the first beat.
    let mut late = Stream::of(&ledger, after(8));
    assert_eq!(late.next().await.unwrap().1, "end");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_a_moment_late_what_it_has_applied_ends_no_feed_of_it() {
    // The registry reads as of the second history, and the node says so in a moment.
    let ledger = Ledger::of(10);
    *ledger.epoch.lock().unwrap() = 2;
    let feed = Feed { filter: EventFilter::default(), after: Cursor { history: history(2), revision: 9 } };
    let mut stream = Stream::of(&ledger, feed);
    let text = |chunk: Bytes| String::from_utf8(chunk.to_vec()).unwrap();
    let first = text(stream.chunks.recv().await.unwrap());
    assert!(first.contains("event: heartbeat") && first.contains(r#""ledgerRevision":9}"#), "{first}");
    ledger.grow(10);
    let next = text(stream.chunks.recv().await.unwrap());
    assert!(next.contains(r#""revision":10"#) && !next.contains("event: end"), "{next}");
}

/// It fails if a feed is judged only when it is opened, or if a caller that takes nothing is not looked at.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_within_a_heartbeat_after_its_callers_token_is_void() {
    for size in [10, 10_000] {
        let (ledger, good) = (Ledger::of(size), Arc::new(AtomicBool::new(true)));
        let mut stream = Stream::by(&ledger, after(10), with_token(&good));
        if size == 10 {
            tokio::time::sleep(HEARTBEAT * 2).await;
            assert!(!stream.task.is_finished(), "a good token ends nothing");
        }
        good.store(false, Ordering::Relaxed);
        timeout(HEARTBEAT + Duration::from_millis(10), &mut stream.task).await.unwrap().unwrap();
        let mut last = None;
        while let Some(found) = stream.next().await {
            last = Some(found);
        }
        let (_, name, data) = last.unwrap();
        assert_eq!((name.as_str(), data["reason"].as_str()), ("end", Some("caller_not_permitted")), "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_is_refused_within_a_heartbeat_after_its_callers_token_is_void() {
    let (ledger, good) = (Ledger::of(10), Arc::new(AtomicBool::new(true)));
    let (from, stop, half_closed) = (Instant::now(), CancellationToken::new(), CancellationToken::new());
    let until = from + HEARTBEAT * 9;
    let watch = with_token(&good);
    let ends = poll::Ends { until, stop: &stop, half_closed: &half_closed, grace: HEARTBEAT, watch };
    let later = good.clone();
    tokio::spawn(async move {
        tokio::time::sleep(HEARTBEAT + Duration::from_secs(1)).await;
        later.store(false, Ordering::Relaxed);
    });
    let refused = poll::answer(&ledger, &after(10), 9, ends).await.err().unwrap();
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(from.elapsed() >= HEARTBEAT * 2 && from.elapsed() < HEARTBEAT * 3, "{:?}", from.elapsed());
}
