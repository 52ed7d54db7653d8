//! The log against a model of it, and against a disk that fails at every step or flips bits.

use std::collections::BTreeMap;

use crate::support::*;
use assent_store::{Store, StoreError, StoreOptions};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u8, u8),
    /// Keeps this many, counted from the first.
    Truncate(u8),
    /// Purges this many.
    Purge(u8),
    Vote(u8),
    Committed(u8),
    Read(u8, u8),
    Reopen,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u8..20, any::<u8>()).prop_map(|(count, byte)| Step::Append(count, byte)),
        2 => (0u8..40).prop_map(Step::Truncate),
        1 => (0u8..20).prop_map(Step::Purge),
        1 => any::<u8>().prop_map(Step::Vote),
        1 => any::<u8>().prop_map(Step::Committed),
        3 => any::<(u8, u8)>().prop_map(|(from, count)| Step::Read(from, count)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    entries: BTreeMap<u64, Vec<u8>>,
    next: u64,
    purged: Option<u64>,
    vote: Option<u8>,
    committed: Option<u8>,
}

impl Model {
    fn entries(&self) -> Vec<TestEntry> {
        self.entries.iter().map(|(index, payload)| TestEntry::new(*index, payload.clone())).collect()
    }

    fn range(&self) -> Option<(u64, u64)> {
        Some((*self.entries.first_key_value()?.0, *self.entries.last_key_value()?.0))
    }
}

async fn check(store: &Store<TestEntry>, model: &Model) {
    assert_eq!(all(store).await, model.entries());
    assert_eq!(store.log.range(), model.range());
    assert_eq!(store.log.vote(), model.vote.map(|vote| bytes(&vote.to_string())));
    assert_eq!(store.log.committed(), model.committed.map(|at| bytes(&at.to_string())));
    assert_eq!(store.log.purged(), model.purged.map(|at| bytes(&at.to_string())));
}

async fn follow(steps: Vec<Step>, options: StoreOptions) {
    let disk = CrashDisk::new();
    let mut store = open_with(&disk, options.clone()).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(count, byte) => {
                let entries: Vec<_> = (0..u64::from(count))
                    .map(|offset| TestEntry::new(model.next + offset, vec![byte; usize::from(count)]))
                    .collect();
                for entry in &entries {
                    model.entries.insert(entry.index, entry.payload.clone());
                }
                model.next += u64::from(count);
                let (on_durable, _) = callback();
                store.log.append(entries, on_durable).await.unwrap();
            }
            Step::Truncate(kept) => {
                let from = model.purged.map_or(0, |purged| purged + 1) + u64::from(kept);
                store.log.truncate_after(from.checked_sub(1)).await.unwrap();
                if from < model.next {
                    model.entries.retain(|index, _| *index < from);
                    model.next = from;
                }
            }
            Step::Purge(count) => {
                let upto = model.purged.map_or(0, |purged| purged + 1) + u64::from(count);
                store.log.purge(upto, bytes(&upto.to_string())).await.unwrap();
                model.entries.retain(|index, _| *index > upto);
                model.purged = Some(upto);
                model.next = model.next.max(upto + 1);
            }
            Step::Vote(vote) => {
                store.log.save_vote(bytes(&vote.to_string())).await.unwrap();
                model.vote = Some(vote);
            }
            Step::Committed(at) => {
                store.log.save_committed(bytes(&at.to_string())).await.unwrap();
                model.committed = Some(at);
            }
            Step::Read(from, count) => {
                let (from, until) = (u64::from(from), u64::from(from) + u64::from(count));
                let expected: Vec<_> =
                    model.entries().into_iter().filter(|e| (from..until).contains(&e.index)).collect();
                assert_eq!(store.log.read(from, until, usize::MAX).await.unwrap(), expected);
            }
            Step::Reopen => {
                store.log.close().await.unwrap();
                store.registry.close().unwrap();
                store = open_with(&disk, options.clone()).await.unwrap();
            }
            Step::Crash => {
                // A vote is durable when it returns, and so is everything before it.
                store.log.save_vote(bytes("7")).await.unwrap();
                model.vote = Some(7);
                disk.crash_losing_all();
                store = open_with(&disk, options.clone()).await.unwrap();
            }
        }
        check(&store, &model).await;
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_was_done_to_it(steps in steps()) {
        run(follow(steps, StoreOptions::default()));
    }

    #[test]
    fn the_log_is_what_was_done_to_it_without_a_cache_and_with_tiny_commits(steps in steps()) {
        let options = StoreOptions { recent_bytes_max: 0, commit_ops_max: 2, queue_ops_max: 2, ..StoreOptions::default() };
        run(follow(steps, options));
    }
}

/// A little history; answers what was acknowledged before the disk failed.
async fn acknowledged(store: &Store<TestEntry>) -> (Vec<TestEntry>, Option<String>) {
    let mut entries = Vec::new();
    let mut vote = None;
    for round in 0..6u64 {
        let new: Vec<_> = (0..8)
            .map(|offset| TestEntry::new(entries.len() as u64 + offset, format!("entry {round}")))
            .collect();
        if append(store, new.clone()).await.is_err() {
            break;
        }
        entries.extend(new);
        let name = format!("vote {round}");
        if store.log.save_vote(bytes(&name)).await.is_err() {
            break;
        }
        vote = Some(name);
    }
    (entries, vote)
}

#[tokio::test]
async fn acknowledged_writes_survive_whatever_a_power_cut_keeps_of_unsynced_ones() {
    let total = {
        let disk = CrashDisk::new();
        let store = open(&disk).await.unwrap();
        let before = disk.operations();
        acknowledged(&store).await;
        disk.operations() - before
    };
    assert!(total > 30);
    for cut in 1..=total {
        for seed in 0..4u64 {
            let disk = CrashDisk::new();
            let store = open(&disk).await.unwrap();
            disk.cut_after(cut);
            let (entries, vote) = acknowledged(&store).await;
            let mut random = Seeded(seed * 1000 + cut);
            match seed {
                0 => disk.crash_losing_all(),
                1 => disk.kill(),
                _ => disk.crash(|| random.below(2) == 0),
            }
            drop(store);
            let store = open(&disk).await.unwrap_or_else(|error| panic!("cut {cut} seed {seed}: {error}"));
            let found = all(&store).await;
            assert_eq!(found.get(..entries.len()), Some(&entries[..]), "cut {cut} seed {seed}");
            assert!(found.len() <= entries.len() + 8, "cut {cut} seed {seed}");
            if let Some(vote) = vote {
                let found = store.log.vote().unwrap();
                let kept = found == bytes(&vote);
                // The vote under way may have become durable without anyone being told.
                let newer = found.last() == Some(&(vote.as_bytes().last().unwrap() + 1));
                assert!(kept || newer, "cut {cut} seed {seed}: {found:?}");
            }
            // And it goes on from there.
            append(&store, vec![TestEntry::new(found.len() as u64, "more")]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_refuses_to_start_and_never_changes_or_shortens_it() {
    for clean in [true, false] {
        let disk = CrashDisk::new();
        let store = open(&disk).await.unwrap();
        let (entries, vote) = acknowledged(&store).await;
        if clean {
            store.log.close().await.unwrap();
            store.registry.close().unwrap();
        }
        disk.kill();
        drop(store);
        let file = disk.bytes("log.redb");
        let used = file.iter().rposition(|byte| *byte != 0).unwrap();
        let mut random = Seeded(7);
        let mut refused = 0;
        for _ in 0..400 {
            let at = random.below(used as u64 + 1) as usize;
            let copy = disk.copy();
            let mut flipped = file.clone();
            flipped[at] ^= 1 << random.below(8);
            copy.set_bytes("log.redb", flipped);
            match open(&copy).await {
                Err(_) => refused += 1,
                Ok(store) => {
                    assert_eq!(all(&store).await, entries, "clean {clean}, byte {at}");
                    assert_eq!(store.log.vote(), vote.as_deref().map(bytes), "clean {clean}, byte {at}");
                }
            }
        }
        assert!(refused > 0, "some of the flips hit what is in use");
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_stored_entry_is_noticed() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "a payload that is easy to find"), TestEntry::new(1, "b")])
        .await
        .unwrap();
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    let file = disk.bytes("log.redb");
    let places: Vec<_> =
        (0..file.len()).filter(|at| file[*at..].starts_with(b"a payload that is easy to find")).collect();
    assert!(!places.is_empty());
    for at in places {
        let copy = disk.copy();
        let mut flipped = file.clone();
        flipped[at + 3] ^= 0x20;
        copy.set_bytes("log.redb", flipped);
        if let Ok(store) = open(&copy).await {
            // A copy that is no longer in use.
            assert_eq!(all(&store).await[0], TestEntry::new(0, "a payload that is easy to find"));
        }
    }
}

#[tokio::test]
async fn a_log_put_back_to_an_older_copy_refuses_to_start() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "a")]).await.unwrap();
    let older = disk.bytes("log.redb");
    append(&store, vec![TestEntry::new(1, "b")]).await.unwrap();
    disk.kill();
    drop(store);
    disk.set_bytes("log.redb", older);
    let error = open(&disk).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("was acknowledged"), "{error}");
    assert!(error.to_string().contains("join as a new node"), "{error}");
}

#[tokio::test]
async fn a_mark_that_is_gone_or_torn_is_no_reason_to_refuse() {
    let disk = CrashDisk::new();
    let store = open(&disk).await.unwrap();
    append(&store, vec![TestEntry::new(0, "a")]).await.unwrap();
    disk.kill();
    drop(store);
    let copy = disk.copy();
    copy.delete("log.mark");
    assert_eq!(all(&open(&copy).await.unwrap()).await.len(), 1);
    disk.set_bytes("log.mark", vec![0xff; 5000]);
    assert_eq!(all(&open(&disk).await.unwrap()).await.len(), 1);
}
