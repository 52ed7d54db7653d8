//! The queue, on a file that can and one that cannot be written.

use std::path::Path;

use super::super::entry::Party;
use super::*;
use crate::env::{Inline, RealClock};

fn trail(folder: &Path, classes: &[AuditClass]) -> (Arc<Trail>, Arc<Metrics>) {
    let path = Some(folder.join("audit.jsonl"));
    let config = AuditConfig { path, classes: classes.to_vec(), ..AuditConfig::default() };
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let metrics = Arc::new(Metrics::new(1));
    let sink = Sink::open(&config, clock.now()).unwrap();
    (Arc::new(Trail::new(1, &config, sink, clock, metrics.clone())), metrics)
}

fn entry(trail: &Trail, class: AuditClass, who: Party) -> Entry {
    Entry {
        class,
        request: trail.new_request(),
        who,
        from: None,
        method: "GET",
        route: "/x",
        forwarded_from: None,
        forwarded_to: None,
        facts: Facts::default(),
    }
}

fn known() -> Party {
    Party::said("ops", "certificate")
}

fn written(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Fails if a class that is off is written, or one that cannot be off is not.
#[tokio::test]
async fn a_class_that_is_off_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, _) = trail(folder.path(), &[AuditClass::Admin, AuditClass::Refused]);
    for class in AuditClass::ALL {
        trail.begin(entry(&trail, class, known())).close(class, Facts::default());
    }
    trail.flush(&Inline).await;
    let lines = written(folder.path());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("\"admin\"") && lines[1].contains("\"refused\""), "{lines:?}");
}

/// Fails if a caller can leave no trace by leaving before its answer.
#[tokio::test]
async fn a_call_that_nobody_waited_for_is_in_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, _) = trail(folder.path(), &AuditClass::ALL);
    drop(trail.begin(entry(&trail, AuditClass::Read, known())));
    trail.flush(&Inline).await;
    let lines = written(folder.path());
    assert!(lines.len() == 1 && lines[0].contains("\"decision\":\"unanswered\""), "{lines:?}");
}

/// Fails if a change of the cluster goes on without its entry, or if lost entries are not counted and told.
#[tokio::test(start_paused = true)]
async fn if_the_disk_fails_changes_are_refused_and_lost_entries_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let (trail, metrics) = trail(&inner, &AuditClass::ALL);
    std::fs::remove_dir_all(&inner).unwrap();
    let open = trail.begin(entry(&trail, AuditClass::Admin, known()));
    let (asked, ()) = tokio::join!(open.ask(), trail.flush(&Inline));
    assert!(asked.unwrap_err().contains("audit trail"), "it went on");
    open.close(AuditClass::Admin, Facts::default());
    trail.flush(&Inline).await;
    assert_eq!(metrics.audit_entries_lost(), 2);
    std::fs::create_dir(&inner).unwrap();
    let open = trail.begin(entry(&trail, AuditClass::Admin, known()));
    let (asked, ()) = tokio::join!(open.ask(), trail.flush(&Inline));
    assert_eq!(asked, Ok(()));
    let lines = written(&inner);
    assert!(lines[0].contains("\"lost\":2") && lines[1].contains("\"asked\""), "{lines:?}");
    // Nothing writes: the call does not wait for ever.
    assert!(trail.begin(entry(&trail, AuditClass::Admin, known())).ask().await.is_err());
}

/// Fails if the queue has no bound, or if other entries take the room of those of operators.
#[tokio::test]
async fn a_full_queue_loses_entries_and_still_takes_those_of_operators() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, metrics) = trail(folder.path(), &AuditClass::ALL);
    for _ in 0..LINES_MAX + 10 {
        trail.add(&entry(&trail, AuditClass::Read, known()));
    }
    assert_eq!(metrics.audit_entries_lost(), 10);
    let open = trail.begin(entry(&trail, AuditClass::Admin, known()));
    let (asked, ()) = tokio::join!(open.ask(), trail.flush(&Inline));
    assert_eq!(asked, Ok(()));
    assert_eq!(written(folder.path()).len(), 1 + LINES_MAX + 1);
}

/// Fails if strangers can fill the files that are kept.
#[tokio::test(start_paused = true)]
async fn entries_of_strangers_have_a_rate() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, metrics) = trail(folder.path(), &AuditClass::ALL);
    let all = |entries: u64, who: Party| {
        let before = metrics.audit_entries_lost();
        for _ in 0..entries {
            trail.add(&entry(&trail, AuditClass::Refused, who.clone()));
        }
        metrics.audit_entries_lost() - before
    };
    assert_eq!(all(UNKNOWN_AT_ONCE + 7, Party::unknown("nothing_shown")), 7);
    assert_eq!(all(100, known()), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(all(UNKNOWN_PER_SECOND + 7, Party::unknown("nothing_shown")), 7);
}

/// Fails if a caller that goes on asking beyond its limit can fill the files that are kept, or keeps the entries of
/// strangers out of them.
#[tokio::test(start_paused = true)]
async fn entries_of_callers_beyond_a_limit_have_a_rate_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, metrics) = trail(folder.path(), &AuditClass::ALL);
    let all = |entries: u64, who: &Party, refused: RefusedCaller| {
        let before = metrics.audit_entries_lost();
        for _ in 0..entries {
            let facts = Facts { refused: Some(refused), ..Facts::default() };
            trail.add(&Entry { facts, ..entry(&trail, AuditClass::Refused, who.clone()) });
        }
        metrics.audit_entries_lost() - before
    };
    assert_eq!(all(UNKNOWN_AT_ONCE + 7, &known(), RefusedCaller::Rate), 7);
    assert_eq!(all(100, &known(), RefusedCaller::Role), 0);
    assert_eq!(all(100, &Party::unknown("nothing_shown"), RefusedCaller::Connections), 0);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(all(UNKNOWN_PER_SECOND + 7, &known(), RefusedCaller::Requests), 7);
}

/// Fails if a known caller that goes on asking for what it has no right to can fill the files that are kept, or keeps the
/// entries of others out of them.
#[tokio::test(start_paused = true)]
async fn entries_of_known_callers_without_the_right_have_a_rate_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (trail, metrics) = trail(folder.path(), &AuditClass::ALL);
    let all = |entries: u64, who: &Party, refused: RefusedCaller| {
        let before = metrics.audit_entries_lost();
        for _ in 0..entries {
            let facts = Facts { refused: Some(refused), ..Facts::default() };
            trail.add(&Entry { facts, ..entry(&trail, AuditClass::Refused, who.clone()) });
        }
        metrics.audit_entries_lost() - before
    };
    assert_eq!(all(UNKNOWN_AT_ONCE + 7, &known(), RefusedCaller::Role), 7);
    assert_eq!(all(100, &known(), RefusedCaller::Rate), 0);
    assert_eq!(all(100, &Party::unknown("nothing_shown"), RefusedCaller::Handshake), 0);
    for refused in [RefusedCaller::Role, RefusedCaller::Domain, RefusedCaller::Kind] {
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(all(UNKNOWN_PER_SECOND + 7, &known(), refused), 7);
    }
}
