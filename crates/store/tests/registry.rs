//! The registry's rows: batches, views, flushes, crashes and damage.

use crate::support::*;
use assent_registry::{MemoryRows, RowError, Rows, RowsMut, Table};
use assent_store::{Store, StoreError, StoreOptions, WriteError};
use proptest::prelude::*;

fn put(store: &Store<TestEntry>, applied: &str, key: &str, value: &str) {
    let written: Result<(), WriteError<RowError>> = store
        .registry
        .write(Some(applied.as_bytes()), |rows| rows.put(Table::Leaves, key.as_bytes(), value.as_bytes()));
    written.unwrap();
}

fn get(store: &Store<TestEntry>, key: &str) -> Option<String> {
    let value = store.registry.view().unwrap().get(Table::Leaves, key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

fn applied(store: &Store<TestEntry>) -> Option<String> {
    let applied = store.registry.view().unwrap().applied().unwrap();
    applied.map(|applied| String::from_utf8(applied).unwrap())
}

#[tokio::test]
async fn a_refused_batch_leaves_nothing_behind() {
    let store = open(&CrashDisk::new()).await.unwrap();
    put(&store, "1", "key", "old");
    let written: Result<(), _> = store.registry.write(Some(b"2"), |rows| {
        rows.put(Table::Leaves, b"key", b"new").unwrap();
        rows.delete(Table::Leaves, b"key").unwrap();
        Err("no")
    });
    assert!(matches!(written, Err(WriteError::Refused("no"))));
    assert_eq!((get(&store, "key").as_deref(), applied(&store).as_deref()), (Some("old"), Some("1")));
    put(&store, "2", "key", "new");
    assert_eq!(get(&store, "key").as_deref(), Some("new"));
}

#[tokio::test]
async fn a_view_shows_the_state_it_was_opened_on() {
    let store = open(&CrashDisk::new()).await.unwrap();
    put(&store, "1", "key", "old");
    let view = store.registry.view().unwrap();
    put(&store, "2", "key", "new");
    assert_eq!(view.get(Table::Leaves, b"key").unwrap().unwrap(), b"old");
    assert_eq!(view.applied().unwrap().unwrap(), b"1");
    assert_eq!(get(&store, "key").as_deref(), Some("new"));
}

#[tokio::test]
async fn a_crash_returns_rows_and_position_to_the_last_flush_and_the_log_has_the_rest() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "one"), TestEntry::new(1, "two")]).await.unwrap();
    put(&store, "at 0", "key", "one");
    store.registry.flush().unwrap();
    put(&store, "at 1", "key", "two");
    assert_eq!(applied(&store).as_deref(), Some("at 1"));

    disk.crash_losing_all();
    drop(store);
    let store = open(&disk).await.unwrap();
    assert_eq!((get(&store, "key").as_deref(), applied(&store).as_deref()), (Some("one"), Some("at 0")));
    assert_eq!(all(&store).await, [TestEntry::new(0, "one"), TestEntry::new(1, "two")]);
}

#[tokio::test]
async fn enough_batches_or_bytes_are_flushed_without_being_asked() {
    for options in [
        StoreOptions { flush_batches: 3, ..StoreOptions::default() },
        StoreOptions { flush_bytes: 3 * 1000, ..StoreOptions::default() },
    ] {
        let disk = CrashDisk::new();
        let store = open_with(&disk, options).await.unwrap();
        for number in 0..5 {
            put(&store, &number.to_string(), &number.to_string(), &"x".repeat(1000));
        }
        disk.crash_losing_all();
        drop(store);
        assert_eq!(applied(&open(&disk).await.unwrap()).as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn a_flush_with_nothing_to_do_costs_no_fsync() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    put(&store, "1", "key", "value");
    store.registry.flush().unwrap();
    let syncs = disk.syncs();
    store.registry.flush().unwrap();
    assert_eq!(disk.syncs(), syncs);
}

#[tokio::test]
async fn a_snapshots_position_is_durable() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    put(&store, "at 5", "key", "value");
    assert_eq!(store.registry.snapshot().unwrap().applied(), b"at 5");
    disk.crash_losing_all();
    drop(store);
    assert_eq!(applied(&open(&disk).await.unwrap()).as_deref(), Some("at 5"));
}

#[tokio::test]
async fn a_failed_flush_poisons_the_log_too() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    put(&store, "1", "key", "value");
    disk.fail_syncs();
    assert!(store.registry.flush().is_err());
    assert!(store.health().poisoned().is_some());
    assert!(matches!(store.log.save_vote(bytes("v")).await, Err(StoreError::Poisoned(_))));
    let written: Result<(), WriteError<RowError>> = store.registry.write(None, |_| Ok(()));
    assert!(matches!(written, Err(WriteError::Store(StoreError::Poisoned(_)))));
}

/// A store with two rows, closed.
async fn two_rows() -> CrashDisk {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    put(&store, "1", "key that is easy to find", "a value that is easy to find");
    put(&store, "2", "other", "untouched");
    store.registry.close().unwrap();
    store.log.close().await.unwrap();
    disk
}

/// Where the registry's file says `text`.
fn places(disk: &CrashDisk, text: &[u8]) -> Vec<usize> {
    let file = disk.bytes("registry-1.redb");
    (0..file.len()).filter(|at| file[*at..].starts_with(text)).collect()
}

#[tokio::test]
async fn a_bit_that_flips_while_the_node_runs_is_mutated_on_that_read_and_never_another_value() {
    const KEY: &[u8] = b"key that is easy to find";
    let disk = two_rows().await;
    let mut mutated = 0;
    for at in places(&disk, b"a value that is easy to find") {
        // In the value and in the checksum before it.
        for offset in [-1isize, 0, 5] {
            let copy = disk.copy();
            let uncached = StoreOptions { registry_cache_bytes: 0, ..StoreOptions::default() };
            let store = open_with(&copy, uncached).await.unwrap();
            copy.flip("registry-1.redb", at.checked_add_signed(offset).unwrap(), 4);
            let view = store.registry.view().unwrap();
            match view.get(Table::Leaves, KEY) {
                Ok(value) => assert_eq!(value.unwrap(), b"a value that is easy to find"),
                Err(error) => {
                    assert_eq!(error, RowError::Mutated { table: Table::Leaves, key: KEY.to_vec() });
                    assert_eq!(view.scan(Table::Leaves, b"", None, 9), Err(error.clone()));
                    let in_batch: Result<(), _> =
                        store.registry.write(None, |rows| rows.get(Table::Leaves, KEY).map(drop));
                    assert!(matches!(in_batch, Err(WriteError::Refused(RowError::Mutated { .. }))));
                    assert_eq!(view.get(Table::Leaves, b"other").unwrap().unwrap(), b"untouched");
                    assert!(matches!(
                        store.registry.snapshot().unwrap().chunks().next_chunk(),
                        Err(StoreError::Row(RowError::Mutated { .. }))
                    ));
                    mutated += 1;
                }
            }
        }
    }
    assert!(mutated >= 3, "the flips hit the value in use");
}

#[tokio::test]
async fn a_bit_that_flipped_in_a_key_or_a_value_while_the_node_was_down_keeps_it_down() {
    let disk = two_rows().await;
    let mut refused = 0;
    for text in [&b"key that is easy to find"[..], b"a value that is easy to find"] {
        for at in places(&disk, text) {
            let copy = disk.copy();
            copy.flip("registry-1.redb", at + 2, 2);
            match open(&copy).await {
                Err(StoreError::Damaged { file, .. }) => {
                    assert_eq!(file, "registry-1.redb");
                    refused += 1;
                }
                Err(other) => panic!("`{other}` for a flipped bit"),
                // The bytes were those of a page that is no longer in use.
                Ok(store) => {
                    let found =
                        store.registry.view().unwrap().get(Table::Leaves, b"key that is easy to find");
                    assert_eq!(found.unwrap().unwrap(), b"a value that is easy to find");
                }
            }
        }
    }
    assert!(refused >= 2, "the flips hit the row in use");
}

#[tokio::test]
async fn files_of_two_stores_are_not_opened_together() {
    let disk = CrashDisk::new();
    let other = CrashDisk::new();
    drop(open(&disk).await.unwrap());
    let opened: Store<TestEntry> = Store::open(
        std::sync::Arc::new(other.clone()),
        inline(),
        *b"store-id-0000002",
        StoreOptions::default(),
    )
    .await
    .unwrap();
    assert_eq!(opened.store_id, *b"store-id-0000002");
    drop(opened);
    for both in [&disk, &other] {
        both.kill();
    }
    disk.set_bytes("registry-1.redb", other.bytes("registry-1.redb"));
    let error = open(&disk).await.unwrap_err();
    assert!(matches!(error, StoreError::Mismatched { .. }), "{error}");
    assert!(error.to_string().contains("put the files of one store back together"), "{error}");
}

#[tokio::test]
async fn a_missing_half_is_not_replaced_by_an_empty_one() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "a")]).await.unwrap();
    disk.kill();
    drop(store);

    let copy = disk.copy();
    copy.delete("log.redb");
    let error = open(&copy).await.unwrap_err();
    assert!(matches!(&error, StoreError::Missing { missing, .. } if missing == "log.redb"), "{error}");

    let copy = disk.copy();
    copy.delete("registry-1.redb");
    let error = open(&copy).await.unwrap_err();
    assert!(matches!(&error, StoreError::Missing { missing, .. } if missing == "registry-1.redb"), "{error}");

    for file in ["log.redb", "registry-1.redb"] {
        for bytes in [Vec::new(), vec![0; 100_000]] {
            let copy = disk.copy();
            copy.set_bytes(file, bytes);
            assert!(matches!(
                open(&copy).await.unwrap_err(),
                StoreError::Damaged { .. } | StoreError::Unusable(_)
            ));
        }
    }
}

#[tokio::test]
async fn a_store_that_is_opened_again_keeps_its_id() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    assert!(store.created);
    disk.kill();
    drop(store);
    let store: Store<TestEntry> =
        Store::open(std::sync::Arc::new(disk), inline(), *b"another-id-00000", StoreOptions::default())
            .await
            .unwrap();
    assert!(!store.created);
    assert_eq!(store.store_id, STORE_ID);
}

#[tokio::test]
async fn a_creation_cut_short_anywhere_starts_over_or_is_complete() {
    let total = {
        let disk = CrashDisk::new();
        drop(open(&disk).await.unwrap());
        disk.operations()
    };
    for cut in 1..=total {
        for seed in 0..3u64 {
            let disk = CrashDisk::new();
            disk.cut_after(cut);
            let opened = open(&disk).await;
            drop(opened);
            let mut random = Seeded(seed * 1000 + cut);
            match seed {
                0 => disk.crash_losing_all(),
                1 => disk.kill(),
                _ => disk.crash(|| random.below(2) == 0),
            }
            let store = open(&disk).await.unwrap_or_else(|error| panic!("cut {cut} seed {seed}: {error}"));
            assert_eq!(store.store_id, STORE_ID);
            assert_eq!((applied(&store), all(&store).await), (None, Vec::new()));
            put(&store, "1", "key", "value");
            append(&store, vec![TestEntry::new(0, "a")]).await.unwrap();
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Put(usize, u8, u8),
    Delete(usize, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let table = 0..Table::ALL.len();
    prop_oneof![
        3 => (table.clone(), 0u8..20, any::<u8>()).prop_map(|(table, key, value)| Change::Put(table, key, value)),
        1 => (table, 0u8..20).prop_map(|(table, key)| Change::Delete(table, key)),
    ]
}

fn carry_out(rows: &mut dyn RowsMut, batch: &[Change]) -> Result<(), RowError> {
    for change in batch {
        match change {
            Change::Put(table, key, value) => rows.put(Table::ALL[*table], &[*key], &[*value])?,
            Change::Delete(table, key) => rows.delete(Table::ALL[*table], &[*key])?,
        }
        let found = rows.scan(Table::Leaves, &[5], Some(&[15]), 4)?;
        assert!(found.len() <= 4);
    }
    Ok(())
}

fn same(store: &dyn Rows, model: &MemoryRows) {
    for table in Table::ALL {
        for (from, until, limit) in
            [(&[][..], None, 1000), (&[3], Some(&[9][..]), 1000), (&[0], None, 3), (&[9], Some(&[3]), 9)]
        {
            assert_eq!(
                store.scan(*table, from, until, limit).unwrap(),
                model.scan(*table, from, until, limit).unwrap()
            );
        }
        for key in 0..20 {
            assert_eq!(store.get(*table, &[key]).unwrap(), model.get(*table, &[key]).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn rows_on_disk_are_rows_in_memory(batches in prop::collection::vec((prop::collection::vec(change(), 0..10), any::<bool>()), 1..10)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let disk = CrashDisk::new();
            let store = open(&disk).await.unwrap();
            let mut model = MemoryRows::new();
            for (batch, kept) in &batches {
                let written = store.registry.write(None, |rows| {
                    carry_out(rows, batch).unwrap();
                    if *kept { Ok(()) } else { Err(()) }
                });
                assert_eq!(written.is_ok(), *kept);
                if *kept {
                    carry_out(&mut model, batch).unwrap();
                }
                same(&store.registry.view().unwrap(), &model);
            }
            store.registry.close().unwrap();
            store.log.close().await.unwrap();
            same(&open(&disk).await.unwrap().registry.view().unwrap(), &model);
        });
    }
}
