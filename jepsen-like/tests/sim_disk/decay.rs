//! Damage at rest: the store notices the damage or was not touched by it; it never returns wrong data.

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{Damage, FaultKind, SimDisk, Unsynced};
use assent_store::StoreError;

use super::support::{Acknowledged, TestEntry, append, entries, missing, open, work, worked};

/// Damages a copy of a store that was shut down by a power cut, and opens it. Answers how often it refused to start.
async fn refusals(damage: impl Fn(&SimDisk, &mut Dice) -> Option<Damage>, kind: FaultKind) -> u32 {
    let (disk, noted) = worked(12, 3).await;
    let image = disk.snapshot();
    let mut refused = 0;
    for seed in 0..150 {
        let disk = SimDisk::new();
        disk.restore(&image).unwrap();
        let damage = damage(&disk, &mut Dice::new(seed)).unwrap();
        assert_eq!(disk.counts().get(kind), 1);
        assert_ne!(disk.snapshot(), image);
        match open(&disk).await {
            Ok(store) => assert_eq!(missing(&store, &noted).await, None, "seed {seed}: {damage:?}"),
            Err(StoreError::Damaged { .. } | StoreError::Format { .. } | StoreError::Mismatched { .. }) => {
                refused += 1
            }
            Err(error) => panic!("seed {seed} {damage:?}: {error}"),
        }
    }
    refused
}

#[tokio::test]
async fn a_bit_that_flips_at_rest_keeps_the_store_down_or_changes_nothing() {
    for file in ["log.redb", "registry"] {
        let refused = refusals(|disk, dice| disk.flip_bit(file, dice), FaultKind::BitFlipped).await;
        assert!(refused > 3, "{file}: {refused}");
    }
    // The mark only ever says that something is missing.
    assert_eq!(refusals(|disk, dice| disk.flip_bit("log.mark", dice), FaultKind::BitFlipped).await, 0);
}

#[tokio::test]
async fn a_file_with_many_flipped_bits_is_refused_and_panics_of_redb_are_contained() {
    for file in ["log.redb", "registry"] {
        let flip = |disk: &SimDisk, dice: &mut Dice| {
            (0..dice.between(2, 40)).filter_map(|_| disk.flip_bit(file, dice)).last()
        };
        let (disk, noted) = worked(12, 3).await;
        let image = disk.snapshot();
        for seed in 0..300 {
            let disk = SimDisk::new();
            disk.restore(&image).unwrap();
            flip(&disk, &mut Dice::new(seed)).unwrap();
            match open(&disk).await {
                Ok(store) => assert_eq!(missing(&store, &noted).await, None, "{file}, seed {seed}"),
                Err(
                    StoreError::Damaged { .. } | StoreError::Format { .. } | StoreError::Mismatched { .. },
                ) => {}
                Err(error) => panic!("{file}, seed {seed}: {error}"),
            }
        }
    }
}

/// redb takes a file whose newest commit does not check out for torn and goes back to the commit before. Only the mark
/// beside it says that somebody was told of the newest.
#[tokio::test]
async fn damage_to_the_newest_commit_is_not_taken_for_a_torn_one_although_the_power_went() {
    for power in [false, true] {
        let mut refused = 0;
        for seed in 0..60 {
            let disk = SimDisk::new();
            let mut noted = Acknowledged::default();
            let store = open(&disk).await.unwrap();
            work(&store, &mut noted, 3, &mut Dice::new(seed)).await;
            // The mark is synced behind the commit; nobody waits for it.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let mut dice = Dice::new(seed);
            if power {
                disk.power_cut(Unsynced::Drop, &mut dice);
            } else {
                disk.kill();
            }
            disk.flip_newest_bit("log.redb", &mut dice).unwrap();
            drop(store);
            match open(&disk).await {
                Ok(store) => assert_eq!(missing(&store, &noted).await, None, "seed {seed}"),
                Err(error @ StoreError::Damaged { .. }) => {
                    refused += u32::from(error.to_string().contains("was acknowledged"));
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        assert!(refused > 5, "power {power}: {refused}");
    }
}

#[tokio::test]
async fn a_file_cut_short_at_rest_keeps_the_store_down_or_changes_nothing() {
    for file in ["log.redb", "registry"] {
        let cut = |disk: &SimDisk, dice: &mut Dice| disk.truncate(file, dice).unwrap();
        let refused = refusals(cut, FaultKind::Truncated).await;
        assert!(refused > 50, "{file}: {refused}");
    }
}

#[tokio::test]
async fn a_range_zeroed_at_rest_keeps_the_store_down_or_changes_nothing() {
    for file in ["log.redb", "registry"] {
        let zero = |disk: &SimDisk, dice: &mut Dice| disk.zero_range(file, dice).unwrap();
        let refused = refusals(zero, FaultKind::Zeroed).await;
        assert!(refused > 25, "{file}: {refused}");
    }
}

#[tokio::test]
async fn an_old_image_put_back_is_the_old_store_and_an_old_log_alone_is_refused() {
    let (disk, old) = worked(5, 4).await;
    let image = disk.snapshot();
    let store = open(&disk).await.unwrap();
    let mut noted = Acknowledged::default();
    work(&store, &mut noted, 5, &mut Dice::new(5)).await;
    assert_eq!(noted.entries.len(), 10);
    disk.power_cut(Unsynced::Keep, &mut Dice::new(0));
    drop(store);
    let newer = disk.snapshot();

    disk.restore(&image).unwrap();
    assert_eq!(entries(&open(&disk).await.unwrap()).await, old.entries);
    disk.kill();

    let mut mixed = newer.clone();
    mixed.insert("log.redb", image.file("log.redb").unwrap().to_vec());
    disk.restore(&mixed).unwrap();
    let error = open(&disk).await.unwrap_err();
    assert!(error.to_string().contains("was acknowledged"), "{error}");
    disk.kill();

    disk.restore(&newer).unwrap();
    assert_eq!(missing(&open(&disk).await.unwrap(), &noted).await, None);
    assert_eq!(disk.counts().get(FaultKind::Restored), 3);
}

#[tokio::test]
async fn a_wiped_disk_is_a_new_one() {
    let (disk, _) = worked(3, 6).await;
    disk.wipe().unwrap();
    assert_eq!(disk.snapshot().names().count(), 0);
    let store = open(&disk).await.unwrap();
    assert!(store.created);
    append(&store, TestEntry(0, b"a".to_vec())).await.unwrap();
}
