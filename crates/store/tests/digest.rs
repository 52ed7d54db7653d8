//! The digest of the registry's rows: it is equal for equal rows and for nothing else.

use std::sync::Arc;

use crate::support::*;
use assent_registry::{MemoryRows, RowError, RowsMut, Table};
use assent_store::{RegistryDigest, Store, WriteError};

type Rows = Vec<(Table, Vec<u8>, Vec<u8>)>;

fn rows() -> Rows {
    let row =
        |n: u8| (Table::ALL[usize::from(n) % Table::ALL.len()], vec![n / 7, n], vec![n; usize::from(n)]);
    (1..120).map(row).collect()
}

fn put(store: &Store<TestEntry>, applied: &str, rows: &Rows) {
    let written: Result<(), WriteError<RowError>> = store.registry.write(Some(applied.as_bytes()), |batch| {
        rows.iter().try_for_each(|(table, key, value)| batch.put(*table, key, value))
    });
    written.unwrap();
}

fn digest(store: &Store<TestEntry>) -> RegistryDigest {
    store.registry.view().unwrap().digest().unwrap()
}

async fn digest_of(rows: &Rows) -> RegistryDigest {
    let store = open(&CrashDisk::new()).await.unwrap();
    put(&store, "at 1", rows);
    digest(&store)
}

#[tokio::test]
async fn equal_rows_have_equal_digests_in_whatever_order_and_batches_they_came() {
    let rows = rows();
    let whole = digest_of(&rows).await;
    assert_eq!(whole.rows, 119);
    let store = open(&CrashDisk::new()).await.unwrap();
    for (n, row) in rows.iter().rev().enumerate() {
        put(&store, &format!("at {n}"), &vec![(row.0, row.1.clone(), b"an earlier value".to_vec())]);
        put(&store, &format!("at {n} again"), &vec![row.clone()]);
    }
    assert_eq!(digest(&store), whole);
    let more = vec![(Table::Leaves, b"gone".to_vec(), b"soon".to_vec())];
    put(&store, "more", &more);
    assert_ne!(digest(&store), whole);
    let deleted: Result<(), WriteError<RowError>> =
        store.registry.write(Some(b"less"), |batch| batch.delete(Table::Leaves, b"gone"));
    deleted.unwrap();
    assert_eq!(digest(&store), whole);
}

#[tokio::test]
async fn rows_in_memory_have_the_digest_of_a_store_that_holds_them() {
    let mut memory = MemoryRows::new();
    for (table, key, value) in rows().iter().rev() {
        memory.put(*table, key, value).unwrap();
    }
    assert_eq!(RegistryDigest::of(&memory), digest_of(&rows()).await);
}

#[tokio::test]
async fn any_flipped_bit_moved_boundary_missing_row_or_other_table_differs() {
    let rows = rows();
    let whole = digest_of(&rows).await;
    for at in [0, 17, 60, 118] {
        let mut key = rows.clone();
        key[at].1[1] ^= 0x80;
        let mut value = rows.clone();
        value[at].2[0] ^= 1;
        let mut table = rows.clone();
        table[at].0 = Table::ALL[(table[at].0 as usize + 1) % Table::ALL.len()];
        let mut missing = rows.clone();
        missing.remove(at);
        let mut boundary = rows.clone();
        let first = boundary[at].2.remove(0);
        boundary[at].1.push(first);
        for changed in [key, value, table, missing, boundary] {
            assert_ne!(digest_of(&changed).await.digest, whole.digest, "row {at}");
        }
    }
    assert_ne!(digest_of(&Vec::new()).await.digest, whole.digest);
    // Alone, so that nothing but the table tells them apart.
    let mut seen = std::collections::BTreeSet::new();
    for table in Table::ALL {
        let alone = digest_of(&vec![(*table, b"key".to_vec(), b"value".to_vec())]).await;
        assert!(seen.insert(alone.digest), "`{}` has the digest of another table", table.name());
    }
}

#[tokio::test]
async fn an_installed_snapshot_and_a_reopened_store_have_the_senders_digest() {
    let sender = open(&CrashDisk::new()).await.unwrap();
    put(&sender, "at 9", &rows());
    let disk = CrashDisk::new();
    let receiver = open(&disk).await.unwrap();
    put(&receiver, "at 1", &vec![(Table::Meta, b"other".to_vec(), b"row".to_vec())]);
    assert_ne!(digest(&receiver), digest(&sender));
    let source = sender.registry.snapshot().unwrap();
    let mut staged = receiver.registry.stage(source.header()).unwrap();
    let mut cutting = source.chunks();
    while let Some(chunk) = cutting.next_chunk().unwrap() {
        staged.write(&chunk).unwrap();
    }
    staged.finish(&cutting.summary()).unwrap();
    receiver.registry.install(staged, Arc::new(|_| Ok(()))).await.unwrap();
    assert_eq!(digest(&receiver), digest(&sender));
    drop(receiver);
    disk.crash_losing_all();
    assert_eq!(digest(&open(&disk).await.unwrap()), digest(&sender));
}

#[tokio::test]
async fn a_view_that_is_open_keeps_its_digest() {
    let store = open(&CrashDisk::new()).await.unwrap();
    put(&store, "at 1", &rows());
    let view = store.registry.view().unwrap();
    let before = view.digest().unwrap();
    put(&store, "at 2", &vec![(Table::Leaves, b"new".to_vec(), b"row".to_vec())]);
    assert_eq!(view.digest().unwrap(), before);
    assert_eq!(digest(&store).rows, before.rows + 1);
}
