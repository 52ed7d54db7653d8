//! The log: order, group commit, the state after a failed write, and what survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;
use assent_store::{Store, StoreError, StoreOptions};
use tokio::sync::Notify;

#[tokio::test]
async fn appends_that_wait_together_share_an_fsync() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    // The first commit after opening also marks the file as in use.
    append(&store, vec![TestEntry::new(0, "entry")]).await.unwrap();
    let syncs = || (disk.syncs_of("log.redb"), disk.syncs_of("log.mark"));
    let (before, commits) = (syncs(), store.log.counters().commits);
    let mut durable = Vec::new();
    for index in 1..=500 {
        let (on_durable, waiting) = callback();
        store.log.append(vec![TestEntry::new(index, "entry")], on_durable).await.unwrap();
        durable.push(waiting);
    }
    for waiting in durable {
        waiting.await.unwrap().unwrap();
    }
    let counters = store.log.counters();
    assert_eq!(counters.appends, 501);
    assert!(counters.commits < 20, "{} commits for 501 appends", counters.commits);
    let (after, commits) = (syncs(), counters.commits - commits);
    assert!(after.0 - before.0 <= commits + 1, "each commit is one fsync, and one more where the file grows");
    assert!(after.1 - before.1 <= commits + 1, "and the mark behind it is one that nobody waits for");
}

#[tokio::test]
async fn entries_can_be_read_when_append_returns_and_are_durable_only_when_called_back() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    let (on_durable, mut waiting) = callback();
    store.log.append(vec![TestEntry::new(0, "entry")], on_durable).await.unwrap();
    assert_eq!(all(&store).await, [TestEntry::new(0, "entry")]);
    // The committer shares this thread and had no turn yet.
    assert!(waiting.try_recv().is_err());
    let copy = disk.copy();
    copy.crash_losing_all();
    assert_eq!(all(&open(&copy).await.unwrap()).await, []);

    waiting.await.unwrap().unwrap();
    disk.crash_losing_all();
    assert_eq!(all(&open(&disk).await.unwrap()).await, [TestEntry::new(0, "entry")]);
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_or_tried_again() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "safe")]).await.unwrap();
    let mut poisoned = store.health().watch();
    disk.fail_syncs();
    let before = disk.syncs();
    let (first, first_told) = callback();
    let (second, second_told) = callback();
    store.log.append(vec![TestEntry::new(1, "lost")], first).await.unwrap();
    store.log.append(vec![TestEntry::new(2, "lost")], second).await.unwrap();
    assert!(first_told.await.unwrap().is_err());
    assert!(second_told.await.unwrap().is_err());
    assert!(poisoned.wait_for(Option::is_some).await.is_ok());

    let tried = disk.syncs() - before;
    assert!(
        matches!(append(&store, vec![TestEntry::new(3, "no")]).await, Err(error) if error.to_string().contains("stays stopped"))
    );
    assert!(matches!(store.log.save_vote(bytes("vote")).await, Err(StoreError::Poisoned(_))));
    assert!(matches!(store.log.truncate_after(Some(0)).await, Err(StoreError::Poisoned(_))));
    assert!(matches!(store.registry.flush(), Err(StoreError::Poisoned(_))));
    assert!(matches!(store.registry.view(), Err(StoreError::Poisoned(_))));
    assert_eq!(tried, 1, "a failed fsync is not retried");
    assert_eq!(disk.syncs() - before, 1, "a failed fsync is not retried");

    disk.crash_losing_all();
    assert_eq!(all(&open(&disk).await.unwrap()).await, [TestEntry::new(0, "safe")]);
}

#[tokio::test]
async fn an_entry_of_the_next_version_is_not_damaged_and_says_which_build_to_start() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    let entries = vec![TestEntry::new(0, "entry"), TestEntry::new(1, OF_NEXT_VERSION)];
    append(&store, entries).await.unwrap();
    disk.crash_losing_all();
    let store = open(&disk).await.unwrap();
    assert_eq!(store.log.read(0, 1, usize::MAX).await.unwrap(), [TestEntry::new(0, "entry")]);
    let error = store.log.read(0, 2, usize::MAX).await.unwrap_err();
    assert!(error.takes_another_build());
    assert_eq!(
        error.to_string(),
        "entry 1 in `log.redb` has version 2, and this build reads version 1: start this node with a newer build"
    );
}

#[tokio::test]
async fn a_vote_is_durable_when_save_vote_returns() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    assert_eq!(store.log.vote(), None);
    store.log.save_vote(bytes("term 1")).await.unwrap();
    store.log.save_vote(bytes("term 2")).await.unwrap();
    disk.crash_losing_all();
    assert_eq!(open(&disk).await.unwrap().log.vote(), Some(bytes("term 2")));
}

#[tokio::test]
async fn the_committed_position_rides_with_the_next_commit() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "a")]).await.unwrap();
    let commits = store.log.counters().commits;
    store.log.save_committed(bytes("at 0")).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(store.log.counters().commits, commits);
    assert_eq!(store.log.committed(), Some(bytes("at 0")));
    let copy = disk.copy();
    copy.crash_losing_all();
    assert_eq!(open(&copy).await.unwrap().log.committed(), None);

    append(&store, vec![TestEntry::new(1, "b")]).await.unwrap();
    assert_eq!(store.log.counters().commits, commits + 1);
    disk.crash_losing_all();
    assert_eq!(open(&disk).await.unwrap().log.committed(), Some(bytes("at 0")));
}

#[tokio::test]
async fn closing_commits_what_is_left_and_later_calls_fail() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    let (on_durable, durable) = callback();
    store.log.append(vec![TestEntry::new(0, "a")], on_durable).await.unwrap();
    store.log.save_committed(bytes("at 0")).await.unwrap();
    store.log.close().await.unwrap();
    durable.await.unwrap().unwrap();
    assert!(matches!(store.log.save_vote(bytes("v")).await, Err(StoreError::Closed)));
    assert!(append(&store, vec![TestEntry::new(1, "b")]).await.is_err());
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    assert!(matches!(store.registry.view(), Err(StoreError::Closed)));

    let store = open(&disk).await.unwrap();
    assert_eq!(all(&store).await, [TestEntry::new(0, "a")]);
    assert_eq!(store.log.committed(), Some(bytes("at 0")));
    assert!(!store.created);
}

#[tokio::test]
async fn an_append_that_would_leave_a_hole_is_refused() {
    let store = open(&CrashDisk::new()).await.unwrap();
    append(&store, vec![TestEntry::new(5, "a"), TestEntry::new(6, "b")]).await.unwrap();
    let (on_durable, _told) = callback();
    let refused = store.log.append(vec![TestEntry::new(8, "c")], on_durable).await;
    assert_eq!(refused, Err(StoreError::Gap { found: 8, expected: 7 }));
    let (on_durable, _told) = callback();
    let refused = store.log.append(vec![TestEntry::new(7, "c"), TestEntry::new(9, "d")], on_durable).await;
    assert_eq!(refused, Err(StoreError::Gap { found: 9, expected: 8 }));
    assert_eq!(store.log.range(), Some((5, 6)));
}

#[tokio::test]
async fn reads_between_a_truncation_and_its_commit_see_the_new_suffix() {
    let options = StoreOptions { recent_bytes_max: 0, ..StoreOptions::default() };
    let store = open_with(&CrashDisk::new(), options).await.unwrap();
    append(&store, (0..10).map(|index| TestEntry::new(index, "old")).collect()).await.unwrap();
    let log = store.log.clone();
    let truncating = tokio::spawn(async move { log.truncate_after(Some(4)).await });
    while store.log.range() != Some((0, 4)) {
        tokio::task::yield_now().await;
    }
    let (on_durable, durable) = callback();
    store.log.append(vec![TestEntry::new(5, "new")], on_durable).await.unwrap();
    let expected: Vec<_> =
        (0..5).map(|index| TestEntry::new(index, "old")).chain([TestEntry::new(5, "new")]).collect();
    assert_eq!(all(&store).await, expected);
    truncating.await.unwrap().unwrap();
    durable.await.unwrap().unwrap();
    assert_eq!(all(&store).await, expected);
}

#[tokio::test]
async fn a_read_stops_at_its_bytes_but_not_before_the_first_entry() {
    for recent_bytes_max in [0, 1 << 20] {
        let options = StoreOptions { recent_bytes_max, ..StoreOptions::default() };
        let store = open_with(&CrashDisk::new(), options).await.unwrap();
        append(&store, (0..10).map(|index| TestEntry::new(index, vec![0; 92])).collect()).await.unwrap();
        assert_eq!(store.log.read(2, 9, 1).await.unwrap().len(), 1);
        assert_eq!(store.log.read(2, 9, 350).await.unwrap().len(), 3);
        assert_eq!(store.log.read(2, 9, usize::MAX).await.unwrap().len(), 7);
        assert_eq!(store.log.read(9, 2, usize::MAX).await.unwrap().len(), 0);
        assert_eq!(store.log.read(20, 30, usize::MAX).await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn an_append_waits_while_too_much_is_queued() {
    let gate = Arc::new(Notify::new());
    let open_gate = Arc::new(AtomicBool::new(true));
    let run: assent_store::RunBlocking = {
        let (gate, open_gate) = (gate.clone(), open_gate.clone());
        Arc::new(move |work| {
            let (gate, open_gate) = (gate.clone(), open_gate.clone());
            Box::pin(async move {
                while !open_gate.load(Ordering::SeqCst) {
                    gate.notified().await;
                }
                work();
            })
        })
    };
    let options = StoreOptions { queue_bytes_max: 4096, ..StoreOptions::default() };
    let disk = Arc::new(CrashDisk::new());
    let store: Store<TestEntry> = Store::open(disk, run, STORE_ID, options).await.unwrap();
    open_gate.store(false, Ordering::SeqCst);

    let log = store.log.clone();
    let appending = tokio::spawn(async move {
        for index in 0..8 {
            let (on_durable, _told) = callback();
            log.append(vec![TestEntry::new(index, vec![0; 1000])], on_durable).await.unwrap();
        }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!appending.is_finished());
    assert_eq!(store.log.range(), Some((0, 3)), "four kilobytes are queued and the fifth waits");
    open_gate.store(true, Ordering::SeqCst);
    gate.notify_waiters();
    gate.notify_one();
    appending.await.unwrap();
    assert_eq!(store.log.range(), Some((0, 7)));
}

#[tokio::test]
async fn a_purged_log_goes_on_where_it_was_purged_to() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, (0..5).map(|index| TestEntry::new(index, "a")).collect()).await.unwrap();
    store.log.purge(9, bytes("at 9")).await.unwrap();
    assert_eq!(store.log.range(), None);
    assert_eq!(store.log.purged(), Some(bytes("at 9")));
    store.log.purge(3, bytes("at 3")).await.unwrap();
    assert_eq!(store.log.purged(), Some(bytes("at 9")), "a purge never goes back");
    let (on_durable, _told) = callback();
    let refused = store.log.append(vec![TestEntry::new(5, "b")], on_durable).await;
    assert_eq!(refused, Err(StoreError::Gap { found: 5, expected: 10 }));
    append(&store, vec![TestEntry::new(10, "b")]).await.unwrap();
    disk.crash_losing_all();
    let store = open(&disk).await.unwrap();
    assert_eq!((store.log.range(), store.log.purged()), (Some((10, 10)), Some(bytes("at 9"))));
}
