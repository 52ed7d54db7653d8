//! Snapshots: made, checked, received and installed, with a power cut at any moment.

use std::sync::Arc;

use crate::support::*;
use assent_registry::{RowError, Rows, Table};
use assent_store::{
    SnapshotChunk, SnapshotGuard, SnapshotSource, SnapshotSummary, StagedSnapshot, Store, StoreError,
    WriteError,
};

type Everything = (Option<Vec<u8>>, Vec<(Table, Vec<u8>, Vec<u8>)>);

fn fill(store: &Store<TestEntry>, applied: &str, rows: u64, size: usize) {
    let written: Result<(), WriteError<RowError>> = store.registry.write(Some(applied.as_bytes()), |batch| {
        for number in 0..rows {
            let table = Table::ALL[number as usize % Table::ALL.len()];
            batch.put(table, format!("{applied} {number:06}").as_bytes(), &vec![number as u8; size])?;
        }
        Ok(())
    });
    written.unwrap();
}

fn everything(store: &Store<TestEntry>) -> Everything {
    let view = store.registry.view().unwrap();
    let rows = Table::ALL.iter().flat_map(|table| {
        let rows = view.scan(*table, b"", None, usize::MAX).unwrap();
        rows.into_iter().map(|(key, value)| (*table, key, value)).collect::<Vec<_>>()
    });
    (view.applied().unwrap(), rows.collect())
}

fn cut(source: &SnapshotSource) -> (Vec<SnapshotChunk>, SnapshotSummary) {
    let mut cutting = source.chunks();
    let mut chunks = Vec::new();
    while let Some(chunk) = cutting.next_chunk().unwrap() {
        chunks.push(chunk);
    }
    (chunks, cutting.summary())
}

fn receive(store: &Store<TestEntry>, source: &SnapshotSource) -> Result<StagedSnapshot, StoreError> {
    let (chunks, summary) = cut(source);
    let mut staged = store.registry.stage(source.header())?;
    for chunk in &chunks {
        staged.write(&SnapshotChunk::decode(&chunk.encode()).unwrap())?;
    }
    staged.finish(&summary)?;
    Ok(staged)
}

fn agree() -> SnapshotGuard {
    Arc::new(|_| Ok(()))
}

#[tokio::test]
async fn an_installed_snapshot_is_the_senders_registry_row_by_row() {
    for (rows, size) in [(0, 0), (1, 1), (3000, 300), (40, 60_000)] {
        let sender = open(&CrashDisk::new()).await.unwrap();
        fill(&sender, "at 9", rows, size);
        let disk = CrashDisk::new();
        let receiver = open(&disk).await.unwrap();
        fill(&receiver, "at 1", 10, 10);
        let before = receiver.registry.view().unwrap();

        let source = sender.registry.snapshot().unwrap();
        let (chunks, _) = cut(&source);
        assert!(chunks.iter().all(|chunk| chunk.rows.len() <= 256 * 1024), "a chunk is bounded");
        let clone = receiver.registry.clone();
        receiver.registry.install(receive(&receiver, &source).unwrap(), agree()).await.unwrap();

        assert_eq!(everything(&receiver), everything(&sender));
        assert_eq!(clone.view().unwrap().applied().unwrap().unwrap(), b"at 9", "clones see it too");
        assert_eq!(before.applied().unwrap().unwrap(), b"at 1", "an open view does not");
        assert_eq!(disk.names(), ["log.mark", "log.redb", "registry-2.redb"]);
        // It is durable, and writing goes on.
        fill(&receiver, "at 10", 5, 5);
        receiver.registry.flush().unwrap();
        let expected = everything(&receiver);
        disk.crash_losing_all();
        drop((receiver, clone, before));
        assert_eq!(everything(&open(&disk).await.unwrap()), expected);
    }
}

#[tokio::test]
async fn a_snapshot_shows_the_position_it_was_taken_at() {
    let store = open(&CrashDisk::new()).await.unwrap();
    fill(&store, "at 1", 100, 10);
    let source = store.registry.snapshot().unwrap();
    let before = cut(&source);
    fill(&store, "at 2", 100, 10);
    assert_eq!(cut(&source), before);
    assert_eq!(source.applied(), b"at 1");
}

#[tokio::test]
async fn chunks_that_are_changed_missing_repeated_or_out_of_order_are_refused() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    fill(&sender, "at 9", 3000, 300);
    let source = sender.registry.snapshot().unwrap();
    let (chunks, summary) = cut(&source);
    assert!(chunks.len() >= 4);
    let disk = CrashDisk::new();
    let receiver = open(&disk).await.unwrap();
    let stage = || receiver.registry.stage(source.header()).unwrap();

    let mut changed = chunks[0].clone();
    changed.rows[40] ^= 1;
    assert!(matches!(stage().write(&changed), Err(StoreError::Snapshot(_))));

    let mut staged = stage();
    assert!(staged.write(&chunks[1]).is_err(), "out of order");
    staged.write(&chunks[0]).unwrap();
    assert!(staged.write(&chunks[0]).is_err(), "repeated");
    drop(staged);

    let mut staged = stage();
    for chunk in &chunks[..chunks.len() - 1] {
        staged.write(chunk).unwrap();
    }
    assert!(staged.finish(&summary).is_err(), "one is missing");
    let refused = receiver.registry.install(staged, agree()).await;
    assert!(matches!(refused, Err(StoreError::Snapshot(_))), "not complete");

    let mut header = source.header();
    header.applied = b"at 10".to_vec();
    let mut staged = receiver.registry.stage(header).unwrap();
    for chunk in &chunks {
        staged.write(chunk).unwrap();
    }
    assert!(staged.finish(&summary).is_err(), "the header is covered");

    drop(staged);
    assert_eq!(disk.names(), ["log.mark", "log.redb", "registry-1.redb"], "what is given up is removed");
    receiver.registry.install(receive(&receiver, &source).unwrap(), agree()).await.unwrap();
    assert_eq!(everything(&receiver), everything(&sender));
}

#[tokio::test]
async fn a_snapshot_that_the_guard_refuses_changes_nothing() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    fill(&sender, "at 9", 10, 10);
    let disk = CrashDisk::new();
    let receiver = open(&disk).await.unwrap();
    fill(&receiver, "at 1", 10, 10);
    let before = everything(&receiver);
    let staged = receive(&receiver, &sender.registry.snapshot().unwrap()).unwrap();
    let guard: SnapshotGuard = Arc::new(|rows: &dyn Rows| {
        let rows = rows.scan(Table::Meta, b"", None, 9).map_err(|error| error.to_string())?;
        Err(format!("it has {} rows of the wrong cluster", rows.len()))
    });
    let refused = receiver.registry.install(staged, guard).await.unwrap_err();
    assert_eq!(refused, StoreError::Snapshot("it has 1 rows of the wrong cluster".to_owned()));
    assert_eq!(everything(&receiver), before);
    assert_eq!(disk.names(), ["log.mark", "log.redb", "registry-1.redb"]);
    fill(&receiver, "at 2", 10, 10);
}

#[tokio::test]
async fn an_installation_cut_short_anywhere_leaves_the_old_or_the_new_registry_and_never_a_mix() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    fill(&sender, "new", 60, 200);
    let source = sender.registry.snapshot().unwrap();
    let new = everything(&sender);

    let prepare = || async {
        let disk = CrashDisk::new();
        let store = open(&disk).await.unwrap();
        append(&store, vec![TestEntry::new(0, "a")]).await.unwrap();
        fill(&store, "old", 30, 100);
        store.registry.flush().unwrap();
        (disk, store)
    };
    let (disk, store) = prepare().await;
    let old = everything(&store);
    let before = disk.operations();
    store.registry.install(receive(&store, &source).unwrap(), agree()).await.unwrap();
    let total = disk.operations() - before;

    let (mut olds, mut news) = (0, 0);
    for cut in 1..=total + 1 {
        for seed in 0..4u64 {
            let (disk, store) = prepare().await;
            disk.cut_after(cut);
            let installed = match receive(&store, &source) {
                Ok(staged) => store.registry.install(staged, agree()).await,
                Err(error) => Err(error),
            };
            let mut random = Seeded(seed * 1000 + cut);
            match seed {
                0 => disk.crash_losing_all(),
                1 => disk.kill(),
                _ => disk.crash(|| random.below(2) == 0),
            }
            drop(store);
            let store = open(&disk).await.unwrap_or_else(|error| panic!("cut {cut} seed {seed}: {error}"));
            let found = everything(&store);
            if found == new {
                news += 1;
            } else {
                assert_eq!(found, old, "cut {cut} seed {seed}: neither old nor new");
                assert!(installed.is_err(), "cut {cut} seed {seed}: an acknowledged installation is gone");
                olds += 1;
            }
            assert_eq!(all(&store).await, [TestEntry::new(0, "a")]);
            assert_eq!(disk.names().len(), 3, "nothing is left behind: {:?}", disk.names());
            fill(&store, "next", 3, 3);
            store.registry.install(receive(&store, &source).unwrap(), agree()).await.unwrap();
            assert_eq!(everything(&store), new);
        }
    }
    assert!(olds > 20 && news > 3, "{olds} olds, {news} news");
}

#[tokio::test]
async fn an_installation_that_is_dropped_halfway_stops_the_store() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    fill(&sender, "new", 10, 10);
    let source = sender.registry.snapshot().unwrap();
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    fill(&store, "old", 10, 10);
    store.registry.flush().unwrap();
    let staged = receive(&store, &source).unwrap();
    {
        let mut installing = Box::pin(store.registry.install(staged, agree()));
        // One poll gets as far as waiting for the log's committer, which shares this thread.
        assert!(futures_util::poll!(&mut installing).is_pending());
        let meanwhile: Result<(), WriteError<RowError>> = store.registry.write(None, |_| Ok(()));
        assert!(meanwhile.is_err(), "nothing is written meanwhile");
    }
    assert!(store.health().poisoned().is_some());
    assert!(store.registry.view().is_err());
    disk.kill();
    drop(store);
    let found = everything(&open(&disk).await.unwrap());
    assert!(found.0 == Some(b"new".to_vec()) || found.0 == Some(b"old".to_vec()));
}

/// Nobody rests on the file that failed, but a disk that failed once is not asked a second time.
#[tokio::test]
async fn a_snapshot_that_cannot_be_written_stops_the_store() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    fill(&sender, "new", 10, 10);
    let source = sender.registry.snapshot().unwrap();
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    fill(&store, "old", 10, 10);
    disk.fail_syncs();
    assert!(receive(&store, &source).is_err());
    assert!(store.health().poisoned().is_some());
    assert!(store.registry.stage(source.header()).is_err());
}

#[tokio::test]
async fn two_snapshots_can_be_received_and_the_second_installed() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    fill(&sender, "new", 10, 10);
    let source = sender.registry.snapshot().unwrap();
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    let first = receive(&store, &source).unwrap();
    let second = receive(&store, &source).unwrap();
    store.registry.install(second, agree()).await.unwrap();
    drop(first);
    assert_eq!(disk.names(), ["log.mark", "log.redb", "registry-3.redb"]);
    disk.crash_losing_all();
    drop(store);
    assert_eq!(everything(&open(&disk).await.unwrap()), everything(&sender));
}
