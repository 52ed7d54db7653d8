//! The outbox: an envelope is durable before it is sent, and is sent until its outcome is known, whatever process dies
//! meanwhile.

use crate::support::*;
use assent_api::Problem;
use assent_client::{Client, ClientConfig, Outbox, Trust};
use assent_proof::Code;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn client(endpoint: &str) -> Client {
    let mut config = ClientConfig::new([endpoint], Trust::NoAllow);
    config.deadline = Duration::from_millis(300);
    config.attempt_timeout = Duration::from_millis(100);
    Client::new(config).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .filter(|entry| entry.file_name() != "lock" && entry.file_name() != "history")
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_put_is_on_disk_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(dir.path()).unwrap();
    let envelope = envelope(1);
    assert_eq!(outbox.put(&envelope).unwrap(), id(&envelope));
    let names = files(dir.path());
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read(dir.path().join(&names[0])).unwrap(), envelope);
}

#[tokio::test]
async fn accepted_and_refused_envelopes_are_filed_with_their_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start(vec![Do::Accept(201), problem(Code::TimesInvalid, 400), Do::Accept(200)]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    let ids: Vec<_> = (1..=3).map(|n| outbox.put(&envelope(n)).unwrap()).collect();
    let report = outbox.flush(&client(&server.endpoint)).await;
    assert_eq!(report.accepted.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    assert_eq!((report.refused[0].0, report.refused[0].1.code), (ids[1], Code::TimesInvalid));
    assert!(report.stopped.is_none());
    assert_eq!(server.bodies(), [envelope(1), envelope(2), envelope(3)]);
    assert_eq!(outbox.pending().count(), 0);
    assert!(files(dir.path()).is_empty());
    let done = files(&dir.path().join("done"));
    assert_eq!(done.len(), 4);
    let kept = fs::read(dir.path().join("done").join(&done[1])).unwrap();
    assert_eq!(kept, receipt(&envelope(1)).to_vec(), "{done:?}");
    assert_eq!(files(&dir.path().join("refused")).len(), 2);
}

#[tokio::test]
async fn an_unknown_outcome_stays_pending_and_holds_back_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = vec![Do::Accept(201)];
    script.extend((0..50).map(|_| unknown()));
    let server = Server::start(script).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    let ids: Vec<_> = (1..=3).map(|n| outbox.put(&envelope(n)).unwrap()).collect();
    let report = outbox.flush(&client(&server.endpoint)).await;
    assert_eq!(report.accepted.len(), 1);
    assert_eq!(report.stopped.unwrap().code(), "outcome_unknown");
    assert_eq!(outbox.pending().collect::<Vec<_>>(), ids[1..]);
    assert!(!server.bodies().contains(&envelope(3)));
}

#[tokio::test]
async fn an_answer_that_is_not_the_apis_settles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start(vec![Do::Answer(404, b"<html>".to_vec()), Do::Answer(200, b"OK".to_vec())]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(1)).unwrap();
    for _ in 0..2 {
        let report = outbox.flush(&client(&server.endpoint)).await;
        assert_eq!(report.stopped.unwrap().code(), "outcome_unknown");
    }
    assert_eq!(outbox.pending().count(), 1);
}

#[tokio::test]
async fn a_refusal_of_a_newer_node_settles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = Do::Answer(409, b"{\"code\":\"moon_wrong\",\"status\":409}".to_vec());
    let server = Server::start(vec![refusal]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(1)).unwrap();
    let report = outbox.flush(&client(&server.endpoint)).await;
    assert_eq!(report.stopped.unwrap().code(), "refusal_not_understood");
    assert_eq!((outbox.pending().count(), report.refused.len()), (1, 0));
}

#[tokio::test]
async fn a_refusal_by_a_node_of_another_registry_settles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for judged_in in [None, Some(history(2))] {
        let wrong = Problem::new(Code::WrongRegistry, 400, "as told").in_history(judged_in);
        let server = Server::start(vec![Do::Answer(400, wrong.to_vec())]).await;
        let mut outbox = Outbox::open(dir.path()).unwrap();
        outbox.put(&envelope(1)).unwrap();
        let report = outbox.flush(&client(&server.endpoint)).await;
        assert_eq!(report.stopped.unwrap().code(), "wrong_registry");
        assert_eq!((outbox.pending().count(), report.refused.len(), outbox.history()), (1, 0, None));
    }
    // The registry that it is for has the last word.
    let server = Server::start(vec![Do::Accept(200)]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    assert_eq!(outbox.flush(&client(&server.endpoint)).await.accepted.len(), 1);
}

#[tokio::test]
async fn a_new_process_goes_on_with_what_was_pending_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    {
        let mut outbox = Outbox::open(dir.path()).unwrap();
        for n in [5, 1, 9, 2] {
            outbox.put(&envelope(n)).unwrap();
        }
    }
    let server = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(3)).unwrap();
    assert_eq!(outbox.flush(&client(&server.endpoint)).await.accepted.len(), 5);
    assert_eq!(server.bodies(), [5, 1, 9, 2, 3].map(envelope));
}

#[tokio::test]
async fn a_flush_that_is_cut_off_after_sending_sends_the_same_bytes_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Do::Slow(Duration::from_secs(30), Box::new(Do::Drop))]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(1)).unwrap();
    let slow = Client::new(ClientConfig::new([&server.endpoint], Trust::NoAllow)).unwrap();
    let cut = tokio::time::timeout(Duration::from_millis(200), outbox.flush(&slow)).await;
    assert!(cut.is_err());
    drop(outbox);

    let mut outbox = Outbox::open(dir.path()).unwrap();
    assert_eq!(outbox.pending().count(), 1);
    assert_eq!(outbox.flush(&client(&server.endpoint)).await.accepted.len(), 1);
    assert_eq!(server.bodies(), [envelope(1), envelope(1)]);
}

/// Every state that a crash can leave, step by step (see `outbox/disk.rs`).
#[tokio::test]
async fn a_crash_at_each_step_loses_nothing() {
    let stem = |dir: &Path| files(dir)[0].strip_suffix(".json").unwrap().to_owned();

    // While putting: half a `.tmp`. Nothing was sent; it is removed.
    let dir = tempfile::tempdir().unwrap();
    drop(Outbox::open(dir.path()).unwrap());
    fs::write(dir.path().join(format!("{:020}-{}.json.tmp", 0, "ab".repeat(32))), b"{\"payl").unwrap();
    assert_eq!(Outbox::open(dir.path()).unwrap().pending().count(), 0);
    assert!(files(dir.path()).is_empty());

    // While filing: half a receipt; then the whole receipt and the envelope still pending.
    for tear in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path()).unwrap();
        outbox.put(&envelope(1)).unwrap();
        drop(outbox);
        let name = format!("{}.receipt.json{}", stem(dir.path()), if tear { ".tmp" } else { "" });
        fs::write(dir.path().join("done").join(name), receipt(&envelope(1)).to_vec()).unwrap();
        let server = Server::start(vec![Do::Accept(200)]).await;
        let mut outbox = Outbox::open(dir.path()).unwrap();
        assert_eq!(outbox.flush(&client(&server.endpoint)).await.accepted.len(), 1);
        assert_eq!(files(&dir.path().join("done")).len(), 2);
        assert!(files(dir.path()).is_empty());
    }
}

#[tokio::test]
async fn a_number_is_never_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![]).await;
    for n in 0..3 {
        let mut outbox = Outbox::open(dir.path()).unwrap();
        outbox.put(&envelope(n)).unwrap();
        assert_eq!(outbox.flush(&client(&server.endpoint)).await.accepted.len(), 1);
    }
    let done = files(&dir.path().join("done"));
    let numbers: std::collections::BTreeSet<_> = done.iter().map(|name| &name[..20]).collect();
    assert_eq!(numbers.len(), 3, "{done:?}");
}

#[test]
fn the_outbox_is_bounded_exclusive_and_takes_envelopes_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open_with_limit(dir.path(), 2).unwrap();
    assert_eq!(Outbox::open(dir.path()).unwrap_err().code(), "outbox_in_use");
    assert_eq!(outbox.put(b"{}").unwrap_err().code(), "malformed");
    outbox.put(&envelope(1)).unwrap();
    outbox.put(&envelope(1)).unwrap();
    outbox.put(&envelope(2)).unwrap();
    assert_eq!(outbox.put(&envelope(3)).unwrap_err().code(), "outbox_full");
    assert_eq!(outbox.put(&envelope(1)).unwrap(), id(&envelope(1)));
    assert_eq!(outbox.pending().count(), 2);
}

#[tokio::test]
async fn a_pending_file_that_was_changed_is_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(1)).unwrap();
    fs::write(dir.path().join(&files(dir.path())[0]), envelope(2)).unwrap();
    let error = outbox.flush(&client(&server.endpoint)).await.stopped.unwrap();
    assert_eq!((error.code(), server.requests()), ("outbox_mutated", 0));
}

fn file_of_history(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("history")).ok()
}

#[tokio::test]
async fn what_the_outbox_delivered_in_one_history_is_sent_again_when_another_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    for n in 1..=2 {
        outbox.put(&envelope(n)).unwrap();
    }
    assert_eq!((outbox.history(), file_of_history(dir.path())), (None, None));
    assert_eq!(outbox.flush(&client(&first.endpoint)).await.accepted.len(), 2);
    assert_eq!(outbox.history(), Some(history(1)));
    assert_eq!(file_of_history(dir.path()), Some(format!("assent outbox history 1\n{}\n", history(1))));
    drop(outbox);

    // The cluster was recovered, and what the outbox delivered last is not in its ledger.
    let taken = Do::Answer(201, receipt_in(history(2), &envelope(3)));
    let recovered = Server::start(vec![taken]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(3)).unwrap();
    let error = outbox.flush(&client(&recovered.endpoint)).await.stopped.unwrap();
    assert_eq!(error.code(), "history_mismatch");
    let said = format!("{error}; {}", error.remedy());
    assert!(said.contains(&history(1).to_string()) && said.contains(&history(2).to_string()), "{said}");
    assert_eq!(
        outbox.pending().collect::<Vec<_>>(),
        [id(&envelope(3))],
        "nothing is counted and nothing lost"
    );
    assert_eq!(files(&dir.path().join("done")).len(), 4);

    // A crash while everything is made pending again loses nothing: it is said again, and asked for again.
    let done = files(&dir.path().join("done"));
    fs::rename(dir.path().join("done").join(&done[0]), dir.path().join(&done[0])).unwrap();
    drop(outbox);
    let mut outbox = Outbox::open(dir.path()).unwrap();
    assert_eq!((outbox.pending().count(), outbox.history()), (2, Some(history(1))));
    let told = Server::start(vec![in_force(history(2))]).await;
    outbox.resend_in(history(2), &client(&told.endpoint)).await.unwrap();
    outbox.resend_in(history(2), &client(&told.endpoint)).await.unwrap();
    assert_eq!(told.requests(), 1, "what it has noted already changes nothing");
    let all = (1..=3).map(|n| id(&envelope(n))).collect::<Vec<_>>();
    assert_eq!(outbox.pending().collect::<Vec<_>>(), all, "in the order put");
    drop(outbox);

    let script = (1..=3).map(|n| Do::Answer(200, receipt_in(history(2), &envelope(n)))).collect();
    let recovered = Server::start(script).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    assert_eq!(outbox.history(), Some(history(2)));
    assert_eq!(outbox.flush(&client(&recovered.endpoint)).await.accepted.len(), 3);
    assert_eq!(recovered.bodies(), [1, 2, 3].map(envelope));
    let done = dir.path().join("done");
    assert_eq!(files(&done).len(), 6);
    let kept = files(&done).into_iter().filter(|name| name.ends_with(".receipt.json"));
    assert!(kept.map(|name| fs::read_to_string(done.join(name)).unwrap()).all(|text| text.contains("/e2")));
}

#[tokio::test]
async fn a_refusal_by_another_history_settles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(1)).unwrap();
    assert_eq!(outbox.flush(&client(&first.endpoint)).await.accepted.len(), 1);
    // What came before it was lost, so its slot makes a gap there.
    let gap = Problem::new(Code::LineageFragmented, 409, "a gap").in_history(Some(history(2)));
    let recovered = Server::start(vec![Do::Answer(409, gap.to_vec())]).await;
    outbox.put(&envelope(2)).unwrap();
    let error = outbox.flush(&client(&recovered.endpoint)).await.stopped.unwrap();
    assert_eq!(error.code(), "history_mismatch");
    assert_eq!((outbox.pending().count(), files(&dir.path().join("refused")).len()), (1, 0));
}

#[test]
fn a_file_of_history_that_cannot_be_read_is_not_guessed_at() {
    for text in [
        "",
        "assent outbox history 2\nx\n",
        "assent outbox history 1\n",
        "assent outbox history 1\nblake3:00/e1\n",
    ] {
        let dir = tempfile::tempdir().unwrap();
        drop(Outbox::open(dir.path()).unwrap());
        fs::write(dir.path().join("history"), text).unwrap();
        assert_eq!(Outbox::open(dir.path()).unwrap_err().code(), "outbox_history_unknown", "{text}");
    }
}

#[tokio::test]
async fn an_outbox_with_nothing_pending_reports_that_another_history_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    // Of one that never delivered anything there is nothing to ask.
    let first = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    assert!(outbox.flush(&client(&first.endpoint)).await.stopped.is_none());
    assert_eq!(first.requests(), 0);
    outbox.put(&envelope(1)).unwrap();
    assert_eq!(outbox.flush(&client(&first.endpoint)).await.accepted.len(), 1);
    assert_eq!(first.requests(), 1, "the receipt named the history");

    let same = Server::start(vec![in_force(history(1))]).await;
    assert!(outbox.flush(&client(&same.endpoint)).await.stopped.is_none());
    let path = same.seen.lock().unwrap()[0].0.clone();
    assert!(path.starts_with("/v1/events?") && path.contains("confirmed=true"), "{path}");

    let recovered = Server::start(vec![in_force(history(2))]).await;
    let stopped = outbox.flush(&client(&recovered.endpoint)).await.stopped.unwrap();
    assert_eq!(stopped.code(), "history_mismatch");
    let said = format!("{stopped}; {}", stopped.remedy());
    assert!(said.contains(&history(1).to_string()) && said.contains(&history(2).to_string()), "{said}");
    assert_eq!((outbox.history(), files(&dir.path().join("done")).len()), (Some(history(1)), 2));

    // A refusal that names no history says nothing of it either.
    let refusing = vec![problem(Code::TimesInvalid, 400), in_force(history(2))];
    let refusing = Server::start(refusing).await;
    outbox.put(&envelope(2)).unwrap();
    let report = outbox.flush(&client(&refusing.endpoint)).await;
    assert_eq!((report.refused.len(), report.stopped.unwrap().code()), (1, "history_mismatch"));

    // Nobody who answers, and something else that does: neither says that all is well.
    let dead = dead_endpoint().await;
    assert_eq!(outbox.flush(&client(&dead)).await.stopped.unwrap().code(), "unavailable");
    let cut_off = Server::start(vec![problem(Code::NoQuorum, 503)]).await;
    assert_eq!(outbox.flush(&client(&cut_off.endpoint)).await.stopped.unwrap().code(), "unavailable");
    for body in [&b""[..], b"OK", b"{}\n"] {
        let other = Server::start(vec![Do::Answer(200, body.to_vec())]).await;
        let stopped = outbox.flush(&client(&other.endpoint)).await.stopped.unwrap();
        assert_eq!(stopped.code(), "answer_invalid", "{body:?}");
    }
}

#[tokio::test]
async fn a_history_is_noted_only_once_the_registry_has_confirmed_that_it_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    outbox.put(&envelope(1)).unwrap();
    assert_eq!(outbox.flush(&client(&first.endpoint)).await.accepted.len(), 1);
    let note = file_of_history(dir.path());
    // A typo, which no later history would be above.
    let typo = history(2_000_000);
    let recovered = Server::start(vec![in_force(history(2))]).await;
    let refused = outbox.resend_in(typo, &client(&recovered.endpoint)).await.unwrap_err();
    assert_eq!(refused.code(), "history_mismatch");
    let said = format!("{refused}; {}", refused.remedy());
    assert!(said.contains(&typo.to_string()) && said.contains(&history(2).to_string()), "{said}");
    let dead = dead_endpoint().await;
    let refused = outbox.resend_in(history(2), &client(&dead)).await.unwrap_err();
    assert_eq!(refused.code(), "unavailable");
    assert_eq!((outbox.history(), file_of_history(dir.path())), (Some(history(1)), note.clone()));
    assert_eq!((outbox.pending().count(), files(&dir.path().join("done")).len()), (0, 2));

    // One that an earlier build has noted by mistake is replaced like any other.
    drop(outbox);
    fs::write(dir.path().join("history"), format!("assent outbox history 1\n{typo}\n")).unwrap();
    let mut outbox = Outbox::open(dir.path()).unwrap();
    let same = Server::start(vec![in_force(history(1)), in_force(history(1)), Do::Accept(200)]).await;
    let stopped = outbox.flush(&client(&same.endpoint)).await.stopped.unwrap();
    assert_eq!(stopped.code(), "history_mismatch");
    outbox.resend_in(history(1), &client(&same.endpoint)).await.unwrap();
    assert_eq!(outbox.flush(&client(&same.endpoint)).await.accepted.len(), 1);
    assert_eq!(file_of_history(dir.path()), note);
}

/// An outbox in which an earlier build has delivered these envelopes: no history is noted, and no receipt names one.
async fn of_an_earlier_build(dir: &Path, delivered: std::ops::RangeInclusive<u32>) {
    let server = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir).unwrap();
    for n in delivered {
        outbox.put(&envelope(n)).unwrap();
    }
    assert!(outbox.flush(&client(&server.endpoint)).await.stopped.is_none());
    fs::remove_file(dir.join("history")).unwrap();
    for name in files(&dir.join("done")).into_iter().filter(|name| name.ends_with(".receipt.json")) {
        let path = dir.join("done").join(name);
        let mut receipt: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        receipt.as_object_mut().unwrap().remove("history").unwrap();
        fs::write(&path, receipt.to_string()).unwrap();
    }
}

#[tokio::test]
async fn an_outbox_of_an_earlier_build_takes_no_history_that_answers_first_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    of_an_earlier_build(dir.path(), 1..=2).await;
    let script = (1..=3).map(|n| Do::Answer(200, receipt_in(history(2), &envelope(n)))).collect();
    let recovered = Server::start(script).await;
    for _ in 0..2 {
        let mut outbox = Outbox::open(dir.path()).unwrap();
        outbox.put(&envelope(3)).unwrap();
        assert_eq!(outbox.history(), None);
        let report = outbox.flush(&client(&recovered.endpoint)).await;
        let error = report.stopped.unwrap();
        assert_eq!((error.code(), report.accepted.len()), ("outbox_history_unnoted", 0));
        let said = format!("{error}; {}", error.remedy());
        assert!(said.contains("`2` envelopes") && said.contains("--resend-in"), "{said}");
        assert_eq!((recovered.requests(), file_of_history(dir.path())), (0, None));
        assert_eq!((outbox.pending().count(), files(&dir.path().join("done")).len()), (1, 4));
    }
    let mut outbox = Outbox::open(dir.path()).unwrap();
    let told = Server::start(vec![in_force(history(2))]).await;
    outbox.resend_in(history(2), &client(&told.endpoint)).await.unwrap();
    let report = outbox.flush(&client(&recovered.endpoint)).await;
    assert!(report.stopped.is_none(), "{:?}", report.stopped);
    assert_eq!((report.accepted.len(), recovered.bodies()), (3, [1, 2, 3].map(envelope).to_vec()));
    assert_eq!(Outbox::open_with_limit(dir.path(), 1).unwrap_err().code(), "outbox_in_use");
    drop(outbox);
    assert_eq!(Outbox::open(dir.path()).unwrap().history(), Some(history(2)));
}

#[tokio::test]
async fn an_outbox_that_lost_its_history_file_takes_the_history_from_receipts_that_all_agree() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(vec![]).await;
    let mut outbox = Outbox::open(dir.path()).unwrap();
    for n in 1..=2 {
        outbox.put(&envelope(n)).unwrap();
    }
    assert_eq!(outbox.flush(&client(&first.endpoint)).await.accepted.len(), 2);
    drop(outbox);
    let note = file_of_history(dir.path()).unwrap();
    fs::remove_file(dir.path().join("history")).unwrap();
    let outbox = Outbox::open(dir.path()).unwrap();
    assert_eq!((outbox.history(), file_of_history(dir.path())), (Some(history(1)), Some(note)));
    drop(outbox);
    // Receipts of two histories, one that is no receipt, and none.
    let receipt = files(&dir.path().join("done")).into_iter().find(|name| name.ends_with(".receipt.json"));
    let path = dir.path().join("done").join(receipt.unwrap());
    for spoiled in [Some(receipt_in(history(2), &envelope(1))), Some(b"{}".to_vec()), None] {
        match spoiled {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        fs::remove_file(dir.path().join("history")).unwrap_or_default();
        let mut outbox = Outbox::open(dir.path()).unwrap();
        let stopped = outbox.flush(&client(&first.endpoint)).await.stopped.unwrap();
        assert_eq!((stopped.code(), first.requests()), ("outbox_history_unnoted", 2));
    }
}

#[tokio::test]
async fn a_flush_that_stops_at_another_history_or_a_spoiled_file_reports_what_it_settled() {
    for spoiled in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut script = vec![Do::Accept(201), problem(Code::TimesInvalid, 400)];
        script.push(Do::Answer(201, receipt_in(history(2), &envelope(3))));
        let server = Server::start(script).await;
        let mut outbox = Outbox::open(dir.path()).unwrap();
        let ids: Vec<_> = (1..=3).map(|n| outbox.put(&envelope(n)).unwrap()).collect();
        if spoiled {
            fs::write(dir.path().join(files(dir.path()).last().unwrap()), envelope(9)).unwrap();
        }
        let report = outbox.flush(&client(&server.endpoint)).await;
        let code = if spoiled { "outbox_mutated" } else { "history_mismatch" };
        assert_eq!(report.stopped.unwrap().code(), code);
        assert_eq!(report.accepted.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0]]);
        assert_eq!(report.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1]]);
        assert_eq!(outbox.pending().collect::<Vec<_>>(), [ids[2]]);
    }
}
