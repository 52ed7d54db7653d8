//! A node's real store on the simulated disk: whatever a power cut takes, everything that was acknowledged is there.

use assent_jepsen::sim::dice::Dice;
use assent_jepsen::sim::disk::{FaultCounts, FaultKind, Image, IoFault, SimDisk, Unsynced};
use assent_store::StoreError;

use super::support::{Acknowledged, TestEntry, append, entries, missing, open, work, worked};

#[tokio::test]
async fn what_was_acknowledged_survives_power_cuts_at_any_operation_and_while_recovering() {
    let mut counts = FaultCounts::default();
    let mut cuts_while_opening = 0;
    for unsynced in Unsynced::ALL {
        for seed in 0..60 {
            let dice = Dice::new(seed);
            let mut chance = dice.fork("work");
            let disk = SimDisk::new();
            let mut noted = Acknowledged::default();
            for life in 0..8 {
                disk.arm_power_cut(chance.below(60), unsynced, dice.fork(&format!("cut {life}")));
                match open(&disk).await {
                    Ok(store) => {
                        let wrong = missing(&store, &noted).await;
                        assert_eq!(wrong, None, "{unsynced:?} seed {seed} life {life}");
                        work(&store, &mut noted, 12, &mut chance).await;
                        disk.power_cut(unsynced, &mut chance);
                    }
                    // Only the cut may keep it from starting.
                    Err(error) => {
                        assert!(disk.is_dead(), "{unsynced:?} seed {seed} life {life}: {error}");
                        cuts_while_opening += 1;
                    }
                }
            }
            disk.disarm();
            let store = open(&disk).await.unwrap_or_else(|error| panic!("{unsynced:?} seed {seed}: {error}"));
            assert_eq!(missing(&store, &noted).await, None, "{unsynced:?} seed {seed}");
            counts.add_all(&disk.counts());
        }
    }
    assert!(cuts_while_opening > 50, "{cuts_while_opening}");
    for kind in
        [FaultKind::CutMidSync, FaultKind::SectorTorn, FaultKind::LengthDropped, FaultKind::FileVanished]
    {
        assert!(counts.get(kind) > 20, "{counts}");
    }
}

#[tokio::test]
async fn a_creation_cut_short_anywhere_starts_over_or_is_complete() {
    for unsynced in Unsynced::ALL {
        for seed in 0..10 {
            for after_ops in 0.. {
                let disk = SimDisk::new();
                disk.arm_power_cut(after_ops, unsynced, Dice::new(seed * 1000 + after_ops));
                let created = open(&disk).await;
                let died = disk.is_dead();
                disk.power_cut(unsynced, &mut Dice::new(seed));
                drop(created);
                let store = open(&disk).await;
                let store = store.unwrap_or_else(|error| panic!("{unsynced:?} {seed} {after_ops}: {error}"));
                assert_eq!(entries(&store).await, []);
                append(&store, TestEntry(0, b"a".to_vec())).await.unwrap();
                if !died {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_process_that_is_killed_again_and_again_loses_nothing_it_acknowledged() {
    for seed in 0..30 {
        let disk = SimDisk::new();
        let mut chance = Dice::new(seed);
        let mut noted = Acknowledged::default();
        for life in 0..6 {
            let store = open(&disk).await.unwrap();
            assert_eq!(missing(&store, &noted).await, None, "seed {seed} life {life}");
            let rounds = chance.below(9);
            work(&store, &mut noted, rounds, &mut chance).await;
            disk.kill();
        }
        disk.power_cut(Unsynced::Torn, &mut chance);
        assert_eq!(missing(&open(&disk).await.unwrap(), &noted).await, None, "seed {seed}");
    }
}

#[tokio::test]
async fn what_a_node_finds_after_a_kill_inside_a_commit_is_durable_by_then() {
    let mut killed = 0;
    for seed in 0..150 {
        let disk = SimDisk::new();
        let mut chance = Dice::new(seed);
        let mut noted = Acknowledged::default();
        let store = open(&disk).await.unwrap();
        disk.arm_kill(chance.below(80), chance.fork("kill"));
        work(&store, &mut noted, 8, &mut chance).await;
        killed += u32::from(disk.is_dead());
        disk.kill();
        drop(store);
        let store = open(&disk).await.unwrap();
        assert_eq!(missing(&store, &noted).await, None, "seed {seed}");
        // It may tell others of all that it found.
        noted.entries = entries(&store).await;
        disk.power_cut(Unsynced::Drop, &mut chance);
        drop(store);
        assert_eq!(missing(&open(&disk).await.unwrap(), &noted).await, None, "seed {seed}");
    }
    assert!(killed > 100, "{killed}");
}

#[tokio::test]
async fn a_read_that_fails_while_opening_is_an_error_and_destroys_nothing() {
    let (disk, noted) = worked(10, 1).await;
    let image = disk.snapshot();
    let mut failed = 0;
    for call in 0.. {
        let disk = SimDisk::new();
        disk.restore(&image).unwrap();
        disk.arm(IoFault::ReadFails, "", call..call + 1, Dice::new(0));
        let opened = open(&disk).await;
        let met = disk.counts().get(FaultKind::ReadFailed) > 0;
        if let Err(error) = &opened {
            assert!(met);
            failed += 1;
            assert!(!matches!(error, StoreError::Missing { .. } | StoreError::Mismatched { .. }), "{error}");
        }
        drop(opened);
        disk.power_cut(Unsynced::Drop, &mut Dice::new(0));
        let store = open(&disk).await.unwrap_or_else(|error| panic!("after call {call}: {error}"));
        assert_eq!(missing(&store, &noted).await, None, "call {call}");
        if !met {
            break;
        }
    }
    assert!(failed > 20, "{failed}");
}

/// Disks that never had a store, whose store lost its power, and whose store was closed; and what those answered for.
async fn starts() -> Vec<(Image, Acknowledged)> {
    let (disk, noted) = worked(10, 1).await;
    let cut = disk.snapshot();
    let store = open(&disk).await.unwrap();
    store.log.close().await.unwrap();
    store.registry.close().unwrap();
    drop(store);
    let closed = disk.snapshot();
    assert_ne!(closed, cut);
    vec![(Image::default(), Acknowledged::default()), (cut, noted.clone()), (closed, noted)]
}

#[tokio::test]
async fn a_write_or_sync_that_fails_while_opening_keeps_the_store_down_and_loses_nothing() {
    let mut kept_down = 0;
    for (image, noted) in starts().await {
        for fault in [IoFault::SyncFails, IoFault::WriteFails, IoFault::WriteFull] {
            for call in 0.. {
                let case = format!("{fault:?} {call}");
                let disk = SimDisk::new();
                disk.restore(&image).unwrap();
                let mut dice = Dice::new(call);
                disk.arm(fault, "", call..call + 1, dice.fork("fault"));
                let opened = open(&disk).await;
                let counts = disk.counts();
                let met = [FaultKind::WriteFailed, FaultKind::DiskFull, FaultKind::SyncFailed]
                    .iter()
                    .any(|kind| counts.get(*kind) > 0);
                assert_eq!(opened.is_err(), met, "{case}: it went on after a failed write");
                assert_eq!(counts.get(FaultKind::SyncLied), 0, "{case}: a failed sync was tried again");
                kept_down += u32::from(met);
                drop(opened);
                disk.power_cut(Unsynced::Mixed, &mut dice);
                let store = open(&disk).await.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(missing(&store, &noted).await, None, "{case}");
                if !met {
                    break;
                }
            }
        }
    }
    assert!(kept_down > 60, "{kept_down}");
}
