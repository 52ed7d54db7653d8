//! Bits that flip at rest, in every page that the files use: a start finds everything intact, or it fails and says what
//! is damaged. It never panics and never aborts the process.

use std::panic::AssertUnwindSafe;

use crate::support::*;
use assent_registry::{RowError, Rows, Table};
use assent_store::{Store, StoreError, StoreOptions, WriteError};
use futures_util::FutureExt;

const LOG: &str = "log.redb";
const REGISTRY: &str = "registry-1.redb";
const FILES: [&str; 2] = [LOG, REGISTRY];

/// The entries of the log. Each is applied to the registry.
const POSITIONS: u64 = 40;
const PAGE_BYTES: usize = 4096;
/// The head of redb's file: flags, sizes, and the two slots of commits.
const HEAD_BYTES: usize = 320;
/// The most flips of one bit that are tried on one file. More places than this are thinned out evenly.
const FLIPS_MAX: usize = 160;
/// The most bits that flip together.
const BITS_MAX: u64 = 24;
/// How often many bits flip together.
const ROUNDS: u64 = 40;

/// How a node went down before its bits flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It closed its files. redb trusts such a file, its record of free pages included.
    Clean,
    /// It was killed. redb repairs such a file, and so reads all of it.
    Killed,
}

fn entry(position: u64) -> TestEntry {
    TestEntry::new(position, vec![position as u8; 50 * (position % 40) as usize])
}

/// The row that a position adds.
fn row(position: u64) -> (Vec<u8>, Vec<u8>) {
    (position.to_be_bytes().to_vec(), vec![position as u8; 70 * (position % 30) as usize])
}

/// The row that every position overwrites. Its old pages become free.
const NEWEST: &[u8] = b"\xffnewest";

fn apply(store: &Store<TestEntry>, position: u64) {
    let written: Result<(), WriteError<RowError>> =
        store.registry.write(Some(&position.to_be_bytes()), |rows| {
            let (key, value) = row(position);
            rows.put(Table::Leaves, &key, &value)?;
            rows.put(Table::Leaves, NEWEST, &[position as u8; 3000])
        });
    written.unwrap();
}

/// A store that has worked and is down.
async fn worked(end: End) -> CrashDisk {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    let mut view = None;
    for position in 0..POSITIONS {
        append(&store, vec![entry(position)]).await.unwrap();
        apply(&store, position);
        if position % 5 == 0 {
            store.registry.flush().unwrap();
            // As long as it is open, the pages that it shows stay in the tree of freed pages.
            view = Some(store.registry.view().unwrap());
        }
    }
    store.log.save_vote(bytes("vote")).await.unwrap();
    store.registry.flush().unwrap();
    drop(view);
    if end == End::Clean {
        store.registry.close().unwrap();
        store.log.close().await.unwrap();
    }
    disk.kill();
    drop(store);
    disk
}

/// What is wrong with a store that is open. Its registry may have gone back to an earlier flush as a whole: the log
/// replays the rest.
async fn wrong(store: &Store<TestEntry>) -> Option<String> {
    if all(store).await != (0..POSITIONS).map(entry).collect::<Vec<_>>() {
        return Some("other entries".to_owned());
    }
    if store.log.vote() != Some(bytes("vote")) {
        return Some("another vote".to_owned());
    }
    let view = store.registry.view().unwrap();
    let applied = view.applied().unwrap().map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    let mut expected: Vec<_> = applied.map_or(0..0, |applied| 0..applied + 1).map(row).collect();
    expected.extend(applied.map(|applied| (NEWEST.to_vec(), vec![applied as u8; 3000])));
    let found = view.scan(Table::Leaves, b"", None, usize::MAX).unwrap();
    (found != expected).then(|| format!("other rows at {applied:?}"))
}

/// Starts on a disk whose `file` is damaged. Answers whether that was refused.
async fn refuses(disk: &CrashDisk, file: &str, case: &str) -> bool {
    // Blocking work that panics is reported as an error which is none of those below.
    let opened = AssertUnwindSafe(open(disk)).catch_unwind().await;
    match opened.unwrap_or_else(|_| panic!("{case}: it panicked")) {
        Ok(store) => {
            assert_eq!(wrong(&store).await, None, "{case}");
            store.registry.close().unwrap_or_else(|error| panic!("{case}: {error}"));
            store.log.close().await.unwrap_or_else(|error| panic!("{case}: {error}"));
            false
        }
        Err(error @ StoreError::Damaged { .. }) => {
            let text = error.to_string();
            assert!(text.starts_with(&format!("`{file}` is damaged: ")), "{case}: {text}");
            assert!(text.contains("move its data directory away"), "{case}: {text}");
            true
        }
        Err(error) => panic!("{case}: {error}"),
    }
}

/// Places of bits to flip: all over the head, and in the head and the content of each page that is in use or was.
fn places(file: &[u8], random: &mut Seeded) -> Vec<usize> {
    let mut places: Vec<usize> = (0..HEAD_BYTES).step_by(4).map(|at| at + random.below(4) as usize).collect();
    for (number, page) in file.chunks(PAGE_BYTES).enumerate().skip(1) {
        let used: Vec<usize> = (0..page.len()).filter(|at| page[*at] != 0).collect();
        if used.is_empty() {
            continue;
        }
        let content = used[random.below(used.len() as u64) as usize];
        places.extend([number * PAGE_BYTES + random.below(16) as usize, number * PAGE_BYTES + content]);
    }
    let step = places.len().div_ceil(FLIPS_MAX).max(1);
    places.into_iter().step_by(step).collect()
}

/// Flips single bits of `file`, one at a time.
async fn one_bit(file: &str, end: End) {
    let disk = worked(end).await;
    let mut random = Seeded(895);
    let places = places(&disk.bytes(file), &mut random);
    assert!(places.len() > 80, "the file has pages beyond its head: {} places", places.len());
    let mut refused = 0;
    for at in places {
        let mask = 1 << random.below(8);
        let copy = disk.copy();
        copy.flip(file, at, mask);
        refused += u32::from(refuses(&copy, file, &format!("{file}, {end:?}, byte {at} ^ {mask}")).await);
    }
    assert!(refused > 10, "{file}, {end:?}: {refused} flips hit what is in use");
}

/// Flips many bits of `file` together, all over what it uses.
async fn many_bits(file: &str, end: End) {
    let disk = worked(end).await;
    let bytes = disk.bytes(file);
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let mut refused = 0;
    for seed in 0..ROUNDS {
        let mut random = Seeded(seed);
        let copy = disk.copy();
        for _ in 0..2 + random.below(BITS_MAX - 1) {
            copy.flip(file, used[random.below(used.len() as u64) as usize], 1 << random.below(8));
        }
        refused += u64::from(refuses(&copy, file, &format!("{file}, {end:?}, seed {seed}")).await);
    }
    assert!(refused > ROUNDS / 2, "{file}, {end:?}: {refused}");
}

#[tokio::test]
async fn a_bit_of_the_log_that_flips_after_a_clean_end_changes_nothing_or_is_reported() {
    one_bit(LOG, End::Clean).await;
}

#[tokio::test]
async fn a_bit_of_the_log_that_flips_after_a_kill_changes_nothing_or_is_reported() {
    one_bit(LOG, End::Killed).await;
}

#[tokio::test]
async fn a_bit_of_the_registry_that_flips_after_a_clean_end_changes_nothing_or_is_reported() {
    one_bit(REGISTRY, End::Clean).await;
}

#[tokio::test]
async fn a_bit_of_the_registry_that_flips_after_a_kill_changes_nothing_or_is_reported() {
    one_bit(REGISTRY, End::Killed).await;
}

#[tokio::test]
async fn many_bits_that_flip_together_after_a_clean_end_are_reported_without_a_panic() {
    for file in FILES {
        many_bits(file, End::Clean).await;
    }
}

#[tokio::test]
async fn many_bits_that_flip_together_after_a_kill_are_reported_without_a_panic() {
    for file in FILES {
        many_bits(file, End::Killed).await;
    }
}

/// After damage was found, no page of the file is written, and nothing in this process holds the file.
#[tokio::test]
async fn a_file_that_is_found_damaged_is_left_alone_and_a_repaired_one_opens_in_the_same_process() {
    for file in FILES {
        let disk = worked(End::Clean).await;
        let whole = disk.bytes(file);
        // The last page in use that is damaged visibly: it is one of those that the clean end wrote.
        let pages = whole.chunks(PAGE_BYTES).enumerate().skip(1);
        let used: Vec<usize> =
            pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0)).map(|(n, _)| n).collect();
        let mut refused = 0;
        for page in used {
            let copy = disk.copy();
            copy.flip(file, page * PAGE_BYTES, 1);
            if refuses(&copy, file, &format!("{file}, page {page}")).await {
                let mut left = copy.bytes(file);
                left[page * PAGE_BYTES] ^= 1;
                assert_eq!(left[HEAD_BYTES..], whole[HEAD_BYTES..], "{file}, page {page}");
                refused += 1;
                copy.set_bytes(file, whole.clone());
                assert!(!refuses(&copy, file, &format!("{file}, page {page}, put back")).await);
            }
        }
        assert!(refused > 2, "{file}: {refused}");
    }
}

/// The damage comes while the node runs, so the start did not see it.
#[tokio::test]
async fn damage_that_a_running_node_meets_is_an_error_and_ends_neither_in_a_panic_nor_in_a_write() {
    let disk = worked(End::Clean).await;
    let (key, value) = row(7);
    let file = disk.bytes(REGISTRY);
    let places: Vec<usize> =
        (0..file.len() - value.len()).filter(|at| file[*at..].starts_with(&value)).collect();
    let mut met = 0;
    for seed in 0..10 {
        let mut random = Seeded(seed);
        let copy = disk.copy();
        let uncached = StoreOptions { registry_cache_bytes: 0, ..StoreOptions::default() };
        let store = open_with(&copy, uncached).await.unwrap();
        for at in &places {
            copy.flip(REGISTRY, at + random.below(value.len() as u64) as usize, 1 << random.below(8));
        }
        let read = store.registry.view().unwrap().get(Table::Leaves, &key);
        if matches!(read, Err(RowError::Mutated { .. })) {
            met += 1;
            let before = copy.bytes(REGISTRY);
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| store.registry.close()));
            assert!(ended.is_ok(), "seed {seed}");
            assert_eq!(copy.bytes(REGISTRY), before, "seed {seed}: nothing more is built on a damaged file");
        }
    }
    assert!(met > 5, "{met}");
}
